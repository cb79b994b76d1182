"""Kills extractions before chosen changes of files and calls of the model: forks from one process with all imported.

Arguments: a lake, how many kills, how many processes resume, a seed. Prints what it saw as JSON.
"""

import json
import os
import pickle
import random
import signal
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from shutil import rmtree

import torch

from spora_db import SporaQuery
from spora_db.extraction import extracting
from spora_db.extraction.reading import ToldRows
from spora_db.jobs import Shard

EVENTS = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "fcntl.flock", "model"}
WORK = {"batch_size": 2, "part_rows": 4, "name": "own"}


def model(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return vectors and a number that tell the pixels."""
    sys.audit("model")
    means = batch["image"].double().mean(dim=(2, 3))
    return {"vector": means[:, :4].float(), "score": batch["row"] * 1000.0 + batch["col"]}


def extract(lake: Path, *, shard: Shard | None = None) -> None:
    query = SporaQuery([lake / "lake", lake / "mine"]).modality("imc").tiles(size=32, mpp=1.0)
    query.extract(model, shard=shard, **WORK)


def freeze(lake: Path) -> None:
    """Have the query planned in another process, and the kernels loaded in this one: not again by every child."""
    place = lake / "plan"

    def plan() -> None:
        query = SporaQuery(lake / "lake").modality("imc").tiles(size=32, mpp=1.0)
        place.write_bytes(pickle.dumps(extracting._planned(query.lake, query.selection)))

    assert os.waitpid(start(plan), 0)[1] == 0
    planned = pickle.loads(place.read_bytes())
    extracting._planned = lambda *_: planned
    ToldRows(planned[2])[0]


def start(work: Callable[[], object], *, kill_at: int | None = None) -> int:
    """Fork, and kill the child at its so-many-th event."""
    if child := os.fork():
        return child
    seen = 0

    def count(event: str, _: object) -> None:
        nonlocal seen
        if event not in EVENTS:  # os.kill is an event too
            return
        seen += 1
        if seen == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    code = 1
    try:
        work()
        code = 0
        if kill_at is None and os.environ.get("COUNT"):
            Path(os.environ["COUNT"]).write_text(str(seen))
    finally:
        os._exit(code)


def contents(lake: Path) -> dict[str, str]:
    found = (path for path in sorted((lake / "mine").rglob("*")) if path.is_file())
    return {path.relative_to(lake).as_posix(): sha256(path.read_bytes()).hexdigest() for path in found}


def main() -> None:
    lake, kills, processes, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    freeze(lake)
    (lake / "mine").mkdir()
    os.environ["COUNT"] = str(lake / "count")
    assert os.waitpid(start(lambda: extract(lake)), 0)[1] == 0
    events, expected = int((lake / "count").read_text()), contents(lake)
    del os.environ["COUNT"]
    chance, seen = random.Random(seed), {"expected": len(expected), "killed": 0, "partial": [], "different": []}
    rmtree(lake / "mine")
    (lake / "mine").mkdir()
    for number in range(kills):
        if chance.random() < 0.25:  # from the beginning, else it would be done after a few
            rmtree(lake / "mine")
            (lake / "mine").mkdir()
        child = start(lambda: extract(lake), kill_at=chance.randint(1, max(events // 2, 2)))
        seen["killed"] += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        parts = {path: digest for path, digest in contents(lake).items() if "/part-" in path}
        if any(expected.get(path) != digest for path, digest in parts.items()):
            seen["partial"].append(number)
    shards = [None] if processes == 1 else [None, *(Shard(index=i, count=2) for i in range(2))][:processes]
    children = [start(lambda shard=shard: extract(lake, shard=shard)) for shard in shards]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(children)
    assert os.waitpid(start(lambda: extract(lake)), 0)[1] == 0  # whoever was last has seen what the others made
    seen["different"] = sorted(
        path for path in expected.keys() | contents(lake).keys() if expected.get(path) != contents(lake).get(path)
    )
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    main()
