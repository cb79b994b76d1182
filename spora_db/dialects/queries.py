"""SELECTs in other engines, once all names are resolved: what stands in FROM first, then each clause in its place."""

from dataclasses import replace

from sqlglot import exp

from spora_db.dialects.kinds import COMPARED, Typed, alike
from spora_db.dialects.literals import literal_text
from spora_db.dialects.names import SPELLED
from spora_db.dialects.orders import finished
from spora_db.dialects.scope import Columns, Scope, Translated
from spora_db.dialects.targets import Untranslatable, refuse
from spora_db.sqltext.names import fold


def query(node: exp.Expr, scope: Scope) -> Translated:
    """Translate a SELECT or a set operation, in its place."""
    if isinstance(node, exp.Subquery):
        return scope.query(node.this)
    if isinstance(node, exp.Select | exp.SetOperation):
        scope = _with(node, scope)
        return _listed(node) or (_select(node, scope) if isinstance(node, exp.Select) else _united(node, scope))
    raise Untranslatable(f"{node.key.upper()} as a relation", "Write a sub-select of UNION ALL, or IN ('a', 'b').")


def _with(node: exp.Query, scope: Scope) -> Scope:
    for cte in node.ctes:
        inner = scope.query(cte.this)
        cte.set("this", inner.tree)
        scope = replace(scope, known={**scope.known, cte.alias: (cte.alias, inner.columns)})
    return scope


def _select(node: exp.Select, scope: Scope) -> Translated:
    joins = node.args.get("joins") or []
    for clause in (node.args.get("from_"), *joins):
        if clause is not None:
            columns = _source(clause.this, scope)
            scope = replace(scope, tables={**scope.tables, clause.this.alias_or_name: columns})
    for join in joins:
        on = join.args.get("on")
        join.set("on", None if on is None else scope.condition(on))
        join.set("kind", "CROSS" if on is None else join.kind)
    found = [scope.typed(item.unalias()) for item in node.expressions]
    names = [_name(item, typed) for item, typed in zip(node.expressions, found, strict=True)]
    refuse(len(set(map(fold, names))) < len(names), "Two columns of one name", "Name one of them otherwise.")
    for clause in ("where", "having", "qualify"):
        if (part := node.args.get(clause)) is not None:
            part.set("this", scope.condition(part.this))
    keys = [scope.typed(key) for key in (node.args["group"].expressions if node.args.get("group") else [])]
    is_other = any(key.kind not in COMPARED or isinstance(key.tree, exp.Literal) for key in keys)
    refuse(is_other, "GROUP BY of such a value", "Group by columns of plain types.")
    if keys:
        node.set("group", exp.Group(expressions=[key.tree for key in keys]))
    words = [exp.alias_(typed.tree.copy(), name, quoted=True) for name, typed in zip(names, found, strict=True)]
    node.set("expressions", words)
    return finished(node, dict(zip(names, found, strict=True)), scope)


def _name(item: exp.Expr, typed: Typed) -> str:
    """Return how a column of the result is spelled: as it was written, or as the column that it is."""
    alias = item.args["alias"]
    written = alias.meta.get(SPELLED)
    is_column = isinstance(typed.tree, exp.Column) and fold(typed.tree.name) == alias.name
    return str(written or (typed.tree.name if is_column else alias.name))


def _source(node: exp.Expr, scope: Scope) -> Columns:
    """Translate what stands in FROM; return its columns."""
    if isinstance(node, exp.Subquery):
        inner = scope.query(node)
        node.set("this", inner.tree)
        return inner.columns
    known = scope.known.get(node.name) if isinstance(node, exp.Table) else None
    if known is None:
        remedy = "Name a relation, or write a sub-select."
        raise Untranslatable(f"{node.sql('duckdb')[:60]} in FROM", remedy)
    node.set("this", exp.to_identifier(known[0], quoted=True))
    return known[1]


def _united(node: exp.SetOperation, scope: Scope) -> Translated:
    """Translate UNION, INTERSECT and EXCEPT of the same kinds of columns."""
    left, right = (scope.query(side) for side in (node.this, node.expression))
    kinds = [alike(*pair) for pair in zip(left.kinds, right.kinds, strict=False)]
    is_other = len(left.columns) != len(right.columns) or None in kinds
    remedy = "Select as many columns on both sides, of the same types."
    refuse(is_other, f"{node.key.upper()} of such columns", remedy)
    for name, found in (("this", left), ("expression", right)):
        side = node.args[name]
        side.replace(exp.Subquery(this=found.tree) if isinstance(side, exp.Subquery) else found.tree)
    columns = {
        name: Typed(tree=exp.column(name, quoted=True), kind=kind)
        for (name, _), kind in zip(left.columns.values(), kinds, strict=True)
        if kind is not None
    }
    return finished(node, columns, scope)


def _listed(node: exp.Query) -> Translated | None:
    """Translate ``SELECT unnest(['a', 'b']) AS name``: rows of literals, as VALUES."""
    item = node.expressions[0] if len(node.expressions) == 1 else exp.Null()
    called = item.unalias()
    if not (isinstance(called, exp.Anonymous) and fold(called.name) == "unnest"):
        return None
    listed = called.expressions[0] if len(called.expressions) == 1 else None
    texts = [literal_text(value) for value in listed.expressions] if isinstance(listed, exp.Array) else []
    is_other = not texts or None in texts or any(value for name, value in node.args.items() if name != "expressions")
    refuse(is_other, "unnest", "Give it a list of literal texts, in a SELECT of its own.")
    rows = [exp.Tuple(expressions=[exp.Literal.string(f"{text}")]) for text in texts]
    column = exp.to_identifier(item.alias, quoted=True)
    name = exp.TableAlias(this=exp.to_identifier("listed", quoted=True), columns=[column])
    tree = exp.select(exp.column(item.alias, table="listed", quoted=True))
    columns: Columns = {item.alias: (item.alias, "text")}
    return Translated(tree=tree.from_(exp.Values(expressions=rows, alias=name)), columns=columns)
