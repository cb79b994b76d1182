"""What the metadata of an OME-Zarr store says, read once per image: where its array is, how chunks are encoded."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spora_db.arrays import AnyArray
from spora_db.errors import ImageNotFoundError
from spora_db.files.stores.remote_files import again
from spora_db.images.axes import Axes, default_names, place_axes
from spora_db.images.base import ChannelAxis
from spora_db.images.files import broken, describe
from spora_db.images.partial import NOTE, empty_chunks
from spora_db.images.pixels import deliver
from spora_db.images.zarr_encoding import Encoding, read_v2, read_v3
from spora_db.images.zarr_json import load_json, sizes
from spora_db.images.zarr_multiscales import dimension_names, level_count, multiscale
from spora_db.images.zarr_roots import attributes_of, image_group

CHUNK_LIMIT = 4 * 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class ZarrLayout:
    """Everything needed to find and decode a chunk of one array.

    Attributes
    ----------
    folder
        The array's own folder.
    shape
        The array as stored, in its own axis order.
    axes
        Which of those axes are channel, row and col.
    encoding
        Chunk shapes, file names and codecs.
    files
        The metadata files this was read from.
    levels
        In how many resolutions the store holds the image.
    empty
        Of a copy of some chunks only, the files of chunks that the original lacks too, relative to the image; None for
        a whole image.
    """

    folder: Path
    shape: tuple[int, ...]
    axes: Axes
    encoding: Encoding
    files: tuple[Path, ...]
    levels: int = 1
    empty: frozenset[str] | None = None

    @property
    def attributes_file(self) -> Path:
        """The document that has the image's attributes, or should have."""
        found = self.files[-2]
        return found if found.name in ("zarr.json", ".zattrs") else found.with_name(".zattrs")

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width in pixels."""
        channel = self.axes.channel
        return (1 if channel is None else self.shape[channel], self.shape[self.axes.row], self.shape[self.axes.col])

    def along_axes(self, place: Sequence[int]) -> list[int]:
        """Return coordinates (channel, row, col) along the array's own axes; 0 along those of one element."""
        along = dict(zip(self.axes, place, strict=True))
        return [along.get(axis, 0) for axis in range(len(self.shape))]

    def planes(self, stored: AnyArray) -> AnyArray:
        """View a piece of the array as (planes, rows, cols), in the type that is delivered."""
        kept = [axis for axis in self.axes if axis is not None]
        others = [axis for axis in range(stored.ndim) if axis not in kept]
        image = stored.transpose(others + kept)[(0,) * len(others)]
        return deliver(image if self.axes.channel is not None else image[None])

    @property
    def fill(self) -> AnyArray:
        """The value of chunks that are left out, in the type that is delivered."""
        return deliver(np.asarray(self.encoding.fill))


def read_layout(path: Path, *, channel_axis: ChannelAxis = "c", level: int = 0) -> ZarrLayout:
    """Read the metadata of the OME-Zarr store at ``path``: its first multiscale image at full resolution, or a `level`.

    Raises
    ------
    ImageNotFoundError
        There is nothing at ``path``, or its array's metadata is absent.
    FileFormatError
        The metadata is not that of an image with channels, rows and cols.
    """
    if not path.is_dir():
        if path.exists():
            with path.open("rb") as file:
                raise broken(path, f"{describe(file.read(64))}", expected="the folder of an OME-Zarr store")
        raise ImageNotFoundError(f"There is no image at {path}. Check the path, or download the image.")
    found = attributes_of(path)
    if found is None:
        raise broken(path, f"it has no metadata file ({_listing(path)})", expected="zarr.json, or .zgroup and .zattrs")
    attributes, files, is_array = found
    folder, names, levels = path, None, 1
    if not is_array:
        image = image_group(path, attributes)
        if image:
            attributes, more, _ = attributes_of(path / image) or ({}, (), False)
            files += more
        levels = level_count(attributes)
        inner, names = multiscale(path / image, attributes, level=level)
        folder = path / image / inner
    document = next((folder / name for name in ("zarr.json", ".zarray") if (folder / name).is_file()), None)
    if document is None:
        inner = folder.relative_to(path).as_posix()
        raise ImageNotFoundError(
            f"The image {path} has no array at {inner!r}: neither {inner}/zarr.json nor {inner}/.zarray exists "
            f"({_listing(path)}). It may have been copied in part. {again(path)}"
        )
    metadata = load_json(document)
    shape = sizes(metadata, "shape", document)
    if not level:
        _check_written(attributes, shape, document)
    if names is None:
        names = dimension_names(metadata) or tuple(default_names(len(shape), path))
    axes = place_axes(names, shape, path, channel_axis=channel_axis)
    if 0 in shape:
        raise broken(document, f"the array has the shape {shape}", expected="at least one pixel in every direction")
    reading = read_v3 if document.name == "zarr.json" else read_v2
    encoding = reading(metadata, shape, document)
    if math.prod(shape) * encoding.dtype.itemsize >= 2**63:
        raise broken(document, f"the array has the shape {shape}", expected="fewer bytes than a file may have")
    chunk_bytes = math.prod(encoding.chunk) * encoding.dtype.itemsize
    if chunk_bytes > CHUNK_LIMIT:
        raise broken(
            document,
            f"one chunk {encoding.chunk} of {encoding.dtype} takes {chunk_bytes:,} bytes",
            expected=f"at most {CHUNK_LIMIT:,}",
            remedy="Write it again in smaller chunks.",
        )
    return ZarrLayout(
        folder=folder, shape=shape, axes=axes, encoding=encoding, files=(*files, document), levels=levels,
        empty=empty_chunks(attributes, files[-1]),
    )  # fmt: skip


def _check_written(attributes: Mapping[str, Any], shape: tuple[int, ...], document: Path) -> None:
    """Compare an array's shape with the one that spora-db noted in its group when it wrote it."""
    written = attributes.get(NOTE)
    noted = written.get("shape") if isinstance(written, dict) else None
    if isinstance(noted, list) and tuple(noted) != shape:
        raise broken(
            document,
            f"its shape is {shape}, but its group notes that {tuple(noted)} was written",
            expected="the same shape in both",
            remedy=f"{again(document)} Or, if it was resized on purpose, remove {NOTE!r} from the group.",
        )


def _listing(path: Path) -> str:
    """Say what a folder holds."""
    names = sorted(child.name for child in path.iterdir())
    return "it holds " + (", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "nothing")
