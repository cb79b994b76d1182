"""Gets the results of one dataset's units: those that are there, those of this shard, those that failed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from spora_db.errors import WriteError
from spora_db.jobs.dataset_run import MEANWHILE, DatasetRun, Gathered, ResultsGoneError
from spora_db.jobs.engines import run_units
from spora_db.jobs.publishing import publish
from spora_db.jobs.report import DatasetReport, failures_file, write_failures
from spora_db.jobs.resources import memory_budget
from spora_db.jobs.units import Outcome, WorkUnit

Write: TypeAlias = Callable[[Path, Mapping[str, Any]], Sequence[Path]]
"""Given a folder and the provenance, writes a target's files there and returns them in the target's order."""


def gather(units: Sequence[WorkUnit], run: DatasetRun, *, title: str, compute: bool = True) -> Gathered:
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
        return run.describe(gathered, state="waiting", note=note)
    if missing:
        raise ResultsGoneError(f"Results of {', '.join(missing[:5])} were taken away while the run was at work.")
    if gathered.failures and not (options.keep_going and gathered.results):
        note = "results of the others are kept; mend these tissues and run again, or add --keep-going"
        return run.describe(gathered, state="failed", note=note if gathered.results else "every tissue failed")
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
        report = run.describe(gathered, state="waiting", note=note)
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
    return run.describe(gathered, state="written", note=note if first else MEANWHILE, summary=summary)
