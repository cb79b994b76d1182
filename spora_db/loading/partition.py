"""Which process this is among those that share an epoch."""

from dataclasses import dataclass

import torch
from torch.utils.data import get_worker_info

from spora_db.errors import ArgumentError


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One process among those that share an epoch: of several ranks one, and of its workers one.

    Attributes
    ----------
    rank, world_size
        The training process, and how many of them there are.
    worker, workers
        The worker of that process, and how many of them it has; 0 of 1 in the training process itself.

    Examples
    --------
    >>> Partition.here(1, 4)
    Partition(rank=1, world_size=4, worker=0, workers=1)
    """

    rank: int = 0
    world_size: int = 1
    worker: int = 0
    workers: int = 1

    @classmethod
    def here(cls, rank: int | None = None, world_size: int | None = None) -> "Partition":
        """Return that of this process: the rank as given, else as ``torch.distributed`` knows it, else one alone.

        Raises
        ------
        ArgumentError
            If only one of the two is given.
        """
        if rank is None or world_size is None:
            if rank is not world_size:
                raise ArgumentError(f"loader(rank={rank}, world_size={world_size}): pass both or neither.")
            distributed = torch.distributed
            known = distributed.is_available() and distributed.is_initialized()
            rank, world_size = (distributed.get_rank(), distributed.get_world_size()) if known else (0, 1)
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        return cls(rank=rank, world_size=world_size, worker=worker, workers=workers)
