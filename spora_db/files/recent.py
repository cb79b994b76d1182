"""What was used recently: one kind of cache for all rooms, which threads share and which is empty in a forked child."""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def _one(_value: object) -> int:
    return 1


class Recent(Generic[K, V]):
    """Values by key within a limit, the least recently used forgotten first; it lives as long as its process.

    The lock is held for look-ups only, never while a value is made. Whatever is taken out is handed back, as some
    values are closed then and others are used again.

    Parameters
    ----------
    limit
        How many values are kept, or how much by `size`.
    size
        How much of the limit a value takes.

    Examples
    --------
    >>> recent = Recent[str, int](2)
    >>> recent.put("a", 1), recent.put("b", 2), recent.get("a"), recent.put("c", 3), recent.get("b")
    ([], [], 1, [2], None)
    """

    def __init__(self, limit: int, *, size: Callable[[V], int] = _one) -> None:
        self.limit, self._size = limit, size
        self._start()
        os.register_at_fork(after_in_child=self._start)

    def _start(self) -> None:
        """Begin empty with a fresh lock, as a forked child must: its copy of the lock may be held for ever."""
        self._lock = threading.Lock()
        self._values: OrderedDict[K, V] = OrderedDict()
        self.held = self.hits = self.misses = 0

    def __len__(self) -> int:
        """Return how many values are kept."""
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        """Tell whether a value is kept; that is no use of it."""
        return key in self._values

    def get(self, *keys: K) -> V | None:
        """Return the value under the first of ``keys`` that is kept, now the most recently used, or count a miss."""
        with self._lock:
            for key in keys:
                value = self._values.get(key)
                if value is not None:
                    self.hits += 1
                    self._values.move_to_end(key)
                    return value
            self.misses += 1
            return None

    def put(self, key: K, value: V, *, least: int = 0) -> list[V]:
        """Keep a value and return what was forgotten for it; one larger than the limit is not kept.

        At `least` so many values are kept, however large they are.
        """
        size = self._size(value)
        if size > self.limit and not least:
            return []
        with self._lock:
            dropped = self._take([key])
            self._values[key] = value
            self.held += size
            return dropped + self._shrink(least)

    def resize(self, limit: int) -> list[V]:
        """Change the limit and return what no longer fits."""
        with self._lock:
            self.limit = limit
            return self._shrink(0)

    def forget(self, which: Callable[[K], bool]) -> list[V]:
        """Take out the values of some keys."""
        with self._lock:
            return self._take([key for key in self._values if which(key)])

    def clear(self) -> list[V]:
        """Take out all values, and count from zero again."""
        with self._lock:
            self.hits = self.misses = 0
            return self._take(list(self._values))

    def _take(self, keys: list[K]) -> list[V]:
        taken = [self._values.pop(key) for key in keys if key in self._values]
        self.held -= sum(map(self._size, taken))
        return taken

    def _shrink(self, least: int) -> list[V]:
        dropped = []
        while self.held > self.limit and len(self._values) > least:
            dropped.append(self._values.popitem(last=False)[1])
            self.held -= self._size(dropped[-1])
        return dropped
