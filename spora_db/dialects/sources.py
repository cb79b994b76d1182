"""What stands in FROM, in other engines: relations that are known, sub-selects, and how they are joined."""

from dataclasses import replace

from sqlglot import exp

from spora_db.dialects.kinds import COMPARED
from spora_db.dialects.scope import Relation, Scope
from spora_db.dialects.targets import Untranslatable, only, refuse
from spora_db.sqltext.names import fold

_JOINS = {("", ""): "INNER", ("", "INNER"): "INNER", ("LEFT", ""): "LEFT", ("LEFT", "OUTER"): "LEFT"}
_JOINS |= {("RIGHT", ""): "RIGHT", ("RIGHT", "OUTER"): "RIGHT", ("", "CROSS"): "CROSS"}


def source(node: exp.Expr, scope: Scope) -> tuple[exp.Expr, Relation]:
    """Translate a relation or a sub-select."""
    alias = node.args.get("alias")
    refuse(alias is not None and alias.args.get("columns"), "Columns after an alias", "Name them in the sub-select.")
    if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Query):
        inner = scope.query(node)
        name = node.alias or f"rows_{len(scope.sources) + 1}"
        return inner.tree.subquery(exp.to_identifier(name, quoted=True)), Relation(name=name, columns=inner.columns)
    known = scope.known.get(fold(node.name)) if isinstance(node, exp.Table) else None
    if known is None or not isinstance(node.this, exp.Identifier):
        remedy = "Name a relation, or write a sub-select."
        raise Untranslatable(f"{node.sql('duckdb')[:60]} in FROM", remedy)
    only(node, "this", "alias")
    table = exp.Table(this=exp.to_identifier(known.name, quoted=True))
    if node.alias:
        table.set("alias", exp.TableAlias(this=exp.to_identifier(node.alias, quoted=True)))
    return table, replace(known, name=node.alias or known.name)


def joined(node: exp.Join, scope: Scope) -> tuple[exp.Join, Scope]:
    """Translate a join; the scope that follows has its relation, without the columns that USING joins by."""
    only(node, "this", "on", "side", "kind", "using", "method")
    on, using = node.args.get("on"), node.args.get("using")
    kind = _JOINS.get((node.side.upper(), node.kind.upper()))
    if kind == "INNER" and on is None and not using:
        kind = "CROSS"
    remedy = "Write JOIN or LEFT JOIN with ON; EXISTS for a SEMI JOIN, NOT EXISTS for an ANTI JOIN."
    called = " ".join(filter(None, (node.method, node.side, node.kind, "JOIN"))).upper()
    refuse(kind is None or node.method or (kind == "RIGHT" and using), called, remedy)
    read, relation = source(node.this, scope)
    is_twice = any(fold(known.name) == fold(relation.name) for known in scope.sources)
    refuse(is_twice, f"Two relations {relation.name!r}", "Give one an alias.")
    words = {"kind": kind} if kind in ("INNER", "CROSS") else {"side": kind}
    both = replace(scope, sources=(*scope.sources, relation))
    if not using:
        return exp.Join(this=read, on=None if on is None else both.condition(on), **words), both
    sides = [(scope.column(exp.column(shared.name)), relation.column(shared.name)) for shared in using]
    is_other = any(right is None or left.kind != right.kind or left.kind not in COMPARED for left, right in sides)
    refuse(is_other, called, "Write ON, with columns of one type.")
    equal = [exp.EQ(this=left.tree, expression=right.tree) for left, right in sides if right is not None]
    names = {fold(shared.name) for shared in using}
    rest = {name: kind for name, kind in relation.columns.items() if fold(name) not in names}
    sources = (*scope.sources, Relation(name=relation.name, columns=rest))
    return exp.Join(this=read, on=exp.and_(*equal), **words), replace(scope, sources=sources)
