"""What training imports: no frames, nothing that draws; its workers neither the database nor what parses SQL."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from cell_lakes import write_cells, write_masks
from lakes import write_lake

READ = """
import multiprocessing, sys

FORKED = set()

def tell(samples):
    parts = [part for part in (samples[0], *samples[0].values()) if isinstance(part, dict) and "image" in part]
    heavy = {"duckdb", "sqlglot", "pandas", "matplotlib"} & sys.modules.keys() - FORKED
    loaded = [f"spora_db.loading.{name}" in sys.modules for name in ("loader", "preloaded")]
    return sorted({name for part in parts for name in part}), *loaded, sorted(heavy)

if __name__ == "__main__":
    from spora_db import SporaQuery
    from spora_db.transforms import center_crop
    imc = SporaQuery(sys.argv[1]).modality("imc")
    both = SporaQuery(sys.argv[1]).modality("imc", "he", missing="keep").tiles(size=32).select("age", "cancer_type")
    labelled = both.label("split", name="label")
    datasets = {
        "tiles": labelled.with_masks("tissue", "instances").with_cells("cell_type", "area").to_torch(),
        "raw tiles": both.to_torch(standardize_on="device", on_error="replace", transform=center_crop(16)),
        "cells": imc.cells(size=24).with_masks("instances").to_torch(),
        "tissues": imc.tissues().with_masks("tissue").with_cells().to_torch(),
    }
    FORKED |= sys.modules.keys()
    options = {"num_workers": 1, "collate": tell, "timeout": 120}
    found = {method: {} for method in multiprocessing.get_all_start_methods()}
    for method in found:
        for rows, dataset in datasets.items():
            found[method][rows] = next(iter(dataset.loader(2, start_method=method, **options)))
    print(found)
"""

BATCHES = """
import sys
import torch
from spora_db import SporaQuery
from spora_db.files.arrow_arrays import arrow_array
import pyarrow as pa
imc = SporaQuery(sys.argv[1]).modality("imc")
tiles = imc.tiles(size=32)
first = {"dataset": "alpha", "tissue_id": next(iter(tiles.to_torch().loader(1)))["tissue_id"][0]}
rows = pa.table({name: arrow_array([value], pa.string()) for name, value in first.items()})
both = SporaQuery(sys.argv[1]).modality("imc", "he", missing="keep").tiles(size=32).select("age", "cancer_type")
for query in (
    both.label("split").label("age", name="years", label_type="regression", missing=-1).where("age > 0"),
    tiles.with_masks("tissue", "instances").with_cells("cell_type", "area").exclude(rows),
    tiles.channels(kind="uniprot_filtered").standardize("quantile_clipping/uq_0.99_image").sample(4, seed=0),
    imc.cells(size=24),
    imc.windows(size=32, mpp=1.0, stride=32),
):
    next(iter(query.to_torch().loader(2, balance_by="dataset")))
heavy = {"pandas", "matplotlib", "zarr", "rich", "typer", "scipy.linalg", "pyarrow.dataset"}
print(*sorted(heavy & sys.modules.keys()))
"""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_lake(tmp_path_factory.mktemp("workers") / "lake")
    masks = write_masks(root)
    for name in ("alpha", "beta"):
        write_cells(root / name, masks, names=("Pos_Y", "Pos_X"))
    return root


FIELDS = {
    "tiles": {"image", "masks", "cells", "age", "label"},
    "raw tiles": {"image", "statistics", "substituted_for"},
    "cells": {"image", "masks", "cell_id"},
    "tissues": {"image", "masks", "cells"},
}


@pytest.mark.slow
def test_a_worker_reads_without_what_it_does_not_need(lake: Path, tmp_path: Path) -> None:
    """A forked one has what its parent has, and loads none of it itself; a forkserver has loaded what reads before."""
    script = tmp_path / "train.py"
    script.write_text(READ)
    command = [sys.executable, str(script), str(lake)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for method, found in ast.literal_eval(done.stdout).items():
        assert {rows: FIELDS[rows] - set(found[rows][0]) for rows in FIELDS} == {rows: set() for rows in FIELDS}
        assert {rows: rest for rows, (_, *rest) in found.items()} == {
            rows: [True, method == "forkserver", []] for rows in FIELDS
        }


@pytest.mark.slow
def test_batches_load_no_library_that_they_do_not_need(lake: Path) -> None:
    """No conversion between pyarrow, numpy and Python on the way asks whether it is given a Series."""
    command = [sys.executable, "-c", BATCHES, str(lake)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert (done.stdout.split(), done.returncode) == ([], 0), done.stderr[-2000:]


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("spora_db", {"duckdb", "sqlglot", "pandas", "matplotlib", "torch", "numba"}),
        ("spora_db.loading.dataset", {"duckdb", "sqlglot", "pandas", "matplotlib", "numba"}),
        ("spora_db.loading.preloaded", {"duckdb", "sqlglot", "pandas", "matplotlib"}),
        ("spora_db.datasets", {"matplotlib"}),
        ("spora_db.query", {"matplotlib", "torch", "numba", "pandas", "zarr", "rich"}),
        ("spora_db.cli", {"matplotlib", "torch", "duckdb", "pandas"}),
    ],
)
def test_a_module_loads_no_library_that_it_does_not_need(module: str, absent: set[str]) -> None:
    told = f"import sys, {module}; print(*sorted({absent!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, timeout=240, check=True)
    assert done.stdout.split() == []
