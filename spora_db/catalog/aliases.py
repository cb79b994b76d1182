"""Further names for markers, which users bring: a mapping, or a table with the columns ``alias`` and ``marker``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlglot import exp

from spora_db.errors import ArgumentError, TableError
from spora_db.sources.given_tables import read_given
from spora_db.sqltext.expressions import array, constant, named, text

if TYPE_CHECKING:
    import pandas as pd

    AliasTable = Mapping[str, str | Sequence[str]] | str | Path | pa.Table | pd.DataFrame | None
    """How users give aliases, see `read_aliases`."""

Aliases = tuple[tuple[str, tuple[str, ...]], ...]
"""Pairs of an alias, its letter case aside, and the names or accessions it may stand for, in order of preference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """What a catalog is told of the names of markers, besides what panels say.

    Attributes
    ----------
    aliases
        Further names.
    nuclear
        The accession that nuclear markers take; None leaves each its own.
    """

    aliases: Aliases = ()
    nuclear: str | None = None

    def relations(self) -> dict[str, exp.Select]:
        """Return the SELECTs of the relations that macros read."""
        nuclear = exp.cast(exp.null() if self.nuclear is None else text(self.nuclear), "VARCHAR")
        return {"source_aliases": alias_query(self.aliases), "source_nuclear": exp.select(named(nuclear, "nuclear"))}


def read_aliases(aliases: Any) -> Aliases:  # noqa: ANN401 - a mapping, a file, or a table of any library
    """Return a table of aliases as pairs.

    Parameters
    ----------
    aliases
        A mapping from alias to channel name or accession, or to several in order of preference; or an Arrow table, a
        DataFrame, or a parquet or CSV file with the columns ``alias`` and ``marker``, a row per pair.

    Raises
    ------
    FileFormatError
        If there is no such file or it cannot be read.
    TableError
        If the table lacks a column or a value.
    ArgumentError
        If it is none of these, or an alias stands for nothing.

    Examples
    --------
    >>> read_aliases({"T cells": ["CD3e", "CD3"], "nuclei": "DAPI"})
    (('T cells', ('CD3e', 'CD3')), ('nuclei', ('DAPI',)))
    """
    if aliases is None:
        return ()
    if isinstance(aliases, str | Path):
        table = read_given(aliases, at="aliases(", texts=("alias", "marker"))
        return _aliases_of_table(table, where=str(aliases))
    if not isinstance(aliases, Mapping):
        return _aliases_of_table(_arrow(aliases), where="The table of aliases=")
    pairs = []
    for alias, to in aliases.items():
        targets = (to,) if isinstance(to, str) else tuple(to) if isinstance(to, Sequence) else ()
        if not targets or not all(isinstance(name, str) and name for name in (alias, *targets)):
            raise ArgumentError(f"aliases: {alias!r} stands for {to!r}; expected channel names or accessions.")
        pairs.append((alias, targets))
    return tuple(pairs)


def alias_query(aliases: Aliases) -> exp.Select:
    """Return the SELECT of ``alias``, ``marker`` and ``rank`` (from 1): a row per pair of the two."""
    targets = {alias.lower(): markers for alias, markers in aliases}
    rows = [(alias, marker, rank) for alias, markers in targets.items() for rank, marker in enumerate(markers, 1)]
    lists = {
        "alias": array([text(row[0]) for row in rows], "VARCHAR[]"),
        "marker": array([text(row[1]) for row in rows], "VARCHAR[]"),
        "rank": array([constant(row[2]) for row in rows], "INTEGER[]"),
    }
    return exp.select(*(named(exp.Explode(this=values), name) for name, values in lists.items()))


def _arrow(aliases: Any) -> pa.Table:  # noqa: ANN401 - a table of any library
    try:
        return pa.table(aliases)
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise ArgumentError(
            f"aliases=: expected a mapping such as {{'nuclei': ['DAPI', 'DNA1']}}, or a table or a parquet "
            f"file with the columns alias and marker; got {type(aliases).__name__}."
        ) from error


def _aliases_of_table(table: pa.Table, *, where: str) -> Aliases:
    for name in ("alias", "marker"):
        if name not in table.column_names or table.column(name).null_count:
            raise TableError(
                f"{where} needs columns 'alias' and 'marker' without nulls; it has: {', '.join(table.column_names)}."
            )
    pairs: dict[str, list[str]] = {}
    for alias, marker in zip(table.column("alias").to_pylist(), table.column("marker").to_pylist(), strict=True):
        pairs.setdefault(str(alias), []).append(str(marker))
    return tuple((alias, tuple(markers)) for alias, markers in pairs.items())
