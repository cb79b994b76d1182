"""The masks that a query asks for, compared with those of the lake."""

from spora_db.catalog import Catalog
from spora_db.errors import unknown
from spora_db.selection.values import Selection


def check_masks(selection: Selection, catalog: Catalog) -> None:
    """Refuse kinds of masks that the lake does not have at the resolution of the query.

    Raises
    ------
    UnknownNameError
        For a kind that does not exist; the message lists those that do.
    """
    if selection.masks:
        rows = catalog._run("SELECT DISTINCT kind FROM masks WHERE mpp = $mpp", {"mpp": selection.mpp}).fetchall()
        existing = [row[0] for row in rows]
        for kind in selection.masks:
            if kind not in existing:
                where = f"the masks at {selection.mpp} mpp of lake {str(catalog.lake)!r}"
                raise unknown("kind of mask", kind, existing, where=where)
