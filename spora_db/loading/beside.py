"""What comes beside the image of a sample: its number, the masks of the same region, the cells in it."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from spora_db.arrays import Int64
from spora_db.errors import ArgumentError
from spora_db.plan import Plan
from spora_db.samples.image_plan import ImagePlan
from spora_db.selection.label import SAMPLE_FIELDS

PLACE = frozenset(("dataset", "modality", "mpp", "tissue_id", "tile_id", "cell_id", "row", "col"))
"""Fields of a sample that a query may select by their names: they say the same."""


def check_columns(plan: Plan) -> None:
    """Refuse columns of cohorts that would take the place of what samples have by the same name.

    Raises
    ------
    ArgumentError
        For such a column.
    """
    for name in plan.columns.column_names:
        if name in SAMPLE_FIELDS - PLACE:
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


def beside(plan: Plan, source: ImagePlan, image: int, *, row: int, col: int, height: int, width: int) -> dict[str, Any]:
    """Return the fields ``masks`` and ``cells`` of a sample, as far as the plan has them.

    Parameters
    ----------
    plan
        The plan.
    source, image
        The open image, and its position among the images of the plan.
    row, col, height, width
        The sample's region, in pixels.

    Returns
    -------
    dict
        ``masks``: by kind a tensor of shape (height, width), bool for ``"tissue"``, int32 for all others; zero beyond
        the image's edge. ``cells``: tensors of shape (n,) by name, as `PlanCells.within` gives them, and
        ``categories``: by column the texts that its codes stand for.
    """
    found: dict[str, Any] = {}
    if plan.masks is not None:
        _, image_height, image_width = source.reader.shape
        masks = plan.masks.read(
            image,
            lake=Path(plan.lake),
            shape=(image_height, image_width),
            image_path=source.reader.path,
            row=row,
            col=col,
            height=height,
            width=width,
        )
        found["masks"] = {kind: torch.from_numpy(mask) for kind, mask in masks.items()}
    if plan.cells is not None:
        cells = plan.cells.within(image, row=row, col=col, height=height, width=width)
        found["cells"] = {name: torch.from_numpy(values) for name, values in cells.items()}
        found["cells"]["categories"] = dict(plan.cells.texts)
    return found
