"""What columns cost that nobody names: a lake of 800 clinical columns against one of 5, as ratios; 5,000 at first.

And cells by the million with 500 columns, against DuckDB's own join of the files.
"""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.history import MEASURES, record
from spora_db import SporaQuery
from spora_db.catalog import Catalog, close_kept_catalog

FEW, MANY, MOST = (5, 800, 5_000) if MEASURES else (5, 80, 500)
COHORTS, TISSUES, TILES, CELLS = (4, 200, 50, 100) if MEASURES else (2, 20, 5, 5)
OF_CELLS, CELLS_EACH = (500, 1_250) if MEASURES else (20, 5)
BARE_CELLS = """
    SELECT count(*) FROM read_parquet($cells)
    JOIN (SELECT tissue_id, split FROM read_parquet($tissues)) USING (tissue_id)
    WHERE split IS NOT NULL
"""
ROUNDS = 7 if MEASURES else 1


def write_lake(root: Path, columns: int, *, cells: int = CELLS) -> Path:
    """Write cohorts with this many columns of tissues and of cells, whole numbers and others in turn, and tiles.

    A tissue has so many cells.
    """
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
        labels = np.tile(np.arange(1, cells + 1), TISSUES)
        listed = {"tissue_id": np.repeat(ids, cells), "cell_id": labels}
        listed |= {f"centroid_{axis}": rng.random(len(labels)) * 1000 for axis in ("row", "col")}
        for table in (tissues, listed):
            rows = len(table["tissue_id"])
            table |= {
                f"score_{i}": rng.integers(0, 9, rows).astype(f"{'fi'[i % 2]}4") for i in range(columns - len(table))
            }
        for name, table in {
            "metadata/tissues": tissues, "metadata/cells": listed, "imc/channels": panel,
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
    taken: dict[str, list[list[float]]] = {f"{when}{name}": [] for name in asks for when in ("first ", "")}
    for _ in range(ROUNDS):
        for name, ask in asks.items():
            first, again = [], []
            for lake in (few, many):  # the first opens the lake: one is kept open
                query = SporaQuery(lake).modality("imc")
                for pair in (first, again):
                    pair.append(seconds(lambda ask=ask, query=query: ask(query)))
            taken[f"first {name}"].append(first)
            taken[name].append(again)
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


def test_cells_with_columns(tmp_path: Path) -> None:
    lake = write_lake(tmp_path / "cells", OF_CELLS, cells=CELLS_EACH)
    files = {name: str(lake / f"*/metadata/{name}.parquet") for name in ("cells", "tissues")}
    query = SporaQuery(lake).modality("imc").cells(size=32, mpp=1.0)
    number, what = COHORTS * TISSUES * CELLS_EACH, f"cells of {OF_CELLS} columns"
    for name, ask in {"count": query.count, "plan": lambda: len(query.plan())}.items():
        close_kept_catalog()
        record(f"first {name} of {number:,} {what}", seconds(ask), "s")
        again = median(seconds(ask) for _ in range(ROUNDS))
        record(f"{name} of {number:,} {what}", again, "s")
        assert ask() == number
    with duckdb.connect() as bare:
        plain = median(seconds(lambda: bare.execute(BARE_CELLS, files).fetchall()) for _ in range(ROUNDS))
        assert bare.execute(BARE_CELLS, files).fetchall() == [(number,)]
    record(f"DuckDB's join of {number:,} {what}, of the plan", plain / again)
    close_kept_catalog()
