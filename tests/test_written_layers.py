"""Every command that writes into a lake writes into its last layer alone: files of the others keep their bytes."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from typer.testing import CliRunner

from http_servers import Bucket, slow_bucket
from lakes import write_lake
from region_lakes import box, write_regions
from spora_db import Catalog
from spora_db.cli import app
from spora_db.errors import DatasetNotFoundError, WriteError
from spora_db.importing import import_dataset
from test_import_add import contents
from test_layers import write_masks

TILES = "--tile-size 48 --mpp 1.0"
COMMANDS = [
    (f"tile LAKE {TILES} --strategy grid_48 -q", "alpha/tiling/1_0mpp/grid_48/48_tile_coordinates.parquet"),
    (
        "standardize LAKE --modality imc --mpp 1.0 --upper-quantile 0.95 -q",
        "alpha/imc/1_0mpp/standardization/quantile_clipping/uq_0.95_image/image_level_upper_quantiles.parquet",
    ),
    ("index LAKE --beside", ".spora-db/index.parquet"),
    ("add-table LAKE TABLES/grades.csv --name grades", "tables/grades.parquet"),
    ("add-table LAKE TABLES/grades.csv --name grades --dataset alpha", "alpha/tables/grades.parquet"),
    (
        "extract LAKE --model test_written_layers:means --name own --modality imc --tile-size 32 --mpp 1.0 -q",
        "alpha/features/own/features.json",
    ),
    ("rasterize LAKE --mpp 1.0", "alpha/segmentations/1_0mpp/cell_masks/regions/label_encoder.parquet"),
    ("import --add --dataset alpha --into LAKE --metadata TABLES/grades.csv -q", "alpha/metadata/tissues.parquet"),
    (
        "import TABLES/he --dataset alpha --into LAKE --modality he --mpp 0.5 --add --tissue-mask full -q",
        "alpha/he/0_5mpp/images/alpha_0001.ome.zarr/zarr.json",
    ),
    (
        "import TABLES/he --dataset gamma --into LAKE --modality he --mpp 0.5 --tissue-mask full -q",
        "gamma/metadata/tissues.parquet",
    ),
]


def means(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return batch["image"].float().mean(dim=(1, 2, 3))[:, None]


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    folder = tmp_path_factory.mktemp("written")
    lake = write_lake(folder / "b/lake", names=("alpha",), tissues=2)
    write_masks(lake / "alpha")
    write_regions(lake / "alpha", [("alpha_0000", "1", "tumour", box(10, 10, 50, 50))])
    with slow_bucket(folder) as server:
        yield server


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    (folder / "grades.csv").write_text("dataset,tissue_id,grade\nalpha,alpha_0001,3\n", encoding="utf-8")
    (folder / "he").mkdir()
    slide = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    tifffile.imwrite(folder / "he/alpha_0001.tiff", slide, photometric="rgb")
    return folder


@pytest.fixture
def near(bucket: Bucket) -> Path:
    return bucket.folder / "b/lake"


@pytest.fixture
def far(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "key")
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.address)
    monkeypatch.setenv("SPORA_CACHE_DIR", str(tmp_path / "cache"))
    return "s3://b/lake"


def run(command: str, lake: str, tables: Path) -> None:
    told = CliRunner().invoke(
        app, [word.replace("LAKE", lake).replace("TABLES", str(tables)) for word in command.split()]
    )
    assert told.exit_code == 0, (told.output, told.exception)


@pytest.mark.some(3)
@pytest.mark.parametrize(("command", "written"), COMMANDS, ids=[command.split(" LAKE")[0] for command, _ in COMMANDS])
def test_a_command_writes_into_the_last_layer(
    near: Path, tables: Path, tmp_path: Path, command: str, written: str
) -> None:
    mine, before = tmp_path / "mine", contents(near)
    mine.mkdir()
    run(command, f"{near}{os.pathsep}{mine}", tables)
    assert contents(near) == before
    assert (mine / written).is_file()
    hidden = [path for path in mine.rglob(".*") if path.name != ".spora-db"]
    assert hidden == []
    with Catalog([near, mine]) as catalog:
        assert catalog.sql("SELECT count(*) FROM tissues WHERE dataset = 'alpha' AND modality = 'imc'").fetchall() == [
            (2,)
        ]


def test_commands_write_over_a_bucket(near: Path, far: str, tables: Path, tmp_path: Path) -> None:
    mine, before = tmp_path / "mine", contents(near)
    mine.mkdir()
    for command, written in COMMANDS[:1] + COMMANDS[2:4] + COMMANDS[5:6] + COMMANDS[7:9]:
        run(command, f"{far}{os.pathsep}{mine}", tables)
        assert (mine / written).is_file(), command
    assert contents(near) == before
    with Catalog([far, mine]) as catalog:
        found = catalog.sql("SELECT modality, split, grade FROM tissues WHERE tissue_id = 'alpha_0001' ORDER BY ALL")
        assert sorted(map(str, found.fetchall())) == sorted(map(str, [("he", "test", 3), ("imc", "test", 3)]))


def test_an_import_adds_to_what_it_sees(near: Path, tables: Path, tmp_path: Path) -> None:
    """What another layer has counts as there; nothing of it is copied but the tables that are joined."""
    lake = [near, tmp_path / "new"]
    with pytest.raises(WriteError, match="has he images at 1 microns per pixel of 'alpha_0001' already"):
        import_dataset(tables / "he", into=lake, dataset="alpha", modality="he", mpp=1.0, add=True)
    with pytest.raises(WriteError, match=r"alpha exists\. Choose another name"):
        import_dataset(tables / "he", into=lake, dataset="alpha", modality="he", mpp=0.5)
    with pytest.raises(WriteError, match="lies in a layer that is not written to"):
        import_dataset(tables / "he", into=lake, dataset="alpha", modality="he", mpp=0.5, overwrite=True)
    with pytest.raises(DatasetNotFoundError, match=r"No folder .*typo"):
        import_dataset(tables / "he", into=[near / "typo", tmp_path], dataset="b", modality="he", mpp=0.5)
    with pytest.raises(WriteError, match=r"hf://datasets/a/b is not written to"):
        import_dataset(tables / "he", into=[near, "hf://datasets/a/b"], dataset="b", modality="he", mpp=0.5)
    assert not (tmp_path / "new").exists()
    report = import_dataset(tables / "he", into=lake, dataset="alpha", modality="he", mpp=0.5, add=True)
    assert report.path == tmp_path / "new/alpha"
    assert {path.parts[0] for path in contents(report.path)} == {"he", "metadata", "segmentations"}
    again = import_dataset(into=lake, dataset="alpha", metadata=tables / "grades.csv", add=True)
    assert again.path == report.path
    with Catalog(lake) as catalog:
        rows = catalog.sql("SELECT modality, grade FROM tissues WHERE tissue_id = 'alpha_0001' ORDER BY 1").fetchall()
    assert rows == [("he", 3), ("imc", 3)]
