"""Why a loader's worker ended, in words: torch tells it in one line, of which the reason is a number or a signal."""

import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any

from torch.utils.data import DataLoader

from spora_db.errors import SporaError, WorkerError

GUARD = (
    'put what the script does under if __name__ == "__main__":, as workers that are spawned import the script before '
    "they begin, and would begin it again"
)
IMPORTED = (
    "What they run, such as a transform or a collate, is to be defined in a module, as they cannot import a notebook; "
    "or pass start_method='fork'"
)
DESCRIPTORS = (
    "batches of workers hold some for as long as they are kept, and workers begin with those that this process has "
    "open. Keep what is needed of a batch, not the batch (batch['image'].clone()), close files, or raise the limit: "
    "ulimit -n"
)
EXHAUSTED = re.compile(r"\[Errno 24\]|Too many open files(?! in system)|items of ancdata")
"""What is raised by a process without a free descriptor: Python, torch, and a socket that drops what it was sent."""

_BROKEN_OFF = (EOFError, ConnectionError)
"""What asking a living worker for a descriptor raises when it has none left to answer with."""


@contextmanager
def worker_errors(loader: DataLoader[Any]) -> Iterator[None]:
    """Tell in words what torch says of workers that ended, are late or have too many open files; others' errors pass.

    Raises
    ------
    WorkerError
        If a worker cannot start, has ended, takes longer than `timeout`, or a process has no descriptor left.
    """
    try:
        yield
    except (RuntimeError, OSError, EOFError, SporaError) as error:
        told = _told(loader, error) if loader.num_workers else None
        if told is None:
            raise
        raise WorkerError(told) from error


def _told(loader: DataLoader[Any], error: Exception) -> str | None:
    """Return what an error means, None for one of the batch itself, such as a user's own."""
    text = str(error)
    caught = text.startswith("Caught ")  # raised in a worker, whose traceback is the text
    text = text.rstrip().rpartition("\n")[2] if caught else text
    if EXHAUSTED.search(text):
        who = "A worker process of the loader" if caught else "This process"
        return f"{who} has as many open files as it may have: {DESCRIPTORS}."
    if caught:
        return None
    if isinstance(error, _BROKEN_OFF):
        return (
            "A worker process of the loader could not send the memory of a batch, most often as it has as many open "
            f"files as it may have: {DESCRIPTORS}."
        )
    if "bootstrapping phase" in text:
        return f"A worker that is being started makes workers itself: {GUARD}."
    if text.startswith("DataLoader timed out"):
        workers = ", ".join(str(worker.pid) for worker in workers_of(loader))
        return (
            f"No batch came within timeout={loader.timeout:g} seconds: the workers (pid {workers}) are slow, by what "
            "transform, collate or the store take, or stand still, by a lock that was held when they were forked. Give "
            "a longer timeout (0 waits for ever); py-spy dump --pid tells where one stands; num_workers=0 shows what a "
            "batch takes; start_method='spawn' takes over no lock."
        )
    if text.startswith("DataLoader worker (pid"):
        return died(loader, f"{text} {error.__context__}")
    return None


def died(loader: DataLoader[Any], text: str) -> str:
    """Return why a worker ended, as far as that is known, and what to do.

    Parameters
    ----------
    loader
        The loader.
    text
        What torch says of it.
    """
    code, again = _exit_code(loader, text), "Read with num_workers=0 to see the error where it happens."
    if code == -signal.SIGKILL:
        cache = getattr(loader, "cache", None)
        most = 0 if cache is None else cache.limit * (1 if cache.folder else loader.num_workers)
        return (
            "A worker process of the loader was killed (SIGKILL), most often because memory ran out: its "
            f"{loader.num_workers} workers keep up to {most / 2**20:,.0f} MiB of chunks together, and each "
            f"{loader.prefetch_factor} batches. Lower num_workers, cache_bytes or prefetch, or read with num_workers=0."
        )
    if code == -signal.SIGBUS:
        return (
            "A worker process of the loader ended by SIGBUS: shared memory (/dev/shm) is full, or an image file became "
            "shorter while it was read. Give the machine or container more shared memory (docker run --shm-size), or "
            "lower num_workers or prefetch."
        )
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"A worker process of the loader ended by {name}, from outside or by a fault in compiled code. {again}"
    start = getattr(loader, "start", None)
    guard = ""
    if start is not None and start.method != "fork":
        scripted = hasattr(sys.modules["__main__"], "__file__")
        guard = f" Its {start}. {f'If the loader is made in a script, {GUARD}' if scripted else IMPORTED}."
    how = "" if code is None else f" with exit code {code}"
    return f"A worker process of the loader ended early{how}; what it said itself stands above.{guard} {again}"


def _exit_code(loader: DataLoader[Any], text: str) -> int | None:
    """Return the exit code of the worker that ended first, negative for a signal; None where nobody knows it."""
    known = re.search(r"exit code (-?\d+)", text)
    if known:
        return int(known[1])
    ended = [worker.exitcode for worker in workers_of(loader) if worker.exitcode]
    if ended:
        return int(ended[0])
    killed = re.search(r"killed by signal: ([\w ]+)", text)
    described = {signal.strsignal(number): -number for number in signal.valid_signals()}
    return described.get(killed[1].strip()) if killed else None


def workers_of(loader: DataLoader[Any]) -> Sequence[BaseProcess]:
    """Return the processes that read for a loader, whether they live or not; none before it is iterated."""
    return getattr(loader._iterator, "_workers", ())
