"""The end of a query in other engines: QUALIFY, ORDER BY, LIMIT.

PostgreSQL and Spark have no QUALIFY: its condition becomes a column, asked for outside. There stands then the order as
well, and so does one after DISTINCT or a set operation, where PostgreSQL orders texts as the database's locale does.
"""

from collections.abc import Mapping

from sqlglot import exp

from spora_db.dialects.aggregates import ordered
from spora_db.dialects.kinds import Typed
from spora_db.dialects.literals import literal_whole
from spora_db.dialects.scope import Scope
from spora_db.dialects.targets import Untranslatable, refuse
from spora_db.sqltext.names import fold

_KEPT = "spora_kept"


def finished(
    node: exp.Expr,
    tree: exp.Query,
    columns: Mapping[str, Typed],
    scope: Scope,
    *,
    is_distinct: bool = False,
    kept: exp.Expr | None = None,
) -> exp.Query:
    """Return what is translated of a query with its end: the columns of its result, the condition of QUALIFY."""
    order = node.args.get("order")
    given = [] if order is None else list(order.expressions)
    keys = [_key(item, columns, scope) for item in given]
    is_outside = is_distinct or kept is not None or isinstance(tree, exp.SetOperation)
    is_other = is_outside and any(name is None for name, _ in keys)
    refuse(is_other, "ORDER BY of something else", "Order by columns of the result.")
    names = [exp.column(name, quoted=True) for name in columns]
    if kept is not None:
        tree.append("expressions", exp.alias_(kept, _KEPT, quoted=True))
        tree = exp.select(*names).from_(tree.subquery("kept_rows")).where(exp.column(_KEPT, quoted=True))
    if is_distinct:
        tree.set("distinct", exp.Distinct())
    if keys and (is_distinct or isinstance(tree, exp.SetOperation)):
        tree = exp.select(*names).from_(tree.subquery("ordered"))
    items = []
    for item, (name, typed) in zip(given, keys, strict=True):
        by_name = name is not None and (is_outside or typed.kind != "text" or scope.dialect == "spark")
        value = Typed(tree=exp.column(name, quoted=True), kind=typed.kind) if by_name and name else typed
        items.append(ordered(item, scope, value))
    if items:
        tree.set("order", exp.Order(expressions=items))
    for clause, made in (("limit", exp.Limit), ("offset", exp.Offset)):
        if (part := node.args.get(clause)) is not None:
            tree.set(clause, made(expression=_number(part, is_ordered=bool(keys))))
    return tree


def _key(item: exp.Expr, columns: Mapping[str, Typed], scope: Scope) -> tuple[str | None, Typed]:
    """Return what is ordered by: a column of the result, by its name or place, or an expression."""
    key = item.this if isinstance(item, exp.Ordered) else item
    names = list(columns)
    place = literal_whole(key) or 0
    if 0 < place <= len(names):
        return names[place - 1], columns[names[place - 1]]
    by_all = isinstance(key, exp.Var | exp.Column) and key.name.upper() == "ALL"
    refuse(by_all or isinstance(key, exp.Literal), "ORDER BY ALL or a literal", "List the columns.")
    found = [name for name in names if isinstance(key, exp.Column) and not key.table and fold(name) == fold(key.name)]
    if found:
        return found[0], columns[found[0]]
    typed = scope.typed(key)
    refuse(typed.tree.find(exp.Window), "A window in ORDER BY", "Give it a name among the columns of a sub-select.")
    return None, typed


def _number(part: exp.Expr, *, is_ordered: bool) -> exp.Expr:
    """Return the number of LIMIT or OFFSET."""
    number = literal_whole(part.args.get("expression"))
    if number is None or any(value for name, value in part.args.items() if name not in ("expression", "this")):
        raise Untranslatable("LIMIT of such a number", "Write a whole number.")
    refuse(not is_ordered, "LIMIT of rows in no order", "Say ORDER BY, by columns that tell all rows apart.")
    return exp.Literal.number(number)
