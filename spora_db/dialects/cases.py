"""CASE in other engines, with what a branch may rely on once it has asked."""

from dataclasses import replace

import numpy as np
from sqlglot import exp

from spora_db.dialects.kinds import COMPARED, Typed, common, literal_of, literal_text, wrapped
from spora_db.dialects.scope import Scope
from spora_db.dialects.targets import refused


def case(node: exp.Expr, scope: Scope) -> Typed:
    """Translate CASE; in the branch that asked, a number is known to be greater than zero."""
    assert isinstance(node, exp.Case)
    branches = node.args["ifs"]
    operand, tests = _tests(node, scope)
    inside = [scope] * len(branches)
    if operand is None:
        inside = [_where_true(test, scope) for test in tests]
    default = node.args.get("default") or exp.Null()
    values = [place.typed(branch.args["true"]) for place, branch in zip(inside, branches, strict=True)]
    trees, kind = common([*values, scope.typed(default)], dialect=scope.dialect, node=node)
    ifs = [exp.If(this=test, true=tree) for test, tree in zip(tests, trees[:-1], strict=True)]
    tree = exp.Case(this=operand, ifs=ifs, default=trees[-1] if node.args.get("default") else None)
    return Typed(tree=tree, kind=kind)


def _tests(node: exp.Case, scope: Scope) -> tuple[exp.Expr | None, list[exp.Expr]]:
    branches = node.args["ifs"]
    if node.this is None:
        return None, [scope.condition(branch.this) for branch in branches]
    if (numeric := _case_of_float_text(node, scope)) is not None:
        return numeric
    typed = [scope.of_kind(part, *COMPARED, what="CASE") for part in (node.this, *(item.this for item in branches))]
    trees, _ = common(typed, dialect=scope.dialect, node=node)
    return wrapped(trees[0]), trees[1:]


def _case_of_float_text(node: exp.Case, scope: Scope) -> tuple[exp.Expr, list[exp.Expr]] | None:
    """Compare a floating-point column with numbers instead of their texts, which a quota names: ``2.0`` or ``2``."""
    group = node.this
    is_text = isinstance(group, exp.Cast) and group.is_type(exp.DType.TEXT, exp.DType.VARCHAR)
    value = scope.typed(group.this) if is_text else None
    if value is None or value.kind not in ("float", "double"):
        return None
    numeric: list[exp.Expr] = []
    for branch in node.args["ifs"]:
        text = literal_text(branch.this) or ""
        number = np.float32(text) if value.kind == "float" and _is_number(text) else text
        if not _is_number(text) or text.lstrip("-").isdigit():  # DuckDB writes 2.0, so '2' is never its text
            raise refused("The text of a number", scope.dialect, remedy="Compare the number itself.", node=branch.this)
        literal = exp.Literal.number(repr(float(number)).removeprefix("-"))
        numeric.append(exp.cast(exp.Neg(this=literal) if text.startswith("-") else literal, exp.DType.DOUBLE))
    return exp.cast(value.tree, exp.DType.DOUBLE), numeric


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _where_true(test: exp.Expr, scope: Scope) -> Scope:
    asked = test.unnest()
    if isinstance(asked, exp.GT) and (literal := literal_of(asked.expression)) is not None and not literal.is_string:
        known = wrapped(asked.this).sql() if float(literal.name) >= 0 else ""
        return replace(scope, positive=scope.positive | {known, asked.this.sql()})
    return scope
