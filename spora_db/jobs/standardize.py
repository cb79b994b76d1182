"""Computes the statistics of whole lakes: one unit per tissue and round, each dataset's tables at the end."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

from spora_db.errors import ArgumentError, ImageNotFoundError, did_you_mean
from spora_db.files.stores.remote_files import check_writable
from spora_db.images.base import MissingChunks, check_missing_chunks, missing_chunks_in
from spora_db.jobs.cohorts import Cohort, cohort_of, mask_bytes, resolutions
from spora_db.jobs.dataset_run import DatasetRun, check_wanted
from spora_db.jobs.engines import Engine
from spora_db.jobs.options import Options
from spora_db.jobs.panels import Panel, read_panel
from spora_db.jobs.progress import Progress, Quiet
from spora_db.jobs.publishing import Target, provenance
from spora_db.jobs.report import Report
from spora_db.jobs.statistics_rounds import PlannedStatistics, rounds
from spora_db.jobs.statistics_unit import PassUnit
from spora_db.jobs.units import Shard
from spora_db.jobs.work_folder import WorkFolder, file_state
from spora_db.layout import Lake, LakePath, parse_mpp, scan, spec_folder
from spora_db.layout.names import is_rgb
from spora_db.standardization.methods import registered
from spora_db.standardization.specs import Spec
from spora_db.statistics import Rounds, StatisticsPlan
from spora_db.statistics.tissue import asked_quantiles

LevelChoice: TypeAlias = Literal["image", "global", "both"]

SLACK_BYTES = 64 * 2**20
DIGIT_BYTES = 2 * 2**16 * 8  # counts of the two prefixes around a quantile


def standardize_lake(
    lake: LakePath,
    *,
    modality: str,
    mpp: float | str,
    spec: Spec,
    stats_level: LevelChoice = "global",
    dataset: str | None = None,
    jobs: int = 1,
    engine: Engine = "local",
    shard: Shard | None = None,
    merge: bool = False,
    overwrite: bool = False,
    keep_going: bool = False,
    missing_chunks: MissingChunks = "error",
    progress: Progress | None = None,
) -> Report:
    """Compute quantiles, means and standard deviations of a modality, and write each dataset's tables.

    Quantiles are exact, also over all tissues; memory does not grow with their number. A tissue without a mask, or one
    that cannot be read, is a failure and never left out in silence.

    Parameters
    ----------
    lake
        A lake, or one dataset's folder.
    modality
        One with a panel: imc, codex, cycif or mibi.
    mpp
        Resolution of images and masks, in microns per pixel.
    spec
        Method, quantiles and their level.
    stats_level
        The level of means and standard deviations.
    dataset
        Only this one; all that have images of the modality at this resolution by default.
    jobs, engine, shard, merge, overwrite, keep_going, progress
        As :func:`spora_db.jobs.tile.tile_lake`. Global quantiles of float images take two rounds, each over all
        tissues, and up to three more of single channels: run the shards again, or let ``merge`` do what is left.
    missing_chunks
        Whether absent chunks of an image (a partial download) are an error, or read as zeros. ``"white"`` is for
        brightfield, so an error here.

    Returns
    -------
    Report
        Per dataset the outcome of every tissue, the failures with their reasons, and the files.

    Raises
    ------
    ImageNotFoundError
        No dataset has such images.
    ArgumentError
        The modality or the spec has no statistics, or arguments contradict each other.
    WriteError
        The tables exist already; the lake is read-only; the disk is full.

    See Also
    --------
    tile_lake, SporaQuery.standardize, SporaQuery.coverage

    Examples
    --------
    >>> import tempfile
    >>> from spora_db.demo import write_demo_lake
    >>> from spora_db.standardization.specs import parse_spec
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     lake = write_demo_lake(folder, tissues=1, size=96)
    ...     spec = parse_spec("quantile_clipping/uq_0.99_image")
    ...     standardize_lake(lake, modality="imc", mpp=1.0, spec=spec).written
    True
    """
    options = Options(
        jobs=jobs,
        engine=engine,
        shard=shard,
        merge=merge,
        overwrite=overwrite,
        keep_going=keep_going,
        progress=progress or Quiet(),
    )
    if is_rgb(modality):
        raise ArgumentError(
            f"Modality {modality!r} needs no statistics: brightfield images are standardized by the presets "
            "'imagenet', 'hibou' or 'identity'."
        )
    check_missing_chunks(missing_chunks)
    absent = missing_chunks_in(modality, missing_chunks)
    asked_quantiles(spec)
    registered(spec.method)
    scanned = scan(lake)
    check_writable(scanned.roots[-1])
    resolution = parse_mpp(mpp)
    cohorts = [_with_images(cohort_of(item, mpp=resolution), modality) for item in scanned.chosen(dataset)]
    if not any(cohort.tissues for cohort in cohorts):
        raise _no_images(scanned, modality, resolution)
    planned = [
        _plan(
            scanned.path,
            cohort,
            modality=modality,
            spec=spec,
            stats_level=stats_level,
            missing_chunks=absent,
            options=options,
        )
        for cohort in cohorts
        if cohort.tissues
    ]
    check_wanted([item.run for item in planned])
    reason = f"it has no {modality} images at {resolution:g} mpp to standardize"
    skipped = {cohort.name: reason for cohort in cohorts if not cohort.tissues}
    return Report(datasets=tuple(item.run.complete(partial(rounds, item)) for item in planned), skipped=skipped)


def _with_images(cohort: Cohort, modality: str) -> Cohort:
    return replace(cohort, tissues=tuple(tissue for tissue in cohort.tissues if tissue.image(modality) is not None))


def _no_images(lake: Lake, modality: str, mpp: float) -> ImageNotFoundError:
    there = sorted({name for dataset in lake.datasets for name in dataset.modalities})
    return ImageNotFoundError(
        f"There is no {modality} image at {mpp:g} mpp in {lake.path}."
        f"{did_you_mean(modality, there) if modality not in there else ''} It has the modalities "
        f"{', '.join(there) or 'none'} and the resolutions {resolutions(lake.datasets)}."
    )


def _plan(
    lake: LakePath,
    cohort: Cohort,
    *,
    modality: str,
    spec: Spec,
    stats_level: LevelChoice,
    missing_chunks: MissingChunks,
    options: Options,
) -> PlannedStatistics:
    see = cohort.dataset.seen
    levels = ("image", "global") if stats_level == "both" else (stats_level,)
    folder = spec_folder(cohort.dataset.path, modality, mpp=cohort.mpp, spec=str(spec))
    quantiles = [f"{spec.quantile_level}_level_upper_quantiles"]
    quantiles += [] if spec.lower is None else [f"{spec.quantile_level}_level_lower_quantiles"]
    moments = [f"{level}_level_{kind}" for level in levels for kind in ("means", "stds")]
    paths = {name: folder / f"{name}.parquet" for name in (*quantiles, *moments)}
    kept: dict[str, Path] = {}
    if not options.overwrite:  # the quantiles may be there from a run for the other level; they are checked, and kept
        kept = {paths[name].name: see(paths[name]) for name in quantiles if see(paths[name]).exists()}
        paths = {name: path for name, path in paths.items() if path.name not in kept}
    record = {
        "spec": str(spec),
        "method": spec.method,
        "upper_quantile": spec.upper,
        "lower_quantile": spec.lower,
        "quantile_level": spec.quantile_level,
        "on_zero_quantile": spec.on_zero_quantile,
        "stats_levels": list(levels),
        "modality": modality,
        "mpp": cohort.mpp,
        "missing_chunks": missing_chunks,
    }
    panel = read_panel(lake, dataset=cohort.name, modality=modality)
    files = tuple(paths.values())
    made = provenance("statistics", record, tissues=len(cohort.tissues))
    target = Target(files=files, provenance=made, earlier=see(files[-1]))
    work = WorkFolder.beside(folder, parameters=record)
    run = DatasetRun(dataset=cohort.name, target=target, work=work, options=options, before=target.stamp())
    plan = StatisticsPlan(spec=spec, channel_names=panel.names, missing_chunks=missing_chunks)
    units = tuple(_units(cohort, modality, panel=panel, plan=plan, work=work))
    absent = len(set(panel.measured) - {unit.tissue_id for unit in units})
    return PlannedStatistics(run=run, units=units, plan=plan, kept=kept, levels=levels, absent=absent)


def _units(
    cohort: Cohort, modality: str, *, panel: Panel, plan: StatisticsPlan, work: WorkFolder
) -> Iterator[PassUnit]:
    stage, function = Rounds(plan).stage, registered(plan.spec.method)
    counts = len(panel.names) * len(asked_quantiles(plan.spec)) * DIGIT_BYTES
    for tissue in cohort.tissues:
        image = tissue.image(modality)
        assert image is not None
        positions = panel.measured.get(tissue.tissue_id)
        inputs = [file_state(tissue.mask), file_state(image), list(panel.names), positions]
        mask = mask_bytes(tissue.mask)
        held = min(plan.kept_bytes, 4 * mask * len(panel.names))
        yield PassUnit(
            tissue_id=tissue.tissue_id,
            image=image,
            mask=tissue.mask,
            positions=positions,
            plan=plan,
            stage=stage,
            function=function,
            result=work.result(tissue.tissue_id, inputs=inputs),
            memory=3 * mask + 2 * held + SLACK_BYTES + counts,
        )
