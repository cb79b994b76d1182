"""What the columns of a query are: those of the relations around it, under the names that they have there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from sqlglot import exp

from spora_db.dialects.forms import GROUPS, of_group
from spora_db.dialects.kinds import Kind, Typed
from spora_db.dialects.targets import Dialect, Untranslatable, refuse

Part = TypeVar("Part")
Columns = Mapping[str, tuple[str, Kind]]
"""By folded name, in order: the name as it is spelled, and its kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """A translated query and its columns."""

    tree: exp.Query
    columns: Columns

    @property
    def kinds(self) -> list[Kind]:
        """The kinds of the columns."""
        return [kind for _, kind in self.columns.values()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What an expression may name, and where it is going."""

    dialect: Dialect
    expression: "Callable[[exp.Expr, Scope], Typed]"  # translates one
    select: "Callable[[exp.Expr, Scope], Translated]"  # translates a SELECT inside another one
    known: Mapping[str, tuple[str, Columns]]  # relations and CTEs, spelled, by folded name
    tables: Mapping[str, Columns]  # what this SELECT and those around it read, by its alias there
    aliases: Mapping[str, Typed] = field(default_factory=dict)  # columns of the result, for its order
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
        """Translate a column: its name as the relation spells it; DuckDB does not mind the case, others do."""
        tables = [node.table] if node.table else list(self.tables)
        found = [(table, *self.tables[table][node.name]) for table in tables if node.name in self.tables.get(table, {})]
        if not found and not node.table and node.name in self.aliases:
            return self.aliases[node.name]
        refuse(len(found) != 1, "A column of no relation here", "Name columns with their relation, as in t.tissue_id.")
        table, name, kind = found[0]
        return Typed(tree=exp.column(name, table=table, quoted=True), kind=kind)
