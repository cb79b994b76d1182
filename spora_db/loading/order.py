"""`Order`: which row of a plan comes when, as a frozen value; epoch in, rows out."""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from spora_db.arrays import Float64, Int64
from spora_db.loading.draws import draw_with_replacement, draw_without_replacement, order_key, permutation
from spora_db.loading.locality import ChunkGroups, Interleave, locality_order
from spora_db.loading.weights import digest

Shuffle: TypeAlias = Literal["locality", "global", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """All that an epoch's order follows from but the epoch itself.

    Attributes
    ----------
    rows_hash, count
        Which rows these are (`Plan.rows_hash`), and how many.
    seed, shuffle
        See `TileSampler`.
    weights, replacement, num_samples
        A weight per row or None for all alike, whether a row may be drawn repeatedly, and rows per epoch.
    mix
        How groups are interleaved in locality order.
    """

    rows_hash: str
    count: int
    seed: int
    shuffle: Shuffle
    weights: Float64 | None = field(compare=False)
    replacement: bool
    num_samples: int
    mix: Interleave

    def key(self, epoch: int, purpose: str) -> int:
        """Return the key of an epoch's random numbers for one purpose."""
        return order_key(self.rows_hash, seed=self.seed, epoch=epoch, purpose=purpose)

    def rows(self, epoch: int, groups: ChunkGroups | None) -> Int64:
        """Return all rows of an epoch in order: int64 array of shape (num_samples,).

        Parameters
        ----------
        epoch
            Any number.
        groups
            The rows by shared chunks, for ``shuffle="locality"``.
        """
        key = self.key(epoch, "rows")
        drawn = self._drawn(key)
        if groups is not None:
            counts = None if drawn is None else np.bincount(drawn, minlength=self.count)
            return locality_order(groups, self.key(epoch, "groups"), self.mix, counts=counts)
        if self.shuffle == "none":
            return np.arange(self.count) if drawn is None else np.sort(drawn)
        return permutation(self.count, key) if drawn is None else drawn

    def _drawn(self, key: int) -> Int64 | None:
        """Return the rows of an epoch in random order, or None for all."""
        if self.replacement:
            weights = np.ones(self.count) if self.weights is None else self.weights
            return draw_with_replacement(weights, self.num_samples, key)
        if self.weights is not None:
            return draw_without_replacement(self.weights, self.num_samples, key)
        return permutation(self.count, key)[: self.num_samples] if self.num_samples < self.count else None

    def identity(self) -> dict[str, Any]:
        """Return what a state must agree in to be of this order, as plain values."""
        return {
            "rows_hash": self.rows_hash,
            "shuffle": self.shuffle,
            "seed": self.seed,
            "weights": digest(self.weights),
            "replacement": self.replacement,
            "num_samples": self.num_samples,
        }
