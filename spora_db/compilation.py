"""From a `Selection` to one SELECT: constant SQL fragments joined as sqlglot trees, every value a bound parameter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp, parse_one
from sqlglot.dialects.dialect import DialectType

from spora_db.channels import kind_condition, match_condition
from spora_db.guard_dialect import DIALECT
from spora_db.selection import Sampling, Selection

Value = str | int | float | list[str]

TILE_IDENTITY = ("dataset", "modality", "mpp", "strategy", "tile_size", "tissue_id", "tile_id", "row", "col")
TISSUE_IDENTITY = ("dataset", "modality", "mpp", "tissue_id")

TISSUE_ROWS = """
    SELECT i.dataset, i.modality, i.mpp, i.tissue_id, t.* EXCLUDE (dataset, modality, tissue_id)
    FROM images AS i
    LEFT JOIN tissues AS t ON t.dataset = i.dataset AND t.tissue_id = i.tissue_id AND t.modality = i.modality
"""
HAS_IMAGE = """
    EXISTS (
        SELECT 1 FROM images AS i
        WHERE i.dataset = base.dataset AND i.mpp = base.mpp AND i.tissue_id = base.tissue_id
    )
"""
HAS_MARKER = """
    EXISTS (
        SELECT 1 FROM tissue_channels AS c
        WHERE c.dataset = base.dataset AND c.tissue_id = base.tissue_id AND c.measured
    )
"""
PLACE = "base.dataset, base.mpp, base.tissue_id"
SAMPLE_KEY = "md5(concat_ws('|', 'spora-db/1', CAST($seed AS VARCHAR), base.dataset, base.tissue_id, base.tile_id))"


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

    def _literal(self, node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Placeholder) and node.name in self.parameters:
            return exp.convert(self.parameters[node.name])
        return node


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A selection checked against a lake.

    Attributes
    ----------
    selection
        The selection with modality, resolution and tile size known.
    predicates
        Its conditions as checked trees.
    source
        The user's own SELECT of rows, if any, with the names of its columns.
    """

    selection: Selection
    predicates: tuple[exp.Expr, ...] = ()
    source: exp.Query | None = None
    source_columns: tuple[str, ...] = ()


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


def identity_columns(selection: Selection) -> tuple[str, ...]:
    """Return the columns that identify a row: its grain. `modality` is that of the row's first image."""
    return TILE_IDENTITY if selection.unit == "tile" else TISSUE_IDENTITY


def compile_rows(resolved: Resolved) -> Compiled:
    """Compile a resolved selection (modalities, mpp and tile size known) to its one SELECT.

    Parameters
    ----------
    resolved
        What is asked for, checked against the lake.

    Returns
    -------
    Compiled
        A statement that yields the identity columns and ``selection.columns``, in the order of the identity.
    """
    binder = Binder()
    selection = resolved.selection
    tiles = selection.unit == "tile"
    identity = identity_columns(selection)
    query = exp.select(*(_column(name, "base") for name in (*identity, *selection.columns))).from_(
        exp.alias_(_base(resolved, binder), "base", table=True)
    )
    query = query.where(
        *_conditions(selection, binder), *(_on_base(tree) for tree in resolved.predicates), dialect=DIALECT
    )
    if len(selection.modalities) > 1 and selection.missing_modality == "keep":
        place = PLACE + (", base.strategy, base.tile_size, base.tile_id" if tiles else "")
        first = f"row_number() OVER (PARTITION BY {place} ORDER BY list_position($modalities, base.modality)) = 1"
        query = query.qualify(binder.fragment(first, modalities=list(selection.modality_names)), dialect=DIALECT)
    if selection.sampling is not None:
        query = _sampled(query, selection.sampling, binder, identity=identity, columns=selection.columns, tiles=tiles)
    return Compiled(tree=query.order_by(*(_column(name) for name in identity)), parameters=binder.values)


def _base(resolved: Resolved, binder: Binder) -> exp.Expr:
    """Return the relation that rows are selected from: a view, or the user's rows completed to the full identity."""
    selection = resolved.selection
    if resolved.source is None:
        if selection.unit == "tile":
            return exp.to_table("tiles")
        return exp.maybe_parse(TISSUE_ROWS, dialect=DIALECT, into=exp.Select).subquery()
    known: dict[str, Value] = {"modality": selection.modalities[0][0], "mpp": selection.mpp or 0.0}
    if selection.unit == "tile":
        known |= {"strategy": selection.strategy or "default", "tile_size": selection.tile_size or 0}
    query = exp.select("*").from_(resolved.source.subquery("rows"))
    for name, value in known.items():
        if name not in resolved.source_columns:
            query = query.select(exp.alias_(binder.parameter(value), name, quoted=True))
    return query.subquery()


def _column(name: str, table: str | None = None) -> exp.Column:
    return exp.column(name, table=table, quoted=True)


def _on_base(predicate: exp.Expr) -> exp.Expr:
    """Let ``tiles.split`` and ``tissues.split`` in a condition mean the row that is selected."""
    tree = predicate.copy()
    for column in tree.find_all(exp.Column):
        if column.table in ("tiles", "tissues") and column.find_ancestor(exp.Query) is None:
            column.set("table", exp.to_identifier("base"))
    return tree


def _conditions(selection: Selection, binder: Binder) -> list[exp.Expr]:
    """List the conditions that verbs other than `where` stand for."""
    first, *others = selection.modalities
    drop = selection.missing_modality == "drop"
    conditions: list[exp.Expr] = [binder.member("modality", first if drop else selection.modality_names)]
    if selection.mpp is not None:
        conditions.append(binder.fragment("base.mpp = $mpp", mpp=selection.mpp))
    if selection.unit == "tile":
        if selection.tile_size is not None:
            conditions.append(binder.fragment("base.tile_size = $size", size=selection.tile_size))
        if selection.strategy is not None:
            conditions.append(binder.fragment("base.strategy = $strategy", strategy=selection.strategy))
    if selection.splits:
        conditions.append(binder.member("split", selection.splits))
    if drop:
        conditions += [
            _exists(HAS_IMAGE, binder.member("modality", alternatives, table="i")) for alternatives in others
        ]
    for marker in selection.channels.require:
        conditions.append(
            _exists(
                HAS_MARKER,
                binder.member("modality", selection.modality_names, table="c"),
                parse_one(kind_condition(selection.channels, table="c"), dialect=DIALECT),
                binder.fragment(match_condition(selection.channels, table="c"), marker=marker),
            )
        )
    return conditions


def _exists(text: str, *conditions: exp.Expr) -> exp.Expr:
    """Return a constant EXISTS fragment with further conditions inside."""
    exists = parse_one(text, dialect=DIALECT)
    inner = exists.find(exp.Select)
    assert inner is not None
    inner.where(*conditions, copy=False)
    return exists


def _sampled(
    query: exp.Select,
    sampling: Sampling,
    binder: Binder,
    *,
    identity: tuple[str, ...],
    columns: tuple[str, ...],
    tiles: bool,
) -> exp.Select:
    """Keep `n` rows by the hash of their identity; with groups, one of each in turn."""
    key_text = SAMPLE_KEY if tiles else SAMPLE_KEY.replace(", base.tile_id", "")
    query = query.select(
        exp.alias_(binder.fragment(key_text, seed=sampling.seed), "sample_key", quoted=True),
        *(exp.alias_(_column(name, "base"), f"by_{i}", quoted=True) for i, name in enumerate(sampling.by)),
    )
    order: list[exp.Expr] = [_column("sample_key"), *(_column(name) for name in identity)]
    if sampling.by:
        window = exp.Window(
            this=exp.RowNumber(),
            partition_by=[_column(f"by_{i}") for i in range(len(sampling.by))],
            order=exp.Order(expressions=[exp.Ordered(this=item.copy()) for item in order]),
        )
        order = [window, *order]
    inner = exp.select(*(_column(name) for name in (*identity, *columns))).from_(query.subquery("rows"))
    inner = inner.order_by(*order).limit(binder.parameter(sampling.n))
    return exp.select(*(_column(name) for name in (*identity, *columns))).from_(inner.subquery("sample"))
