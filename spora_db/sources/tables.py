"""Sources of plain tables, one column per attribute: tissues, cells, channels, tiles.

1. ``read_footer`` reads names and types of each file; ``file_columns`` drops index columns and finds the key.
2. ``reconcile`` decides the one type that a column has in all cohorts.
3. Each file becomes a SELECT that takes its columns by position, so that no name in a file can collide or be renamed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from spora_db.errors import TableError
from spora_db.layout import Lake, TableFile, TableKind
from spora_db.regions.polygons import POLYGON
from spora_db.sources.casts import cast, cast_id, cast_time, is_null
from spora_db.sources.duckdb_types import duckdb_type, is_known
from spora_db.sources.footers import FileColumn, Footer, file_columns, read_footer
from spora_db.sources.long_numbers import has_long_numbers
from spora_db.sources.reconcile import FLOATS, TEXT, TIMES, WHOLE_NUMBERS, becomes_text, common_type, needs_exactness
from spora_db.sources.source_query import Branch, Origin, SourceQuery
from spora_db.sources.truth_values import truth_value
from spora_db.sources.whole_numbers import whole_number
from spora_db.sqltext.expressions import cast_to, constant, empty, named, null, position, read_parquet, text
from spora_db.sqltext.names import fold

RECONCILED = "reconciled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """How files of one kind become rows: columns from the path, columns every cohort has, and the rest by name.

    Those of ``ids`` become text; a BIGINT or BOOLEAN of ``fixed`` holds whole numbers or truth values, or is an error.
    """

    name: str
    kind: TableKind
    place: Mapping[str, str]
    fixed: Mapping[str, str]
    required: tuple[str, ...] = ("tissue_id",)
    ids: tuple[str, ...] = ("tissue_id",)
    extras: bool = True
    row_number: str | None = None


_PANEL = {"dataset": TEXT, "modality": TEXT}
_TILING = {"dataset": TEXT, "mpp": "DOUBLE", "strategy": TEXT, "tile_size": "BIGINT"}

TISSUES = Table(
    name="source_tissues",
    kind="tissues",
    place={"dataset": TEXT},
    fixed=dict.fromkeys(("tissue_id", "modality", "patient_id", "specimen_id", "split"), TEXT),
    ids=("tissue_id", "patient_id", "specimen_id"),
)
CELLS = Table(
    name="source_cells",
    kind="cells",
    place={"dataset": TEXT},
    fixed={"tissue_id": TEXT, "cell_id": "BIGINT"},
    ids=("tissue_id", "patient_id", "specimen_id"),
)
REGIONS = Table(
    name="source_regions",
    kind="regions",
    place={"dataset": TEXT},
    fixed={
        "tissue_id": TEXT,
        "region_id": TEXT,
        "name": TEXT,
        "class": TEXT,
        "color": TEXT,
        "mpp": "DOUBLE",
        "polygon": duckdb_type(POLYGON),
    },
    required=("tissue_id", "region_id", "class", "mpp", "polygon"),
    ids=("tissue_id", "region_id"),
)
CHANNELS = Table(
    name="source_channels",
    kind="channels",
    place=_PANEL,
    fixed={"channel_name": TEXT, "uniprot_id": TEXT, "qc_pass": "BOOLEAN", "is_nuclear_marker": "BOOLEAN"},
    required=("channel_name",),
    ids=(),
    row_number="channel_index",
)
TILE_COORDINATES = Table(
    name="source_tile_coordinates",
    kind="tile_coordinates",
    place=_TILING,
    fixed={"tissue_id": TEXT, "tile_id": "BIGINT", "row": "BIGINT", "col": "BIGINT"},
    required=("tissue_id", "tile_id", "row", "col"),
    extras=False,
)
TILE_STATS = Table(name="source_tile_stats", kind="tile_stats", place=_TILING, fixed={"tissue_id": TEXT})


def table(source: Table, lake: Lake) -> SourceQuery:
    """Read the footers of a source's files and return the SELECT over them.

    Raises
    ------
    FileFormatError
        If a file is no parquet file.
    TableError
        If a file lacks a column it must have.
    """
    footers = [read_footer(table) for table in lake.tables(source.kind)]
    folded = {fold(name) for footer in footers for name in footer.names}
    listed = [
        (
            footer,
            file_columns(footer, key=source.required[0], layout=source.fixed, place=source.place, taken=folded),
        )
        for footer in footers
    ]
    names, types, ids = _reconcile(source, listed)
    branches = []
    origins = []
    for footer, columns in listed:
        kept = [column for column in columns if fold(column.name) in names]
        select = _plain(source, footer, kept, names=names, types=types, ids=ids, lake=lake)
        branches.append(Branch(files=(footer.table.path,), select=select))
        origins += [
            Origin(column=names[fold(c.name)], dataset=footer.table.dataset, file_name=c.file_name, type=c.type)
            for c in kept
        ]
    row_number = {source.row_number: "BIGINT"} if source.row_number else {}
    typed = {name: types[key] for key, name in names.items() if is_known(types[key])}
    start = empty({**source.place, **row_number, **typed})
    listings = frozenset(["source_images"] if any(branch.select.args.get("joins") for branch in branches) else [])
    kinds: dict[str, list[str]] = {}
    for origin in origins:
        kinds.setdefault(origin.column, []).append(origin.type)
    given = {*source.fixed, *source.ids}
    texts = tuple(
        name for key, name in names.items() if key not in given and becomes_text(kinds.get(name, ()), types[key])
    )
    return SourceQuery(empty=start, branches=tuple(branches), origins=tuple(origins), listings=listings, texts=texts)


def _reconcile(
    source: Table, listed: Sequence[tuple[Footer, list[FileColumn]]]
) -> tuple[dict[str, str], dict[str, str], frozenset[str]]:
    """Return the spelling and the type of every column of a source, both by folded name, and which hold identifiers.

    Those are the layout's, and numbers that are text because no type of numbers has all their digits.
    """
    names = {name: name for name in source.fixed}
    found: dict[str, list[tuple[TableFile, FileColumn]]] = {name: [] for name in source.fixed}
    for footer, columns in listed:
        have = {fold(column.name) for column in columns}
        for name in source.required:
            if name not in have:
                message = f"{footer.table.path} has no column {name!r}. It has: {', '.join(footer.names[:20])}."
                raise TableError(message)
        for column in columns:
            if source.extras or fold(column.name) in source.fixed:
                names.setdefault(fold(column.name), column.name)
                found.setdefault(fold(column.name), []).append((footer.table, column))
    types, ids = {}, {name for name in source.ids if name in names}
    for key, places in found.items():
        kinds = [column.type for _, column in places]
        types[key] = source.fixed.get(key, RECONCILED)
        if key in ids:
            types[key] = TEXT
        elif types[key] == RECONCILED:
            exact = needs_exactness(kinds) and any(
                has_long_numbers(table, column.position) for table, column in places if column.type not in FLOATS
            )
            types[key] = common_type(kinds, exact=exact)
            if exact and types[key] == TEXT and TEXT not in kinds:
                ids.add(key)
    return names, types, frozenset(ids)


def _plain(
    source: Table,
    footer: Footer,
    columns: Sequence[FileColumn],
    *,
    names: Mapping[str, str],
    types: Mapping[str, str],
    ids: frozenset[str],
    lake: Lake,
) -> exp.Select:
    """Return the SELECT over one file with a column per attribute."""
    file = lake.relative(footer.table.path)
    values = {
        fold(column.name): cast_id(position(column.position), found=column.type)
        if fold(column.name) in ids
        else _value(source, column, file=file, wanted=types[fold(column.name)])
        for column in columns
    }
    origin = read_parquet([footer.table.path], width=len(footer.names), row_number=source.row_number is not None)
    select = exp.Select().from_(origin, copy=False)
    if source is TISSUES:
        select = _canonical_modality(select, footer, values, columns, lake)
    projected = _place(source, footer.table)
    if source.row_number:
        projected.append(named(position(len(footer.names)), source.row_number))
    return select.select(*projected, *(named(value, names[key]) for key, value in values.items()), copy=False)


def _value(source: Table, column: FileColumn, *, file: str, wanted: str) -> exp.Expression:
    """Return a column of a file as the source has it."""
    value, found, kind = position(column.position), column.type, source.fixed.get(fold(column.name))
    if kind == "BOOLEAN":
        return truth_value(value, found=found, name=column.file_name, file=file)
    if kind == "BIGINT" and not (source is TILE_COORDINATES and found in WHOLE_NUMBERS - {"UBIGINT"}):
        return whole_number(value, found=found, name=column.file_name, file=file)
    if found in TIMES and wanted.endswith("_NS") and found != wanted:
        return cast_time(value, wanted=wanted, name=column.file_name, file=file)
    return cast(value, found=found, wanted=wanted)  # negative tile ids are found by sql/checks, once for all queries


def _canonical_modality(
    select: exp.Select,
    footer: Footer,
    values: dict[str, exp.Expression],
    columns: Sequence[FileColumn],
    lake: Lake,
) -> exp.Select:
    """Spell the modality as its folder does; a tissue without one gets a row per modality that has an image of it."""
    dataset = next(item for item in lake.datasets if item.name == footer.table.dataset)
    column = next((item for item in columns if fold(item.name) == "modality"), None)
    given: exp.Expression = null(TEXT)
    if column is not None:
        stored = cast_to(position(column.position), TEXT)
        given = exp.Lower(this=exp.Trim(this=stored))
        spelled = [name for name in dataset.modalities if name != name.lower()]
        if spelled:
            case = exp.Case(this=given)
            for name in spelled:
                case = case.when(text(name.lower()), text(name))
            given = case.else_(given.copy())
    values["modality"] = given
    if column is not None and column.position in footer.without_nulls:
        return select
    seen = (
        exp.select(named(exp.column("tissue_id"), "image_tissue_id"), named(exp.column("modality"), "image_modality"))
        .distinct()
        .from_("source_images")
        .where(exp.EQ(this=exp.column("dataset"), expression=text(dataset.name)))
    )
    values["modality"] = exp.Coalesce(this=given, expressions=[exp.column("image_modality")])
    unknown = exp.Case().when(is_null(given), values["tissue_id"].copy())
    matches = exp.EQ(this=unknown, expression=exp.column("image_tissue_id"))
    return select.join(seen.subquery("seen"), on=matches, join_type="left").distinct()


def _place(source: Table, file: TableFile) -> list[exp.Expression]:
    """Return what the place of a file in the tree says about its rows."""
    return [named(constant(getattr(file, name)), name) for name in source.place]
