"""`Crew`: threads that work off calls, urgent ones first, and that no exit of the process waits for."""

import contextlib
import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_LATER: ContextVar[bool] = ContextVar("_LATER", default=False)


@contextlib.contextmanager
def later() -> Iterator[None]:
    """Let calls that this thread hands to a crew in this block wait for those that are needed at once."""
    token = _LATER.set(True)
    try:
        yield
    finally:
        _LATER.reset(token)


class Settling:
    """Hands whatever a block raises to those who wait for a future."""

    def __init__(self, future: "Future[Any]") -> None:
        self._future = future

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Hand it over."""
        if error is not None:
            self._future.set_exception(error)
        return True


class Crew(Generic[T]):
    """Some threads, started as they are needed.

    They are daemons: those of `concurrent.futures` are joined when a process ends, which would wait a minute for a
    network that is gone.

    Parameters
    ----------
    number
        Threads at most.
    name
        What they are called.

    Examples
    --------
    >>> list(Crew(2, "test").map(abs, [-1, 2]))
    [1, 2]
    """

    def __init__(self, number: int, name: str) -> None:
        self._number, self._name = number, name
        self._calls: queue.PriorityQueue[tuple[bool, int, Future[Any], Callable[[], Any] | None]]
        self._calls = queue.PriorityQueue()
        self._count = itertools.count()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._idle = 0

    @property
    def busy(self) -> bool:
        """Whether a call is under way, or waits."""
        with self._lock:
            return self._idle < len(self._threads) or not self._calls.empty()

    def end(self, *, seconds: float) -> None:
        """Drop the calls that nobody has begun, and give the others so many seconds."""
        with self._lock, contextlib.suppress(queue.Empty):
            while True:
                self._calls.get_nowait()[2].cancel()
        for _ in self._threads:
            self._calls.put((False, next(self._count), Future(), None))
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def submit(self, call: Callable[[], T]) -> "Future[T]":
        """Let a thread make a call as soon as one is free."""
        future: Future[T] = Future()
        with self._lock:
            self._calls.put((_LATER.get(), next(self._count), future, call))
            if self._idle < self._calls.qsize() and len(self._threads) < self._number:
                name = f"{self._name}-{len(self._threads) + 1}"
                self._threads.append(threading.Thread(target=self._work, name=name, daemon=True))
                self._threads[-1].start()
        return future

    def map(self, call: Callable[..., T], *arguments: Iterable[Any]) -> Iterator[T]:
        """Make a call for each of some arguments, side by side, and yield what they return in order."""
        futures = [self.submit(lambda given=given: call(*given)) for given in zip(*arguments, strict=False)]  # type: ignore[misc]
        return (future.result() for future in futures)

    def _work(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            _, _, future, call = self._calls.get()
            if call is None:
                return
            with self._lock:
                self._idle -= 1
            if future.set_running_or_notify_cancel():
                with Settling(future):
                    future.set_result(call())
            del future, call  # what they hold would live until the next call
