import numpy as np
import pytest
import torch

import training_script
from lakes import PANEL, coordinates_image
from published_lake import write_published_lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return write_published_lake(tmp_path_factory.mktemp("script") / "lake", names=("alpha",))


def test_training_code_runs_unchanged(lake):
    (lake / "alpha/segmentations/1_0mpp/cell_masks/instances/alpha_0003.npz").unlink()
    found = training_script.run(lake)
    tiles = found["tiles"]
    assert len(tiles) == 18
    for tile in tiles:
        assert tile.kind == "tile"
        assert tile.image.shape == (len(tile.channel_names), 32, 32)
        assert tile.image.dtype == torch.float32
    assert tiles[0].channel_names.tolist() == ["DNA", "CD3e", "CD8"]
    assert tiles[-1].channel_names.tolist() == ["DNA", "CD8"]
    assert found["everywhere"] == ["DNA", "CD8", "Bad", "Junk"]
    assert found["plane"].shape == (1, 32, 32)
    assert found["rest"].channel_names.tolist() == ["DNA", "CD3e"]
    assert sorted(found["cells"]) == ["alpha_0000", "alpha_0001", "alpha_0002"]
    assert list(found["composed"].modalities) == ["he", "imc"]
    assert set(found["random"]) == {"dataset_name", "tissue_id", "tile_id", "modalities"}
    image = coordinates_image(5, 96, 96)[[0, 1, 2]]
    upper = (1_000.0 + 1_000 * np.arange(len(PANEL)))[:3, None, None]
    expected = (np.clip(image, 0, upper) / (upper + 1e-8) - 0.5) / (0.25 + 1e-8)
    assert np.abs(tiles[0].image.numpy() - expected[:, :32, :32]).max() < 1e-5
    assert found["embedding"][0] == pytest.approx(expected[:, :32, :32].mean(), abs=1e-5)
