"""`PlanRows`: the rows of a plan as samples, read in whichever process asks."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from torch.utils.data import Dataset, get_worker_info

from spora_db.arrays import Int64
from spora_db.errors import QueryError, SporaError, unknown
from spora_db.images.base import MissingChunks
from spora_db.loading.beside import beside, check_columns, number
from spora_db.loading.columns import number_types, values_at
from spora_db.loading.drawn import Drawn
from spora_db.loading.indexing import row_number
from spora_db.loading.labelled import LabelledRows
from spora_db.loading.labels import label_fields
from spora_db.loading.memory import Memory, array_over, batch_memory
from spora_db.loading.raw import check_device_formula, raw_region, statistics
from spora_db.loading.sample import Sample
from spora_db.loading.sharing import PlanHandle
from spora_db.loading.substitutes import Substitutes, Unreadable
from spora_db.loading.transforming import SampleTransform
from spora_db.loading.vocabulary import checked_vocabulary, marker_numbers
from spora_db.plan import ABSENT, Plan
from spora_db.samples.image_plan import ImagePlan
from spora_db.samples.materialize import Materializer
from spora_db.samples.seen import SeenImages
from spora_db.standardization.precision import BeyondRange, Precision


class PlanRows(LabelledRows, Dataset[Sample]):
    """What samplers and loaders know of a `PlanDataset`, which documents the parameters: its plan, and its samples."""

    def __init__(
        self,
        plan: Plan,
        *,
        missing_chunks: MissingChunks = "error",
        vocabulary: Sequence[str] | None = None,
        standardize_on: Literal["cpu", "device"] = "cpu",
        on_error: Literal["raise", "replace"] = "raise",
        transform: Callable[..., Any] | None = None,
        dtype: "Precision | torch.dtype" = "float32",
    ) -> None:
        if len(plan) == 0:
            raise QueryError(
                f"The query selects no {plan.unit}s in {plan.lake}. "
                "Look at query.sql() and loosen a condition; query.count() tells when it selects some."
            )
        for name, value, choices in (
            ("missing_chunks", missing_chunks, get_args(MissingChunks)),
            ("standardize_on", standardize_on, ("cpu", "device")),
            ("on_error", on_error, ("raise", "replace")),
            ("dtype", precision := str(dtype).removeprefix("torch."), get_args(Precision)),
        ):
            if value not in choices:
                raise unknown(f"choice of {name}=", value, choices)
        if standardize_on == "device":
            check_device_formula(plan)
        self.transform = None if transform is None else SampleTransform(transform)
        check_columns(plan)
        self._handle = PlanHandle(plan)
        self.missing_chunks: MissingChunks = missing_chunks
        self.standardize_on: Literal["cpu", "device"] = standardize_on
        self.dtype: torch.dtype = getattr(torch, precision)
        self.vocabulary = plan.vocabulary if vocabulary is None else checked_vocabulary(vocabulary)
        self._markers = marker_numbers(plan, self.vocabulary)
        self._number_types = number_types(plan.columns)
        self._substitutes = Substitutes(plan) if on_error == "replace" else None
        self._seen = SeenImages(bytes(16 * len(plan.images)))
        self._materializer: Materializer | None = None

    @property
    def plan(self) -> Plan:
        """The plan; its arrays are shared with worker processes."""
        return self._handle.plan

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.plan)

    def __repr__(self) -> str:
        """Return the plan's own, in the dataset's name."""
        return f"{type(self).__name__}{str(self.plan).removeprefix('Plan')}"

    def __getitem__(self, position: int) -> Sample:
        """Return one sample.

        Parameters
        ----------
        position
            Row of the plan, a whole number of Python, numpy or torch; negative ones count from the end.

        Returns
        -------
        dict
            ``image`` (tensor of shape (C, H, W) of the dataset's dtype), ``channel_names``, ``uniprot_ids`` (None where
            a channel has none), ``marker_index`` (int64 tensor of shape (C,): positions in `vocabulary`, -1 where a
            channel has no accession), ``dataset``, ``tissue_id``, ``modality``, ``mpp``, ``tile_id`` (for cells -1, and
            ``cell_id``), ``row``, ``col``, ``spec``, the query's further columns (numbers as
            `spora_db.loading.columns.number_types` says), its labels
            (int64 codes or float32 numbers, tensors of shape ()) and, where asked for, ``masks`` and
            ``cells`` (see `spora_db.loading.beside.beside`). With
            ``standardize_on="device"``, ``image`` has the file's type, and ``statistics``, ``method`` and ``dtype`` say
            what `standardize_batch` computes. A query for several modalities gives a dict of such dicts by modality.
            Then `transform` has its turn.

        Raises
        ------
        IndexError
            If there is no such row.
        ArgumentError
            If it is no number of one row, such as a slice; the message says how several are written.
        """
        if self.transform is not None and get_worker_info() is not None:
            self.transform.check([position])
        return self._samples([position])[0]

    def __getitems__(self, positions: Sequence[int]) -> list[Sample]:
        """Return several samples, whose images lie one after another in memory where they can: what loaders call."""
        if self.transform is not None:
            self.transform.check(positions)
        return self._samples(positions)

    def _samples(self, positions: Sequence[int]) -> list[Sample]:
        rows = np.array([row_number(position, len(self)) for position in positions], np.int64)
        memory = self._memory(rows)
        numbers = [
            own.at(row) if isinstance(own, Drawn) else row for own, row in zip(positions, rows.tolist(), strict=True)
        ]
        read = [self._readable(row, [part[i] for part in memory]) for i, row in enumerate(numbers)]
        if self.transform is None:
            return read
        return [self.transform.of_row(sample, row) for sample, row in zip(read, numbers, strict=True)]

    def _dtype(self, image: int) -> torch.dtype:
        """Return the type in which an image is delivered."""
        if self.standardize_on == "cpu":
            return self.dtype
        return torch.from_numpy(np.empty(0, self.materializer.image(image).reader.dtype)).dtype

    def _memory(self, rows: Int64) -> list[list[Memory]]:
        try:
            return batch_memory(self.plan, rows, dtype=self._dtype)
        except (SporaError, OSError):  # of a file, which then cannot be read either
            if self._substitutes is None:
                raise
            return [[None] * len(rows) for _ in self.plan.modalities]

    def _readable(self, position: int, memory: list[Memory]) -> Sample:
        """Return the sample of one row, or of its substitute."""
        try:
            return self._place(position, memory)
        except Unreadable:
            assert self._substitutes is not None
            read = partial(self._place, memory=[None] * len(memory), substituted_for=int(position))
            return self._substitutes.read(self.plan, position, read=read)

    def _place(self, position: int, memory: list[Memory], *, substituted_for: int = -1) -> Sample:
        """Return the sample of one row: a sample, or one per modality where the query names several."""
        samples, marked = [], {} if self._substitutes is None else {"substituted_for": substituted_for}
        for image, out in zip(self.plan.image[position].tolist(), memory, strict=True):
            if image == ABSENT:
                continue
            try:
                samples.append(Sample({**self._sample(position, image, out), **marked}))
            except BeyondRange:  # the fault of no row: `dtype` is too small
                raise
            except (SporaError, OSError) as error:
                if self._substitutes is None:
                    raise
                self._substitutes.record(self.plan, position, image=image, error=error)
                raise Unreadable from error
        return Sample({item["modality"]: item for item in samples}) if len(self.plan.modalities) > 1 else samples[0]

    def __getstate__(self) -> dict[str, Any]:
        """Hand over the plan only: open files stay in the process that opened them."""
        return {**self.__dict__, "_materializer": None}

    @property
    def materializer(self) -> Materializer:
        """What opens the images in this process."""
        if self._materializer is None:
            precision = cast(Precision, str(self.dtype).removeprefix("torch."))
            self._materializer = Materializer(
                self.plan, missing_chunks=self.missing_chunks, precision=precision, seen=self._seen
            )
        return self._materializer

    def _pixels(self, source: ImagePlan, *, row: int, col: int, out: Memory) -> torch.Tensor:
        if self.plan.unit == "tissue":
            _, height, width = source.reader.shape
        else:
            height = width = self.plan.tile_size
        target = None if out is None else array_over(out)
        read = source.read if self.standardize_on == "cpu" else partial(raw_region, source)
        pixels = torch.from_numpy(read(row=row, col=col, height=height, width=width, out=target))
        return pixels.view(self.dtype) if self.standardize_on == "cpu" else pixels

    def _sample(self, position: int, image: int, out: Memory) -> dict[str, Any]:
        plan, source = self.plan, self.materializer.image(image)
        row, col = int(plan.row[position]), int(plan.col[position])
        self.materializer.check_cells(source, image, position)
        pixels = self._pixels(source, row=row, col=col, out=out)
        return {
            "image": pixels if out is None else out,
            "channel_names": list(source.channel_names),
            "uniprot_ids": list(source.uniprot_ids),
            "marker_index": torch.from_numpy(self._markers[source.uniprot]),
            "dataset": source.record["dataset"],
            "tissue_id": source.record["tissue_id"],
            "modality": source.record["modality"],
            "mpp": source.record["mpp"],
            **number(plan, position),
            "row": row,
            "col": col,
            "spec": source.spec,
            **beside(plan, source, image, row=row, col=col, height=pixels.shape[1], width=pixels.shape[2]),
            **(statistics(source.transform, precision=source.precision) if self.standardize_on == "device" else {}),
            **values_at(plan.columns, self._number_types, position),
            **label_fields(plan, position),
        }
