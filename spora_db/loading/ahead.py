"""Batches to come: what they need of a remote lake is fetched while others are decoded.

Whoever orders batches tells the process that reads one which it will read next (`WithThoseAhead`); that process
fetches for these in threads of its own (`foretell`), at a lower rank than what it waits for.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from functools import partial
from typing import Any, Protocol

import numpy as np

from spora_db.arrays import Int64
from spora_db.errors import SporaError
from spora_db.files.recent import Recent
from spora_db.files.stores.crew import later
from spora_db.files.stores.http import NETWORK

logger = logging.getLogger(__name__)

AHEAD = 8
"""Batches for which a process fetches before their turn: of small ones, whose chunks are found in three steps, three
kept a third of the connections busy."""
TOLD = Recent[tuple[int, tuple[int, ...]], tuple[int, tuple[int, ...]]](64)
"""Batches, by dataset and rows, for which this process has been told to fetch."""


class BatchRows(list[Any]):
    """The rows of a batch, and of those that the same process reads after it."""

    ahead: Sequence[Sequence[int]] = ()


class Batches(Iterable[Any], Sized, Protocol):
    """A batch sampler."""


class WithThoseAhead:
    """A batch sampler whose batches tell which come next.

    Parameters
    ----------
    batches
        The batch sampler.
    readers
        Processes that read its batches in turn.

    Examples
    --------
    >>> [(rows, rows.ahead) for rows in WithThoseAhead([[0], [1], [2], [3]], readers=2)]
    [([0], [[2]]), ([1], [[3]]), ([2], []), ([3], [])]
    """

    def __init__(self, batches: Batches, *, readers: int) -> None:
        self._batches, self._readers = batches, readers

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._batches)

    def __iter__(self) -> Iterator[BatchRows]:
        """Yield the batches, each with the rows of the `AHEAD` that the same reader gets next."""
        window, source = deque[Sequence[Any]](), iter(self._batches)
        while True:
            while len(window) <= AHEAD * self._readers and (batch := next(source, None)) is not None:
                window.append(batch)
            if not window:
                return
            rows = BatchRows(window.popleft())
            own = list(window)[self._readers - 1 :: self._readers]
            rows.ahead = [list(map(int, batch)) for batch in own[:AHEAD]]
            yield rows


def foretell(dataset: object, batches: Iterable[Sequence[int]], *, fetch: Callable[[Int64], None]) -> None:
    """Let threads fetch for batches, each once.

    Parameters
    ----------
    dataset
        Whose rows they are.
    batches
        Their rows.
    fetch
        Fetches what the rows of a batch need.
    """
    for batch in batches:
        key = (id(dataset), tuple(batch))
        if key not in TOLD:
            TOLD.put(key, key)
            NETWORK.crew("ahead", AHEAD).submit(partial(_fetch, np.array(batch), fetch))


def _fetch(rows: Int64, fetch: Callable[[Int64], None]) -> None:
    with later():
        try:
            fetch(rows)
        except (SporaError, OSError) as error:  # who reads the batch meets it, and tells
            logger.debug("Not fetched ahead: %s", error)
