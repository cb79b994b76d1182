"""What an order is worth and costs: how many tissues and patients meet in a batch, and what is decoded for it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from spora_db.arrays import Int64
from spora_db.images import cache_info
from spora_db.loading.costs import FOLLOWED, CostModel
from spora_db.loading.row_numbers import first_images, plan_column, value_numbers
from spora_db.loading.rows import PlanRows


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


def report_order(
    rows: PlanRows,
    order: Int64,
    shuffled: Int64,
    *,
    batch_size: int,
    ranks: int,
    workers: int,
    cache_bytes: int | None,
) -> OrderReport:
    """Follow the beginning of an epoch, its rows in `order` and globally `shuffled`; see `TileSampler.report`."""
    plan = rows.plan
    tissue, patient, model = first_images(plan), None, CostModel(rows)
    if "patient_id" in plan.columns.column_names:  # the same name in two datasets is two patients
        patient = value_numbers(plan_column(plan, name) for name in ("dataset", "patient_id"))
    limit = cache_info().bytes_limit if cache_bytes is None else cache_bytes

    def measured(rows: Int64, of: str) -> dict[str, Any]:
        streams = _streams(rows, batch_size, ranks * max(workers, 1))
        decoded = None if plan.unit == "tissue" else model.follow(streams, cache_bytes=limit).amplification
        patients = None if patient is None else _distinct(patient[rows], batch_size)
        return {
            f"tissues{of}": _distinct(tissue[rows], batch_size),
            f"patients{of}": patients,
            f"amplification{of}": decoded,
        }

    found = measured(order[:FOLLOWED], "") | measured(shuffled[:FOLLOWED], "_global")
    return OrderReport(rows=min(len(order), FOLLOWED), batch_size=batch_size, workers=workers, **found)


def _distinct(values: Int64, batch_size: int) -> float:
    """Return the mean number of distinct values in a batch; a smaller last batch counts only when it is the first."""
    whole = max(len(values) // batch_size, 1)
    batches = np.array_split(values[: whole * batch_size], whole)
    return float(np.mean([len(np.unique(batch)) for batch in batches]))


def _streams(rows: Int64, batch_size: int, processes: int) -> list[list[int]]:
    """Deal batches in turn to processes, as ranks and their DataLoader workers get them."""
    batches = [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    return [[int(row) for batch in batches[i::processes] for row in batch] for i in range(processes)]
