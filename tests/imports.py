"""What tests of import share: a call with what most of them ask for, and slides as scanners tile them."""

from collections.abc import Callable
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from spora_db.importing import ImportReport, import_dataset


def importing(folder: Path, **defaults: Any) -> Callable[..., ImportReport]:
    """Return a function that imports into a lake in `folder`; tables are given as text, and options override."""

    def run(source: Path | None = None, **options: Any) -> ImportReport:
        for name in ("panel", "metadata", "cells"):
            if isinstance(options.get(name), str):
                (folder / f"{name}.csv").write_text(options[name])
                options[name] = folder / f"{name}.csv"
        given = {"into": folder / "lake", "dataset": "mine", "modality": "imc", "mpp": 1.0, **defaults}
        return import_dataset(source, **{**given, **options})

    return run


def write_tiled(path: Path, *, side: int, tile: np.ndarray) -> None:
    """Write a square slide of `side` pixels, the same 512 x 512 RGB tile everywhere."""
    tifffile.imwrite(
        path,
        repeat(tile, (side // 512) ** 2),
        shape=(side, side, 3),
        dtype=np.uint8,
        tile=(512, 512),
        photometric="rgb",
        compression="zstd",
    )
