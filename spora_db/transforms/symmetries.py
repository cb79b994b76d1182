"""The eight symmetries of the square, and the four that keep the shape of an oblong."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from spora_db.errors import ArgumentError
from spora_db.loading.joining import Fields
from spora_db.loading.sample import Sample
from spora_db.transforms.acting import Generators, Samples, acting, generators, on_every_part, per_sample
from spora_db.transforms.batches import is_batch, parts_of
from spora_db.transforms.regions import check_one_region
from spora_db.transforms.square import after, turned, turned_points

FLIPS = (0, 2, 4, 6)
"""The symmetries without an odd number of quarter turns."""


def symmetry(samples: Samples, number: Any) -> Any:  # noqa: ANN401 - as `Samples`; a number, or numbers in any form
    """Return samples turned and mirrored: images, masks and the places of cells, in all modalities alike.

    Parameters
    ----------
    samples
        A sample, a list of samples, or a batch.
    number
        0 to 7: ``number % 4`` quarter turns, counterclockwise as those of ``numpy.rot90``, and from 4 on a mirror image
        from left to right afterwards. For several samples one for all, or one for each.

    Returns
    -------
    As `samples`
        ``row`` and ``col`` stay: they say which region of the tissue it is. ``symmetry`` says how it lies: 0 to 7, all
        that were applied together. Of the cells' columns only ``row`` and ``col`` turn: no angle, no axis, no other
        place.

    Raises
    ------
    ArgumentError
        If the number is none of these, or the modalities of a sample show different regions.

    Examples
    --------
    >>> import torch
    >>> sample = {"image": torch.tensor([[[1, 2, 3], [4, 5, 6]]])}
    >>> symmetry(sample, 4)["image"].tolist(), symmetry(sample, 1)["image"].shape
    ([[[3, 2, 1], [6, 5, 4]]], torch.Size([1, 3, 2]))
    """
    return acting(_symmetric, samples, partial(per_sample, number))


def random_symmetry(samples: Samples, rng: Generators) -> Any:  # noqa: ANN401 - as `Samples`
    """Return samples under one of the eight symmetries of the square each, all equally often; see `symmetry`.

    Parameters
    ----------
    samples
        A sample, a list of samples, or a batch of square images.
    rng
        Where it draws; see `spora_db.transforms`.

    Raises
    ------
    ArgumentError
        If the images of a batch are no squares, or the modalities of a sample show different regions.

    Examples
    --------
    >>> import numpy as np, torch
    >>> sample = {"image": torch.tensor([[[1, 2], [3, 4]]])}
    >>> random_symmetry(sample, np.random.default_rng(0))["symmetry"]
    6
    """
    if isinstance(samples, Mapping) and is_batch(samples):
        for part in parts_of(samples).values():
            height, width = part["image"].shape[-2:]
            if height != width:
                raise ArgumentError(
                    f"random_symmetry: quarter turns make {width} x {height} pixels of {height} x {width}, which do "
                    "not fit into one batch. Write random_flip, which keeps the shape."
                )
    return acting(lambda sample, own: _symmetric(sample, int(own.integers(8))), samples, partial(generators, rng))


def random_flip(samples: Samples, rng: Generators) -> Any:  # noqa: ANN401 - as `Samples`
    """Return samples mirrored from left to right, from top to bottom, both or neither, equally often; see `symmetry`.

    Parameters
    ----------
    samples
        A sample, a list of samples, or a batch; images of any shape.
    rng
        Where it draws; see `spora_db.transforms`.

    Examples
    --------
    >>> import numpy as np, torch
    >>> sample = {"image": torch.tensor([[[1, 2, 3]]])}
    >>> random_flip(sample, np.random.default_rng(0))["image"].tolist()
    [[[1, 2, 3]]]
    """
    return acting(lambda sample, own: _symmetric(sample, FLIPS[own.integers(4)]), samples, partial(generators, rng))


def _symmetric(sample: Fields, number: int) -> Sample:
    if not 0 <= number < 8:
        raise ArgumentError(f"symmetry(number={number}): expected 0 to 7, of the eight symmetries of the square.")
    check_one_region(sample, whole=True)
    return on_every_part(sample, partial(_turned, number=number))


def _turned(part: Fields, *, number: int) -> Fields:
    height, width = part["image"].shape[-2:]
    changed: dict[str, Any] = {"image": turned(part["image"], number)}
    if "masks" in part:
        changed["masks"] = {kind: turned(mask, number) for kind, mask in part["masks"].items()}
    if "cells" in part:
        cells = part["cells"]
        row, col = turned_points(cells["row"], cells["col"], number, height=height, width=width)
        changed["cells"] = {**cells, "row": row, "col": col}
    return {**part, **changed, "symmetry": after(int(part.get("symmetry", 0)), number)}
