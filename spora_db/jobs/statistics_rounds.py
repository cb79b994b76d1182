"""The rounds of one dataset's statistics: each over all its tissues, as far as this run may go, and then its tables."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from spora_db.errors import ArgumentError, FileFormatError
from spora_db.files.parquet import write_parquet
from spora_db.jobs.dataset_run import DatasetRun, Gathered
from spora_db.jobs.earlier_quantiles import check_same
from spora_db.jobs.gathering import blocked, finish, gather, unfinished
from spora_db.jobs.report import DatasetReport
from spora_db.jobs.statistics_unit import Partials, PassUnit, odd_sentence
from spora_db.jobs.units import Outcome
from spora_db.jobs.work_folder import WorkFolder
from spora_db.standardization.usable import dropped_sentence
from spora_db.statistics import Round, Rounds, StatisticsPlan, StatisticsResult


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStatistics:
    """The statistics of one dataset.

    Attributes
    ----------
    run
        Its files and work folder.
    units
        A unit per tissue of the first round.
    plan
        What is computed.
    kept
        Tables of quantiles that are there already, by the names of their files.
    levels
        Levels of means and standard deviations.
    absent
        How many tissues have channels in the tables but no image here.
    """

    run: DatasetRun
    units: tuple[PassUnit, ...]
    plan: StatisticsPlan
    kept: Mapping[str, Path]
    levels: tuple[str, ...]
    absent: int


def rounds(planned: PlannedStatistics) -> DatasetReport:
    """Compute one dataset's statistics, round after round, as far as this run may go."""
    run, plan, options = planned.run, planned.plan, planned.run.options
    units, gathered = list(planned.units), Gathered(results={})
    folding, result = Rounds(plan), None
    while result is None:
        stage = folding.stage
        units = [_in_round(unit, stage, run.work) for unit in units if unit.tissue_id not in gathered.failures]
        title = f"standardize {run.dataset}" + (f", round {stage.number + 1}" if stage.number else "")
        found = gather(units, run, title=title, compute=stage.number > 0 or not options.merge)
        gathered = _added(gathered, found)
        report = blocked(gathered, run)
        if report is not None:
            return report
        try:
            result = folding.fold(Partials(gathered.load))
        except (ArgumentError, FileFormatError) as error:
            return run.describe(gathered, state="failed", note=str(error))
    return unfinished(gathered, run) or _write(planned, result, gathered)


def _in_round(unit: PassUnit, stage: Round, work: WorkFolder) -> PassUnit:
    """Return a unit's work in a later round; what the rounds before found is part of what it reads."""
    if stage.number == 0:
        return unit
    inputs = [unit.result.name, stage.kind, stage.number, dict(stage.state)]
    return replace(unit, stage=stage, result=work.result(unit.tissue_id, inputs=inputs))


def _added(before: Gathered, found: Gathered) -> Gathered:
    """Return the state after one more round: its results, and the work of all rounds."""
    outcomes = {outcome.tissue_id: outcome for outcome in before.outcomes}
    for outcome in found.outcomes:
        known = outcomes.get(outcome.tissue_id, Outcome(tissue_id=outcome.tissue_id, reused=True))
        outcomes[outcome.tissue_id] = replace(
            outcome,
            seconds=known.seconds + outcome.seconds,
            pixels=known.pixels + outcome.pixels,
            reused=known.reused and outcome.reused,
        )
    return Gathered(
        results=found.results,
        outcomes=tuple(outcomes[tissue] for tissue in sorted(outcomes)),
        failures={**before.failures, **found.failures},
        missing=found.missing,
    )


def _write(planned: PlannedStatistics, result: StatisticsResult, gathered: Gathered) -> DatasetReport:
    """Write the tables, after a look at quantiles that are there already."""
    tables = result.tables(stats_levels=planned.levels)
    files = planned.run.target.files
    for name, table in tables.items():
        if name in planned.kept:
            check_same(planned.kept[name], table)

    def write(folder: Path, record: Mapping[str, Any]) -> Sequence[Path]:
        return [write_parquet(tables[path.name], folder / path.name, metadata=record) for path in files]

    summary: dict[str, Any] = {"channels": len(result.channel_names)}
    notes = []
    if dropped := result.dropped(stats_levels=planned.levels):
        summary["dropped"] = [asdict(item) for item in dropped]
        notes += [dropped_sentence(dropped), odd_sentence(Partials(gathered.load))]
    if raised := result.raised():
        summary["raised"] = [asdict(item) for item in raised]
        said = (f"{item.quantile:g} of {item.channel} (in {item.tissues:,} of {item.of:,} tissues)" for item in raised)
        notes.append(f"pixels are clipped to the quantile {', '.join(said)}, as the one asked for is 0")
    report = finish(gathered, planned.run, write=write, summary=summary)
    if planned.absent and not report.note:
        notes.append(f"{planned.absent} more tissues have a row in channels_per_tissue.parquet, but no image here")
    return replace(report, note="; ".join(filter(None, (report.note, *notes))))
