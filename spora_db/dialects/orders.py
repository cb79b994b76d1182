"""The end of a query in other engines: QUALIFY, ORDER BY, LIMIT.

PostgreSQL and Spark have no QUALIFY: its condition becomes a column, asked for outside. There stands then the order as
well, and so does one after DISTINCT or a set operation, where PostgreSQL orders texts as the database's locale does.
"""

from collections.abc import Mapping
from dataclasses import replace

from sqlglot import exp

from spora_db.dialects.aggregates import ordered
from spora_db.dialects.kinds import Typed
from spora_db.dialects.literals import literal_whole
from spora_db.dialects.scope import Scope, Translated
from spora_db.dialects.targets import refuse
from spora_db.sqltext.names import fold

_KEPT = "spora_kept"


def finished(node: exp.Query, columns: Mapping[str, Typed], scope: Scope) -> Translated:
    """Return a query, of which the rest is translated, with its end; `columns` are those of its result."""
    clauses = {name: node.args.get(name) for name in ("with_", "qualify", "distinct", "order", "limit", "offset")}
    is_outside = isinstance(node, exp.SetOperation) or bool(clauses["qualify"] or clauses["distinct"])
    items = [] if clauses["order"] is None else clauses["order"].expressions
    keys = [_key(item, columns, scope, by_name_alone=is_outside) for item in items]
    tree, names = node, [exp.column(name, quoted=True) for name in columns]
    for clause in clauses:
        if not isinstance(node, exp.SetOperation) or clause != "distinct":
            node.set(clause, None)
    if clauses["qualify"]:
        node.append("expressions", exp.alias_(clauses["qualify"].this, _KEPT, quoted=True))
        tree = exp.select(*names).from_(tree.subquery("kept_rows")).where(exp.column(_KEPT, quoted=True))
    if clauses["distinct"] and isinstance(tree, exp.Select):
        tree.set("distinct", exp.Distinct())
    if keys and (clauses["distinct"] or isinstance(tree, exp.SetOperation)):
        tree = exp.select(*names).from_(tree.subquery("ordered"))
    if keys:
        words = [ordered(item, scope, key) for item, key in zip(items, keys, strict=True)]
        tree.set("order", exp.Order(expressions=words))
    for clause in ("limit", "offset"):
        if (part := clauses[clause]) is not None:
            refuse(literal_whole(part.args["expression"]) is None, "LIMIT of such a number", "Write a whole number.")
            refuse(not keys, "LIMIT of rows in no order", "Say ORDER BY, by columns that tell all rows apart.")
            tree.set(clause, part)
    tree.set("with_", clauses["with_"])
    return Translated(tree=tree, columns={fold(name): (name, typed.kind) for name, typed in columns.items()})


def _key(item: exp.Expr, columns: Mapping[str, Typed], scope: Scope, *, by_name_alone: bool) -> Typed:
    """Return what is ordered by: a column of the result, by its name, or an expression."""
    key = item.this if isinstance(item, exp.Ordered) else item
    refuse(isinstance(key, exp.Literal), "ORDER BY of a literal", "Order by columns.")
    of_result = isinstance(key, exp.Column) and not key.table
    found = [name for name in columns if of_result and fold(name) == key.name]
    refuse(by_name_alone and not found, "ORDER BY of something else", "Order by columns of the result.")
    if not found:
        typed = replace(scope, aliases={fold(name): typed for name, typed in columns.items()}).typed(key)
        refuse(typed.tree.find(exp.Window), "A window in ORDER BY", "Give it a name among the columns of a sub-select.")
        return typed
    typed = columns[found[0]]
    if typed.kind == "text" and scope.dialect == "postgres" and not by_name_alone:
        return typed  # with another collation it is an expression, in which PostgreSQL knows no names of the result
    return Typed(tree=exp.column(found[0], quoted=True), kind=typed.kind)
