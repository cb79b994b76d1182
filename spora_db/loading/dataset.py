"""A plan as a map-style torch dataset."""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from torch.utils.data import Dataset

from spora_db.arrays import Int64
from spora_db.errors import QueryError, SporaError, unknown
from spora_db.images.base import MissingChunks
from spora_db.loading.beside import beside, number
from spora_db.loading.memory import Memory, batch_memory
from spora_db.loading.order import Shuffle
from spora_db.loading.raw import check_device_formula, raw_region, statistics
from spora_db.loading.sample import Sample
from spora_db.loading.sharing import PlanHandle
from spora_db.loading.substitutes import PanelPosition, Substitutes, Unreadable
from spora_db.loading.vocabulary import checked_vocabulary, marker_numbers
from spora_db.plan import ABSENT, Plan
from spora_db.samples.materialize import ImagePlan, Materializer

if TYPE_CHECKING:
    import numpy.typing as npt

    from spora_db.loading.explain import Explanation
    from spora_db.loading.loader import CollateChoice, StartMethod, TileLoader


class PlanDataset(Dataset[Sample]):
    """The rows of a plan as samples.

    It goes

    1. `plan` (arrays; crosses process borders as one shared memory file),
    2. position -> image number, row, col (arrays),
    3. image number -> open reader, pages, transform (`Materializer`, one per process, made on first use),
    4. region -> float32 tensor of shape (C, H, W), decoded and standardized in one pass.

    Parameters
    ----------
    plan
        The frozen plan of a query.
    missing_chunks
        Whether absent chunks of an image (a partial download) are errors, or read as zeros, or as white (brightfield).
    vocabulary
        UniProt accessions in the order that `marker_index` counts; by default all of the selection, sorted.
    standardize_on
        Where pixels are standardized: as they are decoded (``"cpu"``), or by `standardize_batch` (``"device"``), in
        which case samples hold raw pixels and the numbers of the formula.
    on_error
        What becomes of a row whose reading ends in a SporaError or OSError: ``"raise"``; or ``"replace"``, and a row of
        another tissue of the same dataset and modalities (of any, if there is none; in batches of one panel, one with
        the same channels) stands in, a function of the plan's rows and the position alone. What failed is recorded in
        the quarantine of the lake (`Catalog.quarantine`), with one warning per tissue and process; after 100 failures
        in a row the last error is raised. Samples then have ``substituted_for``: the position that they stand in for,
        -1 for their own.

    Raises
    ------
    QueryError
        If the plan has no rows.
    ArgumentError
        If the vocabulary lacks an accession of a selected channel, or ``"device"`` cannot compute the spec.
    WriteError
        If the quarantine cannot be written.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        missing_chunks: MissingChunks = "error",
        vocabulary: Sequence[str] | None = None,
        standardize_on: Literal["cpu", "device"] = "cpu",
        on_error: Literal["raise", "replace"] = "raise",
    ) -> None:
        if len(plan) == 0:
            raise QueryError(
                f"The query selects no {plan.unit}s in {plan.lake}. "
                "Look at query.sql() and loosen a condition; query.count() tells when it selects some."
            )
        if missing_chunks not in get_args(MissingChunks):
            raise unknown("choice of missing_chunks=", missing_chunks, get_args(MissingChunks))
        if standardize_on not in ("cpu", "device"):
            raise unknown("choice of standardize_on=", standardize_on, ("cpu", "device"))
        if on_error not in ("raise", "replace"):
            raise unknown("choice of on_error=", on_error, ("raise", "replace"))
        if standardize_on == "device":
            check_device_formula(plan)
        self._handle = PlanHandle(plan)
        self.missing_chunks: MissingChunks = missing_chunks
        self.standardize_on: Literal["cpu", "device"] = standardize_on
        self.vocabulary = plan.vocabulary if vocabulary is None else checked_vocabulary(vocabulary)
        self._markers = marker_numbers(plan, self.vocabulary)
        self._substitutes = Substitutes(plan) if on_error == "replace" else None
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
            Row of the plan; negative ones count from the end.

        Returns
        -------
        dict
            ``image`` (float32 tensor of shape (C, H, W)), ``channel_names``, ``uniprot_ids`` (None where a channel has
            none), ``marker_index`` (int64 tensor of shape (C,): positions in `vocabulary`, -1 where a channel has no
            accession), ``dataset``, ``tissue_id``, ``modality``, ``mpp``, ``tile_id`` (for cells -1, and
            ``cell_id``), ``row``, ``col``, ``spec``, the query's further columns and, where asked for, ``masks`` and
            ``cells`` (see `spora_db.loading.beside.beside`). With
            ``standardize_on="device"``, ``image`` has the file's type, and ``statistics`` and ``method`` say what
            `standardize_batch` computes. A query for several modalities gives a dict of such dicts by modality.
        """
        return self.__getitems__([position])[0]

    def __getitems__(self, positions: Sequence[int]) -> list[Sample]:
        """Return several samples, whose images lie one after another in memory where they can: what loaders call."""
        for position in positions:
            if not -len(self) <= position < len(self):
                raise IndexError(f"position {position} is out of range for {len(self)} rows")
        rows = np.asarray(positions, np.int64) % len(self)
        memory = self._memory(rows)
        of_panel = [PanelPosition if isinstance(position, PanelPosition) else int for position in positions]
        return [self._readable(of_panel[i](row), [part[i] for part in memory]) for i, row in enumerate(rows)]

    def _memory(self, rows: "Int64") -> list[list[Memory]]:
        try:
            return batch_memory(self, rows)
        except (SporaError, OSError):  # of a file, which then cannot be read either
            if self._substitutes is None:
                raise
            return [[None] * len(rows) for _ in self.plan.modalities]

    def _readable(self, position: int, memory: list[Memory]) -> Sample:
        """Return the sample of one row, or of its substitute."""
        if self._substitutes is None:
            return self._place(position, memory)
        nowhere: list[Memory] = [None] * len(memory)
        try:
            return self._place(position, memory)
        except Unreadable:
            read = partial(self._place, memory=nowhere, substituted_for=position)
            return self._substitutes.read(self.plan, position, read=read)

    def _place(self, position: int, memory: list[Memory], *, substituted_for: int = -1) -> Sample:
        """Return the sample of one row: a sample, or one per modality where the query names several."""
        samples, marked = [], {} if self._substitutes is None else {"substituted_for": substituted_for}
        for image, out in zip(self.plan.image[position].tolist(), memory, strict=True):
            if image != ABSENT:
                spot = self._substitutes and self._substitutes.recorded(self.plan, position, image=image)
                with spot or nullcontext():
                    samples.append(Sample({**self._sample(position, image, out), **marked}))
        return Sample({item["modality"]: item for item in samples}) if len(self.plan.modalities) > 1 else samples[0]

    def loader(
        self,
        batch_size: int = 32,
        *,
        num_workers: int = 0,
        collate: "CollateChoice" = "padded",
        shuffle: Shuffle = "locality",
        seed: int = 0,
        weights: "str | npt.ArrayLike | None" = None,
        balance_by: Sequence[str] = (),
        replacement: bool | None = None,
        num_samples: int | None = None,
        rank: int | None = None,
        world_size: int | None = None,
        drop_last: bool = False,
        lanes: int = 4,
        interleave: int = 4,
        cache_bytes: int = 2**31,
        start_method: "StartMethod | None" = None,
        prefetch: int = 2,
        timeout: float = 0,
        pin_memory: bool | None = None,
    ) -> "TileLoader":
        """Return a DataLoader with the order, collate and workers that fit this dataset.

        Parameters
        ----------
        batch_size
            Rows of a batch on this rank.
        num_workers, collate, cache_bytes, start_method, prefetch, timeout, pin_memory
            How batches are read; see `TileLoader`.
        shuffle, seed, weights, balance_by, replacement, num_samples, lanes, interleave
            The order; see `TileSampler`.
        rank, world_size
            This process among those that share the epoch; by default those of ``torch.distributed`` where it is
            initialized, else one alone.
        drop_last
            Whether rows that fill no batch, or no round of the ranks, are left out.
        """
        from spora_db.loading.loader import TileLoader, own_rank
        from spora_db.loading.sampler import TileSampler

        rank, world_size = own_rank(rank, world_size)
        tiles = TileSampler(
            self, shuffle=shuffle, seed=seed, rank=rank, world_size=world_size, weights=weights, balance_by=balance_by,
            replacement=replacement, num_samples=num_samples, drop_last=drop_last, block=batch_size, lanes=lanes,
            interleave=interleave,
        )  # fmt: skip
        return TileLoader(
            tiles, batch_size=batch_size, collate=collate, num_workers=num_workers, drop_last=drop_last,
            cache_bytes=cache_bytes, start_method=start_method, prefetch=prefetch, timeout=timeout,
            pin_memory=pin_memory,
        )  # fmt: skip

    def explain(self, *, batch_size: int = 32, seconds: float = 1.0) -> "Explanation":
        """Return what an epoch costs before it starts; see `spora_db.loading.explain.explain`."""
        from spora_db.loading.explain import explain

        return explain(self, batch_size=batch_size, seconds=seconds)

    def __getstate__(self) -> dict[str, Any]:
        """Hand over the plan only: open files stay in the process that opened them."""
        return {**self.__dict__, "_materializer": None}

    @property
    def materializer(self) -> Materializer:
        """The loader of this process."""
        if self._materializer is None:
            self._materializer = Materializer(self.plan, missing_chunks=self.missing_chunks)
        return self._materializer

    def _pixels(self, source: ImagePlan, image: int, *, row: int, col: int, out: Memory) -> torch.Tensor:
        size = self.plan.tile_size
        if self.plan.unit == "tissue":
            _, height, width = source.reader.shape
        else:
            height = width = size
        target = None if out is None else out.numpy()
        if self.standardize_on == "device":
            return torch.from_numpy(raw_region(source, row=row, col=col, height=height, width=width, out=target))
        return torch.from_numpy(
            self.materializer.region(image, row=row, col=col, height=height, width=width, out=target)
        )

    def _sample(self, position: int, image: int, out: Memory = None) -> Sample:
        plan, source = self.plan, self.materializer.image(image)
        row, col = int(plan.row[position]), int(plan.col[position])
        self.materializer.check_cells(image, position)
        pixels = self._pixels(source, image, row=row, col=col, out=out)
        return Sample(
            {
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
                **(statistics(source.transform) if self.standardize_on == "device" else {}),
                **{name: plan.columns.column(name)[position].as_py() for name in plan.columns.column_names},
            }
        )
