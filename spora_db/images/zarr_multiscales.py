"""What OME-Zarr says of an image in several resolutions: which array is the finest, and the names of its axes."""

import math
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from spora_db.images.files import broken
from spora_db.images.zarr_roots import ome_of


def level_count(attributes: Mapping[str, Any]) -> int:
    """Return in how many resolutions a group holds its image.

    Examples
    --------
    >>> level_count({"multiscales": [{"datasets": [{"path": "0"}, {"path": "1"}]}]}), level_count({})
    (2, 1)
    """
    datasets = _first(ome_of(attributes).get("multiscales")).get("datasets")
    return len(datasets) if isinstance(datasets, list) and datasets else 1


def multiscale(path: Path, attributes: Mapping[str, Any], *, level: int = 0) -> tuple[str, tuple[str, ...] | None]:
    """Return the path of a level's array and its axis names; ``0`` without names where nothing is said."""
    multiscales = ome_of(attributes).get("multiscales")
    if multiscales is None:
        return "0", None
    first = _first(multiscales)
    datasets = first.get("datasets")
    inner = _first(datasets[level:] if isinstance(datasets, list) else None).get("path")
    if inner is None:
        raise broken(path, "its multiscales metadata is incomplete", expected=f"multiscales[0].datasets[{level}].path")
    _check_finest(path, datasets)
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


def dimension_names(metadata: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the names that Zarr v3 itself can give to dimensions, where they name rows and cols."""
    names = metadata.get("dimension_names")
    lower = tuple(str(name).lower() for name in names) if isinstance(names, list) else ()
    return lower if {"y", "x"} <= {*lower} else None


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
    listed = steps if isinstance(steps, list) else []
    scale = next((step["scale"] for step in listed if isinstance(step, dict) and "scale" in step), None)
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
