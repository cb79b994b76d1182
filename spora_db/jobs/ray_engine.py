"""Runs units on a Ray cluster: the one that this machine belongs to, or one started for the run."""

from collections.abc import Iterator, Sequence
from typing import Any

from spora_db.errors import MissingExtraError, WriteError
from spora_db.jobs.units import Outcome, WorkUnit, failed, run_unit


def run_on_ray(units: Sequence[WorkUnit], *, jobs: int) -> Iterator[Outcome]:
    """Run units as Ray tasks of one processor and their expected memory each, and yield how each went.

    The lake must be at the same path on every node, and spora-db installed there.

    Parameters
    ----------
    units
        What to do, in the order in which they are handed out.
    jobs
        Processors of a local Ray that is started where no cluster is running; a running cluster uses its own.

    Raises
    ------
    MissingExtraError
        Ray is not installed.
    WriteError
        A result could not be written.
    """
    ray = import_ray()
    if not units:
        return
    started = connect(ray, jobs)
    try:
        most = max((int(node["Resources"].get("memory", 0)) for node in ray.nodes() if node["Alive"]), default=0)
        task = ray.remote(num_cpus=1, max_retries=1)(run_unit)
        waiting = {task.options(memory=min(unit.memory, most)).remote(unit): unit for unit in units}
        while waiting:
            (done, *_), _ = ray.wait(list(waiting), num_returns=1)
            yield _outcome(ray, done, waiting.pop(done))
    finally:
        if started:
            ray.shutdown()


def import_ray() -> Any:  # noqa: ANN401
    """Return Ray.

    Raises
    ------
    MissingExtraError
        It is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError(
            'The engine "ray" needs Ray, which is not installed: pip install "spora-db[ray]". '
            'Or use the processes of this machine: --engine local (engine="local").'
        ) from error
    return ray


def connect(ray: Any, jobs: int) -> bool:  # noqa: ANN401
    """Join the running cluster, or start a local one; tell whether this run has to end the connection."""
    if ray.is_initialized():
        return False
    try:
        ray.init(address="auto", log_to_driver=False, logging_level="error")
    except ConnectionError:  # no cluster here
        ray.init(num_cpus=jobs, include_dashboard=False, log_to_driver=False, logging_level="error")
    return True


def _outcome(ray: Any, done: Any, unit: WorkUnit) -> Outcome:  # noqa: ANN401
    try:
        outcome: Outcome = ray.get(done)
    except ray.exceptions.RayTaskError as error:
        cause = getattr(error, "cause", None) or error
        if isinstance(cause, WriteError):
            raise cause from error
        return failed(unit, cause)
    except ray.exceptions.RayError as error:
        return failed(unit, error)
    return outcome
