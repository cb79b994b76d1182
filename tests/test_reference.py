"""The golden figures of the published loader, through the query path: channel sets exactly, pixels to 1e-5."""

import json
from pathlib import Path

import numpy as np
import pytest

from conftest import SHARED
from spora_db import SporaQuery

MODALITY = {"cohort_a": "imc", "cohort_b": "codex"}


def golden() -> tuple[dict, dict]:
    if not SHARED.is_dir():
        return {}, {}
    pixels = np.load(SHARED / "reference/loading.npz")
    meta = json.loads((SHARED / "reference/loading.json").read_text())["meta"]
    return {key: value for key, value in meta.items() if key != "spora"}, pixels


META, PIXELS = golden()
CHOICES = sorted({tuple(key.split("|")[:4]) for key in META if key.count("|") == 4})


@pytest.mark.parametrize(("dataset", "spec", "nuclear", "kind"), CHOICES, ids="|".join)
def test_channels_and_pixels(reference_lake: Path, dataset, spec, nuclear, kind):
    query = SporaQuery(reference_lake / dataset).modality(MODALITY[dataset])
    query = query.channels(kind=kind, replace_nuclear_uniprot_ids=nuclear == "True").standardize(spec)
    tissues = query.tissues(mpp=1.0).to_torch()
    compared = 0
    for i in range(len(tissues)):
        key = "|".join((dataset, spec, nuclear, kind, tissues.plan.identity(i)["tissue_id"]))
        if key not in META:
            continue
        sample = tissues[i]
        assert sample["channel_names"] == META[key]["channels"]
        assert sample["uniprot_ids"] == META[key]["uniprot"]
        assert list(sample["image"].shape) == META[key]["shape"]
        compared += 1
    assert compared
    tiles = query.tiles(size=64, mpp=1.0).where("tile_id = 0").to_torch()
    for i in range(len(tiles)):
        key = "|".join((dataset, spec, nuclear, kind, tiles.plan.identity(i)["tissue_id"]))
        if nuclear == "False" and key in PIXELS:
            assert np.abs(tiles[i]["image"].numpy()[:, ::4, ::4] - PIXELS[key]).max() < 1e-5


@pytest.mark.parametrize("dataset", sorted(MODALITY))
def test_brightfield(shared, reference_lake, dataset):
    he = SporaQuery(reference_lake / dataset).modality("he").tiles(size=64, mpp=1.0, strategy="grid_64")
    tiles = he.where(f"tissue_id = '{dataset}_0000'").standardize("imagenet").to_torch()
    assert np.abs(tiles[-1]["image"].numpy()[:, ::4, ::4] - PIXELS[f"{dataset}|he"]).max() < 1e-5
    ihc = SporaQuery(reference_lake / dataset).modality("ihc_CD3").tissues(mpp=1.0).standardize("hibou").to_torch()
    assert np.abs(ihc[0]["image"].numpy()[:, ::8, ::8] - PIXELS[f"{dataset}|ihc"]).max() < 1e-5


def test_rows_of_a_split(shared, reference_lake):
    wanted = json.loads((shared / "reference/loading.json").read_text())["meta"]["spora"]
    frame = SporaQuery(reference_lake).modality(("imc", "codex")).tiles(size=64, mpp=1.0).split("train").df()
    rows = frame[["dataset", "tissue_id", "tile_id", "row", "col"]].to_numpy().tolist()
    assert len(rows) == wanted["n"]
    assert sorted(rows) == sorted(wanted["rows"])
