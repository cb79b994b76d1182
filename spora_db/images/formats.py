"""Formats of images: one row each, which says how files are called and who reads them.

A format from outside is one call, ``register_image_format``; a codec of chunks is one too, ``register_codec`` of
`spora_db.images.chunk_codecs`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from spora_db.errors import ArgumentError
from spora_db.images.base import ChannelAxis, ImageHeader, ImageReader, MissingChunks
from spora_db.images.imc import MCD, TEXT, ImcTextReader, McdReader
from spora_db.images.ometiff import OmeTiffReader
from spora_db.images.omezarr import OmeZarrReader, zarr_header
from spora_db.layout.names import IMAGE_SUFFIXES


class OpensImages(Protocol):
    """A class of readers, or a function that returns one."""

    def __call__(self, path: Path, *, missing_chunks: MissingChunks, channel_axis: ChannelAxis) -> ImageReader:
        """Open an image."""


class OpensLevels(Protocol):
    """A class of readers that read a level of a pyramid as well, and say in ``levels`` how many there are."""

    def __call__(
        self, path: Path, *, missing_chunks: MissingChunks, channel_axis: ChannelAxis, level: int
    ) -> ImageReader:
        """Open a level of an image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFormat:
    """How one kind of images is found and read.

    Attributes
    ----------
    called
        What its files are called, for errors.
    suffixes
        The ends of such names, in lower case.
    marks
        Files by one of which a folder is told that is called otherwise.
    inside
        The ends of files that hold several images, which are called as if they lay in a folder of its name.
    reader
        What opens an image.
    header
        What reads its header alone, where that is quicker.
    level
        What opens a coarser level, where such images hold several.
    """

    called: str
    suffixes: tuple[str, ...]
    reader: OpensImages
    marks: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    header: Callable[[Path], ImageHeader] | None = None
    level: OpensLevels | None = None

    def holds(self, path: Path) -> bool:
        """Tell whether a path is of this format, by its name or by the files in it."""
        if path.name.lower().endswith(self.suffixes) or path.parent.name.lower().endswith(self.inside):
            return True
        return any((path / name).is_file() for name in self.marks)


SLIDES = (".svs", ".ndpi", ".scn", ".qptiff", ".btf", ".tf8")
"""What scanners and BigTIFF writers call files that are TIFF."""
FORMATS = {
    "ome-zarr": ImageFormat(
        called="a folder .ome.zarr or .zarr",
        suffixes=(".zarr",),
        marks=("zarr.json", ".zgroup", ".zarray", ".zattrs"),
        reader=OmeZarrReader,
        header=zarr_header,
        level=OmeZarrReader,
    ),
    "ome-tiff": ImageFormat(
        called=f"a file {', '.join(SLIDES)}, .ome.tiff, .ome.tif, .tiff or .tif",
        suffixes=(".tif", ".tiff", *SLIDES),
        reader=OmeTiffReader,
        level=OmeTiffReader,
    ),
    "imc-text": ImageFormat(called="a text file .txt of an IMC acquisition", suffixes=(TEXT,), reader=ImcTextReader),
    "mcd": ImageFormat(
        called="an acquisition of an MCD, such as slide.mcd/1", suffixes=(MCD,), inside=(MCD,), reader=McdReader
    ),
}
"""Formats by name. Which of their suffixes a lake's images have stands in `IMAGE_SUFFIXES`."""


def register_image_format(name: str, *, suffixes: Sequence[str], reader: OpensImages) -> None:
    """Make images of another format part of lakes, whose files are called ``<tissue_id><suffix>``.

    It holds for this process and those it forks; a spawned worker registers again, as it does where the call stands in
    a module that it imports.

    Parameters
    ----------
    name
        What the column ``format`` of images says.
    suffixes
        The ends of the files' names, such as ``.ome.x``.
    reader
        A class with the members of :class:`spora_db.images.ImageReader`, called as
        ``reader(path, missing_chunks=..., channel_axis=...)``.

    Raises
    ------
    ArgumentError
        The format is there already, or a name could be of two formats.

    Examples
    --------
    >>> register_image_format("my-tiff", suffixes=[".my.tiff"], reader=OmeTiffReader)
    Traceback (most recent call last):
    spora_db.errors.ArgumentError: Names that end with '.my.tiff' may be those of ome-tiff. Choose another suffix.
    """
    if name in FORMATS:
        raise ArgumentError(f"There is an image format {name!r} already. Choose another name.")
    for suffix in suffixes:
        if not suffix.startswith(".") or suffix != suffix.lower():
            raise ArgumentError(f"A suffix begins with a point and is in lower case; received {suffix!r}.")
        for known, row in FORMATS.items():
            if suffix.endswith(row.suffixes) or any(other.endswith(suffix) for other in row.suffixes):
                raise ArgumentError(f"Names that end with {suffix!r} may be those of {known}. Choose another suffix.")
    FORMATS[name] = ImageFormat(called=f"one called {' or '.join(suffixes)}", suffixes=tuple(suffixes), reader=reader)
    IMAGE_SUFFIXES.update(dict.fromkeys(suffixes, name))
