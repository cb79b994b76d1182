"""The end of a query in other engines: QUALIFY, ORDER BY, LIMIT.

PostgreSQL and Spark have no QUALIFY: its condition becomes a column, asked for outside. There stands then the order as
well, and so does one by the bytes of texts after DISTINCT or a set operation, where PostgreSQL orders by columns only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from spora_db.dialects.aggregates import ordered
from spora_db.dialects.kinds import Typed, literal_whole
from spora_db.dialects.scope import Scope
from spora_db.dialects.targets import refused
from spora_db.sqltext.names import fold

OUTSIDE, KEPT = "ordered", "spora_kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """A query whose end is to be translated.

    Attributes
    ----------
    node
        The query as it was read.
    tree
        What is translated of it.
    columns
        The columns of its result.
    scope
        Where its ORDER BY looks for names.
    is_distinct
        Whether equal rows are made one.
    kept
        The translated condition of QUALIFY.
    """

    node: exp.Expr
    tree: exp.Query
    columns: Mapping[str, Typed]
    scope: Scope
    is_distinct: bool = False
    kept: exp.Expr | None = None


def finished(asked: Finish) -> exp.Query:
    """Return the query with its end.

    Raises
    ------
    QueryError
        For a LIMIT of rows in no order, and for orders that other engines do not have.
    """
    order = asked.node.args.get("order")
    given = [] if order is None else list(order.expressions)
    keys = [_key(item, asked) for item in given]
    strict = asked.is_distinct or isinstance(asked.tree, exp.SetOperation)  # then an order is by columns of the result
    if strict and any(name is None for name, _ in keys):
        remedy = "Order by columns of the result."
        raise refused("ORDER BY of something else", asked.scope.dialect, remedy=remedy, node=asked.node)
    words = [ordered(item, asked.scope, typed) for item, (_, typed) in zip(given, keys, strict=True)]
    rewritten = [len(items) > 1 or isinstance(items[0].this, exp.Collate) for items in words]
    windowed = any(typed.tree.find(exp.Window) for _, typed in keys)
    if (asked.kept is not None or windowed or any(rewritten)) and (strict or asked.kept is not None or windowed):
        whole = _outside(asked, given, keys)
    else:
        whole = asked.tree
        if asked.is_distinct:
            whole.set("distinct", exp.Distinct())
        final = []
        for item, (name, _), items, changed in zip(given, keys, words, rewritten, strict=True):
            final += items if name is None or changed else [_item(item, exp.column(name, quoted=True))]
        if final:
            whole.set("order", exp.Order(expressions=final))
    for clause, made in (("limit", exp.Limit), ("offset", exp.Offset)):
        if (part := asked.node.args.get(clause)) is not None:
            whole.set(clause, made(expression=_number(part, asked, is_ordered=bool(keys))))
    return whole


def _item(item: exp.Expr, key: exp.Expr) -> exp.Ordered:
    return exp.Ordered(this=key, desc=item.args.get("desc"), nulls_first=bool(item.args.get("nulls_first")))


def _key(item: exp.Expr, asked: Finish) -> tuple[str | None, Typed]:
    """Return what is ordered by: a column of the result, by its name or place, or an expression."""
    key = item.this if isinstance(item, exp.Ordered) else item
    names = list(asked.columns)
    place = literal_whole(key)
    if place is not None and 0 < place <= len(names):
        return names[place - 1], asked.columns[names[place - 1]]
    if isinstance(key, exp.Var | exp.Column) and key.name.upper() == "ALL":
        raise refused("ORDER BY ALL", asked.scope.dialect, remedy="List the columns.", node=asked.node)
    if isinstance(key, exp.Literal):
        raise refused("ORDER BY of a literal", asked.scope.dialect, remedy="Order by columns.", node=asked.node)
    if isinstance(key, exp.Column) and not key.table:
        found = next((name for name in names if fold(name) == fold(key.name)), None)
        if found is not None:
            return found, asked.columns[found]
    return None, asked.scope.typed(key)


def _outside(asked: Finish, given: Sequence[exp.Expr], keys: Sequence[tuple[str | None, Typed]]) -> exp.Query:
    """Put the condition of QUALIFY and the order around the query; what is distinct is so before it is ordered."""
    names = [exp.column(name, quoted=True) for name in asked.columns]
    inner: exp.Query = asked.tree
    if isinstance(inner, exp.Select):
        for word, name in zip(list(inner.expressions), asked.columns, strict=True):
            if not word.alias_or_name:
                word.replace(exp.alias_(word.copy(), name, quoted=True))
    items: list[exp.Ordered] = []
    for place, (item, (known, typed)) in enumerate(zip(given, keys, strict=True)):
        name = f"spora_order_{place}" if known is None else known
        if known is None:
            inner.append("expressions", exp.alias_(typed.tree.copy(), name, quoted=True))
        items += ordered(item, asked.scope, Typed(tree=exp.column(name, quoted=True), kind=typed.kind))
    if asked.kept is not None:
        inner.append("expressions", exp.alias_(asked.kept, KEPT, quoted=True))
        kept = exp.select(*(name.copy() for name in names)).from_(inner.subquery("kept_rows"))
        inner = kept.where(exp.column(KEPT, quoted=True))
    if asked.is_distinct:
        inner.set("distinct", exp.Distinct())
    if asked.kept is None or asked.is_distinct:
        inner = exp.select(*names).from_(inner.subquery(OUTSIDE)) if items else inner
    if items:
        inner.set("order", exp.Order(expressions=items))
    return inner


def _number(part: exp.Expr, asked: Finish, *, is_ordered: bool) -> exp.Expr:
    """Return the number of LIMIT or OFFSET."""
    number = literal_whole(part.args["expression"]) if part.args.get("expression") is not None else None
    others = any(value for name, value in part.args.items() if name not in ("expression", "this"))
    if number is None or others:
        raise refused("LIMIT of such a number", asked.scope.dialect, remedy="Write a whole number.", node=asked.node)
    if not is_ordered:
        remedy = "Say ORDER BY, by columns that tell all rows apart."
        raise refused("LIMIT of rows in no order", asked.scope.dialect, remedy=remedy, node=asked.node)
    return exp.Literal.number(number)
