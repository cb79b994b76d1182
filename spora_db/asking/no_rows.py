"""Why an answer is empty, as far as its conditions tell: comparisons that no row satisfies, and values near theirs."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

import pyarrow as pa
import sqlglot
from sqlglot import exp

from spora_db.catalog import Catalog, Result
from spora_db.errors import SporaError, counted, level_of_the_user, unknown
from spora_db.sqltext.dialect import DIALECT

AnswerSelect: TypeAlias = Callable[[exp.Query], Result]
"""Answers a SELECT."""
COMPARISONS = (
    exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In, exp.Like, exp.ILike, exp.Between, exp.NullSafeEQ,
    exp.RegexpLike, exp.SimilarTo, exp.Glob, exp.StartsWith,
)  # fmt: skip
TESTS = frozenset((
    "regexp_matches", "regexp_full_match", "starts_with", "prefix", "ends_with", "suffix", "contains", "list_contains",
    "list_has", "array_contains", "array_has",
))  # fmt: skip
"""Functions that compare, as conditions may be written."""
NUMBERS = ("mpp", "tile_size")
"""Columns of numbers that name a thing; ages and places may well be none, and nothing is told of them."""
MOST: Final = 1_000
"""Values among which near ones are looked for."""


def warn_of_no_rows(catalog: Catalog, text: str, answer: pa.Table) -> None:
    """Warn as `hints_of_no_rows` tells."""
    for hint in hints_of_no_rows(catalog, text, answer):
        warnings.warn(f"The query selects no rows: {hint}", stacklevel=level_of_the_user())


def hints_of_no_rows(catalog: Catalog, text: str, answer: pa.Table) -> list[str]:
    """Return a sentence for each comparison of a user's statement that no row satisfies, where its answer is nothing.

    Parameters
    ----------
    catalog
        The lake.
    text
        The statement.
    answer
        Its first rows: none, or one of zeros and NULLs, as counts and sums of nothing are; else nothing is told.
    """
    rows = answer.slice(0, 2).to_pylist()
    if len(rows) > 1 or any(value not in (0, None) for row in rows for value in row.values()):
        return []
    try:
        tree = sqlglot.parse_one(text, dialect=DIALECT)
    except (sqlglot.errors.SqlglotError, RecursionError):  # DuckDB reads more than sqlglot
        return []
    hints = (hint for select in tree.find_all(exp.Select) for hint in _of_select(select, tree, catalog))
    return list(dict.fromkeys(hints))


def _of_select(select: exp.Select, statement: exp.Expr, catalog: Catalog) -> Iterator[str]:
    """Yield a hint for each comparison of one SELECT, about the first of what it reads that has the column."""
    ctes = statement.args.get("with_")
    from_ = select.args.get("from_")
    joins = select.args.get("joins") or []
    sources = [*([from_.this] if from_ else []), *(join.this for join in joins)]
    where = select.args.get("where")
    for condition in (*([where.this] if where else []), *(join.args["on"] for join in joins if join.args.get("on"))):
        for atom, column in comparisons(condition.copy()):
            for source in sources:
                if column.table and column.table.lower() != source.alias_or_name.lower():
                    continue
                values = exp.select(exp.column(column.name, quoted=True)).distinct().from_(source.copy())
                values.set("with_", ctes and ctes.copy())
                try:  # through the guard, as all of it is a user's text
                    hint = hint_of(
                        atom, values, lambda query: catalog.sql(query.sql(DIALECT)),
                        of=f"row of {source.name or source.alias}".removesuffix(" of "),
                    )  # fmt: skip
                except SporaError:  # another source's column, or of a query around it
                    continue
                if hint:
                    yield hint
                break


def comparisons(condition: exp.Expr) -> Iterator[tuple[exp.Expr, exp.Column]]:
    """Yield the comparisons of one column with constants that a condition has, each with the column.

    Those within NOT, CASE and sub-selects are left out, and those with numbers, unless they name a thing.
    """
    for atom in condition.find_all(*COMPARISONS, exp.Anonymous):
        if isinstance(atom, exp.Anonymous) and atom.name.lower() not in TESTS:
            continue
        columns = {(column.table, column.name): column for column in atom.find_all(exp.Column)}
        inside = atom.find(exp.Query) or atom.find(exp.Window) or atom.find(exp.AggFunc)
        if len(columns) != 1 or inside or atom.find_ancestor(exp.Query, exp.Not, exp.Case):
            continue
        (column,) = columns.values()
        constants = list(atom.find_all(exp.Literal))
        if constants and (column.name in NUMBERS or any(constant.is_string for constant in constants)):
            yield atom, column


def hint_of(atom: exp.Expr, values: exp.Select, ask: AnswerSelect, *, of: str) -> str:
    """Return a sentence about a comparison that no row satisfies, empty where one does or there is no row.

    Parameters
    ----------
    atom
        The comparison of one column with constants.
    values
        The SELECT of the column's different values.
    ask
        What answers.
    of
        What the rows are, in the singular.
    """
    rows = exp.alias_(values.subquery(), "rows", table=True)
    (column,) = {column.name for column in atom.find_all(exp.Column)}
    satisfied = exp.select("count(*)", exp.func("count_if", atom.transform(_plain))).from_(rows)
    ((there, matching),) = ask(satisfied).fetchall()
    if matching or not there:
        return ""
    name = exp.column(column, quoted=True)
    known = exp.select(exp.cast(name, "VARCHAR")).from_(rows).where(name.is_(exp.null()).not_())
    listed = [row[0] for row in ask(known.limit(MOST)).fetchall()]
    said = f"{atom.transform(_plain).sql(DIALECT)} holds for no {of}"
    texts = [constant.this for constant in atom.find_all(exp.Literal) if constant.is_string]
    if not texts or not listed:
        return f"{said}: {column} is {_range(listed) if listed else 'NULL in all of them'}."
    return f"{said}. {str(unknown(column, texts[0], listed)).partition('. ')[2]}"


def _plain(node: exp.Expr) -> exp.Expr:
    """Write a column as its user does: by its name, in quotes only where it needs them."""
    if isinstance(node, exp.Column):
        return exp.column(exp.to_identifier(node.name))
    return node


def _range(listed: Sequence[str]) -> str:
    if len(listed) <= 10:
        return " or ".join(sorted(listed))
    try:
        numbers = sorted(map(float, listed))
    except ValueError:
        return f"one of {counted(len(listed), 'value')}"
    return f"between {numbers[0]:g} and {numbers[-1]:g}"
