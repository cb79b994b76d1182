"""What a catalog says about itself: the types of its columns with their origins, its script, its contradictions."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import pyarrow as pa

from spora_db.catalog.aliases import Naming
from spora_db.catalog.connection import SESSION
from spora_db.catalog.names_in import needs
from spora_db.catalog.sql_files import sql_text
from spora_db.errors import SporaError, TableError
from spora_db.files.arrow_arrays import arrow_array
from spora_db.layout import Lake
from spora_db.sources import LISTINGS, SOURCES, Origin, listing_query

CHECKS: Mapping[str, tuple[str, ...]] = {
    "tissues": ("tissue_rows",),
    "cells": ("cell_rows",),
    "regions": ("region_rows",),
    "tissue_channels": ("panel_names", "panel_rows"),
    "markers": ("panel_names", "panel_rows"),
    "tile_coordinates": ("tile_rows",),
}
"""The files of ``sql/checks`` that concern a relation; each is a SELECT that returns no rows where all is well."""

CHECKED_AT_FIRST_USE = ("tissues", "tissue_channels", "markers", "tile_coordinates")
"""Relations whose checks always run, once: that of tiles is the longest, half a second for 5 million.

``cell_rows`` runs where cells are asked for as rows or beside them.
"""


def raise_contradiction(rows: Sequence[tuple[str | None, ...]]) -> None:
    """Raise for the first row of a check: (dataset, modality, name, problem).

    Raises
    ------
    TableError
        If there is a row.
    """
    if rows:
        dataset, modality, name, problem = rows[0]
        more = f" ({len(rows)} such contradictions)" if len(rows) > 1 else ""
        place = f"{dataset}/{modality}" if modality else dataset
        message = f"{place}: {name!r} {problem}{more}. Correct the file."
        raise TableError(message)


def schema_table(
    relations: Iterable[str],
    *,
    describe: Callable[[str], Mapping[str, str]],
    origins: Callable[[str], Iterable[Origin]],
    layers: Callable[[str], str | None],
) -> pa.Table:
    """Return ``relation, column, type, cohorts, problem, layers``, a row per column; a broken relation has its problem.

    Parameters
    ----------
    relations, describe, origins, layers
        Names of the relations; what returns the columns of one with their types, or raises; where they come from; the
        layers that have files of it.
    """
    rows: list[tuple[str | None, ...]] = []
    for relation in relations:
        try:
            described = describe(relation)
        except SporaError as error:
            rows.append((relation, None, None, None, str(error), None))
            continue
        cohorts, where = cohort_types(origins(relation)), layers(relation)
        rows.extend((relation, column, kind, cohorts.get(column), None, where) for column, kind in described.items())
    names = ("relation", "column", "type", "cohorts", "problem", "layers")
    return pa.table({name: arrow_array([row[at] for row in rows], pa.string()) for at, name in enumerate(names)})


def cohort_types(origins: Iterable[Origin]) -> dict[str, str]:
    """Return, for columns whose type or name differs between files, what each dataset has."""
    found: dict[str, list[Origin]] = {}
    for origin in origins:
        found.setdefault(origin.column, []).append(origin)
    return {
        column: ", ".join(
            dict.fromkeys(
                f"{o.dataset}: {o.type}" + (f" {o.file_name!r}" if o.file_name != column else "") for o in here
            )
        )
        for column, here in found.items()
        if len({o.type for o in here}) > 1 or any(o.file_name != column for o in here)
    }


def script(
    folders: Lake, *, views: Iterable[str], macros: Iterable[str], naming: Naming, own: Iterable[str] = ()
) -> str:
    """Return the script that makes all relations and macros in any DuckDB; `own` makes those of one lake."""
    settings = "\n".join(f"SET {name} = '{value}';" for name, value in SESSION.items())
    parts = [f"-- Times with a zone are compared, cast and shown in UTC: one answer on every machine.\n{settings}"]
    parts += [f"CREATE VIEW {name} AS\n{listing_query(name, folders).sql('duckdb')};" for name in LISTINGS]
    parts += [f"CREATE VIEW {name} AS\n{build(folders).query().sql()};" for name, build in SOURCES.items()]
    parts += [f"CREATE VIEW {name} AS\n{told.sql('duckdb')};" for name, told in naming.relations().items()]
    alone = [name for name in macros if not needs("macros", name)]  # views stand on them, and the others on views
    parts += [sql_text("macros", name) for name in alone]
    parts += [sql_text("views", name) for name in views]
    parts += [sql_text("macros", name) for name in macros if name not in alone]
    parts += own
    return "\n\n".join(part.rstrip() for part in parts) + "\n"
