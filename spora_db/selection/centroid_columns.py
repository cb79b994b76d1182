"""Which columns of a cells table hold the centroids of a dataset: one pair each, chosen among those of common tools."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final, Literal

from sqlglot import exp

from spora_db.errors import TableError, counted
from spora_db.sources.reconcile import FLOATS, WHOLE_NUMBERS

if TYPE_CHECKING:
    from spora_db.catalog import Catalog

AXES: Final[tuple[Literal["row", "col"], ...]] = ("row", "col")
NUMBERS: Final = WHOLE_NUMBERS | FLOATS | {"HUGEINT"}
CENTROID_COLUMNS: Final = (
    ("centroid_row", "centroid_col"),
    ("centroid-0", "centroid-1"),
    ("centroid_0", "centroid_1"),
    ("Pos_Y", "Pos_X"),
    ("Y_centroid", "X_centroid"),
    ("Location_Center_Y", "Location_Center_X"),
    ("row", "col"),
)
"""Columns of a cells table that hold centroids, row and column in pixels, in order of preference; case is ignored.

The last are also what a core's place on its slide is called. They do not say of which resolution: in a dataset with
images at several, they are not believed, and masks are read.
"""

GRID = CENTROID_COLUMNS[-1]
SAME = 1.0
"""Pixels that two pairs may differ by: tools count from 0 or from 1, from the centre or the corner of a pixel."""
_NUMBER = "^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?$"


@dataclass(frozen=True, slots=True, kw_only=True)
class CentroidColumns:
    """Two columns of a cells table that hold centroids.

    Attributes
    ----------
    names
        Those of row and column, as spelled in the table.
    texts
        Whether each is text.
    datasets
        The datasets that this pair is chosen for; none where it is the only one, and that of all.
    """

    names: tuple[str, str]
    texts: tuple[bool, bool]
    datasets: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return both names."""
        return ", ".join(self.names)

    @property
    def is_grid(self) -> bool:
        """Whether it is ``row, col``, which may be a core's place on its slide."""
        return tuple(name.lower() for name in self.names) == GRID

    def place(self, axis: Literal["row", "col"], *, table: str) -> exp.Expr:
        """Return the SQL of one coordinate, DOUBLE: of a text what is a plain number, else NULL."""
        at = ("row", "col").index(axis)
        column, double = exp.column(self.names[at], table=table, quoted=True), exp.DataType.build("double")
        if not self.texts[at]:
            return exp.cast(column, "double")
        plain = exp.RegexpLike(this=column, expression=exp.Literal.string(_NUMBER))
        return exp.Case().when(plain, exp.TryCast(this=column.copy(), to=double))

    def known(self, *, table: str) -> exp.Expr:
        """Return the condition that a cell is placed: both coordinates are finite."""
        places = (exp.func("isfinite", self.place(axis, table=table)) for axis in AXES)
        return exp.and_(*(exp.func("coalesce", place, exp.false()) for place in places))


def centroid_columns(catalog: "Catalog", *, besides: Sequence[str] = ()) -> tuple[CentroidColumns, ...]:
    """Return the pairs of columns that place cells. A dataset takes the first of `CENTROID_COLUMNS` that places any.

    Parameters
    ----------
    besides
        Datasets whose columns are not believed.

    Raises
    ------
    TableError
        If two pairs of a dataset, other than ``row, col``, place a cell more than a pixel apart.
    """
    pairs = _pairs(catalog)
    if len(pairs) < 2:
        return pairs
    chosen: dict[int, list[str]] = {}
    for record in _counted(pairs, catalog):
        placed = [at for at in range(len(pairs)) if record[f"placed_{at}"]]
        if not placed or record["dataset"] in besides:
            continue
        chosen.setdefault(placed[0], []).append(record["dataset"])
        for is_grid, error in _contradictions(record, pairs):
            if not is_grid:
                raise error
    return tuple(replace(pairs[at], datasets=tuple(chosen[at])) for at in sorted(chosen))


def contradictions(catalog: "Catalog") -> list[tuple[bool, TableError]]:
    """Return what `centroid_columns` would raise, and the same of ``row, col``, which it passes over: with True."""
    pairs = _pairs(catalog)
    records = _counted(pairs, catalog) if len(pairs) > 1 else []
    return [found for record in records for found in _contradictions(record, pairs)]


def _pairs(catalog: "Catalog") -> tuple[CentroidColumns, ...]:
    """Return the pairs of which the table has both columns, of numbers or texts."""
    spelled = {name.lower(): name for name in catalog.columns("cells")}
    there = [spelled[name.lower()] for pair in CENTROID_COLUMNS for name in pair if name.lower() in spelled]
    types = dict(zip(there, catalog._types("cells", there), strict=True)) if there else {}
    found = []
    for pair in CENTROID_COLUMNS:
        row, col = (spelled.get(name.lower(), "") for name in pair)
        kinds = types.get(row, ""), types.get(col, "")
        if all(kind in NUMBERS or kind.startswith("DECIMAL") or kind == "VARCHAR" for kind in kinds):
            found.append(CentroidColumns(names=(row, col), texts=(kinds[0] == "VARCHAR", kinds[1] == "VARCHAR")))
    return tuple(found)


def _counted(pairs: Sequence[CentroidColumns], catalog: "Catalog") -> list[dict[str, Any]]:
    """Return for every dataset how many cells each pair places, and how many two pairs place apart, with an example."""
    query = exp.select("dataset").from_("cells AS c").group_by("dataset").order_by("dataset")
    for at, pair in enumerate(pairs):
        query = query.select(exp.alias_(exp.func("count_if", pair.known(table="c")), f"placed_{at}"))
    for one, other in combinations(pairs, 2):
        apart = exp.and_(
            one.known(table="c"), other.known(table="c"), exp.or_(*(_apart(one, other, axis) for axis in AXES))
        )
        where = [f"row {{}}, col {{}} by {pair}" for pair in (one, other)]
        text = exp.Literal.string(f"cell {{}} of tissue {{}} lies at {' and at '.join(where)}")
        places = [pair.place(axis, table="c") for pair in (one, other) for axis in AXES]
        example = exp.func("format", text, exp.column("cell_id", "c"), exp.column("tissue_id", "c"), *places)
        query = query.select(exp.alias_(exp.func("count_if", apart), _name("apart", one, other), quoted=True))
        least = exp.Min(this=exp.Case().when(apart.copy(), example))
        query = query.select(exp.alias_(least, _name("cell", one, other), quoted=True))
    rows: list[dict[str, Any]] = catalog._run(query).to_arrow_table().to_pylist()
    return rows


def _apart(one: CentroidColumns, other: CentroidColumns, axis: Literal["row", "col"]) -> exp.Expr:
    between = exp.Sub(this=one.place(axis, table="c"), expression=other.place(axis, table="c"))
    return exp.GT(this=exp.Abs(this=between), expression=exp.Literal.number(SAME))


def _name(what: str, one: CentroidColumns, other: CentroidColumns) -> str:
    return f"{what}: {one}: {other}"


def _contradictions(record: Mapping[str, Any], pairs: Sequence[CentroidColumns]) -> Iterator[tuple[bool, TableError]]:
    """Yield pairs that place cells apart, and whether one of them is ``row, col``."""
    for one, other in combinations(pairs, 2):
        if count := record[_name("apart", one, other)]:
            error = TableError(
                f"{record['dataset']}/metadata/cells.parquet places {counted(count, 'cell')} twice and differently: "
                f"{record[_name('cell', one, other)]}. Keep the pair in pixels of the images and rename the other, or "
                "take the cells of the instance masks with source='masks'."
            )
            yield one.is_grid or other.is_grid, error
