"""Why a loader's worker ended, in words: torch tells it in one line, of which the reason is a number or a signal."""

import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.utils.data import DataLoader

from spora_db.errors import WorkerError

GUARD = (
    'put what the script does under if __name__ == "__main__":, as workers that are spawned import the script before '
    "they begin, and would begin it again"
)


@contextmanager
def worker_errors(loader: DataLoader[Any]) -> Iterator[None]:
    """Tell what torch says of workers that ended in the words of `died`.

    Raises
    ------
    WorkerError
        If a worker cannot start or has ended.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if "bootstrapping phase" in text:
            raise WorkerError(f"A worker that is being started makes workers itself: {GUARD}.") from error
        if "Too many open files" in text:
            raise WorkerError(
                "This process has as many open files as it may have, and every batch that is kept holds some. Keep "
                "what is needed of a batch, not the batch (batch['image'].clone()), or raise the limit: ulimit -n."
            ) from error
        if "DataLoader worker" not in text:
            raise
        raise WorkerError(died(loader, f"{text} {error.__context__}")) from error


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
        cache = getattr(loader, "cache_bytes", 0) / 2**20
        return (
            "A worker process of the loader was killed (SIGKILL), most often because memory ran out: each of the "
            f"{loader.num_workers} workers keeps up to {cache:,.0f} MiB of chunks and {loader.prefetch_factor} "
            "batches. Lower num_workers, cache_bytes or prefetch, or read with num_workers=0."
        )
    if code == -signal.SIGBUS:
        return (
            "A worker process of the loader ended by SIGBUS: shared memory (/dev/shm) is full, or an image file became "
            "shorter while it was read. Give the machine or container more shared memory (docker run --shm-size), or "
            "lower num_workers or prefetch."
        )
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"A worker process of the loader ended by {name}, from outside or by a fault in compiled code. {again}"
    context = loader.multiprocessing_context
    spawned = (
        context is not None and context.get_start_method() != "fork" and hasattr(sys.modules["__main__"], "__file__")
    )
    guard = f" If the loader is made in a script, {GUARD}." if spawned else ""
    how = "" if code is None else f" with exit code {code}"
    return f"A worker process of the loader ended early{how}; what it said itself stands above.{guard} {again}"


def _exit_code(loader: DataLoader[Any], text: str) -> int | None:
    """Return the exit code of the worker that ended first, negative for a signal; None where nobody knows it."""
    known = re.search(r"exit code (-?\d+)", text)
    if known:
        return int(known[1])
    ended = [worker.exitcode for worker in getattr(loader._iterator, "_workers", ()) if worker.exitcode]
    if ended:
        return int(ended[0])
    killed = re.search(r"killed by signal: ([\w ]+)", text)
    described = {signal.strsignal(number): -number for number in signal.valid_signals()}
    return described.get(killed[1].strip()) if killed else None
