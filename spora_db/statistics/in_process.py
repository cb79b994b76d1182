"""Statistics of a cohort in one process, for scripts: the same rounds that jobs run over workers."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from spora_db.errors import ArgumentError, SporaError, WriteError
from spora_db.files.parquet import write_parquet
from spora_db.standardization.specs import LEVELS, Spec, parse_spec
from spora_db.statistics.plan import Partial, StatisticsPlan, StatisticsUnit
from spora_db.statistics.result import StatisticsResult
from spora_db.statistics.rounds import Rounds
from spora_db.statistics.statistics import KEPT_SHARE, run_unit
from spora_db.statistics.tissue import KEPT_BYTES

if TYPE_CHECKING:
    from spora_db.images.base import MissingChunks


def compute_statistics(
    units: Iterable[StatisticsUnit],
    *,
    spec: str | Spec,
    channel_names: Sequence[str],
    kept_bytes: int = KEPT_BYTES,
    missing_chunks: "MissingChunks" = "error",
    keep_going: bool = False,
    progress: Callable[[str], None] | None = None,
) -> StatisticsResult:
    """Compute the statistics of a cohort in this process.

    Parameters
    ----------
    units
        The tissues.
    spec
        The standardization, such as ``"quantile_clipping/uq_0.99_image"``.
    channel_names
        The panel.
    kept_bytes
        How many bytes of pixels may be held at once.
    missing_chunks
        Whether absent chunks of an image (a partial download) are an error or read as zeros.
    keep_going
        Return a result without the tissues that failed, their reasons in ``failures``; else an error at the end.
    progress
        Called with a tissue's id when a round is done with it.

    Returns
    -------
    StatisticsResult

    Raises
    ------
    SporaError
        If tissues failed; the message lists every one with its reason. All others were worked through before.
    """
    plan = StatisticsPlan(
        spec=parse_spec(spec), channel_names=tuple(channel_names), kept_bytes=kept_bytes, missing_chunks=missing_chunks
    )
    left = sorted(units, key=lambda unit: unit.tissue_id)
    ids = [unit.tissue_id for unit in left]
    if len(set(ids)) != len(ids) or not ids:
        twice = ", ".join(sorted({name for name in ids if ids.count(name) > 1})[:5])
        raise ArgumentError(f"Statistics need every tissue once; got {len(ids)} units. Repeated: {twice or 'none'}.")
    failures: dict[str, str] = {}
    rounds, result = Rounds(plan), None
    while result is None:
        with tempfile.TemporaryDirectory(prefix="spora-db-") as folder:
            partials = _Partials(Path(folder), room=plan.kept_bytes // KEPT_SHARE)
            for unit in left:
                try:
                    partials.add(run_unit(unit, plan=plan, stage=rounds.stage))
                except (SporaError, OSError, MemoryError) as error:
                    failures[unit.tissue_id] = " ".join(f"{error}".split()) or type(error).__name__
                if progress is not None:
                    progress(unit.tissue_id)
            left = [unit for unit in left if unit.tissue_id not in failures]
            if failures and not (keep_going and left):
                _raise(failures, total=len(ids))
            result = rounds.fold(partials)
    return result.with_failures(failures)


class _Partials:
    """Partials in memory as far as there is room; the others, as of 2,000 tissues, are loaded one at a time."""

    def __init__(self, folder: Path, *, room: int) -> None:
        self._folder, self._room, self._parts = folder, room, list[Partial]()

    def add(self, partial: Partial) -> None:
        size = sum(array.nbytes for array in partial.arrays.values())
        if size <= self._room:
            self._room -= size
        else:
            with (self._folder / f"{len(self._parts)}.npz").open("wb") as file:
                np.savez(file, **partial.arrays)  # type: ignore[arg-type]
            partial = replace(partial, arrays={})
        self._parts.append(partial)

    def __iter__(self) -> Iterator[Partial]:
        """Yield each; of one that is on disk an array is read when it is asked for, before the next partial."""
        for number, part in enumerate(self._parts):
            if part.arrays:
                yield part
            else:
                with np.load(self._folder / f"{number}.npz", allow_pickle=False) as arrays:
                    yield replace(part, arrays=arrays)


def _raise(failures: Mapping[str, str], *, total: int) -> NoReturn:
    reasons = "\n".join(f"  {tissue_id}: {reason}" for tissue_id, reason in sorted(failures.items()))
    done = total - len(failures)
    raise SporaError(f"Statistics failed for {len(failures)} of {total} tissues ({done} are done):\n{reasons}")


def write_statistics(
    folder: str | Path,
    result: StatisticsResult,
    *,
    stats_levels: Sequence[str] = LEVELS,
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write the tables of a result where the published loader expects them.

    Parameters
    ----------
    folder
        ``<dataset>/<modality>/<mpp>/standardization``; the tables go to the folder of the spec in it.
    result
        The statistics.
    stats_levels
        Levels of means and standard deviations to write.
    provenance
        How they were made, JSON values; recorded in every file with the spec, its tissues and failures.
    overwrite
        Whether files that are there are replaced, each in one step.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    WriteError
        If a file is there already, or the folder cannot be written.
    """
    place = Path(folder) / str(result.spec)
    tables = result.tables(stats_levels=stats_levels)
    there = [name for name in tables if (place / name).exists()]
    if there and not overwrite:
        raise WriteError(
            f"{place} already holds {', '.join(there)}; pass overwrite=True (--overwrite) to replace them."
        )
    metadata = {
        "spec": str(result.spec), "tissues": len(result.tissue_ids), "failures": dict(result.failures),
        **(provenance or {}),
    }  # fmt: skip
    return [write_parquet(table, place / name, metadata=metadata) for name, table in tables.items()]
