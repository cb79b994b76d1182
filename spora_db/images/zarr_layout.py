"""What the metadata of an OME-Zarr store says, read once per image: where its array is, how chunks are encoded."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from spora_db.arrays import AnyArray
from spora_db.errors import ImageNotFoundError
from spora_db.images.axes import Axes, default_names, place_axes
from spora_db.images.base import ChannelAxis
from spora_db.images.files import broken, describe
from spora_db.images.pixels import deliver
from spora_db.images.zarr_encoding import Encoding, read_v2, read_v3
from spora_db.images.zarr_json import load_json, sizes
from spora_db.images.zarr_roots import attributes_of, image_group, ome_of

CHUNK_LIMIT = 4 * 2**30
WRITTEN = "spora_db"
"""The attribute of a group in which `write_omezarr` notes what it wrote."""


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
    """

    folder: Path
    shape: tuple[int, ...]
    axes: Axes
    encoding: Encoding
    files: tuple[Path, ...]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width in pixels."""
        channel = self.axes.channel
        return (1 if channel is None else self.shape[channel], self.shape[self.axes.row], self.shape[self.axes.col])

    def along_axes(self, place: Sequence[int]) -> list[int]:
        """Return coordinates (channel, row, col) along the array's own axes; 0 along those of one element."""
        coordinates = [0] * len(self.shape)
        for axis, coordinate in zip((self.axes.channel, self.axes.row, self.axes.col), place, strict=True):
            if axis is not None:
                coordinates[axis] = coordinate
        return coordinates

    def planes(self, stored: AnyArray) -> AnyArray:
        """View a piece of the array as (planes, rows, cols), in the type that is delivered."""
        kept = [axis for axis in (self.axes.channel, self.axes.row, self.axes.col) if axis is not None]
        others = [axis for axis in range(stored.ndim) if axis not in kept]
        image = stored.transpose(others + kept)[(0,) * len(others)]
        return deliver(image if self.axes.channel is not None else image[None])

    @property
    def fill(self) -> AnyArray:
        """The value of chunks that are left out, in the type that is delivered."""
        return deliver(np.asarray(self.encoding.fill))


def read_layout(path: Path, *, channel_axis: ChannelAxis = "c") -> ZarrLayout:
    """Read the metadata of the OME-Zarr store at ``path``: its first multiscale image at full resolution.

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
    attributes, files = found
    inner, names = "", None
    if not _is_array(files[0]):
        image = image_group(path, attributes)
        if image:
            attributes, more = attributes_of(path / image) or ({}, ())
            files += more
        inner, names = _multiscale(path / image, attributes)
        inner = str(PurePosixPath(image, inner))
    folder = path / inner if inner else path
    document = next((folder / name for name in ("zarr.json", ".zarray") if (folder / name).is_file()), None)
    if document is None:
        raise ImageNotFoundError(
            f"The image {path} has no array at {inner!r}: neither {inner}/zarr.json nor {inner}/.zarray exists "
            f"({_listing(path)}). It may have been downloaded in part: copy or download it again."
        )
    metadata = load_json(document)
    shape = sizes(metadata, "shape", document)
    _check_written(attributes, shape, document)
    if names is None:
        names = _dimension_names(metadata) or tuple(default_names(len(shape), path))
    axes = place_axes(names, shape, path, channel_axis=channel_axis)
    if 0 in shape:
        raise broken(document, f"the array has the shape {shape}", expected="at least one pixel in every direction")
    reading = read_v3 if document.name == "zarr.json" else read_v2
    encoding = reading(metadata, shape, document)
    chunk_bytes = math.prod(encoding.chunk) * encoding.dtype.itemsize
    if chunk_bytes > CHUNK_LIMIT:
        raise broken(
            document,
            f"one chunk {encoding.chunk} of {encoding.dtype} takes {chunk_bytes:,} bytes",
            expected=f"at most {CHUNK_LIMIT:,}",
            remedy="Write it again in smaller chunks.",
        )
    return ZarrLayout(folder=folder, shape=shape, axes=axes, encoding=encoding, files=(*files, document))


def _check_written(attributes: Mapping[str, Any], shape: tuple[int, ...], document: Path) -> None:
    """Compare an array's shape with the one that spora-db noted in its group when it wrote it."""
    written = attributes.get(WRITTEN)
    noted = written.get("shape") if isinstance(written, dict) else None
    if isinstance(noted, list) and tuple(noted) != shape:
        raise broken(
            document,
            f"its shape is {shape}, but its group notes that {tuple(noted)} was written",
            expected="the same shape in both",
            remedy=f"Copy or download it again; if it was resized on purpose, remove {WRITTEN!r} from the group.",
        )


def _is_array(document: Path) -> bool:
    """Say whether a metadata file is that of an array, not of a group."""
    return document.name == ".zarray" or (
        document.name == "zarr.json" and load_json(document).get("node_type") == "array"
    )


def _multiscale(path: Path, attributes: Mapping[str, Any]) -> tuple[str, tuple[str, ...] | None]:
    """Return the array's path in its group and its axis names; array ``0`` without names where nothing is said."""
    multiscales = ome_of(attributes).get("multiscales")
    if multiscales is None:
        return "0", None
    first = _first(multiscales)
    inner = _first(first.get("datasets")).get("path")
    if inner is None:
        raise broken(path, "its multiscales metadata is incomplete", expected="multiscales[0].datasets[0].path")
    _check_finest(path, first.get("datasets"))
    named = first.get("axes")
    if named is None and str(first.get("version")) in ("0.1", "0.2"):
        named = list("tczyx")  # these versions fix the axes and do not write them
    if named is None and "coordinateSystems" in first:
        named = _first(first["coordinateSystems"]).get("axes", ())
    if not isinstance(named, list | None) or not all(map(_is_axis, named or ())):
        raise broken(path, f"the axes of its multiscales metadata are {named!r:.100}", expected="a list of named axes")
    names = None if named is None else tuple(_axis_name(axis) for axis in named)
    parts = PurePosixPath(inner).parts if isinstance(inner, str) else ("..",)
    if not parts or parts[0].startswith("/") or ".." in parts:
        raise broken(path, f"its multiscales metadata points to {inner!r}", expected="an array inside the store")
    return inner, names


def _check_finest(path: Path, levels: Any) -> None:  # noqa: ANN401 - any JSON value
    """Refuse levels of a pyramid whose scales say that the first is not that of full resolution."""
    scales = [_scale(level) for level in levels] if isinstance(levels, list) else []
    if scales and scales[0] and any(scale and scale < scales[0] for scale in scales[1:]):
        raise broken(
            path,
            f"the scales of its levels {', '.join(str(level.get('path')) for level in levels)} say that the first is "
            "not the finest",
            expected="levels from the finest to the coarsest",
            remedy="Correct 'datasets' in its multiscales metadata.",
        )


def _scale(level: Any) -> float | None:  # noqa: ANN401 - any JSON value
    """Return the size of a pixel of a level as its transformations give it, None where they give none."""
    steps = level.get("coordinateTransformations") if isinstance(level, dict) else None
    scale = next(
        (
            step.get("scale")
            for step in (steps if isinstance(steps, list) else ())
            if isinstance(step, dict) and "scale" in step
        ),
        None,
    )
    if not isinstance(scale, list) or not all(isinstance(number, int | float) for number in scale):
        return None
    return float(math.prod(scale))


def _first(value: Any) -> Mapping[str, Any]:  # noqa: ANN401 - any JSON value
    """Return the first object of a list of them, an empty one where there is none."""
    return value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else {}


def _is_axis(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    """Tell whether a value is a text, or an object with a name or the type of a channel."""
    return isinstance(value, str) or (isinstance(value, dict) and (value.get("type") == "channel" or "name" in value))


def _axis_name(axis: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return c, y, x, t, z, or the name an axis was given."""
    if isinstance(axis, str):
        return axis.lower()
    return "c" if axis.get("type") == "channel" else str(axis["name"]).lower()


def _dimension_names(metadata: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the names that Zarr v3 itself can give to dimensions, where they name rows and cols."""
    names = metadata.get("dimension_names")
    if not isinstance(names, list) or not {"y", "x"} <= {str(name).lower() for name in names}:
        return None
    return tuple(str(name).lower() for name in names)


def _listing(path: Path) -> str:
    """Say what a folder holds."""
    names = sorted(child.name for child in path.iterdir())
    return "it holds " + (", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "nothing")
