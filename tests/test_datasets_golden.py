"""The golden figures of the published loader, through the classes that replace it."""

import pytest

from published_figures import CHOICES, SAMPLES, assert_pixels, has_pixels
from reference_lake import MODALITY
from spora_db.datasets import HEImagingDataset, MultiplexImagingDataset, SingleIHCImagingDataset, SporaDataset


@pytest.mark.some(3)
@pytest.mark.parametrize(("name", "spec", "nuclear"), sorted({choice[:3] for choice in CHOICES}))
def test_channels_ids_masks_and_pixels_are_the_published_ones(reference_lake, name, spec, nuclear):
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
    for key in (key for key in SAMPLES if key.startswith(f"{name}|{spec}|{nuclear}|")):
        kind, tissue_id = key.split("|")[3:]
        golden, found = SAMPLES[key], dataset.get_tissue(tissue_id, kind=kind)
        assert list(found.image.shape) == golden["shape"]
        assert found.channel_names.tolist() == golden["channels"]
        assert found.uniprot_ids.tolist() == golden["uniprot"]
        assert found.image_loading_mask.tolist() == golden["loading"]
        if has_pixels(key):
            assert_pixels(dataset.get_tile(tissue_id, 0, kind=kind).image.numpy(), key, step=4)
            compared += 1
    assert compared > 0 or nuclear == "True"


@pytest.mark.parametrize("name", ["cohort_a", "cohort_b"])
def test_brightfield_pixels_are_the_published_ones(reference_lake, name):
    he = HEImagingDataset(name=name, path=reference_lake / name, resolution=1, tile_size=64, tile_strategy="grid_64")
    first = f"{name}_0000"
    golden = SAMPLES[f"{name}|he"]
    assert len(he.tile_coordinates[first]) == golden["n"]
    assert list(he.tile_coordinates[first][-1]) == golden["last"]
    assert_pixels(he.get_tile(first, golden["n"] - 1).image.numpy(), f"{name}|he", step=4)
    ihc = SingleIHCImagingDataset(
        name=name, path=reference_lake / name, marker_name="CD3", resolution=1, mean_std_type="hibou"
    )
    assert_pixels(ihc.get_tissue(first).image.numpy(), f"{name}|ihc", step=8)


def test_the_tile_index_over_both_cohorts_is_the_published_one(reference_lake):
    dataset = SporaDataset(
        ["cohort_a", "cohort_b"], datasets_dir=reference_lake, resolution=1, tile_size=64, split="train"
    )
    golden = SAMPLES["spora"]
    assert len(dataset) == golden["n"]
    columns = ["dataset_name", "tissue_id", "tile_id", "row", "col"]
    found = dataset.tile_index[columns].to_numpy().tolist()
    assert found[: len(golden["rows"])] == golden["rows"]
