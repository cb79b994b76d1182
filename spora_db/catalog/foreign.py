"""The relations in another engine: tables to load and views over them, or, for Spark, views over the parquet files."""

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from sqlglot import exp

from spora_db.catalog.files_in_spark import spark_views
from spora_db.catalog.names_in import names_in_text
from spora_db.catalog.own_relations import OwnRelations
from spora_db.catalog.relations import VIEWS
from spora_db.catalog.sql_files import sql_text
from spora_db.dialects import Dialect, check_dialect
from spora_db.dialects.translation import ViewColumns, translate, write
from spora_db.errors import ArgumentError, QueryError
from spora_db.layout import Lake
from spora_db.sources.features import PREFIX

PORTABLE: tuple[Literal["tissue_channels", "markers", "tiles"], ...] = ("tissue_channels", "markers", "tiles")
"""The relations that stand on others; each has a file in ``sql/portable``."""

OWN = frozenset({"features"})
"""The relations that no other engine has."""
OF_REGIONS = frozenset({"region_class", "region_fraction", "region_fractions"})
"""Columns of `tiles` that are computed here."""
MEASURED = frozenset({"area", "first_row", "first_col", "last_row", "last_col"})
"""Columns of `regions` that are computed here; PostgreSQL is given their values, Spark reads files."""

_NESTED = ("STRUCT", "MAP", "UNION")
_WIDER = {
    "HUGEINT": "DECIMAL(38, 0)",
    "UHUGEINT": "DECIMAL(38, 0)",
    "UBIGINT": "DECIMAL(20, 0)",
    "UINTEGER": "BIGINT",
    "USMALLINT": "INTEGER",
    "UTINYINT": "SMALLINT",
}


def column_type(kind: str) -> exp.DataType:
    """Return the type that holds a DuckDB type in any engine.

    Raises
    ------
    QueryError
        For structs, maps and unions, which engines disagree about.

    Examples
    --------
    >>> column_type("UINTEGER").sql("postgres"), column_type("VARCHAR[]").sql("postgres")
    ('BIGINT', 'TEXT[]')
    """
    if kind.startswith(_NESTED):
        raise QueryError(f"Columns of type {kind} have no table in another engine.")
    return exp.DataType.build("VARCHAR" if kind.startswith("ENUM") else _WIDER.get(kind, kind), dialect="duckdb")


def foreign_columns(
    relations: Iterable[str], columns: Callable[[str], Mapping[str, str]], *, dialect: Dialect
) -> ViewColumns:
    """Return the columns of relations that another engine has too: polygons, lists of lists of structs, it has not.

    Parameters
    ----------
    relations, columns
        Names of the relations; what returns the columns of one.
    dialect
        The engine.

    Raises
    ------
    QueryError
        For a relation that they do not have.
    """
    found = {}
    for name in relations:
        if name in OWN or name.startswith(PREFIX):
            raise QueryError(f"The relation {name!r} has no table in another engine. Ask it here.")
        lacking = OF_REGIONS if name == "tiles" else frozenset()
        if name == "regions":
            lacking = MEASURED | {"polygon"} if dialect == "spark" else frozenset({"polygon"})
        found[name] = {column: kind for column, kind in columns(name).items() if column not in lacking}
        if name not in VIEWS:
            found[name] = {column: kind for column, kind in found[name].items() if not kind.startswith(_NESTED)}
    return found


def foreign_select(
    text: str, dialect: Dialect, *, relations: Iterable[str], columns: Callable[[str], Mapping[str, str]]
) -> str:
    """Return a SELECT over some of the relations in another engine's SQL; parameters as `foreign_columns`.

    Raises
    ------
    QueryError
        If something in it is not known to mean the same there.
    """
    named = names_in_text(text).relations
    known = foreign_columns([name for name in relations if name in named], columns, dialect=dialect)
    return translate(text, dialect=dialect, columns=known)


def foreign_script(
    dialect: Dialect,
    folders: Lake,
    *,
    own: OwnRelations,
    columns: Callable[[str], Mapping[str, str]],
    location: str | None,
) -> str:
    """Return the script that makes the relations in another engine.

    Parameters
    ----------
    dialect, folders
        The engine, and the lake.
    own, columns
        The relations that this lake alone has; what returns the columns of a relation.
    location
        Where Spark finds the lake; None for its own path. Other engines read no files.

    Raises
    ------
    ArgumentError
        If a location is given to an engine that does not read the files.
    QueryError
        If a column or a path has no translation.
    """
    check_dialect(dialect)
    relations = [name for name in (*VIEWS, *own.names) if name not in OWN]
    known = foreign_columns(relations, columns, dialect=dialect)
    base = tuple(name for name in known if name not in PORTABLE)
    if dialect == "spark":
        loaded = [name for name in own.names if own.given(name) is not None]
        builders = {name: own.builders[name] for name in own.names if name not in loaded}
        views = [name for name in base if name not in loaded]
        parts = spark_views(folders, views, known, location=location, tables=builders)
        parts += [_table(name, known[name], dialect) for name in loaded]
    elif location is not None:
        raise ArgumentError(
            f"ddl(dialect={dialect!r}) makes tables to be loaded, so location={location!r} means nothing."
        )
    else:
        parts = [_table(name, known[name], dialect) for name in base]
    parts += [translate(sql_text("portable", name), dialect=dialect, columns=known) for name in PORTABLE]
    return ";\n\n".join(parts) + ";\n"


def _table(name: str, columns: Mapping[str, str], dialect: Dialect) -> str:
    definitions = []
    for column, kind in columns.items():
        try:
            definitions.append(exp.ColumnDef(this=exp.to_identifier(column, quoted=True), kind=column_type(kind)))
        except QueryError as error:
            raise QueryError(f"{name}.{column}: {error}") from error
    schema = exp.Schema(this=exp.to_table(name), expressions=definitions)
    return write(exp.Create(kind="TABLE", this=schema), dialect)
