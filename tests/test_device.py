import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from lakes import write_lake
from spora_db import SporaQuery, register_standardizer
from spora_db.errors import ArgumentError, UnknownNameError
from spora_db.loading.collates import collate_list, collate_packed, collate_padded, collate_panel
from spora_db.loading.device import standardize_batch

QUANTILES = "quantile_clipping/uq_0.99_image"
LOG = "quantile_clipping_log1p/uq_0.99_image"


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    import shutil

    root = write_lake(tmp_path_factory.mktemp("device") / "lake")
    for name in ("alpha", "beta"):
        folder = root / name / "imc/1_0mpp/standardization"
        shutil.copytree(folder / QUANTILES, folder / LOG)
    return root


@pytest.mark.some(5)
@pytest.mark.parametrize("collate", [collate_list, collate_padded, collate_packed, collate_panel(["CD8", "P07766"])])
@pytest.mark.parametrize(
    ("modality", "spec", "use_mean_std"),
    [
        ("imc", "identity", True),
        ("imc", QUANTILES, True),
        ("imc", QUANTILES, False),
        ("imc", LOG, True),
        ("imc", LOG, False),
        ("he", "identity", True),
        ("he", "imagenet", True),
        ("he", "hibou", True),
    ],
)
def test_values_are_those_of_the_cpu(lake, collate, modality, spec, use_mean_std):
    query = SporaQuery(lake).modality(modality).tiles(size=32).standardize(spec, use_mean_std=use_mean_std)
    here, there = query.to_torch(), query.to_torch(standardize_on="device")
    rows = [0, 7, 18, 20, 53]
    expected = collate(here.__getitems__(rows))
    raw = collate(there.__getitems__(rows))
    first = raw[0] if collate is collate_list else raw
    assert first["image"].dtype == (torch.uint8 if modality == "he" else torch.float32)
    found = standardize_batch(raw, "cpu")
    pairs = zip(found, expected, strict=True) if collate is collate_list else [(found, expected)]
    for own, other in pairs:
        assert own["image"].dtype == torch.float32
        assert (own["image"] - other["image"]).abs().max() < 1e-5
        assert set(own) == set(other)


def test_tiles_across_the_edge_and_own_rows(lake):
    text = "SELECT 'alpha' AS dataset, 'alpha_0000' AS tissue_id, 0 AS tile_id, 80 AS \"row\", 64 AS col"
    query = SporaQuery.from_sql(lake, text).modality("imc").tiles(size=32, mpp=1.0).standardize(QUANTILES)
    found = standardize_batch(query.to_torch(standardize_on="device")[0], "cpu")
    assert (found["image"] - query.to_torch()[0]["image"]).abs().max() < 1e-5
    tissue = SporaQuery(lake).modality("imc").tissues().standardize(QUANTILES)
    found = standardize_batch(tissue.to_torch(standardize_on="device")[1], "cpu")
    assert (found["image"] - tissue.to_torch()[1]["image"]).abs().max() < 1e-5


def test_several_modalities_and_methods(lake):
    specs = {"imc": LOG, "he": "imagenet"}
    for modalities in (("imc", "he"), (("imc", "he"),)):
        query = SporaQuery(lake).modality(*modalities).tiles(size=32).standardize(specs)
        here, there = query.to_torch(), query.to_torch(standardize_on="device")
        rows = [0, 40, len(here) - 1]
        for collate in (collate_padded, collate_packed):
            found = standardize_batch(collate(there.__getitems__(rows)), "cpu")
            expected = collate(here.__getitems__(rows))
            parts = (
                [(found[name], expected[name]) for name in ("imc", "he")]
                if len(modalities) > 1
                else [(found, expected)]
            )
            for own, other in parts:
                assert (own["image"] - other["image"]).abs().max() < 1e-5


def test_the_batch_itself_is_not_changed(lake):
    dataset = SporaQuery(lake).modality("imc").tiles(size=32).standardize(QUANTILES).to_torch(standardize_on="device")
    batch = collate_padded(dataset.__getitems__([0, 1]))
    before = batch["image"].clone()
    standardize_batch(batch, "cpu")
    assert torch.equal(batch["image"], before)


def test_raw_batches_come_from_workers(lake):
    query = SporaQuery(lake).modality("he").tiles(size=32).standardize("hibou")
    loader = DataLoader(query.to_torch(standardize_on="device"), batch_size=7, num_workers=1, collate_fn=collate_padded)
    found = torch.cat([standardize_batch(batch, "cpu")["image"] for batch in loader])
    here = query.to_torch()
    assert np.abs(found.numpy() - np.stack([here[i]["image"].numpy() for i in range(len(here))])).max() < 1e-5


def test_what_cannot_run_there_is_refused(lake):
    query = SporaQuery(lake).modality("imc").tiles(size=32).standardize(QUANTILES)
    with pytest.raises(ArgumentError, match=r"filters.*gaussian_blur"):
        query.standardize(QUANTILES, filters=["gaussian_blur"]).to_torch(standardize_on="device")
    with pytest.raises(UnknownNameError, match="cpu, device"):
        query.to_torch(standardize_on="gpu")
    with pytest.raises(ArgumentError, match="standardize_on='device'"):
        standardize_batch(collate_padded([query.to_torch()[0]]), "cpu")


def test_registered_methods_are_refused(tmp_path):
    lake = write_lake(tmp_path / "lake", names=("alpha",), tissues=1)
    register_standardizer("quantile_clipping_cbrt", np.cbrt)
    folder = lake / "alpha/imc/1_0mpp/standardization"
    (folder / "quantile_clipping").rename(folder / "quantile_clipping_cbrt")
    query = SporaQuery(lake).modality("imc").tiles(size=32).standardize("quantile_clipping_cbrt/uq_0.99_image")
    with pytest.raises(ArgumentError, match=r"quantile_clipping_cbrt.*CPU"):
        query.to_torch(standardize_on="device")
