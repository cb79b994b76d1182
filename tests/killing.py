"""Kills runs: forks from one process that has everything imported, so that thirty kills take seconds.

Arguments: what to run (tile or standardize), a lake, how many times, a seed. Prints what it saw as JSON.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np

from job_lakes import contents, hidden
from spora_db.errors import SporaError
from spora_db.jobs import standardize_lake, tile_lake
from spora_db.standardization.specs import parse_spec
from spora_db.tiling import tile_mask
from spora_db.tiling.parameters import TilingParameters


def run(what: str, root: Path) -> None:
    if what == "tile":
        tile_lake(
            root, mpp=1.0, parameters=TilingParameters(tile_size=32, stride=16, tolerance=0.85, coverage_goal=1.0)
        )
    else:
        standardize_lake(root, modality="imc", mpp=1.0, spec=parse_spec("quantile_clipping/uq_0.99_global"))


def start(what: str, root: Path) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        run(what, root)
        code = 0
    except SporaError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        os._exit(code)


def reset(root: Path) -> None:
    for folder in (root / "cohort/tiling", root / "cohort/imc/1_0mpp/standardization"):
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    what, root, times, seed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    tile_mask(np.ones((64, 64), bool), tile_size=32)  # kernels are compiled or loaded here, not in every child
    durations = []
    for _ in range(3):
        reset(root)
        begun = time.perf_counter()
        assert os.waitpid(start(what, root), 0)[1] == 0
        durations.append(time.perf_counter() - begun)
    expected = contents(root)
    chance = random.Random(seed)
    seen = {"expected": len(expected), "killed": 0, "resumed": 0, "partial": [], "different": [], "left": []}
    for number in range(times):
        reset(root)
        child = start(what, root)
        time.sleep(chance.uniform(0, min(durations)))
        os.kill(child, signal.SIGKILL)
        seen["killed"] += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        found = {path: digest for path, digest in contents(root).items() if ".work/" not in path and ".tmp" not in path}
        if any(expected.get(path) != digest for path, digest in found.items()):
            seen["partial"].append(number)
        seen["resumed"] += bool(hidden(root)) and found != expected
        if found != expected or hidden(root):
            assert os.waitpid(start(what, root), 0)[1] == 0
        if contents(root) != expected:
            seen["different"].append(number)
        seen["left"] += hidden(root)
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    main()
