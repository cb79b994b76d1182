"""SELECTs in other engines, clause by clause; a clause that is not listed here is refused.

1. CTEs and what stands in FROM are translated first: they say which columns there are, and of which kinds.
2. The columns of the result follow, stars written out, since another engine may have its columns in another order.
3. Conditions and groups may name those columns, which other engines do not allow everywhere (see ``dialect_scope``).
4. QUALIFY, and orders that an engine cannot have inside, are put around (see ``dialect_orders``).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from sqlglot import exp

from spora_db.dialects.kinds import COMPARED, NUMBERS, Kind, Typed, literal_text
from spora_db.dialects.orders import Finish, finished
from spora_db.dialects.scope import Relation, Scope, Translated
from spora_db.dialects.targets import refused
from spora_db.sqltext.names import fold

_SELECT = {"with_", "expressions", "distinct", "from_", "joins", "where", "group", "having", "qualify"}
_SET_OPERATION = {"with_", "this", "expression", "distinct"}
_ORDERING = {"order", "limit", "offset"}
_JOINS = {("", ""): "INNER", ("", "INNER"): "INNER", ("LEFT", ""): "LEFT", ("LEFT", "OUTER"): "LEFT"}
_JOINS |= {("RIGHT", ""): "RIGHT", ("RIGHT", "OUTER"): "RIGHT", ("", "CROSS"): "CROSS"}
_LIST = "Write a sub-select of UNION ALL, or IN ('a', 'b')."


def query(node: exp.Expr, scope: Scope) -> Translated:
    """Translate a SELECT or a set operation.

    Parameters
    ----------
    node
        What sqlglot read.
    scope
        Where it stands: what is known, and the SELECT around it.

    Raises
    ------
    QueryError
        If any part of it is not known to mean the same; the message names the part and what to do.
    """
    if isinstance(node, exp.Subquery):
        _only(node, {"this", "alias"}, scope)
        return query(node.this, scope)
    inside = replace(
        scope, sources=(), merged=frozenset(), aliases={}, outer=scope, positive=frozenset(), in_having=False
    )
    if isinstance(node, exp.Select):
        return _listed(node, inside) or _select(node, inside)
    if isinstance(node, exp.SetOperation):
        return _united(node, inside)
    raise refused(f"{node.key.upper()} as a relation", scope.dialect, remedy=_LIST, node=node)


def _only(node: exp.Expr, known: set[str], scope: Scope) -> None:
    """Refuse clauses other than those that are known."""
    for name, value in node.args.items():
        if value and name not in known:
            word = name.strip("_").replace("_", " ").upper()
            remedy = "Write the query with WHERE, JOIN, GROUP BY, HAVING, QUALIFY, ORDER BY and LIMIT."
            raise refused(f"{word} in a {node.key.upper()}", scope.dialect, remedy=remedy, node=node)


def _with(node: exp.Query, scope: Scope) -> tuple[exp.With | None, Scope]:
    clause = node.args.get("with_")
    if clause is None:
        return None, scope
    _only(clause, {"expressions"}, scope)
    ctes = []
    for cte in clause.expressions:
        _only(cte, {"this", "alias", "materialized"}, scope)
        if cte.args["alias"].args.get("columns"):
            raise refused("Columns after a CTE's name", scope.dialect, remedy="Name them in its SELECT.", node=cte)
        translated = query(cte.this, scope)
        name = exp.TableAlias(this=exp.to_identifier(cte.alias, quoted=True))
        ctes.append(exp.CTE(this=translated.tree, alias=name))
        relation = Relation(name=cte.alias, columns=translated.columns)
        scope = replace(scope, known={**scope.known, fold(cte.alias): relation})
    return exp.With(expressions=ctes), scope


def _select(node: exp.Select, scope: Scope) -> Translated:
    _only(node, _SELECT | _ORDERING, scope)
    with_, scope = _with(node, scope)
    tree = exp.Select()
    from_ = node.args.get("from_")
    joins = node.args.get("joins") or []
    if from_ is not None:
        _only(from_, {"this"}, scope)
        source, relation = _source(from_.this, scope)
        tree.set("from_", exp.From(this=source))
        scope = replace(scope, sources=(relation,))
    for join in joins:
        joined, scope = _join(join, scope)
        tree.append("joins", joined)
    columns: dict[str, Typed] = {}
    for name, typed, word in _projected(node, scope):
        if any(fold(name) == fold(known) for known in columns):
            raise refused(f"Two columns {name!r}", scope.dialect, remedy="Name one of them otherwise.", node=node)
        columns[name] = typed
        tree.append("expressions", word)
        scope = replace(scope, aliases={**scope.aliases, fold(name): typed})
    for clause, made in (("where", exp.Where), ("having", exp.Having)):
        if (condition := node.args.get(clause)) is not None:
            place = replace(scope, in_having=clause == "having")
            tree.set(clause, made(this=place.condition(condition.this)))
    if (group := node.args.get("group")) is not None:
        tree.set("group", _group(group, list(columns.values()), scope))
    distinct, qualify = node.args.get("distinct"), node.args.get("qualify")
    if distinct is not None and distinct.args.get("on") is not None:
        remedy = "Write QUALIFY row_number() OVER (PARTITION BY ... ORDER BY ...) = 1."
        raise refused("DISTINCT ON", scope.dialect, remedy=remedy, node=node)
    kept = None if qualify is None else scope.condition(qualify.this)
    whole = finished(Finish(node=node, tree=tree, columns=columns, scope=scope, is_distinct=bool(distinct), kept=kept))
    whole.set("with_", with_)
    return Translated(tree=whole, columns={name: typed.kind for name, typed in columns.items()})


def _source(node: exp.Expr, scope: Scope) -> tuple[exp.Expr, Relation]:
    """Translate what stands in FROM."""
    known = scope.known.get(fold(node.name)) if isinstance(node, exp.Table) else None
    is_query = isinstance(node, exp.Subquery) and isinstance(node.this, exp.Query)
    if not is_query and (known is None or not isinstance(node.this, exp.Identifier)):
        remedy = f"Name a relation. {_LIST}"
        raise refused(f"{node.sql('duckdb')[:60]} in FROM", scope.dialect, remedy=remedy, node=node)
    alias = node.args.get("alias")
    if alias is not None and alias.args.get("columns"):
        raise refused("Columns after an alias", scope.dialect, remedy="Name them in the sub-select.", node=node)
    if known is None:
        inner = query(node, scope)
        name = node.alias or f"rows_{len(scope.sources) + 1}"
        word = exp.TableAlias(this=exp.to_identifier(name, quoted=True))
        return exp.Subquery(this=inner.tree, alias=word), Relation(name=name, columns=inner.columns)
    _only(node, {"this", "alias"}, scope)
    table = exp.Table(this=exp.to_identifier(known.name, quoted=True))
    if node.alias:
        table.set("alias", exp.TableAlias(this=exp.to_identifier(node.alias, quoted=True)))
    return table, replace(known, name=node.alias or known.name)


def _join(node: exp.Join, scope: Scope) -> tuple[exp.Join, Scope]:
    _only(node, {"this", "on", "side", "kind", "using", "method"}, scope)
    on, using = node.args.get("on"), node.args.get("using")
    kind = _JOINS.get((node.side.upper(), node.kind.upper()))
    if kind == "INNER" and on is None and not using:
        kind = "CROSS"
    if kind is None or node.method or (kind == "RIGHT" and using):
        remedy = "Write JOIN or LEFT JOIN with ON; EXISTS for a SEMI JOIN, NOT EXISTS for an ANTI JOIN."
        called = " ".join(word for word in (node.method, node.side, node.kind, "JOIN") if word)
        raise refused(called.upper(), scope.dialect, remedy=remedy, node=node)
    source, relation = _source(node.this, scope)
    if any(fold(known.name) == fold(relation.name) for known in scope.sources):
        raise refused(f"Two relations {relation.name!r}", scope.dialect, remedy="Give one an alias.", node=node)
    before, scope = scope, replace(scope, sources=(*scope.sources, relation))
    joined = exp.Join(this=source, kind=kind if kind in ("INNER", "CROSS") else None)
    if kind in ("LEFT", "RIGHT"):
        joined.set("side", kind)
    if using:
        names = [_shared(column.name, before, relation, node) for column in using]
        joined.set("using", [exp.to_identifier(name, quoted=True) for name in names])
        return joined, replace(scope, merged=scope.merged | {fold(name) for name in names})
    if on is not None:
        joined.set("on", scope.condition(on))
    return joined, scope


def _shared(name: str, before: Scope, relation: Relation, node: exp.Join) -> str:
    """Return a column that USING names, spelled alike on both sides and of one kind."""
    left = before.column(exp.column(name))
    right = relation.spelled(name)
    if right is None or left.tree.name != right or left.kind != relation.columns[right] or left.kind not in COMPARED:
        remedy = "Write ON, with columns of one type."
        raise refused(f"USING ({name})", before.dialect, remedy=remedy, node=node)
    return right


def _projected(node: exp.Select, scope: Scope) -> Iterator[tuple[str, Typed, exp.Expr]]:
    """Yield the columns of the result: the name, what it is, and the words for it."""
    aliases: Mapping[str, Typed] = {}
    for place, item in enumerate(node.expressions, start=1):
        star = item.this if isinstance(item, exp.Column) else item
        if isinstance(star, exp.Star):
            for name, typed in _starred(star, item, scope):
                yield name, typed, exp.alias_(typed.tree.copy(), name, quoted=True)
            continue
        inner = item.this if isinstance(item, exp.Alias) else item
        typed = replace(scope, aliases=aliases).typed(inner)  # those before it; relations come first
        name = item.alias or (typed.tree.name if isinstance(typed.tree, exp.Column) else f"column_{place}")
        is_plain = isinstance(item, exp.Column) or isinstance(inner, exp.Literal)
        word = typed.tree.copy()
        yield name, typed, word if is_plain and not item.alias else exp.alias_(word, name, quoted=True)
        aliases = {**aliases, fold(name): typed}


def _starred(star: exp.Star, item: exp.Expr, scope: Scope) -> Iterator[tuple[str, Typed]]:
    """Yield the columns that a star stands for, in DuckDB's order: what USING made one stands where it was first."""
    _only(star, {"except_"}, scope)
    left_out = {fold(name.name) for name in star.args.get("except_") or []}
    table = fold(item.table) if isinstance(item, exp.Column) else ""
    seen: set[str] = set()
    for source in scope.sources:
        if table and fold(source.name) != table:
            continue
        for name, kind in source.columns.items():
            is_merged = not table and fold(name) in scope.merged
            if fold(name) in left_out or (is_merged and fold(name) in seen):
                continue
            seen.add(fold(name))
            column = exp.column(name, table=None if is_merged else source.name, quoted=True)
            yield name, Typed(tree=column, kind=kind)
    if not seen and not left_out:
        raise refused("A star over nothing", scope.dialect, remedy="Name the columns.", node=item)


def _group(node: exp.Group, columns: list[Typed], scope: Scope) -> exp.Group:
    if _by_all(node):
        raise refused("GROUP BY ALL", scope.dialect, remedy="List the columns.", node=node)
    _only(node, {"expressions"}, scope)
    keys = []
    for key in node.expressions:
        if isinstance(key, exp.Literal) and key.name.isdigit() and 0 < int(key.name) <= len(columns):
            typed = columns[int(key.name) - 1]
        else:
            typed = scope.typed(key)
        if typed.kind not in COMPARED or isinstance(typed.tree, exp.Literal):
            raise refused(
                "GROUP BY of such a value", scope.dialect, remedy="Group by columns of plain types.", node=key
            )
        keys.append(typed.tree.copy())
    return exp.Group(expressions=keys)


def _by_all(node: exp.Group) -> bool:
    """Tell whether GROUP BY says ALL."""
    return bool(node.args.get("all")) or any(
        isinstance(item, exp.Var | exp.Column) and item.name.upper() == "ALL" for item in node.expressions
    )


def _united(node: exp.SetOperation, scope: Scope) -> Translated:
    """Translate UNION, INTERSECT and EXCEPT of the same kinds of columns."""
    if node.args.get("by_name"):
        raise refused("BY NAME", scope.dialect, remedy="List the columns in one order on both sides.", node=node)
    _only(node, _SET_OPERATION | _ORDERING, scope)
    is_distinct = bool(node.args.get("distinct"))
    if not is_distinct and not isinstance(node, exp.Union) and scope.dialect in ("bigquery", "snowflake"):
        raise refused(f"{node.key.upper()} ALL", scope.dialect, remedy=f"Write {node.key.upper()}.", node=node)
    with_, scope = _with(node, scope)
    sides = [(side, query(side, scope)) for side in (node.this, node.expression)]
    left, right = (list(translated.columns.items()) for _, translated in sides)
    kinds = [_united_kind(a[1], b[1]) for a, b in zip(left, right, strict=False)]
    if len(left) != len(right) or None in kinds:
        remedy = "Select as many columns on both sides, of the same types."
        raise refused(f"{node.key.upper()} of such columns", scope.dialect, remedy=remedy, node=node)
    trees = [
        exp.Subquery(this=translated.tree) if isinstance(side, exp.Subquery) else translated.tree
        for side, translated in sides
    ]
    tree = type(node)(this=trees[0], expression=trees[1], distinct=is_distinct)
    columns = {
        name: Typed(tree=exp.column(name, quoted=True), kind=kind)
        for (name, _), kind in zip(left, kinds, strict=True)
        if kind is not None
    }
    whole = finished(Finish(node=node, tree=tree, columns=columns, scope=replace(scope, aliases={})))
    whole.set("with_", with_)
    return Translated(tree=whole, columns={name: typed.kind for name, typed in columns.items()})


def _united_kind(left: Kind, right: Kind) -> Kind | None:
    if left == right or right == "null":
        return left
    if left == "null":
        return right
    exact = {left, right} <= set(NUMBERS) - {"float"}
    return max(left, right, key=NUMBERS.index) if exact else None


def _listed(node: exp.Select, scope: Scope) -> Translated | None:
    """Translate ``SELECT unnest(['a', 'b']) AS name``: rows of literals, as VALUES."""
    item = node.expressions[0] if len(node.expressions) == 1 else None
    called = item.this if isinstance(item, exp.Alias) else None
    if not (isinstance(called, exp.Anonymous) and fold(called.name) == "unnest") or item is None:
        return None
    _only(node, {"expressions"}, scope)
    listed = called.expressions[0] if len(called.expressions) == 1 else None
    texts = [literal_text(value) for value in listed.expressions] if isinstance(listed, exp.Array) else []
    if not texts or None in texts:
        raise refused("unnest", scope.dialect, remedy="Give it a list of literal texts.", node=node)
    rows = [exp.Tuple(expressions=[exp.Literal.string(f"{text}")]) for text in texts]
    column = exp.to_identifier(item.alias, quoted=True)
    name = exp.TableAlias(this=exp.to_identifier("listed", quoted=True), columns=[column])
    tree = exp.select(exp.column(item.alias, table="listed", quoted=True))
    tree = tree.from_(exp.Values(expressions=rows, alias=name))
    return Translated(tree=tree, columns={item.alias: "text"})
