"""Comparisons in other engines, their operands brought to the kind in which DuckDB compares them."""

from collections.abc import Sequence

from sqlglot import exp

from spora_db.dialects.kinds import (
    COMPARED,
    NUMBERS,
    ORDERED,
    Kind,
    Typed,
    common,
    literal_of,
    literal_text,
    wrapped,
)
from spora_db.dialects.scope import Scope
from spora_db.dialects.targets import SPARK, refused
from spora_db.dialects.texts import BYTES, collated


def compared(node: exp.Expr, scope: Scope) -> Typed:
    """Translate a comparison, IS [NOT] DISTINCT FROM among them."""
    assert isinstance(node, exp.Binary)
    is_order = isinstance(node, exp.LT | exp.LTE | exp.GT | exp.GTE)
    kinds = ORDERED if is_order else COMPARED
    sides = [scope.of_kind(side, *kinds, what="A comparison") for side in (node.this, node.expression)]
    trees, kind = common(sides, dialect=scope.dialect, node=node)
    if is_order and kind == "text":
        trees = [collated(tree, BYTES, scope.dialect) for tree in trees]
    tree: exp.Expr = type(node)(this=wrapped(trees[0]), expression=wrapped(trees[1]))
    if kind in ("float", "double") and scope.dialect == "bigquery":
        return Typed(tree=_with_nan(tree, sides, scope, node), kind="boolean")
    return Typed(tree=tree, kind="boolean")


def _with_nan(tree: exp.Expr, sides: Sequence[Typed], scope: Scope, node: exp.Expr) -> exp.Expr:
    """Let NaN equal itself and be greater than numbers, as in DuckDB: in BigQuery all said about it is false."""
    values = [tree.this, tree.args["expression"]]
    doubtful = [_may_be_nan(side) for side in sides]
    if isinstance(tree, exp.NullSafeEQ | exp.NullSafeNEQ) and any(doubtful):
        raise refused("IS DISTINCT FROM of NaN", scope.dialect, remedy="Write = and IS NULL.", node=node)
    if isinstance(tree, exp.EQ | exp.NEQ):
        both = exp.and_(*(exp.IsNan(this=value.copy()) for value in values))
        same = exp.or_(tree, both) if isinstance(tree, exp.EQ) else exp.and_(tree, exp.Not(this=exp.Paren(this=both)))
        return exp.Paren(this=same) if all(doubtful) else tree
    greater, lesser = (0, 1) if isinstance(tree, exp.GT | exp.GTE) else (1, 0)
    if not doubtful[greater]:
        return tree
    beyond: exp.Expr = exp.IsNan(this=values[greater].copy())
    if isinstance(tree, exp.GT | exp.LT) and doubtful[lesser]:
        beyond = exp.and_(beyond, exp.Not(this=exp.IsNan(this=values[lesser].copy())))
    elif literal_of(values[lesser]) is None:
        beyond = exp.and_(beyond, exp.Not(this=exp.Is(this=values[lesser].copy(), expression=exp.Null())))
    return exp.Paren(this=exp.or_(tree, beyond))


def _may_be_nan(side: Typed) -> bool:
    """Tell whether a number may be NaN: a literal is none, nor is a resolution, by which relations are joined."""
    tree = side.tree.this if isinstance(side.tree, exp.Cast) else side.tree
    is_sure = literal_of(tree) is not None or (isinstance(tree, exp.Column) and tree.name == "mpp")
    return side.kind in ("float", "double") and not is_sure


def is_value(node: exp.Expr, scope: Scope) -> Typed:
    """Translate IS NULL, IS TRUE and IS FALSE; the last two as they also stand below a NOT in Snowflake."""
    value = node.args["expression"]
    if isinstance(value, exp.Null):
        tested = exp.Is(this=wrapped(scope.typed(node.this).tree), expression=exp.Null())
        return Typed(tree=tested, kind="boolean")
    if not isinstance(value, exp.Boolean):
        raise refused("IS of such a value", scope.dialect, remedy="Write IS NULL, IS TRUE or IS FALSE.", node=node)
    condition = scope.condition(node.this)
    truth = condition if value.this else exp.Not(this=wrapped(condition))
    return Typed(tree=exp.Coalesce(this=truth, expressions=[exp.false()]), kind="boolean")


def is_in(node: exp.Expr, scope: Scope) -> Typed:
    """Translate IN of a list or a sub-select."""
    query, items = node.args.get("query"), node.expressions
    if query is not None and not isinstance(node.this, exp.Tuple):
        left = scope.of_kind(node.this, *COMPARED, what="IN")
        inner = scope.translator.query(query.unnest(), scope)
        if scope.dialect in SPARK and not _keeps_rows(node):
            remedy = "Put it into WHERE, not below OR and NOT together, or write EXISTS (SELECT ...)."
            raise refused("The value of IN (SELECT ...)", scope.dialect, remedy=remedy, node=node)
        kinds = [left.kind, *inner.columns.values()]
        _check_alike(kinds, scope, node)
        tree: exp.Expr = exp.In(this=wrapped(left.tree), query=exp.Subquery(this=inner.tree))
        return Typed(tree=tree, kind="boolean")
    if not items or query is not None:
        raise refused(
            "IN of such a thing", scope.dialect, remedy="Write IN ('a', 'b'), or EXISTS (SELECT ...).", node=node
        )
    if isinstance(node.this, exp.Tuple):
        return _in_tuples(node, scope)
    typed = [scope.of_kind(item, *COMPARED, what="IN") for item in (node.this, *items)]
    trees, _ = common(typed, dialect=scope.dialect, node=node)
    return Typed(tree=exp.In(this=wrapped(trees[0]), expressions=trees[1:]), kind="boolean")


def _keeps_rows(node: exp.Expr) -> bool:
    """Tell whether IN of a sub-select only decides which rows stay: its value is FALSE in Spark where it is NULL.

    As a condition of its own NOT IN is right there too, but not as a part of another one.
    """
    parent = node.parent
    while isinstance(parent, exp.Paren):
        parent = parent.parent
    inside: tuple[type[exp.Expr], ...] = (exp.And, exp.Or, exp.Paren)
    if isinstance(parent, exp.Not):
        parent, inside = parent.parent, (exp.And, exp.Paren)
    while isinstance(parent, inside):
        parent = parent.parent
    return isinstance(parent, exp.Where) and isinstance(parent.parent, exp.Select)


def _check_alike(kinds: Sequence[Kind], scope: Scope, node: exp.Expr) -> None:
    """Refuse what would have to be converted in the columns of a sub-select."""
    found = set(kinds) - {"null"}
    if len(kinds) != 2 or "other" in found or not (len(found) < 2 or found <= set(NUMBERS) - {"float"}):
        remedy = "Select one column, cast to the type that it is compared with."
        raise refused(f"IN of {' and '.join(kinds)}", scope.dialect, remedy=remedy, node=node)


def _in_tuples(node: exp.Expr, scope: Scope) -> Typed:
    """Translate ``(a, b) IN ((1, 2))``: never NULL in DuckDB, which compares NULLs in tuples like values."""
    columns = [scope.of_kind(part, "text", "integer", what="A tuple") for part in node.this.expressions]
    rows = [row.expressions if isinstance(row, exp.Tuple) else [] for row in node.expressions]
    literal = all(literal_text(part) is not None or literal_of(part) is not None for row in rows for part in row)
    if not literal or any(len(row) != len(columns) for row in rows):
        raise refused("IN of such tuples", scope.dialect, remedy="Write literals, or EXISTS (SELECT ...).", node=node)
    written = []
    for row in rows:
        pairs = zip(columns, row, strict=True)
        parts = [common([column, scope.typed(part)], dialect=scope.dialect, node=node)[0][1] for column, part in pairs]
        written.append(exp.Tuple(expressions=parts))
    tree = exp.In(this=exp.Tuple(expressions=[column.tree for column in columns]), expressions=written)
    return Typed(tree=exp.Coalesce(this=tree, expressions=[exp.false()]), kind="boolean")


def between(node: exp.Expr, scope: Scope) -> Typed:
    """Translate BETWEEN."""
    parts = (node.this, node.args["low"], node.args["high"])
    if node.args.get("symmetric"):
        raise refused("BETWEEN SYMMETRIC", scope.dialect, remedy="Write the lesser bound first.", node=node)
    trees, kind = common(
        [scope.of_kind(part, *ORDERED, what="BETWEEN") for part in parts], dialect=scope.dialect, node=node
    )
    if kind == "text":
        trees = [collated(tree, BYTES, scope.dialect) for tree in trees]
    value, low, high = (wrapped(tree) for tree in trees)
    return Typed(tree=exp.Paren(this=exp.Between(this=value, low=low, high=high)), kind="boolean")
