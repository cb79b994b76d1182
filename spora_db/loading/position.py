"""Where an order stands: how it is cut for ranks, and what they have taken, whose number may change."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from spora_db.arrays import Int64
from spora_db.errors import ArgumentError

VERSION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """An order cut for ranks: in turn `block` positions each, and the rest in equal parts.

    Attributes
    ----------
    world_size
        Number of ranks.
    block
        Positions that a rank gets at a stretch.
    drop_last
        Whether the last ``count % world_size`` positions are left out; otherwise the first ones are repeated, so that
        all ranks get equally many.
    """

    world_size: int
    block: int
    drop_last: bool = False

    def length(self, count: int) -> int:
        """Return how many positions of an order of `count` every rank gets."""
        return count // self.world_size if self.drop_last else -(-count // self.world_size)

    def assigned(self, count: int, rank: int, start: int = 0) -> Int64:
        """Return the positions of one rank, in order, from its `start`-th.

        Examples
        --------
        >>> [Cut(world_size=2, block=2).assigned(7, rank).tolist() for rank in (0, 1)]
        [[0, 1, 4, 5], [2, 3, 6, 0]]
        """
        length = self.length(count)
        index = np.arange(start, length)
        rounds, rest = divmod(length, self.block)
        whole = index // self.block * (self.world_size * self.block) + rank * self.block + index % self.block
        first = rounds * self.block
        tail = first * self.world_size + rank * rest + (index - first)
        return np.where(index < first, whole, tail) % max(count, 1)

    def left(self, count: int, taken: int) -> Int64:
        """Return the positions that no rank has got after each took `taken`.

        Examples
        --------
        >>> Cut(world_size=2, block=2).left(7, 1).tolist()
        [1, 3, 4, 5, 6]
        """
        left = np.ones(count, np.bool_)
        for rank in range(self.world_size):
            left[self.assigned(count, rank)[:taken]] = False
        return np.flatnonzero(left)


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """What has been taken of an order, of whichever epoch.

    Attributes
    ----------
    cut
        How the rest is cut now.
    taken
        Items that every rank has taken of that before iteration starts.
    history
        For each stretch of the run that ended: how the order's rest was cut, and how many items every rank took.
    """

    cut: Cut
    taken: int = 0
    history: tuple[tuple[Cut, int], ...] = ()

    def rest(self, count: int) -> Int64:
        """Return the positions of an order of `count` that are cut now."""
        rest = np.arange(count)
        for cut, taken in self.history:
            rest = rest[cut.left(len(rest), taken)]
        return rest

    def assigned(self, count: int, rank: int) -> Int64:
        """Return the positions that one rank still gets, in order."""
        rest = self.rest(count)
        return rest[self.cut.assigned(len(rest), rank, self.taken)]

    def length(self, count: int) -> int:
        """Return how many positions each rank still gets."""
        return max(self.cut.length(self.left(count)) - self.taken, 0)

    def left(self, count: int) -> int:
        """Return how many positions of an order of `count` are cut now."""
        return len(self.rest(count)) if self.history else count

    def advanced(self, taken: int) -> "Position":
        """Return the position after each rank took `taken` more items."""
        return replace(self, taken=self.taken + taken)

    def stretches(self) -> list[dict[str, Any]]:
        """Return plain values that `resumed` reads."""
        return [{**asdict(cut), "taken": taken} for cut, taken in (*self.history, (self.cut, self.taken))]

    def resumed(self, stretches: Sequence[Mapping[str, Any]]) -> "Position":
        """Return the position that `stretches` describe, its rest cut as here."""
        history = [
            (Cut(**{name: item[name] for name in ("world_size", "block", "drop_last")}), item["taken"])
            for item in stretches
        ]
        cut, taken = history[-1]
        if cut == self.cut:
            return replace(self, history=tuple(history[:-1]), taken=taken)
        return replace(self, history=tuple(history), taken=0)


def check_state(state: Mapping[str, Any], expected: Mapping[str, Any], kind: str) -> None:
    """Refuse a state of another plan, order or version.

    Raises
    ------
    ArgumentError
        Naming what differs.
    """
    if not isinstance(state, Mapping):
        raise ArgumentError(
            f"The state is {state!r:.80}; expected a mapping, what state_dict() of a {kind} returned. Look under which "
            "name the checkpoint keeps it."
        )
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
