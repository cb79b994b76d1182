import itertools
import json
import logging
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from array_reader import ArrayReader
from published_figures import TABLES, published_table
from spora_db.errors import ArgumentError, FileFormatError, SporaError, UnknownNameError, WriteError
from spora_db.files.parquet import read_provenance
from spora_db.kernels.logarithms import log1p
from spora_db.standardization.methods import register_standardizer
from spora_db.standardization.specs import parse_spec
from spora_db.standardization.table_frames import TableFrames
from spora_db.statistics import (
    StatisticsPlan,
    StatisticsUnit,
    compute_statistics,
    quantiles,
    statistics,
    write_statistics,
)
from spora_db.statistics.keys import KeyKind
from spora_db.statistics.moments import Moments, MomentSums
from spora_db.statistics.plan import Round
from spora_db.statistics.rounds import Rounds
from spora_db.statistics.search import DigitCounter, Search
from spora_db.statistics.tissue import tissue_statistics

DTYPES = ["uint8", "int8", "uint16", "int16", "int32", "uint32", "int64", "float32", "float64"]
SPECS = [
    "quantile_clipping/uq_0.99_image",
    "quantile_clipping_log1p/uq_0.99_image",
    "quantile_clipping/uq_0.95_lq_0.05_image",
    "quantile_clipping_sqrt/uq_0.9_image",
]
TIGHT = {"rtol": 1e-12, "atol": 1e-300}


@pytest.fixture(autouse=True)
def square_root():
    register_standardizer("quantile_clipping_sqrt", np.sqrt)


def draw(dtype, shape, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.gamma(0.6, 90, shape) * (rng.random(shape) < 0.7)
    if np.dtype(dtype).kind in "if":
        values -= rng.random(shape) * 3
    if np.dtype(dtype).kind == "f":
        return values.astype(dtype)
    info = np.iinfo(dtype)
    return values.clip(max(info.min, -1e6), min(info.max, 1e6)).astype(dtype)


def blob(shape, seed=0):
    rng = np.random.default_rng(seed)
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    round_part = (rows - shape[0] / 2) ** 2 + (cols - shape[1] / 3) ** 2 < (min(shape) / 2.2) ** 2
    return (round_part & (rng.random(shape) < 0.9)) | (rng.random(shape) < 0.02)


def values_of(image, mask):
    return image[:, mask].astype(np.float64)


def transformed(values, spec, lower, upper):
    clipped = np.clip(values, lower, upper)
    if spec.method == "quantile_clipping":
        return (clipped - lower) / (upper - lower + 1e-8)
    return np.log1p(clipped) if spec.method == "quantile_clipping_log1p" else np.sqrt(clipped)


def oracle(values, spec, bounds=None):
    """Everything in memory, float64 numpy: lower, upper, mean and std of one channel's pixels."""
    upper = np.quantile(values, spec.upper) if bounds is None else bounds[1]
    lower = (0.0 if spec.lower is None else np.quantile(values, spec.lower)) if bounds is None else bounds[0]
    with np.errstate(all="ignore"):
        z = transformed(values, spec, lower, upper)
    return lower, upper, z.mean(), z.std()


# Kernels and steps ---------------------------------------------------------------------------------------------------

HARD = [
    np.zeros(7), np.ones(1), np.array([3.0, 1.0]), np.array([-0.0, 0.0, -1e-40, 1e-40, -5.0]), np.arange(100.0)[::-1],
    np.array([1e38, -1e38, 1e-38] * 5), np.repeat([1.0, 1.0000001, 1.0000002], 50), np.array([np.inf, 1.0, 2.0, 3.0]),
]  # fmt: skip


@pytest.mark.parametrize("q", [0.0, 0.01, 0.05, 0.3, 0.5, 0.9, 0.99, 0.999, 1.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_quantiles_of_hard_values_to_the_last_bit(dtype, q):
    for raw in HARD:
        values = raw.astype(dtype)
        if np.isinf(raw).any() and q > 0.6:
            continue  # infinity minus a number: numpy gives NaN or infinity, and the channel is dropped either way
        expected = np.quantile(values.astype(np.float64), q)
        assert quantiles.of_values(values[None], (q,))[0, 0] == expected
        assert search(values, (q,))[0] == expected


def search(values, asked, pieces=3):
    """The quantiles digit by digit, from pixels that come in pieces."""
    found = Search.start(values.dtype.name, asked, 1)
    while not found.done:
        counter = DigitCounter(found)
        for piece in np.array_split(values, pieces):
            counter.add(piece[None], np.array([0]))
        found = found.refine(counter.counts, counter.broken)
    return found.values()[0]


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_quantiles_equal_numpy_to_the_last_bit(data):
    dtype = data.draw(st.sampled_from(DTYPES))
    kind = np.dtype(dtype)
    if kind.kind == "f":
        elements = st.floats(-(2.0**100), 2.0**100, width=32) | st.sampled_from([0.0, 1.0])
    else:
        info = np.iinfo(dtype)
        elements = st.integers(max(info.min, -(2**52)), min(info.max, 2**52)) | st.sampled_from([0, 1])
    values = np.array(data.draw(st.lists(elements, min_size=1, max_size=60)), dtype)
    asked = tuple(data.draw(st.lists(st.floats(0, 1), min_size=1, max_size=2)))
    expected = [np.quantile(values.astype(np.float64), q) for q in asked]
    assert quantiles.of_values(values[None], asked)[0].tolist() == expected
    if kind.itemsize > 2:
        assert search(values, asked).tolist() == expected
    else:
        counts = np.bincount(values.astype(np.int64) + 32768, minlength=98304)[None]
        assert quantiles.of_counts(counts, asked)[0].tolist() == expected


@pytest.mark.parametrize("dtype", ["int32", "uint32", "float32", "int64", "uint64", "float64"])
def test_keys_sort_as_values_do_and_come_back(dtype):
    kind, info = KeyKind(dtype), np.dtype(dtype)
    if info.kind == "f":
        values = np.array([-np.inf, -3e30, -1, -1e-40, 0, 1e-40, 1, 3e30, np.inf], dtype)
    else:
        values = np.array(sorted({np.iinfo(dtype).min, np.iinfo(dtype).min + 1, 0, 1, 77, np.iinfo(dtype).max}), dtype)
    keys = []
    for value in values:
        found = Search.start(dtype, (0.5,), 1)
        while not found.done:
            counter = DigitCounter(found)
            counter.add(np.array([[value]], dtype), np.array([0]))
            found = found.refine(counter.counts, counter.broken)
        keys.append(int(found.prefixes[0, 0]))
    assert keys == sorted(set(keys))
    assert np.array_equal(kind.decode(np.array(keys, np.uint64)), values.astype(np.float64))
    ends = np.array([-1e300, *values[[0, -1]].astype(np.float64), 1e300])  # the greatest of 64 bits as one more
    if info.kind != "f":
        assert kind.encode(ends).tolist() == [keys[0], keys[0], keys[-1], keys[-1]]


def test_nan_makes_the_quantile_nan():
    values = np.array([1, np.nan, 3], np.float32)
    assert np.isnan(quantiles.of_values(values[None], (0.5,)))
    assert np.isnan(search(values, (0.5,)))
    assert np.isnan(search(-np.abs(values), (0.5,)))
    assert np.isnan(quantiles.of_values(np.empty((1, 0), np.float32), (0.5,)))


@pytest.mark.parametrize("method", ["quantile_clipping", "quantile_clipping_log1p", "quantile_clipping_sqrt"])
@settings(deadline=None, max_examples=20)
@given(cuts=st.lists(st.integers(0, 5000), max_size=8))
def test_blocks_do_not_change_a_bit_of_the_moments(method, cuts):
    values = draw("float32", (1, 5000)).clip(0)
    spec = parse_spec(f"{method}/uq_0.99_image")
    results = []
    for pieces in ([], sorted(cuts)):
        sums = MomentSums(method=method, lower=np.zeros(1), upper=np.array([300.0]))
        for piece in np.split(values, pieces, axis=1):
            sums.add(piece, np.array([0]))
        results.append(sums.result())
    assert (results[0].mean, results[0].squares) == (results[1].mean, results[1].squares)
    *_, mean, std = oracle(values[0].astype(np.float64), spec, bounds=(0.0, 300.0))
    np.testing.assert_allclose([results[0].mean[0], results[0].std[0]], [mean, std], rtol=1e-13)


def test_a_small_spread_far_from_zero_survives():
    values = 1000 + np.random.default_rng(0).normal(0, 1e-3, (1, 300_000))
    sums = MomentSums(method="quantile_clipping_log1p", lower=np.zeros(1), upper=np.array([2000.0]))
    sums.add(values, np.array([0]))
    z = np.log1p(values)
    np.testing.assert_allclose(sums.result().std, z.std(), rtol=1e-9)
    np.testing.assert_allclose(sums.result().mean, z.mean(), rtol=1e-14)


def test_log1p_in_float64():
    rng = np.random.default_rng(0)
    values = np.concatenate([[0.0], 10 ** rng.uniform(-15, 200, 20_000), -rng.uniform(0, 0.98, 2000)])
    for upper in (1e250, np.inf):
        for value in values[::97]:
            sums = MomentSums(method="quantile_clipping_log1p", lower=np.array([-0.98]), upper=np.array([upper]))
            sums.add(np.array([[value]]), np.array([0]))
            np.testing.assert_allclose(sums.result().mean[0], np.log1p(value), rtol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_logarithms_of_counts_have_the_bits_of_all_others(dtype):
    for value in [-0.0, *range(1100)]:
        sums = MomentSums(method="quantile_clipping_log1p", lower=np.zeros(1), upper=np.array([1050.0]))
        sums.add(np.array([[value]], dtype), np.array([0]))
        mean = sums.result().mean
        assert mean.tobytes() == log1p(np.array([min(value + 0.0, 1050.0)])).tobytes()


def test_moments_merge_as_if_pooled():
    rng = np.random.default_rng(0)
    groups = [rng.normal(5, 2, (3, size)) for size in (1, 50, 7)]
    parts = [
        Moments(count=np.full(3, float(g.shape[1])), mean=g.mean(1), squares=g.var(1) * g.shape[1]) for g in groups
    ]
    nothing = Moments(count=np.zeros(3), mean=np.zeros(3), squares=np.zeros(3))
    pooled = np.concatenate(groups, axis=1)
    for order in itertools.permutations([*parts, nothing]):
        merged = Moments.merged(order)
        np.testing.assert_allclose(merged.means, pooled.mean(1), rtol=1e-13)
        np.testing.assert_allclose(merged.std, pooled.std(1), rtol=1e-13)
    assert np.isnan(nothing.means).all()
    assert np.isnan(nothing.std).all()


# One tissue ----------------------------------------------------------------------------------------------------------


@pytest.mark.some(5)
@pytest.mark.parametrize("kept", [10**9, 0])
@pytest.mark.parametrize("text", SPECS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_tissue_against_everything_in_memory(dtype, text, kept):
    image, spec = draw(dtype, (4, 130, 101)), parse_spec(text)
    if spec.method == "quantile_clipping_sqrt":
        image = np.abs(image)
    image[3] = 0
    mask = blob((130, 101))
    pages = np.array([2, -1, 0, 3])
    found = tissue_statistics(ArrayReader(image, (40, 33)), mask, pages=pages, spec=spec, kept_bytes=kept)
    for channel, page in enumerate(pages):
        got = (found.lower[channel], found.upper[channel], found.moments.means[channel], found.moments.std[channel])
        if page < 0:
            assert np.isnan(got).all()
            continue
        expected = oracle(values_of(image, mask)[page], spec)
        assert got[:2] == expected[:2]
        np.testing.assert_allclose(got[2:], expected[2:], **TIGHT)


def test_memory_does_not_change_a_bit():
    image, mask = draw("float32", (3, 130, 101)), blob((130, 101))
    reader, spec = ArrayReader(image, (33, 40)), parse_spec(SPECS[1])
    results = [tissue_statistics(reader, mask, pages=np.arange(3), spec=spec, kept_bytes=kept) for kept in (10**9, 0)]
    for name in ("count", "mean", "squares"):
        assert np.array_equal(*(getattr(result.moments, name) for result in results))


def test_blocks_without_tissue_are_not_decoded():
    class Counting(ArrayReader):
        asked = 0

        def decoded(self, group, down, across, **where):
            self.asked += 1
            return super().decoded(group, down, across, **where)

    mask = np.zeros((600, 600), bool)
    mask[520, 530] = True
    reader = Counting(draw("float32", (1, 600, 600)), (256, 256))
    tissue_statistics(reader, mask, pages=[0], spec=parse_spec(SPECS[0]))
    assert reader.asked == 1


@pytest.mark.parametrize(
    ("mask", "match"), [(np.ones((5, 4), bool), "5 x 4 pixels, the image 4 x 5"), (np.zeros((4, 5), bool), "no pixels")]
)
def test_masks_that_do_not_fit(mask, match):
    reader = ArrayReader(np.zeros((1, 4, 5), np.uint8))
    reader.path = Path("image.ome.tiff")
    with pytest.raises(FileFormatError, match=match):
        tissue_statistics(reader, mask, pages=[0], spec=parse_spec(SPECS[0]))


# Cohorts -------------------------------------------------------------------------------------------------------------

PANEL = ("CD3", "SMA", "sma", "never")
MEASURED = [(0, 1, 2), (1, 2), (0, 2), (2,)]


@pytest.fixture
def cohort(monkeypatch):
    """Four tissues in memory, opened by the paths that their units name."""
    images, masks = {}, {}

    def build(dtype, dtypes=None):
        units = []
        for i, channels in enumerate(MEASURED):
            shape, name = (60 + 7 * i, 80 - 5 * i), f"t{i}"
            images[Path(name)] = np.abs(draw((dtypes or [dtype] * 4)[i], (len(channels), *shape), seed=i))
            masks[Path(name)] = blob(shape, seed=i)
            pages = {PANEL[channel]: page for page, channel in enumerate(channels)}
            units.append(StatisticsUnit(tissue_id=name, image=Path(name), mask=Path(name), pages=pages))
        return units, images, masks

    def open_image(path, **_):
        if path not in images:
            raise FileFormatError(f"broken {path}")
        reader = ArrayReader(images[path], (32, 48))
        reader.path = path
        return reader

    monkeypatch.setattr("spora_db.images.open_image", open_image)
    monkeypatch.setattr("spora_db.masks.load_tissue_mask", lambda path, **_: masks[path])
    return build


def channel_values(units, images, masks, name):
    return {
        unit.tissue_id: values_of(images[unit.image], masks[unit.mask])[unit.pages[name]]
        for unit in units
        if name in unit.pages
    }


@pytest.mark.some(4)
@pytest.mark.parametrize("level", ["image", "global"])
@pytest.mark.parametrize("method", ["quantile_clipping", "quantile_clipping_log1p", "quantile_clipping_sqrt"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64"])
def test_cohort_against_everything_in_memory(cohort, dtype, method, level):
    units, images, masks = cohort(dtype)
    spec = parse_spec(f"{method}/uq_0.98_lq_0.03_{level}")
    result = compute_statistics(units[::-1], spec=spec, channel_names=PANEL)
    assert result.tissue_ids == ("t0", "t1", "t2", "t3")
    for channel, name in enumerate(PANEL):
        values = channel_values(units, images, masks, name)
        if not values:
            assert np.isnan(result.upper[:, channel]).all()
            assert np.isnan(result.means[:, channel]).all()
            assert np.isnan([result.pooled.means[channel], result.pooled.std[channel]]).all()
            continue
        whole = np.concatenate(list(values.values()))
        bounds = oracle(whole, spec)[:2] if level == "global" else None
        pooled = []
        for row, tissue in enumerate(result.tissue_ids):
            if tissue not in values:
                assert np.isnan(result.means[row, channel])
                continue
            lower, upper, mean, std = oracle(values[tissue], spec, bounds)
            at = 0 if level == "global" else row
            assert (result.lower[at, channel], result.upper[at, channel]) == (lower, upper)
            np.testing.assert_allclose([result.means[row, channel], result.stds[row, channel]], [mean, std], **TIGHT)
            pooled.append(transformed(values[tissue], spec, lower, upper))
        pooled = np.concatenate(pooled)
        got = [result.pooled.means[channel], result.pooled.std[channel]]
        np.testing.assert_allclose(got, [pooled.mean(), pooled.std()], **TIGHT)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("level", ["image", "global"])
def test_partials_in_any_order_through_json_and_arrays(cohort, dtype, level):
    units, *_ = cohort(dtype)
    plan = StatisticsPlan(spec=parse_spec(f"quantile_clipping_log1p/uq_0.98_{level}"), channel_names=PANEL)
    plan = pickle.loads(pickle.dumps(plan))
    outcomes = []
    for order in (units, units[::-1], [units[2], units[0], units[3], units[1]]):
        rounds, result = Rounds(plan), None
        while result is None:
            state = json.loads(json.dumps(dict(rounds.stage.state), allow_nan=False))
            stage = rounds.stage = Round(kind=rounds.stage.kind, number=rounds.stage.number, state=state)
            partials = [statistics.run_unit(unit, plan=plan, stage=stage) for unit in order]
            assert all(array.dtype != object for part in partials for array in part.arrays.values())
            json.dumps([dict(part.record) for part in partials])
            result = rounds.fold(pickle.loads(pickle.dumps(partials)))
        outcomes.append(result)
    assert rounds.stage.number == (1 if (level, dtype) == ("global", "float32") else 0)
    first = outcomes[0].tables()
    for other in outcomes[1:]:
        assert all(first[name].equals(table, check_metadata=True) for name, table in other.tables().items())


@pytest.mark.parametrize(
    "dtypes",
    [
        ["uint8", "uint16", "int16", "uint8"],
        ["uint8", "float32", "uint8", "uint8"],
        ["float32", "uint16", "float64", "int16"],
        ["int32", "float32", "uint8", "uint32"],
        ["int64", "float32", "int32", "int16"],
    ],
    ids=lambda dtypes: "-".join(dtypes),
)
def test_images_of_several_dtypes_have_common_quantiles(cohort, dtypes):
    units, images, masks = cohort("uint8", dtypes)
    spec = parse_spec("quantile_clipping/uq_0.9_lq_0.2_global")
    result = compute_statistics(units, spec=spec, channel_names=PANEL)
    whole = np.concatenate(list(channel_values(units, images, masks, "sma").values()))
    low, high = np.quantile(whole, [0.2, 0.9])
    assert (result.lower[0, 2], result.upper[0, 2]) == (low, high)
    z = transformed(whole, spec, low, high)
    np.testing.assert_allclose([result.pooled.means[2], result.pooled.std[2]], [z.mean(), z.std()], **TIGHT)


def test_failures_are_collected_and_told_at_the_end(cohort):
    units, images, _ = cohort("float32")
    del images[Path("t1")]
    done = []
    with pytest.raises(SporaError, match=r"1 of 4 tissues \(3 are done\):\n  t1: broken t1"):
        compute_statistics(units, spec=SPECS[0], channel_names=PANEL, progress=done.append)
    assert done == ["t0", "t1", "t2", "t3"]
    result = compute_statistics(units, spec="quantile_clipping/uq_0.99_global", channel_names=PANEL, keep_going=True)
    assert result.tissue_ids == ("t0", "t2", "t3")
    assert result.failures == {"t1": "broken t1"}
    images.clear()
    with pytest.raises(SporaError, match="4 of 4"):
        compute_statistics(units, spec=SPECS[0], channel_names=PANEL, keep_going=True)


def test_nan_pixels_are_told(cohort, caplog):
    units, images, masks = cohort("float32")
    images[Path("t0")][0, masks[Path("t0")]] = np.nan
    for level in ("image", "global"):
        with caplog.at_level(logging.WARNING):
            result = compute_statistics(units, spec=f"quantile_clipping/uq_0.99_{level}", channel_names=PANEL)
        assert 'tissue t0: NaN pixels make the statistics NaN of ["CD3"]' in caplog.text
        assert np.isnan(result.upper[0, 0])
        assert np.isnan(result.pooled.means[0])
        assert np.isfinite(result.pooled.means[1:3]).all()
        caplog.clear()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"spec": "identity"}, "no statistics"),
        ({"channel_names": ("a", "a")}, "once each"),
        ({"channel_names": ("CD3",)}, "panel lacks: SMA, sma"),
        ({"units": []}, "got 0 units"),
    ],
)
def test_arguments_that_make_no_sense(cohort, change, match):
    units, *_ = cohort("uint8")
    arguments = {"units": units, "spec": SPECS[0], "channel_names": PANEL, **change}
    with pytest.raises(SporaError, match=match):
        compute_statistics(arguments.pop("units"), **arguments)
    with pytest.raises(ArgumentError, match="t0"):
        compute_statistics([units[0], units[0]], spec=SPECS[0], channel_names=PANEL)


def test_a_page_that_the_image_lacks(cohort):
    units, *_ = cohort("uint8")
    wrong = StatisticsUnit(tissue_id="t0", image=Path("t0"), mask=Path("t0"), pages={"CD3": 9})
    with pytest.raises(SporaError, match="has 3 pages; pages asked for:"):
        compute_statistics([wrong], spec=SPECS[0], channel_names=PANEL)
    assert len(units) == 4


def test_written_tables_read_back(cohort, tmp_path):
    units, *_ = cohort("float32")
    spec = "quantile_clipping/uq_0.95_lq_0.05_image"
    result = compute_statistics(units, spec=spec, channel_names=PANEL)
    files = write_statistics(tmp_path, result, provenance={"version": 1})
    assert [file.name for file in files] == [
        "image_level_upper_quantiles.parquet", "image_level_lower_quantiles.parquet", "image_level_means.parquet",
        "image_level_stds.parquet", "global_level_means.parquet", "global_level_stds.parquet",
    ]  # fmt: skip
    assert sorted(tmp_path.rglob("*.parquet")) == sorted(files)
    assert read_provenance(files[0]) == {"spec": spec, "tissues": 4, "failures": {}, "version": 1}
    for level, means in (("image", result.means[1]), ("global", result.pooled.means)):
        parsed, names = parse_spec(spec), tuple(PANEL[1:3])
        frames = TableFrames(spec=parsed, folder=tmp_path, channel_names=names, stats_level=level)
        found = frames.statistics("t1")
        assert np.array_equal(found.upper, result.upper[1, 1:3])
        assert np.array_equal(found.lower, result.lower[1, 1:3])
        assert np.array_equal(found.mean, means[1:3])
        assert found.usable.all()
    frame = pd.read_parquet(files[0])
    assert list(frame.index) == ["t0", "t1", "t2", "t3"]
    assert list(frame.columns) == list(PANEL)
    with pytest.raises(WriteError, match="overwrite"):
        write_statistics(tmp_path, result)
    assert write_statistics(tmp_path, result, overwrite=True) == files
    with pytest.raises(UnknownNameError, match="global"):
        write_statistics(tmp_path, result, stats_levels=["tissue"], overwrite=True)


def test_the_layout_of_published_tables(released_cohort, cohort):
    folder = released_cohort / "imc/1_0mpp/standardization/quantile_clipping_log1p/uq_0.99_image"
    units, *_ = cohort("uint8")
    tables = compute_statistics(units, spec=SPECS[0], channel_names=PANEL).tables(stats_levels=["global"])
    assert sorted(tables) == sorted(file.name for file in folder.glob("*.parquet"))
    for name, table in tables.items():
        published = pq.read_table(folder / name)
        ours, theirs = (json.loads(t.schema.metadata[b"pandas"]) for t in (table, published))
        kinds = [[c["kind"] if isinstance(c, dict) else c for c in t["index_columns"]] for t in (ours, theirs)]
        assert kinds[0] == kinds[1]
        assert (table.column_names[-1] == "__index_level_0__") == name.startswith("image")
        assert (published.column_names[-1] == "__index_level_0__") == name.startswith("image")


# Golden figures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dataset", "modality"), [("cohort_a", "imc"), ("cohort_b", "codex")])
def test_golden_statistics(untiled_lake, dataset, modality):
    base = untiled_lake / dataset / modality
    measured = pd.read_parquet(base / "channels_per_tissue.parquet")
    units = [
        StatisticsUnit(
            tissue_id=tissue,
            image=base / "1_0mpp/images" / f"{tissue}.ome.zarr",
            mask=untiled_lake / dataset / "segmentations/1_0mpp/tissue_masks" / f"{tissue}.npz",
            pages={name: page for page, name in enumerate(measured.columns[measured.loc[tissue]])},
        )
        for tissue in measured.index
    ]
    prefix, checked = f"{dataset}/{modality}/1_0mpp/standardization/", 0
    for text in sorted({name.removeprefix(prefix).rsplit("/", 1)[0] for name in TABLES if name.startswith(prefix)}):
        tables = compute_statistics(units, spec=text, channel_names=list(measured.columns)).tables()
        for name in (name for name in TABLES if name.startswith(f"{prefix}{text}/")):
            expected = published_table(name).astype(float)
            found = tables[name.rsplit("/", 1)[1]].to_pandas()
            assert list(found.columns) == list(expected.columns)
            assert list(found.index) == list(expected.index)
            np.testing.assert_allclose(found.to_numpy(), expected.to_numpy(), rtol=1e-4, atol=1e-9)
            checked += 1
    assert checked == 13
