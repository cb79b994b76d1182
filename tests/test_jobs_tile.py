"""Tiling a lake: the published figures, the same bytes however it is run, and every failure told."""

import json
import os
import re
import subprocess
import sys
import textwrap
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from job_lakes import contents, hidden, mask_folder, write_images, write_masks
from published_figures import TABLES, published_table
from spora_db.errors import ArgumentError, MaskNotFoundError, UnknownNameError, WriteError
from spora_db.files.parquet import read_provenance
from spora_db.jobs import Shard, engines, tile_lake
from spora_db.tiling.parameters import TilingParameters

PARAMETERS = TilingParameters(tile_size=32, stride=16, tolerance=0.85, coverage_goal=1.0)


def tile(root, **options):
    return tile_lake(root, mpp=1.0, **{"parameters": PARAMETERS, **options})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A tiled lake, and what a run writes into it."""
    root = write_masks(tmp_path_factory.mktemp("undisturbed"))
    report = tile(root)
    assert report.written
    assert not report.failures
    return contents(root)


@pytest.mark.parametrize("strategy", ["default", "grid_64"])
def test_golden_tables(reference_lake, strategy):
    tables = [name for name in TABLES if f"tiling/1_0mpp/{strategy}/" in name]
    assert len(tables) == 4
    for name in tables:
        found, wanted = pd.read_parquet(reference_lake / name), published_table(name)
        pd.testing.assert_frame_equal(found, wanted, check_names=False, check_dtype=False, check_index_type=False)


@pytest.mark.some(2)
@pytest.mark.parametrize("jobs", [1, 2])
def test_same_bytes_with_any_number_of_processes(tmp_path, undisturbed, monkeypatch, jobs):
    monkeypatch.setattr(engines, "SECONDS_HERE", 0.0)
    root = write_masks(tmp_path)
    report = tile(root, jobs=jobs)
    assert contents(root) == undisturbed
    assert hidden(root) == []
    (part,) = report.datasets
    assert [outcome.tissue_id for outcome in part.outcomes] == [f"cohort_{i:04d}" for i in range(6)]
    assert part.summary["tiles"] == len(pd.read_parquet(part.files[-1]))
    assert part.slowest.seconds > 0


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_shards_in_any_order_then_merge(tmp_path, undisturbed, order):
    root = write_masks(tmp_path)
    for index in order:
        report = tile(root, shard=Shard(index=index, count=3))
        assert report.datasets[0].state == "waiting"
        assert contents(root, "**/*.parquet") == {}
    assert tile(root, merge=True).written
    assert contents(root) == undisturbed
    assert hidden(root) == []


def test_merge_names_the_tissues_that_no_shard_has_done(tmp_path):
    root = write_masks(tmp_path)
    tile(root, shard=Shard(index=0, count=3))
    with pytest.raises(
        WriteError, match=r"4 of its tissues have no result yet \(cohort_0001, cohort_0002, cohort_0004"
    ):
        tile(root, merge=True)
    with pytest.raises(ArgumentError, match="received both"):
        tile(root, merge=True, shard=Shard(index=0, count=3))


def test_an_existing_tiling_is_replaced_only_when_told(tmp_path, undisturbed):
    root = write_masks(tmp_path)
    tile(root)
    with pytest.raises(WriteError, match=r"exists already, made with the same parameters\. .*--overwrite"):
        tile(root)
    other = TilingParameters(tile_size=32, stride=32)
    with pytest.raises(WriteError, match=r"exists already, made with other parameters"):
        tile(root, parameters=other)
    assert contents(root) == undisturbed
    assert tile(root, parameters=other, overwrite=True).written
    assert contents(root) != undisturbed
    assert tile(root, overwrite=True).written
    assert contents(root) == undisturbed


def test_a_lake_goes_on_where_it_was(tmp_path):
    root = write_masks(tmp_path)
    tile(root)
    write_masks(root, name="late")
    states = {part.dataset: part.state for part in tile(root).datasets}
    assert states == {"cohort": "kept", "late": "written"}


def test_overwrite_keeps_the_old_tiling_until_the_new_one_is_complete(tmp_path, undisturbed):
    root = write_masks(tmp_path)
    tile(root)
    (mask_folder(root) / "cohort_0003.npz").write_bytes(b"broken")
    report = tile(root, parameters=TilingParameters(tile_size=32, stride=8), overwrite=True)
    assert report.datasets[0].state == "failed"
    assert {path: digest for path, digest in contents(root).items() if ".work/" not in path} == undisturbed


def test_results_of_other_parameters_or_masks_are_never_mixed_in(tmp_path, undisturbed):
    root = write_masks(tmp_path)
    (path,) = mask_folder(root).glob("*0005.npz")
    good = path.read_bytes()
    np.savez_compressed(path, mask=np.ones((64, 64), bool))
    for parameters in (PARAMETERS, TilingParameters(tile_size=32, stride=8)):
        tile(root, parameters=parameters, shard=Shard(index=0, count=1))
    path.write_bytes(good)
    assert tile(root).written
    assert {path: digest for path, digest in contents(root).items() if ".work/" not in path} == undisturbed


def test_provenance_is_recorded(tmp_path):
    root = write_masks(tmp_path)
    (part,) = tile(root).datasets
    record = read_provenance(part.files[-1])
    assert record == read_provenance(part.files[0])
    assert record["made"] == "tiling"
    assert record["tissues"] == 6
    assert {key: record["parameters"][key] for key in ("tile_size", "stride", "tolerance", "mpp", "strategy")} == {
        "tile_size": 32, "stride": 16, "tolerance": 0.85, "mpp": 1.0, "strategy": "default",
    }  # fmt: skip


def pickled(path):
    np.savez(path, mask=np.array([[None, {}]], dtype=object))


def nan(path):
    with np.load(path) as archive:
        mask = archive["mask"].astype(np.float32)
    mask[3, 4] = np.nan
    np.savez(path, mask=mask)


BAD_MASKS = {
    "pickled": (pickled, "pickled Python objects"),
    "nan": (
        lambda path: np.savez(path, mask=np.full_like(np.load(path)["mask"], np.nan, dtype=np.float32)),
        "holds NaN",
    ),
    "1-D": (lambda path: np.savez(path, mask=np.ones(40, bool)), r"shape \(40,\)"),
    "3-D": (lambda path: np.savez(path, mask=np.ones((1, 40, 40), bool)), "shape"),
    "text": (lambda path: path.write_text("no mask"), "could not be read as .npz"),
    "lfs": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1"), "git lfs pull"),
    "absent": (lambda path: path.unlink(), "No mask file"),
    "other size": (lambda path: np.savez(path, mask=np.ones((40, 41), bool)), "40 x 41"),
}


@pytest.mark.some(3)
@pytest.mark.parametrize("kind", BAD_MASKS)
def test_a_bad_mask_is_told_and_the_others_finish(tmp_path, kind):
    root = write_images(tmp_path)
    write, message = BAD_MASKS[kind]
    path = mask_folder(root) / "cohort_0001.npz"
    write(path)
    report = tile(root)
    (part,) = report.datasets
    assert (part.state, list(part.failures)) == ("failed", ["cohort_0001"])
    assert re.search(message, part.failures["cohort_0001"])
    assert contents(root, "**/*.parquet") == {}
    again = tile(root, keep_going=True)
    assert again.datasets[0].state == "written"
    assert [outcome.reused for outcome in again.datasets[0].outcomes] == [True, False, True, True]
    beside = part.files[-1].with_name("32_tile_coordinates.failures.json")
    assert [row["tissue_id"] for row in json.loads(beside.read_text())] == ["cohort_0001"]
    assert set(pd.read_parquet(part.files[-1])["tissue_id"]) == {"cohort_0000", "cohort_0002", "cohort_0003"}
    assert read_provenance(part.files[-1])["failed"] == ["cohort_0001"]


def test_a_mended_run_forgets_the_failures(tmp_path):
    root = write_images(tmp_path)
    path = mask_folder(root) / "cohort_0001.npz"
    good = path.read_bytes()
    path.write_bytes(b"")
    (part,) = tile(root, keep_going=True).datasets
    path.write_bytes(good)
    assert tile(root, overwrite=True).written
    assert not part.files[-1].with_name("32_tile_coordinates.failures.json").exists()
    assert len(pd.read_parquet(part.files[-1])["tissue_id"].unique()) == 4


def test_failures_of_shards_reach_the_merge(tmp_path):
    root = write_masks(tmp_path)
    (mask_folder(root) / "cohort_0001.npz").write_bytes(b"")
    for index in range(3):
        tile(root, shard=Shard(index=index, count=3))
    assert list(tile(root, merge=True).datasets[0].failures) == ["cohort_0001"]
    report = tile(root, merge=True, keep_going=True)
    assert (report.written, list(report.failures)) == (True, [("cohort", "cohort_0001")])


def test_every_tissue_failing_writes_nothing_even_when_told_to_keep_going(tmp_path):
    root = write_masks(tmp_path)
    for path in mask_folder(root).iterdir():
        path.write_bytes(b"")
    (part,) = tile(root, keep_going=True).datasets
    assert (part.state, len(part.failures), part.note) == ("failed", 6, "every tissue failed")


def test_an_empty_mask_is_a_tissue_without_tiles(tmp_path):
    root = write_masks(tmp_path)
    np.savez_compressed(mask_folder(root) / "cohort_0001.npz", mask=np.zeros((80, 80), bool))
    (part,) = tile(root).datasets
    assert part.note == "1 tissue without a tile (cohort_0001: empty_mask)"
    assert pd.read_parquet(part.files[0]).loc["cohort_0001", "stop_reason"] == "empty_mask"


def test_images_of_different_sizes_are_refused(tmp_path):
    from lakes import write_zarr

    root = write_images(tmp_path)
    write_zarr(root / "cohort/he/1_0mpp/images/cohort_0000.ome.zarr", np.zeros((3, 20, 30), np.uint8))
    reason = tile(root).failures["cohort", "cohort_0000"]
    assert "differ in size" in reason
    assert "20 x 30" in reason


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mpp": 0.5}, MaskNotFoundError, r"no tissue mask at 0.5 mpp .* at these resolutions: 1"),
        ({"mpp": "one"}, ArgumentError, "mpp 'one' is not a resolution"),
        ({"dataset": "cohrt"}, UnknownNameError, "Did you mean 'cohort'"),
        ({"engine": "dask"}, UnknownNameError, "Unknown engine 'dask'.* Available: local, ray"),
        ({"jobs": 0}, ArgumentError, "--jobs is 0"),
    ],
)
def test_what_cannot_be_run_says_why(tmp_path, options, error, message):
    root = write_masks(tmp_path)
    with pytest.raises(error, match=message):
        tile_lake(root, **{"mpp": 1.0, "parameters": PARAMETERS, **options})
    assert contents(root) == {}


def test_a_dataset_without_masks_is_told_and_the_others_are_tiled(tmp_path):
    root = write_masks(tmp_path)
    write_images(tmp_path, name="bare")
    for path in mask_folder(root, "bare").iterdir():
        path.unlink()
    report = tile(root)
    assert {part.dataset: part.state for part in report.datasets} == {"bare": "failed", "cohort": "written"}
    assert "there is no tissue mask in" in report.failures["bare", ""]
    with pytest.raises(MaskNotFoundError, match="There is no tissue mask at 1 mpp"):
        tile(root, dataset="bare")


def test_a_dataset_at_another_resolution_is_left_out_with_a_reason(tmp_path):
    root = write_masks(tmp_path)
    write_masks(tmp_path, name="other")
    (root / "other/segmentations/1_0mpp").rename(root / "other/segmentations/0_5mpp")
    report = tile(root)
    assert [part.dataset for part in report.datasets] == ["cohort"]
    assert report.skipped == {"other": "nothing at 1 mpp; it has 0.5"}


CHILD = """
    import resource, sys
    from spora_db.errors import WriteError
    from spora_db.jobs import tile_lake
    from spora_db.tiling.parameters import TilingParameters
    limit = int(sys.argv[2])
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        parameters = TilingParameters(tile_size=32, stride=16, tolerance=0.85, coverage_goal=1.0)
        tile_lake(sys.argv[1], mpp=1.0, parameters=parameters)
    except WriteError as error:
        print(error)
        sys.exit(1)
"""


def in_child(root: Path, limit: int = 0) -> subprocess.CompletedProcess[str]:
    code = textwrap.dedent(CHILD)
    return subprocess.run(
        [sys.executable, "-c", code, str(root), str(limit)], capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.some(2)
@pytest.mark.parametrize("limit", [1, 3000, pytest.param(4000, marks=pytest.mark.slow)])
def test_a_full_disk_is_an_error_and_nothing_half_written(tmp_path, undisturbed, limit):
    """1 byte: no result fits. 3000 and 4000: results fit, the tables, of 3 and 6 kB, do not, or one of them."""
    root = write_masks(tmp_path)
    child = in_child(root, limit)
    assert child.returncode == 1, child.stderr
    assert "Could not write" in child.stdout
    assert "Traceback" not in child.stderr
    assert contents(root, "*/tiling/*/*/*.parquet") == {}
    assert tile(root).written
    assert contents(root) == undisturbed


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs a POSIX system")
def test_a_read_only_lake_is_an_error(tmp_path):
    root = write_masks(tmp_path / "lake")
    root.chmod(0o555)
    target = root / "cohort"
    if os.geteuid() == 0:  # permissions do not bind root; a read-only mount does
        bound = subprocess.run(["mount", "--bind", root, root], capture_output=True, check=False)
        again = subprocess.run(["mount", "-o", "remount,ro,bind", root], capture_output=True, check=False)
        if bound.returncode or again.returncode:
            subprocess.run(["umount", root], capture_output=True, check=False)
            pytest.skip("needs permission to mount")
    else:
        target.chmod(0o555)
    try:
        with pytest.raises(WriteError, match=r"Read-only|Permission"):
            tile(root)
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", root], capture_output=True, check=True)
        target.chmod(0o755)
    assert contents(root) == {}


def test_the_scan_of_a_lake_ignores_work_folders(tmp_path):
    from spora_db.layout import scan

    root = write_masks(tmp_path)
    tile(root, shard=Shard(index=0, count=2))
    assert hidden(root)
    assert scan(root).tables("tile_coordinates") == ()
