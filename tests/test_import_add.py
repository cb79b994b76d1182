"""A dataset grows: a modality, a resolution, tissues are added whole or not at all."""

import json

import numpy as np
import pandas as pd
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
from spora_db.layout import mask_folder
from spora_db.masks import load_mask, load_tissue_mask
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


@pytest.mark.some(2)
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


@pytest.mark.some(2)
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


@pytest.fixture
def cohort(bring, tmp_path):
    """Three tissues of channels, of which one is a slide too; cells of one."""
    imc = channels(tmp_path / "imc", ["f_01", "f_02", "f_03"])
    clinic = "image,patient_id,age\nf_01.ome.tiff,007,61\nf_02.ome.tiff,008,\nf_03.ome.tiff,,63\n"
    report = bring(imc, metadata=clinic, cells="tissue_id,cell_id,area\nf_01,1,5\nf_01,2,6\n")
    bring(slides(tmp_path / "he", ["f_01"]), modality="he", mpp=0.5)
    return report.path


def alone(bring, **options):
    return bring(**{"add": True, "modality": None, "mpp": None, **options})


SHEETS = [
    ("tissue_id", {"f_01": "f_01", "f_02": "f_02", "f_03": "f_03"}, "3 by id"),
    ("Image", {"slides/f_01.tiff": "f_01", "f_02.ome.tiff": "f_02", "f_03": "f_03"}, "1 by id, 2 by file name"),
    ("sample", {"F_01": "f_01", "F_02": "f_02", "F_03": "f_03"}, "3 by letter case"),
    ("roi", {"f_1": "f_01", "f_2": "f_02", "f_3": "f_03"}, "3 by leading zeros"),
    ("tissue_id", {"f_03": "f_03", "f_01": "f_01"}, "no row for 1 of 3 tissues: 'f_02'"),
    ("tissue_id", {"f_02": "f_02", "other": None}, "1 row of metadata.csv left out"),
    ("patient", {"7": "007", "8": "008"}, "by patient: 2 by leading zeros"),
]


@pytest.mark.some(3)
@pytest.mark.parametrize(("column", "ids", "says"), SHEETS, ids=[f"{column} {min(of)}" for column, of, _ in SHEETS])
def test_metadata_alone_joins_as_pandas_does(bring, cohort, column, ids, says):
    before = pd.read_parquet(cohort / "metadata/tissues.parquet")
    key = "patient_id" if column == "patient" else "tissue_id"
    sheet = pd.DataFrame({column: list(ids), "grade": range(2, 2 + len(ids)), "Age": 62.0})
    sheet.loc[~sheet[column].map(ids).isin(["f_02", "008"]), "Age"] = None
    tried = alone(bring, metadata=sheet.to_csv(index=False), dry_run=True)
    pd.testing.assert_frame_equal(pd.read_parquet(cohort / "metadata/tissues.parquet"), before)
    report = alone(bring, metadata=sheet.to_csv(index=False))
    assert report.notes[: len(tried.notes)] == tried.notes
    assert any(says in note for note in report.notes), report.notes
    wanted = before.merge(sheet.assign(**{key: sheet[column].map(ids)}), on=key, how="left", suffixes=("", "_of_sheet"))
    wanted["age"] = wanted["age"].fillna(wanted["Age"])
    after = pd.read_parquet(cohort / "metadata/tissues.parquet")
    order = ["tissue_id", "modality"]
    compared = [*before.columns, "grade"]
    pd.testing.assert_frame_equal(
        after.sort_values(order, ignore_index=True)[compared],
        wanted.sort_values(order, ignore_index=True)[compared],
        check_dtype=False,
    )
    assert json.loads((cohort / "metadata/import.json").read_text())["imports"][-1]["options"]["source"] is None
    assert not [item for item in validate(cohort.parent, deep=True) if item.severity == "error"]


def test_metadata_of_one_modality_alone(bring, cohort):
    alone(bring, modality="he", metadata="tissue_id,stain\nf_01,HE\n")
    found = {(row["tissue_id"], row["modality"]): row["stain"] for row in rows(cohort)}
    assert found == {("f_01", "he"): "HE", ("f_01", "imc"): None, ("f_02", "imc"): None, ("f_03", "imc"): None}


def test_cells_alone_are_stacked_as_pandas_does(bring, cohort):
    before = pd.read_parquet(cohort / "metadata/cells.parquet")
    cells = pd.DataFrame({"image": ["F_01", "f_2", "f_2"], "Object": [3, 1, 2], "area": [7, 8, 9], "CD3": [0.5, 1, 2]})
    report = alone(bring, modality="imc", cells=cells.to_csv(index=False))
    wanted = cells.assign(tissue_id=["f_01", "f_02", "f_02"]).rename(columns={"Object": "cell_id"})
    wanted = pd.concat([before, wanted], ignore_index=True)
    after = pd.read_parquet(cohort / "metadata/cells.parquet")
    columns = [*before.columns, "CD3"]
    pd.testing.assert_frame_equal(after[columns], wanted[columns])
    assert any("'f_2' is 'f_02'" in note for note in report.notes)
    with Catalog(cohort.parent) as catalog:
        assert catalog.sql("SELECT count(*) FROM cells").fetchone() == (5,)


def test_cell_masks_and_annotations_alone(bring, cohort, tmp_path):
    pytest.importorskip("shapely")
    masks, outlines = tmp_path / "masks", tmp_path / "outlines"
    masks.mkdir()
    outlines.mkdir()
    labels = np.zeros((SIZE, SIZE), np.uint16)
    labels[2:9, 3:7], labels[20:30, 20:31] = 1, 2
    for tissue in ("f_01", "f_02", "f_03"):
        tifffile.imwrite(masks / f"{tissue}.tiff", labels)
    ring = [[0, 0], [8, 0], [8, 4], [0, 4], [0, 0]]
    feature = {"type": "Feature", "id": "1", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": {}}
    (outlines / "F_02.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    images = {"modality": "imc", "mpp": 1.0}
    alone(bring, **images, cell_masks=masks, annotations=outlines)
    there = load_mask(mask_folder(cohort, "instances", mpp=1.0) / "f_02.npz")
    np.testing.assert_array_equal(there, labels)
    assert [(row["tissue_id"], row["region_id"], row["mpp"]) for row in rows(cohort, "regions")] == [("f_02", "1", 1.0)]
    report = alone(bring, **images, cells="tissue_id,cell_id\nf_02,1\nf_02,2\n")
    assert any("labels of the cell masks have no row" in note for note in report.notes)
    refuse = [
        (errors.WriteError, "has masks of 'f_01', 'f_02', 'f_03' .*already", {"cell_masks": masks}),
        (errors.TableError, "has the regions .* already", {"annotations": outlines}),
        (errors.TableError, "1 cell of 1 .* in no cell mask: 'f_03': 9", {"cells": "tissue_id,cell_id\nf_03,9\n"}),
    ]
    for error, match, options in refuse:
        refused(bring, tmp_path, error, match, None, add=True, **images, **options)


def test_what_only_folders_say_is_no_contradiction(bring, tmp_path):
    for place, size in (("fine/a", SIZE), ("fine/b", SIZE), ("coarse/c", SIZE // 2), ("coarse/d", SIZE // 2)):
        channels(tmp_path / place, ["f1" if place[-1] in "ac" else "f2"], size=size)
    report = bring(tmp_path / "fine")
    bring(tmp_path / "coarse", mpp=2.0, add=True)
    assert [row["folder"] for row in rows(report.path)] == ["a", "b"]


WRONG = "tissues.parquet says 61 in the column 'age' of the tissue 'f_01', .*metadata.csv says 60; .*Correct the value"


@pytest.mark.some(2)
@pytest.mark.parametrize("dry_run", [True, False])
def test_what_contradicts_what_is_there_is_refused(bring, cohort, tmp_path, dry_run):
    cells = {"cells": "tissue_id,cell_id\nf_02,1\n"}
    refuse = [
        (errors.TableError, WRONG, {"metadata": "tissue_id,age\nf_01,60\n"}),
        (errors.TableError, "cannot be one", {"metadata": "tissue_id,age\nf_01,old\n"}),
        (errors.TableError, "no column that names", {"metadata": "place,grade\nx,1\n"}),
        (errors.TableError, "several rows", {"metadata": "tissue_id,grade\nf_01,1\nf_01,2\n"}),
        (
            errors.TableError,
            "has the cells .'f_01', 2.* already",
            {"modality": "imc", "cells": "tissue_id,cell_id\nf_01,2\n"},
        ),
        (errors.ArgumentError, "he at 0.5 .*imc at 1 .*--modality", cells),
        (errors.ArgumentError, "cannot be told", {"modality": "mibi", **cells}),
        (errors.ArgumentError, "no source .*add", {"add": False, **cells}),
        (errors.ArgumentError, "no source .*--metadata", {}),
        (errors.ArgumentError, "read with images", {"panel": "name\nDNA\n", **cells}),
        (errors.ArgumentError, "contradict", {"overwrite": True, **cells}),
        (errors.ArgumentError, "no dataset .* to add to", {"dataset": "other", **cells}),
    ]
    for error, match, options in refuse:
        options = {"add": True, "modality": None, "mpp": None, "dry_run": dry_run, **options}
        refused(bring, tmp_path, error, match, None, **options)
    refused(bring, tmp_path, errors.ArgumentError, "Images need", tmp_path / "imc", add=True, modality=None)


def test_annotations_of_images_that_were_made_coarser_need_the_scale_of_the_files(bring, tmp_path):
    pytest.importorskip("shapely")
    report = bring(slides(tmp_path / "he", ["f1"]), modality="he", mpp=1.0, source_mpp=0.5)
    ring = [[0, 0], [80, 0], [80, 40], [0, 40], [0, 0]]
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": {}}
    (tmp_path / "f1.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    given = {"add": True, "modality": None, "mpp": None, "annotations": tmp_path / "f1.geojson"}
    refused(bring, tmp_path, errors.ArgumentError, "coarser .*--source-mpp", None, **given)
    bring(**given, source_mpp=0.5)
    [region] = rows(report.path, "regions")
    points = [point for polygon in region["polygon"] for ring in polygon for point in ring]
    assert max(point["col"] for point in points) == 40
    assert max(point["row"] for point in points) == 20


def test_the_command_adds_tables_alone(bring, imc, tmp_path):
    bring(imc)
    (tmp_path / "clinic.csv").write_text("tissue_id,grade\nf1,2\nf2,3\n")
    arguments = [
        "import",
        "--add",
        "--dataset",
        "cohort",
        "--into",
        tmp_path / "lake",
        "--metadata",
        tmp_path / "clinic.csv",
    ]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert "Added to the tissues of 'cohort': the columns 'grade'." in result.stdout
    assert "Next:" not in result.stdout
