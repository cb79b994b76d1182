"""Statistics of a cohort in one process: the rounds of `spora_db.statistics`, as jobs run them over workers."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from spora_db.errors import ArgumentError, SporaError, WriteError
from spora_db.files.parquet import write_parquet
from spora_db.standardization.specs import LEVELS, Spec, parse_spec
from spora_db.statistics import (
    Partial,
    Round,
    StatisticsPlan,
    StatisticsResult,
    StatisticsUnit,
    first_round,
    next_round,
    run_unit,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Computed(StatisticsResult):
    failures: Mapping[str, str] = field(default_factory=dict)


def compute_statistics(
    units: Iterable[StatisticsUnit],
    *,
    spec: str | Spec,
    channel_names: Sequence[str],
    keep_going: bool = False,
    progress: Callable[[str], None] = lambda _: None,
    **options: Any,
) -> Computed:
    plan = StatisticsPlan(spec=parse_spec(spec), channel_names=tuple(channel_names), **options)
    left = sorted(units, key=lambda unit: unit.tissue_id)
    ids = [unit.tissue_id for unit in left]
    if len(set(ids)) != len(ids) or not ids:
        twice = ", ".join(sorted({name for name in ids if ids.count(name) > 1})[:5])
        raise ArgumentError(f"Statistics need every tissue once; got {len(ids)} units. Repeated: {twice or 'none'}.")
    failures: dict[str, str] = {}
    stage: Round | StatisticsResult = first_round(plan)
    while isinstance(stage, Round):
        with tempfile.TemporaryDirectory(prefix="spora-db-") as folder:
            partials = PartialsOnDisk(Path(folder))
            for unit in left:
                try:
                    partials.add(run_unit(unit, plan=plan, stage=stage))
                except SporaError as error:
                    failures[unit.tissue_id] = " ".join(f"{error}".split())
                progress(unit.tissue_id)
            left = [unit for unit in left if unit.tissue_id not in failures]
            if failures and not (keep_going and left):
                reasons = "\n".join(f"  {tissue_id}: {reason}" for tissue_id, reason in sorted(failures.items()))
                done = f"{len(ids) - len(failures)} are done"
                raise SporaError(f"Statistics failed for {len(failures)} of {len(ids)} tissues ({done}):\n{reasons}")
            stage = next_round(plan, stage, partials)
    return Computed(**{item.name: getattr(stage, item.name) for item in fields(stage)}, failures=failures)


class PartialsOnDisk:
    """Partials that are loaded one at a time: counts of 2,000 tissues do not fit into memory together."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._kept = folder, list[tuple[str, Mapping[str, Any]]]()

    def add(self, partial: Partial) -> None:
        np.savez(self._folder / f"{len(self._kept)}.npz", **partial.arrays)
        self._kept.append((partial.tissue_id, partial.record))

    def __iter__(self) -> Iterator[Partial]:
        for number, (tissue_id, record) in enumerate(self._kept):
            with np.load(self._folder / f"{number}.npz", allow_pickle=False) as arrays:
                yield Partial(tissue_id=tissue_id, arrays=dict(arrays), record=record)


def write_statistics(
    folder: Path,
    result: Computed,
    *,
    stats_levels: Sequence[str] = LEVELS,
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    place, spec = folder / str(result.spec), str(result.spec)
    tables = result.tables(stats_levels=stats_levels)
    there = [name for name in tables if (place / name).exists()]
    if there and not overwrite:
        raise WriteError(f"{place} already holds {', '.join(there)}; pass overwrite=True to replace them.")
    metadata = {"spec": spec, "tissues": len(result.tissue_ids), "failures": dict(result.failures)}
    metadata |= provenance or {}
    return [write_parquet(table, place / name, metadata=metadata) for name, table in tables.items()]
