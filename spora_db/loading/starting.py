"""How workers start: forked where nothing stands against it, else by a server that has loaded what they need."""

import multiprocessing
import threading
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from typing import Literal, TypeAlias, cast

import torch

StartMethod: TypeAlias = Literal["fork", "spawn", "forkserver"]
PRELOADED = ("spora_db.loading.preloaded",)
"""What a forkserver imports before it forks the first worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkersStart:
    """How workers start, and why so.

    Attributes
    ----------
    method
        ``"fork"``: as copies of this process; ``"forkserver"``: as copies of a server that has loaded what they need
        and nothing else; ``"spawn"``: as new processes.
    reason
        Why.
    """

    method: StartMethod
    reason: str

    def __str__(self) -> str:
        """Return it in words."""
        return f"workers start by {self.method}: {self.reason}"

    def context(self) -> BaseContext:
        """Return what starts processes so."""
        context = multiprocessing.get_context(self.method)
        if self.method == "forkserver":
            context.set_forkserver_preload(list(PRELOADED))
        return context


def workers_start(asked: StartMethod | None = None) -> WorkersStart:
    """Return how workers of this process start as it is now.

    A fork copies one thread and all locks. So where Python's multiprocessing forks, as it does on Linux up to Python
    3.13, workers come from a forkserver as soon as this process has something that does not survive a fork: an
    initialised CUDA, a network client, a thread pool. They are then sent the dataset, and import the script.

    Parameters
    ----------
    asked
        The method to take whatever stands against it.

    Examples
    --------
    >>> workers_start("spawn")
    WorkersStart(method='spawn', reason='as asked for')
    """
    if asked is not None:
        return WorkersStart(method=asked, reason="as asked for")
    possible = multiprocessing.get_all_start_methods()
    usual = multiprocessing.get_start_method(allow_none=True) or possible[0]
    against = _against_fork() if usual == "fork" else None
    if against is None:
        return WorkersStart(method=cast(StartMethod, usual), reason="as Python's multiprocessing does")
    return WorkersStart(method="forkserver" if "forkserver" in possible else "spawn", reason=f"{against}, no fork")


def _against_fork() -> str | None:
    """Return what of this process does not survive a fork; None where nothing is known.

    Threads that go with the process (daemons) are those of progress bars, notebooks and of other loaders' queues, which
    no worker uses; fsspec's, in which its network clients run, is one too.
    """
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return "CUDA is initialised"
    own = {threading.main_thread(), threading.current_thread()}
    for thread in threading.enumerate():
        if thread.name == "fsspecIO":
            return "a network client of fsspec is open"
        if not thread.daemon and thread not in own:
            return f"the thread {thread.name!r} runs"
    return None
