"""Aggregates and windows in other engines: those whose answer does not depend on the order in which rows are read.

FILTER becomes a CASE inside the aggregate, which can also stand before OVER.
"""

from collections.abc import Callable, Mapping, Sequence

from sqlglot import exp

from spora_db.dialects.forms import BYTES, PLAIN, called, filled, table
from spora_db.dialects.kinds import Typed
from spora_db.dialects.literals import literal_whole
from spora_db.dialects.scope import Scope
from spora_db.dialects.targets import Untranslatable, refuse
from spora_db.sqltext.names import fold

_ORDER = "Say ORDER BY inside OVER (...), by columns that tell all rows apart."
_SIDES = ("UNBOUNDED", "CURRENT ROW")

_FORMS = table(
    ("count", "", "integer", "count(*)"),
    ("count", "value", "integer"),
    ("distinct", "compared", "integer", "count(DISTINCT $a)"),
    ("count_if countif", "boolean", "wide", "count(CASE WHEN $a THEN 1 END)"),
    ("sum", "integer", "wide"),
    ("sum", "float", "double", "sum(CAST($a AS DOUBLE))"),
    ("sum", "number", "same"),
    ("avg mean", "real", "double", "avg($a)"),
    ("median", "real", "double", "percentile_cont(0.5) WITHIN GROUP (ORDER BY $a)", "median($a)"),
    ("min", "text", "text", f"min($a {BYTES}) {PLAIN}", "min($a)"),
    ("max", "text", "text", f"max($a {BYTES}) {PLAIN}", "max($a)"),
    ("min max", "ordered", "same"),
    ("bool_and bool_or", "boolean", "boolean"),
)

WINDOWS = table(
    ("row_number rank dense_rank", "", "integer"),
    ("lag lead", "compared", "same"),
    ("lag lead", "compared count", "same"),
)
"""Functions that need OVER and an order."""
_IN_WINDOWS = frozenset({"count", "count_star", "count_if", "countif", "sum", "avg", "mean", "min", "max"})

Condition = exp.Expr | None


def _plain(node: exp.Expr, scope: Scope, condition: Condition) -> Typed:
    given = [scope.typed(value) for value in node.expressions]
    return called(_FORMS, fold(node.name), given, scope.dialect, condition=condition)


def _count(node: exp.Expr, scope: Scope, condition: Condition) -> Typed:
    given = [value for value in node.expressions if not isinstance(value, exp.Star)]
    if given and isinstance(given[0], exp.Distinct):
        is_one = len(given) == 1 and not given[0].args.get("on")
        refuse(not is_one, "count(DISTINCT) of several values", "Count one.")
        value = [scope.typed(part) for part in given[0].expressions]
        return called(_FORMS, "distinct", value, scope.dialect, condition=condition)
    if not given and condition is not None:
        given = [exp.Literal.number(1)]
    return called(_FORMS, "count", [scope.typed(value) for value in given], scope.dialect, condition=condition)


def _list(node: exp.Expr, scope: Scope, condition: Condition) -> Typed:
    """Collect distinct texts in order: lists have no order otherwise, and Spark keeps no NULLs."""
    order = node.expressions[0] if len(node.expressions) == 1 else None
    is_distinct = isinstance(order, exp.Order) and isinstance(order.this, exp.Distinct)
    items = [*order.this.expressions, *order.expressions] if is_distinct and order is not None else []
    ascending = len(items) == 2 and items[0] == items[1].this and not items[1].args.get("desc")
    is_known = ascending and condition is None and (scope.dialect == "postgres" or scope.makes_view)
    refuse(not is_known, "array_agg called so", "Only array_agg(DISTINCT x ORDER BY x) of texts can be said.")
    value = scope.of_group(items[0], "text", what="The aggregate array_agg").tree
    nulls = "FIRST" if items[1].args.get("nulls_first") else "LAST"
    words = f"array_agg(DISTINCT $a {BYTES} ORDER BY $a {BYTES} NULLS {nulls})"
    return Typed(
        tree=filled(words if scope.dialect == "postgres" else "sort_array(collect_set($a))", [value]), kind="other"
    )


AGGREGATES: Mapping[str, Callable[[exp.Expr, Scope, Condition], Typed]] = {
    **{name: _plain for name in _FORMS if name != "distinct"},
    **dict.fromkeys(("count", "count_star"), _count),
    "array_agg": _list,
}
"""What translates an aggregate, by its name in DuckDB."""


def aggregate(node: exp.Expr, scope: Scope, condition: Condition = None) -> Typed:
    """Translate a call of one of `AGGREGATES`, for the rows that meet the condition of FILTER."""
    return AGGREGATES[fold(node.name)](node, scope, condition)


def _name(node: exp.Expr) -> str:
    return fold(node.name) if isinstance(node, exp.Anonymous) else node.key


def filtered(node: exp.Expr, scope: Scope) -> Typed:
    """Translate an aggregate with FILTER."""
    name = _name(node.this)
    refuse(name not in AGGREGATES, f"The aggregate {name}", f"Use {', '.join(AGGREGATES)}.")
    return aggregate(node.this, scope, scope.condition(node.args["expression"].this))


def window(node: exp.Expr, scope: Scope) -> Typed:
    """Translate a function with OVER (...)."""
    inner = node.this.this if isinstance(node.this, exp.Filter) else node.this
    name, order, spec = _name(inner), node.args.get("order"), node.args.get("spec")
    is_named = str(node.args.get("over") or "OVER").upper() != "OVER"
    refuse(is_named, "A named window", "Write its parts inside OVER (...).")
    if name in WINDOWS:
        is_ordered = order is not None and not isinstance(node.this, exp.Filter)
        refuse(not is_ordered, f"{name}() of rows in no order", _ORDER)
        typed = called(WINDOWS, name, [scope.typed(given) for given in inner.expressions], scope.dialect)
    elif name in _IN_WINDOWS and not any(isinstance(given, exp.Distinct) for given in inner.expressions):
        typed = scope.typed(node.this)
    else:
        raise Untranslatable(f"The window function {name}", f"Use {', '.join((*WINDOWS, *sorted(_IN_WINDOWS)))}.")
    by = [scope.of_group(key, "compared", what="PARTITION BY").tree for key in node.args.get("partition_by") or []]
    is_collated = isinstance(typed.tree, exp.Collate)
    over = exp.Window(this=typed.tree.this if is_collated else typed.tree, partition_by=by, over="OVER")
    if order is not None:
        over.set("order", exp.Order(expressions=[ordered(key, scope) for key in order.expressions]))
    if spec is not None:
        over.set("spec", _frame(spec))
    return Typed(tree=filled(f"$a {PLAIN}", [over]) if is_collated else over, kind=typed.kind)


def _frame(spec: exp.Expr) -> exp.Expr:
    sides: Sequence[object] = [spec.args.get(side) for side in ("start", "end")]
    in_rows = str(spec.args.get("kind")).upper() == "ROWS"
    known = [
        side in _SIDES or (in_rows and isinstance(side, exp.Expr) and literal_whole(side) is not None) for side in sides
    ]
    is_other = spec.args.get("exclude") or not all(known)
    refuse(is_other, "A frame of a window", "Write ROWS BETWEEN n PRECEDING AND CURRENT ROW.")
    return spec.copy()


def ordered(item: exp.Expr, scope: Scope, typed: Typed | None = None) -> exp.Ordered:
    """Translate an item of ORDER BY, or what is known of it: texts by their bytes, NULLs where DuckDB has them."""
    key = item.this if isinstance(item, exp.Ordered) else item
    if typed is None:
        typed = scope.of_group(key, "compared", what="ORDER BY")
    refuse(typed.kind == "other", "ORDER BY a list or the like", "Order by columns of plain types.")
    is_text = typed.kind == "text" and scope.dialect == "postgres"
    tree = filled(f"$a {BYTES}", [typed.tree]) if is_text else typed.tree
    return exp.Ordered(this=tree, desc=item.args.get("desc"), nulls_first=bool(item.args.get("nulls_first")))
