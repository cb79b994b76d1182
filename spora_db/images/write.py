"""Writing OME-TIFF images as they are published; a file appears whole or not at all."""

import contextlib
import hashlib
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
    check_image(image, mpp=mpp, channel_names=channel_names)
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
    with atomic_path(path) as temporary, as_write_error(path):
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


def check_image(image: AnyArray, *, mpp: float, channel_names: Sequence[str] | None) -> None:
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


@contextlib.contextmanager
def as_write_error(path: Path) -> Iterator[None]:
    """Name the file when a library fails to write it."""
    try:
        yield
    except OSError:
        raise
    except (*READER_FAILURES, *FILE_FAILURES) as error:
        raise WriteError(
            f"Could not write {path}: {type(error).__name__}: {error}. Nothing half-written is left."
        ) from error
