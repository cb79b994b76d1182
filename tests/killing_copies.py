"""Kills copies: forks from one process that has everything imported.

Arguments: a lake, a folder to work in, how many times, a seed. Prints what it saw as JSON.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

from spora_db import SporaQuery
from spora_db.lock.lockfile import read_lock
from spora_db.lock.locking import check_lock


def start(lake: Path, target: Path) -> int:
    child = os.fork()
    if child:
        return child
    try:
        SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0).sample(40, seed=0).copy_to(target)
        os._exit(0)
    finally:
        os._exit(1)


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "copy.lock.json")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def main() -> None:
    lake, folder, times, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    target = folder / "small"
    durations = []
    for _ in range(2):
        shutil.rmtree(target, ignore_errors=True)
        begun = time.perf_counter()
        assert os.waitpid(start(lake, target), 0)[1] == 0
        durations.append(time.perf_counter() - begun)
    expected, chance = content(target), random.Random(seed)
    seen: dict[str, object] = {"killed": 0, "half": [], "different": [], "left": []}
    for number in range(times):
        shutil.rmtree(target, ignore_errors=True)
        for _ in range(20):  # a child that is quicker than the kill is started again
            child = start(lake, target)
            time.sleep(chance.uniform(0.1, 1.0) * min(durations))
            os.kill(child, signal.SIGKILL)
            if os.WIFSIGNALED(os.waitpid(child, 0)[1]):
                break
            shutil.rmtree(target)
        seen["killed"] += 1
        if target.exists() and content(target) != expected:
            seen["half"].append(number)
        assert os.waitpid(start(lake, target), 0)[1] == 0
        if content(target) != expected or check_lock(read_lock(target / "copy.lock.json")):
            seen["different"].append(number)
        seen["left"] += [path.name for path in folder.iterdir() if path != target]
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    main()
