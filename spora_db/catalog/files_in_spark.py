"""The relations as Spark views over the lake's parquet files: DuckDB's sources, file by file, in Spark's words.

DuckDB reads columns by position; Spark knows names only, and takes them as the files spell them
(``spark.sql.caseSensitive``). Wide files become long by ``stack``.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import cast

import pyarrow.parquet as pq
from sqlglot import exp

from spora_db.catalog.sql_files import sql_text
from spora_db.dialects.translation import translate, write
from spora_db.errors import QueryError
from spora_db.layout import STATISTICS, Lake, TableFile, layer_name
from spora_db.sources import LISTINGS, SOURCES, Branch, SourceFiles, SourceQuery, listing_query
from spora_db.sources.statistics import statistics_tables
from spora_db.sources.truth_values import truth_value
from spora_db.sources.wide import wide_files

_TABLES = {
    "tissues": "source_tissues",
    "cells": "source_cells",
    "regions": "source_regions",
    "channels": "source_channels",
    "tile_coordinates": "source_tile_coordinates",
    "tile_stats": "source_tile_stats",
}
_STATISTICS = dict(zip(("lower", "upper", "mean", "std"), STATISTICS, strict=True))
_ROW_INDEX = "_metadata.row_index"
_GLOB = frozenset("*?[]{}")


def spark_views(
    folders: Lake,
    relations: Iterable[str],
    columns: Mapping[str, Mapping[str, str]],
    *,
    location: str | None,
    tables: Mapping[str, Callable[[Lake], SourceFiles]],
) -> list[str]:
    """Return the statements that make relations as views over parquet files.

    Parameters
    ----------
    folders, relations, columns
        The lake; the relations that stand on files or folders alone; their columns, with their types.
    location
        Where the lake lies for the engine, such as ``"s3a://bucket/lake"``; None for its own path.
    tables
        What tells the files of users' tables, by their names.

    Raises
    ------
    QueryError
        If a path holds a character that Spark takes for a pattern, or a location is given of a lake of layers.
    """
    if location is not None and len(folders.roots) > 1:
        raise QueryError(f"location={location!r} is one place, and {folders.path} has layers. Leave it out.")
    files = _SparkFiles(folders=folders, location=location)
    parts = ["SET spark.sql.caseSensitive = true", "SET spark.sql.session.timeZone = UTC"]
    parts += [_view(name, _portable(listing_query(name, folders, location=files.location))) for name in LISTINGS]
    for name in relations:
        known: dict[str, Mapping[str, str]] = {**columns, **LISTINGS}
        if name in _TABLES:
            source = SOURCES[_TABLES[name]](folders).query()
            known[_TABLES[name]] = columns[name]
            parts.append(_view(_TABLES[name], _union(source, files, columns[name])))
        if name in tables:
            parts.append(_view(name, _union(tables[name](folders).query(), files, columns[name])))
        elif name in ("channels_per_tissue", "standardization_stats"):
            rows = _panels(files) if name == "channels_per_tissue" else _statistics(files)
            parts.append(_view(name, rows))
        elif name == "regions":  # what is measured of polygons is not there
            own = (exp.column(column, quoted=True) for column in columns[name])
            parts.append(_view(name, exp.select(*own).from_(_TABLES[name])))
        else:
            parts.append(translate(sql_text("views", name), dialect="spark", columns=known))
    return parts


class _SparkFiles:
    """Parquet files as relations of Spark."""

    def __init__(self, *, folders: Lake, location: str | None) -> None:
        self.folders = folders
        self.location = location and location.rstrip("/")

    def relation(self, path: Path) -> exp.Table:
        """Return a file as ``parquet.`path```."""
        address = layer_name(self.folders.root_of(path))
        root = self.location or re.sub("^s3://", "s3a://", address)
        place = f"{root}/{self.folders.relative(path)}"
        if _GLOB & set(place):
            raise QueryError(f"Spark reads {place!r} as a pattern. Rename what has one of * ? [ ] {{ }} in its name.")
        return exp.Table(this=exp.to_identifier(place, quoted=True), db=exp.to_identifier("parquet"))


def _view(name: str, query: exp.Query) -> str:
    """Return the view of a source; what sources are made of is known, and its few words are replaced."""
    view = exp.Create(kind="VIEW", this=exp.to_table(name), expression=query.transform(_in_spark))
    try:
        return write(view, "spark")
    except QueryError as error:
        raise QueryError(f"{name}: {error}") from error


def _in_spark(node: exp.Expr) -> exp.Expr:
    """Replace a word of a source that Spark lacks.

    Raises
    ------
    QueryError
        If it is none of those that sources were seen to call.
    """
    if isinstance(node, exp.Cast) and node.is_type(exp.DType.USERDEFINED):  # TIMESTAMPTZ_NS
        return exp.cast(node.this.transform(_in_spark), "TIMESTAMPTZ")
    if isinstance(node, exp.Cast) and node.is_type(exp.DType.INT128):
        return exp.cast(node.this.transform(_in_spark), exp.DataType.build("DECIMAL(38, 0)", dialect="duckdb"))
    if not isinstance(node, exp.Anonymous) or node.name == "stack":
        return node
    given = [item.transform(_in_spark) for item in node.expressions]  # transform() leaves out what it has replaced
    if node.name == "try":  # against what DuckDB concludes from footers
        return cast(exp.Expr, given[0])
    if node.name == "isnan":
        return exp.IsNan(this=given[0])
    if node.name == "trunc":  # compared with the number itself: either way it is equal where there is no fraction
        return exp.Floor(this=given[0])
    if node.name == "error":
        return exp.Anonymous(this="raise_error", expressions=given)
    raise QueryError(f"The function {node.name} of a source has no translation to Spark. Report it.")


def _portable(query: exp.Query) -> exp.Query:
    """Drop BY NAME where all operands list the same columns in the same order."""
    for union in query.find_all(exp.Union):
        union.set("by_name", None)
    return query


def _union(source: SourceQuery, files: _SparkFiles, columns: Collection[str]) -> exp.Query:
    """Return a source with every branch listing all columns that Spark has, by name instead of by position."""
    types: dict[str, exp.Expr | None] = {item.alias: item.this for item in source.empty.expressions}
    for branch in source.branches:
        types |= {item.alias: types.get(item.alias) for item in branch.select.expressions}
    types = {name: kind for name, kind in types.items() if name in columns}
    selects = [source.empty.copy(), *(_named(branch, files) for branch in source.branches)]
    for select in selects:
        have = {item.alias: item for item in select.expressions}
        listed = [
            have.get(name) or exp.alias_((kind or exp.null()).copy(), name, quoted=True) for name, kind in types.items()
        ]
        select.set("expressions", listed)
    return _all(selects)


def _all(selects: list[exp.Select]) -> exp.Query:
    """Join SELECTs of the same columns by UNION ALL, as a balanced tree."""
    level: list[exp.Query] = list(selects)
    while len(level) > 1:
        pairs = [level[at : at + 2] for at in range(0, len(level), 2)]
        level = [exp.union(*pair, distinct=False, copy=False) if len(pair) == 2 else pair[0] for pair in pairs]
    return level[0]


def _named(branch: Branch, files: _SparkFiles) -> exp.Select:
    """Return the SELECT over one file with its columns called by their names in the file."""
    names = pq.read_schema(branch.files[0]).names

    def replaced(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Column) and not node.table and node.name[:1] == "c" and node.name[1:].isdigit():
            at = int(node.name[1:])
            if at >= len(names):
                return exp.Dot.build([exp.to_identifier(part) for part in _ROW_INDEX.split(".")])
            return exp.column(names[at], quoted=True)
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Anonymous):
            return files.relation(branch.files[0])
        return node

    return cast(exp.Select, branch.select.transform(replaced))


def _stacked(
    path: Path, channels: Mapping[str, str], columns: tuple[str, ...], files: _SparkFiles, kind: str,
    told: Mapping[str, str] | None = None,
) -> exp.Select:  # fmt: skip
    """Return ``stack``: a row per channel of every row of a wide file; its name, value, and what is told of it."""
    pairs: list[exp.Expr] = [exp.Literal.number(len(channels))]
    for name, found in channels.items():
        column = exp.column(name, quoted=True)
        value: exp.Expr = exp.cast(column, kind)
        if kind == "BOOLEAN" and found != "BOOLEAN":  # Spark would call NaN and 2 true
            value = truth_value(column, found=found, name=name, file=path.name)
        pairs += [exp.Literal.string(name), value]
        pairs += [] if told is None else [exp.Literal.string(told[name])]
    aliases = [exp.to_identifier(name, quoted=True) for name in columns]
    rows = exp.Aliases(this=exp.Anonymous(this="stack", expressions=pairs), expressions=aliases)
    return exp.select(rows).from_(files.relation(path))


def _panels(files: _SparkFiles) -> exp.Query:
    texts = dict.fromkeys(("dataset", "modality", "tissue_id", "channel_name"), "TEXT")
    selects = [_empty({**texts, "measured": "BOOLEAN"})]
    for table, key, channels in wide_files(files.folders, "panels"):
        place = [_constant(table.dataset, "dataset"), _constant(table.modality, "modality")]
        select = _stacked(table.path, channels, ("channel_name", "measured"), files, "BOOLEAN")
        selects.append(select.select(*place, _key(key), *select.expressions, append=False))
    selects += [_all_measured(table) for table, _ in files.folders.unmeasured()]
    return _all(selects)


def _all_measured(table: TableFile) -> exp.Select:
    """Return the channels of a panel without the table of what was measured, for every tissue with an image."""
    place = exp.and_(*(exp.column(name).eq(getattr(table, name)) for name in ("dataset", "modality")))
    seen = exp.select("dataset", "modality", "tissue_id").distinct().from_("source_images").where(place)
    panel = exp.select("channel_name").from_("channels").where(place.copy())
    columns = [exp.column(name, table="seen") for name in ("dataset", "modality", "tissue_id")]
    select = exp.select(*columns, exp.column("channel_name", table="panel"))
    select = select.select(exp.alias_(exp.true(), "measured", quoted=True))
    return select.from_(seen.subquery("seen")).join(panel.subquery("panel"), join_type="cross")


def _statistics(files: _SparkFiles) -> exp.Query:
    place = {"dataset": "TEXT", "modality": "TEXT", "mpp": "DOUBLE", "spec": "TEXT", "level": "TEXT"}
    texts = dict.fromkeys(("statistic", "tissue_id", "channel_name"), "TEXT")
    selects = [_empty({**place, **texts, "value": "DOUBLE", "tables": "TEXT"})]
    tables = statistics_tables(files.folders)
    for table, key, channels in wide_files(files.folders, "statistics"):
        fixed = [_constant(getattr(table, name), name) for name in (*place, "statistic")]
        told = tables[tuple(getattr(table, name) for name in place)]
        select = _stacked(table.path, channels, ("channel_name", "value", "tables"), files, "DOUBLE", told)
        selects.append(select.select(*fixed, _key(key), *select.expressions, append=False))
    grain = [*place, "tissue_id", "channel_name"]
    values = [exp.alias_(exp.Max(this=exp.column("tables")), "tables", quoted=True)]
    for name, statistic in _STATISTICS.items():
        case = exp.Case().when(exp.column("statistic").eq(statistic), exp.column("value"))
        values.append(exp.alias_(exp.Max(this=case), name, quoted=True))
    return exp.select(*grain, *values).from_(_all(selects).subquery("listed")).group_by(*grain)


def _empty(types: Mapping[str, str]) -> exp.Select:
    return exp.select(*(exp.alias_(exp.cast(exp.null(), kind), name) for name, kind in types.items())).where(
        exp.false()
    )


def _constant(value: str | float | None, name: str) -> exp.Expr:
    literal = exp.cast(exp.convert(value), "DOUBLE") if isinstance(value, float) else exp.convert(value)
    return exp.alias_(literal, name)


def _key(key: str | None) -> exp.Expr:
    value: exp.Expr = exp.null() if key is None else exp.column(key, quoted=True)
    return exp.alias_(exp.cast(value, "TEXT"), "tissue_id")
