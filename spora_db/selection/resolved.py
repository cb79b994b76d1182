"""A selection as far as it is checked against a lake: what the steps of `resolve` fill in, and compilation reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlglot import exp

from spora_db.selection.cells import IDENTITY as CELL_IDENTITY
from spora_db.selection.cells import CellTable
from spora_db.selection.joins import JoinedColumns
from spora_db.selection.markers import Markers
from spora_db.selection.values import Selection, Unit

TILE_IDENTITY = ("dataset", "modality", "mpp", "strategy", "tile_size", "tissue_id", "tile_id", "row", "col")
TISSUE_IDENTITY = ("dataset", "modality", "mpp", "tissue_id")
IDENTITIES: dict[Unit, tuple[str, ...]] = {"tile": TILE_IDENTITY, "tissue": TISSUE_IDENTITY, "cell": CELL_IDENTITY}


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A selection checked against a lake.

    Attributes
    ----------
    selection
        The selection with modality, resolution and tile size known.
    source
        The user's own SELECT of rows, if any.
    source_types
        The types of its columns, by name.
    cells
        Where cells come from, if they are the rows.
    joins
        The users' tables beside the rows.
    columns
        The columns of the rows: what conditions, `select` and `sample` may name.
    second_names
        The columns of tissues that are called as what rows say themselves, folded, with their names in `tissues`
        that are none of rows.
    predicates
        The conditions as checked trees.
    weight
        The sampling weight as a checked tree.
    markers
        The channels that the names of markers mean, if any are named.
    undelivered
        Keys of channels that tissues measured and the query asks for, but that their statistics drop.
    tissue_columns
        Columns that the user's rows lack and that `tissues` has: a patient to divide by.
    split_of_floats
        Whether the column that rows are divided by holds floating-point numbers.
    """

    selection: Selection
    source: exp.Query | None = None
    source_types: Mapping[str, str] = field(default_factory=dict)
    cells: CellTable | None = None
    joins: tuple[JoinedColumns, ...] = ()
    columns: tuple[str, ...] = ()
    second_names: Mapping[str, str] = field(default_factory=dict)
    predicates: tuple[exp.Expr, ...] = ()
    weight: exp.Expr | None = None
    markers: Markers | None = None
    undelivered: tuple[str, ...] = ()
    tissue_columns: tuple[str, ...] = ()
    split_of_floats: bool = False

    @property
    def source_columns(self) -> tuple[str, ...]:
        """The columns of the user's own rows."""
        return tuple(self.source_types)

    def asking(self, **changes: Any) -> "Resolved":  # noqa: ANN401 - the fields of a selection
        """Return the query with other values in its selection."""
        return replace(self, selection=replace(self.selection, **changes))


def identity_columns(selection: Selection) -> tuple[str, ...]:
    """Return the columns that identify a row: its grain. `modality` is that of the row's first image."""
    return IDENTITIES[selection.unit]
