"""SQL values as parameters: a statement and its values travel together, and meet only inside DuckDB."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp, parse_one
from sqlglot.dialects.dialect import DialectType

from spora_db.sqltext.dialect import DIALECT

Value = str | int | float | list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """One SELECT and the values of its parameters.

    Attributes
    ----------
    tree
        The statement; parameters appear as ``$name``.
    parameters
        Parameter name to value.
    """

    tree: exp.Query
    parameters: Mapping[str, Value]

    def text(self, *, inline: bool = False, dialect: DialectType = DIALECT) -> str:
        """Return the SQL text, with parameters as ``$name`` or, `inline`, as escaped literals."""
        tree = self.tree.transform(self._literal) if inline else self.tree
        return tree.sql(dialect, pretty=True)

    def rows(self) -> exp.Query:
        """Return the statement to select from: without its ORDER BY, unless that says which rows a LIMIT keeps."""
        tree = self.tree.copy()
        if tree.args.get("limit") is None:
            tree.set("order", None)
        return tree

    def select(self, *expressions: exp.Expr | str) -> exp.Select:
        """Return a SELECT over the rows, which are called ``rows``."""
        return exp.select(*expressions).from_(self.rows().subquery("rows"))

    def _literal(self, node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Placeholder) and node.name in self.parameters:
            return exp.convert(self.parameters[node.name])
        return node


@dataclass(slots=True)
class Binder:
    """Gives each value a parameter of its own while a statement is built."""

    values: dict[str, Value] = field(default_factory=dict)

    def parameter(self, value: Value) -> exp.Placeholder:
        """Return the placeholder that stands for `value`."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return exp.Placeholder(this=name)

    def fragment(self, text: str, **values: Value) -> exp.Expr:
        """Parse a constant SQL fragment and give each of its ``$names`` a parameter."""
        tree = parse_one(text, dialect=DIALECT)
        bound = {name: self.parameter(value) for name, value in values.items()}

        def rename(node: exp.Expr) -> exp.Expr:
            return bound[node.name].copy() if isinstance(node, exp.Placeholder) and node.name in bound else node

        return tree.transform(rename)

    def member(self, column: str, values: Sequence[str], *, table: str = "base") -> exp.Expr:
        """Return the condition that a column is one of `values`."""
        name = exp.column(column, table=table)
        if len(values) == 1:
            return exp.EQ(this=name, expression=self.parameter(values[0]))
        return exp.In(this=name, expressions=[self.parameter(value) for value in values])
