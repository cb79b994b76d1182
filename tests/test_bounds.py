"""Unusual clipping bounds give what the formula gives, on every path that standardizes; numpy in float64 says what."""

import numpy as np
import pandas as pd
import pytest
import torch

from lakes import write_lake, write_zarr
from spora_db import MultiplexImagingDataset, SporaQuery, standardize_batch
from spora_db.loading.device import apply_formula
from spora_db.standardization.standardize import standardize_block
from spora_db.standardization.transform import Transform

INF, NAN = np.inf, np.nan
BOUNDS = [
    (0.0, 4.0), (-0.5, 4.0), (-0.99, 4.0), (-1.0, 4.0), (-1.5, 4.0), (-8.0, 4.0), (-8.0, -0.5), (-8.0, -2.0),
    (0.0, -0.5), (0.0, -0.995), (0.0, -1.0), (0.0, -1.01), (0.0, -5.0), (0.0, -1e30), (0.5, -3.0), (3.0, 1.0),
    (0.0, INF), (-INF, 4.0), (0.0, -INF), (0.0, NAN), (NAN, 4.0), (0.0, 1e38), (0.0, 0.0), (-2.0, -2.0),
]  # fmt: skip
VALUES = np.array([-1e9, -8.5, -5.0, -1.5, -1.0, -0.999, -0.5, -0.0, 0.0, 0.3, 1.0, 3.5, 4.0, 7.0, 1e9, NAN])
METHODS = ["quantile_clipping", "quantile_clipping_log1p"]
DTYPES = ["float32", "float64", "int16", "int8", "uint8"]


def formula(values, lower, upper, mean, std, *, method):
    """Return the formula in float64; ``clip`` is numpy's, where the upper bound wins over the lower one."""
    with np.errstate(all="ignore"):
        clipped = np.clip(values.astype(np.float32).astype(np.float64), np.float32(lower), np.float32(upper))
        z = np.log1p(clipped) if method.endswith("log1p") else (clipped - lower) / (upper - lower + 1e-8)
        return (z - mean) / (std + 1e-8)


def same(found, expected):
    found = np.asarray(found, np.float64)
    finite = np.isfinite(expected) & (np.abs(expected) < 1e30)
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found[finite], expected[finite], rtol=2e-5, atol=2e-5)
    assert np.array_equal(np.sign(found[~finite]), np.sign(expected[~finite]), equal_nan=True)


def transform(lower, upper, method, count=1):
    parts = {"lower": lower, "upper": upper, "mean": 0.5, "std": 0.25}
    return Transform(method=method, **{name: np.full(count, value, np.float32) for name, value in parts.items()})


@pytest.mark.some(4)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ["planes", "interleaved", "short"])
def test_the_kernel_on_all_bounds(method, dtype, order):
    values = VALUES if dtype.startswith("f") else np.array([-100, -8, -5, -2, -1, 0, 1, 3, 4, 7, 100])
    values = values.clip(0) if dtype == "uint8" else values
    row = np.tile(values, 1 if order == "short" else 9).astype(dtype)
    pixels = np.stack([row, row])[:, None]
    if order == "interleaved":
        pixels = np.ascontiguousarray(pixels.transpose(1, 2, 0)).transpose(2, 0, 1)
    for lower, upper in BOUNDS:
        out = np.empty(pixels.shape, np.float32)
        standardize_block(pixels, out, transform(lower, upper, method, 2), np.arange(2))
        expected = formula(row, lower, upper, 0.5, 0.25, method=method)
        same(out[0, 0], expected)
        same(out[1, 0], expected)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bounds", BOUNDS)
def test_the_device_formula_on_all_bounds(method, bounds):
    pixels = torch.from_numpy(VALUES.astype(np.float32))[None, None]
    given = torch.from_numpy(transform(*bounds, method).coefficients)
    same(apply_formula(pixels, given, method)[0, 0], formula(VALUES, *bounds, 0.5, 0.25, method=method))


LAKE_BOUNDS = {"DNA": (-8.0, 4.0), "CD3e": (0.0, -5.0), "CD8": (-8.0, -2.0), "Bad": (-0.5, 6.0), "Junk": (-1.5, -1.2)}


@pytest.fixture(scope="module", params=METHODS)
def cohort(request, tmp_path_factory):
    """Return a lake whose statistics have these bounds, the spec, and the pixels of a tissue."""
    root = write_lake(tmp_path_factory.mktemp("bounds") / "lake", names=("alpha",), tissues=1)
    pixels = np.resize(VALUES[:-1], (5, 32, 32)).astype(np.float32)
    write_zarr(root / "alpha/imc/1_0mpp/images/alpha_0000.ome.zarr", pixels)
    spec = f"{request.param}/uq_0.99_lq_0.01_image"
    folder = root / "alpha/imc/1_0mpp/standardization" / spec
    folder.mkdir(parents=True)
    index = pd.Index(["alpha_0000"], name="tissue_id")
    for place, kind in enumerate(("lower_quantiles", "upper_quantiles")):
        values = {name: [bounds[place]] for name, bounds in LAKE_BOUNDS.items()}
        pd.DataFrame(values, index=index).to_parquet(folder / f"image_level_{kind}.parquet")
    for kind, value in (("means", 0.5), ("stds", 0.25)):
        pd.DataFrame([dict.fromkeys(LAKE_BOUNDS, value)]).to_parquet(folder / f"global_level_{kind}.parquet")
    return root, spec, pixels


def expected_image(spec, pixels):
    method = spec.split("/")[0]
    planes = [
        formula(plane, *bounds, 0.5, 0.25, method=method)
        for plane, bounds in zip(pixels, LAKE_BOUNDS.values(), strict=True)
    ]
    return np.stack(planes)


def query(root, spec):
    found = SporaQuery(root).modality("imc").tissues(mpp=1.0).channels(kind="complete")
    return found.standardize(spec, disable_quantile_mask=True)


@pytest.mark.some(2)
def test_every_path_of_a_lake_gives_the_formula(cohort):
    root, spec, pixels = cohort
    expected = expected_image(spec, pixels)
    dataset = MultiplexImagingDataset("alpha", "imc", spec, 1.0, root / "alpha", 32, False, disable_quantile_mask=True)
    raw = dataset.get_tissue("alpha_0000", "complete", preprocess=False)
    assert np.array_equal(raw.image.numpy(), pixels)
    with pytest.warns(RuntimeWarning, match="disable_quantile_mask"):
        applied, _ = dataset.standardizer.apply(raw.image, "alpha_0000", raw.measured_mask, raw.image_loading_mask)
    with pytest.warns(RuntimeWarning, match="disable_quantile_mask"):
        fused = dataset.get_tile_by_coordinates("alpha_0000", 0, 0, "complete")
    same(applied, expected)
    same(fused.image, expected)
    with pytest.warns(UserWarning, match="without usable statistics"):
        plan = query(root, spec).to_torch()
    same(plan[0]["image"], expected)
    with pytest.warns(UserWarning, match="without usable statistics"):
        on_device = query(root, spec).to_torch(standardize_on="device")
    same(standardize_batch(dict(on_device[0]), "cpu")["image"], expected)


def test_channels_without_a_usable_bound_are_dropped_alike(cohort):
    root, spec, _ = cohort
    dataset = MultiplexImagingDataset("alpha", "imc", spec, 1.0, root / "alpha", 32, False)
    kept = ["Bad"] if "log1p" in spec else ["DNA", "Bad"]  # log1p has no value at a lower bound of -8
    tissue = dataset.get_tissue("alpha_0000", "complete")
    raw = dataset.get_tissue("alpha_0000", "complete", preprocess=False)
    applied, mask = dataset.standardizer.apply(raw.image, "alpha_0000", raw.measured_mask, raw.image_loading_mask)
    sample = SporaQuery(root).modality("imc").tissues(mpp=1.0).channels(kind="complete").standardize(spec).to_torch()[0]
    assert tissue.channel_names.tolist() == raw.channel_names[mask].tolist() == list(sample["channel_names"]) == kept
    assert torch.equal(applied, tissue.image)
    assert torch.equal(torch.as_tensor(sample["image"]), tissue.image)
