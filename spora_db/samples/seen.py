"""What images were when they were first opened: one that is rewritten under an open dataset is refused, by name."""

import mmap

import numpy as np

from spora_db.errors import FileFormatError
from spora_db.files.stamps import LastingStamp, lasting_stamp
from spora_db.images.base import ImageReader
from spora_db.images.files import telling_unopened


class SeenImages:
    """The size and the modification time of every image of a plan, as it was when it was first opened.

    No file is asked before it is opened: of 100,000 images in a network file system that would take a minute. Forked
    workers write to one memory; a process that is spawned begins with a copy of what its parent knew.

    Parameters
    ----------
    states
        Two numbers per image, as bytes: 0, 0 while it is unknown, else modification time (ns) and size + 1.

    Examples
    --------
    >>> SeenImages(bytes(16)).state(0) is None
    True
    """

    def __init__(self, states: bytes) -> None:
        memory = mmap.mmap(-1, max(len(states), 1))
        memory[: len(states)] = states
        self._states = np.frombuffer(memory, np.int64, len(states) // 8).reshape(-1, 2)

    def __reduce__(self) -> tuple[type["SeenImages"], tuple[bytes]]:
        """Reduce to what is known now."""
        return type(self), (self._states.tobytes(),)

    def state(self, image: int) -> LastingStamp | None:
        """Return what an image was when it was first opened, None if it has not been opened."""
        modified, size = self._states[image].tolist()
        return (size - 1, modified) if size else None

    def check(self, image: int, reader: ImageReader) -> None:
        """Note what an image is if it is opened for the first time, and refuse it if it was another.

        Raises
        ------
        FileFormatError
            If it is not what it was.
        """
        path = reader.files[-1]  # of a folder, the metadata of the array
        with telling_unopened(path, expected="the file that was opened"):
            found, known = lasting_stamp(path), self.state(image)
        if known is None:
            size, modified = found
            self._states[image, 0] = modified
            self._states[image, 1] = size + 1  # the last: from now on it counts as known
        elif known != found:
            raise FileFormatError(
                f"The image {reader.path} was written anew while a dataset reads it: {path.name} was {_words(known)} "
                f"when it was first opened, and is {_words(found)}. Samples of before and after would be of two "
                "images, so no more are read; whether pixels differ is not compared. Make the dataset anew with "
                "query.to_torch() to take the image as it is, or put the file back with its time (cp -p)."
            )


def _words(stamp: LastingStamp) -> str:
    size, modified = stamp
    return f"{size:,} bytes of {np.datetime64(modified, 'ns')} UTC"
