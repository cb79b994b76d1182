"""Where an epoch stands: what all ranks have taken, in a form that survives a change of their number."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spora_db.arrays import Int64
from spora_db.errors import ArgumentError
from spora_db.loading.order import Partition

VERSION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What has been taken of one epoch's order.

    Attributes
    ----------
    epoch
        The epoch.
    history
        For each stretch of the run that ended: how the order's rest was cut, and how many items every rank took.
    partition
        How the rest is cut now.
    taken
        Items that every rank has taken of that before iteration starts.
    """

    epoch: int
    partition: Partition
    history: tuple[tuple[Partition, int], ...] = ()
    taken: int = 0

    def rest(self, count: int) -> Int64:
        """Return the positions of an order of `count` that are cut now."""
        rest = np.arange(count)
        for partition, taken in self.history:
            rest = rest[partition.left(len(rest), taken)]
        return rest

    def assigned(self, count: int, rank: int) -> Int64:
        """Return the positions that one rank still gets, in order."""
        rest = self.rest(count)
        return rest[self.partition.assigned(len(rest), rank, self.taken)]

    def length(self, count: int) -> int:
        """Return how many positions each rank still gets."""
        rest = len(self.rest(count)) if self.history else count
        return max(self.partition.length(rest) - self.taken, 0)

    def advanced(self, taken: int) -> "Progress":
        """Return the progress after each rank took `taken` more items."""
        return replace(self, taken=self.taken + taken)

    def state(self) -> dict[str, Any]:
        """Return plain values that `resumed` reads."""
        stretches = [*self.history, (self.partition, self.taken)]
        return {
            "epoch": self.epoch,
            "stretches": [
                {"world_size": cut.world_size, "block": cut.block, "drop_last": cut.drop_last, "taken": taken}
                for cut, taken in stretches
            ],
        }

    def resumed(self, state: Mapping[str, Any]) -> "Progress":
        """Return the progress that `state` describes, its rest cut as here."""
        stretches = [
            (Partition(world_size=item["world_size"], block=item["block"], drop_last=item["drop_last"]), item["taken"])
            for item in state["stretches"]
        ]
        partition, taken = stretches[-1]
        if partition == self.partition:
            return replace(self, epoch=state["epoch"], history=tuple(stretches[:-1]), taken=taken)
        return replace(self, epoch=state["epoch"], history=tuple(stretches), taken=0)


def check_state(state: Mapping[str, Any], expected: Mapping[str, Any], kind: str) -> None:
    """Refuse a state of another plan, order or version.

    Raises
    ------
    ArgumentError
        Naming what differs.
    """
    if state.get("kind") == kind and state.get("version") == 1:
        raise ArgumentError(
            "The state is of version 1, where the order of samples hung on channels and statistics too; now it is a "
            "function of the rows, the seed and the epoch, so the rest of that epoch cannot be told. Begin the epoch "
            "anew: set_epoch(...) instead of load_state_dict(...)."
        )
    if state.get("kind") != kind or state.get("version") != VERSION:
        raise ArgumentError(
            f"The state is of kind {state.get('kind')!r}, version {state.get('version')!r}; expected {kind!r}, version "
            f"{VERSION}. Pass what state_dict() of a {kind} returned."
        )
    if state["rows_hash"] != expected["rows_hash"]:
        raise ArgumentError(
            f"The state belongs to the rows {state['rows_hash']}, here they are {expected['rows_hash']} "
            "(Plan.rows_hash): another selection, or the lake's tables differ. Resume with the same query on the same "
            "tables; channels, statistics and further columns may differ."
        )
    differing = [name for name, value in expected.items() if state.get(name) != value]
    if differing:
        listed = ", ".join(f"{name}={state.get(name)!r} (here {expected[name]!r})" for name in differing)
        raise ArgumentError(f"The state has another order: {listed}. Make the sampler with the same arguments.")
