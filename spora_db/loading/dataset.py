"""A plan as a map-style torch dataset."""

from typing import Any, Literal

import torch
from torch.utils.data import Dataset

from spora_db.errors import QueryError
from spora_db.materialize import Materializer
from spora_db.plan import ABSENT, Plan

Sample = dict[str, Any]


class PlanDataset(Dataset[Sample]):
    """The rows of a plan as samples.

    It goes

    1. `plan` (arrays; crosses process borders),
    2. position -> image number, row, col (arrays),
    3. image number -> open reader, pages, transform (`Materializer`, one per process, made on first use),
    4. region -> float32 tensor of shape (C, H, W), decoded and standardized in one pass.

    Parameters
    ----------
    plan
        The frozen plan of a query.
    missing_chunks
        Whether absent chunks of an image (a partial download) are errors or read as zeros.

    Raises
    ------
    QueryError
        If the plan has no rows.
    """

    def __init__(self, plan: Plan, *, missing_chunks: Literal["error", "zeros"] = "error") -> None:
        if len(plan) == 0:
            raise QueryError(
                f"The query selects no {plan.unit}s in {plan.lake}. "
                "Look at query.sql() and loosen a condition; query.count() tells when it selects some."
            )
        self.plan = plan
        self.missing_chunks: Literal["error", "zeros"] = missing_chunks
        self._materializer: Materializer | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.plan)

    def __getitem__(self, position: int) -> Sample:
        """Return one sample.

        Parameters
        ----------
        position
            Row of the plan; negative ones count from the end.

        Returns
        -------
        dict
            ``image`` (float32 tensor of shape (C, H, W)), ``channel_names``, ``uniprot_ids`` (None where a channel has
            none), ``dataset``, ``tissue_id``, ``modality``, ``mpp``, ``tile_id``, ``row``, ``col``, ``spec``, and the
            query's further columns. A query for several modalities gives a dict of such dicts by modality.
        """
        if not -len(self) <= position < len(self):
            raise IndexError(f"position {position} is out of range for {len(self)} rows")
        position %= len(self)
        samples = [self._sample(position, int(image)) for image in self.plan.image[position] if image != ABSENT]
        return {sample["modality"]: sample for sample in samples} if len(self.plan.modalities) > 1 else samples[0]

    def __getstate__(self) -> dict[str, Any]:
        """Hand over the plan only: open files stay in the process that opened them."""
        return {**self.__dict__, "_materializer": None}

    @property
    def materializer(self) -> Materializer:
        """The loader of this process."""
        if self._materializer is None:
            self._materializer = Materializer(self.plan, missing_chunks=self.missing_chunks)
        return self._materializer

    def _sample(self, position: int, image: int) -> Sample:
        plan, source = self.plan, self.materializer.image(image)
        row, col = int(plan.row[position]), int(plan.col[position])
        if plan.unit == "tissue":
            pixels = self.materializer.tissue(image)
        else:
            size = plan.tile_size
            pixels = self.materializer.region(image, row=row, col=col, height=size, width=size)
        return {
            "image": torch.from_numpy(pixels),
            "channel_names": list(source.channel_names),
            "uniprot_ids": list(source.uniprot_ids),
            "dataset": source.record["dataset"],
            "tissue_id": source.record["tissue_id"],
            "modality": source.record["modality"],
            "mpp": source.record["mpp"],
            "tile_id": int(plan.tile_id[position]),
            "row": row,
            "col": col,
            "spec": source.spec,
            **{name: plan.columns.column(name)[position].as_py() for name in plan.columns.column_names},
        }
