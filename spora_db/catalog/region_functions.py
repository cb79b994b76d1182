"""The functions of SQL that know regions: which share of a tile lies in each class, and which classes hold a place.

DuckDB calls them with some thousand rows at a time, and only where a statement uses what they return. The polygons of a
dataset are read at the first call that needs them.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from duckdb.func import FunctionNullHandling, PythonUDFType

from spora_db.arrays import AnyArray, Float64, Int64
from spora_db.regions.tissue import TissueRegions

REGION_FUNCTIONS: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "regions_of_tile": (("VARCHAR", "VARCHAR", *["DOUBLE"] * 4), "MAP(VARCHAR, DOUBLE)"),
    "regions_at": (("VARCHAR", "VARCHAR", *["DOUBLE"] * 3), "VARCHAR[]"),
}
"""What they take, dataset and tissue first, and what they return; their files in ``sql/macros`` say the meaning."""

REGIONS: Final = """
    SELECT tissue_id, region_id, class, mpp, polygon FROM regions WHERE dataset = ? ORDER BY tissue_id, region_id
"""


class RegionFunctions:
    """The functions over the regions of a lake.

    Parameters
    ----------
    read
        Returns the rows of the relation `regions` of a dataset; called by a thread of DuckDB.
    """

    def __init__(self, read: Callable[[str], pa.Table]) -> None:
        self.failure: Exception | None = None
        self._read = read
        self._lock = threading.Lock()
        self._rows: dict[str, dict[str, pa.Table]] = {}
        self._tissues: dict[tuple[str, str], TissueRegions | None] = {}

    def register(self, connection: duckdb.DuckDBPyConnection, name: str) -> None:
        """Make a function known to a connection."""
        takes, returns = REGION_FUNCTIONS[name]
        answer = self.regions_of_tile if name == "regions_of_tile" else self.regions_at
        connection.create_function(
            name,
            self._telling(answer),
            [*takes],
            returns,
            type=PythonUDFType.ARROW,
            null_handling=FunctionNullHandling.SPECIAL,
        )

    def regions_of_tile(
        self, dataset: pa.Array, tissue: pa.Array, mpp: pa.Array, row: pa.Array, col: pa.Array, size: pa.Array
    ) -> pa.Array:
        """Return the share of each tile in each class."""
        rows, names, shares = [], [], []
        regions_of = _Groups(dataset, tissue, mpp, row, col, size)
        for places, regions, scale, (top, left, side) in regions_of.each(self._of):
            found = regions.fractions(np.stack([top, left, top + side, left + side], axis=1), mpp=scale)
            at, number = np.nonzero(found > 0)
            rows.append(places[at])
            names.append(np.array(list(regions.areas), np.object_)[number])
            shares.append(found[at, number])
        at, called, share = _joined(rows, np.int64), _joined(names, np.object_), _joined(shares, np.float64)
        order = np.lexsort((called.astype(np.str_), -share, at))
        keys, items = pa.array(called[order], pa.string()), pa.array(share[order], pa.float64())
        return pa.MapArray.from_arrays(regions_of.offsets(at), keys, items)

    def regions_at(self, dataset: pa.Array, tissue: pa.Array, mpp: pa.Array, row: pa.Array, col: pa.Array) -> pa.Array:
        """Return the classes of each place, the smallest region first."""
        rows, names = [], []
        regions_of = _Groups(dataset, tissue, mpp, row, col)
        for places, regions, scale, (down, right) in regions_of.each(self._of):
            at, region = np.nonzero(regions.held(down, right, mpp=scale).T)
            classes = np.array(regions.classes, np.object_)[region]
            _, number = np.unique(classes.astype(np.str_), return_inverse=True)
            first = np.sort(np.unique(np.stack([at, number]), axis=1, return_index=True)[1])
            rows.append(places[at[first]])
            names.append(classes[first])
        at, called = _joined(rows, np.int64), _joined(names, np.object_)
        order = np.argsort(at, kind="stable")
        return pa.ListArray.from_arrays(regions_of.offsets(at), pa.array(called[order], pa.string()))

    def _of(self, dataset: str, tissue: str) -> TissueRegions | None:
        """Return the regions of a tissue, None where it has none."""
        with self._lock:
            if dataset not in self._rows:
                self._rows[dataset] = _by_tissue(self._read(dataset))
            if (dataset, tissue) not in self._tissues:
                rows = self._rows[dataset].get(tissue)
                self._tissues[dataset, tissue] = None if rows is None else TissueRegions.of_rows(rows)
            return self._tissues[dataset, tissue]

    def _telling(self, answer: Callable[..., pa.Array]) -> Callable[..., pa.Array]:
        """Keep what a function raises: DuckDB passes on its text only."""

        @wraps(answer)  # DuckDB counts the arguments
        def told(*columns: pa.Array) -> pa.Array:
            try:
                return answer(*columns)
            except Exception as error:
                self.failure = error
                raise

        return told


class _Groups:
    """The rows of a call by tissue."""

    def __init__(self, dataset: pa.Array, tissue: pa.Array, mpp: pa.Array, *numbers: pa.Array) -> None:
        self._keys = pa.table({"dataset": dataset, "tissue": tissue, "mpp": mpp, "place": np.arange(len(mpp))})
        self._numbers = [np.asarray(values.to_numpy(), np.float64) for values in numbers]
        self._known = np.zeros(len(mpp), np.bool_)

    def each(
        self, regions_of: Callable[[str, str], TissueRegions | None]
    ) -> Iterator[tuple[Int64, TissueRegions, float, list[Float64]]]:
        """Yield the rows of each tissue with regions, these, the resolution of the rows, and their other numbers."""
        usable = pc.and_(pc.is_finite(self._keys.column("mpp")), pc.greater(self._keys.column("mpp"), 0))
        usable = pc.and_(usable, np.isfinite(np.stack(self._numbers)).all(axis=0))
        groups = self._keys.filter(usable).group_by(["dataset", "tissue", "mpp"], use_threads=False)
        for dataset, tissue, mpp, places in zip(*groups.aggregate([("place", "list")]).columns, strict=True):
            regions = regions_of(dataset.as_py(), tissue.as_py())
            if regions is not None:
                rows = places.values.to_numpy()
                self._known[rows] = True
                yield rows, regions, mpp.as_py(), [values[rows] for values in self._numbers]

    def offsets(self, rows: Int64) -> pa.Array:
        """Return where the items of each row begin, for lists of them; null where a row's tissue has no regions."""
        counts = np.bincount(rows, minlength=len(self._known))
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        return pa.array(starts, pa.int32(), mask=np.append(~self._known, False))


def _joined(parts: list[AnyArray], kind: type) -> AnyArray:
    return np.concatenate(parts) if parts else np.empty(0, kind)


def _by_tissue(rows: pa.Table) -> dict[str, pa.Table]:
    """Return the rows of each tissue, by which they are sorted."""
    counts = pc.value_counts(rows.column("tissue_id"))
    sizes = np.asarray(counts.field("counts"), np.int64)
    begins = np.cumsum(sizes) - sizes
    places = zip(counts.field("values").to_pylist(), begins.tolist(), sizes.tolist(), strict=True)
    return {name: rows.slice(begin, size) for name, begin, size in places}
