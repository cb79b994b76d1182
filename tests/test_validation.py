"""One seeded fault per rule, each found and named; nothing found where nothing is wrong."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr
from typer.testing import CliRunner

from agreed import SHARED
from lakes import coordinates_image, write_lake, write_zarr
from odd_files import broken_images, foreign_parquet
from spora_db.catalog.sql_files import sql_folder
from spora_db.cli import app
from spora_db.errors import DatasetNotFoundError, UnknownNameError
from spora_db.images import write_ometiff
from spora_db.validation import RULES, SEVERITIES, Finding, count, validate

TISSUES = "metadata/tissues.parquet"
CELLS = "metadata/cells.parquet"
REGIONS = "metadata/regions.parquet"
CHANNELS = "imc/channels.parquet"
PANELS = "imc/channels_per_tissue.parquet"
IMAGES = "imc/1_0mpp/images"
RGB = "he/1_0mpp/images"
MASKS = "segmentations/1_0mpp/tissue_masks"
TASK = "segmentations/1_0mpp/cell_masks/cell_type"
INSTANCES = "segmentations/1_0mpp/cell_masks/instances"
TILES = "tiling/1_0mpp/default/32_tile_coordinates.parquet"
STATS = "tiling/1_0mpp/default/32_tile_stats.parquet"
SPEC = "imc/1_0mpp/standardization/quantile_clipping/uq_0.99_image"
UPPER = f"{SPEC}/image_level_upper_quantiles.parquet"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """A dataset with every kind of file and no fault: three tissues of 64 x 64 pixels."""
    root = write_lake(tmp_path_factory.mktemp("lake"), names=("alpha",), tissues=3, size=64)
    base = root / "alpha"
    tissues = pd.read_parquet(base / TISSUES)
    ids = tissues.tissue_id.unique()
    tissues.assign(split="train").to_parquet(base / TISSUES, index=False)
    pd.read_parquet(base / CHANNELS).replace({"not-an-id": "P08575-8"}).to_parquet(base / CHANNELS, index=False)
    pd.read_parquet(base / UPPER).rename_axis("tissue_id").to_parquet(base / UPPER)
    for folder in (MASKS, TASK, INSTANCES):
        (base / folder).mkdir(parents=True)
        for tissue in ids:
            np.savez_compressed(base / folder / f"{tissue}.npz", mask=np.ones((64, 64), np.uint8))
    cells = pd.DataFrame({"tissue_id": ids, "cell_id": 1, "cell_type": "T cell"})
    cells.to_parquet(base / CELLS, index=False)
    pd.DataFrame({"name": ["T cell", "B cell"], "id": [1, 2]}).to_parquet(
        base / TASK / "label_encoder.parquet", index=False
    )
    report = {"mask_height": 64, "mask_width": 64, "num_tiles": 4, "tile_size": 32, "coverage_ratio": 1.0}
    pd.DataFrame({"tissue_id": ids, **report}).to_parquet(base / STATS, index=False)
    return root


@pytest.fixture
def alpha(clean, tmp_path):
    """A copy of the clean dataset that may be spoiled."""
    return Path(shutil.copytree(clean / "alpha", tmp_path / "lake" / "alpha", symlinks=True))


def edit(file, change):
    """Spoil a table: `change` takes a DataFrame and returns one."""

    def spoil(base):
        frame = change(pd.read_parquet(base / file))
        if isinstance(frame.index, pd.RangeIndex) or frame.index.name is None:
            frame = frame.reset_index(drop=True)
            frame.to_parquet(base / file, index=False)
        else:
            frame.to_parquet(base / file)

    return spoil


def put(file, value, *, at, column):
    """Spoil one value of a table."""

    def change(frame):
        frame[column] = frame[column].astype(object)
        frame.loc[frame.index[at], column] = value
        return frame

    return edit(file, change)


def outline(*tissues):
    """Outline a square in each of some tissues, always under the same id."""
    from region_lakes import box, write_regions

    return lambda base: write_regions(base, [(tissue, "1", "tumor", box(0, 0, 8, 8)) for tissue in tissues])


def write(file, text=""):
    def spoil(base):
        (base / file).parent.mkdir(parents=True, exist_ok=True)
        (base / file).write_text(text)

    return spoil


def rename(file, new):
    return lambda base: (base / file).rename(base / new)


def remove(file):
    def spoil(base):
        path = base / file
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return spoil


def mask(file, array):
    return lambda base: np.savez_compressed(base / file, mask=array)


def duplicate(file):
    return edit(file, lambda frame: pd.concat([frame, frame.iloc[:1]]))


def renamed_column(file, old, new):
    return edit(file, lambda frame: frame.rename(columns={old: new}))


def image(file, channels=5, height=64, width=64, value=None):
    def spoil(base):
        shutil.rmtree(base / file, ignore_errors=True)
        pixels = coordinates_image(channels, height, width)
        if value is not None:
            pixels[0, 3, 4] = value
        write_zarr(base / file, pixels)

    return spoil


def two_columns(base):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(base / PANELS)
    pq.write_table(pa.table([*table.columns, table.column(0)], [*table.column_names, "DNA"]), base / PANELS)


def second_channel_case(base):
    put(CHANNELS, "dna", at=1, column="channel_name")(base)
    renamed_column(PANELS, "CD3e", "dna")(base)
    renamed_column(UPPER, "CD3e", "dna")(base)
    for kind in ("means", "stds"):
        renamed_column(f"{SPEC}/global_level_{kind}.parquet", "CD3e", "dna")(base)


def broken_pages(file):
    """Destroy the rows of a table and leave its footer."""

    def spoil(base):
        data = bytearray((base / file).read_bytes())
        data[4:200] = b"\xff" * 196
        (base / file).write_bytes(data)

    return spoil


def lost_shard(base):
    (base / f"{IMAGES}/alpha_0001.ome.zarr/0/c/0/0/0").unlink()


def cut_tiff(base):
    shutil.rmtree(base / f"{IMAGES}/alpha_0001.ome.zarr")
    path = write_ometiff(base / f"{IMAGES}/alpha_0001.ome.tiff", coordinates_image(5, 64, 64), mpp=1.0)
    path.write_bytes(path.read_bytes()[:-3000])


def small_rgb(base):
    image(f"{RGB}/alpha_0000.ome.zarr", channels=3, height=60)(base)


def twice_tissue(base):
    write_ometiff(base / f"{IMAGES}/alpha_0000.ome.tiff", coordinates_image(5, 64, 64), mpp=1.0)


def other_case_tissue(base):
    for folder, suffix in ((IMAGES, ".ome.zarr"), (RGB, ".ome.zarr")):
        rename(f"{folder}/alpha_0001{suffix}", f"{folder}/ALPHA_0000{suffix}")(base)
    edit(TISSUES, lambda frame: frame.replace({"alpha_0001": "ALPHA_0000"}))(base)


# rule, where the finding points, what its reason says, deep or not, the fault
FAULTS = [
    ("mpp_folders", "alpha/imc/1mpp", "'1mpp' is not a resolution", False, write("imc/1mpp/images/a.ome.tiff", "x")),
    ("mpp_folders", "alpha/imc/1_00mpp", "called 1_0mpp", False, lambda base: (base / "imc/1_00mpp").mkdir()),
    ("unknown_folders", "alpha/extras", "no such folder", False, write("extras/a.csv", "x")),
    ("unknown_folders", "alpha/imc/images", "below a folder of a resolution", False, write("imc/images/a.ome.tiff")),
    ("unknown_files", "alpha/imc/panel.csv", "no such file", False, write("imc/panel.csv", "x")),
    ("image_names", f"alpha/{IMAGES}/a.tiff", "neither", False, write(f"{IMAGES}/a.tiff", "x")),
    ("mask_names", f"alpha/{MASKS}/a.png", "no .npz", False, write(f"{MASKS}/a.png", "x")),
    ("image_twice", f"alpha/{IMAGES}", "alpha_0000", False, twice_tissue),
    ("file_case", f"alpha/{MASKS}", "'ALPHA_0000.npz' and 'alpha_0000.npz'", False,
     lambda base: shutil.copy(base / MASKS / "alpha_0000.npz", base / MASKS / "ALPHA_0000.npz")),
    ("dangling_links", f"alpha/{IMAGES}/gone.ome.tiff", "/no/such", False,
     lambda base: (base / IMAGES / "gone.ome.tiff").symlink_to("/no/such/file")),
    ("empty_files", f"alpha/{IMAGES}/a.ome.tiff", "no bytes", False, write(f"{IMAGES}/a.ome.tiff")),
    ("lfs_pointers", f"alpha/{MASKS}/alpha_0000.npz", "git-lfs", False, write(f"{MASKS}/alpha_0000.npz", POINTER)),
    ("left_over", "alpha/metadata/.tissues.parquet.1-a.tmp", "interrupted", False,
     write("metadata/.tissues.parquet.1-a.tmp")),
    ("tissues_absent", f"alpha/{TISSUES}", "no such file", False, remove(TISSUES)),
    ("panel_absent", f"alpha/{CHANNELS}", "no such file", False, remove(CHANNELS)),
    ("measured_absent", f"alpha/{PANELS}", "no such file", False, remove(PANELS)),
    ("statistics_absent", "alpha/imc/1_0mpp/standardization", "no statistics", False,
     remove("imc/1_0mpp/standardization")),
    ("spec_folders", "alpha/imc/1_0mpp/standardization/clip/uq_0.99_image", "Unknown standardization 'clip", False,
     rename("imc/1_0mpp/standardization/quantile_clipping", "imc/1_0mpp/standardization/clip")),
    ("statistics_tables", f"alpha/{SPEC}", "image_level_upper_quantiles", False, remove(UPPER)),
    ("statistics_tables", f"alpha/{SPEC}", "use_mean_std", False, remove(f"{SPEC}/global_level_means.parquet")),
    ("statistics_tables", f"alpha/{SPEC}/global_level_means.parquet", "2 rows", False,
     duplicate(f"{SPEC}/global_level_means.parquet")),
    ("label_encoder_absent", f"alpha/{TASK}/label_encoder.parquet", "no such", False,
     remove(f"{TASK}/label_encoder.parquet")),
    ("parquet", f"alpha/{CHANNELS}", "cannot be read", False, write(CHANNELS, "no parquet")),
    ("parquet", f"alpha/{CELLS}", "rows cannot be read", True, broken_pages(CELLS)),
    ("columns_missing", f"alpha/{TILES}", "'col'", False, renamed_column(TILES, "col", "x")),
    ("columns_missing", f"alpha/{CELLS}", "'cell_id'", False, renamed_column(CELLS, "cell_id", "cell")),
    ("columns_missing", f"alpha/{UPPER}", "'tissue_id'", False,
     edit(UPPER, lambda frame: frame.reset_index(drop=True))),
    ("columns_expected", f"alpha/{CHANNELS}", "'qc_pass'", False, renamed_column(CHANNELS, "qc_pass", "qc")),
    ("column_types", f"alpha/{TILES}", "whole numbers in 'row'; found DOUBLE", False,
     edit(TILES, lambda frame: frame.assign(row=frame.row + 0.5))),
    ("column_types", f"alpha/{PANELS}", "truth values in 'DNA'; found BIGINT", False,
     edit(PANELS, lambda frame: frame.assign(DNA=1))),
    ("column_types", f"alpha/{UPPER}", "numbers in 'DNA'; found VARCHAR", False,
     edit(UPPER, lambda frame: frame.assign(DNA="high"))),
    ("column_twice", f"alpha/{PANELS}", "'DNA'", False, two_columns),
    ("column_case", f"alpha/{TISSUES}", "'AGE', 'age'", False, edit(TISSUES, lambda frame: frame.assign(AGE=1))),
    ("stray_columns", f"alpha/{TISSUES}", "'Unnamed: 0'", False,
     edit(TISSUES, lambda frame: frame.assign(**{"Unnamed: 0": 1}))),
    ("panel_order", f"alpha/{CHANNELS}", "'Channel_Index' says 4, 3, 2, 1, 0; the rows come in the order 0 to 4", False,
     edit(CHANNELS, lambda frame: frame.assign(Channel_Index=range(4, -1, -1)))),
    ("panel_order", f"alpha/{CHANNELS}", "says 0, 1, None, 3, 4", False,
     edit(CHANNELS, lambda frame: frame.assign(channel_index=pd.array([0, 1, None, 3, 4], "Int64")))),
    ("label_encoders", f"alpha/{TASK}/label_encoder.parquet", "once as id: 1", False,
     edit(f"{TASK}/label_encoder.parquet", lambda frame: frame.assign(id=1))),
    ("label_encoders", f"alpha/{TASK}/label_encoder.parquet", "found -1", False,
     edit(f"{TASK}/label_encoder.parquet", lambda frame: frame.assign(id=[1, -1]))),
    ("tissue_rows", f"alpha/{TISSUES}", "'alpha_0000' has 2 rows", False, duplicate(TISSUES)),
    ("tissue_rows", f"alpha/{TISSUES}", "'../../x' is refused", False,
     put(TISSUES, "../../x", at=0, column="tissue_id")),
    ("tissue_case", f"alpha/{TISSUES}", "ALPHA_0000, alpha_0000", False, other_case_tissue),
    ("tissue_modalities", f"alpha/{TISSUES}", "'mibi'", False, put(TISSUES, "mibi", at=0, column="modality")),
    ("split_patients", f"alpha/{TISSUES}", "'p0' has tissues in the splits test, train", False,
     put(TISSUES, "test", at=0, column="split")),
    ("hostile_ids", "alpha", "in 32_tile_coordinates.parquet", False,
     put(TILES, "a/../../b", at=0, column="tissue_id")),
    ("channel_rows", f"alpha/{CHANNELS}", "no qc_pass", False, put(CHANNELS, None, at=0, column="qc_pass")),
    ("channel_rows", f"alpha/{CHANNELS}", "missing channel_name in row 2", False,
     put(CHANNELS, None, at=2, column="channel_name")),
    ("channel_case", f"alpha/{CHANNELS}", "'DNA, dna'", False, second_channel_case),
    ("channel_ids", f"alpha/{CHANNELS}", "uniprot_id CD8A", False, put(CHANNELS, "CD8A", at=2, column="uniprot_id")),
    ("panel_names", f"alpha/{PANELS}", "'CD8 ' is in channels_per_tissue.parquet but not", False,
     renamed_column(PANELS, "CD8", "CD8 ")),
    ("panel_names", f"alpha/{PANELS}", "'CD8' is in channels.parquet 2 times", False,
     put(CHANNELS, "CD8", at=1, column="channel_name")),
    ("panel_rows", f"alpha/{PANELS}", "has nulls", False, put(PANELS, None, at=0, column="CD8")),
    ("tissues_without_images", f"alpha/{TISSUES}", "alpha_0001", False, remove(f"{IMAGES}/alpha_0001.ome.zarr")),
    ("images_without_tissues", f"alpha/{IMAGES}", "alpha_0002", False,
     edit(TISSUES, lambda frame: frame[frame.tissue_id != "alpha_0002"])),
    ("images_without_panels", f"alpha/{IMAGES}", "alpha_0002", False, edit(PANELS, lambda frame: frame.iloc[:2])),
    ("images_without_masks", f"alpha/{IMAGES}", "alpha_0001", False, remove(f"{MASKS}/alpha_0001.npz")),
    ("masks_without_images", f"alpha/{MASKS}", "extra", False, mask(f"{MASKS}/extra.npz", np.ones((64, 64), bool))),
    ("image_channels", f"alpha/{IMAGES}", "image of 3 channels; expected the 5 measured ones", False,
     image(f"{IMAGES}/alpha_0001.ome.zarr", channels=3)),
    ("image_sizes", "alpha", "he 60 x 64, imc 64 x 64", False, small_rgb),
    ("tile_rows", "alpha/tiling", "2 rows with tile_id 0", False, put(TILES, 0, at=1, column="tile_id")),
    ("tile_reports", f"alpha/{STATS}", "4 tiles, but its statistics say 5", False,
     put(STATS, 5, at=0, column="num_tiles")),
    ("tiles_without_tissues", f"alpha/{TILES}", "'nobody' has 1 tiles", False,
     put(TILES, "nobody", at=0, column="tissue_id")),
    ("tiles_without_images", f"alpha/{TILES}", "alpha_0002", False, remove(f"{IMAGES}/alpha_0002.ome.zarr")),
    ("tiles_outside_masks", f"alpha/{STATS}", "tile 0 at row 40, col 0", False, put(TILES, 40, at=0, column="row")),
    ("tiles_outside_images", f"alpha/{TILES}", "image of 64 x 64 pixels, such as tile 0 at row -1", False,
     put(TILES, -1, at=0, column="row")),
    ("cell_rows", f"alpha/{CELLS}", "2 rows with cell_id 1", False, duplicate(CELLS)),
    ("column_types", f"alpha/{CELLS}", "holds 1.5; expected whole numbers", False,
     put(CELLS, 1.5, at=0, column="cell_id")),
    ("cell_rows", f"alpha/{CELLS}", "'alpha_0000' has cell_id 0", False, put(CELLS, 0, at=0, column="cell_id")),
    ("cell_places", f"alpha/{CELLS}", "cell 1 of tissue alpha_0000 lies at row 30.0, col 1.0", False,
     edit(CELLS, lambda frame: frame.assign(Pos_Y=1.0, Pos_X=1.0, centroid_row=30.0, centroid_col=1.0))),
    ("cells_outside_images", f"alpha/{CELLS}", "1 cell of 1 of tissue 'alpha_0000' lies", False,
     edit(CELLS, lambda frame: frame.assign(Pos_Y=[64.0, 1, 1], Pos_X=1.0))),
    ("cells_in_masks", f"alpha/{INSTANCES}/alpha_0000.npz", "Cell 9 of tissue 'alpha_0000'", True,
     put(CELLS, 9, at=0, column="cell_id")),
    ("cells_listed", f"alpha/{INSTANCES}/alpha_0000.npz", "The table lists 1 of its 2 cells.", True,
     mask(f"{INSTANCES}/alpha_0000.npz", np.where(np.eye(64) > 0, 9, 1))),
    ("mask_kinds", "alpha/segmentations/1_0mpp/cell_masks/tissue", "'tissue'", False,
     write("segmentations/1_0mpp/cell_masks/tissue/x.txt")),
    ("region_rows", f"alpha/{REGIONS}", "2 regions with region_id 1", False, outline("alpha_0000", "alpha_0000")),
    ("regions_without_tissues", f"alpha/{REGIONS}", "'nobody' has 1 regions", False, outline("nobody")),
    ("cells_without_tissues", f"alpha/{CELLS}", "'nobody' has 1 cells", False,
     put(CELLS, "nobody", at=0, column="tissue_id")),
    ("statistics_rows", f"alpha/{SPEC}", "alpha_0002", False, edit(UPPER, lambda frame: frame.iloc[:2])),
    ("statistics_columns", f"alpha/{SPEC}", "'CD8' has no column in image_level_upper_quantiles.parquet", False,
     edit(UPPER, lambda frame: frame.drop(columns="CD8"))),
    ("statistics_columns", f"alpha/{SPEC}",
     "'CD8' has no column in global_level_means.parquet, global_level_stds.parquet", False,
     lambda base: [renamed_column(f"{SPEC}/global_level_{k}.parquet", "CD8", "CD08")(base) for k in ("means", "stds")]),
    ("statistics_dropped", f"alpha/{SPEC}",
     "'CD8' is dropped from samples of 1 tissue (alpha_0001), because its upper quantile is 0", False,
     edit(UPPER, lambda frame: frame.assign(CD8=[1.0, 0.0, 1.0]))),
    ("statistics_dropped", f"alpha/{SPEC}", "because it is constant: its standard deviation is 0", False,
     edit(f"{SPEC}/global_level_stds.parquet", lambda frame: frame.assign(CD8=0.0))),
    ("statistics_values", f"alpha/{SPEC}", "'CD8' was measured but has no value", False,
     edit(UPPER, lambda frame: frame.assign(CD8=[np.nan, 1.0, 1.0]))),
    ("image_headers", f"alpha/{IMAGES}/alpha_0001.ome.zarr", "zarr.json", False,
     write(f"{IMAGES}/alpha_0001.ome.zarr/0/zarr.json", POINTER)),
    ("image_headers", f"alpha/{IMAGES}/alpha_0001.ome.tiff", "cut short", False, cut_tiff),
    ("rgb_channels", f"alpha/{RGB}/alpha_0001.ome.zarr", "2 channels", False,
     image(f"{RGB}/alpha_0001.ome.zarr", channels=2)),
    ("image_pixels", f"alpha/{IMAGES}/alpha_0001.ome.zarr", "lacks the chunk file", True, lost_shard),
    ("image_values", f"alpha/{IMAGES}/alpha_0001.ome.zarr", "1 pixels are NaN", True,
     image(f"{IMAGES}/alpha_0001.ome.zarr", value=np.nan)),
    ("masks_readable", f"alpha/{MASKS}/alpha_0000.npz", "could not be read", True,
     write(f"{MASKS}/alpha_0000.npz", "no zip")),
    ("mask_sizes", f"alpha/{MASKS}/alpha_0000.npz", "It is 60 x 64", True,
     mask(f"{MASKS}/alpha_0000.npz", np.ones((60, 64), bool))),
    ("mask_empty", f"alpha/{MASKS}/alpha_0000.npz", "No pixel", True,
     mask(f"{MASKS}/alpha_0000.npz", np.zeros((64, 64), bool))),
    ("mask_labels", f"alpha/{TASK}/alpha_0000.npz", "no id 7", True,
     mask(f"{TASK}/alpha_0000.npz", np.full((64, 64), 7))),
    ("unchecked", "alpha", "panel_names", False, write(CHANNELS, "no parquet")),
]  # fmt: skip
OWN = {"own_tables", "own_orphans"}  # in test_own_tables
OF_FEATURES = {"feature_sets", "feature_parts", "feature_values", "feature_orphans", "feature_rows"}
"""In test_validate_features."""
ELSEWHERE = {"sampled", "folder_names", "column_kinds", "encrypted"} | OWN | OF_FEATURES  # tests of their own


def faults():
    """Return parameters for every fault; further ones of a rule are slow."""
    found, rules = [], set()
    for number, row in enumerate(FAULTS):
        marks = [pytest.mark.slow] if row[0] in rules else []
        found.append(pytest.param(*row, id=f"{number}-{row[0]}", marks=marks))
        rules.add(row[0])
    return found


@pytest.mark.some(3)
@pytest.mark.parametrize(("rule", "file", "reason", "deep", "fault"), list(faults()))
def test_a_seeded_fault_is_found_and_named(alpha, rule, file, reason, deep, fault):
    fault(alpha)
    findings = validate(alpha.parent, deep=deep)
    named = [item for item in findings if item.rule == rule and item.file == file and reason in item.reason]
    assert len(named) == 1, "\n".join(f"{item.rule} {item.file}: {item.reason}" for item in findings)
    assert named[0].dataset == "alpha"
    assert named[0].remedy
    if deep:
        assert not any(item.rule == rule and item.file == file for item in validate(alpha.parent))


def test_every_rule_has_a_seeded_fault():
    assert {row[0] for row in FAULTS} | ELSEWHERE == set(RULES)


def test_every_check_in_sql_is_a_rule():
    assert {path.stem for path in (sql_folder() / "checks").glob("*.sql")} <= set(RULES)


@pytest.mark.some(2)
@pytest.mark.parametrize("deep", [False, True])
def test_nothing_is_found_in_a_clean_dataset(clean, deep):
    assert validate(clean, deep=deep) == ()
    assert validate(clean / "alpha", deep=deep) == ()


def test_a_fault_of_one_dataset_leaves_the_others_checked(clean, alpha):
    shutil.copytree(clean / "alpha", alpha.with_name("beta"))
    write(CHANNELS, "no parquet")(alpha)
    duplicate(TISSUES)(alpha.with_name("beta"))
    errors = {(item.dataset, item.rule) for item in validate(alpha.parent) if item.severity == "error"}
    assert errors == {("alpha", "parquet"), ("beta", "tissue_rows")}
    assert {item.dataset for item in validate(alpha.parent, dataset="beta")} == {"beta"}


def test_folders_of_the_lake_that_are_no_dataset_are_notes(alpha):
    (alpha.parent / "papers").mkdir()
    (alpha.parent / ".alpha.1-a.tmp").mkdir()
    found = {(item.severity, item.rule, item.file) for item in validate(alpha.parent)}
    assert found == {("note", "unknown_folders", "papers"), ("note", "left_over", ".alpha.1-a.tmp")}


def test_a_name_that_is_no_text_is_found(alpha, clean):
    shutil.copytree(clean / "alpha", alpha.with_name("beta"))
    (alpha / "tiling" / os.fsdecode(b"\xff")).mkdir()
    findings = validate(alpha.parent)
    assert [(item.severity, item.dataset, item.rule) for item in findings] == [("error", "alpha", "folder_names")]


@pytest.mark.some(2)
@pytest.mark.parametrize("folder", [IMAGES, MASKS])
def test_a_file_whose_name_is_no_text_is_found(alpha, folder):
    (alpha / folder / os.fsdecode(b"\xff.npz")).touch()
    findings = validate(alpha.parent, deep=True)
    assert json.dumps([item.reason for item in findings]).isascii()
    [found] = [item for item in findings if item.severity == "error"]
    assert (found.rule, found.file, found.reason) == (
        "folder_names", f"alpha/{folder}", r"The name b'\xff.npz' is no text in UTF-8.",
    )  # fmt: skip


def test_headers_are_sampled_without_deep_and_said_so(alpha, monkeypatch):
    monkeypatch.setattr("spora_db.validation.headers.SAMPLE", 2)
    [found] = [item for item in validate(alpha.parent) if item.file.endswith(IMAGES)]
    assert (found.severity, found.rule, found.reason) == ("note", "sampled", "Headers of 2 of 3 images were read.")
    assert validate(alpha.parent, deep=True) == ()


def test_of_many_findings_alike_ten_are_shown_and_the_others_counted(alpha):
    for number in range(14):
        write(f"imc/extra_{number:02}.csv")(alpha)
    found = validate(alpha.parent)
    assert len(found) == 11
    assert found[-1].reason == "... and 4 more findings of this rule."


def test_findings_come_in_a_fixed_order(alpha):
    for fault in (duplicate(TISSUES), write("imc/panel.csv"), put(TISSUES, "test", at=0, column="split")):
        fault(alpha)
    found = validate(alpha.parent)
    assert found == validate(alpha.parent)
    assert [SEVERITIES.index(item.severity) for item in found] == sorted(
        SEVERITIES.index(item.severity) for item in found
    )


def test_what_is_no_lake_is_an_error(tmp_path, clean):
    with pytest.raises(DatasetNotFoundError):
        validate(tmp_path)
    with pytest.raises(UnknownNameError, match="alpha"):
        validate(clean, dataset="alfa")


REAL_FINDINGS = {
    "cords2024cancer": [
        ("note", "stray_columns", "cords2024cancer/metadata/cells.parquet", "'index', 'Unnamed: 0'"),
        ("note", "stray_columns", "cords2024cancer/metadata/tissues.parquet", "'index'"),
        ("note", "stray_columns", "cords2024cancer/tiling/1_0mpp/default/128_tile_coordinates.parquet", "'index'"),
    ],
    "real_lake": [
        ("note", "column_kinds", "", "'grade' of tissues is breast_imc: DOUBLE, lymph_codex: NULL, skin_he: VARCHAR"),
        ("note", "statistics_absent", "breast_imc/imc/1_0mpp/standardization", "no statistics of imc"),
        ("note", "statistics_absent", "lymph_codex/codex/0_5mpp/standardization", "no statistics of codex"),
    ],
}


@pytest.mark.some(2)
@pytest.mark.skipif(not SHARED.is_dir(), reason="only released cohorts show which of their habits are findings")
@pytest.mark.parametrize("name", REAL_FINDINGS)
def test_real_data_has_no_findings_but_these(name):
    found = validate(SHARED / "data" / name, deep=True)
    assert [(item.severity, item.rule, item.file) for item in found] == [row[:3] for row in REAL_FINDINGS[name]]
    assert all(row[3] in item.reason for item, row in zip(found, REAL_FINDINGS[name], strict=True))


@pytest.mark.some(2)
@pytest.mark.parametrize("made", [True, False], ids=["made", "of other projects"])
def test_broken_files_become_findings(alpha, tmp_path, made):
    if made:
        bad = tmp_path / "bad"
        bad.mkdir()
        tiffs = [path for path in broken_images(bad) if path.is_file()][::2]
        for name, content in foreign_parquet():
            (bad / f"{name}.parquet").write_bytes(content)
    else:
        bad = SHARED / "data" / "bad"
        if not bad.is_dir():
            pytest.skip("only broken files of other projects show what others break")
        tiffs = sorted(path for path in bad.rglob("*.tif*") if path.stat().st_size < 2**20)[:40]
    for number, path in enumerate(tiffs):
        shutil.copyfile(path, alpha / IMAGES / f"bad_{number:02}.ome.tiff")
    for number, path in enumerate(sorted(bad.rglob("*.parquet"))[:60]):
        shutil.copyfile(path, alpha / f"tiling/1_0mpp/default/{number + 100}_tile_coordinates.parquet")
    rules = {item.rule for item in validate(alpha.parent, deep=True)}
    assert rules >= {"image_headers", "parquet", "columns_missing"}


def test_command_prints_findings_and_exits_1_for_errors(alpha):
    assert CliRunner().invoke(app, ["validate", str(alpha.parent)]).exit_code == 0
    write("imc/panel.csv")(alpha)
    result = CliRunner().invoke(app, ["validate", str(alpha.parent), "--format", "json"])
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert told["counts"] == {"error": 0, "warning": 0, "note": 1}
    assert told["findings"] == [
        {
            "severity": "note",
            "dataset": "alpha",
            "file": "alpha/imc/panel.csv",
            "rule": "unknown_files",
            "reason": "The layout has no such file here.",
            "remedy": RULES["unknown_files"].remedy,
        }
    ]
    duplicate(TISSUES)(alpha)
    result = CliRunner().invoke(app, ["validate", str(alpha.parent), "--deep"])
    assert result.exit_code == 1
    assert re.search(r"1 error, 0 warnings, 1 note", result.output)
    assert "tissue_rows" in result.output


def test_counts():
    item = Finding(severity="note", dataset="", file="", rule="sampled", reason="", remedy="")
    assert count([item, item]) == {"error": 0, "warning": 0, "note": 2}


def test_a_store_of_version_2_is_decoded_too(alpha):
    shutil.rmtree(alpha / f"{IMAGES}/alpha_0001.ome.zarr")
    store = zarr.create_array(
        alpha / f"{IMAGES}/alpha_0001.ome.zarr/0", shape=(5, 64, 64), dtype="f4", chunks=(1, 32, 64), zarr_format=2
    )
    store[:] = coordinates_image(5, 64, 64) + 1
    zarr.open_group(alpha / f"{IMAGES}/alpha_0001.ome.zarr", mode="a", zarr_format=2)
    assert validate(alpha.parent, deep=True) == ()
