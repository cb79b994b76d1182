"""Locality order over files of each format: with room for the groups that it mixes, every chunk is decoded once."""

import itertools
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from lakes import write_lake
from spora_db import SporaQuery
from spora_db.images import cache_info, clear_cache, open_image, read_region

pytestmark = pytest.mark.usefixtures("empty_cache")

CHUNK, SIZE, TILE, STEP = 32, 96, 32, 30
CODECS = {"imc": {"compression": "zlib"}, "he": {"photometric": "rgb", "compression": "jpeg"}}
TISSUES = 8


@pytest.fixture(scope="module")
def lakes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a lake in Zarr and the same in TIFF, of chunks of the same size."""
    folder = tmp_path_factory.mktemp("locality")
    zarr = write_lake(folder / "zarr", names=("alpha",), tissues=TISSUES, size=SIZE)
    tiff = shutil.copytree(zarr, folder / "tiff")
    for path in tiff.rglob("*.ome.zarr"):
        modality, image = path.parts[-4], read_region(open_image(path))
        pixels = np.moveaxis(image, 0, -1) if modality == "he" else image
        tifffile.imwrite(path.with_suffix(".tiff"), pixels, tile=(CHUNK, CHUNK), **CODECS[modality])
        shutil.rmtree(path)
    return {"zarr": zarr, "tiff": tiff}


@pytest.mark.some(2)
@pytest.mark.parametrize("modality", ["imc", "he"])
@pytest.mark.parametrize("form", ["zarr", "tiff"])
def test_an_epoch_decodes_every_chunk_once(lakes: dict[str, Path], form: str, modality: str) -> None:
    tissues = [f"alpha_{number:04d}" for number in range(TISSUES) if number != 2]
    corners = list(itertools.product(range(0, SIZE - TILE + 1, STEP), repeat=2))
    rows = [("alpha", tissue, place, *corner) for tissue in tissues for place, corner in enumerate(corners)]
    places = pd.DataFrame(rows, columns=["dataset", "tissue_id", "tile_id", "row", "col"])
    dataset = SporaQuery.from_arrow(lakes[form], places).modality(modality).tiles(size=TILE, mpp=1.0).to_torch()
    channels = dataset[0]["image"].shape[0]
    whole = SIZE * SIZE * channels * (1 if modality == "he" else 4)
    decoded = {}
    for shuffle in ("locality", "global"):
        clear_cache()
        kept = whole if modality == "he" else whole // 2  # counts as uint16; two images, of seven, and a bit
        options = {"lanes": 2, "interleave": 1, "cache_bytes": 5 * kept // 2}
        assert sum(len(batch["row"]) for batch in dataset.loader(3, shuffle=shuffle, **options)) == len(rows)
        decoded[shuffle] = cache_info().bytes_decoded
    assert decoded["locality"] == len(tissues) * whole
    assert decoded["global"] > 1.5 * decoded["locality"]
