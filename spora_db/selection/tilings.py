"""Resolution and tile size of a query: the ones that were named, or the only ones that there are."""

import shlex

from spora_db.catalog import Catalog
from spora_db.errors import QueryError, unknown
from spora_db.selection.own_rows import placed_as_rows_say
from spora_db.selection.resolved import Resolved
from spora_db.selection.values import Selection

TILINGS = """
    SELECT DISTINCT t.mpp, t.strategy, t.tile_size
    FROM source_tilings AS t
    WHERE EXISTS (
        SELECT 1 FROM images AS i
        WHERE i.dataset = t.dataset AND i.mpp = t.mpp AND list_contains($modalities, i.modality)
    )
    ORDER BY ALL
"""
RESOLUTIONS = "SELECT DISTINCT mpp FROM images WHERE list_contains($modalities, modality) ORDER BY 1"


def with_tiling(resolved: Resolved, catalog: Catalog) -> Resolved:
    """Fill in the one tiling (mpp, strategy, tile size) that is meant; the user's own rows may say theirs.

    Raises
    ------
    QueryError
        If there is no such tiling, or several; or as `placed_as_rows_say`.
    """
    asked = resolved.selection
    if resolved.source is not None:
        asked = placed_as_rows_say(asked, resolved.source, resolved.source_types, catalog)
        missing = asked.unit == "tile" and asked.tile_size is None
        return resolved.asking(mpp=asked.mpp, tile_size=_tiling(asked, catalog)[1] if missing else asked.tile_size)
    if asked.unit != "tile" or asked.windows is not None:
        return resolved
    mpp, size, strategy = _tiling(asked, catalog)
    return resolved.asking(mpp=mpp, tile_size=size, strategy=strategy)


def with_resolution(resolved: Resolved, catalog: Catalog) -> Resolved:
    """Fill in the one resolution that the images have.

    Raises
    ------
    QueryError
        If there are several to choose from.
    UnknownNameError
        If they do not have the one that was named.
    """
    asked = resolved.selection
    rows = catalog._run(RESOLUTIONS, {"modalities": list(asked.modality_names)}).fetchall()
    existing = [float(row[0]) for row in rows]
    names = ", ".join(asked.modality_names)
    if asked.mpp is None and len(existing) > 1:
        raise QueryError(
            f"The images of {names} exist at several resolutions ({', '.join(map(str, existing))} mpp); "
            "choose one with mpp=."
        )
    if asked.mpp is not None and asked.mpp not in existing:
        raise unknown("resolution (mpp)", asked.mpp, existing, where=f"the images of {names}")
    return resolved.asking(mpp=existing[0] if asked.mpp is None else asked.mpp)


def _tiling(asked: Selection, catalog: Catalog) -> tuple[float, int, str]:
    """Return mpp, tile size and strategy of the tiling that is meant."""
    strategy = asked.strategy or "default"
    tilings = catalog._run(TILINGS, {"modalities": list(asked.modality_names)}).fetchall()
    fitting = [
        (mpp, size)
        for mpp, name, size in tilings
        if name == strategy and asked.mpp in (None, mpp) and asked.tile_size in (None, size)
    ]
    existing = "; ".join(f"size={size}, mpp={mpp}, strategy={name!r}" for mpp, name, size in tilings)
    if not fitting:
        found = f"There are: {existing}." if existing else "There is none yet."
        raise QueryError(
            f"No tiling with size={asked.tile_size}, mpp={asked.mpp}, strategy={strategy!r} for the images of "
            f"{', '.join(asked.modality_names)} in {catalog.lake}. {found} Make one with: "
            f"spora-db tile {shlex.quote(str(catalog.lake))} --tile-size {asked.tile_size or 224} "
            f"--mpp {asked.mpp or 1.0} --strategy {shlex.quote(strategy)}"
        )
    if len(fitting) > 1:
        raise QueryError(f"Several tilings fit; choose one with .tiles(size=, mpp=, strategy=). There are: {existing}.")
    mpp, size = fitting[0]
    return float(mpp), int(size), strategy
