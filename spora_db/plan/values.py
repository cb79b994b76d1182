"""The statistics of a spec for the images of a plan, as matrices: a row per image, a column per channel of the tables.

As rows of ``standardization_stats``, 20,000 images of 140 channels took 8.6 s of CPU and 3 GB; as lists they are read
in a tenth of both.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from spora_db.arrays import Bools, Float32, Int64
from spora_db.catalog import Catalog
from spora_db.files.arrow_arrays import arrow_array, numpy_array
from spora_db.plan.panels import PlanPanel

TableKey = tuple[str, float]

PANELS = """
    SELECT dataset, channel_index, channel_name FROM source_channels WHERE modality = $modality ORDER BY ALL
"""
NAMES = """
    SELECT dataset, mpp, level, channel_names, channel_tables
    FROM source_statistics_columns
    WHERE modality = $modality AND spec = $spec
"""
# What float32 cannot hold becomes NULL, and so unusable.
# A tissue that two rows of one table name keeps the first that DuckDB meets, as in standardization_stats.
LISTS = """
    SELECT s.dataset, s.mpp, s.level, s.statistic, p.image, TRY_CAST(s.channel_values AS FLOAT[]) AS channel_values
    FROM source_statistics AS s
    LEFT JOIN plan_images AS p
        ON p.dataset = s.dataset AND p.modality = s.modality AND p.mpp = s.mpp AND p.tissue_id = s.tissue_id
    WHERE s.modality = $modality AND s.spec = $spec AND list_contains($statistics, s.statistic)
        AND (s.level = 'global' OR p.image IS NOT NULL)
"""
KEYS = ("dataset", "mpp", "level", "statistic")


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelValues:
    """The tables of one dataset, resolution and level.

    Attributes
    ----------
    images
        int64 array (n,), ascending: images with a row; empty at global level.
    columns
        int64 array: by position in the panel the column of its values, -1 where all tables lack the channel.
    values
        By statistic, float32 array (n, columns): NaN where unknown. At global level n is 1.
    given
        By statistic, bool array (n,): whether the table has any value of the image, whatever other tables say of it.
    listed
        By statistic, bool array (columns,): whether the table has a column of the channel itself.
    """

    images: Int64
    columns: Int64
    values: Mapping[str, Float32]
    given: Mapping[str, Bools]
    listed: Mapping[str, Bools]

    def take(self, statistic: str, panel: PlanPanel) -> Float32:
        """Return a statistic of a panel's images and channels: (n, c), NaN where there is none."""
        if not self._has_columns(statistic):
            return np.full(panel.page.shape, np.nan, np.float32)
        rows, there = self._rows(panel)
        columns = self.columns[panel.channel_index]
        found = self.values[statistic][rows[:, None], columns]
        found[~there] = np.nan
        found[:, columns < 0] = np.nan
        return found

    def known(self, statistic: str, panel: PlanPanel) -> Bools:
        """Return of which images and channels the table of a statistic knows: (n, c)."""
        if not self._has_columns(statistic):
            return np.zeros(panel.page.shape, np.bool_)
        rows, there = self._rows(panel)
        columns = self.columns[panel.channel_index]
        in_column = (columns >= 0) & self.listed[statistic][columns]
        return (there & self.given[statistic][rows])[:, None] & in_column

    def _has_columns(self, statistic: str) -> bool:
        return statistic in self.listed and self.listed[statistic].size > 0

    def _rows(self, panel: PlanPanel) -> tuple[Int64, Bools]:
        """Return the row of each image of a panel, and whether it has one."""
        images = np.arange(panel.first, panel.first + len(panel), dtype=np.int64)
        if not len(self.images):
            return np.zeros(len(images), np.int64), np.ones(len(images), np.bool_)
        rows = np.minimum(np.searchsorted(self.images, images), len(self.images) - 1)
        return rows, self.images[rows] == images


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecValues:
    """The tables of one spec: by dataset and resolution, by level."""

    levels: Mapping[TableKey, Mapping[str, LevelValues]]

    def moment_level(self, place: TableKey, wanted: str | None) -> str | None:
        """Return the level of means and deviations: as wanted, else global where there is one."""
        found = {level for level, tables in self.levels.get(place, {}).items() if tables.given.get("means", _NO).any()}
        if wanted is not None:
            return wanted if wanted in found else None
        return "global" if "global" in found else "image" if found else None


_NO: Bools = np.zeros(1, np.bool_)


def read_values(modality: str, spec: str, statistics: Sequence[str | None], catalog: Catalog) -> SpecValues:
    """Read the tables of a spec for the registered ``plan_images`` of a modality."""
    asked = {"modality": modality, "spec": spec}
    panels: dict[str, dict[str, int]] = {}
    for dataset, index, name in catalog._run(PANELS, {"modality": modality}).fetchall():
        panels.setdefault(dataset, {})[name] = index
    names = {row[:3]: dict(zip(*row[3:], strict=True)) for row in catalog._run(NAMES, asked).fetchall()}
    lists = catalog._run(LISTS, {**asked, "statistics": [name for name in statistics if name]}).to_arrow_table()
    tables: dict[tuple[str, float, str], dict[str, pa.Table]] = {}
    for (dataset, mpp, level, statistic), table in _tables(lists):
        tables.setdefault((dataset, mpp, level), {})[statistic] = table
    levels: dict[TableKey, dict[str, LevelValues]] = {}
    for (dataset, mpp, level), by_statistic in tables.items():
        found = _level(by_statistic, names[dataset, mpp, level], panels.get(dataset, {}))
        levels.setdefault((dataset, mpp), {})[level] = found
    return SpecValues(levels=levels)


def _tables(lists: pa.Table) -> Iterator[tuple[tuple[str, float, str, str], pa.Table]]:
    """Yield the rows of each dataset, resolution, level and statistic; rows of one keep their order."""
    number = np.zeros(len(lists), np.int64)
    for name in KEYS:
        encoded = lists.column(name).combine_chunks().dictionary_encode()
        number = number * (len(encoded.dictionary) + 1) + numpy_array(encoded.indices)
    order = np.argsort(number, kind="stable")
    cuts = np.flatnonzero(np.diff(number[order], prepend=-1)).tolist()
    for start, stop in zip(cuts, [*cuts, len(lists)][1:], strict=True):
        rows = order[start:stop]
        in_one_piece = rows[-1] - rows[0] + 1 == len(rows)  # as they mostly are; to take lists costs a copy
        part = lists.slice(rows[0], len(rows)) if in_one_piece else lists.take(arrow_array(rows))
        dataset, mpp, level, statistic = (part.column(name)[0].as_py() for name in KEYS)
        yield (dataset, mpp, level, statistic), part.select(["image", "channel_values"])


def _level(tables: Mapping[str, pa.Table], names: Mapping[str, str], panel: Mapping[str, int]) -> LevelValues:
    """Put the tables of a level side by side; at global level the image is NULL, and there is one row.

    ``names`` are those of the columns, with the tables that have them.
    """
    columns = np.full(max(panel.values(), default=-1) + 1, -1, np.int64)
    for at, name in enumerate(names):
        if name in panel:
            columns[panel[name]] = at
    own = {statistic: numpy_array(table.column("image").drop_null()) for statistic, table in tables.items()}
    images = np.unique(np.concatenate(list(own.values()))).astype(np.int64)
    count = max(len(images), 1)
    in_panel = np.array([name in panel for name in names], np.bool_)
    values, given = {}, {}
    for statistic, table in tables.items():
        listed, first = np.unique(own[statistic], return_index=True)
        rows = np.searchsorted(images, listed) if len(images) else np.zeros(1, np.int64)
        matrix, known = _matrix(table.column("channel_values"), in_panel)
        if len(rows) < count or len(table) > len(rows) or (np.diff(first) < 0).any():
            first = first if len(images) else np.zeros(1, np.int64)
            values[statistic] = np.full((count, len(names)), np.nan, np.float32)
            values[statistic][rows] = matrix[first]
            given[statistic] = np.zeros(count, np.bool_)
            given[statistic][rows] = known[first]
        else:
            values[statistic], given[statistic] = matrix, known
    in_file = {
        statistic: np.array([statistic in told.split() for told in names.values()], np.bool_) for statistic in tables
    }
    return LevelValues(images=images, columns=columns, values=values, given=given, listed=in_file)


def _matrix(lists: pa.ChunkedArray, columns: Bools) -> tuple[Float32, Bools]:
    """Return lists of one length as rows, NaN for null, and which have a value in any of some columns."""
    flat = lists.combine_chunks().flatten()
    shape = (len(lists), len(columns))
    values: Float32 = numpy_array(flat).reshape(shape)
    if not flat.null_count:
        return values, np.full(len(lists), columns.any())
    known = numpy_array(flat.is_valid()).reshape(shape)
    return values, np.asarray(known[:, columns].any(axis=1))
