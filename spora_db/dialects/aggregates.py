"""Aggregates and windows in other engines: those whose answer does not depend on the order in which rows are read.

FILTER becomes a CASE inside the aggregate, as BigQuery and Snowflake have none.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlglot import exp

from spora_db.dialects.kinds import COMPARED, NUMBERS, ORDERED, Kind, Sign, Typed, literal_whole
from spora_db.dialects.scope import Scope
from spora_db.dialects.targets import SPARK, refused
from spora_db.dialects.texts import BYTES, PLAIN, collated
from spora_db.sqltext.expressions import call as made  # `call` is what is translated here
from spora_db.sqltext.names import fold

_ORDER = "Say ORDER BY inside OVER (...), by columns that tell all rows apart."
_SIDES = ("UNBOUNDED", "CURRENT ROW")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call of an aggregate or window function."""

    name: str
    node: exp.Expr
    scope: Scope
    condition: exp.Expr | None = None

    @property
    def arguments(self) -> list[exp.Expr]:
        """What it is called with."""
        return list(self.node.expressions)

    def one(self, *kinds: Kind) -> Typed:
        """Translate its only argument."""
        if len(self.arguments) != 1 or isinstance(self.arguments[0], exp.Distinct | exp.Order | exp.Star):
            remedy = "Call it with one value; no DISTINCT or ORDER BY inside."
            raise refused(f"{self.name} called so", self.scope.dialect, remedy=remedy, node=self.node)
        return self.scope.of_kind(self.arguments[0], *kinds, what=f"The aggregate {self.name}")

    def only(self, value: exp.Expr) -> exp.Expr:
        """Return the value for the rows that FILTER leaves, NULL for others."""
        return value if self.condition is None else exp.Case().when(self.condition.copy(), value)


def _count(call: Call) -> Typed:
    given = call.arguments
    if not given or isinstance(given[0], exp.Star):
        star: exp.Expr = exp.Star() if call.condition is None else call.only(exp.Literal.number(1))
        return Typed(tree=exp.Count(this=star, big_int=True), kind="integer", sign="nonnegative")
    if (
        isinstance(given[0], exp.Distinct)
        and len(given) == len(given[0].expressions) == 1
        and not given[0].args.get("on")
    ):
        value = call.scope.of_kind(given[0].expressions[0], *COMPARED, what="count(DISTINCT)").tree
        counted: exp.Expr = exp.Distinct(expressions=[call.only(value)])
    else:
        counted = call.only(call.one(*COMPARED, "other").tree)
    return Typed(tree=exp.Count(this=counted, big_int=True), kind="integer", sign="nonnegative")


def _count_if(call: Call) -> Typed:
    condition = call.one("boolean").tree
    condition = condition if call.condition is None else exp.and_(condition, call.condition.copy())
    counted = exp.Case().when(condition, exp.Literal.number(1))
    return Typed(tree=exp.Count(this=counted, big_int=True), kind="wide", sign="nonnegative")


def _sum(call: Call) -> Typed:
    typed = call.one(*NUMBERS)
    if typed.kind == "decimal" and call.scope.dialect == "bigquery":
        raise refused("sum of decimals", call.scope.dialect, remedy="Cast them to DOUBLE.", node=call.node)
    value = exp.cast(typed.tree, exp.DType.DOUBLE) if typed.kind == "float" else typed.tree
    kind: Kind = {"integer": "wide", "float": "double"}.get(typed.kind, typed.kind)  # type: ignore[assignment]
    return Typed(tree=made("SUM", call.only(value)), kind=kind)


def _average(call: Call) -> Typed:
    value = exp.cast(call.one(*NUMBERS).tree, exp.DType.DOUBLE)
    return Typed(tree=made("AVG", call.only(value)), kind="double")


def _median(call: Call) -> Typed:
    dialect = call.scope.dialect
    if dialect == "bigquery" or call.node.parent_select is None:
        raise refused("The aggregate median", dialect, remedy="Use avg, or min and max.", node=call.node)
    value = call.only(exp.cast(call.one(*NUMBERS).tree, exp.DType.DOUBLE))
    if dialect != "postgres":
        return Typed(tree=made("MEDIAN", value), kind="double")
    order = exp.Order(expressions=[exp.Ordered(this=value, nulls_first=False)])
    half = made("PERCENTILE_CONT", exp.Literal.number("0.5"))
    return Typed(tree=exp.WithinGroup(this=half, expression=order), kind="double")


def _extreme(call: Call) -> Typed:
    typed = call.one(*ORDERED)
    dialect, name = call.scope.dialect, call.name.upper()
    if dialect == "bigquery" and name == "MIN" and typed.kind in ("float", "double"):
        raise refused(
            "min of floating-point numbers", dialect, remedy="NaN is the least one there; use max.", node=call.node
        )
    if typed.kind != "text":
        return Typed(tree=made(name, call.only(typed.tree)), kind=typed.kind, sign=typed.sign)
    found = made(name, collated(call.only(typed.tree), BYTES, dialect))
    return Typed(tree=collated(found, PLAIN, dialect), kind="text")


def _any_or_all(call: Call) -> Typed:
    value = call.only(call.one("boolean").tree)
    made = exp.LogicalOr if call.name == "bool_or" else exp.LogicalAnd
    return Typed(tree=made(this=value), kind="boolean")


def _list(call: Call) -> Typed:
    """Collect distinct texts in order: lists have no order otherwise, and only DuckDB and PostgreSQL keep NULLs."""
    order = call.arguments[0] if len(call.arguments) == 1 else None
    dialect = call.scope.dialect
    known = isinstance(order, exp.Order) and isinstance(order.this, exp.Distinct)
    items = [*order.this.expressions, *order.expressions] if known and order is not None else []
    ascending = len(items) == 2 and items[0] == items[1].this and not items[1].args.get("desc")
    if not ascending or not (dialect == "postgres" or call.scope.makes_view):
        remedy = "Only array_agg(DISTINCT x ORDER BY x) of texts can be said, in PostgreSQL."
        raise refused(f"The aggregate {call.name}", dialect, remedy=remedy, node=call.node)
    value = call.scope.of_kind(items[0], "text", what="The aggregate array_agg").tree
    value = collated(call.only(value), BYTES, dialect)
    if dialect in SPARK:
        return Typed(tree=made("SORT_ARRAY", made("COLLECT_SET", value)), kind="other")
    nulls_first = dialect == "postgres" and bool(items[1].args.get("nulls_first"))
    if dialect == "bigquery":
        nulls_first = True  # what it does by itself; it takes no other word here
    ordered = exp.Ordered(this=value.copy(), nulls_first=nulls_first)
    listed = exp.Order(this=exp.Distinct(expressions=[value]), expressions=[ordered])
    return Typed(tree=exp.ArrayAgg(this=listed), kind="other")


def _numbered(call: Call) -> Typed:
    if call.arguments:
        raise refused(f"{call.name} of something", call.scope.dialect, remedy=f"Write {call.name}().", node=call.node)
    return Typed(tree=exp.Anonymous(this=call.name.upper()), kind="integer", sign="positive")


def _neighbour(call: Call) -> Typed:
    places = [literal_whole(given) for given in call.arguments[1:]]
    if len(call.arguments) not in (1, 2) or any(place is None or place < 0 for place in places):
        remedy = f"Write {call.name}(x) or {call.name}(x, 2)."
        raise refused(f"{call.name} called so", call.scope.dialect, remedy=remedy, node=call.node)
    typed = call.scope.of_kind(call.arguments[0], *COMPARED, what=f"The function {call.name}")
    given = [typed.tree, *(exp.Literal.number(str(place)) for place in places)]
    return Typed(tree=exp.Anonymous(this=call.name.upper(), expressions=given), kind=typed.kind)


AGGREGATES: Mapping[str, Callable[[Call], Typed]] = {
    "count": _count,
    "count_star": _count,
    **dict.fromkeys(("count_if", "countif"), _count_if),
    "sum": _sum,
    **dict.fromkeys(("avg", "mean"), _average),
    "median": _median,
    **dict.fromkeys(("min", "max"), _extreme),
    **dict.fromkeys(("bool_and", "bool_or"), _any_or_all),
    "array_agg": _list,
}
"""What translates an aggregate, by its name in DuckDB."""

WINDOWS: Mapping[str, Callable[[Call], Typed]] = {
    **dict.fromkeys(("row_number", "rank", "dense_rank"), _numbered),
    **dict.fromkeys(("lag", "lead"), _neighbour),
}
"""What translates a function that needs OVER and an order."""
_IN_WINDOWS = frozenset({"count", "count_star", "count_if", "countif", "sum", "avg", "mean", "min", "max"})


def aggregate(node: exp.Anonymous, scope: Scope, condition: exp.Expr | None = None) -> Typed:
    """Translate a call of one of `AGGREGATES`."""
    name = fold(node.name)
    return AGGREGATES[name](Call(name=name, node=node, scope=scope, condition=condition))


def filtered(node: exp.Expr, scope: Scope) -> Typed:
    """Translate an aggregate with FILTER."""
    called, where = node.this, node.args["expression"]
    name = fold(called.name) if isinstance(called, exp.Anonymous) else called.key
    if name not in AGGREGATES:
        raise refused(f"The aggregate {name}", scope.dialect, remedy=f"Use {', '.join(AGGREGATES)}.", node=node)
    return aggregate(called, scope, scope.condition(where.this))


def window(node: exp.Expr, scope: Scope) -> Typed:
    """Translate a function with OVER (...)."""
    assert isinstance(node, exp.Window)
    called = node.this.this if isinstance(node.this, exp.Filter) else node.this
    name = fold(called.name) if isinstance(called, exp.Anonymous) else called.key
    named = node.args.get("alias") is not None or node.args.get("first") is not None
    order = node.args.get("order")
    if named or str(node.args.get("over") or "OVER").upper() != "OVER":
        raise refused("A named window", scope.dialect, remedy="Write its parts inside OVER (...).", node=node)
    if name in WINDOWS:
        if order is None or isinstance(node.this, exp.Filter):
            raise refused(f"{name}() of rows in no order", scope.dialect, remedy=_ORDER, node=node)
        typed = WINDOWS[name](Call(name=name, node=called, scope=scope))
    elif name in _IN_WINDOWS and not any(isinstance(given, exp.Distinct) for given in called.expressions):
        typed = scope.typed(node.this)
    else:
        remedy = f"Use {', '.join((*WINDOWS, *sorted(_IN_WINDOWS)))}."
        raise refused(f"The window function {name}", scope.dialect, remedy=remedy, node=node)
    by = [_partition(key, scope) for key in node.args.get("partition_by") or []]
    inner = typed.tree.this if isinstance(typed.tree, exp.Collate) else typed.tree
    over = exp.Window(this=inner, partition_by=by, over="OVER")
    if order is not None:
        over.set("order", exp.Order(expressions=[item for key in order.expressions for item in ordered(key, scope)]))
    if (spec := node.args.get("spec")) is not None:
        over.set("spec", _frame(spec, scope, node))
    counts_itself = name in ("count", "count_star") and spec is None and not isinstance(node.this, exp.Filter)
    is_star = not called.expressions or isinstance(called.expressions[0], exp.Star)
    sign: Sign = "positive" if name in WINDOWS or (counts_itself and is_star) else typed.sign
    tree = over if inner is typed.tree else collated(over, PLAIN, scope.dialect)
    return Typed(tree=tree, kind=typed.kind, sign="any" if name in ("lag", "lead") else sign)


def _partition(key: exp.Expr, scope: Scope) -> exp.Expr:
    """Translate an item of PARTITION BY; BigQuery takes no floating-point numbers there, but their texts tell them."""
    typed = scope.of_kind(key, *COMPARED, what="PARTITION BY")
    is_text = scope.dialect == "bigquery" and typed.kind in ("float", "double")
    return exp.cast(typed.tree, exp.DType.TEXT) if is_text else typed.tree


def _frame(spec: exp.Expr, scope: Scope, node: exp.Expr) -> exp.Expr:
    sides = [spec.args.get(side) for side in ("start", "end")]
    plain = [side in _SIDES for side in sides]
    rows = str(spec.args.get("kind")).upper() == "ROWS"
    whole = [isinstance(side, exp.Expr) and literal_whole(side) is not None for side in sides]
    known = all(side or (number and rows) for side, number in zip(plain, whole, strict=True))
    if spec.args.get("exclude") or not known:
        remedy = "Write ROWS BETWEEN n PRECEDING AND CURRENT ROW."
        raise refused("A frame of a window", scope.dialect, remedy=remedy, node=node)
    return spec.copy()


def ordered(item: exp.Expr, scope: Scope, typed: Typed | None = None) -> list[exp.Ordered]:
    """Translate an item of ORDER BY: texts by their bytes, NaN after all numbers, NULLs where DuckDB has them.

    Parameters
    ----------
    item
        The item.
    scope
        Where it stands.
    typed
        What it orders by, where that is known already.
    """
    key = item.this if isinstance(item, exp.Ordered) else item
    if typed is None:
        typed = scope.of_kind(key, *COMPARED, what="ORDER BY")
    if typed.kind == "other":
        raise refused("ORDER BY a list or the like", scope.dialect, remedy="Order by columns of plain types.", node=key)
    words = {"desc": item.args.get("desc"), "nulls_first": bool(item.args.get("nulls_first"))}
    tree = collated(typed.tree, BYTES, scope.dialect) if typed.kind == "text" else typed.tree
    items = [exp.Ordered(this=tree, **words)]
    if scope.dialect == "bigquery" and typed.kind in ("float", "double"):
        items.insert(0, exp.Ordered(this=exp.IsNan(this=typed.tree.copy()), **words))
    return items
