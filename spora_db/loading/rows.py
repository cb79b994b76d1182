"""`PlanRows`: the rows of a plan as samples, read in whichever process asks."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from torch.utils.data import Dataset, get_worker_info

from spora_db.arrays import Int64
from spora_db.errors import QueryError, unknown
from spora_db.files.stores.mirror import mirror_of
from spora_db.images.base import MissingChunks
from spora_db.layout.layers import layers
from spora_db.loading.ahead import BatchRows, foretell
from spora_db.loading.beside import check_columns
from spora_db.loading.columns import number_types
from spora_db.loading.device import check_device_formula
from spora_db.loading.drawn import Drawn
from spora_db.loading.indexing import row_numbers
from spora_db.loading.labels import LabelledRows
from spora_db.loading.parts import read_part
from spora_db.loading.read_rows import ReadRows
from spora_db.loading.sample import Sample
from spora_db.loading.substitutes import ATTEMPTS, Substitutes
from spora_db.loading.transforming import SampleTransform
from spora_db.loading.vocabulary import checked_vocabulary, marker_numbers
from spora_db.plan import Plan
from spora_db.samples.materialize import Materializer
from spora_db.samples.seen import SeenImages
from spora_db.selection.arguments import wrong
from spora_db.standardization.precision import Precision


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
        if not isinstance(plan, Plan):
            raise wrong(plan, at=f"{type(self).__name__}(", expected="a plan, such as query.plan()")
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
        super().__init__(plan)
        self.missing_chunks: MissingChunks = missing_chunks
        self.standardize_on: Literal["cpu", "device"] = standardize_on
        self.dtype: torch.dtype = getattr(torch, precision)
        self._precision = cast(Precision, precision)
        self.vocabulary = plan.vocabulary if vocabulary is None else checked_vocabulary(vocabulary)
        self._markers = marker_numbers(plan, self.vocabulary)
        self._number_types = number_types(plan.columns)
        self._substitutes = Substitutes(plan) if on_error == "replace" else None
        self._seen = SeenImages(bytes(16 * len(plan.images)))
        self._opening: dict[str, Materializer] = {}

    @property
    def is_remote(self) -> bool:
        """Whether images of the plan lie in a remote lake."""
        return any(mirror_of(layer) is not None for layer in layers(self.plan.lake))

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
        sample: Sample = self._samples([position])[0]
        return sample

    def __getitems__(self, positions: Sequence[int]) -> Sequence[Sample]:
        """Return several samples, read together, whose images lie one after another in memory: what loaders call.

        Returns
        -------
        Sequence
            Whose samples are made when they are asked for; the collates of spora-db ask for none.
        """
        if self.transform is not None:
            self.transform.check(positions)
        if isinstance(positions, BatchRows):
            foretell(self, positions.ahead, fetch=self._fetch)
        return self._samples(positions)

    def _fetch(self, rows: Int64) -> None:
        """Fetch what rows need of remote images, in a thread beside the one that reads."""
        for column in range(len(self.plan.modalities)):
            self._opened_for("fetching").fetch(rows, column)

    def _samples(self, positions: Sequence[int]) -> Sequence[Any]:
        rows = row_numbers(positions, len(self))
        read, faults = self._read(rows)
        if not faults and self.transform is None:
            return read
        places = [
            own.at(row) if isinstance(own, Drawn) else row for own, row in zip(positions, rows.tolist(), strict=True)
        ]
        samples = [self._substitute(place, *faults[i]) if i in faults else read[i] for i, place in enumerate(places)]
        if self.transform is None:
            return samples
        return [self.transform.of_row(sample, place) for sample, place in zip(samples, places, strict=True)]

    def _read(self, rows: Int64) -> tuple[ReadRows, dict[int, tuple[int, Exception]]]:
        """Return the samples of rows, and for those that cannot be read the image and the error.

        Raises
        ------
        SporaError, OSError
            The error of the first of these, where no other row is to take its place.
        """
        faults = dict[int, tuple[int, Exception]]()
        parts = [
            read_part(
                self.materializer, rows, column, faults, raw=self.standardize_on == "device", markers=self._markers,
                number_types=self._number_types,
            )
            for column in range(len(self.plan.modalities))
        ]  # fmt: skip
        if self._substitutes is None and faults:
            raise faults[min(faults)][1]
        for part in parts if self._substitutes is not None else ():
            part.columns["substituted_for"] = np.full(len(part.which), -1)
        return ReadRows(len(rows), parts), faults

    def _substitute(self, place: int, image: int, error: Exception) -> Sample:
        """Record a row that cannot be read, and return the sample of the first that can and takes its place.

        Raises
        ------
        SporaError, OSError
            The last error, if `ATTEMPTS` substitutes in a row cannot be read either.
        """
        assert self._substitutes is not None
        self._substitutes.record(self.plan, place, image=image, error=error)
        for row in self._substitutes.drawn(self.plan, place).tolist():
            read, faults = self._read(np.array([row]))
            if not faults:
                sample = read[0]
                for part in sample.values() if read.several else [sample]:
                    part["substituted_for"] = int(place)
                return sample
            image, error = faults[0]
            self._substitutes.record(self.plan, row, image=image, error=error)
        error.add_note(
            f"{ATTEMPTS} substitutes in a row for row {place} of the plan could not be read either; all that failed "
            f"are in Catalog.quarantine() ({self._substitutes.quarantine.path})."
        )
        raise error

    def __getstate__(self) -> dict[str, Any]:
        """Hand over the plan only: open files stay in the process that opened them."""
        return {**self.__dict__, "_opening": {}}

    @property
    def materializer(self) -> Materializer:
        """What opens the images in this process."""
        return self._opened_for("reading")

    def _opened_for(self, use: str) -> Materializer:
        """Return what opens the images for one use: threads that fetch ahead keep their own."""
        if use not in self._opening:
            self._opening[use] = Materializer(
                self.plan, missing_chunks=self.missing_chunks, precision=self._precision, seen=self._seen
            )
        return self._opening[use]
