"""The guard's second look: every node of a parsed query, and every relation that it reads."""

from collections.abc import Collection
from typing import NoReturn

from sqlglot import exp

from spora_db.guard.functions import COMPILED, FUNCTIONS, TABLE_FUNCTIONS, TYPE_ALIASES
from spora_db.guard.relations import check_cte_name, check_relation, refuse_in_from
from spora_db.guard.text import check_tokens, refuse, tokens_of
from spora_db.sqltext.names import fold

QUERIES = (exp.Select, exp.SetOperation, exp.Subquery, exp.Pivot)
ADVICE = "A query is one SELECT over the catalog's relations, CTEs and table functions that make rows from values."

_NODES = (
    *(*QUERIES, exp.With, exp.CTE, exp.Values),
    *(exp.From, exp.Join, exp.Lateral, exp.Table, exp.TableAlias, exp.TableSample),
    *(exp.Where, exp.Group, exp.GroupingSets, exp.Rollup, exp.Cube, exp.Having, exp.Qualify, exp.Distinct),
    *(exp.Order, exp.Ordered, exp.Limit, exp.LimitOptions, exp.Offset),
    *(exp.Window, exp.WindowSpec, exp.Filter, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls),
    *(exp.Column, exp.PositionalColumn, exp.Identifier, exp.Star, exp.Alias, exp.Placeholder),
    *(exp.Binary, exp.Unary, exp.Predicate, exp.Tuple, exp.Bracket, exp.Slice, exp.AtTimeZone, exp.Case, exp.If),
    *(exp.Anonymous, exp.Lambda, exp.Comprehension, exp.Array, exp.Struct, exp.Map, exp.ToMap, exp.Unnest, exp.Concat),
    *(exp.Cast, exp.TryCast, exp.Extract, exp.Overlay, exp.StrPosition, exp.Substring, exp.Trim, exp.Pow),
    *(exp.CurrentDate, exp.CurrentTime, exp.CurrentTimestamp, exp.Localtime, exp.Localtimestamp),
    *(exp.PivotAlias, exp.UnpivotColumns),
    *(exp.Literal, exp.RawString, exp.ByteString, exp.Null, exp.Boolean, exp.Interval, exp.IntervalSpan, exp.Var),
    *(exp.DataType, exp.DataTypeParam, exp.ColumnDef),
)
_NAMING_TYPES = (exp.PseudoType, exp.ObjectIdentifier)  # regclass and its like look names up
_ARROWS = (exp.JSONExtract, exp.JSONExtractScalar)
_BINDING = (exp.Binary, exp.Not, exp.Neg, exp.BitwiseNot, exp.Predicate, exp.Bracket)
_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)


def check_tree(tree: exp.Expr, *, text: str, relations: Collection[str]) -> None:
    """Check every node of a tree, then every token of the text it was parsed from.

    Parameters
    ----------
    tree
        A query or a condition.
    text
        The text it was parsed from.
    relations
        The relations that may be read.

    Raises
    ------
    QueryError
        At the first thing that is not allowed, with its place.
    UnknownNameError
        For a relation that does not exist.

    Examples
    --------
    >>> import sqlglot
    >>> check_tree(sqlglot.parse_one("SELECT 1 FROM tiles"), text="SELECT 1 FROM tiles", relations=["tiles"])
    """
    aliases = set()
    for node in tree.walk():
        if not isinstance(node, _NODES) or isinstance(node, _NAMING_TYPES):
            refuse_node(node, text=text, finding=f"{node.key.upper()} is not part of a query.", remedy=ADVICE)
        if isinstance(node, exp.TableAlias):
            if node.args.get("columns"):
                aliases.add(fold(node.name))
        elif isinstance(node, exp.CTE):
            check_cte_name(node.alias, text=text, place=place(node.args["alias"]))
        elif isinstance(node, exp.DataType):
            kind = f"{node.args.get('kind')}"
            if node.this == exp.DType.USERDEFINED and fold(kind) not in TYPE_ALIASES:
                finding = f"the type {kind} is not one of DuckDB's own."
                remedy = "Cast to INTEGER, DOUBLE, VARCHAR, DATE, ..."
                named = (token for token in tokens_of(text) if fold(token.text) == fold(kind))  # types know no place
                start, end = next(((token.start, token.end + 1) for token in named), (0, 1))
                refuse(text, start=start, end=end, finding=finding, remedy=remedy)
        elif isinstance(node, exp.Anonymous):
            of_list = fold(node.name) in {"all", "any"} and isinstance(node.parent, _COMPARISONS)
            if not of_list and fold(node.name) not in FUNCTIONS | TABLE_FUNCTIONS | COMPILED:
                finding = f"the function {node.name!r} is not among those allowed."
                refuse_node(node, text=text, finding=finding, remedy=ADVICE)
        elif isinstance(node, (*_ARROWS, exp.Not)):
            _check_binding(node, text=text)
        elif isinstance(node, exp.Table):
            _check_relation(node, text=text, relations=relations)
        elif isinstance(node, exp.Lateral) and not isinstance(node.this, exp.Subquery):
            _check_table_function(node.this, text=text)
    table_calls = {fold(node.this.name) for node in tree.find_all(exp.Table) if isinstance(node.this, exp.Anonymous)}
    check_tokens(tokens_of(text), text=text, called=aliases | (table_calls & TABLE_FUNCTIONS))


def place(node: exp.Expr) -> tuple[int, int]:
    """Return first and last character (exclusive) of a node in its text, as far as its parts know where they stand.

    Examples
    --------
    >>> import sqlglot
    >>> place(sqlglot.parse_one("SELECT 1 + tile_id").expressions[0])
    (7, 18)
    """
    places = [(part.meta["start"], part.meta["end"] + 1) for part in node.walk() if "start" in part.meta]
    return (min(start for start, _ in places), max(end for _, end in places)) if places else (0, 1)


def refuse_node(node: exp.Expr, *, text: str, finding: str, remedy: str) -> NoReturn:
    """Raise the error for a node of ``text``, at its place."""
    start, end = place(node)
    refuse(text, start=start, end=end, finding=finding, remedy=remedy)


def _check_binding(node: exp.Expr, *, text: str) -> None:
    """Refuse an arrow or a NOT that DuckDB binds to other neighbours than sqlglot (there -> is looser than AND)."""
    parent = node.parent
    if not isinstance(parent, _BINDING):
        return
    if isinstance(node, exp.Not):
        if not isinstance(parent, (exp.Connector, exp.Not)):
            remedy = "Put NOT and what it denies in parentheses."
            refuse_node(node, text=text, finding="a NOT as an operand.", remedy=remedy)
    elif not isinstance(parent, _ARROWS) and not (
        isinstance(node, exp.JSONExtractScalar) and isinstance(parent, _COMPARISONS)
    ):
        remedy = "Put the arrow and its operands in parentheses."
        refuse_node(node, text=text, finding="an arrow beside another operator.", remedy=remedy)


def _check_relation(table: exp.Table, *, text: str, relations: Collection[str]) -> None:
    """Check what stands in FROM: a relation of the catalog, a CTE in scope, or a table function."""
    if not isinstance(table.this, exp.Identifier):
        _check_table_function(table.this, text=text)
        return
    parts = [part.name for part in table.parts]
    at = place(table if len(parts) > 1 else table.this)
    check_relation(parts, text=text, place=at, relations=relations, visible=_visible_ctes(table))


def _check_table_function(node: exp.Expr, *, text: str) -> None:
    called = fold(node.name) if isinstance(node, exp.Anonymous) else node.key
    if called not in TABLE_FUNCTIONS:
        refuse_in_from(node.sql("duckdb"), text=text, place=place(node))


def _visible_ctes(table: exp.Table) -> set[str]:
    """Return the CTEs in scope, folded: those of the queries around it, and those before it in its own WITH."""
    names: set[str] = set()
    child: exp.Expr = table
    while (parent := child.parent) is not None:
        if isinstance(parent, exp.With):
            position = next(number for number, cte in enumerate(parent.expressions) if cte is child)
            names |= {fold(cte.alias) for cte in parent.expressions[:position]}
            if parent.args.get("recursive") and _repeated(child, table):
                names.add(fold(child.alias))
        else:
            clause = parent.args.get("with_")
            if clause is not None and clause is not child:
                names |= {fold(cte.alias) for cte in clause.expressions}
        child = parent
    return names


def _repeated(cte: exp.Expr, table: exp.Table) -> bool:
    """Tell whether a relation is in the part of a recursive CTE that DuckDB repeats: only there it may mean the CTE.

    That is the right arm of a UNION which is the whole body. Elsewhere DuckDB looks the CTE's own name up in the
    database.
    """
    body: exp.Expr = cte.this
    while isinstance(body, exp.Subquery) and body.is_wrapper:
        body = body.this
    if not isinstance(body, exp.Union) or body.args.get("by_name") or body.args.get("with_"):
        return False
    child: exp.Expr | None = table
    while child is not None and child.parent is not body:
        child = child.parent
    return child is body.expression
