"""Where a name in a query comes from: the relations that a SELECT reads, its own aliases, the SELECTs around it.

Columns are written with the relation they are of, so that no engine takes an alias of the same name instead; an alias
that stands where other engines do not see it (WHERE, a later column) is replaced by what it names.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from sqlglot import exp

from spora_db.dialects.forms import GROUPS, of_group, wrapped
from spora_db.dialects.kinds import Kind, Typed
from spora_db.dialects.targets import Dialect, Untranslatable, refuse
from spora_db.sqltext.names import fold

Part = TypeVar("Part")
_ALIAS = "Name things differently, and columns with their relation, as in t.tissue_id."


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """What can stand in FROM: a name as it is spelled, and its columns in order."""

    name: str
    columns: Mapping[str, Kind]

    def column(self, name: str) -> Typed | None:
        """Return a column, its name as the relation spells it; DuckDB does not mind the case, others do."""
        found = next((known for known in self.columns if fold(known) == fold(name)), None)
        if found is None:
            return None
        return Typed(tree=exp.column(found, table=self.name, quoted=True), kind=self.columns[found])


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """A translated query and its columns in order; those without a name are called after their place."""

    tree: exp.Query
    columns: Mapping[str, Kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What an expression may name, and where it is going."""

    dialect: Dialect
    expression: "Callable[[exp.Expr, Scope], Typed]"  # translates one
    select: "Callable[[exp.Expr, Scope], Translated]"  # translates a SELECT inside another one
    known: Mapping[str, Relation]  # relations and CTEs, by folded name
    sources: tuple[Relation, ...] = ()  # what this SELECT reads, by its alias there
    aliases: Mapping[str, Typed] = field(default_factory=dict)  # columns of the result so far, by folded name
    outer: "Scope | None" = None  # the SELECT around this one
    in_having: bool = False  # where DuckDB takes a column before an alias only if the column is grouped by
    makes_view: bool = False  # one of the package's own, not a query of a user

    def typed(self, node: exp.Expr) -> Typed:
        """Translate an expression."""
        return self._located(self.expression, node)

    def query(self, node: exp.Expr) -> Translated:
        """Translate a SELECT or a set operation."""
        return self._located(self.select, node)

    def _located(self, rule: "Callable[[exp.Expr, Scope], Part]", node: exp.Expr) -> Part:
        try:
            return rule(node, self)
        except Untranslatable as error:
            error.node = node if error.node is None else error.node
            raise

    def of_group(self, node: exp.Expr, group: str, *, what: str) -> Typed:
        """Translate an expression that must be of a group of kinds, as `what` takes it."""
        typed = self.typed(node)
        if (found := of_group(typed, group)) is None:
            kinds = " or ".join(GROUPS.get(group, (group,)))
            raise Untranslatable(what, f"It takes {kinds} here; this is {typed.kind}.")
        return found

    def condition(self, node: exp.Expr) -> exp.Expr:
        """Translate a condition: DuckDB takes numbers for truth values, others do not."""
        return self.of_group(node, "boolean", what="A condition").tree

    def column(self, node: exp.Column) -> Typed:
        """Translate a column, or the alias that its name stands for."""
        is_field = node.args.get("db") or not isinstance(node.this, exp.Identifier)
        refuse(is_field, "A field of a struct", "Use columns of plain types.")
        scope: Scope | None = self
        nearer: set[str] = set()
        while scope is not None:
            found = scope._own(node)
            if found is not None:
                is_hidden = isinstance(found.tree, exp.Column) and fold(found.tree.table) in nearer
                refuse(is_hidden, "A relation hidden by another of its name", _ALIAS)
                return found
            nearer |= {fold(source.name) for source in scope.sources}
            scope = scope.outer
        raise Untranslatable("A column of no relation here", _ALIAS)

    def _own(self, node: exp.Column) -> Typed | None:
        """Return a column of this SELECT: of a relation it reads, else one of its own aliases."""
        name, table = node.name, fold(node.table)
        places = [source.column(name) for source in self.sources if table in ("", fold(source.name))]
        columns = [column for column in places if column is not None]
        refuse(len(columns) > 1, "A column that several relations here have", _ALIAS)
        alias = None if table else self.aliases.get(fold(name))
        if not columns:
            return None if alias is None else Typed(tree=wrapped(alias.tree.copy()), kind=alias.kind)
        is_both = self.in_having and alias is not None and alias.tree != columns[0].tree
        refuse(is_both, "A name of a column and of an alias", _ALIAS)
        return columns[0]
