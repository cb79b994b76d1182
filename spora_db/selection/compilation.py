"""From a `Selection` to one SELECT: constant SQL fragments joined as sqlglot trees, every value a bound parameter."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from sqlglot import exp, parse_one

from spora_db.selection import Selection
from spora_db.selection.cells import cell_rows
from spora_db.selection.exclusion_conditions import exclusion_conditions
from spora_db.selection.features import feature_conditions
from spora_db.selection.image_conditions import has_image
from spora_db.selection.joins import with_joined
from spora_db.selection.marker_conditions import marker_conditions
from spora_db.selection.named_around import named_around
from spora_db.selection.resolved import TISSUE_IDENTITY, Resolved, identity_columns
from spora_db.selection.sampling import assigned_split, sampled
from spora_db.selection.statistics_conditions import statistics_conditions
from spora_db.sqltext.binding import Binder, Compiled, Value
from spora_db.sqltext.dialect import DIALECT
from spora_db.sqltext.names import fold

TISSUE_ROWS = """
    SELECT i.dataset, i.modality, i.mpp, i.tissue_id
    FROM images AS i
    LEFT JOIN tissues AS t ON t.dataset = i.dataset AND t.tissue_id = i.tissue_id AND t.modality = i.modality
"""
PLACE = "base.dataset, base.mpp, base.tissue_id"
SAME_TISSUE = "t.dataset = r.dataset AND t.tissue_id = r.tissue_id AND t.modality = r.modality"


def reads_tiles(resolved: Resolved) -> bool:
    """Tell whether rows are those of the view `tiles`: not the user's own, nothing joined, drawn or assigned."""
    asked = resolved.selection
    assigned = asked.split_choice is not None and asked.split_choice.fractions
    alone = resolved.source is None and not resolved.joins
    return asked.unit == "tile" and alone and asked.sampling is None and not assigned


def compile_rows(
    resolved: Resolved, *, tiles: Callable[[Collection[str]], exp.Expr] | None = None, also: Sequence[str] = ()
) -> Compiled:
    """Compile a resolved selection (modalities, mpp and tile size known) to its one SELECT.

    What it reads from has the columns that are named, and no others: every one costs DuckDB time to bind.

    Parameters
    ----------
    tiles
        What returns, for the columns that are named, what is read in place of the view `tiles`, whose rows it has.
    also
        Columns of `tiles` that the rows bring along.

    Returns
    -------
    Compiled
        A statement that yields the identity columns and ``selection.carried``, in the order of the identity; rows of
        the user's own, which may name one place twice, then in that of their columns.
    """
    binder = Binder()
    selection = resolved.selection
    identity = identity_columns(selection)
    columns = tuple(name for name in selection.carried if name not in identity)
    predicates = [on_base(tree, resolved) for tree in resolved.predicates]
    weight = None if resolved.weight is None else on_base(resolved.weight, resolved)
    names = _named_columns(resolved, [*predicates, *([] if weight is None else [weight])])
    query = exp.select(*(_column(name, "base") for name in (*identity, *columns, *also))).from_(
        exp.alias_(tiles(names) if tiles else _base(resolved, binder, names), "base", table=True)
    )
    tissues = [
        *marker_conditions(selection, resolved.markers, binder, undelivered=resolved.undelivered),
        *statistics_conditions(selection, resolved.markers, binder),
        *exclusion_conditions(selection, binder),
        *feature_conditions(selection),
    ]
    keeps = len(selection.modalities) > 1 and selection.missing_modality == "keep"
    conditions = _conditions(selection, binder)
    if keeps and resolved.source is None:
        conditions.append(_first_that_is_there(selection, binder))
    query = query.where(*conditions, *predicates, *tissues, dialect=DIALECT)
    if keeps and resolved.source is not None:
        query = query.qualify(_first_that_was_given(selection, binder), dialect=DIALECT)
    if selection.sampling is not None:
        query = sampled(
            query,
            selection.sampling,
            binder,
            identity=identity,
            columns=columns,
            weight=None if weight is None else _with_tile_count(weight),
        )
    order = identity if resolved.source is None else (*identity, *columns)
    query = query.order_by(*(_column(name) for name in order))
    if selection.limit is not None:
        query = query.limit(binder.parameter(selection.limit))
    return Compiled(tree=query, parameters=binder.values)


def _named_columns(resolved: Resolved, written: Iterable[exp.Expr]) -> tuple[str, ...]:
    """Return the columns of the rows that a query names: by its verbs, and in what a user wrote."""
    selection, trees = resolved.selection, list(written)
    if any(tree.find(exp.Star) for tree in trees):  # base.*, in a sub-select
        return resolved.columns
    names = {*identity_columns(selection), *selection.carried}
    names |= {name.name for tree in trees for name in tree.find_all(exp.Identifier)}
    if selection.splits:
        names.add("split")
    if selection.split_choice is not None:
        names.add(selection.split_choice.group_column)
    if selection.sampling is not None:
        names |= {*selection.sampling.by, *(["patient_id"] if selection.sampling.per_patient else [])}
    folded = set(map(fold, names))
    return tuple(name for name in resolved.columns if fold(name) in folded)


def _base(resolved: Resolved, binder: Binder, names: Collection[str]) -> exp.Expr:
    """Return the relation that rows are selected from: a view, or the user's rows completed to the full identity."""
    selection = resolved.selection
    assigned = selection.split_choice is not None and bool(selection.split_choice.fractions)
    if resolved.joins and assigned:
        names = (*names, *(name for name in resolved.columns if name == "split" and name not in names))
    rows = _rows(resolved, binder, names)
    if resolved.tissue_columns:
        joined = exp.select("r.*", *(_column(name, "t") for name in resolved.tissue_columns))
        joined = joined.from_(exp.alias_(rows, "r", table=True))
        rows = joined.join("tissues AS t", on=SAME_TISSUE, join_type="left", dialect=DIALECT).subquery()
    if resolved.joins:
        rows = with_joined(rows, resolved.joins, names=None if resolved.source is not None else names)
    if selection.split_choice is None or not assigned:
        return rows
    split = exp.alias_(assigned_split(selection.split_choice, binder, of_floats=resolved.split_of_floats), "split")
    known = (*resolved.source_columns, *resolved.tissue_columns)
    own = resolved.source is not None and "split" not in known
    everything = exp.Star() if own else exp.Star(except_=[exp.to_identifier("split")])
    return exp.select(everything, split).from_(exp.alias_(rows, "rows", table=True)).subquery()


def _rows(resolved: Resolved, binder: Binder, names: Collection[str]) -> exp.Expr:
    selection = resolved.selection
    if resolved.source is None:
        if selection.unit == "tile":
            return exp.to_table("tiles")
        if selection.unit == "cell":
            assert resolved.cells is not None
            return cell_rows(resolved.cells, size=selection.tile_size or 0, binder=binder, names=names)
        rows: exp.Select = exp.maybe_parse(TISSUE_ROWS, dialect=DIALECT, into=exp.Select)
        brought = {*TISSUE_IDENTITY, *(new for join in resolved.joins for _, new in join.columns)}
        of_tissue = (_column(name, "t") for name in names if name not in brought)
        return rows.select(*of_tissue, copy=False).subquery()
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


def on_base(predicate: exp.Expr, resolved: Resolved) -> exp.Expr:
    """Let ``tiles.split``, ``tissues.split`` and ``cells.cell_type`` in a condition mean the row that is selected.

    Of a column that tissues and the row have both, ``tissues.row`` is that of tissues.

    In a sub-select they do too, unless it, or one around it, reads a relation of that name.
    """
    tree, cells = predicate.copy(), resolved.cells
    relations = ("tiles", "tissues") if cells is None else ("cells", "tissues")
    for column in list(tree.find_all(exp.Column)):
        table = column.table.lower()
        if table in relations and not named_around(column, table):
            name = column.name
            if table == "tissues":
                name = resolved.second_names.get(fold(name), name)
            if cells is not None:
                name = cells.named(table, name)
            column.set("this", exp.to_identifier(name, quoted=True))
            column.set("table", exp.to_identifier("base"))
    return tree


def joined_by_and(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the conditions that a condition joins with AND."""
    waiting = [tree]
    while waiting:
        part = waiting.pop().unnest()
        if isinstance(part, exp.And):
            waiting += [part.expression, part.this]
        else:
            yield exp.paren(part)


def _with_tile_count(weight: exp.Expr) -> exp.Expr:
    """Let ``n_tiles`` in a weight mean the number of selected rows of the same tissue."""
    count = parse_one("count(*) OVER (PARTITION BY base.dataset, base.modality, base.tissue_id)", dialect=DIALECT)
    return weight.transform(
        lambda node: count.copy() if isinstance(node, exp.Column) and node.name.lower() == "n_tiles" else node
    )


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
        conditions += [has_image(alternatives, binder) for alternatives in others]
    return conditions


def _first_that_is_there(selection: Selection, binder: Binder) -> exp.Expr:
    """Return the condition that a row is of the first place, or of the first modality that its tissue has.

    It looks at images alone: a tissue whose IMC row another condition refuses does not come back as one without IMC.
    """
    names = selection.modality_names
    ways = [binder.member("modality", selection.modalities[0])]
    for at, name in enumerate(names):
        if name not in selection.modalities[0]:
            ways.append(exp.and_(binder.member("modality", [name]), exp.not_(has_image(names[:at], binder))))
    return exp.paren(exp.or_(*ways))


def _first_that_was_given(selection: Selection, binder: Binder) -> exp.Expr:
    """Return the same condition for the user's own rows: of the modalities that they name for a place, the first."""
    place = PLACE + {"tile": ", base.strategy, base.tile_size, base.tile_id", "cell": ", base.cell_id"}.get(
        selection.unit, ""
    )
    first = f"row_number() OVER (PARTITION BY {place} ORDER BY list_position($modalities, base.modality)) = 1"
    given = binder.fragment(first, modalities=list(selection.modality_names))
    if len(selection.modalities[0]) > 1:  # a place has a row for each of the alternatives named first
        return exp.or_(binder.member("modality", selection.modalities[0]), given)
    return given
