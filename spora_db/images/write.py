"""Writing images as they are published; a file appears whole or not at all."""

import contextlib
import hashlib
import os
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from spora_db.arrays import AnyArray
from spora_db.errors import ArgumentError, WriteError
from spora_db.files.failures import FILE_FAILURES, READER_FAILURES
from spora_db.files.writing import atomic_path
from spora_db.images.tiff_tiles import zstd_tiles
from spora_db.images.zarr_layout import WRITTEN


def write_omezarr(
    path: str | Path,
    image: AnyArray,
    *,
    mpp: float,
    chunk: int = 256,
    shard: int = 1024,
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
    _check(image, mpp=mpp, channel_names=channel_names)
    if chunk < 1 or shard < chunk or shard % chunk:
        raise ArgumentError(f"A shard is a whole number of chunks; received chunk={chunk}, shard={shard}.")
    import zarr
    from zarr.codecs import BloscCodec, Crc32cCodec

    channels = image.shape[0]
    blosc = BloscCodec(cname="lz4", clevel=3, shuffle="bitshuffle", typesize=image.dtype.itemsize)
    if not overwrite and os.path.lexists(path):
        raise WriteError(f"{path} exists already. Pass overwrite=True to replace it, or choose another path.")
    with atomic_path(path) as folder, _as_write_error(path):
        # the shape twice, because the JSON that says it has no checksum: a changed digit would cut or pad the image
        attributes: dict[str, Any] = {"ome": _ome(path, mpp, channel_names), WRITTEN: {"shape": list(image.shape)}}
        group = zarr.open_group(folder, mode="w", zarr_format=3, attributes=attributes)
        array = group.create_array(
            "0",
            shape=image.shape,
            dtype=image.dtype.newbyteorder("="),
            chunks=(channels, chunk, chunk),
            shards=(channels, shard, shard),
            compressors=[blosc, Crc32cCodec()],
            dimension_names=["c", "y", "x"],
            config={"write_empty_chunks": True},
        )
        array[:] = image
    return path


def write_ometiff(
    path: str | Path,
    image: AnyArray,
    *,
    mpp: float,
    channel_names: Sequence[str] | None = None,
    tile: int = 256,
    compression: Literal["zstd", "deflate", "lzw", "none"] = "zstd",
    photometric: Literal["minisblack", "rgb"] = "minisblack",
) -> Path:
    """Write an image as a tiled OME-TIFF, one page per channel, or interleaved for ``photometric="rgb"``.

    The same image gives the same bytes. Tiles of ``zstd`` and ``deflate`` carry checksums, which every reader compares;
    ``lzw`` and ``none`` have none, and a TIFF has none over its directories.

    Parameters
    ----------
    path
        The file to write, ``<tissue_id>.ome.tiff``; an existing one is replaced.
    image
        Array of shape (C, H, W): whole numbers, floats or bool; 3 or 4 channels for ``rgb``.
    mpp
        Microns per pixel.
    channel_names
        One label per channel for viewers; spora-db itself names channels by ``channels.parquet``.
    tile
        Height and width of a TIFF tile in pixels, a multiple of 16.
    compression
        The codec; ``zstd`` and ``deflate`` undo a horizontal predictor for whole numbers.
    photometric
        ``minisblack`` for channels, ``rgb`` for a colour picture.

    Returns
    -------
    pathlib.Path
        ``path``.

    Raises
    ------
    ArgumentError
        The image is not (C, H, W), or an argument does not fit it.
    WriteError
        The file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from spora_db.images import open_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_ometiff(Path(folder) / "a.ome.tiff", np.ones((2, 70, 90), np.uint16), mpp=0.5)
    ...     open_image(path).shape
    (2, 70, 90)
    """
    path = Path(path)
    _check(image, mpp=mpp, channel_names=channel_names)
    if (image.dtype.itemsize == 8 and image.dtype.kind != "f") or image.dtype == np.float16:
        raise ArgumentError(f"OME-TIFF has no pixels of type {image.dtype}. Convert the image, or write OME-Zarr.")
    if tile < 16 or tile % 16:
        raise ArgumentError(f"A TIFF tile is a multiple of 16 pixels; received {tile}.")
    if photometric == "rgb" and image.shape[0] not in (3, 4):
        raise ArgumentError(f"An RGB image has 3 or 4 channels; received {image.shape[0]}.")
    import tifffile

    stored = np.dtype(np.uint8) if image.dtype == np.bool_ else image.dtype.newbyteorder("=")
    pixels = np.ascontiguousarray(image, dtype=stored)
    content = hashlib.blake2b(pixels.data, digest_size=16, key=str((pixels.shape, pixels.dtype.str, mpp)).encode()[:64])
    metadata: dict[str, Any] = {
        "axes": "YXS" if photometric == "rgb" else "CYX",
        "PhysicalSizeX": mpp,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": mpp,
        "PhysicalSizeYUnit": "µm",
        "UUID": str(uuid.UUID(bytes=content.digest())),
    }
    if channel_names is not None and photometric == "minisblack":
        metadata["Channel"] = {"Name": list(channel_names)}
    planes = np.moveaxis(pixels, 0, -1)[None] if photometric == "rgb" else pixels[..., None]
    shape = planes.shape[1:] if photometric == "rgb" else pixels.shape
    predictor = compression != "none" and stored.kind in "iu" and stored.itemsize <= 4
    with atomic_path(path) as temporary, _as_write_error(path):
        tifffile.imwrite(
            temporary,
            zstd_tiles(planes, tile=tile, predictor=predictor) if compression == "zstd" else planes.reshape(shape),
            shape=shape,
            dtype=stored,
            ome=True,
            bigtiff=pixels.nbytes > 2**31,
            photometric=photometric,
            planarconfig="contig" if photometric == "rgb" else None,
            tile=(tile, tile),
            compression=None if compression == "none" else compression,
            predictor=predictor,
            resolution=(1e4 / mpp, 1e4 / mpp),
            resolutionunit="CENTIMETER",
            metadata=metadata,
            maxworkers=1,
        )
    return path


def _check(image: AnyArray, *, mpp: float, channel_names: Sequence[str] | None) -> None:
    """Refuse what is no image."""
    if image.ndim != 3 or 0 in image.shape or image.dtype.kind not in "biuf" or image.dtype.itemsize > 8:
        raise ArgumentError(
            f"An image is an array (C, H, W) of whole numbers, floats or bool; received shape {image.shape}, "
            f"dtype {image.dtype}."
        )
    if not 0 < mpp < float("inf"):
        raise ArgumentError(f"mpp is a positive number of microns per pixel; received {mpp}.")
    if channel_names is not None and len(channel_names) != image.shape[0]:
        raise ArgumentError(f"The image has {image.shape[0]} channels; received {len(channel_names)} channel names.")


def _ome(path: Path, mpp: float, channel_names: Sequence[str] | None) -> dict[str, Any]:
    """Return the OME-Zarr 0.5 attributes."""
    space = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    scale = {"type": "scale", "scale": [1.0, float(mpp), float(mpp)]}
    ome: dict[str, Any] = {
        "version": "0.5",
        "multiscales": [
            {
                "name": path.name.split(".")[0],
                "axes": [{"name": "c", "type": "channel"}, *space],
                "datasets": [{"path": "0", "coordinateTransformations": [scale]}],
            }
        ],
    }
    if channel_names is not None:
        ome["omero"] = {"channels": [{"label": str(name)} for name in channel_names]}
    return ome


@contextlib.contextmanager
def _as_write_error(path: Path) -> Iterator[None]:
    """Name the file when a library fails to write it."""
    try:
        yield
    except OSError:
        raise
    except (*READER_FAILURES, *FILE_FAILURES) as error:
        raise WriteError(
            f"Could not write {path}: {type(error).__name__}: {error}. Nothing half-written is left."
        ) from error
