"""What runs are built of: shards, fingerprints, results on disk, reports of progress."""

import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spora_db.errors import ArgumentError, FileFormatError, WriteError
from spora_db.files import writing
from spora_db.files.locks import lock_file
from spora_db.files.processors import usable_cpus
from spora_db.jobs.progress import Lines
from spora_db.jobs.resources import memory_budget
from spora_db.jobs.units import Outcome, Shard, failed
from spora_db.jobs.work_folder import WorkFolder, file_state, fingerprint, read_result, write_result


@given(st.integers(1, 9), st.lists(st.integers()))
def test_shards_share_items_without_overlap(count, items):
    parts = [Shard(index=index, count=count).part(items) for index in range(count)]
    assert sorted(item for part in parts for item in part) == sorted(items)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["", "1", "3/3", "-1/3", "0/0", "1/2/3", "a/b", "1.0/2"])
def test_shards_that_do_not_exist_are_refused(text):
    with pytest.raises(ArgumentError, match="--shard is"):
        Shard.parse(text)


def test_fingerprints_tell_values_apart():
    values = [1, 1.5, "1", None, [1], {"a": 1}, {"a": 1, "b": float("nan")}]
    assert len({fingerprint(value) for value in values}) == len(values)
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})


def test_the_state_of_a_file_and_of_a_store_changes_with_it(tmp_path):
    file, store = tmp_path / "a.npz", tmp_path / "a.ome.zarr"
    (store / "0/c").mkdir(parents=True)
    for path in (file, store / "0/c/0"):
        path.write_bytes(b"one")
    before = [file_state(file), file_state(store)]
    assert before == [file_state(file), file_state(store)]
    for path in (file, store / "0/c/0"):
        os.utime(path, ns=(1, 1))
    after = [file_state(file), file_state(store)]
    assert before[0] != after[0]
    assert before[1] != after[1]
    assert file_state(tmp_path / "absent") == ["absent", None]


def test_results_come_back_as_they_were(tmp_path):
    arrays = {"tiles": np.array([[1, 2]]), "share": np.array([0.1, np.nan])}
    write_result(tmp_path / "a.npz", arrays=arrays, record={"pixels": 3, "share": 0.1})
    found, record = read_result(tmp_path / "a.npz")
    assert record == {"pixels": 3, "share": 0.1}
    assert sorted(found) == ["share", "tiles"]
    np.testing.assert_array_equal(found["share"], arrays["share"])


def test_damaged_results_are_errors(tmp_path):
    path = tmp_path / "a.npz"
    write_result(path, arrays={"zero": np.zeros(100)}, record={})
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(FileFormatError, match="is damaged"):
        read_result(path)
    with pytest.raises(FileNotFoundError):
        read_result(tmp_path / "absent.npz")


def test_work_folders_of_other_parameters_stay(tmp_path):
    target = tmp_path / "224_tile_coordinates.parquet"
    one, two = (WorkFolder.beside(target, parameters={"stride": stride}) for stride in (56, 112))
    for folder in (one, two):
        folder.open()
    assert one.path != two.path
    assert one.path.parent.name == ".224_tile_coordinates.work"
    assert one.others() == [two.path]
    one.remove()
    assert not one.sweep()
    assert two.path.is_dir()
    two.remove()
    assert two.sweep()
    assert list(tmp_path.iterdir()) == []
    two.remove()
    assert not two.sweep()


def test_a_file_in_the_way_is_a_write_error(tmp_path):
    (tmp_path / ".a.work").write_text("in the way")
    with pytest.raises(WriteError, match="Could not write in"):
        WorkFolder.beside(tmp_path / "a.parquet", parameters={}).open()


def taken_away_once(monkeypatch, of: object, name: str, folder: Path) -> list[Path]:
    """Remove a folder before the first call of a function, as a run does that has just finished."""
    original, removed = getattr(of, name), []

    def disturbed(*args, **kwargs):
        if not removed:
            shutil.rmtree(folder)
            removed.append(folder)
        return original(*args, **kwargs)

    monkeypatch.setattr(of, name, disturbed)
    return removed


def test_a_work_folder_that_another_run_takes_away_is_made_again(tmp_path, monkeypatch):
    folder = WorkFolder.beside(tmp_path / "a.parquet", parameters={})
    removed = taken_away_once(monkeypatch, Path, "write_bytes", folder.path.parent)
    folder.open()
    assert removed
    assert list(folder.path.iterdir()) == []
    removed = taken_away_once(monkeypatch, writing, "_sync", folder.path.parent)
    write_result(folder.path / "t.npz", arrays={"x": np.arange(3)}, record={"n": 1})
    assert removed
    assert read_result(folder.path / "t.npz")[1] == {"n": 1}
    removed = taken_away_once(monkeypatch, writing, "_sync", folder.path.parent)
    folder.record_failure("t", "torn", result=folder.path / "a.npz")
    assert removed
    assert folder.failures([folder.path / "a.npz"]) == {"t": "torn"}
    assert folder.failures([folder.path / "b.npz"]) == {}


def test_a_lock_whose_folder_was_removed_is_taken_anew(tmp_path):
    folder = tmp_path / ".a.work"
    with lock_file(folder / "lock"):
        (folder / "lock").unlink()
    with lock_file(folder / "lock"):
        assert (folder / "lock").is_file()


def test_lines_are_few_and_failures_are_always_told():
    times = iter(range(0, 1000, 3))
    stream = io.StringIO()
    lines = Lines(stream, clock=lambda: float(next(times)))
    lines.start("tile cohort", units=8)
    for number in range(8):
        failure = "No mask." if number == 1 else None
        lines.advance(Outcome(tissue_id=f"t{number}", seconds=1.0, pixels=1_000_000, failure=failure))
    assert stream.getvalue().splitlines() == [
        "tile cohort: t1 failed: No mask.",
        "tile cohort: 4 of 8 tissues, 0.3 Mpixel/s, 12 s left",
        "tile cohort: 8 of 8 tissues, 0.3 Mpixel/s, 0 s left",
    ]


def test_reasons_are_one_line():
    class Unit:
        tissue_id = "a"

    assert failed(Unit(), ValueError("one\n two")).failure == "ValueError: one two"
    assert failed(Unit(), FileFormatError("The mask\nis broken.")).failure == "The mask is broken."


def test_this_machine_has_processors_and_memory():
    assert usable_cpus() >= 1
    assert memory_budget() > 2**24
