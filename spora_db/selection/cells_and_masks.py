"""The cells and masks that a query asks for, compared with those of the lake."""

from dataclasses import replace

from spora_db.catalog import Catalog
from spora_db.errors import unknown
from spora_db.layout import INSTANCES
from spora_db.selection.cells import cell_table
from spora_db.selection.resolved import Resolved

CELL_MASKS = "Masks of cells of your images come into the lake with spora-db import --add --cell-masks FOLDER."


def with_cells(resolved: Resolved, catalog: Catalog) -> Resolved:
    """Look up what the lake knows about cells where they are the rows; raises as `cell_table`."""
    asked = resolved.selection
    if asked.unit != "cell" or resolved.source is not None:
        return resolved
    return replace(resolved, cells=cell_table(asked.cell_source, catalog))


def check_masks(resolved: Resolved, catalog: Catalog) -> None:
    """Refuse kinds of masks that the lake does not have at the resolution of the query.

    Raises
    ------
    UnknownNameError
        For a kind that does not exist; the message lists those that do.
    """
    asked = resolved.selection
    if asked.masks:
        rows = catalog._run("SELECT DISTINCT kind FROM masks WHERE mpp = $mpp", {"mpp": asked.mpp}).fetchall()
        where = f"the masks at {asked.mpp} mpp of lake {str(catalog.lake)!r}"
        _check_all("kind of mask", asked.masks, tuple(row[0] for row in rows), where=where, remedy=CELL_MASKS)


def check_cells(resolved: Resolved, catalog: Catalog) -> None:
    """Refuse columns of cells that the lake does not have.

    Raises
    ------
    UnknownNameError
        For such a column; the message lists those that exist.
    """
    asked = resolved.selection.cells
    if asked is not None and asked.columns:
        _check_all("column", asked.columns, catalog.columns("cells"), where="cells")


def _check_all(kind: str, names: tuple[str, ...], existing: tuple[str, ...], *, where: str, remedy: str = "") -> None:
    for name in names:
        if name not in existing:
            raise unknown(kind, name, existing, where=where, remedy=remedy if name in INSTANCES else "")
