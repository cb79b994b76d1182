"""Regions for tests: drawn by shapely, as QuPath and ImageJ write them, and as a dataset keeps them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely

from spora_db.files.parquet import write_parquet
from spora_db.regions.polygons import POLYGON, polygons_of


def blob(seed: int, *, at: tuple[float, float], radius: float, corners: int = 24) -> shapely.Polygon:
    """Return a smooth outline around a place (row, col)."""
    rng = np.random.default_rng(seed)
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    waves = [np.sin(count * angles + 2 * np.pi * rng.random()) for count in (2, 3, 5)]
    reach = radius * (0.7 + 0.1 * np.sum(waves, axis=0))
    return shapely.Polygon(np.stack([at[1] + reach * np.cos(angles), at[0] + reach * np.sin(angles)], axis=1))


def box(row: float, col: float, end_row: float, end_col: float) -> shapely.Polygon:
    """Return a rectangle."""
    return shapely.box(col, row, end_col, end_row)


Region = tuple[str, str, str | None, Any]
"""Tissue, region, class, shape."""


def region_table(regions: Sequence[Region], *, mpp: float = 1.0, more: Mapping[str, Any] | None = None) -> pa.Table:
    """Return the table of some regions."""
    shapes = np.array([shape for *_, shape in regions], object)
    columns = {
        "tissue_id": pa.array([tissue for tissue, *_ in regions], pa.string()),
        "region_id": pa.array([region for _, region, *_ in regions], pa.string()),
        "name": pa.nulls(len(regions), pa.string()),
        "class": pa.array([name for _, _, name, _ in regions], pa.string()),
        "mpp": pa.array([mpp] * len(regions), pa.float64()),
        "polygon": polygons_of(shapes) if len(shapes) else pa.array([], POLYGON),
    }
    return pa.table({**columns, **(more or {})})


def write_regions(dataset: Path, regions: Sequence[Region], *, mpp: float = 1.0) -> Path:
    """Write ``metadata/regions.parquet`` of a dataset."""
    return write_parquet(region_table(regions, mpp=mpp), dataset / "metadata" / "regions.parquet")
