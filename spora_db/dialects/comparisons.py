"""Comparisons and CASE in other engines, their operands brought to the kind in which DuckDB compares them."""

import re

from sqlglot import exp

from spora_db.dialects.forms import BYTES, filled, wrapped
from spora_db.dialects.kinds import Typed, alike, common
from spora_db.dialects.literals import literal_of, literal_text, number
from spora_db.dialects.scope import Scope
from spora_db.dialects.targets import refuse

_FRACTION = re.compile("-?[0-9]+[.][0-9]+")


def compared(node: exp.Expr, scope: Scope) -> Typed:
    """Translate a comparison, IS [NOT] DISTINCT FROM among them."""
    is_order = isinstance(node, exp.LT | exp.LTE | exp.GT | exp.GTE)
    group = "ordered" if is_order else "compared"
    sides = [scope.of_group(side, group, what="A comparison") for side in (node.this, node.args["expression"])]
    trees, kind = common(sides)
    if is_order and kind == "text" and scope.dialect == "postgres":
        trees = [filled(f"$a {BYTES}", [tree]) for tree in trees]
    return Typed(tree=type(node)(this=wrapped(trees[0]), expression=wrapped(trees[1])), kind="boolean")


def between(node: exp.Expr, scope: Scope) -> Typed:
    """Translate BETWEEN, as the two comparisons that it is."""
    low = exp.GTE(this=node.this, expression=node.args["low"])
    return scope.typed(
        exp.Paren(this=exp.And(this=low, expression=exp.LTE(this=node.this, expression=node.args["high"])))
    )


def is_value(node: exp.Expr, scope: Scope) -> Typed:
    """Translate IS NULL, IS TRUE and IS FALSE."""
    value = node.args["expression"]
    is_known = isinstance(value, exp.Null | exp.Boolean)
    refuse(not is_known, "IS of such a value", "Write IS NULL, IS TRUE or IS FALSE.")
    tested = scope.typed(node.this).tree if isinstance(value, exp.Null) else scope.condition(node.this)
    return Typed(tree=exp.Is(this=wrapped(tested), expression=value.copy()), kind="boolean")


def is_in(node: exp.Expr, scope: Scope) -> Typed:
    """Translate IN of a list or a sub-select."""
    query, items = node.args.get("query"), node.expressions
    is_other = bool(query) == bool(items) or (query and isinstance(node.this, exp.Tuple))
    refuse(is_other, "IN of such a thing", "Write IN ('a', 'b'), or EXISTS (SELECT ...).")
    if query:
        return _in_query(node, query, scope)
    if isinstance(node.this, exp.Tuple):
        return _in_tuples(node, scope)
    trees, _ = common([scope.of_group(item, "compared", what="IN") for item in (node.this, *items)])
    return Typed(tree=exp.In(this=wrapped(trees[0]), expressions=trees[1:]), kind="boolean")


def _in_query(node: exp.Expr, query: exp.Expr, scope: Scope) -> Typed:
    left = scope.of_group(node.this, "compared", what="IN")
    inner = scope.query(query.unnest())
    remedy = "Put it into WHERE, not below OR and NOT together, or write EXISTS (SELECT ...)."
    refuse(scope.dialect == "spark" and not _keeps_rows(node), "The value of IN (SELECT ...)", remedy)
    kinds = (left.kind, *inner.kinds)
    remedy = "Select one column, cast to the type that it is compared with."
    refuse(len(kinds) != 2 or alike(*kinds) in (None, "other"), f"IN of {' and '.join(kinds)}", remedy)
    return Typed(tree=exp.In(this=wrapped(left.tree), query=exp.Subquery(this=inner.tree)), kind="boolean")


def _keeps_rows(node: exp.Expr) -> bool:
    """Tell whether IN of a sub-select only decides which rows stay: its value is FALSE in Spark where it is NULL.

    As a condition of its own NOT IN is right there too, but not as a part of another one.
    """
    parent = node.parent
    inside: tuple[type[exp.Expr], ...] = (exp.And, exp.Or, exp.Paren)
    while isinstance(parent, exp.Paren):
        parent = parent.parent
    if isinstance(parent, exp.Not):
        parent, inside = parent.parent, (exp.And, exp.Paren)
    while isinstance(parent, inside):
        parent = parent.parent
    return isinstance(parent, exp.Where) and isinstance(parent.parent, exp.Select)


def _in_tuples(node: exp.Expr, scope: Scope) -> Typed:
    """Translate ``(a, b) IN ((1, 2))``: never NULL in DuckDB, which compares NULLs in tuples like values."""
    columns = [scope.typed(part) for part in node.this.expressions]
    rows = [row.expressions if isinstance(row, exp.Tuple) else [] for row in node.expressions]
    is_plain = all(column.kind in ("text", "integer") for column in columns)
    is_other = not is_plain or any(len(row) != len(columns) or None in map(literal_of, row) for row in rows)
    refuse(is_other, "IN of such tuples", "Write columns and literals, or EXISTS (SELECT ...).")
    written = []
    for row in rows:
        pairs = zip(columns, row, strict=True)
        written.append(exp.Tuple(expressions=[common([column, scope.typed(part)])[0][1] for column, part in pairs]))
    tree = exp.In(this=exp.Tuple(expressions=[column.tree for column in columns]), expressions=written)
    return Typed(tree=exp.Coalesce(this=tree, expressions=[exp.false()]), kind="boolean")


def case(node: exp.Expr, scope: Scope) -> Typed:
    """Translate CASE."""
    branches = node.args["ifs"]
    if node.this is None:
        operand, tests = None, [scope.condition(branch.this) for branch in branches]
    else:
        trees = _float_texts(node, scope)
        if trees is None:
            parts = (node.this, *(branch.this for branch in branches))
            trees, _ = common([scope.of_group(part, "compared", what="CASE") for part in parts])
        operand, tests = wrapped(trees[0]), trees[1:]
    default = node.args.get("default")
    values, kind = common(
        [scope.typed(value) for value in (*(b.args["true"] for b in branches), default or exp.Null())]
    )
    ifs = [exp.If(this=test, true=value) for test, value in zip(tests, values[:-1], strict=True)]
    return Typed(tree=exp.Case(this=operand, ifs=ifs, default=values[-1] if default else None), kind=kind)


def _float_texts(node: exp.Expr, scope: Scope) -> list[exp.Expr] | None:
    """Compare a floating-point column with numbers instead of their texts, which a quota names: ``2.0``."""
    is_text = isinstance(node.this, exp.Cast) and node.this.is_type(exp.DType.TEXT, exp.DType.VARCHAR)
    value = scope.typed(node.this.this) if is_text else None
    if value is None or value.kind not in ("float", "double"):
        return None
    texts = [literal_text(branch.this) or "" for branch in node.args["ifs"]]
    is_other = not all(map(_FRACTION.fullmatch, texts))  # DuckDB writes 2.0, so '2' is never its text
    refuse(is_other, "The text of a number", "Compare the number itself.")
    trees, _ = common([value, *(Typed(tree=number(text), kind="decimal") for text in texts)])
    return trees
