"""The golden figures of the published loader, through the query path: channel sets exactly, pixels to 1e-5."""

from pathlib import Path

import pytest

from published_figures import CHOICES, SAMPLES, assert_pixels, has_pixels
from reference_lake import MODALITY
from spora_db import SporaQuery


@pytest.mark.some(4)
@pytest.mark.parametrize(("dataset", "spec", "nuclear", "kind"), CHOICES, ids="|".join)
def test_channels_and_pixels(reference_lake: Path, dataset, spec, nuclear, kind):
    query = SporaQuery(reference_lake / dataset).modality(MODALITY[dataset])
    query = query.channels(kind=kind, replace_nuclear_uniprot_ids=nuclear == "True").standardize(spec)
    tissues = query.tissues(mpp=1.0).to_torch()
    compared = 0
    for i in range(len(tissues)):
        key = "|".join((dataset, spec, nuclear, kind, tissues.plan.identity(i)["tissue_id"]))
        if key not in SAMPLES:
            continue
        sample = tissues[i]
        assert sample["channel_names"] == SAMPLES[key]["channels"]
        assert sample["uniprot_ids"] == SAMPLES[key]["uniprot"]
        assert list(sample["image"].shape) == SAMPLES[key]["shape"]
        compared += 1
    assert compared
    tiles = query.tiles(size=64, mpp=1.0).where("tile_id = 0").to_torch()
    for i in range(len(tiles)):
        key = "|".join((dataset, spec, nuclear, kind, tiles.plan.identity(i)["tissue_id"]))
        if nuclear == "False" and has_pixels(key):
            assert_pixels(tiles[i]["image"].numpy(), key, step=4)


@pytest.mark.parametrize("dataset", sorted(MODALITY))
def test_brightfield(reference_lake, dataset):
    he = SporaQuery(reference_lake / dataset).modality("he").tiles(size=64, mpp=1.0, strategy="grid_64")
    tiles = he.where(f"tissue_id = '{dataset}_0000'").standardize("imagenet").to_torch()
    assert_pixels(tiles[-1]["image"].numpy(), f"{dataset}|he", step=4)
    ihc = SporaQuery(reference_lake / dataset).modality("ihc_CD3").tissues(mpp=1.0).standardize("hibou").to_torch()
    assert_pixels(ihc[0]["image"].numpy(), f"{dataset}|ihc", step=8)


def test_rows_of_a_split(reference_lake):
    wanted = SAMPLES["spora"]
    frame = SporaQuery(reference_lake).modality(("imc", "codex")).tiles(size=64, mpp=1.0).split("train").df()
    rows = frame[["dataset", "tissue_id", "tile_id", "row", "col"]].to_numpy().tolist()
    assert len(rows) == wanted["n"]
    assert sorted(rows) == sorted(wanted["rows"])
