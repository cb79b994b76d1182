"""A dataset grows: a modality, a resolution, tissues are added whole or not at all."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile
from typer.testing import CliRunner

from imports import importing
from lakes import coordinates_image
from spora_db import Catalog, SporaQuery, errors
from spora_db.cli import app
from spora_db.images import open_image, read_region, write_ometiff
from spora_db.jobs import tile_lake
from spora_db.masks import load_tissue_mask
from spora_db.tiling import TilingParameters
from spora_db.validation import validate

NAMES = ["DNA", "CD3"]
SIZE = 64


@pytest.fixture
def bring(tmp_path):
    return importing(tmp_path, dataset="cohort", tissue_mask="full")


@pytest.fixture
def imc(tmp_path):
    return channels(tmp_path / "imc", ["f1", "f2"])


def channels(folder, tissues, names=NAMES, size=SIZE):
    for number, tissue in enumerate(tissues):
        image = coordinates_image(len(names), size, size, offset=7 * number)
        write_ometiff(folder / f"{tissue}.ome.tiff", image, mpp=1.0, channel_names=names)
    return folder


def slides(folder, tissues, size=2 * SIZE):
    folder.mkdir()
    for number, tissue in enumerate(tissues):
        image = np.random.default_rng(number).integers(0, 255, (size, size, 3)).astype(np.uint8)
        tifffile.imwrite(folder / f"{tissue}.tiff", image, photometric="rgb")
    return folder


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(dataset, table="tissues"):
    return pq.read_table(dataset / f"metadata/{table}.parquet").to_pylist()


CLINIC = "tissue_id,patient_id,age\nf1,007,61\nf2,008,62\n"


@pytest.mark.parametrize("asked", [True, False], ids=["asked for", "of itself"])
def test_a_second_modality_stands_beside_the_first(bring, imc, tmp_path, asked):
    report = bring(imc, metadata=CLINIC)
    before = contents(report.path)
    he = slides(tmp_path / "he", ["f1", "f3"])
    tried = bring(he, modality="he", mpp=0.5, add=asked, dry_run=True)
    assert contents(report.path) == before
    report = bring(he, modality="he", mpp=0.5, add=asked)
    assert tried.notes[: len(tried.notes)] == report.notes[: len(tried.notes)]
    assert any("Added to the dataset 'cohort'" in note for note in report.notes)
    with Catalog(tmp_path / "lake") as catalog:
        found = catalog.sql("SELECT tissue_id, modality, patient_id, age FROM tissues ORDER BY ALL").fetchall()
    assert found == [
        ("f1", "he", "007", 61), ("f1", "imc", "007", 61), ("f2", "imc", "008", 62), ("f3", "he", None, None),
    ]  # fmt: skip
    after = contents(report.path)
    changed = {path for path in before if after.get(path) != before[path]}
    assert {path.name for path in changed} == {"tissues.parquet", "import.json"}
    kept = json.loads((report.path / "metadata/import.json").read_text())["imports"]
    assert [item["options"]["modality"] for item in kept] == ["imc", "he"]
    assert not [item for item in validate(tmp_path / "lake", deep=True) if item.severity == "error"]
    tile_lake(tmp_path / "lake", mpp=0.5, parameters=TilingParameters(tile_size=32))
    sample = SporaQuery(tmp_path / "lake").modality("he").tiles(size=32, mpp=0.5).standardize("identity").to_torch()[0]
    slide = tifffile.imread(he / f"{sample['tissue_id']}.tiff")
    place = (slice(sample["row"], sample["row"] + 32), slice(sample["col"], sample["col"] + 32))
    np.testing.assert_allclose(sample["image"].numpy(), np.moveaxis(slide[place], 2, 0) / 255, atol=1e-6)


def test_further_tissues_of_one_modality(bring, imc, tmp_path):
    report = bring(imc, metadata=CLINIC, cells="tissue_id,cell_id,area\nf1,1,5\n")
    more = channels(tmp_path / "more", ["f3"])
    added = bring(more, add=True, metadata="image,Age,sex\nf3,70,F\n", cells="image,Object,Area\nf3.tiff,1,6\n")
    assert [(row["tissue_id"], row["age"], row["sex"]) for row in rows(report.path)] == [
        ("f1", 61, None), ("f2", 62, None), ("f3", 70, "F"),
    ]  # fmt: skip
    assert [(row["tissue_id"], row["area"]) for row in rows(report.path, "cells")] == [("f1", 5), ("f3", 6)]
    assert pq.read_table(added.path / "imc/channels_per_tissue.parquet")["tissue_id"].to_pylist() == ["f1", "f2", "f3"]
    [image] = added.path.glob("imc/*/images/f3.ome.zarr")
    np.testing.assert_array_equal(read_region(open_image(image)), coordinates_image(2, SIZE, SIZE))
    assert not [item for item in validate(tmp_path / "lake", deep=True) if item.severity == "error"]


def test_another_resolution_of_the_same_images(bring, imc, tmp_path):
    report = bring(imc)
    bring(channels(tmp_path / "coarse", ["f1", "f2"], size=SIZE // 2), mpp=2.0, add=True)
    assert sorted(path.name for path in (report.path / "imc").glob("*mpp")) == ["1_0mpp", "2_0mpp"]
    assert load_tissue_mask(report.path / "segmentations/2_0mpp/tissue_masks/f1.npz").shape == (32, 32)
    assert not [item for item in validate(tmp_path / "lake", deep=True) if item.severity == "error"]


def refused(bring, tmp_path, error, match, source, **options):
    before = contents(tmp_path / "lake")
    with pytest.raises(error, match=match):
        bring(source, **options)
    assert contents(tmp_path / "lake") == before
    assert [path.name for path in (tmp_path / "lake").iterdir()] == ["cohort"]


def test_what_cannot_be_added_changes_nothing(bring, imc, tmp_path):
    bring(imc, metadata=CLINIC, cells="tissue_id,cell_id\nf1,1\n")
    new, he = channels(tmp_path / "new", ["f3"]), slides(tmp_path / "he", ["x"])
    odd = channels(tmp_path / "odd", ["f4"], names=["DNA", "CD8"])
    refuse = [
        (errors.WriteError, "'f1', 'f2' already", imc, {"add": True}),
        (errors.WriteError, "exists", he, {"modality": "he"}),
        (errors.WriteError, "exists", new, {}),
        (errors.TableError, "another than that of the images .* 'CD3', 'CD8'", odd, {"add": True}),
        (errors.ArgumentError, "contradict", new, {"add": True, "overwrite": True}),
        (errors.ArgumentError, "no dataset .* to add to", new, {"add": True, "dataset": "other"}),
        (errors.TableError, "cannot be one", new, {"add": True, "metadata": "image,age\nf3,2020-01-31\n"}),
    ]
    for error, match, source, options in refuse:
        refused(bring, tmp_path, error, match, source, **options)


@pytest.mark.parametrize("text", ["{", "[1]", "{}", '{"imports": 3}'])
def test_a_broken_record_of_imports_is_told(bring, imc, tmp_path, text):
    report, more = bring(imc), channels(tmp_path / "more", ["f3"])
    (report.path / "metadata/import.json").write_text(text)
    refused(bring, tmp_path, errors.TableError, "import.json is no record of imports.*Remove it", more, add=True)


def test_masks_that_are_there_stay(bring, imc, tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[5:40, 5:40] = 1
    for tissue in ("f1", "f2"):
        tifffile.imwrite(masks / f"{tissue}.tiff", mask)
    report = bring(imc, masks=masks)
    he = slides(tmp_path / "he", ["f1"], size=SIZE)
    refused(bring, tmp_path, errors.WriteError, "masks of 'f1' .* already", he, modality="he", masks=masks)
    added = bring(he, modality="he")
    assert any("Tissue masks that are there were kept: 'f1'" in note for note in added.notes)
    np.testing.assert_array_equal(load_tissue_mask(report.path / "segmentations/1_0mpp/tissue_masks/f1.npz"), mask > 0)


def test_a_failure_leaves_the_dataset_as_it_was(bring, imc, tmp_path, monkeypatch):
    bring(imc)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("spora_db.importing.adding.write_parquet", full)
    he = slides(tmp_path / "he", ["f1"])
    refused(bring, tmp_path, errors.WriteError, "No space left", he, modality="he", mpp=0.5)


def test_the_command_adds(bring, imc, tmp_path):
    bring(imc)
    arguments = [
        "import",
        channels(tmp_path / "new", ["f3"]),
        "--add",
        "--dataset",
        "cohort",
        "--into",
        tmp_path / "lake",
    ]
    arguments += ["--modality", "imc", "--mpp", "1.0", "--tissue-mask", "full"]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert "Added to the dataset 'cohort': imc images at 1 microns per pixel of 0 tissues" in result.stdout
