"""What a run over a lake did: per dataset the tissues that have results, those that failed and why, and the files."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from spora_db.files.writing import atomic_path
from spora_db.jobs.units import Outcome

State: TypeAlias = Literal["written", "kept", "failed", "waiting"]
"""The files are in place; they were before; they were not made; they wait for other shards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetReport:
    """One dataset's part of a run.

    Attributes
    ----------
    dataset
        Its name.
    state
        What became of its files.
    files
        The files of the target, in place or not.
    tissues
        How many tissues it has at this resolution.
    outcomes
        How each tissue went that this run looked at, sorted by tissue.
    failures
        Reason by tissue, for every tissue without a result.
    missing
        Tissues that other shards have not done yet.
    summary
        Figures of the result: ``tiles``, ``coverage_mean``, ``coverage_sd`` of a tiling; ``channels`` of statistics and
        ``dropped``, the channels that samples will lack (``channel, reason, tissues, of, first``), and ``raised``,
        those whose upper quantile another one stands in for (``channel, quantile, tissues, of``).
    note
        What else to know, in one line; empty for nothing.
    """

    dataset: str
    state: State
    files: tuple[Path, ...] = ()
    tissues: int = 0
    outcomes: tuple[Outcome, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    summary: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def slowest(self) -> Outcome | None:
        """The tissue that took longest; None where none was computed."""
        computed = [outcome for outcome in self.outcomes if not outcome.reused and outcome.failure is None]
        return max(computed, key=lambda outcome: (outcome.seconds, outcome.tissue_id), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run did, dataset by dataset.

    Attributes
    ----------
    datasets
        One report each, sorted by name.
    skipped
        Datasets that the run does not concern, with the reason.
    """

    datasets: tuple[DatasetReport, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def failures(self) -> dict[tuple[str, str], str]:
        """Reason by (dataset, tissue_id); by (dataset, ``""``) where a dataset failed as a whole."""
        found = {(part.dataset, tissue): why for part in self.datasets for tissue, why in part.failures.items()}
        whole = {
            (part.dataset, ""): part.note for part in self.datasets if part.state == "failed" and not part.failures
        }
        return found | whole

    @property
    def written(self) -> bool:
        """Whether every dataset has its files."""
        return all(part.state in ("written", "kept") for part in self.datasets)


def failures_file(target: Path) -> Path:
    """Return where the failed tissues of a target are recorded.

    Examples
    --------
    >>> failures_file(Path("224_tile_coordinates.parquet")).as_posix()
    '224_tile_coordinates.failures.json'
    """
    return target.with_name(f"{target.name.removesuffix('.parquet')}.failures.json")


def read_failures(path: Path, tissues: Iterable[str]) -> dict[str, str]:
    """Return why tissues failed when a table was written, as `write_failures` recorded it beside the table."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = []
    entries = [row for row in content if isinstance(row, dict)] if isinstance(content, list) else []
    rows = {str(row.get("tissue_id")): row["reason"] for row in entries if "reason" in row}
    return {tissue: str(rows.get(tissue, f"failed before; {path} does not say why")) for tissue in tissues}


def write_failures(path: Path, failures: Mapping[str, str]) -> Path:
    """Write which tissues a table lacks and why, as a JSON list sorted by tissue."""
    rows = [{"tissue_id": tissue, "reason": reason} for tissue, reason in sorted(failures.items())]
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
