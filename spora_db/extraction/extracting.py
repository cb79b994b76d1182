"""`extract`: a query's rows through a model into feature sets, one per dataset."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spora_db.catalog import lent_catalog
from spora_db.errors import ArgumentError, QueryError, WriteError, unknown
from spora_db.extraction.job import DatasetSet, Extraction, OnError, expected_rows
from spora_db.extraction.models import ModelIdentity, called
from spora_db.extraction.parts import check_keys, part_size, parts_of, rows_of_datasets
from spora_db.extraction.provenance import AskedSet, described_sets, differences
from spora_db.extraction.reading import BatchReading
from spora_db.extraction.report import DatasetExtraction, ExtractionReport
from spora_db.extraction.running import PartMade, run_parts
from spora_db.feature_sets import FeatureColumn
from spora_db.feature_sets.description import FeatureType
from spora_db.feature_sets.writing import SetFolder
from spora_db.files.locks import HeldElsewhereError
from spora_db.images.base import MissingChunks
from spora_db.jobs.engines import ENGINES, Engine
from spora_db.jobs.progress import Progress, Quiet
from spora_db.jobs.units import Outcome, Shard
from spora_db.layout import FEATURES_FILE, LakePath, feature_folder, lake_path, layers
from spora_db.plan import Plan
from spora_db.plan.cell_places import complete_cells
from spora_db.plan.freezing import freeze
from spora_db.plan.resolution import resolve
from spora_db.selection import Selection
from spora_db.selection.compilation import compile_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class RunChoices:
    """How an extraction is carried out.

    Attributes
    ----------
    engine, jobs
        This process, or so many actors of a Ray cluster.
    shard
        The part of all parts that this run makes.
    overwrite
        Whether sets that are there are removed first.
    progress
        Told of every part.
    """

    engine: Engine = "local"
    jobs: int = 1
    shard: Shard | None = None
    overwrite: bool = False
    progress: Progress = field(default_factory=Quiet)

    def __post_init__(self) -> None:
        """Refuse choices that contradict each other."""
        if self.engine not in ENGINES:
            raise unknown("engine", self.engine, ENGINES)
        if self.jobs < 1:
            raise ArgumentError(f"jobs (--jobs) is {self.jobs!r}; expected a whole number of at least 1.")
        if self.overwrite and self.shard is not None:
            raise ArgumentError(
                "overwrite (--overwrite) removes what is there, of other shards too: remove the folders of the feature "
                "set before the shards start, or give another name."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleChoices:
    """What the model is handed, and what becomes of what it returns.

    Attributes
    ----------
    batch_size, part_rows
        Rows that the model is handed at a time, and rows of a part, about.
    reading
        How batches are read.
    dtype, allow_nan
        The type of vectors, and whether numbers may be NaN or infinite.
    on_error, missing_chunks, transform, device
        As `Extraction` has them.
    """

    batch_size: int
    part_rows: int
    reading: BatchReading
    dtype: FeatureType
    allow_nan: bool
    on_error: OnError
    missing_chunks: MissingChunks
    transform: Callable[..., Any] | None
    device: str | None

    @property
    def settings(self) -> dict[str, object]:
        """What the bytes of a row may depend on: what a batch is of, the collate and the transform among it."""
        collate, transform = self.reading.collate, self.transform
        return {
            "batch_size": self.batch_size,
            "part_rows": part_size(self.part_rows, batch_size=self.batch_size),
            "dtype": self.dtype,
            "missing_chunks": self.missing_chunks,
            "collate": called(collate) if callable(collate) else collate,
            "transform": None if transform is None else called(transform),
        }


def extract(
    lake: LakePath,
    selection: Selection,
    model: Callable[[Any], object],
    *,
    name: str,
    identity: ModelIdentity,
    samples: SampleChoices,
    run: RunChoices,
) -> ExtractionReport:
    """Run a model over the rows of a query, and write what it returns; see `SporaQuery.extract`.

    Parameters
    ----------
    lake
        The lake; its last layer is written to.
    selection
        The query.
    model, identity
        The model, and what is recorded of it.
    name
        What the feature set is called.
    samples, run
        The further choices.
    """
    selection, strategy, plan = _planned(lake, selection)
    rows = rows_of_datasets(plan)
    for dataset, own in rows.items():
        check_keys(plan, own, dataset=dataset)
    asked = AskedSet(name=name, selection=selection, strategy=strategy, model=identity, settings=samples.settings)
    features = described_sets(asked, plan, rows)
    size = int(samples.settings["part_rows"])  # type: ignore[call-overload]
    sets = {
        dataset: DatasetSet(
            folder=SetFolder(path=feature_folder(layers(lake)[-1] / dataset, name), dataset=dataset),
            features=features[dataset],
            rows=own,
            parts=tuple(parts_of(dataset, len(own), size=size)),
        )
        for dataset, own in rows.items()
    }
    with ExitStack() as at_work:
        for each in sets.values():
            _open(each, lake, run=run, at_work=at_work)
        job = Extraction(
            plan=plan, sets=sets, batch_size=samples.batch_size, reading=samples.reading, dtype=samples.dtype,
            allow_nan=samples.allow_nan, columns=_known_columns(sets.values()), device=samples.device,
            on_error=samples.on_error, missing_chunks=samples.missing_chunks, transform=samples.transform,
        )  # fmt: skip
        made = _run(job, model, run=run, name=name)
        told = tuple(_told(each, made) for each in sets.values())
    return ExtractionReport(name=name, lake=str(lake_path(lake)), datasets=told)


def _planned(lake: LakePath, selection: Selection) -> tuple[Selection, str | None, Plan]:
    """Return the query as the lake resolves it, the tiling of its tiles, and its plan."""
    with lent_catalog(lake) as catalog:
        resolved = complete_cells(resolve(selection, catalog), catalog)
        plan = freeze(resolved, catalog)
        if not len(plan):
            raise QueryError(f"The query selects no {plan.unit}s in {plan.lake}: there is nothing to extract.")
        strategy = resolved.selection.strategy
        if plan.unit == "tile" and strategy is None:
            compiled = compile_rows(resolved)
            found = catalog._run(compiled.select("strategy").distinct(), compiled.parameters).fetchall()
            if len(found) != 1:
                raise QueryError(
                    f"The rows are of {len(found)} tilings. A feature set is of one: choose it in the SELECT, or with "
                    ".tiles(strategy=)."
                )
            strategy = found[0][0]
    return resolved.selection, strategy, plan


def _open(own: DatasetSet, lake: LakePath, *, run: RunChoices, at_work: ExitStack) -> None:
    """Be at work in a set's folder; refuse one that was made otherwise, unless it is to be overwritten."""
    folder = own.folder
    try:
        at_work.enter_context(folder.opened(alone=run.overwrite))
    except HeldElsewhereError:
        raise
    except WriteError as error:
        raise WriteError(
            f"{error} Features are written to the last layer of a lake: name a folder of your own with into= (--into)."
        ) from error
    if run.overwrite:
        folder.remove()
        return
    there = folder.described()
    if there is None:
        below = [path for root in layers(lake)[:-1] if (path := _in_layer(root, folder)).exists()]
        if below:
            raise WriteError(
                f"{below[-1]} is there already, in a layer below, and would be hidden. To hide it, run again with "
                "overwrite=True (--overwrite), or give another name."
            )
        return
    if other := differences(there, own.features):
        raise WriteError(
            f"{folder.path} exists already, made otherwise: {'; '.join(other)}. It was left as it is; to replace it, "
            "run again with overwrite=True (--overwrite), or give another name."
        )


def _in_layer(root: Path, folder: SetFolder) -> Path:
    return feature_folder(root / folder.dataset, folder.path.name) / FEATURES_FILE


def _known_columns(sets: Iterable[DatasetSet]) -> tuple[FeatureColumn, ...] | None:
    """Return the columns that an earlier run has found."""
    return next((there.columns for own in sets if (there := own.folder.described()) is not None), None)


def _run(job: Extraction, model: Callable[[Any], object], *, run: RunChoices, name: str) -> list[PartMade]:
    """Make what is missing, and tell the progress."""
    every = [part for own in job.sets.values() for part in own.parts]
    mine = every if run.shard is None else run.shard.part(every)
    missing = [part for part in mine if not job.sets[part.dataset].folder.has(part.first, part.last)]
    if not missing:
        return []
    run.progress.start(f"extract {name}", units=len(missing), called="parts")
    try:
        if run.engine == "ray":
            from spora_db.extraction.ray_actors import run_on_ray

            return list(_advancing(run_on_ray(job, model, missing, jobs=run.jobs), job, run.progress))
        return list(_advancing(run_parts(job, model, missing), job, run.progress))
    finally:
        run.progress.stop()


def _advancing(made: Iterable[PartMade], job: Extraction, progress: Progress) -> Iterator[PartMade]:
    began = time.monotonic()
    for part in made:
        now = time.monotonic()
        unit = f"{part.part.dataset} rows {part.part.first:,} to {part.part.last:,}"
        progress.advance(Outcome(tissue_id=unit, seconds=now - began, pixels=part.rows * job.plan.tile_size**2))
        began = now
        yield part


def _told(own: DatasetSet, made: Iterable[PartMade]) -> DatasetExtraction:
    """Complete a set if all is there, and say what was done."""
    there = own.folder.described()
    complete = None if there is None else own.folder.finish(there, [(part.first, part.last) for part in own.parts])
    now = expected_rows(part.part for part in made if part.part.dataset == own.folder.dataset)
    return DatasetExtraction(
        dataset=own.folder.dataset,
        folder=own.folder.path,
        state="running" if complete is None else "complete",
        rows=len(own.rows),
        made=now,
        before=len(own.rows) - now - expected_rows(own.missing()),
        failed=0 if complete is None else complete.failed,
    )
