"""The index of a shard: where in its file each of its chunks lies (Zarr v3, ``sharding_indexed``)."""

from typing import NamedTuple

import google_crc32c
import numpy as np

from spora_db.arrays import Int64, UInt64
from spora_db.images.files import OpenFile, broken, describe

EMPTY = 2**64 - 1
ENTRY_BYTES = 16
CHECKSUM_BYTES = 4


class ShardIndex(NamedTuple):
    """Whether the index of a shard lies at its start or its end, and whether a crc32c checksum follows it."""

    at_start: bool
    has_checksum: bool

    def size(self, count: int) -> int:
        """Return how many bytes the index of so many chunks takes."""
        return ENTRY_BYTES * count + (CHECKSUM_BYTES if self.has_checksum else 0)


def read_index(file: OpenFile, kind: ShardIndex, *, count: int) -> UInt64:
    """Return where the chunks of a shard lie, after a look at whether that can be.

    Parameters
    ----------
    file
        The shard.
    kind
        Where its index is.
    count
        How many chunks it holds or leaves out.

    Returns
    -------
    numpy.ndarray
        uint64 array of shape (count, 2): offset and size in bytes; 0, 0 for a chunk that is left out as empty.

    Raises
    ------
    FileFormatError
        The file is too small, the checksum is wrong, or the index places chunks outside the file or over each other.
    """
    size = kind.size(count)
    if file.size < size:
        head = _head(file)
        raise broken(file.path, f"{head} and has {file.size} bytes", expected=f"a shard with an index of {size} bytes")
    data = np.frombuffer(file.read(0 if kind.at_start else file.size - size, size), np.uint8)
    if kind.has_checksum and google_crc32c.value(data[:-CHECKSUM_BYTES]) != int(data[-CHECKSUM_BYTES:].view("<u4")[0]):
        found = f"the checksum of its chunk index is wrong ({_head(file)})"
        raise broken(file.path, found, expected="a whole shard")
    index = data[: ENTRY_BYTES * count].view("<u8").reshape(count, 2).astype(np.uint64)
    is_empty = (index == EMPTY).all(axis=1)
    first, last = (size, file.size) if kind.at_start else (0, file.size - size)
    _check(index, np.flatnonzero(~is_empty), path=file.path, first=first, last=last, size=file.size)
    index[is_empty] = 0
    return index


def _check(index: UInt64, kept: Int64, *, path: str, first: int, last: int, size: int) -> None:
    """Refuse ``kept`` chunks that do not lie between ``first`` and ``last``, and chunks that share bytes."""
    starts, lengths = index[kept, 0], index[kept, 1]
    wrong = (starts < first) | (starts > last) | (lengths == 0)
    wrong |= lengths > np.uint64(last) - np.minimum(starts, np.uint64(last))
    for position in kept[wrong][:1].tolist():
        begin, length = index[position].tolist()
        raise broken(
            path,
            f"its index places chunk {position} at bytes {begin} to {begin + length} of {size}, where it may use bytes "
            f"{first} to {last}",
            expected="a whole shard",
        )
    order = np.argsort(starts)
    shared = np.flatnonzero(starts[order][1:] < (starts + lengths)[order][:-1])
    for place in shared[:1].tolist():
        one, other = sorted(kept[order[place : place + 2]].tolist())
        raise broken(path, f"its index gives chunks {one} and {other} the same bytes", expected="a whole shard")


def _head(file: OpenFile) -> str:
    return describe(file.read(0, min(64, file.size)))
