"""Imports that are killed: the old dataset or the new one, whole; what is left the next one clears away and names."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from spora_db import errors
from spora_db.cli import app
from spora_db.importing import import_dataset
from spora_db.importing.leftovers import LOCK, REPLACED, clear_leftovers, held

KILLER = Path(__file__).with_name("killing_imports.py")


def write_slide(path, *, side):
    rng = np.random.default_rng(0)
    tifffile.imwrite(path, rng.integers(0, 255, (side, side, 3), dtype=np.uint8), photometric="rgb", tile=(256, 256))


@pytest.mark.slow
def test_a_killed_import_leaves_the_old_dataset_or_the_new_one(tmp_path):
    times = 60
    command = [sys.executable, KILLER, tmp_path, str(times), "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert sum(of["killed"] for of in seen.values()) >= min(20, 5 * times)
    for what, of in seen.items():
        assert of["left"] > 0
        assert (of["put back"] > 0) == (what != "import"), what
        assert (of["neither"], of["different"], of["remains"], of["unsaid"]) == ([], [], [], []), what


def bring(tmp_path, **options):
    if not (tmp_path / "slide.tif").exists():
        write_slide(tmp_path / "slide.tif", side=300)
    given = {"into": tmp_path / "lake", "dataset": "mine", "modality": "he", "mpp": 0.5, **options}
    return import_dataset(tmp_path / "slide.tif", **given)


def leave(lake, name, *, lock=True, old=False):
    """What a killed import leaves."""
    folder = lake / name
    (folder / "mine" / "he").mkdir(parents=True)
    if lock:
        (folder / LOCK).touch()
    if old:
        (lake / "mine").rename(folder / REPLACED)
    return folder


def test_a_dataset_that_was_being_replaced_is_put_back(tmp_path):
    report = bring(tmp_path)
    before = sorted(path.relative_to(report.path) for path in report.path.rglob("*"))
    leave(tmp_path / "lake", ".mine.77-0123abcd.tmp", old=True)
    with pytest.raises(errors.WriteError, match="exists") as told:
        bring(tmp_path)
    assert "'mine' that it was about to replace was put back" in told.value.__notes__[0]
    assert sorted(path.relative_to(report.path) for path in report.path.rglob("*")) == before
    leave(tmp_path / "lake", ".mine.78-0123abcd.tmp", old=True)
    report = bring(tmp_path, overwrite=True)
    [said] = [note for note in report.notes if "killed" in note]
    assert ".mine.78-0123abcd.tmp" in said
    assert "'mine' that it was about to replace was put back" in said
    assert [path.name for path in (tmp_path / "lake").iterdir()] == ["mine"]
    assert "killed" not in (report.path / "metadata/import.json").read_text()


def test_only_what_a_killed_import_of_the_dataset_left_is_cleared_away(tmp_path):
    lake = tmp_path / "lake"
    kept = [
        leave(lake, ".other.77-0123abcd.tmp"),
        leave(lake, ".mine.notes.tmp"),
        leave(lake, ".mine.77-0123abcd.tmp", lock=False),  # of another program, or of a version without locks
    ]
    (lake / ".mine.79-0123abcd.tmp").mkdir()
    with held(lake / ".mine.80-0123abcd.tmp"):
        [said] = clear_leftovers(lake / "mine")
        assert (lake / ".mine.80-0123abcd.tmp").is_dir()
    assert ".mine.79-0123abcd.tmp" in said.says
    assert all(path.is_dir() for path in kept)
    assert len(clear_leftovers(lake / "mine")) == 1
    bring(tmp_path, dry_run=True)
    leave(lake, ".mine.81-0123abcd.tmp")
    bring(tmp_path, dry_run=True)
    assert (lake / ".mine.81-0123abcd.tmp").is_dir()


def test_progress_tells_pieces_and_the_time_that_is_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_slide(tmp_path / "slide.tif", side=1300)
    command = ["import", "slide.tif", "--dataset", "mine", "--into", "lake", "--modality", "he", "--mpp", "0.5"]
    done = [CliRunner().invoke(app, [*command, *more]) for more in ([], ["--overwrite", "--quiet"])]
    assert [result.exit_code for result in done] == [0, 0]
    assert "import mine: 5 of 5 pieces" in done[0].stderr
    assert done[0].stderr.rstrip().endswith("left")
    assert (done[1].stdout, done[1].stderr) == ("", "")


def test_what_was_cleared_away_is_told_with_an_error_too(tmp_path):
    bring(tmp_path)
    leave(tmp_path / "lake", ".mine.77-0123abcd.tmp")
    command = ["import", "slide.tif", "--dataset", "mine", "--into", "lake", "--modality", "he", "--mpp", "0.5"]
    done = subprocess.run(
        [sys.executable, "-m", "spora_db.cli", *command],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    first, second = done.stderr.splitlines()
    assert first.startswith("spora-db: lake/mine exists.")
    assert second.startswith("Cleared away .mine.77-0123abcd.tmp, which an import that was killed had left")
