"""Kills imports before chosen changes of files: forks from one process that has everything imported.

Arguments: a folder, how many times each kind, a seed. Prints what it saw as JSON. Changes are counted by Python's audit
events, so that a kill stands where the work stands, however fast the machine is.
"""

import hashlib
import importlib
import json
import os
import random
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import numpy as np
import tifffile

from lakes import coordinates_image
from spora_db.errors import SporaError
from spora_db.images import write_ometiff
from spora_db.importing import import_dataset
from spora_db.validation import validate

CHANGES = {"os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.truncate"}
BETWEEN = -1
NAMES = ["DNA", "CD3"]
WORK: dict[str, dict[str, Any]] = {
    "import": {"source": "slides", "modality": "he", "mpp": 0.5, "dataset": "new"},
    "replace": {"source": "slides", "modality": "he", "mpp": 0.5, "overwrite": True},
    "add a modality": {"source": "slides", "modality": "he", "mpp": 0.5, "add": True},
    "add a resolution": {"source": "coarse", "modality": "imc", "mpp": 2.0, "add": True},
    "add tissues and tables": {
        "source": "more", "modality": "imc", "mpp": 1.0, "add": True,
        "metadata": "more.csv", "cells": "cells_of_more.csv",
    },
    "add tables alone": {"source": None, "add": True, "metadata": "grades.csv", "cells": "more_cells.csv"},
}  # fmt: skip


def prepare(root: Path) -> None:
    """Write sources, and the lake as it is before."""
    for folder, size, tissues in (("imc", 64, ["f1", "f2"]), ("coarse", 32, ["f1", "f2"]), ("more", 64, ["f3"])):
        for number, tissue in enumerate(tissues):
            image = coordinates_image(len(NAMES), size, size, offset=number)
            write_ometiff(root / folder / f"{tissue}.ome.tiff", image, mpp=1.0, channel_names=NAMES)
    (root / "slides").mkdir()
    for number, tissue in enumerate(["f1", "f2"]):
        slide = np.random.default_rng(number).integers(0, 255, (1200, 96, 3), dtype=np.uint8)
        tifffile.imwrite(root / f"slides/{tissue}.tif", slide, photometric="rgb", tile=(64, 64))
    (root / "imc.csv").write_text("tissue_id,age\nf1,61\nf2,62\n")
    (root / "more.csv").write_text("tissue_id,age\nf3,63\n")
    (root / "cells_of_imc.csv").write_text("tissue_id,cell_id\nf1,1\nf2,1\n")
    (root / "cells_of_more.csv").write_text("tissue_id,cell_id\nf3,1\n")
    (root / "grades.csv").write_text("tissue_id,grade\nf1,2\nf2,3\n")
    (root / "more_cells.csv").write_text("tissue_id,cell_id\nf1,2\n")
    tables = {"metadata": root / "imc.csv", "cells": root / "cells_of_imc.csv"}
    import_dataset(root / "imc", into=root / "before", dataset="mine", modality="imc", mpp=1.0, **tables)


def work(root: Path, what: str) -> None:
    """Do what is to be killed."""
    options = {"dataset": "mine", "tissue_mask": "full", **WORK[what]}
    options |= {name: root / options[name] for name in ("source", "metadata", "cells") if options.get(name)}
    source = options.pop("source")
    try:
        said = import_dataset(source, into=root / "lake", **options).notes
    except SporaError as error:
        said = (str(error), *getattr(error, "__notes__", ()))
    (root / "said.txt").write_text("\n".join(said))


def in_child(do: Callable[[], object]) -> bool:
    """Do something in a child, whose threads are none of this process; tell whether it lived."""
    if child := os.fork():
        status = os.waitpid(child, 0)[1]
        assert status in (0, signal.SIGKILL), status
        return status == 0
    code = 1
    try:
        do()
        code = 0
    finally:
        os._exit(code)


def run(root: Path, what: str, *, last: int = 0) -> bool:
    """Do it in a child, which dies before the change of number `last`, or `BETWEEN` two renames; tell whether it lived.

    One that lives tells the number of its changes, of which threads make some more or less.
    """
    changes: list[str] = []

    def count(event: str, arguments: Sequence[Any]) -> None:
        if event in CHANGES or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            is_between = event == "os.rename" and changes[-1:] == ["replaced"]
            changes.append(Path(arguments[1]).name if event == "os.rename" else event)
            if len(changes) == last or (is_between and last == BETWEEN):
                os.kill(os.getpid(), signal.SIGKILL)

    def do() -> None:
        sys.addaudithook(count)
        work(root, what)
        (root / "changes.txt").write_text(str(len(changes)))

    return in_child(do)


def check(lake: Path) -> None:
    found = [item.reason for item in validate(lake, deep=True) if item.severity == "error"]
    assert found == [], found


def contents(lake: Path) -> dict[str, str]:
    """Return the digest of every file of the datasets of a lake."""
    return {
        path.relative_to(lake).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for dataset in lake.glob("[!.]*")
        for path in dataset.rglob("*")
        if path.is_file()
    }


def killed(root: Path, what: str, *, times: int, chance: random.Random) -> dict[str, Any]:
    """Kill one kind of import some times, and return what was seen, by the numbers of the changes."""
    lake = root / "lake"

    def reset() -> None:
        rmtree(lake, ignore_errors=True)
        copytree(root / "before", lake)

    reset()
    old = contents(lake)
    run(root, what)
    in_child(lambda: check(lake))
    changes, new = int((root / "changes.txt").read_text()), contents(lake)
    seen: dict[str, Any] = {"killed": 0, "left": 0, "put back": 0}
    seen |= {"neither": [], "different": [], "remains": [], "unsaid": []}
    for last in (*chance.sample(range(1, changes), times), BETWEEN):
        reset()
        seen["killed"] += not run(root, what, last=last)
        found, left = contents(lake), [path.name for path in lake.glob(".*")]
        seen["left"] += bool(left)
        run(root, what)
        said = (root / "said.txt").read_text()
        put_back = not found and "was put back" in said  # a count may fall between the two renames as well
        seen["put back"] += last == BETWEEN and put_back
        seen["neither"] += [last] if found not in (old, new) and not put_back else []
        seen["unsaid"] += [last] if any(name not in said for name in left) else []
        seen["different"] += [last] if contents(lake) != new else []
        seen["remains"] += [path.name for path in lake.glob(".*")]
    return seen


def main() -> None:
    root, times, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    for name in ("duckdb", "google_crc32c", "numcodecs", "pyarrow.parquet", "sqlglot", "zarr"):
        importlib.import_module(name)  # here, not in every child
    in_child(lambda: prepare(root))
    chance = random.Random(seed)
    json.dump({what: killed(root, what, times=times, chance=chance) for what in WORK}, sys.stdout)


if __name__ == "__main__":
    main()
