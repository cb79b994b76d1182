"""A published cohort as released: metadata, cells, masks, tiling and statistics through the classes."""

import pytest

from spora_db.datasets import MultiplexImagingDataset, SingleIHCImagingDataset


def test_a_published_cohort(released_cohort):
    dataset = MultiplexImagingDataset(
        "cords2024", path=released_cohort, modality="imc", resolution=1.0, tile_size=128,
        standardization="quantile_clipping_log1p/uq_0.99_image", load_cell_metadata=True,
    )  # fmt: skip
    (tissue_id,) = dataset.get_tissue_ids()
    assert len(dataset.tile_coordinates[tissue_id]) == 27
    tile = dataset.get_tile(tissue_id, 26)
    assert tile.image.shape == (len(tile.channel_names), 128, 128)
    assert dataset.get_tissue_mask(tissue_id).mask.shape == dataset.get_tissue(tissue_id).image.shape[1:]
    assert int(dataset.get_cell_instance_mask(tissue_id).mask.max()) <= len(dataset.cell_metadata) == 2185
    assert dataset.query().count() == 27


@pytest.mark.parametrize("marker", ["Ki67", "kidney"])
def test_real_stains_in_ome_tiff(tiff_lake, marker):
    dataset = SingleIHCImagingDataset(
        "skin", path=tiff_lake / "skin_he", marker_name=marker, resolution="0_5mpp", tile_size=64
    )
    tile = dataset.get_tile_by_coordinates(dataset.get_tissue_ids()[0], 800, 300, preprocess=False)
    assert tile.image.shape == (3, 64, 64)
    assert 0 <= float(tile.image.min()) <= float(tile.image.max()) <= 255
    assert tile.marker == marker
