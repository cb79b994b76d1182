"""Every column with its relation, stars and aliases written out, in clauses that all engines have."""

from collections.abc import Mapping

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify

from spora_db.dialects.targets import Untranslatable, refuse
from spora_db.sqltext.dialect import DIALECT
from spora_db.sqltext.expressions import call
from spora_db.sqltext.names import fold

SPELLED = "spelled"
"""In the ``meta`` of a name: as it was written, before its case was folded."""

_WRITE = "Write the query with WHERE, JOIN ... ON, GROUP BY, HAVING, QUALIFY, ORDER BY and LIMIT."
_JOINS = "Write JOIN or LEFT JOIN with ON; EXISTS for a SEMI JOIN, NOT EXISTS for an ANTI JOIN."
_NAMES = "Name things differently, and columns with their relation, as in t.tissue_id."
_KINDS = {"", "INNER", "LEFT", "LEFT OUTER", "RIGHT", "RIGHT OUTER", "CROSS"}
_ORDERING = ("order", "limit", "offset")
_UNITED = ("with_", "this", "expression", "distinct", *_ORDERING)
_CLAUSES: Mapping[type[exp.Expr], tuple[str, ...]] = {
    exp.Select: (
        "with_", "expressions", "distinct", "from_", "joins", "where", "group", "having", "qualify", *_ORDERING
    ),
    **dict.fromkeys((exp.Union, exp.Intersect, exp.Except), _UNITED),
    exp.Subquery: ("this", "alias"),
    exp.With: ("expressions",),
    exp.CTE: ("this", "alias", "materialized"),
    exp.TableAlias: ("this",),
    exp.From: ("this",),
    exp.Table: ("this", "alias"),
    exp.Join: ("this", "on", "side", "kind", "using"),
    exp.Group: ("expressions", "all"),
    exp.Distinct: ("expressions",),
    exp.Star: ("except_",),
    exp.Limit: ("expression",),
    exp.Offset: ("expression",),
}  # fmt: skip
"""What each clause may have; all else is refused."""


def resolved(tree: exp.Query, columns: Mapping[str, Mapping[str, str]]) -> exp.Query:
    """Return a query whose columns all say which relation they are of, names in lower case; refuse what is not known.

    Parameters
    ----------
    tree
        The query as it was read.
    columns
        The columns of the relations that it names, with their types in DuckDB.
    """
    for node in tree.walk():
        _check(node)
    known = {fold(column) for types in columns.values() for column in types}
    for having in tree.find_all(exp.Having):  # where DuckDB takes a column before an alias if the column is grouped by
        named = {fold(column.name) for column in having.find_all(exp.Column) if not column.table}
        items = having.parent.expressions if isinstance(having.parent, exp.Select) else []
        aliases = {fold(item.alias) for item in items if fold(item.unalias().name) != fold(item.alias)}
        refuse(named & aliases & known, "A name of a column and of an alias", _NAMES)
    for name in tree.find_all(exp.Identifier):
        name.meta[SPELLED] = name.name
    try:
        found = qualify(tree, schema={name: dict(types) for name, types in columns.items()}, dialect=DIALECT)
    except SqlglotError as error:
        raise Untranslatable(f"A name ({f'{error}'.splitlines()[0]})", _NAMES) from error
    for node in list(found.find_all(exp.Coalesce)):  # of USING
        node.replace(call("coalesce", node.this, *node.expressions))
    assert isinstance(found, exp.Query)
    return found


def _check(node: exp.Expr) -> None:
    """Refuse a clause that is not known."""
    known = _CLAUSES.get(type(node), node.args)
    for name, value in node.args.items():
        word = f"{name.strip('_').replace('_', ' ').upper()} in a {node.key.upper()}"
        refuse(value and name not in known, word, _WRITE)
    if isinstance(node, exp.Join):
        kind = f"{node.side} {node.kind}".strip().upper()
        refuse(kind not in _KINDS or (kind.startswith("RIGHT") and node.args.get("using")), f"{kind} JOIN", _JOINS)
    by = node.expressions if isinstance(node, exp.Group | exp.Order) else []
    names = [item.this if isinstance(item, exp.Ordered) else item for item in by]
    by_all = any(isinstance(name, exp.Var | exp.Column) and name.name.upper() == "ALL" for name in names)
    refuse(
        by_all or (isinstance(node, exp.Group) and node.args.get("all")),
        f"{node.key.upper()} BY ALL",
        "List the columns.",
    )
