"""A plan as a map-style torch dataset."""

from collections.abc import Sequence

import numpy.typing as npt
import torch

from spora_db.images.cache import CacheChoice
from spora_db.loading.batches import PanelBatchSampler, TileBatchSampler
from spora_db.loading.collates import CollateChoice, chosen_collate
from spora_db.loading.explain import EpochCost, explain
from spora_db.loading.loader import TileLoader
from spora_db.loading.order import Shuffle
from spora_db.loading.rows import PlanRows
from spora_db.loading.sampler import TileSampler
from spora_db.loading.starting import StartMethod
from spora_db.loading.workers import CACHE_BYTES, HandOver, worker_options
from spora_db.selection.arguments import checked_flag, checked_whole


class PlanDataset(PlanRows):
    """The rows of a plan as samples.

    It goes

    1. `plan` (arrays; crosses process borders as one shared memory file),
    2. positions of a batch -> image numbers, rows, cols (arrays),
    3. image numbers -> open readers, pages, transforms (`Materializer`, one per process, made on first use),
    4. regions -> the chunks that they touch, each decoded once, and the pieces of these (`spora_db.images.pieces`),
    5. pieces -> the batch's memory, standardized in one pass, and columns of what tells its images apart,
    6. columns -> a `Batch`, or a dict of a row where someone asks for one.

    An image that is rewritten, or touched, after the dataset has first opened it is an error that names it
    (FileFormatError); a new dataset takes it as it is then.

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
        in a row the last error is raised, and at once where a remote lake is out of reach or no more files may be open.
        Samples then have ``substituted_for``: the position that they stand in for,
        -1 for their own.
    transform
        ``f(sample)`` or ``f(sample, rng)``, called in the worker with every sample: the dict of a row, with all its
        modalities, masks and cells. `rng` is a numpy Generator that follows from the seed, the epoch and the position
        in its order alone, whatever the number of workers and ranks, and after a resume; ``dataset[5]`` draws as seed
        0, epoch 0, position 5. Arrays in the dict that it returns become tensors. What is not such a dict, as ``(x,
        y)``, needs a `collate` that takes it. Its errors name the row, and never count as unreadable. See
        `spora_db.transforms`.
    dtype
        The type of the images: ``"float32"``, or ``"float16"`` or ``"bfloat16"``, to which the float32 result is
        rounded, to nearest, ties to even; a torch dtype of that name will do. `transform` is handed images of that
        type. It moves no row of the order.

    Raises
    ------
    QueryError
        If the plan has no rows, or a further column whole numbers that no tensor holds exactly.
    UnknownNameError
        For another type, and other choices that do not exist.
    ArgumentError
        If the vocabulary lacks an accession of a selected channel, ``"device"`` cannot compute the spec, or the
        signature of `transform` does not tell whether it takes an rng.
    WriteError
        If the quarantine cannot be written.

    See Also
    --------
    SporaQuery.to_torch, PlanDataset.loader, TileSampler

    Examples
    --------
    >>> from spora_db import SporaQuery
    >>> dataset = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).to_torch()
    >>> dataset[0]["image"].shape, len(dataset) == len(dataset.plan)
    (torch.Size([20, 128, 128]), True)
    """

    def loader(
        self,
        batch_size: int = 32,
        *,
        num_workers: int = 0,
        collate: CollateChoice = "padded",
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
        cache: CacheChoice = "process",
        cache_bytes: int = CACHE_BYTES,
        start_method: StartMethod | None = None,
        prefetch: int = 2,
        timeout: float = 0,
        pin_memory: bool | None = None,
    ) -> TileLoader:
        """Return a DataLoader with the order, collate and workers that fit this dataset.

        Parameters
        ----------
        batch_size
            Rows of a batch on this rank.
        num_workers, collate, start_method, prefetch, timeout, pin_memory
            How batches are made (``"padded"``, ``"packed"``, ``"list"``, ``"panel"``: batches of equal panels, or a
            function of samples) and read: worker processes (0 reads in this one), how they start (by default forked
            where nothing stands against it; see `TileLoader.start`), batches that each reads ahead, seconds to wait for
            one before it is an error (0: for ever), whether batches are pinned (where CUDA is available).
        cache, cache_bytes
            Where decoded chunks are kept, and how many bytes of them by all workers together: ``"process"``, each
            worker for itself; ``"shared"``, one copy in /dev/shm that ends with the loader; or a folder on a local
            disk, which is kept from run to run. Sharing a chunk costs about as much as decoding it, so it pays where
            `explain` says that most of them are kept until the next epoch. See `spora_db.images.set_cache`.
        shuffle, seed, weights, balance_by, replacement, num_samples, lanes, interleave
            The order; see `TileSampler`.
        rank, world_size
            This process among those that share the epoch; by default they are found when iteration begins, as
            ``torch.distributed`` or torchrun knows them.
        drop_last
            Whether rows that fill no batch, or no round of the ranks, are left out.

        Returns
        -------
        TileLoader
            Of which every iteration is an epoch, and which trainers take as it is. It yields a `Batch` each time, with
            ``collate="list"`` a list of samples, with a function what that returns.

        Raises
        ------
        ArgumentError
            If a number is out of range, or none, or an argument of another kind.
        UnknownNameError
            For choices that do not exist; a folder that would be named nearly as one of `cache` is written "./shard".
        WriteError
            If the folder named cannot hold a cache.

        See Also
        --------
        TileLoader, TileSampler, collate_padded

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> dataset = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).to_torch()
        >>> batch = next(iter(dataset.loader(batch_size=4, seed=0)))
        >>> batch["image"].shape
        torch.Size([4, 20, 128, 128])
        """
        batch_size = checked_whole(batch_size, at="loader(batch_size=", of="rows")
        tiles = TileSampler(
            self, shuffle=shuffle, seed=seed, rank=rank, world_size=world_size, weights=weights, balance_by=balance_by,
            replacement=replacement, num_samples=num_samples, drop_last=drop_last, block=batch_size, lanes=lanes,
            interleave=interleave,
        )  # fmt: skip
        pinned = torch.cuda.is_available() if pin_memory is None else pin_memory
        batches = PanelBatchSampler if collate == "panel" else TileBatchSampler
        return TileLoader(
            self,
            batches(tiles, batch_size=batch_size, drop_last=drop_last),
            collate_fn=HandOver(chosen_collate(collate)),
            pin_memory=checked_flag(pinned, at="loader(pin_memory="),
            **worker_options(
                num_workers, cache=cache, cache_bytes=cache_bytes, start_method=start_method, prefetch=prefetch,
                timeout=timeout,
            ),
        )  # fmt: skip

    def explain(self, *, batch_size: int = 32, seconds: float = 1.0, cache_bytes: int = CACHE_BYTES) -> EpochCost:
        """Return what an epoch costs before it starts: bytes read, decoded and delivered, and rows a second.

        Parameters
        ----------
        batch_size, cache_bytes
            As `loader` will be given them.
        seconds
            How long batches are read to measure rows a second.

        Raises
        ------
        ArgumentError
            If a number is out of range.

        See Also
        --------
        TileLoader.profile, SporaQuery.explain

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> dataset = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).to_torch()
        >>> cost = dataset.explain(batch_size=4, seconds=0.1)
        """
        return explain(self, batch_size=batch_size, seconds=seconds, cache_bytes=cache_bytes)
