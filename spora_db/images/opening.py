"""Opening images once per process and file, by the format that their names say, and asking what a file holds."""

import os
from pathlib import Path
from typing import get_args

from spora_db.errors import ArgumentError, FileFormatError, ImageNotFoundError
from spora_db.files.recent import Recent
from spora_db.files.stamps import Stamp, stamps
from spora_db.files.stores.mirror import mirror_of
from spora_db.images.base import ChannelAxis, ImageHeader, ImageReader, MissingChunks, check_missing_chunks
from spora_db.images.conversions import conversion
from spora_db.images.files import telling_unopened
from spora_db.images.formats import FORMATS, ImageFormat

MAX_READERS = 1024
READERS = Recent[tuple[str, str, str], tuple[ImageReader, tuple[Stamp | None, ...]]](MAX_READERS)
"""Readers by (path, missing_chunks, channel_axis) with the stamps of the files they were read from."""


def open_image(
    path: str | Path, *, missing_chunks: MissingChunks = "error", channel_axis: ChannelAxis = "c"
) -> ImageReader:
    """Open an OME-Zarr or OME-TIFF image for reading regions.

    A file is opened once per process: a second call gives the same reader, unless the file has changed since. Readers
    hold no handle that a fork or a thread could break, and no lock while they decode.

    Parameters
    ----------
    path
        A folder ``.ome.zarr`` or ``.zarr``, or a file ``.ome.tiff``, ``.ome.tif``, ``.tiff`` or ``.tif``.
    missing_chunks
        ``"error"`` refuses a chunk that is absent on disk, because that is what a partial download looks like;
        ``"zeros"`` reads it as the fill value, as every Zarr library does; ``"white"`` reads it as the largest value of
        uint8 or uint16, as sparse brightfield slides mean it.
    channel_axis
        The axis along which the channels lie: ``"c"``, or ``"z"`` or ``"t"`` in files of programs that write channels
        as a stack of depths or times. A lake's images have c: import such files, which writes them anew.

    Returns
    -------
    ImageReader
        With ``shape`` (C, H, W), ``dtype``, ``chunks`` and more; see :func:`read_region`.

    Raises
    ------
    ImageNotFoundError
        There is nothing at ``path``.
    FileFormatError
        It is not a readable image of (C, H, W).
    ArgumentError
        An unknown ``missing_chunks`` or ``channel_axis``.

    See Also
    --------
    read_region, load_mask

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from spora_db.images import write_omezarr
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_omezarr(Path(folder) / "a.ome.zarr", np.zeros((3, 300, 400), np.uint8), mpp=0.5)
    ...     image = open_image(path)
    ...     print(image.shape, image.dtype, image.chunks)
    (3, 300, 400) uint8 (256, 256)
    """
    check_missing_chunks(missing_chunks)
    if channel_axis not in get_args(ChannelAxis):
        raise ArgumentError(f"channel_axis is one of 'c', 'z', 't'; received {channel_axis!r}.")
    name = os.path.join(os.getcwd(), path)  # noqa: PTH109, PTH118 - per tile: 1 µs
    known = READERS.get((name, missing_chunks, channel_axis))
    if known is not None and None not in known[1] and stamps(known[0].files) == known[1]:
        return known[0]
    with telling_unopened(name, expected="an image"):
        reader = _format_of(Path(name))[1].reader(Path(name), missing_chunks=missing_chunks, channel_axis=channel_axis)
    for old, _ in READERS.put((name, missing_chunks, channel_axis), (reader, stamps(reader.files))):
        old.close()
    return reader


def open_levels(
    path: str | Path, *, missing_chunks: MissingChunks = "error", channel_axis: ChannelAxis = "c"
) -> tuple[ImageReader, ...]:
    """Open an image in every resolution that its file holds, the finest first.

    Parameters
    ----------
    path, missing_chunks, channel_axis
        As for :func:`open_image`.

    Raises
    ------
    ImageNotFoundError, FileFormatError, ArgumentError
        As for :func:`open_image`.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from spora_db.images import write_omezarr
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_omezarr(Path(folder) / "a.ome.zarr", np.zeros((3, 300, 400), np.uint8), mpp=0.5)
    ...     [level.shape for level in open_levels(path)]
    [(3, 300, 400)]
    """
    finest = open_image(path, missing_chunks=missing_chunks, channel_axis=channel_axis)
    open_level = _format_of(finest.path)[1].level
    count = getattr(finest, "levels", 1)
    if open_level is None or count == 1:
        return (finest,)
    coarser = (
        open_level(finest.path, missing_chunks=missing_chunks, channel_axis=channel_axis, level=level)
        for level in range(1, count)
    )
    return (finest, *coarser)


def image_header(path: str | Path) -> ImageHeader:
    """Return format, channel count, height, width and dtype of an image without decoding a pixel.

    Raises
    ------
    ImageNotFoundError
        There is nothing at ``path``.
    FileFormatError
        It is not a readable image of (C, H, W).

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from spora_db.images import write_ometiff
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     image_header(write_ometiff(Path(folder) / "a.ome.tiff", np.zeros((3, 30, 40), np.uint16), mpp=0.5))
    ImageHeader(format='ome-tiff', channels=3, height=30, width=40, dtype=dtype('uint16'))
    """
    path = Path(path)
    with telling_unopened(path, expected="an image"):
        name, row = _format_of(path)
        if row.header is not None:
            return row.header(path)
        reader = row.reader(path, missing_chunks="error", channel_axis="c")
        return ImageHeader(name, *reader.shape, reader.dtype)


def close_images() -> None:
    """Close the files of all images of this process; readers open them again when asked for pixels."""
    for reader, _ in READERS.clear():
        reader.close()


def _format_of(path: Path) -> tuple[str, ImageFormat]:
    """Return the format of an image by its name, or by the files in it."""
    if (remote := mirror_of(path)) is not None:
        remote.prepare(path)
    for name, row in FORMATS.items():
        if row.holds(path):
            return name, row
    if not path.exists():
        raise ImageNotFoundError(f"There is no image at {path}. Check the path, or download the image.")
    called = ", or ".join(row.called for row in FORMATS.values())
    remedy = conversion(path) or "Convert it to one of these."
    raise FileFormatError(f"The image {path} is of no known kind. Expected {called}. {remedy}")
