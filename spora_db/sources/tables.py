"""Sources of plain tables, one column per attribute: tissues, cells, channels, tiles.

1. ``read_footer`` reads names and types of each file; ``file_columns`` drops index columns and finds the key.
2. ``reconcile`` decides the one type that a column has in all cohorts.
3. Each file becomes a SELECT that takes its columns by position, so that no name in a file can collide or be renamed:
   the layout's, and of the cohorts' own those that a statement names, as every one more costs each statement.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlglot import exp

from spora_db.errors import TableError
from spora_db.layout import Lake, TableFile, TableKind
from spora_db.regions.polygons import POLYGON
from spora_db.sources.casts import cast, cast_id, cast_time
from spora_db.sources.duckdb_types import duckdb_type, is_known
from spora_db.sources.footers import FileColumn, Footer, aliased, file_columns, read_footer, whole_tables
from spora_db.sources.long_numbers import has_long_numbers
from spora_db.sources.modalities import may_repeat, with_modality
from spora_db.sources.names_of_rows import with_second_names
from spora_db.sources.reconcile import FLOATS, TEXT, TIMES, WHOLE_NUMBERS, becomes_text, common_type, needs_exactness
from spora_db.sources.source_query import Branch, Origin, SourceQuery
from spora_db.sources.truth_values import truth_value
from spora_db.sources.whole_numbers import whole_number
from spora_db.sqltext.expressions import by_position, constant, empty, identifier, named, position, read_parquet
from spora_db.sqltext.names import fold


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """How files of one kind become rows: columns from the path, columns every cohort has, and the rest by name.

    Those of ``ids`` become text; a BIGINT or BOOLEAN of ``fixed`` holds whole numbers or truth values, or is an error.
    What a view has ``computed`` is called so alone.
    """

    name: str
    kind: TableKind
    place: Mapping[str, str]
    fixed: Mapping[str, str]
    required: tuple[str, ...] = ("tissue_id",)
    ids: tuple[str, ...] = ("tissue_id",)
    extras: bool = True
    row_number: str | None = None
    computed: tuple[str, ...] = ()


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
    computed=("area", "first_row", "first_col", "last_row", "last_col"),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSource:
    """The files of a kind as far as their footers tell. Types are reconciled and SQL is written of what is asked for.

    Attributes
    ----------
    source, lake
        What files, and where.
    footers
        The files, each with its columns by folded name.
    names
        The spelling of every column by its folded name: those of the layout, then the cohorts' own.
    own
        The same of the cohorts' own: in order of the files, those last whose type only DuckDB can tell.
    registered
        The table that is read in place of a file, where it is no file.
    """

    source: Table
    lake: Lake
    footers: tuple[tuple[Footer, Mapping[str, FileColumn]], ...]
    names: Mapping[str, str]
    own: Mapping[str, str]
    registered: str | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that is read."""
        return () if self.registered else tuple(footer.table.path for footer, _ in self.footers)

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Where every column comes from, file by file."""
        return tuple(
            Origin(column=self.names[key], dataset=footer.table.dataset, file_name=column.file_name, type=column.type)
            for footer, columns in self.footers
            for key, column in columns.items()
        )

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns that are text, or have text within, because their files have no common type."""
        given = {*self.source.fixed, *self.source.ids}
        return tuple(
            name
            for key, name in self.names.items()
            if key not in given and becomes_text(self._kinds(key), self._type(key)[0])
        )

    def kind(self, own: str) -> str:
        """Return the type of one of the cohorts' own columns, by its folded name."""
        return self._type(own)[0]

    def query(self, own: Collection[str] | None = None) -> SourceQuery:
        """Return the SELECT over the files: the layout's columns, and these of the cohorts' own (folded), or all.

        Raises
        ------
        TableError
            If a column of the layout has a type that it cannot have.
        """
        wanted = self.names if own is None else {*self.source.fixed, *own}
        tissues = self.footers if self.source is TISSUES else ()
        merged = {footer.table for footer, columns in tissues if may_repeat(footer, columns)}
        types = {key: self._type(key) for key in self.names if merged or key in wanted}
        branches, listings = [], set[str]()
        for footer, columns in self.footers:
            whole = footer.table in merged
            select = self._select(footer, {key: columns[key] for key in columns if whole or key in wanted}, types)
            listings |= {"source_images"} if select.args.get("joins") else set()
            if whole:
                select = select.distinct(copy=False)
            if whole and own is not None:
                names = [item.alias for item in select.expressions if fold(item.alias) in {*self.source.place, *wanted}]
                every = select.subquery("every", copy=False)
                select = exp.Select().select(*map(identifier, names), copy=False).from_(every, copy=False)
            branches.append(Branch(files=() if self.registered else (footer.table.path,), select=select))
        row_number = {self.source.row_number: "BIGINT"} if self.source.row_number else {}
        typed = {self.names[key]: kind for key, (kind, _) in types.items() if key in wanted and is_known(kind)}
        start = empty({**self.source.place, **row_number, **typed})
        return SourceQuery(empty=start, branches=tuple(branches), listings=frozenset(listings))

    def _kinds(self, key: str) -> list[str]:
        """Return the types that a column has in its files."""
        return [columns[key].type for _, columns in self.footers if key in columns]

    def _type(self, key: str) -> tuple[str, bool]:
        """Return the type of a column, and whether it holds identifiers.

        Those are the layout's, and numbers that are text because no type of numbers has all their digits.
        """
        if key in self.source.ids:
            return TEXT, True
        if key in self.source.fixed:
            return self.source.fixed[key], False
        kinds = self._kinds(key)
        exact = needs_exactness(kinds) and any(
            has_long_numbers(footer.table, columns[key].position)
            for footer, columns in self.footers
            if key in columns and columns[key].type not in FLOATS
        )
        kind = common_type(kinds, exact=exact)
        return kind, exact and kind == TEXT and TEXT not in kinds

    def _select(
        self, footer: Footer, columns: Mapping[str, FileColumn], types: Mapping[str, tuple[str, bool]]
    ) -> exp.Select:
        """Return the SELECT over one file with a column per attribute."""
        file = f"the table {self.source.name!r}" if self.registered else self.lake.relative(footer.table.path)
        values: dict[str, exp.Expression] = {}
        for key, column in columns.items():
            wanted, is_id = types[key]
            values[key] = (
                cast_id(position(column.position), found=column.type)
                if is_id
                else _value(self.source, column, file=file, wanted=wanted)
            )
        numbered = self.source.row_number is not None
        width = len(footer.names) if numbered else aliased(footer, columns.values())
        if self.registered:
            origin = by_position(exp.to_table(self.registered), width=width)
        else:
            origin = read_parquet([footer.table.path], width=width, row_number=numbered)
        select = exp.Select().from_(origin, copy=False)
        if self.source is TISSUES:
            select = with_modality(select, footer, values, columns, self.lake)
        projected = _place(self.source, footer.table)
        if self.source.row_number:
            projected.append(named(position(len(footer.names)), self.source.row_number))
        return select.select(*projected, *(named(value, self.names[key]) for key, value in values.items()), copy=False)


def table(source: Table, lake: Lake) -> TableSource:
    """Read the footers of a source's files.

    Raises
    ------
    FileFormatError
        If a file is no parquet file.
    TableError
        If a file lacks a column it must have.
    """
    return joined(source, lake, [read_footer(table) for table in whole_tables(lake, source.kind)])


def joined(source: Table, lake: Lake, footers: Sequence[Footer], *, registered: str | None = None) -> TableSource:
    """Return the source of files whose footers are known, or of the one table registered in place of a file.

    Raises
    ------
    TableError
        If a file lacks a column it must have.
    """
    taken = {fold(name) for footer in footers for name in footer.names}
    names = {name: name for name in source.fixed}
    kinds: dict[str, set[str]] = {}
    listed = []
    for footer in footers:
        key = next(iter(source.required), None)
        told = [*source.place, *filter(None, [source.row_number])]
        meant = file_columns(footer, key=key, layout=source.fixed, place=told, taken=taken, computed=source.computed)
        columns = {fold(column.name): column for column in meant}
        for name in source.required:
            if name not in columns:
                message = f"{footer.table.path} has no column {name!r}. It has: {', '.join(footer.names[:20])}."
                raise TableError(message)
        if not source.extras:
            columns = {key: column for key, column in columns.items() if key in source.fixed}
        if source is TISSUES:
            columns = with_second_names(columns, taken)
        for key, column in columns.items():
            names.setdefault(key, column.name)
            kinds.setdefault(key, set()).add(column.type)
        listed.append((footer, columns))
    own = [key for key in kinds if key not in source.fixed]
    own.sort(key=lambda key: key not in source.ids and not is_known(common_type(kinds[key])))
    spelled = {key: names[key] for key in own}
    return TableSource(source=source, lake=lake, footers=tuple(listed), names=names, own=spelled, registered=registered)


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


def _place(source: Table, file: TableFile) -> list[exp.Expression]:
    """Return what the place of a file in the tree says about its rows."""
    return [named(constant(getattr(file, name)), name) for name in source.place]
