"""The engines that a text can be translated to, and the error for what none of its words stands for there."""

from typing import Literal, get_args

from sqlglot import exp

from spora_db.errors import QueryError, unknown

Dialect = Literal["duckdb", "postgres", "spark", "databricks", "bigquery", "snowflake"]
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
SPARK: tuple[Dialect, ...] = ("spark", "databricks")

IN_DUCKDB = "Or select the rows with DuckDB (.to_arrow(), .df()) and take them along."
_LONGEST = 80
_NOT_IN_BIGQUERY = frozenset('!"$()*,./;?@[\\]^`{}~')


def check_dialect(dialect: str) -> None:
    """Refuse a dialect that is not among `DIALECTS`.

    Raises
    ------
    UnknownNameError
        The message lists those that are.
    """
    if dialect not in DIALECTS:
        raise unknown("dialect", dialect, DIALECTS)


def can_name(column: str, dialect: Dialect) -> bool:
    """Tell whether an engine allows such a name of a column.

    Examples
    --------
    >>> can_name("X..spots", "postgres"), can_name("X..spots", "bigquery")
    (True, False)
    """
    return dialect != "bigquery" or not (_NOT_IN_BIGQUERY & set(column) or len(column) > 300)


def refused(what: str, dialect: str, *, remedy: str, node: exp.Expr | None = None) -> QueryError:
    """Build the error for what has no translation.

    Parameters
    ----------
    what
        The construct, as the start of a sentence: ``"The function mode"``.
    dialect
        The engine that was asked for.
    remedy
        What to write instead.
    node
        Where it stands in the query.

    Examples
    --------
    >>> print(refused("GLOB", "postgres", remedy="Write LIKE.", node=exp.column("a")))
    GLOB has no translation to postgres that surely selects the same rows: a.
    Write LIKE. Or select the rows with DuckDB (.to_arrow(), .df()) and take them along.
    """
    shown = "" if node is None else node.sql("duckdb", comments=False)
    place = f": {shown[:_LONGEST]}{'...' * (len(shown) > _LONGEST)}" if shown else ""
    return QueryError(
        f"{what} has no translation to {dialect} that surely selects the same rows{place}. {remedy} {IN_DUCKDB}"
    )
