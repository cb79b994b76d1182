"""The engines that a text can be translated to, and the error for what none of its words stands for there."""

from typing import Literal, get_args

from sqlglot import exp

from spora_db.errors import QueryError, unknown

Dialect = Literal["duckdb", "postgres", "spark"]
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)

IN_DUCKDB = "Or select the rows with DuckDB (.to_arrow(), .df()) and take them along."
_LONGEST = 80


def check_dialect(dialect: str) -> None:
    """Refuse a dialect that is not among `DIALECTS`.

    Raises
    ------
    UnknownNameError
        The message lists those that are.
    """
    if dialect not in DIALECTS:
        raise unknown("dialect", dialect, DIALECTS)


class Untranslatable(Exception):
    """A construct without a translation, and what to write instead; `translate` makes a `QueryError` of it."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, remedy)
        self.what, self.remedy = what, remedy
        self.node: exp.Expr | None = None
        """Where it stands in the query: the innermost part that was being translated."""

    def told(self, dialect: Dialect) -> QueryError:
        """Return the error for users.

        Examples
        --------
        >>> print(Untranslatable("GLOB", "Write LIKE.").told("postgres"))
        GLOB has no translation to postgres that surely selects the same rows. Write LIKE.
        Or select the rows with DuckDB (.to_arrow(), .df()) and take them along.
        """
        shown = "" if self.node is None else self.node.sql("duckdb", comments=False)
        place = f": {shown[:_LONGEST]}{'...' * (len(shown) > _LONGEST)}" if shown else ""
        lacks = f"{self.what} has no translation to {dialect} that surely selects the same rows{place}."
        return QueryError(f"{lacks} {self.remedy} {IN_DUCKDB}")


def refuse(when: object, what: str, remedy: str) -> None:
    """Refuse a construct where something holds."""
    if when:
        raise Untranslatable(what, remedy)
