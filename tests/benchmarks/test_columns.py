"""What columns cost that nobody names: a lake of 800 clinical columns against one of 5, as ratios; 5,000 at first."""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.history import MEASURES, record
from spora_db import SporaQuery
from spora_db.catalog import Catalog, close_kept_catalog

FEW, MANY, MOST = (5, 800, 5_000) if MEASURES else (5, 80, 500)
COHORTS, TISSUES, TILES, CELLS = (4, 200, 50, 100) if MEASURES else (2, 20, 5, 5)
ROUNDS = 7 if MEASURES else 1


def write_lake(root: Path, columns: int) -> Path:
    """Write cohorts with this many columns of tissues and of cells, whole numbers and others in turn, and tiles."""
    rng = np.random.default_rng(0)
    for cohort in range(COHORTS):
        base = root / f"cohort{cohort}"
        images, tiling = base / "imc/1_0mpp/images", base / "tiling/1_0mpp/default"
        for folder in (base / "metadata", images, tiling):
            folder.mkdir(parents=True)
        ids = [f"cohort{cohort}_{tissue:04d}" for tissue in range(TISSUES)]
        for tissue in ids:
            (images / f"{tissue}.ome.tiff").touch()
        split = rng.choice(["train", "test"], TISSUES)
        tissues = {"tissue_id": ids, "modality": ["imc"] * TISSUES, "split": split}
        panel = {"channel_name": ["CD3e"], "uniprot_id": ["P07766"], "qc_pass": [True], "is_nuclear_marker": [False]}
        numbers = np.tile(np.arange(TILES), TISSUES)
        tiles = {"tissue_id": np.repeat(ids, TILES), "tile_id": numbers, "row": 10 * numbers, "col": 10 * numbers}
        labels = np.tile(np.arange(1, CELLS + 1), TISSUES)
        cells = {"tissue_id": np.repeat(ids, CELLS), "cell_id": labels}
        cells |= {f"centroid_{axis}": rng.random(len(labels)) * 1000 for axis in ("row", "col")}
        for table in (tissues, cells):
            rows = len(table["tissue_id"])
            table |= {
                f"score_{i}": rng.integers(0, 9, rows).astype(f"{'fi'[i % 2]}4") for i in range(columns - len(table))
            }
        for name, table in {
            "metadata/tissues": tissues, "metadata/cells": cells, "imc/channels": panel,
            "imc/channels_per_tissue": {"tissue_id": ids, "CD3e": [True] * TISSUES},
            "tiling/1_0mpp/default/224_tile_coordinates": tiles,
        }.items():  # fmt: skip
            pq.write_table(pa.table(table), base / f"{name}.parquet")
    return root


def seconds(ask: Callable[[], object]) -> float:
    """Return the CPU seconds of a question, those of all threads."""
    start = time.process_time()
    ask()
    return time.process_time() - start


def test_columns(tmp_path: Path) -> None:
    few, many = (write_lake(tmp_path / str(columns), columns) for columns in (FEW, MANY))
    asks: dict[str, Callable[[SporaQuery], object]] = {
        "count of tissues": lambda q: q.tissues(mpp=1.0).where("split = 'train'").count(),
        "plan of tissues": lambda q: q.tissues(mpp=1.0).where("split = 'train'").plan(),
        "count of tiles": lambda q: q.tiles(size=224, mpp=1.0).where("split = 'train'").count(),
        "plan of tiles": lambda q: q.tiles(size=224, mpp=1.0).where("split = 'train'").plan(),
        "count of cells": lambda q: q.cells(size=32, mpp=1.0).where("split = 'train'").count(),
        "plan of cells": lambda q: q.cells(size=32, mpp=1.0).where("split = 'train'").plan(),
    }
    taken: dict[str, list[list[float]]] = {name: [] for name in asks}
    for _ in range(ROUNDS):
        for name, ask in asks.items():
            pair = []
            for lake in (few, many):  # the first opens the lake
                query = SporaQuery(lake).modality("imc")
                ask(query)
                pair.append(seconds(lambda ask=ask, query=query: ask(query)))
            taken[name].append(pair)
    for name, pairs in taken.items():
        record(f"{name}, {MANY} columns against {FEW}", median(wide / narrow for narrow, wide in pairs))
    most = write_lake(tmp_path / str(MOST), MOST)
    close_kept_catalog()
    record(
        f"first count of tissues over {MOST:,} columns",
        seconds(lambda: asks["count of tissues"](SporaQuery(most))),
        "s",
    )
    with Catalog(most) as catalog:
        first = seconds(lambda: catalog.sql("SELECT count(*) FROM tissues").fetchall())
        record(f"first SELECT count(*) FROM tissues over {MOST:,} columns", first, "s")
        answer = catalog.sql("SELECT count(*) FROM tissues").fetchall()
        every = seconds(lambda: catalog.sql("SELECT * FROM tissues").to_arrow_table())
        record(f"first SELECT * FROM tissues over {MOST:,} columns", every, "s")
    assert answer == [(COHORTS * TISSUES,)]
    close_kept_catalog()
