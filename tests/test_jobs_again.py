"""Runs that are run again: what stands is kept or refused for the right reason, and old failures are forgotten."""

import json
import re
from functools import partial

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from job_lakes import hidden, mask_folder, read_mask, write_images, write_masks
from lakes import write_zarr
from spora_db.errors import ArgumentError, WriteError
from spora_db.images import open_image, read_region
from spora_db.jobs import Shard, publishing, standardize_lake, tile_lake
from spora_db.standardization.specs import parse_spec
from spora_db.tiling import TilingParameters

IMAGE, GLOBAL = "quantile_clipping/uq_0.99_image", "quantile_clipping/uq_0.99_global"


def tile(root, size=32, stride=16, **options):
    parameters = TilingParameters(tile_size=size, stride=stride, tolerance=0.85, coverage_goal=1.0)  # as the command's
    return tile_lake(root, mpp=1.0, parameters=parameters, **options)


def standardize(root, spec=IMAGE, **options):
    return standardize_lake(root, modality="imc", mpp=1.0, spec=parse_spec(spec), **options)


JOBS = {"tile": tile, "image": standardize, "global": partial(standardize, spec=GLOBAL)}


class Stopped(Exception):
    pass


class Stop:
    """A progress that ends the run when the second dataset begins."""

    def start(self, title, *, units):
        if " late" in title:
            raise Stopped

    def advance(self, outcome): ...

    def stop(self): ...


@pytest.mark.some(2)
@pytest.mark.parametrize("job", JOBS)
def test_a_stopped_run_with_keep_going_goes_on_with_the_same_command(tmp_path, job):
    root, run = write_images(write_images(tmp_path), name="late"), JOBS[job]
    np.savez(mask_folder(root) / "cohort_0001.npz", mask=np.ones((5, 5), bool))
    with pytest.raises(Stopped):
        run(root, keep_going=True, progress=Stop())
    report = run(root, keep_going=True)
    assert [(part.dataset, part.state) for part in report.datasets] == [("cohort", "kept"), ("late", "written")]
    assert list(report.failures) == [("cohort", "cohort_0001")]
    assert "5 x 5" in report.failures["cohort", "cohort_0001"]
    assert report.datasets[0].tissues == 4
    with pytest.raises(
        WriteError, match="made with the same parameters, without tissues that failed then: cohort_0001"
    ):
        run(root)
    with pytest.raises(WriteError, match="made with the same parameters, without"):
        run(root, keep_going=True)


def rewrite(path, **changes):
    """Write a table again as made in another way."""
    table = pq.read_table(path)
    metadata = dict(table.schema.metadata)
    for key, value in metadata.items():
        if b'"made"' in value:
            metadata[key] = json.dumps({**json.loads(value), **changes}).encode()
    pq.write_table(table.replace_schema_metadata(metadata), path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stride": 32}, "made with other parameters: stride is 16 there, 32 now."),
        ({"spora_db": "0.0.1"}, "made by spora-db 0.0.1; this is "),
        ({"tissues": 5}, "made of 5 tissues; there are 6 now."),
        ({"program": True}, "made by another program"),
    ],
    ids=str,
)
def test_what_differs_is_said(tmp_path, change, words):
    root = write_masks(tmp_path)
    (path,) = [path for path in tile(root).datasets[0].files if "coordinates" in path.name]
    if "program" in change:
        pd.read_parquet(path).to_parquet(path)
    elif "stride" not in change:
        rewrite(path, **change)
    with pytest.raises(WriteError, match=r"exists already, " + re.escape(words)):
        tile(root, stride=change.get("stride", 16))


def test_what_another_run_has_made_meanwhile_is_said(tmp_path):
    root = write_masks(tmp_path)
    (part,) = tile(root).datasets
    target = publishing.Target(files=part.files, provenance={**publishing.provenance("tiling", {}, tissues=6)})
    assert "with other parameters" in str(publishing.exists_error(target))
    part.files[-1].unlink()
    assert "made by another run just now" in str(publishing.exists_error(target))


@pytest.mark.some(2)
@pytest.mark.parametrize("job", JOBS)
def test_a_failure_is_forgotten_when_its_input_changes(tmp_path, job):
    root, run = write_images(tmp_path), JOBS[job]
    path = mask_folder(root) / "cohort_0001.npz"
    good = path.read_bytes()
    path.write_bytes(b"broken")
    for index in range(2):
        run(root, shard=Shard(index=index, count=2))
    assert list(run(root, merge=True).failures) == [("cohort", "cohort_0001")]
    path.write_bytes(good)
    with pytest.raises(WriteError, match=r"1 of its tissues have no result yet \(cohort_0001\)"):
        run(root, merge=True, keep_going=True)
    assert run(root, shard=Shard(index=0, count=2)).datasets[0].missing == ("cohort_0001",)
    run(root, shard=Shard(index=1, count=2))
    report = run(root, merge=True)
    assert (report.written, report.failures, hidden(root)) == (True, {}, [])


def test_a_failure_is_forgotten_when_an_image_is_written_again_in_place(tmp_path):
    root = write_images(tmp_path, tissues=2)
    image = root / "cohort/imc/1_0mpp/images/cohort_0001.ome.zarr"
    header = image / "0/zarr.json"
    good = header.read_text()
    header.write_text(good.replace(f"{read_mask(root, 'cohort_0001').shape[0]}", "41"))
    tile(root, shard=Shard(index=0, count=1))
    assert list(tile(root, merge=True).failures) == [("cohort", "cohort_0001")]
    header.write_text(good)
    with pytest.raises(WriteError, match="have no result yet"):
        tile(root, merge=True)


SIZES = {"much larger": 5000, "one pixel larger": 91, "larger than tissue can fill": 400}


@pytest.mark.parametrize("grid", [False, True])
@pytest.mark.parametrize("images", [False, True])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_tiles_larger_than_every_image_are_an_error(tmp_path, size, images, grid):
    root = write_masks(tmp_path, tissues=3, size=60)
    for number, shape in enumerate([(60, 90), (90, 70), (50, 50)]):
        np.savez(mask_folder(root) / f"cohort_{number:04d}.npz", mask=np.ones(shape, bool))
        if images:
            folder = root / "cohort/he/1_0mpp/images"
            folder.mkdir(parents=True, exist_ok=True)
            write_zarr(folder / f"cohort_{number:04d}.ome.zarr", np.zeros((3, *shape), np.uint8))
    before = sorted(root.rglob("*"))
    name = "cohort_0001.ome.zarr" if images else "cohort_0001.npz"
    parameters = TilingParameters(tile_size=size, strategy="grid_x" if grid else "default")
    with pytest.raises(ArgumentError, match=rf"{size} x {size}.*the largest, {name}, has 90 x 70"):
        tile_lake(root, mpp=1.0, parameters=parameters)
    assert sorted(root.rglob("*")) == before
    if size == 5000:
        return
    write_masks(root, tissues=1, size=600, name="large")
    report = tile_lake(root, mpp=1.0, parameters=parameters)
    assert {part.dataset: part.state for part in report.datasets} == {"cohort": "failed", "large": "written"}
    assert "larger than every image of dataset 'cohort'" in report.failures["cohort", ""]
    assert not (root / "cohort/tiling").exists()


def test_tiles_may_reach_over_an_edge(tmp_path):
    root = write_masks(tmp_path, tissues=1, size=60)
    np.savez(mask_folder(root) / "cohort_0000.npz", mask=np.ones((40, 90), bool))
    assert tile(root, size=64).datasets[0].summary["tiles"] > 0


def test_an_image_is_read_again_after_it_was_mended(tmp_path):
    root = write_images(tmp_path, tissues=2)
    path = root / "cohort/imc/1_0mpp/images/cohort_0001.ome.zarr"
    image = read_region(open_image(path))
    write_zarr(path, image[:, :40])
    assert list(standardize(root, keep_going=True).failures) == [("cohort", "cohort_0001")]
    write_zarr(path, image)
    assert standardize(root, overwrite=True).failures == {}


@pytest.mark.parametrize("note", ["", "{", "[]", "null", '"x"', '{"tissue_id": 1}', '{"tissue_id": ["a"]}', "\udcff"])
@pytest.mark.parametrize("merge", [True, False])
def test_a_damaged_note_of_a_failure_says_nothing(tmp_path, note, merge):
    root = write_masks(tmp_path, tissues=3)
    path = mask_folder(root) / "cohort_0001.npz"
    good = path.read_bytes()
    path.write_bytes(b"broken")
    tile(root, shard=Shard(index=0, count=1))
    (noted,) = root.rglob("failed-*.json")
    noted.write_bytes(note.encode(errors="surrogateescape"))
    if merge:
        with pytest.raises(WriteError, match=r"1 of its tissues have no result yet \(cohort_0001\)"):
            tile(root, merge=True)
    else:
        path.write_bytes(good)
        assert tile(root).written
