"""Images of any size on their way into a dataset: piece by piece, at the resolution that is wanted."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Lock

import numpy as np

from spora_db.arrays import Bools
from spora_db.errors import ArgumentError
from spora_db.images import open_image, open_levels, write_ometiff
from spora_db.images.base import ImageReader, MissingChunks
from spora_db.images.resampling import PixelSource, Planes, at_resolution
from spora_db.images.write_zarr import LARGE, write_pyramid
from spora_db.importing.fields import Field
from spora_db.importing.file_facts import FileFacts, file_facts
from spora_db.importing.options import SourceMpp, TissueMaskChoice
from spora_db.importing.resolution import source_resolution
from spora_db.importing.tissue_masks import COARSE, tissue_mask
from spora_db.masks.writing import write_mask

_ONE_LARGE = Lock()
"""Held while an image is written that is larger than `LARGE`: its own pieces keep all processors at work."""
MOST_HELD = 2**31
"""Bytes of the largest image that is written as OME-TIFF, which is written from memory."""
_BAND_BYTES = 2**20
"""Bytes of a mask that are deflated at once, at most: a row at a time, half the time goes into calls."""


def image_source(
    field: Field,
    pages: tuple[int, ...],
    *,
    mpp: float,
    source_mpp: SourceMpp = None,
    missing_chunks: MissingChunks = "error",
) -> PixelSource:
    """Return the chosen pages of a field at a resolution.

    Parameters
    ----------
    field, pages
        The image, and which planes of it.
    mpp
        Microns per pixel that are wanted.
    source_mpp
        Those of the files: a number, or ``"file"`` for what each says itself; None where they are as wanted.
    missing_chunks
        What absent chunks are.

    Raises
    ------
    FileFormatError
        A file does not say its resolution, or its pixels are not square.
    ArgumentError
        An image is coarser than wanted.
    """
    levels = [Planes(parts=tuple(parts)) for parts in zip(*_levels(field, pages, missing_chunks), strict=True)]
    if source_mpp is None:
        return levels[0]
    fact = FileFacts() if field.file is None else file_facts(field.file)
    found = source_resolution(field, fact, source_mpp=source_mpp)
    try:
        return at_resolution(levels, mpp=found, wanted=mpp)
    except ArgumentError as error:
        raise ArgumentError(f"{field.origin}: {error}") from error


def written_size(field: Field, *, mpp: float, source_mpp: SourceMpp) -> Field:
    """Return a field of the size in which it is going to be written.

    Raises
    ------
    FileFormatError, ArgumentError
        As :func:`image_source`.
    """
    if source_mpp is None:
        return field
    _, height, width = image_source(field, (0,), mpp=mpp, source_mpp=source_mpp).shape
    return replace(field, height=height, width=width)


def _levels(
    field: Field, pages: tuple[int, ...], missing_chunks: MissingChunks
) -> list[list[tuple[ImageReader, tuple[int, ...]]]]:
    """Return for each file of a field its levels, each with the pages that are taken of it."""
    if field.file is not None:
        levels = open_levels(field.file, missing_chunks=missing_chunks, channel_axis=field.channel_axis)
        count = levels[0].shape[0]
        return [[(level, pages) for level in levels if level.shape[0] == count]]
    return [[(open_image(field.pages[page].file, missing_chunks=missing_chunks), (0,))] for page in pages]


def write_image(
    path: Path,
    source: PixelSource,
    *,
    mpp: float,
    names: tuple[str, ...],
    is_rgb: bool,
    wrote: Callable[[int], object] | None = None,
) -> None:
    """Write an image: as OME-Zarr, of any size, or as OME-TIFF, from memory, as its suffix says.

    Raises
    ------
    ArgumentError
        An OME-TIFF would be larger than 2 GB.
    """
    size = int(np.prod(source.shape)) * source.dtype.itemsize
    if path.name.endswith(".zarr"):
        if size <= LARGE:
            write_pyramid(path, source, mpp=mpp, channel_names=names, wrote=wrote)
            return
        with _ONE_LARGE:
            write_pyramid(path, source, mpp=mpp, channel_names=names, wrote=wrote)
        return
    if size > MOST_HELD:
        raise ArgumentError(
            f"The image {path.name} has {size / 1e9:.1f} GB of pixels; OME-TIFF is written from memory, up to "
            f"{MOST_HELD / 1e9:.1f} GB. Use images 'zarr', which are written piece by piece."
        )
    pixels = source.read(0, 0, *source.shape[1:])
    write_ometiff(
        path,
        pixels,
        mpp=mpp,
        channel_names=None if is_rgb else names,
        photometric="rgb" if is_rgb else "minisblack",
    )
    if wrote is not None:
        wrote(pixels.shape[1] * pixels.shape[2])


def all_planes(path: Path) -> list[PixelSource]:
    """Return all planes of an image in each of its resolutions."""
    levels = open_levels(path)
    return [Planes(parts=((level, tuple(range(level.shape[0]))),)) for level in levels]


def made_mask(levels: list[PixelSource], *, method: TissueMaskChoice, mpp: float, is_rgb: bool) -> tuple[Bools, float]:
    """Return a tissue mask made from an image in several resolutions, and how many pixels one of the mask is wide."""
    coarse = mpp if method in ("otsu", "full") else max(mpp, COARSE[is_rgb])
    source = at_resolution(levels, mpp=mpp, wanted=coarse)
    if method == "full":
        return np.ones((1, 1), bool), float(max(source.shape[1:]))
    planes = (source.only(plane).read(0, 0, *source.shape[1:])[0] for plane in range(source.shape[0]))
    return tissue_mask(planes, method=method, mpp=coarse, is_rgb=is_rgb), coarse / mpp


def write_enlarged(path: Path, mask: Bools, *, factor: float, height: int, width: int) -> None:
    """Write a mask as ``.npz``, of which each pixel stands for ``factor`` x ``factor``, some rows at a time.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_enlarged(Path(folder) / "a.npz", np.array([[1, 0]], bool), factor=2.0, height=2, width=3)
    ...     np.load(Path(folder) / "a.npz")["mask"].astype(int).tolist()
    [[1, 1, 0], [1, 1, 0]]
    """
    rows, cols = (
        np.minimum(((np.arange(size) + 0.5) / factor).astype(np.int64), count - 1)
        for size, count in zip((height, width), mask.shape, strict=True)
    )
    alike, times = np.unique(rows, return_counts=True)
    most = max(1, _BAND_BYTES // width)
    bands = (
        np.repeat(mask[row : row + 1, cols], min(most, count - start), axis=0)
        for row, count in zip(alike, times, strict=True)
        for start in range(0, count, most)
    )
    write_mask(path, bands, shape=(height, width), dtype=mask.dtype)
