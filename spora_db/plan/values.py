"""The statistics of a spec for the images of a plan, as matrices: a row per image, a column per channel of the tables.

As rows of ``standardization_stats``, 20,000 images of 140 channels took 8.6 s of CPU and 3 GB; as lists they are read
in a tenth of both.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spora_db.catalog import Catalog

Float32 = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Int64 = npt.NDArray[np.int64]
Integers = npt.NDArray[np.integer[Any]]
Place = tuple[str, float]

NAMES = """
    SELECT dataset, mpp, level, any_value(channel_names)
    FROM source_statistics
    WHERE modality = $modality AND spec = $spec
    GROUP BY dataset, mpp, level
"""
WITH_MEANS = """
    SELECT DISTINCT dataset, mpp, level
    FROM source_statistics
    WHERE modality = $modality AND spec = $spec AND statistic = 'means' AND list_count(channel_values) > 0
"""
# A tissue that two rows of one table name keeps the first that DuckDB meets, as in standardization_stats.
LISTS = """
    SELECT s.dataset, s.mpp, s.level, s.statistic, p.image,
        any_value(CAST(s.channel_values AS FLOAT[])) AS channel_values
    FROM source_statistics AS s
    LEFT JOIN plan_images AS p
        ON p.dataset = s.dataset AND p.modality = s.modality AND p.mpp = s.mpp AND p.tissue_id = s.tissue_id
    WHERE s.modality = $modality AND s.spec = $spec AND (s.level = 'global' OR p.image IS NOT NULL)
    GROUP BY s.dataset, s.mpp, s.level, s.statistic, p.image
    ORDER BY s.dataset, s.mpp, s.level, s.statistic, p.image
"""
PANELS = "SELECT dataset, channel_index, channel_name FROM channels WHERE modality = $modality ORDER BY ALL"
IMAGES = """
    SELECT dataset, mpp, list(image ORDER BY image) FROM plan_images WHERE modality = $modality GROUP BY dataset, mpp
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelValues:
    """The tables of one dataset, resolution and level.

    Attributes
    ----------
    images
        int64 array (n,), ascending: images with a row; empty at global level.
    columns
        int64 array: by position in the panel the column of its values, -1 where the tables lack the channel.
    values
        By statistic, float32 array (n, columns): NaN where unknown. At global level n is 1.
    given
        By statistic, bool array (n,): whether the table has any value of the image, whatever other tables say of it.
    """

    images: Int64
    columns: Int64
    values: Mapping[str, Float32]
    given: Mapping[str, Flags]

    def take(self, statistics: tuple[str, str], image: Integers, index: Integers, *, by: str) -> tuple[Float32, Flags]:
        """Return two statistics of entries (2, n), and whether the table of the statistic `by` knows the entry (n,)."""
        row = np.zeros(len(image), np.int64)
        known = self.columns[index] >= 0
        if len(self.images):
            row = np.minimum(np.searchsorted(self.images, image), len(self.images) - 1)
            known = known & (self.images[row] == image)
        known = known & self.given[by][row] if by in self.given else np.zeros(len(image), np.bool_)
        found = np.full((2, len(image)), np.nan, np.float32)
        for part, statistic in zip(found, statistics, strict=True):
            if statistic in self.values:
                part[known] = self.values[statistic][row[known], self.columns[index[known]]]
        return found, known


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecValues:
    """The tables of one spec: by dataset and resolution, by level."""

    levels: Mapping[Place, Mapping[str, LevelValues]]
    with_means: Mapping[Place, frozenset[str]]
    places: Mapping[Place, Int64]

    def moment_level(self, place: Place, wanted: str | None) -> str | None:
        """Return the level of means and deviations: as wanted, else global where there is one."""
        found = self.with_means.get(place, frozenset())
        if wanted is not None:
            return wanted if wanted in found else None
        return "global" if "global" in found else "image" if found else None


def read_values(modality: str, spec: str, catalog: Catalog) -> SpecValues:
    """Read the tables of a spec for the registered ``plan_images`` of a modality.

    Parameters
    ----------
    modality, spec
        Which tables.
    catalog
        The lake.
    """
    asked = {"modality": modality, "spec": spec}
    panels: dict[str, dict[str, int]] = {}
    for dataset, index, name in catalog.run(PANELS, {"modality": modality}).fetchall():
        panels.setdefault(dataset, {})[name] = index
    names = {row[:3]: row[3] for row in catalog.run(NAMES, asked).fetchall()}
    with_means: dict[Place, frozenset[str]] = {}
    for dataset, mpp, level in catalog.run(WITH_MEANS, asked).fetchall():
        with_means[dataset, mpp] = with_means.get((dataset, mpp), frozenset()) | {level}
    tables: dict[tuple[str, float, str], dict[str, pa.Table]] = {}
    for table in _runs(catalog.run(LISTS, asked).to_arrow_table()):
        first = table.slice(0, 1).to_pylist()[0]
        tables.setdefault((first["dataset"], first["mpp"], first["level"]), {})[first["statistic"]] = table
    levels: dict[Place, dict[str, LevelValues]] = {}
    for (dataset, mpp, level), by_statistic in tables.items():
        found = _level(by_statistic, names[dataset, mpp, level], panels.get(dataset, {}))
        levels.setdefault((dataset, mpp), {})[level] = found
    rows = catalog.run(IMAGES, {"modality": modality}).fetchall()
    places = {(dataset, mpp): np.array(images, np.int64) for dataset, mpp, images in rows}
    return SpecValues(levels=levels, with_means=with_means, places=places)


def _runs(table: pa.Table) -> Iterator[pa.Table]:
    """Cut a sorted table where dataset, resolution, level or statistic change."""
    keys = [table.column(name).to_pylist() for name in ("dataset", "mpp", "level", "statistic")]
    rows = list(zip(*keys, strict=True))
    cuts = [at for at in range(len(rows)) if at == 0 or rows[at] != rows[at - 1]]
    for start, end in zip(cuts, [*cuts, len(rows)][1:], strict=True):
        yield table.slice(start, end - start).combine_chunks()


def _level(tables: Mapping[str, pa.Table], names: Sequence[str], panel: Mapping[str, int]) -> LevelValues:
    """Put the tables of a level side by side; at global level the image is NULL, and there is one row."""
    columns = np.full(max(panel.values(), default=-1) + 1, -1, np.int64)
    for at, name in enumerate(names):
        if name in panel:
            columns[panel[name]] = at
    own = {statistic: table.column("image").drop_null().to_numpy() for statistic, table in tables.items()}
    images = np.unique(np.concatenate(list(own.values()))).astype(np.int64)
    in_panel = [name in panel for name in names]
    values, given = {}, {}
    for statistic, table in tables.items():
        flat = table.column("channel_values").combine_chunks().flatten()
        rows = np.searchsorted(images, own[statistic]) if len(images) else np.zeros(1, np.int64)
        values[statistic] = np.full((max(len(images), 1), len(names)), np.nan, np.float32)
        values[statistic][rows] = flat.fill_null(np.nan).to_numpy(zero_copy_only=False).reshape(len(rows), -1)
        given[statistic] = np.zeros(max(len(images), 1), np.bool_)
        valid = flat.is_valid().to_numpy(zero_copy_only=False).reshape(len(rows), -1)
        given[statistic][rows] = valid[:, in_panel].any(axis=1)
    return LevelValues(images=images, columns=columns, values=values, given=given)
