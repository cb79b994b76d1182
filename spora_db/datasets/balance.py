"""Positions for a DataLoader: every group comes equally often, whatever its size."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from spora_db.datasets.groups import RowGroups
from spora_db.errors import ArgumentError


class BalancedSampler(Sampler[int]):
    """Positions for a DataLoader, each group drawn equally often, with replacement.

    Parameters
    ----------
    groups
        The rows by group.
    num_samples
        How many positions an epoch has.
    seed
        The order is a function of (seed, epoch); None draws anew every time.

    Raises
    ------
    ArgumentError
        If `num_samples` is below one.

    See Also
    --------
    SporaDataset.sampler, PlanDataset.loader

    Examples
    --------
    >>> groups = RowGroups(order=np.arange(4), starts=np.array([0, 3, 4]))
    >>> sum(position == 3 for position in BalancedSampler(groups, num_samples=1000, seed=0)) > 400
    True
    """

    def __init__(self, groups: RowGroups, *, num_samples: int, seed: int | None = None) -> None:
        if num_samples < 1:
            message = f"num_samples={num_samples}: expected at least one."
            raise ArgumentError(message)
        self.groups, self.num_samples, self.seed, self.epoch = groups, num_samples, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Draw the order of another `epoch`, a whole number.

        See Also
        --------
        SporaDataset.sampler

        Examples
        --------
        >>> groups = RowGroups(order=np.arange(4), starts=np.array([0, 3, 4]))
        >>> sampler = BalancedSampler(groups, num_samples=100, seed=0)
        >>> first = list(sampler)
        >>> sampler.set_epoch(1)
        >>> list(sampler) == first
        False
        """
        self.epoch = int(epoch)

    def __iter__(self) -> Iterator[int]:
        """Yield the positions of one epoch."""
        stream = np.random.default_rng(None if self.seed is None else [self.seed, self.epoch])
        yield from self.groups.draw(stream, self.num_samples).tolist()

    def __len__(self) -> int:
        """Return the number of positions in an epoch."""
        return self.num_samples
