"""Parts on a Ray cluster: actors that hold the model and the plan, each handed the next part when it is done."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from spora_db.errors import SporaError
from spora_db.extraction.job import Extraction
from spora_db.extraction.parts import SetPart
from spora_db.extraction.running import PartMade, run_parts
from spora_db.jobs.ray_engine import connect, import_ray


class PartActor:
    """Makes parts, with a model of its own."""

    def __init__(self, job: Extraction, model: Callable[[Any], object]) -> None:
        self.job, self.model = job, model

    def make(self, part: SetPart) -> list[PartMade]:
        """Make one part; nothing where another run makes it."""
        return list(run_parts(self.job, self.model, [part]))


def run_on_ray(
    job: Extraction, model: Callable[[Any], object], parts: Sequence[SetPart], *, jobs: int
) -> Iterator[PartMade]:
    """Make parts by actors of one processor, and one GPU if the device is one, and yield each as it is written.

    The lake must be at the same path on every node, and spora-db and the model's module installed there.

    Parameters
    ----------
    job, model, parts
        What to do.
    jobs
        How many actors.

    Raises
    ------
    MissingExtraError
        Ray is not installed.
    SporaError
        What an actor found wrong.
    """
    ray = import_ray()
    started = connect(ray, jobs)
    try:
        on_gpu = job.device is not None and job.device.startswith("cuda")
        kind = ray.remote(num_cpus=1, num_gpus=1 if on_gpu else 0)(PartActor)
        held = ray.put(job), ray.put(model)
        waiting = list(reversed(parts))
        actors = [kind.remote(*held) for _ in range(min(jobs, len(parts)))]
        working = {actor.make.remote(waiting.pop()): actor for actor in actors}
        while working:
            (done, *_), _ = ray.wait(list(working), num_returns=1)
            actor = working.pop(done)
            try:
                yield from ray.get(done)
            except ray.exceptions.RayTaskError as error:
                cause = getattr(error, "cause", None)
                if isinstance(cause, SporaError):
                    raise cause from error
                raise
            if waiting:
                working[actor.make.remote(waiting.pop())] = actor
    finally:
        if started:
            ray.shutdown()
