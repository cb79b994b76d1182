"""What comes beside the images of a batch: their numbers, the masks of the same regions, the cells in them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from spora_db.arrays import AnyArray, Int32, Int64
from spora_db.errors import ArgumentError, SporaError
from spora_db.images.pieces import Regions
from spora_db.loading.read_rows import FieldColumns
from spora_db.plan import Plan
from spora_db.plan.mask_parts import cut
from spora_db.samples.image_plan import ImagePlan
from spora_db.samples.materialize import Materializer
from spora_db.selection.label import SAMPLE_FIELDS

PLACE = frozenset(("dataset", "modality", "mpp", "tissue_id", "tile_id", "cell_id", "row", "col"))
"""Fields of a sample that a query may select by their names: they say the same."""


def check_columns(plan: Plan, *, also: Sequence[str] = (), besides: str | None = None) -> None:
    """Refuse columns of cohorts that would take the place of what samples have by the same name.

    Parameters
    ----------
    plan
        The rows.
    also
        Further names that samples have, which no label may have either: of others `label` has seen to it.
    besides
        A column that is no field of samples.

    Raises
    ------
    ArgumentError
        For such a column.
    """
    for name in () if plan.labels is None else plan.labels.names:
        if name in also:
            raise ArgumentError(
                f"label({name!r}): bags have a field {name!r} of their own. Give the label another name, with name=."
            )
    for name in plan.columns.column_names:
        if name in (SAMPLE_FIELDS - PLACE).union(also) and name != besides:
            raise ArgumentError(
                f"select({name!r}): samples have a field {name!r} of their own. Give the column another name in SQL "
                "and ask with SporaQuery.from_sql, or leave it to df() and to_arrow()."
            )


def numbers(plan: Plan, rows: Int64) -> dict[str, Int64]:
    """Return what numbers samples in their tissue: ``tile_id``, and for cells ``cell_id`` (then ``tile_id`` is -1)."""
    own = plan.tile_id[rows].astype(np.int64)
    return {"tile_id": np.full_like(own, -1), "cell_id": own} if plan.unit == "cell" else {"tile_id": own}


def features_of(plan: Plan, rows: Int64) -> dict[str, list[dict[str, torch.Tensor]]]:
    """Return the field ``features`` of n rows: of each, a tensor by name, float16 or float32."""
    if plan.features is None:
        return {}
    tensors = {
        name: torch.from_numpy(values[rows])
        for name, values in zip(plan.features.names, plan.features.values, strict=True)
    }
    return {"features": [{name: values[at] for name, values in tensors.items()} for at in range(len(rows))]}


def beside(
    materializer: Materializer, sources: Sequence[ImagePlan], regions: Regions, rows: Int64, images: Int32,
    faults: dict[int, Exception],
) -> FieldColumns:  # fmt: skip
    """Return the fields ``masks`` and ``cells`` of the samples of a batch, as far as the plan has them.

    Parameters
    ----------
    materializer
        What opened the images.
    sources, regions
        The open images, and the regions of them.
    rows, images
        The row of each region in the plan, and its image's position among those of the plan.
    faults
        The regions that need none; takes the errors of those whose masks cannot be read, or whose cells do not fit.

    Returns
    -------
    dict of list
        A dict for each region, None where it has a fault. ``masks``: by kind a tensor of shape (height, width), bool
        for ``"tissue"``, int32 for all others; zero beyond the image's edge. ``cells``: tensors of shape (n,) by name,
        as `PlanCells.within` gives them, and ``categories``: by column the texts that its codes stand for.
    """
    plan = materializer.plan
    parts = {"masks": plan.masks, "cells": plan.cells}
    found: FieldColumns = {name: [None] * len(rows) for name, part in parts.items() if part is not None}
    for number, source in enumerate(sources if found or plan.unit == "cell" else ()):
        at = np.flatnonzero(regions.image == number)
        image, reader = int(images[at[0]]), source.reader
        faults |= {int(at[k]): error for k, error in materializer.misplaced(source, image, rows[at]).items()}
        own = [region for region in at.tolist() if region not in faults]
        masks: Mapping[str, AnyArray] = {}
        try:
            if plan.masks is not None:
                masks = plan.masks.of(image, lake=Path(plan.lake), shape=reader.shape[1:], image_path=reader.path)
        except (SporaError, OSError) as error:
            faults |= dict.fromkeys(own, error)
            continue
        for region in own:
            place = regions.at(region)
            if plan.masks is not None:
                found["masks"][region] = {kind: torch.from_numpy(cut(mask, **place)) for kind, mask in masks.items()}
            if plan.cells is not None:
                cells = plan.cells.within(image, **place)
                tensors = {name: torch.from_numpy(values) for name, values in cells.items()}
                found["cells"][region] = {**tensors, "categories": dict(plan.cells.texts)}
    return found
