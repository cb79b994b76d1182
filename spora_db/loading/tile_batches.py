"""`TileBatchSampler`: the rows of a `TileSampler` in batches, with its epoch and state."""

from collections.abc import Mapping
from typing import Any

from torch.utils.data import BatchSampler

from spora_db.loading.progress import OneEpoch
from spora_db.loading.sampler import TileSampler


class TileBatchSampler(OneEpoch, BatchSampler):
    """torch's `BatchSampler` of a `TileSampler`, on which frameworks find the epoch and the state too.

    Parameters
    ----------
    sampler
        Gives the order and the ranks; its `block` is the batch size.
    batch_size
        Rows of a batch.
    drop_last
        Whether a last, smaller batch is left out.
    """

    sampler: TileSampler

    def __init__(self, sampler: TileSampler, batch_size: int, drop_last: bool) -> None:  # noqa: FBT001 - as torch's
        super().__init__(sampler, batch_size, drop_last)
        self.progress = sampler.progress

    @property
    def remaining(self) -> int:
        """Batches that this rank still gets of the epoch."""
        return self.number(self.sampler.remaining)

    def left_aside(self) -> int | None:
        """Return the epoch of which a loaded state had rows left when `set_epoch` chose another; None for none."""
        return self.sampler.left_aside()

    def items(self, batches: int) -> int:
        """Return how many items of the sampler some batches are, at most."""
        return batches * self.batch_size

    def number(self, rows: int) -> int:
        """Return how many batches some rows make."""
        return rows // self.batch_size if self.drop_last else -(-rows // self.batch_size)

    def state_dict(self, *, taken: int | None = None) -> dict[str, Any]:
        """Return where the epoch stands; see `TileSampler.state_dict`, but `taken` counts batches."""
        return self.sampler.state_dict(taken=None if taken is None else self.items(taken))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where a state stands; see `TileSampler.load_state_dict`."""
        self.sampler.load_state_dict(state)
