"""Runs units on this machine: in this process, or in worker processes that fit into memory together."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Literal, TypeAlias

from spora_db.errors import ArgumentError, WorkerError, WriteError, unknown
from spora_db.jobs.units import Outcome, WorkUnit, failed, run_unit

Engine: TypeAlias = Literal["local", "ray"]
ENGINES: tuple[Engine, ...] = ("local", "ray")
SECONDS_HERE = 1.0
SMALL_BYTES = 256 * 2**20
WORKER_BYTES = 150 * 2**20  # of an idle worker: the interpreter, numpy and numba


def run_units(units: Sequence[WorkUnit], *, engine: Engine, jobs: int, budget: int) -> Iterator[Outcome]:
    """Run units, in any order, and yield how each went as soon as it is known.

    Whatever the engine, the results are the same files. A unit that fails, or whose worker is killed, is an outcome
    with a reason; the others go on. A result that cannot be written ends the run.

    Parameters
    ----------
    units
        What to do.
    engine
        ``"local"`` for processes on this machine, ``"ray"`` for a Ray cluster.
    jobs
        How many units at a time.
    budget
        Bytes of memory for all units at work; a single unit that needs more runs alone.

    Raises
    ------
    WriteError
        The disk is full or read-only. Results that are there already stay.
    MissingExtraError
        The engine is not installed.
    WorkerError
        Worker processes cannot start.
    """
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    if jobs < 1:
        raise ArgumentError(f"--jobs is {jobs!r}; expected a whole number of at least 1.")
    ordered = sorted(units, key=lambda unit: (-unit.memory, unit.tissue_id))  # long ones first: none drags on alone
    if engine == "ray":
        from spora_db.jobs.ray_engine import run_on_ray

        yield from run_on_ray(ordered, jobs=jobs)
    elif jobs == 1 or len(units) < 2:
        yield from _run_here(ordered)
    else:
        yield from _run_in_processes(ordered, jobs=min(jobs, len(units)), budget=budget)


def _run_here(units: Sequence[WorkUnit]) -> Iterator[Outcome]:
    with ThreadPoolExecutor(1) as executor:  # an executor, because its futures keep whatever error a unit raises
        for unit in units:
            yield _outcome(unit, executor.submit(run_unit, unit))


def _run_in_processes(units: Sequence[WorkUnit], *, jobs: int, budget: int) -> Iterator[Outcome]:
    waiting = deque(units)
    yield from _run_small_ones_here(waiting)
    while waiting:
        lost: list[WorkUnit] = []
        with _processes(jobs) as executor:
            yield from _run_waiting(waiting, executor, jobs=jobs, budget=budget, lost=lost)
        if lost:
            _check_workers()
        for unit in lost:  # one of them killed the pool; alone, it is known which
            with _processes(1) as executor:
                yield _outcome(unit, executor.submit(run_unit, unit))


def _run_small_ones_here(waiting: deque[WorkUnit]) -> Iterator[Outcome]:
    """Work from the end of the line for a second: a small lake is done before a worker would have started."""
    begun = time.monotonic()
    while waiting and waiting[-1].memory < SMALL_BYTES and time.monotonic() - begun < SECONDS_HERE:
        yield from _run_here([waiting.pop()])


def _check_workers() -> None:
    """Find out whether workers can start at all.

    Raises
    ------
    WorkerError
        They cannot.
    """
    with _processes(1) as executor:
        if isinstance(executor.submit(os.getpid).exception(), BrokenProcessPool):
            raise WorkerError(
                "Worker processes cannot start; what they say stands above. A script that starts workers keeps its own "
                'calls below `if __name__ == "__main__":`, because workers import it. Or use jobs=1 (--jobs 1).'
            )


def _run_waiting(
    waiting: deque[WorkUnit], executor: Executor, *, jobs: int, budget: int, lost: list[WorkUnit]
) -> Iterator[Outcome]:
    """Keep the workers busy until no unit waits, or until a worker dies: its units and its neighbours' are ``lost``."""
    running: dict[Future[Outcome], WorkUnit] = {}
    while (waiting or running) and not lost:
        used = sum(unit.memory + WORKER_BYTES for unit in running.values())
        while waiting and len(running) < jobs:
            used += waiting[0].memory + WORKER_BYTES
            if running and used > budget:
                break
            unit = waiting.popleft()
            try:
                running[executor.submit(run_unit, unit)] = unit
            except BrokenProcessPool:
                lost.append(unit)
                break
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            unit = running.pop(future)
            if isinstance(future.exception(), BrokenProcessPool):
                lost.append(unit)
            else:
                yield _outcome(unit, future)
    lost.extend(running.values())


def _processes(jobs: int) -> ProcessPoolExecutor:
    # spawn: the parent may hold DuckDB's threads and locks, which do not survive a fork
    return ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_begin_worker)


def _begin_worker() -> None:
    """Make a worker end with its parent: quietly when it is interrupted, at once when the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _outcome(unit: WorkUnit, future: Future[Outcome]) -> Outcome:
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, WriteError):
        raise error
    if isinstance(error, BrokenProcessPool):
        reason = (
            f"Its worker process died, most likely killed for want of memory ({unit.memory / 2**20:.0f} MiB were "
            "expected to be enough). Run again with --jobs 1, or on a machine with more memory."
        )
        return Outcome(tissue_id=unit.tissue_id, failure=reason)
    return failed(unit, error)
