"""The sqlglot expressions that sources are made of: literals, columns by position, readers of files, unions."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from sqlglot import exp

from spora_db.errors import FileFormatError

_GLOB = re.compile(r"[*?\[]")


def literal_glob(path: Path | str) -> str:
    r"""Return the pattern that matches exactly one path: DuckDB reads every path as a glob pattern.

    Raises
    ------
    FileFormatError
        If the path holds a backslash and a glob character: no pattern of DuckDB matches it.

    Examples
    --------
    >>> literal_glob("lake/a[1]/b*.parquet"), literal_glob("lake/plain.parquet")
    ('lake/a[[]1]/b[*].parquet', 'lake/plain.parquet')
    """
    plain = str(path)
    if not _GLOB.search(plain):
        return plain
    if "\\" in plain:
        message = f"{plain} cannot be opened: no DuckDB pattern has a backslash beside one of '*?['. Rename the folder."
        raise FileFormatError(message)
    return _GLOB.sub(lambda match: f"[{match[0]}]", plain)


def path_list(paths: Iterable[Path]) -> str:
    """Return files as DuckDB's setting ``allowed_paths`` wants them: as given, resolved, and as patterns of both.

    Files and not folders: within an allowed folder, ``link/../x`` reaches beside the target of a symbolic link (2.0).
    """
    resolved: dict[str, str] = {}
    forms = {form for path in map(str, paths) for form in (path, _resolved(path, resolved))}
    patterns = {literal_glob(form) for form in forms if "\\" not in form}
    return text_list(sorted(forms | patterns)).sql("duckdb")


def _resolved(path: str, known: dict[str, str]) -> str:
    """Return ``os.path.realpath`` of a path; of 300 files in 150 folders each folder is looked at once."""
    if path not in known:
        folder, name = os.path.split(path)
        plain = name not in ("", ".", "..") and not os.path.islink(path)  # noqa: PTH114
        known[path] = os.path.join(_resolved(folder, known), name) if plain else os.path.realpath(path)  # noqa: PTH118
    return known[path]


def text(value: str) -> exp.Literal:
    """Return a string literal."""
    return exp.Literal.string(value)


def text_list(values: Sequence[str]) -> exp.Array:
    """Return a list of string literals."""
    return exp.Array(expressions=[text(value) for value in values])


def constant(value: str | float | int | None) -> exp.Expression:
    """Return the literal of a value that comes from a path; a float stays DOUBLE."""
    if value is None:
        return exp.Null()
    if isinstance(value, str):
        return text(value)
    number = exp.Literal.number(repr(value))
    return cast_to(number, "DOUBLE") if isinstance(value, float) else number


def identifier(name: str) -> exp.Identifier:
    """Return a quoted identifier."""
    return exp.to_identifier(name, quoted=True)


def position(index: int) -> exp.Column:
    """Return the column of a file at a position, as `read_parquet` names it."""
    return exp.column(f"c{index}")


def named(value: exp.Expression, name: str) -> exp.Alias:
    """Return ``value AS "name"``."""
    return exp.Alias(this=value, alias=identifier(name))


def null(type_name: str) -> exp.Cast:
    """Return a typed NULL."""
    return cast_to(exp.Null(), type_name)


def call(function: str, *arguments: exp.Expr) -> exp.Anonymous:
    """Return ``function(arguments)``, its name written as it is given."""
    return exp.Anonymous(this=function, expressions=list(arguments))


def opaque(column: exp.Expression) -> exp.Expression:
    """Return a column of floating-point numbers so that DuckDB concludes nothing from the footers of its files.

    Least and greatest values in a footer leave NaN out. DuckDB (2.0) takes them for those of all values: ``isnan`` is
    then never true, and NaN lies BETWEEN any two numbers. It looks through CASE within lists and maps, and takes square
    time to plan thousands of them; of TRY it sees nothing. What this costs is that no row group is left out by such a
    column, and a fifth of the time of reading it.
    """
    return call("try", column)


@cache
def _type(name: str) -> exp.DataType:
    """Parse a type once: sqlglot takes 0.1 ms, and a lake has thousands of columns."""
    if "TIMESTAMPTZ_NS" in name:  # a word that sqlglot lacks
        return exp.DataType(this=exp.DType.USERDEFINED, kind=name)
    return exp.DataType.build(name, dialect="duckdb")


def cast_to(value: exp.Expr, type_name: str) -> exp.Cast:
    """Return ``CAST(value AS type)``."""
    return exp.Cast(this=value, to=_type(type_name))


def try_cast(value: exp.Expr, type_name: str) -> exp.TryCast:
    """Return ``TRY_CAST(value AS type)``."""
    return exp.TryCast(this=value, to=_type(type_name))


def array(values: Sequence[exp.Expression], type_name: str) -> exp.Cast:
    """Return a list of a declared type, which an empty one needs."""
    return cast_to(exp.Array(expressions=list(values)), type_name)


def read_parquet(paths: Sequence[Path], *, width: int, filename: bool = False, row_number: bool = False) -> exp.Table:
    """Return ``read_parquet([...]) AS file(c0, c1, ...)``: columns are known by position, never by their names.

    ``filename`` and ``row_number`` each add a column after the file's own.
    """
    options = {"hive_partitioning": False, "filename": filename, "file_row_number": row_number}
    arguments: list[exp.Expression] = [text_list([literal_glob(path) for path in paths])]
    arguments += [
        exp.EQ(this=exp.column(name), expression=exp.Boolean(this=value))
        for name, value in options.items()
        if value or name == "hive_partitioning"
    ]
    table = exp.Table(this=exp.Anonymous(this="read_parquet", expressions=arguments))
    return by_position(table, width=width + filename + row_number)


def by_position(table: exp.Table, *, width: int) -> exp.Table:
    """Return ``table AS file(c0, c1, ...)``, of as many columns as there are."""
    names = ", ".join(f"c{index}" for index in range(width))
    columns = [exp.Var(this=names)] if names else []  # one node: 37 panels of 150 would be thousands of identifiers
    table.set("alias", exp.TableAlias(this=exp.to_identifier("file"), columns=columns))
    return table


def empty(columns: Mapping[str, str]) -> exp.Select:
    """Return a SELECT of no rows with typed columns."""
    typed = [named(null(kind), name) for name, kind in columns.items()]
    return exp.Select().select(*typed, copy=False).where(exp.false(), copy=False)


def union(branches: Sequence[exp.Query]) -> exp.Query:
    """Join SELECTs by UNION ALL BY NAME as a balanced tree: 900 files in one chain nest 900 deep."""
    level = list(branches)
    while len(level) > 1:
        pairs = [level[index : index + 2] for index in range(0, len(level), 2)]
        level = [
            exp.Union(this=_operand(pair[0]), expression=_operand(pair[1]), distinct=False, by_name=True)
            if len(pair) == 2
            else pair[0]
            for pair in pairs
        ]
    return level[0]


def _operand(query: exp.Query) -> exp.Query:
    return exp.Subquery(this=query) if isinstance(query, exp.Union) else query
