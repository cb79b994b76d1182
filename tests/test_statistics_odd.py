"""Statistics of odd pixels against numpy in float64: what drops a channel drops it, and stays out of the pool."""

import duckdb
import numpy as np
import pandas as pd
import pytest
from sqlglot import exp

from array_reader import cohort
from job_lakes import write_images
from lakes import write_zarr
from spora_db import SporaQuery
from spora_db.catalog.sql_files import statement
from spora_db.images import open_image, read_region
from spora_db.jobs import standardize_lake
from spora_db.standardization.specs import parse_spec
from spora_db.standardization.usable import REASONS, REMEDIES, unusable
from spora_db.statistics import compute_statistics

SHAPE = (41, 53)
RANDOM = np.random.default_rng(0)
GOOD = RANDOM.gamma(2.0, 5.0, SHAPE)
OTHER = RANDOM.gamma(2.0, 9.0, SHAPE)
SPARSE = np.where(RANDOM.random(SHAPE) < 0.004, 7.0, 0.0)
NAN, BELOW = np.where(GOOD < 2, np.nan, GOOD), -GOOD - 2
PLATEAU = np.where(RANDOM.random(SHAPE) < 0.004, 900.0, 5.0)  # clipped at its 99 % quantile nothing else is left

ODD = {
    "constant": np.full(SHAPE, 7.0),
    "constant and large": np.full(SHAPE, 16_777_213.0),
    "constant and small": np.full(SHAPE, 0.1),
    "zero": np.zeros(SHAPE),
    "sparse": SPARSE,
    "constant once clipped": PLATEAU,
    "below -1": BELOW,
    "at -1": np.full(SHAPE, -1.0),
    "between -1 and 0": -GOOD / (GOOD.max() + 1),
    "background": GOOD - 30.0,
}
"""Pixels of one tissue of three; the others are good."""


def numpy_statistics(values, spec):
    upper = np.quantile(values, spec.upper)
    lower = 0.0 if spec.lower is None else np.quantile(values, spec.lower)
    clipped = np.clip(values, lower, upper)
    with np.errstate(all="ignore"):
        z = np.log1p(clipped) if "log1p" in spec.method else (clipped - lower) / (upper - lower + 1e-8)
    mean, std = (z.mean(), z.std()) if np.isfinite(z).all() else (np.nan, np.nan)
    if (z == z[0]).all() and np.isfinite(z[0]):
        mean, std = z[0], 0.0
    return lower, upper, mean, std, z


@pytest.mark.some(4)
@pytest.mark.parametrize("kept", [10**9, 0])
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize(
    "spec", ["quantile_clipping/uq_0.99", "quantile_clipping_log1p/uq_0.99", "quantile_clipping_log1p/uq_0.99_lq_0.01"]
)
def test_a_tissue_that_drops_a_channel_stays_out_of_the_pool(monkeypatch, spec, kind, kept):
    tissues = {"odd": ODD[kind], "one": GOOD, "two": OTHER}
    units, parsed = cohort(monkeypatch, tissues), parse_spec(f"{spec}_image")
    result = compute_statistics(units, spec=parsed, channel_names=["X"], kept_bytes=kept)
    pool = []
    for name, pixels in tissues.items():
        row = result.tissue_ids.index(name)
        lower, upper, mean, std, z = numpy_statistics(pixels.astype(np.float32).astype(np.float64).ravel(), parsed)
        assert (result.lower[row, 0], result.upper[row, 0]) == (lower, upper)
        if np.isnan(mean):  # log1p of -1 is infinite, as unusable as NaN
            assert not np.isfinite(result.means[row, 0])
        else:
            found = [result.means[row, 0], result.stds[row, 0]]
            np.testing.assert_allclose(found, [mean, std], rtol=1e-12, atol=0)
        if upper > 0 and std > 0 and np.isfinite(mean) and ("log1p" not in spec or lower > -1):
            pool.append(z)
    assert len(pool) == (3 if kind == "background" and "lq" not in spec else 2)
    pooled = np.concatenate(pool)
    np.testing.assert_allclose(
        [result.pooled.means[0], result.pooled.std[0]], [pooled.mean(), pooled.std()], rtol=1e-12
    )


@pytest.mark.some(4)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("level", ["image", "global"])
@pytest.mark.parametrize("method", ["quantile_clipping", "quantile_clipping_log1p"])
@pytest.mark.parametrize("values", [(7, 7, 7), (1, 3, 200), (0, 0, 0)], ids=str)
def test_a_channel_that_is_constant_everywhere_has_no_spread(monkeypatch, values, method, level, dtype):
    units = cohort(monkeypatch, {f"t{i}": np.full(SHAPE, value) for i, value in enumerate(values)}, dtype)
    result = compute_statistics(units, spec=f"{method}/uq_0.99_{level}", channel_names=["X"])
    assert (result.stds == 0).all()
    several = level == "global" and len(set(values)) > 1  # under one bound other constants are other values
    assert bool(result.pooled.std[0] > 0) is several
    assert [item.channel for item in result.dropped()] == ([] if several else ["X"])


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("pixels", "dtype", "what"),
    [
        (NAN, "float32", "NaN pixels"),
        (np.where(GOOD > 20, np.inf, GOOD), "float32", "infinite pixels"),
        (np.where(GOOD > 20, -np.inf, GOOD), "float32", "infinite pixels"),
        (np.where(GOOD > 20, 1e300, GOOD), "float64", "pixels beyond float32"),
    ],
    ids=["NaN", "inf", "-inf", "1e300"],
)
@pytest.mark.parametrize("level", ["image", "global"])
def test_odd_pixels_are_named_as_what_they_are(tmp_path, caplog, level, pixels, dtype, what):
    root = write_images(tmp_path, tissues=2, size=60)
    path = root / "cohort/imc/1_0mpp/images/cohort_0001.ome.zarr"
    image = read_region(open_image(path)).astype(dtype)
    image[1] = np.resize(pixels, image[1].shape)
    write_zarr(path, image)
    spec = f"quantile_clipping/uq_0.99_lq_0.01_{level}"
    report = standardize_lake(root, modality="imc", mpp=1.0, spec=parse_spec(spec), stats_level="both")
    (part,) = report.datasets
    assert part.state == "written"
    assert {item["channel"] for item in part.summary["dropped"]} == {"CD3e"}
    assert f"CD3e has {what} in cohort_0001" in part.note
    assert what in caplog.text


def test_dropped_channels_are_named_with_remedies(tmp_path):
    root = write_images(tmp_path, tissues=3, size=60)
    for number, value in ((0, 0.0), (1, 5.0)):
        path = root / f"cohort/imc/1_0mpp/images/cohort_{number:04d}.ome.zarr"
        image = read_region(open_image(path))
        image[1] = value
        write_zarr(path, image)
    spec = "quantile_clipping/uq_0.99_image"
    (part,) = standardize_lake(root, modality="imc", mpp=1.0, spec=parse_spec(spec), stats_level="image").datasets
    assert part.summary["dropped"] == [
        {"channel": "CD3e", "reason": REASONS[1], "tissues": 1, "of": 2, "first": ("cohort_0000",)},
        {"channel": "CD3e", "reason": REASONS[7], "tissues": 1, "of": 2, "first": ("cohort_0001",)},
    ]
    for words in (
        "CD3e (in 1 of 2 tissues: cohort_0000), because the upper quantile is 0",
        "--upper-quantile",
        "disable_quantile_mask",
    ):
        assert words in part.note
    plan = SporaQuery(root).modality("imc").tissues(mpp=1.0).standardize(spec).plan()
    assert set(plan.channel_names) == {"DNA", "CD8"}


def test_an_image_without_a_measured_channel_is_named_as_that(tmp_path):
    root = write_images(tmp_path, tissues=3, size=60)
    table = pd.read_parquet(root / "cohort/imc/channels_per_tissue.parquet")
    table.loc["cohort_0001"] = False
    table.to_parquet(root / "cohort/imc/channels_per_tissue.parquet")
    spec = parse_spec("quantile_clipping/uq_0.99_image")
    (part,) = standardize_lake(root, modality="imc", mpp=1.0, spec=spec).datasets
    assert "No channel of the panel was measured in tissue 'cohort_0001'" in part.failures["cohort_0001"]


@pytest.mark.parametrize(
    ("lower", "upper", "mean", "std", "log1p", "reason"),
    [
        (0, 3, 1, 1, True, 0),
        (0, 0, 1, 1, False, 1),
        (0, -3, np.nan, np.nan, True, 2),
        (0, np.nan, np.nan, np.nan, False, 3),
        (0, np.inf, 1, 1, False, 3),
        (-np.inf, 3, 1, 1, False, 4),
        (-1, 3, 1, 1, True, 5),
        (-1, 3, 1, 1, False, 0),
        (-0.5, 3, 1, 1, True, 0),
        (0, 3, np.nan, 1, False, 6),
        (0, 3, 1, np.inf, False, 6),
        (0, 3, 1, 0, False, 7),
    ],
)
def test_reasons_for_dropping_a_channel(lower, upper, mean, std, log1p, reason):
    method = "quantile_clipping_log1p" if log1p else "quantile_clipping"
    found = unusable([lower], [upper], [mean], [std], use_mean_std=True, method=method)
    assert found.tolist() == [reason]
    assert set(REMEDIES) == set(REASONS[1:])


@pytest.mark.parametrize("method", ["quantile_clipping", "quantile_clipping_log1p"])
@pytest.mark.parametrize("statistic", ["upper_quantiles", "lower_quantiles", "means", "stds"])
def test_the_check_in_sql_drops_what_python_drops(statistic, method):
    values = np.array([np.nan, np.inf, 0, 1e-3, 5, 1e38, 1e39, *([] if statistic == "stds" else [-1e39, -2, -1, -0.5])])
    rule = statement("checks", "statistics_dropped").find(exp.Case).sql("duckdb")
    row = f"'global' AS level, '{statistic}' AS statistic, '{method}/uq_0.99_image' AS spec"
    query = f"SELECT ({rule}) IS NOT NULL FROM (SELECT unnest($values::DOUBLE[]) AS channel_value, {row})"
    told = [dropped for (dropped,) in duckdb.execute(query, {"values": values.tolist()}).fetchall()]
    good = {"lower_quantiles": 0.0, "upper_quantiles": 1.0, "means": 1.0, "stds": 1.0}
    with np.errstate(over="ignore"):  # samples are float32
        given = [np.where(name == statistic, values, value).astype(np.float32) for name, value in good.items()]
    assert told == (unusable(*given, use_mean_std=True, method=method) > 0).tolist()
