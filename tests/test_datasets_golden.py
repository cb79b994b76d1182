"""The golden figures of the published loader, through the classes that replace it."""

import json

import numpy as np
import pytest

from conftest import SHARED
from spora_db.datasets import HEImagingDataset, MultiplexImagingDataset, SingleIHCImagingDataset, SporaDataset

FOLDER = SHARED / "reference"
GOLDEN = json.loads((FOLDER / "loading.json").read_text()) if FOLDER.is_dir() else {"meta": {}}
KEYS = [key for key in GOLDEN["meta"] if key.count("|") == 4]
GROUPS = sorted({tuple(key.split("|")[:3]) for key in KEYS})
MODALITY = {"cohort_a": "imc", "cohort_b": "codex"}


@pytest.fixture(scope="module")
def pixels(shared):
    with np.load(shared / "reference" / "loading.npz") as file:
        return {key: file[key] for key in file.files}


@pytest.mark.parametrize(("name", "spec", "nuclear"), GROUPS or [pytest.param("", "", "", marks=pytest.mark.skip)])
def test_channels_ids_masks_and_pixels_are_the_published_ones(reference_lake, pixels, name, spec, nuclear):
    dataset = MultiplexImagingDataset(
        name=name,
        path=reference_lake / name,
        modality=MODALITY[name],
        standardization=spec,
        resolution=1.0,
        tile_size=64,
        replace_nuclear_uniprot_ids=nuclear == "True",
    )
    compared = 0
    for key in (key for key in KEYS if key.startswith(f"{name}|{spec}|{nuclear}|")):
        kind, tissue_id = key.split("|")[3:]
        golden, found = GOLDEN["meta"][key], dataset.get_tissue(tissue_id, kind=kind)
        assert list(found.image.shape) == golden["shape"]
        assert found.channel_names.tolist() == golden["channels"]
        assert found.uniprot_ids.tolist() == golden["uniprot"]
        assert found.image_loading_mask.tolist() == golden["loading"]
        if key in pixels:
            tile = dataset.get_tile(tissue_id, 0, kind=kind).image.numpy()
            assert np.abs(tile[:, ::4, ::4] - pixels[key]).max() < 1e-5
            compared += 1
    assert compared > 0 or nuclear == "True"


@pytest.mark.parametrize("name", ["cohort_a", "cohort_b"])
def test_brightfield_pixels_are_the_published_ones(reference_lake, pixels, name):
    he = HEImagingDataset(name=name, path=reference_lake / name, resolution=1, tile_size=64, tile_strategy="grid_64")
    first = f"{name}_0000"
    golden = GOLDEN["meta"][f"{name}|he"]
    assert len(he.tile_coordinates[first]) == golden["n"]
    assert list(he.tile_coordinates[first][-1]) == golden["last"]
    tile = he.get_tile(first, golden["n"] - 1).image.numpy()
    expected = pixels[f"{name}|he"]
    step = tile.shape[1] // expected.shape[1]
    assert np.abs(tile[:, ::step, ::step] - expected).max() < 1e-5
    ihc = SingleIHCImagingDataset(
        name=name, path=reference_lake / name, marker_name="CD3", resolution=1, mean_std_type="hibou"
    )
    assert np.abs(ihc.get_tissue(first).image.numpy()[:, ::8, ::8] - pixels[f"{name}|ihc"]).max() < 1e-5


def test_the_tile_index_over_both_cohorts_is_the_published_one(reference_lake):
    dataset = SporaDataset(
        ["cohort_a", "cohort_b"], datasets_dir=reference_lake, resolution=1, tile_size=64, split="train"
    )
    golden = GOLDEN["meta"]["spora"]
    assert len(dataset) == golden["n"]
    columns = ["dataset_name", "tissue_id", "tile_id", "row", "col"]
    found = dataset.tile_index[columns].to_numpy().tolist()
    assert found[: len(golden["rows"])] == golden["rows"]
