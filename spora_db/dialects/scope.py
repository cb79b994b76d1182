"""Where a name in a query comes from: the relations that a SELECT reads, its own aliases, the SELECTs around it.

Columns are written with the relation they are of, so that no engine takes an alias of the same name instead; an alias
that stands where other engines do not see it (WHERE, a later column) is replaced by what it names.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sqlglot import exp

from spora_db.dialects.kinds import NUMBERS, Kind, Typed, wrapped
from spora_db.dialects.targets import Dialect, can_name, refused
from spora_db.sqltext.names import fold

_ALIAS = "Name things differently, and columns with their relation, as in t.tissue_id."


_NULLS: Mapping[Kind, exp.DType] = {"text": exp.DType.TEXT, "date": exp.DType.DATE, "integer": exp.DType.INT}


def _kind_of_null(kinds: set[Kind]) -> Kind | None:
    """Return what a NULL is made where it must be of one of some kinds: PostgreSQL knows no NULL * NULL."""
    if kinds <= {"date", "timestamp"}:
        return "date"
    if kinds <= {"date", *NUMBERS}:
        return "integer"
    return "text" if kinds == {"text"} else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """What can stand in FROM: a name as it is spelled, and its columns in order."""

    name: str
    columns: Mapping[str, Kind]

    def spelled(self, column: str) -> str | None:
        """Return a column's name as the relation spells it; DuckDB does not mind the case, others do."""
        wanted = fold(column)
        return next((name for name in self.columns if fold(name) == wanted), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """A translated query and its columns in order; those without a name are called after their place."""

    tree: exp.Query
    columns: Mapping[str, Kind]


class Translator(Protocol):
    """What translates the parts of an expression."""

    def expression(self, node: exp.Expr, scope: "Scope") -> Typed:
        """Translate an expression."""

    def query(self, node: exp.Expr, scope: "Scope") -> Translated:
        """Translate a SELECT or a set operation inside another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What an expression may name, and where it is going.

    Attributes
    ----------
    dialect
        The engine.
    translator
        Translates parts.
    known
        Relations and CTEs by folded name.
    sources
        What this SELECT reads, by its alias there.
    merged
        Folded names of columns that USING made one.
    aliases
        Columns of the result so far, by folded name.
    outer
        The SELECT around this one.
    positive
        Expressions that are greater than zero here, as text: the branch of a CASE that asked.
    in_having
        Whether this is HAVING, where DuckDB takes a column before an alias only if the column is grouped by.
    makes_view
        Whether the statement is one of the package's own views, not a query of a user.
    """

    dialect: Dialect
    translator: Translator
    known: Mapping[str, Relation]
    sources: tuple[Relation, ...] = ()
    merged: frozenset[str] = frozenset()
    aliases: Mapping[str, Typed] = field(default_factory=dict)
    outer: "Scope | None" = None
    positive: frozenset[str] = frozenset()
    in_having: bool = False
    makes_view: bool = False

    def typed(self, node: exp.Expr) -> Typed:
        """Translate a part."""
        return self.translator.expression(node, self)

    def of_kind(self, node: exp.Expr, *kinds: Kind, what: str) -> Typed:
        """Translate a part that must be of one of some kinds, or NULL.

        Raises
        ------
        QueryError
            If it is of another kind; the message says `what` takes it.
        """
        typed = self.typed(node)
        if typed.kind not in (*kinds, "null"):
            remedy = f"It takes {' or '.join(kinds)} here; this is {typed.kind}."
            if typed.kind == "float" and "double" in kinds:
                remedy = "Write CAST(... AS DOUBLE) around the FLOAT."
            raise refused(what, self.dialect, remedy=remedy, node=node)
        if typed.kind == "null" and (kind := _kind_of_null(set(kinds))) is not None:
            return Typed(tree=exp.cast(typed.tree, _NULLS[kind]), kind=kind)
        return typed

    def condition(self, node: exp.Expr) -> exp.Expr:
        """Translate a condition: DuckDB takes numbers for truth values, others do not."""
        return self.of_kind(node, "boolean", what="A condition").tree

    def double(self, node: exp.Expr, *, what: str) -> Typed:
        """Translate a number and bring it to DOUBLE."""
        typed = self.of_kind(node, *(kind for kind in NUMBERS if kind != "float"), what=what)
        if typed.kind == "double":
            return typed
        return Typed(tree=exp.cast(typed.tree, exp.DType.DOUBLE), kind="double", sign=typed.sign)

    def column(self, node: exp.Column) -> Typed:
        """Translate a column, or the alias that its name stands for.

        Raises
        ------
        QueryError
            If no relation here has it, or several do.
        """
        if node.args.get("db") or not isinstance(node.this, exp.Identifier):
            raise refused("A field of a struct", self.dialect, remedy="Use columns of plain types.", node=node)
        if not can_name(node.name, self.dialect):
            raise refused("A column of such a name", self.dialect, remedy="Rename it in its file.", node=node)
        scope: Scope | None = self
        while scope is not None:
            found = scope._own(node)
            if found is not None:
                return self._visible(found, scope, node)
            scope = scope.outer
        raise refused("A column of no relation here", self.dialect, remedy=_ALIAS, node=node)

    def _own(self, node: exp.Column) -> Typed | None:
        """Return a column of this SELECT: of a relation it reads, else one of its own aliases."""
        name, table = node.name, fold(node.table)
        places = [
            (source, spelled)
            for source in self.sources
            if (not table or fold(source.name) == table) and (spelled := source.spelled(name)) is not None
        ]
        is_merged = not table and fold(name) in self.merged
        if len(places) > 1 and not is_merged:
            raise refused("A column that several relations here have", self.dialect, remedy=_ALIAS, node=node)
        alias = None if table else self.aliases.get(fold(name))
        if places:
            source, spelled = places[0]
            column = exp.column(spelled, table=None if is_merged else source.name, quoted=True)
            if self.in_having and alias is not None and alias.tree != column:
                raise refused("A name of a column and of an alias", self.dialect, remedy=_ALIAS, node=node)
            return Typed(tree=column, kind=source.columns[spelled])
        if alias is None:
            return None
        return Typed(tree=wrapped(alias.tree.copy()), kind=alias.kind, sign=alias.sign, is_whole=alias.is_whole)

    def _visible(self, found: Typed, owner: "Scope", node: exp.Column) -> Typed:
        """Refuse a column of a SELECT around this one whose relation is hidden by one of the same name."""
        table = found.tree.table if isinstance(found.tree, exp.Column) else ""
        scope: Scope | None = self
        while scope is not None and scope is not owner:
            if any(fold(source.name) == fold(table) for source in scope.sources):
                raise refused("A relation hidden by another of its name", self.dialect, remedy=_ALIAS, node=node)
            scope = scope.outer
        return found
