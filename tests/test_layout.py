import os
from pathlib import Path

import duckdb
import numpy as np
import pytest

from spora_db.errors import ArgumentError, DatasetNotFoundError, FileFormatError, SporaError, TableError
from spora_db.layout import (
    ImageFolder,
    check_name,
    image_folder,
    list_images,
    list_masks,
    mask_folder,
    modality_folder,
    mpp_folder,
    parse_mpp,
    scan,
    spec_folder,
    tile_file,
)
from spora_db.sources import listing_query, listing_table


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


@pytest.mark.parametrize(
    ("value", "mpp", "folder"),
    [
        (1, 1.0, "1_0mpp"),
        (1.0, 1.0, "1_0mpp"),
        ("1.0", 1.0, "1_0mpp"),
        ("1", 1.0, "1_0mpp"),
        ("1_0mpp", 1.0, "1_0mpp"),
        (0.65, 0.65, "0_65mpp"),
        ("0_65mpp", 0.65, "0_65mpp"),
        (0.37744, 0.37744, "0_37744mpp"),
        (np.float32(0.65), 0.65, "0_65mpp"),
        (np.int64(2), 2.0, "2_0mpp"),
        (0.00001, 0.00001, "0_00001mpp"),
        (10, 10.0, "10_0mpp"),
    ],
)
def test_one_resolution_has_one_number_and_one_folder(value, mpp, folder):
    assert parse_mpp(value) == mpp
    assert mpp_folder(value) == folder
    assert parse_mpp(folder) == mpp


@pytest.mark.parametrize(
    "value",
    [0, -1, "0", "", "1_0", "1.0mpp", "1mpp", "mpp", "../1_0mpp", "1_0mpp ", " 1", "1e0", "nan", "inf", "\uff11"],
)
def test_other_text_and_numbers_are_no_resolution(value):
    with pytest.raises(ArgumentError, match="microns per pixel"):
        parse_mpp(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, None, b"1.0", [1.0]])
def test_other_things_are_no_resolution(value):
    with pytest.raises(ArgumentError, match="microns per pixel"):
        parse_mpp(value)


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "a/b", "a\\b", "", ".", "..", ".hidden", "a\0b"])
def test_a_name_that_leaves_its_folder_is_refused(name):
    with pytest.raises(ArgumentError, match="refused"):
        check_name(name)
    with pytest.raises(ArgumentError):
        mask_folder(Path("d"), name, mpp=1)
    with pytest.raises(ArgumentError):
        modality_folder(f"ihc_{name}" if "/" in name else "")


def test_paths():
    root = Path("d")
    assert image_folder(root, "ihc_Ki67", mpp=0.5) == root / "ihc/ihc_Ki67/0_5mpp/images"
    assert mask_folder(root, "tissue", mpp=1) == root / "segmentations/1_0mpp/tissue_masks"
    assert mask_folder(root, "cell_type", mpp="1.0") == root / "segmentations/1_0mpp/cell_masks/cell_type"
    assert tile_file(root, "tile_stats", mpp=1, strategy="grid_64", tile_size=64).name == "64_tile_stats.parquet"
    spec = spec_folder(root, "imc", mpp=1, spec="quantile_clipping/uq_0.99_image")
    assert spec == root / "imc/1_0mpp/standardization/quantile_clipping/uq_0.99_image"
    for bad in ("quantile_clipping", "../x", "a/../b", "a/b/c"):
        with pytest.raises(ArgumentError):
            spec_folder(root, "imc", mpp=1, spec=bad)


FILES = (
    "a/metadata/tissues.parquet",
    "a/metadata/.tissues.parquet.tmp",
    "a/imc/channels.parquet",
    "a/imc/channels_per_tissue.parquet",
    "a/imc/0_5mpp/images/t2.ome.tif",
    "a/imc/1_0mpp/images/t10.ome.tiff",
    "a/imc/1_0mpp/images/t1.ome.zarr/zarr.json",
    "a/imc/1_0mpp/images/.t3.ome.tiff",
    "a/imc/1_0mpp/images/t4.ome.tiff.tmp",
    "a/imc/1_0mpp/images/.DS_Store",
    "a/imc/1_0mpp/standardization/quantile_clipping/uq_0.99_image/image_level_upper_quantiles.parquet",
    "a/imc/1_0mpp/standardization/quantile_clipping/uq_0.99_image/image_level_upper_quantiles.parquet.tmp",
    "a/ihc/ihc_Ki67/1_0mpp/images/t1.ome.tiff",
    "a/segmentations/1_0mpp/tissue_masks/t1.npz",
    "a/segmentations/1_0mpp/cell_masks/instances/t1.npz",
    "a/segmentations/1_0mpp/cell_masks/cell_type/label_encoder.parquet",
    "a/tiling/1_0mpp/default/224_tile_coordinates.parquet",
    "a/tiling/1_0mpp/default/0224_tile_coordinates.parquet",
    "a/tiling/1_0mpp/default/224_tile_stats.parquet",
    "b/he/1_0mpp/images/t1.ome.tiff",
    "notes/readme.txt",
    ".cache/metadata/tissues.parquet",
)


def test_scan_lists_a_lake(tmp_path):
    lake = scan(touch(tmp_path, *FILES))
    assert [dataset.name for dataset in lake.datasets] == ["a", "b"]
    a = lake.datasets[0]
    assert a.modalities == ("ihc_Ki67", "imc")
    assert a.mpps == (0.5, 1.0)
    assert [(f.kind, f.modality, f.mpp, f.tile_size) for f in a.tables] == [
        ("tissues", None, None, None),
        ("channels", "imc", None, None),
        ("panels", "imc", None, None),
        ("statistics", "imc", 1.0, None),
        ("label_encoder", None, 1.0, None),
        ("tile_coordinates", None, 1.0, 224),
        ("tile_stats", None, 1.0, 224),
    ]
    images = {(f.modality, f.mpp): list(list_images(f)) for f in a.image_folders}
    assert images["imc", 1.0] == [(".ome.zarr", "ome-zarr", ["t1"]), (".ome.tiff", "ome-tiff", ["t10"])]
    assert images["imc", 0.5] == [(".ome.tif", "ome-tiff", ["t2"])]
    assert {(f.kind, tuple(list_masks(f))) for f in a.mask_folders} == {
        ("tissue", ("t1",)),
        ("instances", ("t1",)),
        ("cell_type", ()),
    }
    assert scan(tmp_path / "a").datasets == (a,)


def test_the_order_of_a_listing_does_not_matter(tmp_path, backwards):
    touch(tmp_path, *FILES)
    first = scan(tmp_path)
    backwards()
    second = scan(tmp_path)
    assert first == second
    folders = zip(first.datasets[0].image_folders, second.datasets[0].image_folders, strict=True)
    assert all(list(list_images(one)) == list(list_images(other)) for one, other in folders)


@pytest.mark.parametrize("name", ["source_images", "source_masks"])
@pytest.mark.parametrize("files", [FILES, (*FILES, "b/imc/0_25mpp/images/Größe 肺.ome.tif"), ["a/metadata/x"]])
def test_a_listing_has_the_rows_and_types_of_its_select(tmp_path, name, files):
    lake = scan([touch(tmp_path / "one", *files), touch(tmp_path / "two", "b/he/1_0mpp/images/t2.ome.zarr")])
    with duckdb.connect() as duck:
        duck.register("listed", listing_table(name, lake))
        expected = duck.sql(listing_query(name, lake).sql("duckdb"))
        found = duck.table("listed").select(", ".join(expected.columns))
        assert found.types == expected.types
        assert sorted(found.fetchall(), key=str) == sorted(expected.fetchall(), key=str)
        assert len(found) or name == "source_masks"


@pytest.mark.parametrize("files", [(), ("x/readme.txt",), ("metadata",), ("he/readme.txt",)])
def test_no_dataset_is_an_error_that_says_what_was_looked_for(tmp_path, files):
    with pytest.raises(DatasetNotFoundError, match="metadata"):
        scan(touch(tmp_path, *files))
    with pytest.raises(FileNotFoundError, match="No folder"):
        scan(tmp_path / "absent")
    with pytest.raises(DatasetNotFoundError):
        scan(touch(tmp_path, "file") / "file")


def test_a_lake_may_hold_datasets_named_like_modalities(tmp_path):
    lake = scan(touch(tmp_path, "imc/metadata/tissues.parquet", "he/he/1_0mpp/images/t.ome.tiff"))
    assert [dataset.name for dataset in lake.datasets] == ["he", "imc"]


def test_symbolic_links_are_followed_and_keep_their_names(tmp_path):
    touch(tmp_path / "elsewhere", "real/metadata/tissues.parquet", "images/t.ome.tiff")
    lake = tmp_path / "lake"
    (lake / "other/he/1_0mpp").mkdir(parents=True)
    (lake / "linked").symlink_to(tmp_path / "elsewhere/real")
    (lake / "other/he/1_0mpp/images").symlink_to(tmp_path / "elsewhere/images")
    found = scan(lake)
    assert [dataset.name for dataset in found.datasets] == ["linked", "other"]
    assert list(list_images(found.datasets[1].image_folders[0])) == [(".ome.tiff", "ome-tiff", ["t"])]
    assert scan(lake / "linked").datasets[0].name == "linked"
    assert scan(lake / "linked").roots == (lake,)


def test_the_current_folder_has_a_name(tmp_path, monkeypatch):
    touch(tmp_path, "cohort/metadata/tissues.parquet", "cohort/imc/channels.parquet")
    monkeypatch.chdir(tmp_path / "cohort")
    assert scan(".").datasets[0].name == "cohort"
    monkeypatch.chdir(tmp_path / "cohort" / "imc")
    assert scan("..").datasets[0].name == "cohort"


def test_two_images_of_a_tissue_in_one_folder_are_an_error(tmp_path):
    touch(tmp_path, "t.ome.zarr/zarr.json", "t.ome.tiff")
    with pytest.raises(TableError, match="several images of tissue 't'"):
        list(list_images(ImageFolder(path=tmp_path, dataset="d", modality="he", mpp=1.0)))


def test_a_name_that_is_no_text_is_an_error(tmp_path):
    try:
        (tmp_path / os.fsdecode(b"t\xff.ome.tiff")).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(FileFormatError, match="UTF-8"):
        list(list_images(ImageFolder(path=tmp_path, dataset="d", modality="he", mpp=1.0)))


def test_a_folder_of_another_resolution_name_is_reported(tmp_path, caplog):
    touch(tmp_path, "d/metadata/tissues.parquet", "d/he/1mpp/images/t.ome.tiff")
    assert scan(tmp_path).datasets[0].image_folders == ()
    assert "1mpp" in caplog.text


def test_errors_are_ours():
    assert issubclass(DatasetNotFoundError, SporaError)
