"""The fused pass over one tile of 40 channels, against numpy's steps and against copying it."""

import time

import numpy as np
import pytest
import torch

from spora_db.standardization.filters import FilterFactory
from spora_db.standardization.precision import PIXELS
from spora_db.standardization.standardize import standardize_block
from spora_db.standardization.transform import Transform

SHAPE = (40, 224, 224)


def best(function, rounds=5):
    """Return the shortest time in milliseconds."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times[1:])


def make(method):
    rng = np.random.default_rng(0)
    lower, mean = np.zeros(40), rng.uniform(0.1, 0.5, 40)
    return Transform(method=method, lower=lower, upper=rng.uniform(5, 40, 40), mean=mean, std=mean + 0.1)


def numpy_steps(pixels, transform):
    lower, upper, mean, std = (
        part[:, None, None] for part in (transform.lower, transform.upper, transform.mean, transform.std)
    )
    z = np.clip(pixels.astype(np.float32), lower, upper)
    width = upper - lower + np.float32(1e-8)
    z = (z - lower) / width if transform.method == "quantile_clipping" else np.log1p(z)
    return (z - mean) / (std + np.float32(1e-8))


@pytest.mark.parametrize("method", ["quantile_clipping", "quantile_clipping_log1p"])
@pytest.mark.parametrize("dtype", ["float32", "uint16"])
def test_fused_pass(benchmark, capsys, dtype, method):
    pixels = np.random.default_rng(0).gamma(0.6, 20, SHAPE).astype(dtype)
    transform, out, slots = make(method), np.empty(SHAPE, np.float32), np.arange(40)
    benchmark(standardize_block, pixels, out, transform, slots)
    fused = best(lambda: standardize_block(pixels, out, transform, slots))
    plain = best(lambda: numpy_steps(pixels, transform))
    copy = best(lambda: np.copyto(out, pixels))
    standardize_block(pixels, out, transform, slots)
    np.testing.assert_allclose(out, numpy_steps(pixels, transform), rtol=1e-5, atol=1e-5)
    with capsys.disabled():
        ratios = f"numpy / fused = {plain / fused:.1f}, fused / copy = {fused / copy:.1f}"
        print(f"\n{method} of {dtype}: {fused:.2f} ms; {ratios}")


@pytest.mark.parametrize("method", ["quantile_clipping", "quantile_clipping_log1p"])
@pytest.mark.parametrize("dtype", ["float32", "uint16"])
def test_rounded_pass(capsys, dtype, method):
    """The pass that rounds to half precision against that of float32, and against torch's rounding after it."""
    pixels = np.random.default_rng(0).gamma(0.6, 20, SHAPE).astype(dtype)
    transform, slots, single = make(method), np.arange(40), np.empty(SHAPE, np.float32)
    fused = best(lambda: standardize_block(pixels, single, transform, slots))
    shares = []
    for precision in ("float16", "bfloat16"):
        out = np.empty(SHAPE, PIXELS[precision])
        rounded = best(lambda out=out: standardize_block(pixels, out, transform, slots))
        after = best(lambda name=precision: torch.from_numpy(single).to(getattr(torch, name)))
        shares.append(f"{precision} {fused / rounded:.2f}, float32 and then torch {fused / (fused + after):.2f}")
    with capsys.disabled():
        print(f"\n{method} of {dtype}, of the speed of float32: {'; '.join(shares)}")


@pytest.mark.parametrize("name", ["gaussian_blur", "median_filter"])
def test_filters(benchmark, capsys, name):
    planes, factory = np.random.default_rng(0).random(SHAPE).astype(np.float32), FilterFactory([name])
    benchmark.pedantic(factory.apply_in_place, (planes,), rounds=2)
    with capsys.disabled():
        print(f"\n{name} of 40 x 224 x 224: {best(lambda: factory.apply_in_place(planes), 3):.1f} ms")
