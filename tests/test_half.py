"""Half precision: the float32 pixels of every path, rounded as torch and numpy do, or an error that names a channel."""

import functools
import pickle
import shutil

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cell_lakes import write_cells, write_masks
from lakes import write_lake, write_zarr
from spora_db import SporaQuery, register_standardizer, standardize_batch
from spora_db.errors import ArgumentError, UnknownNameError
from spora_db.kernels import halves
from spora_db.loading.collates import collate_list, collate_packed, collate_padded, collate_panel
from spora_db.loading.workers import warm_up_for
from spora_db.standardization.precision import PIXELS, BeyondRange
from spora_db.standardization.standardize import standardize_block
from spora_db.standardization.transform import Transform, identity_transform, rgb_transform
from spora_db.transforms import channel_dropout, channel_shuffle, compose, random_crop, random_symmetry

HALVES = ["float16", "bfloat16"]
QUANTILES, LOG = "quantile_clipping/uq_0.99_image", "quantile_clipping_log1p/uq_0.99_image"
LARGEST = {"float16": 65504.0, "bfloat16": torch.finfo(torch.bfloat16).max}


def tensor(array):
    """Return an array as `PIXELS` types it as a tensor."""
    return torch.from_numpy(array).view(torch.bfloat16) if array.dtype == np.uint16 else torch.from_numpy(array)


def bits(values):
    return values.view(torch.int16)


def rounded(values, precision):
    out = np.empty((1, 1, values.size), PIXELS[precision])
    standardize_block(values.reshape(1, 1, -1), out, identity_transform(1), np.array([0]))
    return tensor(out)[0, 0]


def assert_rounded(values, precision):
    """Compare with torch, and float16 with numpy too, bit for bit; of NaN only that it is one, with its sign."""
    expected = torch.from_numpy(values).to(getattr(torch, precision))
    held = np.isinf(values) | ~expected.isinf().numpy()
    found, expected = rounded(values[held], precision), expected[torch.from_numpy(held)]
    real = ~expected.isnan()
    assert torch.equal(bits(found)[real], bits(expected)[real])
    assert torch.equal(found.isnan(), expected.isnan())
    assert np.array_equal(bits(found).numpy() < 0, np.signbit(values[held]))
    if precision == "float16":
        with np.errstate(over="ignore"):
            by_numpy = values[held].astype(np.float16).view(np.int16)
        assert np.array_equal(bits(found)[real].numpy(), by_numpy[real.numpy()])


# ---- rounding ----


@pytest.mark.parametrize("precision", HALVES)
def test_every_number_of_the_type_and_all_that_lies_around_the_middle_between_two(precision):
    every = np.arange(2**16, dtype=np.uint16)
    exact = tensor(every.view(np.float16) if precision == "float16" else every).float().numpy()
    middle = (np.arange(2**16, dtype=np.uint32) << np.uint32(16)) + np.uint32(0x8000)  # of bfloat16
    if precision == "float16":
        with np.errstate(all="ignore"):
            after = np.nextafter(every.view(np.float16), np.float16(np.inf)).astype(np.float32)
            middle = ((exact + after) / 2).view(np.uint32)
    values = np.concatenate([exact.view(np.uint32), middle - 1, middle, middle + 1]).view(np.float32)
    assert_rounded(values, precision)


@pytest.mark.parametrize("precision", HALVES)
@settings(max_examples=60, deadline=None)
@given(patterns=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=99))
def test_any_bits(precision, patterns):
    assert_rounded(np.array(patterns, np.uint32).view(np.float32), precision)


def test_processors_without_the_instruction_round_alike():
    by_addition = numba.vectorize([numba.uint16(numba.float32)])(halves._by_addition)
    patterns = np.concatenate([np.arange(0, 2**31, 1009), np.arange(2**31, 2**32, 1013)]).astype(np.uint32)
    values = patterns.view(np.float32)
    values = values[np.abs(values) < halves.FLOAT16_LOST.view(np.float32)]
    assert np.array_equal(by_addition(values), values.astype(np.float16).view(np.uint16))


@pytest.mark.parametrize("precision", HALVES)
def test_subnormals_infinities_and_nan(precision):
    tiny = np.float32(2.0) ** np.arange(-149, -10, dtype=np.float32)
    odd = np.array([0x7FC00000, 0xFFC00001, 0x7F800001, 0xFFFFFFFF, 0x7F800000, 0xFF800000, 0x80000000], np.uint32)
    assert_rounded(np.concatenate([tiny, -tiny, 1.5 * tiny, 3.0001 * tiny, odd.view(np.float32)]), precision)


@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_finite_pixel_never_becomes_infinite(precision, sign):
    most = np.float32(LARGEST[precision])
    step = np.float32(16 if precision == "float16" else 2.0**119)  # half of what the last bit is worth there
    last = np.nextafter(np.float32(most + step), np.float32(0))
    assert rounded(np.float32([sign * last, np.inf]), precision).tolist() == [sign * float(most), np.inf]
    with pytest.raises(BeyondRange, match=f"channel 0 .* larger than {precision} holds"):
        rounded(np.float32([1, sign * (most + step), 2]), precision)


@pytest.mark.some(2)
@pytest.mark.parametrize("precision", HALVES)
def test_integers_are_looked_at_one_by_one_only_where_the_largest_does_not_fit(precision):
    """float16 of uint16 may be too large, that of int16 and uint8 not: the same bits, and the same error."""
    for values in (np.arange(65_520, dtype=np.uint16), np.arange(-(2**15), 2**15, dtype=np.int16), np.uint8([0, 255])):
        assert torch.equal(bits(rounded(values, precision)), bits(rounded(values.astype(np.float32), precision)))
    if precision == "float16":
        with pytest.raises(BeyondRange, match="larger than float16 holds, 65,504"):
            rounded(np.uint16([1, 65_520, 2]), precision)
    else:
        assert rounded(np.uint16([65_535]), precision) == 65_536


@pytest.mark.some(2)
@pytest.mark.parametrize("precision", PIXELS)
@pytest.mark.parametrize("dtype", ["uint16", "uint8", "bool", "int16"])
def test_clipped_from_zero_on_integers_become_what_the_same_floats_do(precision, dtype):
    pixels = np.tile(np.arange(2**16, dtype=np.uint16).astype(dtype), (3, 1, 1))
    lower, one = np.array([0.0, -0.0, 0.5]), np.ones(3)
    given = Transform(method="quantile_clipping", lower=lower, upper=200.5 * one, mean=0.3 * one, std=0.2 * one)
    found = []
    for own in (pixels, pixels.astype(np.float32)):
        out = np.empty(pixels.shape, PIXELS[precision])
        standardize_block(own, out, given, np.arange(3))
        found.append(out.tobytes())
    assert found[0] == found[1]


# ---- the fused pass ----


def transform(method, channels=3, *, use_mean_std=True):
    rng = np.random.default_rng(channels)
    lower, upper = rng.uniform(0, 2, channels), rng.uniform(50, 60_000, channels)
    mean, std = rng.uniform(0.1, 0.6, channels), rng.uniform(0.1, 0.4, channels)
    return Transform(method=method, lower=lower, upper=upper, mean=mean, std=std, use_mean_std=use_mean_std)


def oracle(pixels, given):
    """Return the formula in float64."""
    low, up, mean, std = (
        part.astype(np.float64)[:, None, None] for part in (given.lower, given.upper, given.mean, given.std)
    )
    clipped = np.clip(pixels.astype(np.float32).astype(np.float64), low, up)
    z = np.log1p(clipped) if given.method.endswith("log1p") else (clipped - low) / (up - low + 1e-8)
    return (z - mean) / (std + 1e-8) if given.use_mean_std else z


def both(pixels, given, precision):
    """Return what one pass writes in half precision, and in float32."""
    found = [np.empty(pixels.shape, PIXELS[name]) for name in (precision, "float32")]
    for out in found:
        standardize_block(pixels, out, given, np.arange(len(pixels)))
    return [tensor(out) for out in found]


@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("method", ["quantile_clipping", "quantile_clipping_log1p"])
@pytest.mark.parametrize("use_mean_std", [True, False])
def test_all_pixels_of_16_bits(precision, method, use_mean_std):
    pixels = np.tile(np.arange(2**16, dtype=np.uint16).reshape(1, 256, 256), (3, 1, 1))
    given = transform(method, use_mean_std=use_mean_std)
    half, single = both(pixels, given, precision)
    assert torch.equal(bits(half), bits(single.to(half.dtype)))
    np.testing.assert_allclose(
        half.double(), oracle(pixels, given), rtol=1e-3 if precision == "float16" else 4e-3, atol=1e-5
    )


@pytest.mark.some(3)
@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", ">u2", "bool", "float16"])
def test_all_types_of_files_and_layouts(precision, dtype):
    pixels = np.random.default_rng(0).gamma(0.6, 20, (2, 9, 33)).astype(dtype)
    given = transform("quantile_clipping_log1p", 2)
    for view in (pixels, pixels[:, ::2, ::3], pixels[:, ::-1], np.asfortranarray(pixels)):
        half, single = both(view, given, precision)
        assert torch.equal(bits(half), bits(single.to(half.dtype)))


@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("preset", ["identity", "imagenet", "hibou"])
def test_colours_side_by_side(precision, preset):
    pixels = np.moveaxis(np.arange(768, dtype=np.uint8).reshape(16, 16, 3), 2, 0)
    half, single = both(pixels, rgb_transform(preset, dtype="uint8"), precision)
    assert torch.equal(bits(half), bits(single.to(half.dtype)))


@pytest.mark.parametrize("precision", HALVES)
def test_results_that_lie_apart_in_memory_and_those_of_a_part_of_the_channels(precision):
    pixels, given = np.arange(2 * 5 * 7, dtype=np.uint16).reshape(2, 5, 7), transform("quantile_clipping")
    whole = np.full((3, 12, 20), 9, PIXELS[precision])
    single = np.empty((3, 5, 7), np.float32)
    standardize_block(pixels, single, given, np.array([2, 0]))
    for out in (whole[:, 1:, 3:], whole[:, ::-1, ::-2]):
        standardize_block(pixels, out, given, np.array([2, 0]))
        expected = tensor(single).to(getattr(torch, precision))[[0, 2]]
        assert torch.equal(bits(tensor(np.ascontiguousarray(out[[0, 2], :5, :7]))), bits(expected))
    assert (whole[1] == 9).all()
    with pytest.raises(ArgumentError, match="float32, float16, or uint16"):
        standardize_block(pixels, np.empty((3, 5, 7)), given, np.array([2, 0]))


# ---- datasets ----


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root = write_lake(tmp_path_factory.mktemp("half") / "lake")
    masks = write_masks(root)
    for name in ("alpha", "beta"):
        folder = root / name / "imc/1_0mpp/standardization"
        for spec in (LOG, "quantile_clipping_of_halves/uq_0.99_image"):
            shutil.copytree(folder / QUANTILES, folder / spec)
        write_cells(root / name, masks, names=("Pos_Y", "Pos_X"))
    register_standardizer("quantile_clipping_of_halves", np.sqrt)
    return root


def imc(lake, spec=QUANTILES, **choices):
    return SporaQuery(lake).modality("imc").tiles(size=32).standardize(spec, **choices)


def across_the_edge(lake):
    text = "SELECT 'alpha' AS dataset, 'alpha_0000' AS tissue_id, 0 AS tile_id, 80 AS \"row\", 64 AS col"
    return SporaQuery.from_sql(lake, text).modality("imc").tiles(size=32, mpp=1.0).standardize(QUANTILES)


QUERIES = {
    "identity": lambda lake: imc(lake, "identity"),
    "clipped": imc,
    "log1p": lambda lake: imc(lake, LOG),
    "without mean": lambda lake: imc(lake, use_mean_std=False),
    "registered": lambda lake: imc(lake, "quantile_clipping_of_halves/uq_0.99_image"),
    "filtered": lambda lake: imc(lake, filters=["gaussian_blur", "median_filter"]),
    "halo": lambda lake: imc(lake, filters=["gaussian_blur"], halo=True),
    "colours": lambda lake: SporaQuery(lake).modality("he").tiles(size=32).standardize("hibou"),
    "raw colours": lambda lake: SporaQuery(lake).modality("he").tiles(size=32),
    "edge": across_the_edge,
    "tissues": lambda lake: SporaQuery(lake).modality("imc").tissues().standardize(QUANTILES),
    "cells": lambda lake: SporaQuery(lake).modality("imc").cells(size=24).standardize(QUANTILES).sample(40, seed=0),
    "several": lambda lake: (
        SporaQuery(lake).modality("imc", "he", missing="keep").tiles(size=32).standardize({"imc": LOG, "he": "hibou"})
    ),
}


@pytest.fixture(scope="module")
def dataset(lake):
    """Return a function that makes the dataset of a query, once."""
    return functools.cache(lambda name, **options: QUERIES[name](lake).to_torch(**options))


def images(sample):
    parts = [sample] if "image" in sample else [part for part in sample.values() if "image" in part]
    return [part["image"] for part in parts]


def assert_halved(found, expected, precision):
    for half, single in zip(images(found), images(expected), strict=True):
        assert half.dtype == getattr(torch, precision)
        assert single.dtype == torch.float32
        assert torch.equal(bits(half), bits(single.to(half.dtype)))


@pytest.mark.some(5)
@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("name", QUERIES)
def test_samples_are_those_of_float32_rounded_once(dataset, name, precision):
    half, single = dataset(name, dtype=precision), dataset(name)
    rows = list(range(0, len(half), max(len(half) // 9, 1)))
    together = zip(half.__getitems__(rows), single.__getitems__(rows), strict=True)
    for found, expected in [*together, *((half[row], single[row]) for row in rows[:3])]:
        assert_halved(found, expected, precision)
        assert set(found) == set(expected)


@pytest.mark.some(3)
@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize(
    ("workers", "collate"),
    [(0, collate_padded), (0, collate_packed), (0, collate_panel(["CD8", "P07766"])), (2, collate_padded)],
)
def test_batches(lake, precision, workers, collate):
    query = QUERIES["several"](lake).where('"row" < 32')
    loaders = [
        query.to_torch(dtype=dtype).loader(5, num_workers=workers, collate=collate) for dtype in (precision, "float32")
    ]
    for found, expected in zip(*loaders, strict=True):
        assert_halved(found, expected, precision)


def test_half_the_bytes_without_a_copy(lake):
    for precision, size in (("float32", 4), ("float16", 2), ("bfloat16", 2)):
        query = imc(lake).where("tissue_id = 'alpha_0000'")
        samples = query.to_torch(dtype=precision).__getitems__([0, 1, 2])
        batch = collate_padded(samples)["image"]
        assert batch.data_ptr() == samples[0]["image"].data_ptr()
        assert batch.nbytes == 3 * 5 * 32 * 32 * size
        told = query.to_torch(dtype=precision).explain(seconds=0)
        assert told.delivered == 9 * 5 * 32 * 32 * size
        assert told.amplification == query.to_torch().explain(seconds=0).amplification


def test_absent_chunks_are_transformed_zeros(lake, tmp_path):
    sparse = tmp_path / "sparse"
    shutil.copytree(lake, sparse)
    shutil.rmtree(sparse / "alpha/imc/1_0mpp/images/alpha_0000.ome.zarr/0/c/0/1")
    query = imc(sparse).where("tissue_id = 'alpha_0000'")
    for precision in HALVES:
        half, single = (query.to_torch(missing_chunks="zeros", dtype=name) for name in (precision, "float32"))
        assert torch.allclose(single[8]["image"], torch.tensor(-2.0))
        assert_halved(half[8], single[8], precision)


def test_torch_types_are_types_too(lake):
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        dataset = imc(lake).to_torch(dtype=dtype)
        assert dataset.dtype == pickle.loads(pickle.dumps(dataset)).dtype == dataset[0]["image"].dtype == dtype
    for wrong in ("float64", torch.int8, "half", None, 16):
        with pytest.raises(UnknownNameError, match=r"Unknown choice of dtype= .*bfloat16, float16, float32"):
            imc(lake).to_torch(dtype=wrong)
    with pytest.raises(UnknownNameError, match="Did you mean 'bfloat16'"):
        imc(lake).to_torch(dtype="bfloat")


@pytest.mark.parametrize("precision", HALVES)
def test_transforms_are_handed_what_is_rounded(lake, precision):
    augment = compose(random_symmetry, random_crop(16), channel_dropout(0.5), channel_shuffle)
    query = QUERIES["several"](lake)
    half, single = (query.to_torch(dtype=dtype, transform=augment) for dtype in (precision, "float32"))
    for row in (0, 20, 40):
        assert_halved(half[row], single[row], precision)


def test_the_order_is_that_of_float32(lake):
    half, single = (imc(lake).to_torch(dtype=name) for name in ("float16", "float32"))
    assert (half.plan.hash, half.plan.rows_hash) == (single.plan.hash, single.plan.rows_hash)
    assert list(half.loader(4, seed=3).tiles) == list(single.loader(4, seed=3).tiles)


def test_a_sample_draws_itself(lake):
    for precision in HALVES:
        sample = QUERIES["several"](lake).to_torch(dtype=precision)[0]
        assert sample._repr_png_().startswith(b"\x89PNG")


# ---- on the device ----


@pytest.mark.some(4)
@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("collate", [collate_list, collate_padded, collate_packed, collate_panel(["CD8", "P07766"])])
@pytest.mark.parametrize("name", ["identity", "clipped", "log1p", "colours", "edge", "several"])
def test_the_device_rounds_once_after_the_formula(dataset, name, collate, precision):
    raw, single = (dataset(name, standardize_on="device", dtype=dtype) for dtype in (precision, "float32"))
    rows = [0, len(raw) // 2, len(raw) - 1]
    found, expected = (standardize_batch(collate(own.__getitems__(rows)), "cpu") for own in (raw, single))
    pairs = zip(found, expected, strict=True) if collate is collate_list else [(found, expected)]
    for own, other in pairs:
        assert_halved(own, other, precision)
        assert set(own) == set(other)
    assert raw.explain(seconds=0).delivered == single.explain(seconds=0).delivered


def test_a_batch_of_two_dtypes_is_float32(lake):
    datasets = [imc(lake).to_torch(dtype=dtype, standardize_on="device") for dtype in ("float16", "bfloat16")]
    assert (
        standardize_batch(collate_padded([dataset[0] for dataset in datasets]), "cpu")["image"].dtype == torch.float32
    )
    assert collate_padded([imc(lake).to_torch(dtype=dtype)[0] for dtype in HALVES])["image"].dtype == torch.float32


# ---- what does not fit ----


@pytest.fixture(scope="module")
def bright(tmp_path_factory):
    """Return a lake of one tissue whose CD8 has a pixel of 70,000 in tile 4; beside it the same as uint16, dimmed."""
    root = write_lake(tmp_path_factory.mktemp("bright") / "lake", names=("alpha",), tissues=2)
    path = root / "alpha/imc/1_0mpp/images/alpha_0000.ome.zarr"
    image = np.ones((5, 96, 96), np.float32)
    image[2, 40, 50] = 70_000
    shutil.rmtree(path)
    write_zarr(path, image)
    other = path.with_name("alpha_0001.ome.zarr")
    shutil.rmtree(other)
    write_zarr(other, np.minimum(image, 4095).astype(np.uint16))
    return root


@pytest.mark.some(2)
@pytest.mark.parametrize("standardize_on", ["cpu", "device"])
@pytest.mark.parametrize("on_error", ["raise", "replace"])
def test_raw_floats_beyond_float16_are_an_error_of_their_tile(bright, standardize_on, on_error):
    query = imc(bright, "identity").where("tissue_id = 'alpha_0000'")
    dataset = query.to_torch(dtype="float16", standardize_on=standardize_on, on_error=on_error)
    assert dataset[0]["image"].max() == 1
    fault = r"float16 holds numbers up to 65,504; channel 'CD8' of .*alpha_0000.*'identity', has a larger one"
    with pytest.raises(ArgumentError, match=rf"{fault}.*dtype='bfloat16' or dtype='float32'.*quantile_clipping"):
        dataset[4]
    for dtype in ("bfloat16", "float32"):
        assert query.to_torch(dtype=dtype)[4]["image"].max() == (70_144 if dtype == "bfloat16" else 70_000)
    assert imc(bright).to_torch(dtype="float16")[4]["image"].max() == 2


@pytest.mark.some(2)
@pytest.mark.parametrize("standardize_on", ["cpu", "device"])
def test_raw_pixels_of_16_bits_are_refused_before_the_first_is_read(bright, standardize_on):
    query = imc(bright, "identity").where("tissue_id = 'alpha_0001'")
    dataset = query.to_torch(dtype="float16", standardize_on=standardize_on)
    with pytest.raises(ArgumentError, match=r"channel 'DNA' .*has pixels of uint16, which may become larger ones"):
        dataset[0]
    assert query.to_torch(dtype="bfloat16", standardize_on=standardize_on)[0]["image"].float().max() == 1
    clipped = imc(bright).where("tissue_id = 'alpha_0001'").to_torch(dtype="float16", standardize_on=standardize_on)
    assert clipped[4]["image"].dtype == (torch.float16 if standardize_on == "cpu" else torch.uint16)


@pytest.mark.parametrize(("tissue", "found"), [("alpha_0000", "has a larger one"), ("alpha_0001", "pixels of uint16")])
def test_workers_hand_the_error_on(bright, tissue, found):
    dataset = imc(bright, "identity").where(f"tissue_id = '{tissue}'").to_torch(dtype="float16")
    with pytest.raises(ArgumentError, match=rf"float16 holds .*{tissue}.*{found}"):
        list(dataset.loader(3, num_workers=1))


@pytest.mark.some(2)
@pytest.mark.parametrize("standardize_on", ["cpu", "device"])
def test_a_deviation_that_blows_pixels_up_names_its_channel(bright, tmp_path, standardize_on):
    import pandas as pd

    root = tmp_path / "lake"
    shutil.copytree(bright, root)
    path = root / "alpha/imc/1_0mpp/standardization" / QUANTILES / "global_level_stds.parquet"
    pd.read_parquet(path).assign(CD8=1e-7).to_parquet(path)
    dataset = imc(root).to_torch(dtype="float16", standardize_on=standardize_on)
    with pytest.raises(ArgumentError, match=r"channel 'CD8' .*which may become larger ones.*or leave the channel out"):
        dataset[0]
    assert imc(root).channels(exclude=["CD8"]).to_torch(dtype="float16")[0]["image"].isfinite().all()


# ---- compilation ----


@pytest.mark.parametrize("name", ["several", "registered", "filtered"])
def test_no_batch_compiles_what_the_start_has_warmed(lake, name):
    from spora_db.kernels.standardize import standardize_pieces

    dataset = QUERIES[name](lake).to_torch(dtype="bfloat16")
    warm_up_for(dataset)
    known = list(standardize_pieces.signatures)
    dataset.__getitems__(list(range(12)))
    assert standardize_pieces.signatures == known
