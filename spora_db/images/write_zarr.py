"""Writing OME-Zarr images as they are published, from memory or piece by piece; a store appears whole or not at all."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spora_db.arrays import AnyArray
from spora_db.errors import ArgumentError, WriteError
from spora_db.files.writing import atomic_path
from spora_db.images.omezarr import OmeZarrReader
from spora_db.images.partial import NOTE
from spora_db.images.resampling import Coarser, Held, PixelSource, Planes
from spora_db.images.write import as_write_error, check_image
from spora_db.images.zarr_writing import halves, write_shards

CHUNK, SHARD = 256, 1024
LARGE = 2**28
"""Bytes from which an image is not held in memory at once."""
SHARD_BYTES = 2**24
"""Bytes of a shard of a large image, about: each thread holds one of every level that it writes."""
PIECES = 16
"""Of levels with fewer shards none is written along with finer ones, but for the second: threads would wait."""
COARSEST = 1024
"""Pixels of height and width at which a pyramid ends."""


def write_omezarr(
    path: str | Path,
    image: AnyArray,
    *,
    mpp: float,
    chunk: int = CHUNK,
    shard: int = SHARD,
    channel_names: Sequence[str] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write an image as OME-Zarr 0.5 in the published encoding.

    Zarr v3, one array ``0`` with axes c, y, x; shards of all channels and ``shard`` x ``shard`` pixels, chunks of all
    channels and ``chunk`` x ``chunk`` pixels; blosc-lz4 with bit shuffle. Every chunk and every shard's index carries
    a crc32c checksum, which reading compares. Empty chunks are written too, so that an absent file always means a
    partial copy.

    Parameters
    ----------
    path
        The folder to write, ``<tissue_id>.ome.zarr``.
    image
        Array of shape (C, H, W): whole numbers, floats or bool.
    mpp
        Microns per pixel.
    chunk, shard
        Pixels; ``shard`` is a multiple of ``chunk``.
    channel_names
        One label per channel for viewers; spora-db itself names channels by ``channels.parquet``.
    overwrite
        Replace an existing image, in one step, once the new one is complete.

    Returns
    -------
    pathlib.Path
        ``path``.

    Raises
    ------
    ArgumentError
        The image is not (C, H, W), or an argument does not fit it.
    WriteError
        Something exists at ``path``, or it cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from spora_db.images import image_header
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_omezarr(Path(folder) / "a.ome.zarr", np.ones((2, 70, 90), np.float32), mpp=1.0)
    ...     print(image_header(path)[:4], sorted(file.name for file in (path / "0/c/0/0").iterdir()))
    ('ome-zarr', 2, 70, 90) ['0']
    """
    path = Path(path)
    check_image(image, mpp=mpp, channel_names=channel_names)
    if chunk < 1 or shard < chunk or shard % chunk:
        raise ArgumentError(f"A shard is a whole number of chunks; received chunk={chunk}, shard={shard}.")
    ome = _ome(path, mpp, channel_names, levels=1)
    _write(path, Held(image=image), ome, sizes=[image.shape[1:]], chunk=chunk, shard=shard, overwrite=overwrite)
    return path


def write_pyramid(
    path: Path,
    source: PixelSource,
    *,
    mpp: float,
    channel_names: Sequence[str] | None = None,
    wrote: Callable[[int], object] | None = None,
) -> Path:
    """Write an image of any size as OME-Zarr, piece by piece, with levels of half the resolution down to 1024 pixels.

    The encoding is that of :func:`write_omezarr`; shards are smaller where many channels would make them large. A
    level is the mean of 2 x 2 pixels of the one before, as written, rounded as :class:`Coarser` says.

    Parameters
    ----------
    path
        The folder to write.
    source
        What gives the pixels; :class:`Coarser` makes them coarser on the way.
    mpp
        Microns per pixel of the source.
    channel_names
        One label per channel for viewers.
    wrote
        Called with the number of pixels of every piece that is written, of all levels.

    Raises
    ------
    WriteError
        Something exists at ``path``, or it cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from spora_db.images import open_levels
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     wide = Held(image=np.ones((1, 50, 2500), np.uint8))
    ...     path = write_pyramid(Path(folder) / "a.ome.zarr", wide, mpp=0.25)
    ...     [level.shape for level in open_levels(path)]
    [(1, 50, 2500), (1, 25, 1250), (1, 13, 625)]
    """
    sizes, shard = level_sizes(*source.shape[1:]), _shard_of(source.shape, source.dtype)
    ome = _ome(path, mpp, channel_names, levels=len(sizes))
    _write(path, source, ome, sizes=sizes, chunk=CHUNK, shard=shard, wrote=wrote)
    return path


def level_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Return height and width of the levels of a pyramid: each half of the one before, odd sizes rounded up.

    Examples
    --------
    >>> level_sizes(3001, 1500)
    [(3001, 1500), (1501, 750), (751, 375)]
    """
    further = max(0, math.ceil(math.log2(max(height, width) / COARSEST)))
    return halves(height, width, count=1 + further)


def piece_count(shape: tuple[int, int, int], dtype: np.dtype[Any]) -> int:
    """Return in how many pieces :func:`write_pyramid` writes an image of a shape and type, all levels together.

    Examples
    --------
    >>> piece_count((3, 1500, 1000), np.dtype(np.uint8))
    3
    """
    side = _shard_of(shape, dtype)
    return sum(-(-height // side) * -(-width // side) for height, width in level_sizes(*shape[1:]))


def _shard_of(shape: tuple[int, int, int], dtype: np.dtype[Any]) -> int:
    """Return the height and width of the shards of an image that is written piece by piece."""
    planes, height, width = shape
    pixel = planes * dtype.itemsize
    if height * width * pixel <= LARGE:
        return SHARD
    return next((side for side in (SHARD, SHARD // 2) if side * side * pixel <= SHARD_BYTES), CHUNK)


def _write(
    path: Path,
    source: PixelSource,
    ome: Mapping[str, Any],
    *,
    sizes: Sequence[tuple[int, ...]],
    chunk: int,
    shard: int,
    overwrite: bool = False,
    wrote: Callable[[int], object] | None = None,
) -> None:
    """Write the levels of an image, some at a time: the first of them from the level before, others along with it."""
    if not overwrite and os.path.lexists(path):
        raise WriteError(f"{path} exists already. Pass overwrite=True to replace it, or choose another path.")
    planes, dtype = source.shape[0], source.dtype
    with atomic_path(path) as folder, as_write_error(path):
        _describe(folder, source, ome, sizes=sizes, chunk=chunk, shard=shard)
        level = 0
        while level < len(sizes):
            if level:
                before = OmeZarrReader(folder, level=level - 1)
                source = Coarser(source=Planes(parts=((before, tuple(range(planes))),)), factor=2.0)
            pieces = [-(-height // shard) * -(-width // shard) for height, width in sizes[level:]]
            count = max(2, sum(number >= PIECES for number in pieces))
            folders = [folder / str(at) for at in range(level, min(level + count, len(sizes)))]
            write_shards(folders, source, dtype=dtype, chunk=chunk, shard=shard, wrote=wrote)
            level += count


def _describe(
    folder: Path,
    source: PixelSource,
    ome: Mapping[str, Any],
    *,
    sizes: Sequence[tuple[int, ...]],
    chunk: int,
    shard: int,
) -> None:
    """Write the metadata of all levels."""
    import zarr
    from zarr.codecs import BloscCodec, Crc32cCodec

    planes = source.shape[0]
    # the shape twice, because the JSON that says it has no checksum: a changed digit would cut or pad the image
    attributes: dict[str, Any] = {"ome": ome, NOTE: {"shape": list(source.shape)}}
    group = zarr.open_group(folder, mode="w", zarr_format=3, attributes=attributes)
    blosc = BloscCodec(cname="lz4", clevel=3, shuffle="bitshuffle", typesize=source.dtype.itemsize)
    for level, size in enumerate(sizes):
        group.create_array(
            str(level),
            shape=(planes, *size),
            dtype=source.dtype.newbyteorder("="),
            chunks=(planes, chunk, chunk),
            shards=(planes, shard, shard),
            compressors=[blosc, Crc32cCodec()],
            dimension_names=["c", "y", "x"],
            config={"write_empty_chunks": True},
        )


def _ome(path: Path, mpp: float, channel_names: Sequence[str] | None, *, levels: int) -> dict[str, Any]:
    """Return the OME-Zarr 0.5 attributes."""
    space = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    scales = [float(mpp) * 2**level for level in range(levels)]
    ome: dict[str, Any] = {
        "version": "0.5",
        "multiscales": [
            {
                "name": path.name.split(".")[0],
                "axes": [{"name": "c", "type": "channel"}, *space],
                "datasets": [
                    {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": [1.0, scale, scale]}]}
                    for level, scale in enumerate(scales)
                ],
            }
        ],
    }
    if channel_names is not None:
        ome["omero"] = {"channels": [{"label": str(name)} for name in channel_names]}
    return ome
