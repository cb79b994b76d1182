"""Tiles whole lakes: one unit per tissue, the two tables of each dataset's tiling at the end."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from spora_db.errors import ArgumentError, counted
from spora_db.files.stores.remote_files import check_writable
from spora_db.jobs.cohorts import (
    Cohort,
    cohort_of,
    mask_bytes,
    no_masks,
    resolutions,
    too_large,
)
from spora_db.jobs.dataset_run import DatasetRun, Gathered, check_wanted
from spora_db.jobs.engines import Engine
from spora_db.jobs.gathering import finish, gather, unfinished
from spora_db.jobs.options import Options
from spora_db.jobs.progress import Progress, Quiet
from spora_db.jobs.publishing import Target, provenance
from spora_db.jobs.report import DatasetReport, Report
from spora_db.jobs.tile_unit import TileUnit, state_of_image
from spora_db.jobs.units import Shard
from spora_db.jobs.work_folder import WorkFolder, file_state
from spora_db.layout import LakePath, mask_folder, parse_mpp, scan, tile_file
from spora_db.tiling import Tiling, TilingParameters
from spora_db.tiling.tables import TissueTiling, merge_tilings, write_tiles

TABLES: tuple[Literal["tile_stats"], Literal["tile_coordinates"]] = ("tile_stats", "tile_coordinates")


def tile_lake(
    lake: LakePath,
    *,
    mpp: float | str,
    parameters: TilingParameters,
    dataset: str | None = None,
    jobs: int = 1,
    engine: Engine = "local",
    shard: Shard | None = None,
    merge: bool = False,
    overwrite: bool = False,
    keep_going: bool = False,
    keep_existing: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Tile every tissue of a lake and write each dataset's ``<size>_tile_coordinates`` and ``_tile_stats`` parquet.

    A run that was killed goes on where it was. Tables appear only when all tissues are tiled, whole.

    Parameters
    ----------
    lake
        A lake, or one dataset's folder.
    mpp
        Resolution of the masks, in microns per pixel.
    parameters
        How to tile; ``parameters.strategy`` names the tiling.
    dataset
        Only this one; all that have masks at this resolution by default.
    jobs
        Tissues at a time, in worker processes from 2 on; a script then keeps its calls below
        ``if __name__ == "__main__":``, because workers import it.
    engine
        ``"local"``, or ``"ray"`` for a Ray cluster.
    shard
        Do only this part of each dataset's tissues and write no table; see ``merge``.
    merge
        Write the tables from what shards have done.
    overwrite
        Replace a tiling that is there; until the new one is complete, the old one stays.
    keep_going
        Write the tables although some tissues failed, and the failures beside them as
        ``<size>_tile_coordinates.failures.json``. Without it a dataset with a failed tissue gets no table.
    keep_existing
        Be content with tilings that are there, made with these parameters or by another program that recorded none; by
        default it is an error where all are there.
    progress
        Told what happens; nothing is shown by default.

    Returns
    -------
    Report
        Per dataset the outcome of every tissue, the failures with their reasons, and the files.

    Raises
    ------
    MaskNotFoundError
        There is no mask at all.
    UnknownNameError
        There is no such dataset or engine.
    WriteError
        The tiling exists already; the lake is read-only; the disk is full.
    ArgumentError
        Arguments that contradict each other; tiles larger than every image.

    See Also
    --------
    tile_mask, tile_grid, standardize_lake

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     masks = Path(folder, "cohort", "segmentations", "1_0mpp", "tissue_masks")
    ...     for path in (masks, Path(folder, "cohort", "metadata")):
    ...         path.mkdir(parents=True)
    ...     np.savez_compressed(masks / "cohort_0001.npz", mask=np.ones((64, 128), bool))
    ...     report = tile_lake(folder, mpp=1.0, parameters=TilingParameters(tile_size=64))
    >>> report.datasets[0].state, report.datasets[0].summary["tiles"]
    ('written', 2)
    """
    options = Options(
        jobs=jobs,
        engine=engine,
        shard=shard,
        merge=merge,
        overwrite=overwrite,
        keep_going=keep_going,
        keep_existing=keep_existing,
        progress=progress or Quiet(),
    )
    scanned = scan(lake)
    check_writable(scanned.roots[-1])
    resolution = parse_mpp(mpp)
    cohorts = tuple(cohort_of(item, mpp=resolution) for item in scanned.chosen(dataset))
    if not any(cohort.masks for cohort in cohorts):
        raise no_masks(scanned, tuple(cohort for cohort in cohorts if cohort.tissues), mpp=resolution)
    planned = [(cohort, *_plan(cohort, parameters=parameters, options=options)) for cohort in cohorts if cohort.tissues]
    check_wanted([run for _, run, _ in planned])
    large = {run.dataset: too_large(cohort, parameters) for cohort, run, _ in planned if cohort.masks and run.wanted()}
    if large and all(large.values()) and len(large) == len(planned):
        raise ArgumentError(" ".join(large.values()))
    reports = [
        _without_result(run, units, large[run.dataset])
        if large.get(run.dataset)
        else run.complete(partial(_tile, run, cohort=cohort, units=units, parameters=parameters))
        for cohort, run, units in planned
    ]
    skipped = {
        cohort.name: f"nothing at {resolution:g} mpp; it has {resolutions([cohort.dataset])}"
        for cohort in cohorts
        if not cohort.tissues
    }
    return Report(datasets=tuple(reports), skipped=skipped)


def _plan(
    cohort: Cohort, *, parameters: TilingParameters, options: Options
) -> "tuple[DatasetRun, tuple[TileUnit, ...]]":
    """Return what one dataset's tiling is: its files, its work folder and a unit per tissue."""
    stats, coordinates = (
        tile_file(
            cohort.dataset.path, table, mpp=cohort.mpp, strategy=parameters.strategy, tile_size=parameters.tile_size
        )
        for table in TABLES
    )
    record = {**asdict(parameters), "mpp": cohort.mpp}
    made = provenance("tiling", record, tissues=len(cohort.tissues))
    target = Target(files=(stats, coordinates), provenance=made, earlier=cohort.dataset.seen(coordinates))
    work = WorkFolder.beside(coordinates, parameters=record)
    units = tuple(
        TileUnit(
            tissue=tissue,
            parameters=parameters,
            result=work.result(tissue.tissue_id, inputs=[file_state(tissue.mask), *map(state_of_image, tissue.images)]),
            memory=4 * mask_bytes(tissue.mask),
        )
        for tissue in cohort.tissues
    )
    return DatasetRun(dataset=cohort.name, target=target, work=work, options=options, before=target.stamp()), units


def _without_result(run: DatasetRun, units: Sequence[TileUnit], why: str) -> DatasetReport:
    nothing = Gathered(results={}, missing=tuple(unit.tissue_id for unit in units))
    return run.describe(nothing, state="failed", note=why)


def _tile(run: DatasetRun, *, cohort: Cohort, units: Sequence[TileUnit], parameters: TilingParameters) -> DatasetReport:
    """Tile one dataset."""
    if not cohort.masks:
        folder = mask_folder(cohort.dataset.path, "tissue", mpp=cohort.mpp)
        return _without_result(run, units, f"there is no tissue mask in {folder}")
    gathered = gather(units, run, title=f"tile {cohort.name}", compute=not run.options.merge)
    report = unfinished(gathered, run)
    if report is not None:
        return report
    tilings = [
        TissueTiling(tissue_id=tissue, tiling=Tiling(stats=dict(result.record["stats"]), **result.arrays))
        for tissue, result in gathered.load()
    ]
    coordinates, stats = merge_tilings(tilings)

    def write(folder: Path, record: Mapping[str, Any]) -> Sequence[Path]:
        paths = write_tiles(folder, parameters.tile_size, coordinates=coordinates, stats=stats, provenance=dict(record))
        return paths[::-1]

    coverage = np.array([tiling.tiling.stats["coverage_ratio"] for tiling in tilings])
    summary = {
        "tiles": coordinates.num_rows,
        "coverage_mean": float(coverage.mean()),
        "coverage_sd": float(coverage.std()),
    }
    report = finish(gathered, run, write=write, summary=summary)
    without = [tiling for tiling in tilings if not len(tiling.tiling.tiles)]
    if without and not report.note:
        first = f"{without[0].tissue_id}: {without[0].tiling.stats['stop_reason']}"
        more = ", ..." if len(without) > 1 else ""
        report = replace(report, note=f"{counted(len(without), 'tissue')} without a tile ({first}{more})")
    return report
