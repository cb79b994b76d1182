"""Gets the results of one dataset's units: those that are there, those of this shard, those that failed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from spora_db.errors import SporaError, WriteError
from spora_db.files.stamps import Stamp
from spora_db.jobs.engines import run_units
from spora_db.jobs.options import Options
from spora_db.jobs.publishing import Target, exists_error, publish
from spora_db.jobs.report import DatasetReport, State, failures_file, read_failures, write_failures
from spora_db.jobs.resources import memory_budget
from spora_db.jobs.units import Outcome, Unit, UnitResult, load_unit
from spora_db.jobs.work_folder import WorkFolder

ATTEMPTS = 5  # to finish while others finish the same dataset; each removes results that the next one may miss

MEANWHILE = "another run made the same files at the same time"

Write: TypeAlias = Callable[[Path, Mapping[str, Any]], Sequence[Path]]
"""Given a folder and the provenance, writes a target's files there and returns them in the target's order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """The state of a dataset's units after a run: results by tissue, and why others have none."""

    results: Mapping[str, Path]
    outcomes: tuple[Outcome, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    def load(self) -> Iterator[tuple[str, UnitResult]]:
        """Read the results one by one, sorted by tissue.

        Raises
        ------
        ResultsGoneError
            A run at the same time has finished and taken them away.
        """
        for tissue, path in sorted(self.results.items()):
            try:
                yield tissue, load_unit(path)
            except FileNotFoundError as error:
                raise ResultsGoneError(str(path)) from error


class ResultsGoneError(SporaError):
    """Results that were there have been taken away, by a run at the same time that was quicker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRun:
    """One dataset's part of a run.

    Attributes
    ----------
    dataset
        Its name.
    target
        The files to make.
    work
        Where results lie until then.
    options
        How the run is carried out.
    before
        The target's stamp when the run began.
    """

    dataset: str
    target: Target
    work: WorkFolder
    options: Options
    before: Stamp | None

    def wanted(self) -> bool:
        """Tell whether the files are to be made: False where they are there already, made in the same way.

        Files without tissues that failed are there for a run that keeps going, or that keeps what exists.

        Raises
        ------
        WriteError
            They are there, made in another way, and may not be replaced.
        """
        standing, options = self.target.standing(), self.options
        if options.overwrite or standing == "absent" or self.work.committing:
            return True
        other = standing == "different" and not (options.keep_existing and not self.target.recorded)
        if other or (self.target.failed() and not (options.keep_going or options.keep_existing)):
            raise exists_error(self.target)
        return False

    def kept(self, note: str) -> DatasetReport:
        """Return the report of files that were there before, with the tissues that failed then."""
        failures = read_failures(failures_file(self.target.main), self.target.failed())
        again = "; --overwrite tries the tissues again that failed then" if failures else ""
        report = describe(self, Gathered(results={}, failures=failures), state="kept", note=note + again)
        return replace(report, tissues=self.target.provenance["tissues"])

    def complete(self, run: Callable[[], DatasetReport]) -> DatasetReport:
        """Run until the dataset is done, also while other runs finish the same dataset and take the results away."""
        if not self.wanted():
            return self.kept(f"made before, {self.target.made_otherwise() or 'with the same parameters'}")
        for _ in range(ATTEMPTS):
            try:
                return run()
            except ResultsGoneError as error:
                gone = error
                if self.target.stamp() != self.before and self.target.standing() == "same":
                    return self.kept(MEANWHILE)
        raise gone


def check_wanted(runs: Sequence[DatasetRun]) -> None:
    """Refuse, before any work, a run whose files are all there, or one of whose files may not be replaced.

    Raises
    ------
    WriteError
        With what is there, how it was made, and how to replace it.
    """
    wanted = [run.wanted() for run in runs]
    swept = [run.work.sweep() for run in runs]  # of a run that was killed when all was in place
    if not any(wanted) and not any(swept) and not runs[0].options.keep_existing:
        raise exists_error(runs[0].target)


def gather(units: Sequence[Unit], run: DatasetRun, *, title: str, compute: bool = True) -> Gathered:
    """Compute the results that are not there yet, or this shard's part of them.

    Parameters
    ----------
    units
        All units of the dataset, in sorted order.
    run
        What they are for.
    title
        What is being done, for the progress.
    compute
        Whether to compute at all; without, only what is there is gathered.

    Raises
    ------
    WriteError
        A result cannot be written.
    """
    options, work = run.options, run.work
    mine = list(units) if options.shard is None else options.shard.part(units)
    outcomes: list[Outcome] = []
    if compute:
        work.open()
        todo = [unit for unit in mine if not unit.result.is_file()]
        outcomes += [Outcome(tissue_id=unit.tissue_id, reused=True) for unit in mine if unit.result.is_file()]
        options.progress.start(title, units=len(mine))
        try:
            for outcome in outcomes:
                options.progress.advance(outcome)
            for outcome in run_units(todo, engine=options.engine, jobs=options.jobs, budget=memory_budget()):
                outcomes.append(outcome)
                options.progress.advance(outcome)
        finally:
            options.progress.stop()
        of = {unit.tissue_id: unit.result for unit in mine}
        for outcome in outcomes:
            work.record_failure(outcome.tissue_id, outcome.failure, result=of[outcome.tissue_id])
    results = {unit.tissue_id: unit.result for unit in units if unit.result.is_file()}
    known = work.failures(unit.result for unit in units) | {
        o.tissue_id: o.failure for o in outcomes if o.failure is not None
    }
    without = [unit.tissue_id for unit in units if unit.tissue_id not in results]
    return Gathered(
        results=results,
        outcomes=tuple(sorted(outcomes, key=lambda outcome: outcome.tissue_id)),
        failures={tissue: known[tissue] for tissue in without if tissue in known},
        missing=tuple(tissue for tissue in without if tissue not in known),
    )


def describe(
    run: DatasetRun, gathered: Gathered, *, state: State, note: str = "", summary: Mapping[str, Any] | None = None
) -> DatasetReport:
    """Return the report of a dataset in its present state."""
    return DatasetReport(
        dataset=run.dataset,
        state=state,
        files=run.target.files,
        tissues=len(gathered.results) + len(gathered.failures) + len(gathered.missing),
        outcomes=gathered.outcomes,
        failures=gathered.failures,
        missing=gathered.missing,
        summary=summary or {},
        note=note,
    )


def blocked(gathered: Gathered, run: DatasetRun) -> DatasetReport | None:
    """Return the report of a dataset whose results are not all there, nor enough of them; else None.

    Raises
    ------
    WriteError
        Results of shards are missing from a merge.
    ResultsGoneError
        Results were taken away by another run.
    """
    options, missing = run.options, gathered.missing
    if options.merge and missing:
        raise WriteError(
            f"Dataset {run.dataset!r} cannot be merged: {len(missing)} of its tissues have no result yet "
            f"({', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}). "
            "Run the shards that are missing, with the same parameters, then merge again."
        )
    if missing and options.shard is not None:
        note = f"shard {options.shard} is done, others are not; after all of them, run the same command with --merge"
        return describe(run, gathered, state="waiting", note=note)
    if missing:
        raise ResultsGoneError(f"Results of {', '.join(missing[:5])} were taken away while the run was at work.")
    if gathered.failures and not (options.keep_going and gathered.results):
        note = "results of the others are kept; mend these tissues and run again, or add --keep-going"
        return describe(run, gathered, state="failed", note=note if gathered.results else "every tissue failed")
    return None


def unfinished(gathered: Gathered, run: DatasetRun) -> DatasetReport | None:
    """Return the report of a dataset whose files are not to be made by this run; None if they are.

    Raises
    ------
    WriteError, ResultsGoneError
        As :func:`blocked`.
    """
    report = blocked(gathered, run)
    if report is None and run.options.shard is not None:
        note = f"shard {run.options.shard} is done, as are the others; now run the same command with --merge"
        report = describe(run, gathered, state="waiting", note=note)
    return report


def finish(gathered: Gathered, run: DatasetRun, *, write: Write, summary: Mapping[str, Any]) -> DatasetReport:
    """Make the files of a dataset, whose results are all there, and report.

    Raises
    ------
    WriteError
        The files cannot be written.
    """
    target, failures = run.target, gathered.failures
    record = {**target.provenance, "failed": sorted(failures)}
    beside = failures_file(target.main)
    files = (beside, *target.files) if failures else target.files

    def write_all(folder: Path) -> Sequence[Path]:
        written = write(folder, record)
        return (write_failures(folder / beside.name, failures), *written) if failures else written

    complete = replace(target, provenance=record, files=files)
    first = publish(complete, work=run.work, write=write_all, before=run.before, overwrite=run.options.overwrite)
    if not failures:
        beside.unlink(missing_ok=True)  # of an earlier run
    others = run.work.others()
    note = f"unfinished work with other parameters lies in {others[0].parent}" if others else ""
    return describe(run, gathered, state="written", note=note if first else MEANWHILE, summary=summary)
