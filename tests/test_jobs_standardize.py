"""Statistics of a lake: the published figures, float64 numpy as oracle, rounds and shards, and every failure told."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from job_lakes import MARKERS, contents, hidden, mask_folder, read_mask, write_images
from lakes import write_zarr
from published_figures import TABLES, published_table
from spora_db.errors import ArgumentError, ImageNotFoundError, TableError, UnknownNameError, WriteError
from spora_db.files.parquet import read_provenance
from spora_db.images import open_image, read_region
from spora_db.jobs import Shard, engines, standardize_lake
from spora_db.standardization.methods import register_standardizer
from spora_db.standardization.specs import Spec, parse_spec

IMAGE, GLOBAL = "quantile_clipping/uq_0.99_image", "quantile_clipping/uq_0.99_global"
FOLDER = "cohort/imc/1_0mpp/standardization"


def standardize(root, spec=IMAGE, **options):
    return standardize_lake(root, **{"modality": "imc", "mpp": 1.0, "spec": parse_spec(spec), **options})


def test_golden_tables(reference_lake):
    tables = {name for name in TABLES if "/standardization/" in name}
    assert len(tables) == 26
    for name in tables:
        found, wanted = pd.read_parquet(reference_lake / name), published_table(name).astype(float)
        pd.testing.assert_frame_equal(found, wanted, rtol=1e-4, atol=0, check_names=False, check_index_type=False)
    written = reference_lake.rglob("*_level_*.parquet")
    assert {path.relative_to(reference_lake).as_posix() for path in written} == tables


def pixels_of(root, tissue):
    """Return the masked pixels of every marker in float64, None where it was not measured."""
    mask = read_mask(root, tissue)
    image = read_region(open_image(root / f"cohort/imc/1_0mpp/images/{tissue}.ome.zarr")).astype(np.float64)
    planes = list(image[:, mask])
    return [planes.pop(0) if (tissue, name) != ("cohort_0002", "CD3e") else None for name in MARKERS]


@pytest.mark.some(3)
@pytest.mark.parametrize("dtype", ["float32", "uint16"])
@pytest.mark.parametrize("level", ["image", "global"])
@pytest.mark.parametrize("method", ["quantile_clipping", "quantile_clipping_log1p"])
def test_figures_are_those_of_numpy_on_everything(tmp_path, dtype, level, method):
    root = write_images(tmp_path, dtype=dtype)
    spec = f"{method}/uq_0.97_lq_0.1_{level}"
    assert standardize(root, spec, stats_level="both").written
    tables = {path.stem: pd.read_parquet(path) for path in (root / FOLDER / spec).iterdir()}
    tissues = [f"cohort_{i:04d}" for i in range(4)]
    raw = {tissue: pixels_of(root, tissue) for tissue in tissues}
    for channel, name in enumerate(MARKERS):
        measured = [tissue for tissue in tissues if raw[tissue][channel] is not None]
        pooled = np.concatenate([raw[tissue][channel] for tissue in measured])
        transformed = {}
        for tissue in measured:
            own = raw[tissue][channel]
            upper, lower = (np.quantile(own if level == "image" else pooled, q) for q in (0.97, 0.1))
            row = tissue if level == "image" else 0
            assert tables[f"{level}_level_upper_quantiles"].loc[row, name] == upper
            assert tables[f"{level}_level_lower_quantiles"].loc[row, name] == lower
            clipped = np.clip(own, lower, upper)
            is_log = method.endswith("log1p")
            transformed[tissue] = np.log1p(clipped) if is_log else (clipped - lower) / (upper - lower + 1e-8)
            for kind, value in (("means", transformed[tissue].mean()), ("stds", transformed[tissue].std())):
                np.testing.assert_allclose(tables[f"image_level_{kind}"].loc[tissue, name], value, rtol=1e-12)
        everything = np.concatenate(list(transformed.values()))
        np.testing.assert_allclose(tables["global_level_means"].loc[0, name], everything.mean(), rtol=1e-12)
        np.testing.assert_allclose(tables["global_level_stds"].loc[0, name], everything.std(), rtol=1e-12)
    assert np.isnan(tables["image_level_means"].loc["cohort_0002", "CD3e"])


@pytest.mark.slow
@pytest.mark.parametrize("spec", [pytest.param(IMAGE, marks=pytest.mark.slow), GLOBAL])  # GLOBAL has a round more
def test_the_same_bytes_however_it_is_run(tmp_path, monkeypatch, spec):
    monkeypatch.setattr(engines, "SECONDS_HERE", 0.0)
    expected = None
    for name, jobs in (("one", 1), ("two", 2)):
        root = write_images(tmp_path / name)
        assert standardize(root, spec, jobs=jobs).written
        assert hidden(root) == []
        expected = expected or contents(root)
        assert contents(root) == expected
    for order in [(2, 0, 1), (0, 1, 2)]:
        root = write_images(tmp_path / "".join(map(str, order)))
        states = [standardize(root, spec, shard=Shard(index=i, count=3)).datasets[0].state for i in order]
        assert states == ["waiting"] * 3
        assert standardize(root, spec, merge=True).written
        assert contents(root) == expected
        assert hidden(root) == []


def test_shards_share_every_round_when_they_are_run_again(tmp_path):
    root = write_images(tmp_path)
    for _ in range(3):
        for index in range(2):
            report = standardize(root, GLOBAL, shard=Shard(index=index, count=2))
    assert report.datasets[0].note == "shard 1/2 is done, as are the others; now run the same command with --merge"
    merged = standardize(root, GLOBAL, merge=True)
    assert merged.written
    assert all(outcome.reused for outcome in merged.datasets[0].outcomes)


def test_merge_refuses_when_a_shard_is_missing(tmp_path):
    root = write_images(tmp_path)
    standardize(root, shard=Shard(index=0, count=2))
    with pytest.raises(WriteError, match="2 of its tissues have no result yet"):
        standardize(root, merge=True)


def damage(root, kind):
    mask, image = (
        mask_folder(root) / "cohort_0001.npz",
        root / "cohort/imc/1_0mpp/images/cohort_0001.ome.zarr",
    )
    if kind == "mask is missing":
        mask.unlink()
    elif kind == "mask is empty":
        np.savez(mask, mask=np.zeros_like(read_mask(root, "cohort_0001")))
    elif kind == "mask has another size":
        np.savez(mask, mask=np.ones((5, 6), bool))
    elif kind == "chunk is missing":
        next(path for path in (image / "0/c").rglob("*") if path.is_file()).unlink()
    elif kind == "image has other channels":
        (image / "0").rename(image / "old")
        (root / "cohort/imc/1_0mpp/images/cohort_0002.ome.zarr/0").rename(image / "0")
        (image / "old").rename(root / "cohort/imc/1_0mpp/images/cohort_0002.ome.zarr/0")
    else:
        table = pd.read_parquet(root / "cohort/imc/channels_per_tissue.parquet").drop(index="cohort_0001")
        table.to_parquet(root / "cohort/imc/channels_per_tissue.parquet")


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("mask is missing", "No tissue mask"),
        ("mask is empty", "has no pixels"),
        ("mask has another size", "is 5 x 6"),
        ("chunk is missing", r"(chunk|shard|file).* (missing|absent|not there|not on disk)"),
        ("image has other channels", "has 2 channels; expected the 3 measured ones"),
        ("tissue has no row", "no row in channels_per_tissue.parquet"),
    ],
)
@pytest.mark.parametrize("spec", [IMAGE, GLOBAL])
def test_a_tissue_that_fails_is_told_and_never_left_out_in_silence(tmp_path, kind, message, spec):
    root = write_images(tmp_path)
    damage(root, kind)
    report = standardize(root, spec)
    (part,) = report.datasets
    assert part.state == "failed"
    assert "cohort_0001" in part.failures
    assert re.search(message, part.failures["cohort_0001"])
    assert list(root.rglob("*_level_*.parquet")) == []
    again = standardize(root, spec, keep_going=True)
    assert again.written
    assert again.failures == report.failures
    beside = json.loads(next(root.rglob("*.failures.json")).read_text())
    assert "cohort_0001" in [row["tissue_id"] for row in beside]


def test_a_second_level_of_moments_joins_the_same_quantiles(tmp_path):
    root = write_images(tmp_path)
    standardize(root)
    (quantiles,) = root.rglob("image_level_upper_quantiles.parquet")
    before = quantiles.stat().st_mtime_ns
    assert standardize(root, stats_level="image").written
    assert quantiles.stat().st_mtime_ns == before
    assert len(list(quantiles.parent.iterdir())) == 5
    with pytest.raises(WriteError, match="exists already, made with the same parameters"):
        standardize(root, stats_level="image")


def test_moments_are_not_put_beside_quantiles_of_other_masks(tmp_path):
    root = write_images(tmp_path)
    standardize(root)
    mask = read_mask(root, "cohort_0000")
    np.savez(mask_folder(root) / "cohort_0000.npz", mask=np.roll(mask, 9, axis=0))
    with pytest.raises(WriteError, match="its quantiles are not those of the images and masks that are here now"):
        standardize(root, stats_level="image")
    assert standardize(root, stats_level="image", overwrite=True).written


def test_images_of_two_dtypes_have_common_quantiles(tmp_path):
    root = write_images(tmp_path)
    path = root / "cohort/imc/1_0mpp/images/cohort_0000.ome.zarr"
    write_zarr(path, read_region(open_image(path)).astype(np.uint16))
    assert standardize(root, GLOBAL).written
    pixels = [
        read_region(open_image(root / f"cohort/imc/1_0mpp/images/{tissue}.ome.zarr"))[0][read_mask(root, tissue)]
        for tissue in (f"cohort_{number:04d}" for number in range(4))
    ]
    upper = pd.read_parquet(next(root.rglob("global_level_upper_quantiles.parquet")))
    assert upper["DNA"].tolist() == [np.quantile(np.concatenate(pixels).astype(np.float64), 0.99)]


def test_provenance_and_absent_images_are_told(tmp_path):
    root = write_images(tmp_path)
    shutil.rmtree(root / "cohort/imc/1_0mpp/images/cohort_0003.ome.zarr")
    (part,) = standardize(root).datasets
    assert part.note == "1 more tissues have a row in channels_per_tissue.parquet, but no image here"
    record = read_provenance(part.files[0])
    assert (record["made"], record["tissues"]) == ("statistics", 3)
    assert record["parameters"]["spec"] == IMAGE
    assert record["parameters"]["stats_levels"] == ["global"]


def cube_root(pixels):
    return np.cbrt(pixels)


@pytest.mark.slow
def test_a_registered_method_works_in_worker_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "SECONDS_HERE", 0.0)
    register_standardizer("quantile_clipping_root", cube_root)
    root = write_images(tmp_path)
    assert standardize(root, "quantile_clipping_root/uq_0.99_image", jobs=2).written


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"modality": "he"}, ArgumentError, "needs no statistics"),
        ({"modality": "codex"}, ImageNotFoundError, "no codex image at 1 mpp .* has the modalities imc"),
        ({"mpp": 2}, ImageNotFoundError, "no imc image at 2 mpp .* and the resolutions 1"),
        ({"spec": Spec(method="identity")}, ArgumentError, "no statistics"),
        (
            {"spec": Spec(method="clip", upper=0.9, quantile_level="image")},
            UnknownNameError,
            "Unknown standardization 'clip'",
        ),
        ({"dataset": "none"}, UnknownNameError, "Available: cohort"),
    ],
)
def test_what_cannot_be_computed_says_why(tmp_path, options, error, message):
    root = write_images(tmp_path)
    with pytest.raises(error, match=message):
        standardize_lake(root, **{"modality": "imc", "mpp": 1.0, "spec": parse_spec(IMAGE), **options})
    assert contents(root) == {}


def test_a_dataset_without_a_panel_is_an_error(tmp_path):
    root = write_images(tmp_path)
    (root / "cohort/imc/channels.parquet").unlink()
    (root / "cohort/imc/channels_per_tissue.parquet").unlink()
    with pytest.raises(TableError, match="no panel for imc"):
        standardize(root)
