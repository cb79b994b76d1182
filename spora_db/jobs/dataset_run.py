"""One dataset's part of a run: its files, its work folder, its results, and whether it is to be made at all."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from spora_db.errors import SporaError
from spora_db.files.stamps import Stamp, same_content
from spora_db.jobs.options import Options
from spora_db.jobs.publishing import Target, exists_error
from spora_db.jobs.report import DatasetReport, State, failures_file, read_failures
from spora_db.jobs.units import Outcome, UnitResult
from spora_db.jobs.work_folder import WorkFolder, read_result

ATTEMPTS = 5  # to finish while others finish the same dataset; each removes results that the next one may miss

MEANWHILE = "another run made the same files at the same time"


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
                arrays, record = read_result(path)
            except FileNotFoundError as error:
                raise ResultsGoneError(str(path)) from error
            yield tissue, UnitResult(arrays=arrays, record=record)


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

    def describe(
        self, gathered: Gathered, *, state: State, note: str = "", summary: Mapping[str, Any] | None = None
    ) -> DatasetReport:
        """Return the report of the dataset in its present state."""
        return DatasetReport(
            dataset=self.dataset,
            state=state,
            files=self.target.files,
            tissues=len(gathered.results) + len(gathered.failures) + len(gathered.missing),
            outcomes=gathered.outcomes,
            failures=gathered.failures,
            missing=gathered.missing,
            summary=summary or {},
            note=note,
        )

    def kept(self, note: str) -> DatasetReport:
        """Return the report of files that were there before, with the tissues that failed then."""
        failures = read_failures(failures_file(self.target.main), self.target.failed())
        again = "; --overwrite tries the tissues again that failed then" if failures else ""
        report = self.describe(Gathered(results={}, failures=failures), state="kept", note=note + again)
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
                if not same_content(self.target.stamp(), self.before) and self.target.standing() == "same":
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
