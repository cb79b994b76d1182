"""Regions cut out of samples: images, masks and cells, in all modalities at the same place."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from spora_db.errors import ArgumentError
from spora_db.loading.joining import Fields
from spora_db.loading.sample import Sample
from spora_db.transforms.acting import Generators, Samples, acting, generators, on_every_part, per_sample
from spora_db.transforms.regions import check_one_region
from spora_db.transforms.square import turned_points, turned_region, undone


def crop(samples: Samples, *, row: Any, col: Any, height: int, width: int) -> Any:  # noqa: ANN401 - as `Samples`; numbers
    """Return the region of samples that begins at a pixel.

    Parameters
    ----------
    samples
        A sample, a list of samples, or a batch.
    row, col
        The region's first pixel, counted in the sample as it lies. For several samples one for all, or one for each.
    height, width
        The region's size.

    Returns
    -------
    As `samples`
        ``image`` and ``masks`` of the region; of ``cells`` those whose centroid lies in it, their places counted from
        its corner; ``row`` and ``col`` shifted to where the region begins in the tissue, also after a `symmetry`.
        ``tile_id`` still numbers the whole tile.

    Raises
    ------
    ArgumentError
        If the region does not lie in the sample, or the modalities of a sample show different places.

    Examples
    --------
    >>> import torch
    >>> sample = {"image": torch.arange(12).view(1, 3, 4), "row": 100, "col": 200}
    >>> part = crop(sample, row=1, col=2, height=2, width=1)
    >>> part["image"].tolist(), part["row"], part["col"]
    ([[[6], [10]]], 101, 202)
    """

    def corners(count: int) -> list[tuple[int, int]]:
        return list(zip(per_sample(row, count), per_sample(col, count), strict=True))

    return acting(lambda sample, corner: _region(sample, corner, (height, width)), samples, corners)


@dataclass(frozen=True, slots=True)
class random_crop:
    """A region of fixed size anywhere in a sample, every place equally likely; see `crop`.

    Parameters
    ----------
    height, width
        The region's size; width as height, unless said.

    Raises
    ------
    ArgumentError
        If it is no size; when called, if a sample is smaller.

    Examples
    --------
    >>> import torch
    >>> sample = {"image": torch.arange(12).view(1, 3, 4)}
    >>> random_crop(2, 1)(sample, np.random.default_rng(0))["image"].tolist()
    [[[6], [10]]]
    """

    height: int
    width: int | None = None

    def __post_init__(self) -> None:
        """Refuse what is no size."""
        _size(self)

    def __call__(self, samples: Samples, rng: Generators) -> Any:  # noqa: ANN401 - as `Samples`
        """Return a region of each of the samples."""
        return acting(partial(_cropped, self, place=_anywhere), samples, partial(generators, rng))


@dataclass(frozen=True, slots=True)
class center_crop:
    """The region of fixed size in the middle of a sample; see `crop`.

    Parameters
    ----------
    height, width
        The region's size; width as height, unless said.

    Raises
    ------
    ArgumentError
        If it is no size; when called, if a sample is smaller.

    Examples
    --------
    >>> import torch
    >>> center_crop(1, 2)({"image": torch.arange(12).view(1, 3, 4)})["image"].tolist()
    [[[5, 6]]]
    """

    height: int
    width: int | None = None

    def __post_init__(self) -> None:
        """Refuse what is no size."""
        _size(self)

    def __call__(self, samples: Samples) -> Any:  # noqa: ANN401 - as `Samples`
        """Return the middle of each of the samples."""
        return acting(partial(_cropped, self, place=_middle), samples, lambda count: [None] * count)


def _size(made: random_crop | center_crop) -> tuple[int, int]:
    size: tuple[Any, Any] = made.height, made.height if made.width is None else made.width
    if not all(isinstance(length, int | np.integer) and length >= 1 for length in size):
        name = type(made).__name__
        raise ArgumentError(f"{name}({made.height!r}, {made.width!r}): expected a height and a width in pixels.")
    return size


def _anywhere(room: int, rng: np.random.Generator) -> int:
    return int(rng.integers(room + 1))


def _middle(room: int, rng: None) -> int:
    return room // 2


def _cropped(made: random_crop | center_crop, sample: Fields, rng: Any, *, place: Callable[[int, Any], int]) -> Sample:  # noqa: ANN401
    """Return the region of a sample whose corner `place` finds, given how many pixels there are to spare."""
    height, width = _size(made)
    whole = check_one_region(sample, whole=False)
    if height > whole[0] or width > whole[1]:
        raise ArgumentError(
            f"{type(made).__name__}: a sample of {whole[0]} x {whole[1]} pixels holds no region of {height} x {width}. "
            "Ask for larger tiles, or a smaller region."
        )
    corner = place(whole[0] - height, rng), place(whole[1] - width, rng)
    return _region(sample, corner, (height, width))


def _region(sample: Fields, corner: tuple[int, int], size: tuple[int, int]) -> Sample:
    whole = check_one_region(sample, whole=False)
    if any(
        first < 0 or length < 1 or first + length > end for first, length, end in zip(corner, size, whole, strict=True)
    ):
        raise ArgumentError(
            f"crop: the region of {size[0]} x {size[1]} pixels from row {corner[0]}, col {corner[1]} does not lie in a "
            f"sample of {whole[0]} x {whole[1]}."
        )
    return on_every_part(sample, partial(_cut, corner=corner, size=size))


def _cut(part: Fields, *, corner: tuple[int, int], size: tuple[int, int]) -> Fields:
    window = (..., slice(corner[0], corner[0] + size[0]), slice(corner[1], corner[1] + size[1]))
    height, width = part["image"].shape[-2:]
    back = undone(int(part.get("symmetry", 0)))
    row, col, own_height, own_width = turned_region(*corner, back, size=size, height=height, width=width)
    changed: dict[str, Any] = {"image": part["image"][window].contiguous()}
    changed |= {name: part[name] + first for name, first in (("row", row), ("col", col)) if name in part}
    if "masks" in part:
        changed["masks"] = {kind: mask[window].contiguous() for kind, mask in part["masks"].items()}
    if "cells" in part:
        cells = part["cells"]
        rows, cols = turned_points(cells["row"], cells["col"], back, height=height, width=width)
        kept = _within(rows, row, own_height) & _within(cols, col, own_width)
        cells = {name: values if name == "categories" else values[kept] for name, values in cells.items()}
        changed["cells"] = {**cells, "row": cells["row"] - corner[0], "col": cells["col"] - corner[1]}
    return {**part, **changed}


def _within(places: Any, first: int, length: int) -> Any:  # noqa: ANN401 - tensors
    """Tell which centroids lie in a region, as a plan does: those at an image's edge begin half a pixel before it."""
    return (places >= (first or -0.5)) & (places < first + length)
