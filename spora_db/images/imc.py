"""Imaging mass cytometry as the instrument writes it: text files, and the acquisitions of an MCD (extra ``imc``)."""

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from spora_db.arrays import AnyArray, Int64
from spora_db.errors import FileFormatError, ImageNotFoundError, need
from spora_db.files.recent import Recent
from spora_db.files.stores.ranges import FileRange
from spora_db.images.base import MEANT, BatchFiles, ChannelAxis, ChunkGrid, MissingChunks
from spora_db.images.cache import OWNERS
from spora_db.images.files import broken, telling_broken
from spora_db.images.page_groups import Filling, PageGroup, group_pages
from spora_db.images.pixels import ChunkPlanes

if TYPE_CHECKING:
    from readimc import MCDFile
    from readimc.data import Acquisition

TEXT: Final = ".txt"
MCD: Final = ".mcd"
PLACES: Final = ("Start_push", "End_push", "Pushes_duration", "X", "Y", "Z")
"""The columns of a text file before those of its channels."""
_CHANNEL: Final = re.compile(r"(?P<label>.*)\((?P<metal>[A-Za-z]+)(?P<mass>\d+)[^0-9]*\)")
_LAST: Final = Recent[int, ChunkPlanes](1)
"""The pixels of the acquisition that was read last: a file can be read only as a whole."""


def is_imc_text(path: Path) -> bool:
    """Tell whether a text file is an acquisition, by its first words."""
    if not path.name.lower().endswith(TEXT) or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(64).startswith("\t".join(PLACES[:3]).encode())


def is_acquisition(path: Path) -> bool:
    """Tell whether a path is that of an MCD, of one of its acquisitions (``slide.mcd/3``), or of a text file."""
    return MCD in (path.suffix.lower(), path.parent.suffix.lower()) or is_imc_text(path)


def acquisitions(path: Path) -> list[Path]:
    """Return the paths of the acquisitions of an MCD that hold pixels, ``slide.mcd/1`` and so on, by their numbers.

    Raises
    ------
    MissingExtraError
        The extra ``imc`` is absent.
    FileFormatError
        It cannot be read.
    """
    found = _in_mcd(path, lambda file: [one for slide in file.slides for one in slide.acquisitions])
    return [path / str(one.id) for one in found if _size(one) != (0, 0)]


class _Acquisition:
    """An image that is read as a whole."""

    path: Path
    shape: tuple[int, int, int]
    channel_names: tuple[str, ...]
    mpp: tuple[float, float] | None
    files: tuple[Path, ...]
    dtype: np.dtype[Any] = np.dtype(np.float32)
    not_rgb = "it holds counts of ions"

    def __init__(self, missing_chunks: MissingChunks) -> None:
        self._owner = next(OWNERS)
        self._missing = missing_chunks

    @property
    def chunks(self) -> tuple[int, int]:
        """Height and width in pixels of what is decoded at once."""
        return self.shape[1:]

    def grids(self, pages: Int64) -> tuple[ChunkGrid]:
        """Return the one chunk that this is; see `spora_db.images.base.ImageReader`."""
        return (ChunkGrid(*self.chunks, group_pages(pages, self.shape[0])),)

    def needs(self, group: PageGroup, down: int, across: int, *, rows: slice, cols: slice) -> Iterator[list[FileRange]]:
        """Yield nothing: no such file lies in a remote lake."""
        return iter(())

    def decoded(
        self, group: PageGroup, down: int, across: int, *, rows: slice, cols: slice, files: BatchFiles
    ) -> tuple[ChunkPlanes, Filling]:
        """Return the image; see `ImageReader`."""
        planes = _LAST.get(self._owner)
        if planes is None:
            planes = ChunkPlanes.of(self._read())
            _LAST.put(self._owner, planes)
        return planes, group.from_whole

    def _read(self) -> AnyArray:
        raise NotImplementedError

    def _check_whole(self, pixels: int) -> None:
        """Refuse an acquisition that was ended before its last pixel, unless absent pixels are meant."""
        _, height, width = self.shape
        if pixels != height * width and self._missing != "zeros":
            raise FileFormatError(
                f"The acquisition {self.path} has {pixels} pixels, and {height} x {width} were to be ablated: it was "
                f"ended before. Leave it out, or, where the rest may be zeros, {MEANT}."
            )

    def close(self) -> None:
        """Forget the pixels; the file is not held open."""
        _LAST.forget(lambda owner: owner == self._owner)


class ImcTextReader(_Acquisition):
    """The text file of an acquisition: a line per pixel, a column per channel.

    Raises
    ------
    FileFormatError
        It is another text, or damaged.
    """

    def __init__(self, path: Path, *, missing_chunks: MissingChunks = "error", channel_axis: ChannelAxis = "c") -> None:
        super().__init__(missing_chunks)
        self.path, self.files, self.mpp = path, (path,), None
        if not path.is_file():
            raise ImageNotFoundError(f"There is no image at {path}. Check the path, or download the image.")
        if not is_imc_text(path):
            raise broken(path, "it is another text", expected=f"the columns {', '.join(PLACES)} of an IMC acquisition")
        places = self._table(["X", "Y"])
        with path.open(encoding="utf-8", errors="replace") as file:
            columns = file.readline().rstrip("\r\n").split("\t")[len(PLACES) :]
        self.channel_names = tuple(map(_text_name, columns))
        size = (0, 0) if not len(places) else tuple(int(places[:, axis].max()) + 1 for axis in (1, 0))
        if not columns or not size[0]:
            found = f"it has {len(columns)} channels and {len(places)} pixels"
            raise broken(path, found, expected="at least one of each")
        self.shape = (len(columns), size[0], size[1])

    def _table(self, columns: list[str] | None) -> AnyArray:
        """Return columns as float32, a line per pixel."""
        import pandas as pd

        with telling_broken(self.path, library="pandas", expected="numbers, a line per pixel"):
            table = pd.read_table(self.path, dtype=np.float32, usecols=columns)
            return np.asarray(table if columns is None else table[columns])

    def _read(self) -> AnyArray:
        values = self._table(None)
        self._check_whole(len(values))
        planes = np.zeros(self.shape, np.float32)
        cols, rows = (values[:, PLACES.index(axis)].astype(np.int64) for axis in "XY")
        planes[:, rows, cols] = values[:, len(PLACES) :].T
        return planes


class McdReader(_Acquisition):
    """One acquisition of an MCD, ``slide.mcd/3``; of an MCD with one acquisition, ``slide.mcd`` as well.

    Raises
    ------
    MissingExtraError
        The extra ``imc`` is absent.
    FileFormatError
        It cannot be read, or holds several acquisitions of which none is named.
    ImageNotFoundError
        It has no such acquisition.
    """

    def __init__(self, path: Path, *, missing_chunks: MissingChunks = "error", channel_axis: ChannelAxis = "c") -> None:
        super().__init__(missing_chunks)
        self._file = path if path.suffix.lower() == MCD else path.parent
        self.path, self.files = path, (self._file,)
        found = acquisitions(self._file)
        if path == self._file and len(found) == 1:
            path = found[0]
        if path not in found:
            listed = ", ".join(map(str, found[:8])) or "none"
            problem = "Expected one acquisition." if path == self._file else "It has no such acquisition."
            raise FileFormatError(f"The image {path}: {self._file.name} holds {listed}. {problem} Give one of them.")
        self._id = int(path.name)
        one = _in_mcd(self._file, self._acquisition)
        self.channel_names = tuple(
            _named(label, metal=metal, mass=mass)
            for label, metal, mass in zip(one.channel_labels, one.channel_metals, one.channel_masses, strict=True)
        )
        self.shape = (len(self.channel_names), *_size(one))
        steps = [one.metadata.get(f"AblationDistanceBetweenShots{axis}") for axis in "YX"]
        self.mpp = (float(steps[0]), float(steps[1])) if all(steps) else None

    def _acquisition(self, file: "MCDFile") -> "Acquisition":
        [one] = [a for slide in file.slides for a in slide.acquisitions if a.id == self._id]
        return one

    def _read(self) -> AnyArray:
        one = _in_mcd(self._file, self._acquisition)
        start, end, width = (int(one.metadata[key]) for key in ("DataStartOffset", "DataEndOffset", "ValueBytes"))
        self._check_whole((end - start) // (width * (len(self.channel_names) + 3)))
        planes: AnyArray = _in_mcd(self._file, lambda file: file.read_acquisition(self._acquisition(file)))
        return np.ascontiguousarray(planes, np.float32)


def _in_mcd(path: Path, ask: Callable[["MCDFile"], Any]) -> Any:  # noqa: ANN401 - what `ask` returns
    """Open an MCD and ask it."""
    if not path.is_file():
        raise ImageNotFoundError(f"There is no image at {path}. Check the path, or download the image.")
    instead = "The instrument exports acquisitions as text as well, which needs nothing."
    readimc = need("readimc", extra="imc", what="Reading an MCD", instead=instead)

    file = readimc.MCDFile(path)
    expected = "an MCD of imaging mass cytometry"
    with telling_broken(path, library="readimc", expected=expected), contextlib.closing(file):
        file.open()  # not as a context manager, which leaves a file open that it cannot read
        return ask(file)


def _size(acquisition: "Acquisition") -> tuple[int, int]:
    """Return height and width in pixels; 0, 0 of an acquisition without pixels."""
    height, width = (int(acquisition.metadata.get(f"Max{axis}", 0)) for axis in "YX")
    empty = acquisition.metadata.get("DataStartOffset") == acquisition.metadata.get("DataEndOffset")
    return (0, 0) if empty or not height * width else (height, width)


def _text_name(column: str) -> str:
    """Return the name of a channel of a text file.

    Examples
    --------
    >>> _text_name("CD3(Er170Di)"), _text_name("80ArAr(ArAr80Di)"), _text_name("odd")
    ('Er170_CD3', 'ArAr80', 'odd')
    """
    found = _CHANNEL.fullmatch(column.strip())
    return column.strip() if found is None else _named(found["label"], metal=found["metal"], mass=int(found["mass"]))


def _named(label: str | None, *, metal: str, mass: int) -> str:
    """Return metal and label of a channel, the metal alone where the label says no more."""
    text = (label or "").strip()
    said = {f"{metal}{mass}", f"{mass}{metal}", f"{metal}({mass})", metal, ""}
    return f"{metal}{mass}" if text in said else f"{metal}{mass}_{text}"
