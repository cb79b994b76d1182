"""What the published loader (spora-io 51caf78) answered about the lake of `reference_lake`, as figures.

``SAMPLES`` has shape, channels, accessions and loading mask of ``get_tissue`` by
``"<dataset>|<spec>|<replace_nuclear>|<kind>|<tissue>"``, besides facts of tiles by ``"<dataset>|he"`` and the tile
index of a split by ``"spora"``; ``TABLES`` every parquet of statistics and tilings, as pandas' ``orient="split"``;
``TILINGS`` every case of `reference_lake`. Pixels are thinned: those in ``figures`` more than those of the shared data.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agreed import SHARED


def figures(name: str) -> dict[str, Any]:
    return json.loads((Path(__file__).parent / "figures" / f"{name}.json").read_text())


SAMPLES, TABLES, TILINGS = figures("samples"), figures("tables"), figures("tilings")
CHOICES = sorted({tuple(key.split("|")[:4]) for key in SAMPLES if key.count("|") == 4})
"""Dataset, spec, whether nuclear ids are replaced, kind of channels."""


def thinned() -> list[tuple[int, dict[str, np.ndarray]]]:
    """Return pixels and how many times further they stand apart than those of the shared data."""
    few = {key: np.array(values, np.float32) for key, values in figures("pixels").items()}
    many = SHARED / "reference/loading.npz"
    if not many.is_file():
        return [(8, few)]
    with np.load(many) as file:
        return [(8, few), (1, {key: file[key] for key in file.files})]


THINNED = thinned()


def has_pixels(key: str) -> bool:
    return key in THINNED[0][1]


def assert_pixels(image: np.ndarray, key: str, *, step: int, rtol: float = 0.0) -> None:
    """Compare every ``step``-th pixel of an image in both directions, to 1e-5."""
    for further, pixels in THINNED:
        apart = step * further
        np.testing.assert_allclose(image[:, ::apart, ::apart], pixels[key], rtol=rtol, atol=1e-5)


def published_table(name: str) -> pd.DataFrame:
    """Return a table of statistics or tilings as the published program wrote it."""
    return pd.DataFrame(TABLES[name]["data"], TABLES[name]["index"], TABLES[name]["columns"])
