"""Tilings of many tissues: one unit is one tissue, and the units merge into the two tables of a tiling folder."""

import itertools
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spora_db.errors import TableError
from spora_db.files.parquet import write_parquet
from spora_db.masks import load_tissue_mask
from spora_db.tiling.parameters import TilingParameters
from spora_db.tiling.tiling import Tiling, tile_with

if TYPE_CHECKING:
    import pyarrow as pa

STATS_TYPES = {
    "mask_height": "int64",
    "mask_width": "int64",
    "tissue_mask_frac": "float64",
    "num_tiles": "int64",
    "coverage_ratio": "float64",
    "covered_valid_pixels": "int64",
    "total_valid_pixels": "int64",
    "candidate_count": "int64",
    "stop_reason": "string",
    "tile_size": "int64",
    "stride": "int64",
    "tolerance": "float64",
    "coverage_goal": "float64",
    "min_gain_ratio": "float64",
    "tiling_method": "string",
}
GRID_TYPES = {"grid_candidate_count": "int64", "padded_height": "int64", "padded_width": "int64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TissueTiling:
    """The tiling of one tissue: what one unit of work returns, and what :func:`merge_tilings` takes."""

    tissue_id: str
    tiling: Tiling


def tile_unit(
    tissue_id: str,
    mask_path: str | Path,
    *,
    parameters: TilingParameters,
    shape: tuple[int, int] | None = None,
    image: str | Path | None = None,
) -> TissueTiling:
    """Tile one tissue from its mask file; runs in any process, arguments and result pickle.

    ``shape`` and ``image`` are those of :func:`spora_db.masks.load_mask`.

    Raises
    ------
    MaskNotFoundError, FileFormatError
        As :func:`spora_db.masks.load_tissue_mask`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez_compressed(Path(folder) / "a.npz", mask=np.ones((64, 128), bool))
    ...     unit = tile_unit("a", Path(folder) / "a.npz", parameters=TilingParameters(tile_size=64))
    >>> unit.tissue_id, unit.tiling.tiles.tolist()
    ('a', [[0, 0], [0, 64]])
    """
    mask = load_tissue_mask(mask_path, shape=shape, image=image)
    return TissueTiling(tissue_id=tissue_id, tiling=tile_with(mask, parameters))


def merge_tilings(units: Iterable[TissueTiling]) -> tuple["pa.Table", "pa.Table"]:
    """Join the tilings of many tissues into the two tables of a tiling, whatever the order of the units.

    Returns
    -------
    tuple of pyarrow.Table
        Tile coordinates (tissue_id, tile_id, row, col; int64, sorted by tissue and tile) and tile statistics (one row
        per tissue, ``tissue_id`` last and marked as pandas' index, as in published files).

    Raises
    ------
    TableError
        A tissue occurs twice, or greedy and grid tilings are mixed.

    Examples
    --------
    >>> from spora_db.tiling.tiling import tile_mask
    >>> unit = TissueTiling(tissue_id="a", tiling=tile_mask(np.ones((64, 128), bool), tile_size=64))
    >>> coordinates, stats = merge_tilings([unit])
    >>> coordinates.to_pylist()[1], stats["num_tiles"].to_pylist()
    ({'tissue_id': 'a', 'tile_id': 1, 'row': 0, 'col': 64}, [2])
    """
    import pandas as pd
    import pyarrow as pa

    ordered = sorted(units, key=lambda unit: unit.tissue_id)
    ids = [unit.tissue_id for unit in ordered]
    if len(set(ids)) != len(ids):
        twice = next(name for name, following in itertools.pairwise(ids) if name == following)
        raise TableError(f"Tissue {twice!r} was tiled more than once; expected one tiling per tissue.")
    methods = sorted({unit.tiling.stats["tiling_method"] for unit in ordered})
    if len(methods) > 1:
        raise TableError(f"The tilings are of several strategies ({', '.join(methods)}); one folder holds one.")
    counts = [len(unit.tiling.tiles) for unit in ordered]
    tiles = np.concatenate([unit.tiling.tiles for unit in ordered] or [np.empty((0, 2), np.int64)])
    coordinates = pa.table(
        {
            "tissue_id": pa.array(np.repeat(np.array(ids, dtype=object), counts), pa.string()),
            "tile_id": pa.array(np.concatenate([*map(np.arange, counts), np.empty(0, np.int64)]), pa.int64()),
            "row": pa.array(tiles[:, 0]),
            "col": pa.array(tiles[:, 1]),
        }
    )
    grid = any("padded_height" in unit.tiling.stats for unit in ordered)
    types = STATS_TYPES | (GRID_TYPES if grid else {})
    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in (types | {"tissue_id": "string"}).items()])
    frame = pd.DataFrame([unit.tiling.stats for unit in ordered], columns=list(types))
    frame.index = pd.Index(ids, name="tissue_id", dtype=object)
    return coordinates, pa.Table.from_pandas(frame, schema=schema)


def write_tiles(
    folder: str | Path,
    tile_size: int,
    *,
    coordinates: "pa.Table",
    stats: "pa.Table",
    provenance: TilingParameters | dict[str, Any],
) -> tuple[Path, Path]:
    """Write ``<size>_tile_coordinates.parquet`` and ``<size>_tile_stats.parquet``, each whole or not at all.

    The coordinates come last: a folder that has them has the statistics too.

    Parameters
    ----------
    folder
        The strategy's folder, ``tiling/<mpp>/<strategy>``; made if absent.
    tile_size
        Pixels; names the files.
    coordinates, stats
        As :func:`merge_tilings` returns them, in any row order.
    provenance
        The parameters, recorded as JSON in the key-value metadata of both files.

    Returns
    -------
    tuple of Path
        The two files.

    Raises
    ------
    TableError
        A column is missing, or the tables disagree on how many tiles a tissue has, or on the tile size.
    WriteError
        The folder is read-only or the disk is full.

    Examples
    --------
    >>> import tempfile
    >>> parameters = TilingParameters(tile_size=64)
    >>> coordinates, stats = merge_tilings([])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = write_tiles(folder, 64, coordinates=coordinates, stats=stats, provenance=parameters)
    >>> [file.name for file in files]
    ['64_tile_coordinates.parquet', '64_tile_stats.parquet']
    """
    _check_tables(coordinates, stats, tile_size)
    record = asdict(provenance) if isinstance(provenance, TilingParameters) else dict(provenance)
    paths = tuple(Path(folder) / f"{tile_size}_tile_{name}.parquet" for name in ("coordinates", "stats"))
    write_parquet(stats.sort_by("tissue_id"), paths[1], metadata=record)
    order = [("tissue_id", "ascending"), ("tile_id", "ascending")]
    write_parquet(coordinates.sort_by(order), paths[0], metadata=record)
    return paths[0], paths[1]


def _check_tables(coordinates: "pa.Table", stats: "pa.Table", tile_size: int) -> None:
    """Refuse tables that do not belong together."""
    for name, table, columns in (
        ("tile coordinates", coordinates, ("tissue_id", "tile_id", "row", "col")),
        ("tile statistics", stats, (*STATS_TYPES, "tissue_id")),
    ):
        absent = [column for column in columns if column not in table.column_names]
        if absent:
            raise TableError(f"The table of {name} lacks {', '.join(absent)}; it has {', '.join(table.column_names)}.")
    counted = {
        row["values"]: row["counts"] for row in coordinates["tissue_id"].combine_chunks().value_counts().to_pylist()
    }
    told = dict(zip(stats["tissue_id"].to_pylist(), stats["num_tiles"].to_pylist(), strict=True))
    for tissue_id in sorted(counted.keys() | told.keys()):
        if counted.get(tissue_id, 0) != told.get(tissue_id):
            raise TableError(
                f"Tissue {tissue_id!r} has {counted.get(tissue_id, 0)} tile coordinates, but its statistics say "
                f"{told.get(tissue_id, 'nothing')}; both tables must come from one run."
            )
    sizes = sorted(set(stats["tile_size"].to_pylist()) - {tile_size})
    if sizes:
        raise TableError(f"The statistics are of tiles of {sizes} pixels, but are to be written as {tile_size}.")
