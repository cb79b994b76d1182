"""The guard's second look: what sqlglot made of a text, before anything is built with it."""

from collections.abc import Collection
from typing import NoReturn

from sqlglot import exp

from spora_db.guard.functions import COMPILED, FUNCTIONS, TABLE_FUNCTIONS, not_allowed
from spora_db.guard.relations import refuse_file, refuse_in_from
from spora_db.guard.text import refuse
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
    """Check that sqlglot read nothing but parts of a query, and none that DuckDB reads otherwise.

    Which relations it may name is looked up in DuckDB's own tree (``nodes``), with the CTEs that are in scope there.

    Parameters
    ----------
    tree, text
        A query or a condition, and the text it was parsed from.
    relations
        The relations that may be read, for errors.

    Raises
    ------
    QueryError
        At the first thing that is not allowed, with its place.

    Examples
    --------
    >>> import sqlglot
    >>> check_tree(sqlglot.parse_one("SELECT 1 FROM tiles"), text="SELECT 1 FROM tiles", relations=["tiles"])
    """
    plain = tree.find(exp.With) is None  # else only scopes tell what a name means
    for node in tree.walk():
        if not isinstance(node, _NODES) or isinstance(node, _NAMING_TYPES):
            refuse_node(node, text=text, finding=f"{node.key.upper()} is not part of a query.", remedy=ADVICE)
        if isinstance(node, (*_ARROWS, exp.Not)):
            _check_binding(node, text=text)
        elif isinstance(node, exp.Anonymous):
            of_list = fold(node.name) in {"all", "any"} and isinstance(node.parent, _COMPARISONS)
            if not of_list and fold(node.name) not in FUNCTIONS | TABLE_FUNCTIONS | COMPILED:
                refuse_node(node, text=text, finding=not_allowed(node.name), remedy=ADVICE)
        elif isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            if plain and len(node.parts) == 1:
                refuse_file(node.name, text=text, place=place(node.this), relations=relations)
        elif isinstance(node, exp.Table | exp.Lateral) and not isinstance(node.this, exp.Subquery):
            called = fold(node.this.name) if isinstance(node.this, exp.Anonymous) else node.this.key
            if called not in TABLE_FUNCTIONS:
                refuse_in_from(node.this.sql("duckdb"), text=text, place=place(node.this))


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
