"""The demo lake against independent readers: the published layout, registered modalities, the same files every time."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr

from spora_db.demo import write_demo_lake
from spora_db.demo.panels import COHORTS, COMPOSITION, LUNG, MARKERS, SPACING, TONSIL, TYPE_NAMES, DemoCohort
from spora_db.errors import ArgumentError, WriteError

TISSUES, SIZE = 2, 256
EVERY = pytest.mark.parametrize("cohort", COHORTS, ids=lambda cohort: cohort.name)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo_lake(tmp_path_factory.mktemp("lake"), tissues=TISSUES, size=SIZE)


def read_image(folder: Path, tissue: str) -> np.ndarray[Any, Any]:
    store = folder / f"{tissue}.ome.zarr"
    if store.exists():
        return np.asarray(zarr.open_array(store / "0", mode="r")[:])
    pixels = tifffile.imread(folder / f"{tissue}.ome.tiff")
    return np.moveaxis(pixels, -1, 0) if pixels.shape[-1] == 3 else pixels


def read_mask(root: Path, kind: str, tissue: str) -> np.ndarray[Any, Any]:
    with np.load(root / "segmentations/1_0mpp" / kind / f"{tissue}.npz", allow_pickle=False) as file:
        assert file.files == ["mask"]
        return np.asarray(file["mask"])


def tissues_of(root: Path) -> pd.DataFrame:
    return pd.read_parquet(root / "metadata/tissues.parquet")


def digests(root: Path, pattern: str) -> dict[str, str]:
    files = sorted(path for path in root.rglob(pattern) if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@EVERY
def test_every_file_of_the_layout_is_there(lake: Path, cohort: DemoCohort) -> None:
    root = lake / cohort.name
    found = {re.sub(r"_[lt]\d{3}_\d{4}", "_ID", str(path.relative_to(root))) for path in root.rglob("*.*")}
    suffix = "zarr" if cohort.modality == "imc" else "tiff"
    image, base = f"{cohort.name}_ID.ome.{suffix}", "segmentations/1_0mpp"
    expected = {f"{folder}/1_0mpp/images/{image}" for folder in ("he", cohort.modality)}
    expected |= {
        f"{base}/{kind}/{cohort.name}_ID.npz"
        for kind in ("tissue_masks", "cell_masks/instances", "cell_masks/cell_type")
    }
    expected |= {f"{base}/cell_masks/cell_type/label_encoder.parquet", "metadata/dataset.json"}
    expected |= {f"metadata/{name}.parquet" for name in ("tissues", "cells")}
    expected |= {f"{cohort.modality}/{name}.parquet" for name in ("channels", "channels_per_tissue")}
    assert {name for name in found if "zarr/" not in name} == expected
    assert [path.name for path in lake.iterdir() if path.name.startswith(".")] == []


@EVERY
def test_tissues_are_a_row_per_modality_and_splits_keep_patients_together(lake: Path, cohort: DemoCohort) -> None:
    table = tissues_of(lake / cohort.name)
    assert len(table) == 2 * TISSUES
    assert not table.duplicated(["tissue_id", "modality"]).any()
    assert set(table["modality"]) == {"he", cohort.modality}
    assert (table.groupby("patient_id")["split"].nunique() == 1).all()
    assert set(table["dataset"]) == {cohort.name}
    assert table["tissue_id"].tolist() == [
        f"{cohort.name}_{p}_{s}" for p, s in zip(table["patient_id"], table["specimen_id"], strict=True)
    ]


@EVERY
def test_panel_images_and_masks_agree(lake: Path, cohort: DemoCohort) -> None:
    root = lake / cohort.name
    panel = pd.read_parquet(root / cohort.modality / "channels.parquet")
    measured = pd.read_parquet(root / cohort.modality / "channels_per_tissue.parquet").set_index("tissue_id")
    assert panel["channel_name"].tolist() == measured.columns.tolist()
    assert (~panel["qc_pass"]).sum() == 1
    accessions = panel["uniprot_id"].dropna()
    assert accessions.str.fullmatch(r"[OPQ][0-9][A-Z0-9]{3}[0-9]").all()
    assert accessions.is_unique
    for number, tissue in enumerate(sorted(measured.index)):
        image = read_image(root / cohort.modality / "1_0mpp/images", tissue)
        he = read_image(root / "he/1_0mpp/images", tissue)
        count = int(measured.loc[tissue].sum())
        assert count == len(panel) - (number == 1)
        assert image.shape[0] == (len(panel) if cohort.full_panel_images else count)
        assert image.dtype == (np.float32 if cohort.modality == "imc" else np.uint16)
        assert (he.dtype, he.shape[0]) == (np.uint8, 3)
        for kind in ("tissue_masks", "cell_masks/instances", "cell_masks/cell_type"):
            assert read_mask(root, kind, tissue).shape == image.shape[1:] == he.shape[1:]


def test_imc_is_in_the_published_encoding(lake: Path) -> None:
    store = next((lake / "lung_imc/imc/1_0mpp/images").iterdir())
    header = json.loads((store / "0/zarr.json").read_text())
    channels = header["shape"][0]
    assert (header["zarr_format"], header["data_type"], header["dimension_names"]) == (3, "float32", ["c", "y", "x"])
    assert header["chunk_grid"]["configuration"]["chunk_shape"] == [channels, 1024, 1024]
    sharding = header["codecs"][0]
    assert sharding["name"] == "sharding_indexed"
    assert sharding["configuration"]["chunk_shape"] == [channels, 256, 256]
    blosc = sharding["configuration"]["codecs"][1]["configuration"]
    assert (blosc["cname"], blosc["clevel"], blosc["shuffle"], blosc["typesize"]) == ("lz4", 3, "bitshuffle", 4)
    scale = json.loads((store / "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]["datasets"][0]
    assert scale["coordinateTransformations"][0]["scale"][1:] == [1.0, 1.0]


def test_codex_is_tiled_zstd_with_a_page_per_channel(lake: Path) -> None:
    path = next((lake / "tonsil_codex/codex/1_0mpp/images").iterdir())
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) == len(TONSIL.channels)
        page = file.pages[0]
        assert (page.is_tiled, page.tilewidth, page.compression.name) == (True, 256, "ZSTD")
        assert 'Name="Pan-Cytokeratin"' in file.ome_metadata
        assert 'PhysicalSizeX="1.0"' in file.ome_metadata


@EVERY
def test_cells_describe_the_masks(lake: Path, cohort: DemoCohort) -> None:
    root = lake / cohort.name
    cells = pd.read_parquet(root / "metadata/cells.parquet")
    encoder = pd.read_parquet(root / "segmentations/1_0mpp/cell_masks/cell_type/label_encoder.parquet")
    ids = dict(zip(encoder["name"], encoder["id"], strict=True))
    assert sorted(ids.values()) == list(range(1, len(ids) + 1))
    for tissue, table in cells.groupby("tissue_id"):
        instances = read_mask(root, "cell_masks/instances", str(tissue))
        kinds = read_mask(root, "cell_masks/cell_type", str(tissue))
        present, areas = np.unique(instances[instances > 0], return_counts=True)
        assert table["cell_id"].tolist() == present.tolist()
        assert table["area"].tolist() == areas.tolist()
        assert not instances[~read_mask(root, "tissue_masks", str(tissue))].any()
        expected = np.concatenate([[0], table["cell_type"].map(ids).to_numpy()])
        np.testing.assert_array_equal(kinds, expected[instances])
        row, col = np.nonzero(instances == 1)
        first = table.iloc[0]
        assert (first["row"], first["col"]) == pytest.approx((row.mean(), col.mean()))


@EVERY
def test_it_looks_like_tissue(lake: Path, cohort: DemoCohort) -> None:
    """Markers are where their cells are, nuclei are dark in H&E at the same place, glass is empty."""
    root = lake / cohort.name
    tissue = sorted(set(tissues_of(root)["tissue_id"]))[0]
    image = read_image(root / cohort.modality / "1_0mpp/images", tissue).astype(np.float64)
    he = read_image(root / "he/1_0mpp/images", tissue).astype(np.float64)
    mask, cells = read_mask(root, "tissue_masks", tissue), read_mask(root, "cell_masks/instances", tissue)
    cell_type = read_mask(root, "cell_masks/cell_type", tissue)
    encoder = pd.read_parquet(root / "segmentations/1_0mpp/cell_masks/cell_type/label_encoder.parquet").set_index(
        "name"
    )["id"]
    plane = {channel.name: image[at] for at, channel in enumerate(cohort.channels)}
    assert 0.3 < mask.mean() < 0.95
    assert he[:, ~mask].mean() > 230
    assert he[1][cells > 0].mean() < 190
    nuclear = cohort.channels[0].name
    bright = plane[nuclear] > np.quantile(plane[nuclear], 0.9)
    assert he[0][bright].mean() + 30 < he[0][mask & ~bright].mean()
    for name, kind in [("CD68", "Macrophage"), ("CD3e", "CD4 T cell"), ("CD20", "B cell")]:
        mine, other = cell_type == encoder[kind], (cells > 0) & (cell_type != encoder[kind])
        assert plane[name][mine].mean() > 2 * plane[name][other].mean()
    assert plane[nuclear][cells > 0].mean() > 3 * plane[nuclear][~mask].mean()


def test_the_same_seed_gives_the_same_files_and_another_seed_others(lake: Path, tmp_path: Path) -> None:
    again = write_demo_lake(tmp_path / "again", tissues=TISSUES, size=SIZE)
    assert digests(again, "*") == digests(lake, "*")
    other = write_demo_lake(tmp_path / "other", seed=1, tissues=1, size=128)
    tissue = sorted(set(tissues_of(other / "lung_imc")["tissue_id"]))[0]
    assert (
        read_mask(other / "lung_imc", "tissue_masks", tissue).shape
        != read_mask(lake / "lung_imc", "tissue_masks", tissue).shape
    )


@EVERY
def test_the_card_names_licence_and_source(lake: Path, cohort: DemoCohort) -> None:
    card = json.loads((lake / cohort.name / "metadata/dataset.json").read_text())
    assert (card["license"], card["source"], card["name"]) == ("CC0-1.0", "synthetic", cohort.name)


def test_panels_overlap_and_differ(lake: Path) -> None:
    panels = [pd.read_parquet(lake / c.name / c.modality / "channels.parquet") for c in COHORTS]
    lung, tonsil = ({*panel["uniprot_id"].dropna()} for panel in panels)
    assert len(lung & tonsil) >= 8
    assert lung - tonsil
    assert tonsil - lung


def test_existing_folders_are_replaced_only_on_request_and_only_if_ours(tmp_path: Path) -> None:
    small = {"tissues": 1, "size": 96}
    write_demo_lake(tmp_path, **small)
    with pytest.raises(WriteError, match="overwrite=True"):
        write_demo_lake(tmp_path, **small)
    (tmp_path / "lung_imc/stale.txt").write_text("old")
    write_demo_lake(tmp_path, **small, overwrite=True)
    assert not (tmp_path / "lung_imc/stale.txt").exists()
    card = tmp_path / "tonsil_codex/metadata/dataset.json"
    card.write_text("{}")
    before = digests(tmp_path, "*")
    with pytest.raises(WriteError, match="not a demo dataset"):
        write_demo_lake(tmp_path, **small, overwrite=True)
    assert digests(tmp_path, "*") == before


@pytest.mark.parametrize(("arguments", "message"), [({"tissues": 0}, "tissues is 0"), ({"size": 40}, "size is 40")])
def test_sizes_that_make_no_lake_are_refused(tmp_path: Path, arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        write_demo_lake(tmp_path / "lake", **arguments)
    assert not (tmp_path / "lake").exists()


def test_the_tables_of_the_simulation_are_consistent() -> None:
    assert set(COMPOSITION) == set(SPACING)
    for shares in COMPOSITION.values():
        assert set(shares) <= set(TYPE_NAMES)
        assert sum(shares.values()) == pytest.approx(1)
    for marker in MARKERS.values():
        assert set(marker.expression) <= set(TYPE_NAMES)
        assert set(marker.positive) <= set(TYPE_NAMES)
    for cohort in (LUNG, TONSIL):
        names = [channel.name for channel in cohort.channels]
        assert len(set(names)) == len(names)
        assert cohort.absent in names
        assert {channel.marker for channel in cohort.channels} <= set(MARKERS)
