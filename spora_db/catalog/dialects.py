"""The same SELECT for another engine: sqlglot translates the names, and what it leaves as DuckDB's own is written anew.

``translate`` runs a text through ``STEPS``, each of which replaces one thing that the target lacks by plain SQL: stars
with exclusions, QUALIFY beside ORDER BY, text read as a hexadecimal number, casts that may fail. What then still
calls a function that no other engine has is refused; nothing is passed on in the hope that it works there.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, ParseError, UnsupportedError

from spora_db.catalog.dialect_functions import OWN, REWRITES, refuse_unknown
from spora_db.errors import QueryError, unknown
from spora_db.guard.text import fold

Dialect = Literal["duckdb", "postgres", "spark", "databricks", "bigquery", "snowflake"]
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
Columns = Mapping[str, Mapping[str, str]]
"""By relation, by column, in order: the type in DuckDB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a text goes, and what is known about the relations that it names."""

    dialect: Dialect
    columns: Columns

    def spelled(self, name: str) -> str:
        """Return a column's name as the relations spell it; DuckDB does not mind the case, others do."""
        found = {column for names in self.columns.values() for column in names if fold(column) == fold(name)}
        return found.pop() if len(found) == 1 else name

    def type_of(self, name: str) -> str:
        """Return the type of a column of that name; VARCHAR where relations differ or do not know it."""
        found = {
            kind for names in self.columns.values() for column, kind in names.items() if fold(column) == fold(name)
        }
        return found.pop() if len(found) == 1 else "VARCHAR"


def check_dialect(dialect: str) -> None:
    """Refuse a dialect that is not among `DIALECTS`.

    Raises
    ------
    UnknownNameError
        The message lists those that are.
    """
    if dialect not in DIALECTS:
        raise unknown("dialect", dialect, DIALECTS)


def translate(text: str, *, dialect: Dialect, columns: Columns) -> str:
    """Return a statement of DuckDB in another engine's SQL, identifiers quoted.

    Parameters
    ----------
    text
        A SELECT, or a CREATE VIEW over one, in DuckDB's dialect.
    dialect
        The other engine.
    columns
        The columns of the relations that the text names, with their types in DuckDB.

    Raises
    ------
    QueryError
        If the text holds something that has no translation; the message names it.

    Examples
    --------
    >>> columns = {"t": {"a": "INTEGER", "b": "DATE"}}
    >>> print(translate("SELECT * EXCLUDE (b) FROM t", dialect="postgres", columns=columns))
    SELECT
      "t"."a" AS "a"
    FROM "t"
    """
    check_dialect(dialect)
    try:
        tree: exp.Expr = sqlglot.parse_one(text, dialect="duckdb")
        target = Target(dialect=dialect, columns=columns)
        for step in STEPS:
            tree = step(tree, target)
        return write(tree, dialect)
    except ParseError as error:
        raise QueryError(f"The SQL cannot be read for translation to {dialect}: {error}") from error


def write(tree: exp.Expr, dialect: Dialect) -> str:
    """Return a tree as text of a dialect, comments left out.

    Raises
    ------
    QueryError
        If sqlglot knows that the dialect lacks something.
    """
    try:
        return tree.sql(dialect, identify=True, pretty=True, comments=False, unsupported_level=ErrorLevel.RAISE)
    except UnsupportedError as error:
        raise QueryError(f"No translation to {dialect}: {error}") from error


def _spell(tree: exp.Expr, target: Target) -> exp.Expr:
    """Write columns as the relations spell them."""
    for column in tree.find_all(exp.Column):
        if isinstance(column.this, exp.Identifier):
            column.set("this", exp.to_identifier(target.spelled(column.name), quoted=True))
    return tree


def _expand_stars(tree: exp.Expr, target: Target) -> exp.Expr:
    """Replace ``* EXCLUDE (...)`` by the columns that are left; inner SELECTs first, as the outer ones need theirs."""
    for select in reversed(list(tree.find_all(exp.Select))):
        projected: list[exp.Expr] = []
        for item in select.expressions:
            star = item.this if isinstance(item, exp.Column) else item
            left_out = star.args.get("except_") if isinstance(star, exp.Star) else None
            if not left_out:
                projected.append(item)
                continue
            excluded = {fold(name.name) for name in left_out}
            for alias, names in _sources(select, target):
                if isinstance(item, exp.Column) and item.table != alias:
                    continue
                kept = [name for name in names if fold(name) not in excluded]
                projected += [
                    exp.alias_(exp.column(name, table=alias, quoted=True), name, quoted=True) for name in kept
                ]
        select.set("expressions", projected)
    return tree


def _sources(select: exp.Select, target: Target) -> Iterator[tuple[str, list[str]]]:
    """Yield what a SELECT reads from, by alias, each with its columns."""
    ctes = {fold(cte.alias): cte.this.named_selects for cte in select.find_all(exp.CTE)}
    around = select.find_ancestor(exp.With, exp.Create)
    if isinstance(around, exp.With):
        ctes |= {fold(cte.alias): cte.this.named_selects for cte in around.expressions}
    from_ = select.args.get("from_")
    for place in ([from_.this] if from_ else []) + [join.this for join in select.args.get("joins") or []]:
        if isinstance(place, exp.Subquery):
            yield place.alias, list(place.this.named_selects)
        elif fold(place.name) in ctes:
            yield place.alias_or_name, list(ctes[fold(place.name)])
        else:
            known = {fold(name): names for name, names in target.columns.items()}
            if fold(place.name) not in known:
                raise QueryError(
                    f"The columns of {place.name!r} are not known, so a star over it cannot be translated."
                )
            yield place.alias_or_name, list(known[fold(place.name)])


def _order_outside(tree: exp.Expr, target: Target) -> exp.Expr:
    """Put ORDER BY around a query with QUALIFY or with a window in it: Spark orders by columns only.

    Without QUALIFY its condition stands outside, and an order inside would mean nothing.
    """
    del target
    for select in reversed(list(tree.find_all(exp.Select))):  # inner ones first
        order = select.args.get("order")
        if order is None or not (select.args.get("qualify") or order.find(exp.Window)):
            continue
        names, outside = select.named_selects, {key: select.args.get(key) for key in ("limit", "offset")}
        inner = select.copy()
        for key in ("order", *outside):
            inner.set(key, None)
        order = order.copy()
        for place, item in enumerate(order.expressions):
            if not (isinstance(item.this, exp.Column) and not item.this.table and item.this.name in names):
                inner.select(exp.alias_(item.this.copy(), f"order_{place}"), copy=False)
                item.set("this", exp.column(f"order_{place}"))
        outer = exp.select(*(exp.column(name, quoted=True) for name in names)).from_(inner.subquery("ordered"))
        outer.set("order", order)
        for key, clause in outside.items():
            outer.set(key, clause.copy() if clause else None)
        if select is tree:
            tree = outer
        else:
            select.replace(outer)
    return tree


def _rewrite(tree: exp.Expr, target: Target) -> exp.Expr:
    """Replace the expressions that ``REWRITES`` knows, inner ones first."""
    type_of = _types(tree, target)
    for node in reversed(list(tree.walk())):
        written = node
        for kind, rewrite in REWRITES:
            if isinstance(written, kind):
                written = rewrite(written, target.dialect, type_of)
        if written is not node:
            node.replace(written)
    return tree


def _types(tree: exp.Expr, target: Target) -> Callable[[exp.Expr], str]:
    """Return what tells the DuckDB type of an expression: of a column, also under an alias, or that of a cast."""

    def type_of(node: exp.Expr) -> str:
        if isinstance(node, exp.Paren | exp.Floor):
            return "DOUBLE" if isinstance(node, exp.Floor) else type_of(node.this)
        if isinstance(node, exp.Cast):
            return node.to.sql("duckdb")
        if not isinstance(node, exp.Column):
            return "DOUBLE" if isinstance(node, exp.Binary) else "VARCHAR"
        aliased = next((a for a in tree.find_all(exp.Alias) if a.alias == node.name and a.this is not node), None)
        if aliased is not None and isinstance(aliased.this, exp.Column) and aliased.this.name != node.name:
            return target.type_of(aliased.this.name)
        return target.type_of(node.name)

    return type_of


def _refuse(tree: exp.Expr, target: Target) -> exp.Expr:
    """Refuse what is left of DuckDB's own."""
    for node in tree.walk():
        if isinstance(node, exp.Anonymous) and node.name.lower() not in OWN:
            refuse_unknown(node, target.dialect)
        if isinstance(node, exp.Star) and (node.args.get("replace") or node.args.get("rename")):
            raise QueryError(f"* REPLACE and * RENAME have no translation to {target.dialect}; list the columns.")
        if isinstance(node, exp.Group | exp.Order) and target.dialect == "postgres" and _by_all(node):
            raise QueryError(
                f"GROUP BY ALL and ORDER BY ALL have no translation to {target.dialect}; list the columns."
            )
    return tree


def _by_all(node: exp.Group | exp.Order) -> bool:
    return bool(node.args.get("all")) or any(
        isinstance(item.this if isinstance(item, exp.Ordered) else item, exp.Var | exp.Column)
        and (item.this if isinstance(item, exp.Ordered) else item).name.upper() == "ALL"
        for item in node.expressions
    )


STEPS: tuple[Callable[[exp.Expr, Target], exp.Expr], ...] = (_spell, _expand_stars, _order_outside, _rewrite, _refuse)
"""What happens to a tree, in order."""
