"""Import of whole projects as tools of the field leave them: one command, and the first batch equals the source.

``python tests/test_import_tools.py`` prints the command of each.
"""

import os
import shlex
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from project_shapes import NAMES, SHAPES, folder, labels, nuclei, steinbock, text
from spora_db import SporaQuery
from spora_db.cli import app
from spora_db.layout import is_rgb
from spora_db.masks import load_label_mask
from spora_db.validation import validate


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, f"{result.output} {result.exception!r}"
    return result.stdout


@pytest.mark.some(3)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_project_reaches_its_first_batch(tmp_path, monkeypatch, shape):
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    shape.write(tmp_path / "project")
    lake, command = tmp_path / "lake", shlex.split(shape.command)
    modality, mpp = (command[command.index(option) + 1] for option in ("--modality", "--mpp"))
    command += ["--dataset", "new", "--into", lake, "--tissue-mask", "full"]
    said = run("import", *command)
    assert [phrase for phrase in shape.says if phrase not in said] == []
    assert [item for item in validate(lake, deep=True) if item.severity == "error"] == []
    run("tile", lake, "--tile-size", 16, "--mpp", mpp, "--jobs", 1, "--quiet")
    query = SporaQuery(lake).modality(modality).tiles(size=16, mpp=float(mpp))
    if is_rgb(modality):
        query = query.standardize("identity")
    else:
        run("standardize", lake, "--modality", modality, "--mpp", mpp, "--jobs", 1, "--quiet")
        query = query.channels(kind="complete")
    samples = list(query.to_torch())
    assert sorted({sample["tissue_id"] for sample in samples}) == list(shape.tissues)
    for sample in samples:
        image, row, col = shape.image(shape.tissues.index(sample["tissue_id"])), sample["row"], sample["col"]
        if is_rgb(modality):
            order, image = [0, 1, 2], image / 255
        else:
            order = [NAMES.index(name.partition(" ")[0]) for name in sample["channel_names"]]
        assert sorted(order) == [0, 1, 2]
        expected = image[order, row : row + 16, col : col + 16]
        np.testing.assert_allclose(sample["image"].numpy(), expected, rtol=1e-6 if is_rgb(modality) else 0)
    check_tables(lake / "new/metadata", shape)
    check_masks(lake / "new/segmentations", shape)


def check_tables(metadata, shape):
    """Compare tissues and cells with what the shape says of them."""
    tissues = pd.read_parquet(metadata / "tissues.parquet")
    assert {name: tissues[name].tolist() for name in shape.columns} == dict(shape.columns)
    assert (metadata / "cells.parquet").exists() == ("--cells" in shape.command)
    if shape.cells:
        cells = pd.read_parquet(metadata / "cells.parquet").sort_values(["tissue_id", "cell_id"])
        keys = [(tissue, cell) for tissue in shape.tissues for cell in (1, 2)]
        assert list(zip(cells["tissue_id"], cells["cell_id"], strict=True)) == keys
        assert {name: cells[name].tolist() for name in shape.cells} == dict(shape.cells)


def check_masks(folder, shape):
    """Compare masks of cells and their nuclei with those of the project."""
    found = {path: load_label_mask(path) for path in folder.glob("*/cell_masks/*/*.npz")}
    assert bool(found) == ("--cell-masks" in shape.command)
    for path, mask in found.items():
        write = nuclei if path.parent.name == "nuclear" else labels
        np.testing.assert_array_equal(mask, write(shape.tissues.index(path.stem)))


def test_two_tables_of_the_same_cells_are_put_side_by_side(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    steinbock(tmp_path)
    shape = next(shape for shape in SHAPES if shape.write is steinbock)
    command = ["import", *shlex.split(shape.command), "--dataset", "new", "--into", "lake", "--tissue-mask", "full"]
    run(*command)
    cells = pd.read_parquet("lake/new/metadata/cells.parquet")
    assert cells.area.tolist() == [56, 130, 56, 130]
    assert cells.CD3.tolist() == [2, 5, 2, 5]
    text(tmp_path / "regionprops/P1_001.csv", "Object,area\n1,56\n")
    result = CliRunner().invoke(app, [*command, "--overwrite"])
    assert "regionprops has other cells than intensities: 3 and 4" in str(result.exception)


def test_what_was_decided_is_written_where_the_output_is_ascii(tmp_path):
    folder(tmp_path / "raw/f1", 0, NAMES)
    text(tmp_path / "m.csv", "image;Gr\u00f6\u00dfe\nf1;1,5\n", "latin-1")
    command = "import raw --dataset new --into lake --modality imc --mpp 1 --metadata m.csv --dry-run"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "spora_db.cli", *shlex.split(command)],
        cwd=tmp_path, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Decimal commas of m.csv were read as points: 'Gr\\xf6\\xdfe'." in done.stdout


if __name__ == "__main__":
    for row in SHAPES:
        print(f"{row.name}: spora-db import {row.command} --dataset new --into lake")
