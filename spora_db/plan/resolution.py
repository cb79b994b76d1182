"""Checks a selection against a lake and fills in what the lake alone decides; errors list what exists."""

from collections.abc import Callable

from spora_db.catalog import Catalog
from spora_db.plan.cell_places import with_awaited_places
from spora_db.plan.undelivered import with_undelivered
from spora_db.selection import Selection
from spora_db.selection.cells_and_masks import check_cells, check_masks, with_cells
from spora_db.selection.conditions import check_columns, lend_joined, with_columns, with_conditions
from spora_db.selection.features import check_features, with_feature_rows, with_grains
from spora_db.selection.group_checks import check_patients, check_split
from spora_db.selection.labels import with_labels
from spora_db.selection.marker_names import check_macros, use_naming, with_markers
from spora_db.selection.modalities import with_modalities
from spora_db.selection.own_rows import with_named_cells, with_own_rows
from spora_db.selection.quotas import with_known_quota
from spora_db.selection.resolved import Resolved
from spora_db.selection.splits import check_splits, with_groups
from spora_db.selection.standardizations import check_standardization, with_standardization
from spora_db.selection.tilings import with_resolution, with_tiling
from spora_db.selection.windows import with_windows

STEPS: tuple[Callable[[Resolved, Catalog], Resolved | None], ...] = (
    use_naming,
    with_grains,
    with_named_cells,
    lend_joined,
    with_own_rows,
    with_feature_rows,
    with_modalities,
    with_tiling,
    with_resolution,
    with_windows,
    with_standardization,
    with_cells,
    with_columns,
    check_columns,
    with_conditions,
    with_labels,
    check_splits,
    with_markers,
    check_macros,
    check_standardization,
    with_undelivered,
    check_masks,
    check_features,
    check_cells,
    with_groups,
    with_awaited_places,
    check_split,
    check_patients,
    with_known_quota,
)
"""In this order: ``with_...`` returns the query with something filled in, ``check_...`` refuses it or returns None.

A step may read what those before it have filled in; the first error is the one that users see.
"""


def resolve(selection: Selection, catalog: Catalog) -> Resolved:
    """Return the selection with modality, mpp and tile size known, and its conditions as checked trees.

    Raises
    ------
    UnknownNameError
        For a modality, resolution, split, column, channel or spec that the lake does not have.
    QueryError
        If there is no such tiling, a choice that was left open is not unique, or a condition is refused.
    TableError
        If selected rows cannot be divided or capped by their patient: it is not known, or is in several splits.
    """
    resolved = Resolved(selection=selection)
    for step in STEPS:
        resolved = step(resolved, catalog) or resolved
    return resolved
