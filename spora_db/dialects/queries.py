"""SELECTs in other engines, clause by clause; a clause that is not listed here is refused.

1. CTEs and what stands in FROM are translated first: they say which columns there are, and of which kinds.
2. The columns of the result follow, stars written out, since another engine may have its columns in another order.
3. Conditions and groups may name those columns, which other engines do not allow everywhere (see ``scope``).
4. QUALIFY, which other engines lack, and its order are put around (see ``orders``).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from sqlglot import exp

from spora_db.dialects.kinds import COMPARED, Typed, alike
from spora_db.dialects.literals import literal_text, literal_whole
from spora_db.dialects.orders import finished
from spora_db.dialects.scope import Relation, Scope, Translated
from spora_db.dialects.sources import joined, source
from spora_db.dialects.targets import Untranslatable, only, refuse
from spora_db.sqltext.names import fold

_ORDERING = {"order", "limit", "offset"}
_SELECT = {"with_", "expressions", "distinct", "from_", "joins", "where", "group", "having", "qualify", *_ORDERING}
_SET_OPERATION = {"with_", "this", "expression", "distinct", *_ORDERING}


def query(node: exp.Expr, scope: Scope) -> Translated:
    """Translate a SELECT or a set operation, inside what is known and the SELECT around it."""
    if isinstance(node, exp.Subquery):
        only(node, "this", "alias")
        return query(node.this, scope)
    inside = replace(scope, sources=(), aliases={}, outer=scope, in_having=False)
    if isinstance(node, exp.Select):
        return _listed(node) or _select(node, inside)
    if isinstance(node, exp.SetOperation):
        return _united(node, inside)
    raise Untranslatable(f"{node.key.upper()} as a relation", "Write a sub-select of UNION ALL, or IN ('a', 'b').")


def _with(node: exp.Query, scope: Scope) -> tuple[exp.With | None, Scope]:
    clause = node.args.get("with_")
    if clause is None:
        return None, scope
    only(clause, "expressions")
    ctes = []
    for cte in clause.expressions:
        only(cte, "this", "alias", "materialized")
        refuse(cte.args["alias"].args.get("columns"), "Columns after a CTE's name", "Name them in its SELECT.")
        translated = scope.query(cte.this)
        name = exp.TableAlias(this=exp.to_identifier(cte.alias, quoted=True))
        ctes.append(exp.CTE(this=translated.tree, alias=name))
        relation = Relation(name=cte.alias, columns=translated.columns)
        scope = replace(scope, known={**scope.known, fold(cte.alias): relation})
    return exp.With(expressions=ctes), scope


def _select(node: exp.Select, scope: Scope) -> Translated:
    only(node, *_SELECT)
    with_, scope = _with(node, scope)
    tree = exp.Select()
    if (from_ := node.args.get("from_")) is not None:
        only(from_, "this")
        read, relation = source(from_.this, scope)
        tree.set("from_", exp.From(this=read))
        scope = replace(scope, sources=(relation,))
    for join in node.args.get("joins") or []:
        added, scope = joined(join, scope)
        tree.append("joins", added)
    columns: dict[str, Typed] = {}
    for name, typed in _projected(node, scope):
        refuse(fold(name) in scope.aliases, f"Two columns {name!r}", "Name one of them otherwise.")
        columns[name] = typed
        tree.append("expressions", exp.alias_(typed.tree.copy(), name, quoted=True))
        scope = replace(scope, aliases={**scope.aliases, fold(name): typed})
    if (where := node.args.get("where")) is not None:
        tree.set("where", exp.Where(this=scope.condition(where.this)))
    if (having := node.args.get("having")) is not None:
        tree.set("having", exp.Having(this=replace(scope, in_having=True).condition(having.this)))
    if (group := node.args.get("group")) is not None:
        tree.set("group", _group(group, list(columns.values()), scope))
    distinct, qualify = node.args.get("distinct"), node.args.get("qualify")
    remedy = "Write QUALIFY row_number() OVER (PARTITION BY ... ORDER BY ...) = 1."
    refuse(distinct is not None and distinct.args.get("on"), "DISTINCT ON", remedy)
    kept = None if qualify is None else scope.condition(qualify.this)
    whole = finished(node, tree, columns, scope, is_distinct=bool(distinct), kept=kept)
    whole.set("with_", with_)
    return Translated(tree=whole, columns={name: typed.kind for name, typed in columns.items()})


def _projected(node: exp.Select, scope: Scope) -> Iterator[tuple[str, Typed]]:
    """Yield the columns of the result by name."""
    aliases: Mapping[str, Typed] = {}
    for place, item in enumerate(node.expressions, start=1):
        star = item.this if isinstance(item, exp.Column) else item
        if isinstance(star, exp.Star):
            yield from _starred(star, fold(item.table) if isinstance(item, exp.Column) else "", scope)
            continue
        typed = replace(scope, aliases=aliases).typed(item.unalias())  # those before it; relations come first
        name = item.alias or (typed.tree.name if isinstance(typed.tree, exp.Column) else f"column_{place}")
        yield name, typed
        aliases = {**aliases, fold(name): typed}


def _starred(star: exp.Star, table: str, scope: Scope) -> Iterator[tuple[str, Typed]]:
    """Yield the columns that a star stands for, in DuckDB's order."""
    only(star, "except_")
    left_out = {fold(name.name) for name in star.args.get("except_") or []}
    read = [relation for relation in scope.sources if table in ("", fold(relation.name))]
    refuse(not read, "A star over nothing", "Name the columns.")
    for relation in read:
        for name, kind in relation.columns.items():
            if fold(name) not in left_out:
                yield name, Typed(tree=exp.column(name, table=relation.name, quoted=True), kind=kind)


def _group(node: exp.Group, columns: list[Typed], scope: Scope) -> exp.Group:
    by_all = [
        item for item in node.expressions if isinstance(item, exp.Var | exp.Column) and item.name.upper() == "ALL"
    ]
    refuse(node.args.get("all") or by_all, "GROUP BY ALL", "List the columns.")
    only(node, "expressions")
    keys = []
    for key in node.expressions:
        place = literal_whole(key) or 0
        typed = columns[place - 1] if 0 < place <= len(columns) else scope.typed(key)
        is_other = typed.kind not in COMPARED or isinstance(typed.tree, exp.Literal)
        refuse(is_other, "GROUP BY of such a value", "Group by columns of plain types.")
        keys.append(typed.tree.copy())
    return exp.Group(expressions=keys)


def _united(node: exp.SetOperation, scope: Scope) -> Translated:
    """Translate UNION, INTERSECT and EXCEPT of the same kinds of columns."""
    refuse(node.args.get("by_name"), "BY NAME", "List the columns in one order on both sides.")
    only(node, *_SET_OPERATION)
    with_, scope = _with(node, scope)
    left, right = (scope.query(side) for side in (node.this, node.expression))
    kinds = [alike(*pair) for pair in zip(left.columns.values(), right.columns.values(), strict=False)]
    is_other = len(left.columns) != len(right.columns) or None in kinds
    remedy = "Select as many columns on both sides, of the same types."
    refuse(is_other, f"{node.key.upper()} of such columns", remedy)
    trees = [
        exp.Subquery(this=found.tree) if isinstance(side, exp.Subquery) else found.tree
        for side, found in ((node.this, left), (node.expression, right))
    ]
    tree = type(node)(this=trees[0], expression=trees[1], distinct=bool(node.args.get("distinct")))
    columns = {
        name: Typed(tree=exp.column(name, quoted=True), kind=kind)
        for name, kind in zip(left.columns, kinds, strict=True)
        if kind is not None
    }
    whole = finished(node, tree, columns, replace(scope, aliases={}))
    whole.set("with_", with_)
    return Translated(tree=whole, columns={name: typed.kind for name, typed in columns.items()})


def _listed(node: exp.Select) -> Translated | None:
    """Translate ``SELECT unnest(['a', 'b']) AS name``: rows of literals, as VALUES."""
    item = node.expressions[0] if len(node.expressions) == 1 else exp.Null()
    called = item.unalias()
    if not (isinstance(called, exp.Anonymous) and fold(called.name) == "unnest"):
        return None
    only(node, "expressions")
    listed = called.expressions[0] if len(called.expressions) == 1 else None
    texts = [literal_text(value) for value in listed.expressions] if isinstance(listed, exp.Array) else []
    is_other = not texts or None in texts or not item.alias
    refuse(is_other, "unnest", "Give it a list of literal texts, and its column a name.")
    rows = [exp.Tuple(expressions=[exp.Literal.string(f"{text}")]) for text in texts]
    column = exp.to_identifier(item.alias, quoted=True)
    name = exp.TableAlias(this=exp.to_identifier("listed", quoted=True), columns=[column])
    tree = exp.select(exp.column(item.alias, table="listed", quoted=True))
    return Translated(tree=tree.from_(exp.Values(expressions=rows, alias=name)), columns={item.alias: "text"})
