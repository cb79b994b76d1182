"""What an order is worth and costs: how many tissues and patients meet in a batch, and what is decoded for it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spora_db.arrays import Int64
from spora_db.images import cache_info
from spora_db.loading.costs import CostModel
from spora_db.loading.order import order_key, permutation
from spora_db.loading.weights import first_images, plan_column

if TYPE_CHECKING:
    from spora_db.loading.sampler import TileSampler

FOLLOWED = 40_000
"""Rows at the beginning of an epoch that are followed: enough for the mean, a second at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderReport:
    """The trade of an order, beside that of a global shuffle of the same rows.

    Attributes
    ----------
    rows
        Rows that were followed.
    batch_size, workers
        As asked.
    tissues, tissues_global
        Mean number of distinct tissues in a batch.
    patients, patients_global
        Mean number of distinct patients in a batch; None where the query does not select ``patient_id``.
    amplification, amplification_global
        Bytes of pixels decoded per byte delivered; None for whole tissues, which are decoded once.
    """

    rows: int
    batch_size: int
    workers: int
    tissues: float
    tissues_global: float
    patients: float | None
    patients_global: float | None
    amplification: float | None
    amplification_global: float | None

    def __str__(self) -> str:
        """Return a small table."""
        lines = [f"{f'per batch of {self.batch_size}':32}{'this order':>12}{'global':>12}"]
        rows = (
            ("distinct tissues", self.tissues, self.tissues_global),
            ("distinct patients", self.patients, self.patients_global),
            ("bytes decoded per byte delivered", self.amplification, self.amplification_global),
        )
        for label, own, other in rows:
            if own is None or other is None:
                continue
            lines.append(f"{label:32}{own:12.2f}{other:12.2f}")
        if self.patients is None:
            lines.append("patients: add .select('patient_id') to the query")
        return "\n".join(lines)


def report(sampler: "TileSampler", *, batch_size: int, workers: int, cache_bytes: int | None) -> OrderReport:
    """Follow the beginning of a sampler's epoch; see `TileSampler.report`."""
    dataset = sampler.dataset
    plan = dataset.plan
    key = order_key(plan.rows_hash, seed=sampler.seed, epoch=sampler.epoch, purpose="report")
    order = sampler.order()
    shuffled = order[permutation(len(order), key)]
    order, shuffled = order[:FOLLOWED], shuffled[:FOLLOWED]
    tissue = first_images(plan)
    patient = _patients(sampler) if "patient_id" in plan.columns.column_names else None
    costs: list[float | None] = [None, None]
    if plan.unit != "tissue":
        model = CostModel(dataset)
        limit = cache_info().bytes_limit if cache_bytes is None else cache_bytes
        processes = sampler.world_size * max(workers, 1)
        costs = [
            model.follow(_streams(rows, batch_size, processes), cache_bytes=limit).amplification
            for rows in (order, shuffled)
        ]
    return OrderReport(
        rows=len(order),
        batch_size=batch_size,
        workers=workers,
        tissues=_distinct(tissue[order], batch_size),
        tissues_global=_distinct(tissue[shuffled], batch_size),
        patients=None if patient is None else _distinct(patient[order], batch_size),
        patients_global=None if patient is None else _distinct(patient[shuffled], batch_size),
        amplification=costs[0],
        amplification_global=costs[1],
    )


def _patients(sampler: "TileSampler") -> Int64:
    """Return a number per patient, row by row; the same name in two datasets is two patients."""
    plan = sampler.dataset.plan
    parts = []
    for name in ("dataset", "patient_id"):
        encoded = plan_column(plan, name).dictionary_encode(null_encoding="encode").combine_chunks()
        parts.append(encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64))
    numbers: Int64 = parts[0] * (int(parts[1].max()) + 1) + parts[1]
    return numbers


def _distinct(values: Int64, batch_size: int) -> float:
    """Return the mean number of distinct values in a batch; a smaller last batch counts only when it is the first."""
    whole = max(len(values) // batch_size, 1)
    batches = np.array_split(values[: whole * batch_size], whole)
    return float(np.mean([len(np.unique(batch)) for batch in batches]))


def _streams(rows: Int64, batch_size: int, processes: int) -> list[list[int]]:
    """Deal batches in turn to processes, as ranks and their DataLoader workers get them."""
    batches = [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    return [[int(row) for batch in batches[i::processes] for row in batch] for i in range(processes)]
