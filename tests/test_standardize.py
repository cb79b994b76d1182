import pickle
import shutil
import warnings
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alone import standardize_region
from array_reader import ArrayReader
from published_figures import SAMPLES, TABLES, assert_pixels, published_table
from spora_db.errors import (
    ArgumentError,
    FileFormatError,
    StatisticsNotFoundError,
    TableError,
    UnknownNameError,
)
from spora_db.images.pieces import tables, whole_piece
from spora_db.standardization.filters import FilterFactory
from spora_db.standardization.methods import _registered, register_standardizer, registrations
from spora_db.standardization.precision import PIXELS
from spora_db.standardization.specs import Spec, parse_spec
from spora_db.standardization.standardize import placed, run, standardize_block, warm_up
from spora_db.standardization.standardizer import build_standardizer
from spora_db.standardization.table_frames import TableFrames
from spora_db.standardization.transform import Transform, rgb_transform
from spora_db.standardization.usable import unusable

DTYPES = [
    "uint8",
    "int8",
    "bool",
    "uint16",
    "int16",
    "int32",
    "uint32",
    "int64",
    "float16",
    "float32",
    "float64",
    ">u2",
]
METHODS = ["identity", "quantile_clipping", "quantile_clipping_log1p"]
LOG1P_SPEC = "quantile_clipping_log1p/uq_0.99_image"


def oracle(x, transform):
    """The formulas of the agreement in float64, one step after the other."""
    x = x.astype(np.float32).astype(np.float64)
    low, up, mean, std = (
        part.astype(np.float64)[:, None, None]
        for part in (transform.lower, transform.upper, transform.mean, transform.std)
    )
    with np.errstate(all="ignore"):
        if transform.method == "identity":
            return x
        if transform.method == "rgb":
            return (x / transform.scale - mean) / std
        z = np.clip(x, low, up)
        if transform.method == "quantile_clipping":
            z = (z - low) / (up - low + 1e-8)
        elif transform.method == "quantile_clipping_log1p":
            z = np.log1p(z)
        else:
            z = transform.function(z)
        return (z - mean) / (std + 1e-8) if transform.use_mean_std else z


def make(method, channels, *, use_mean_std=True, seed=0, **kwargs):
    rng = np.random.default_rng(seed)
    lower, upper = rng.uniform(0, 2, channels), rng.uniform(5, 90, channels)
    mean, std = rng.uniform(0.1, 0.6, channels), rng.uniform(0.1, 0.4, channels)
    return Transform(method=method, lower=lower, upper=upper, mean=mean, std=std, use_mean_std=use_mean_std, **kwargs)


def draw(dtype, shape, seed=0):
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return rng.gamma(0.6, 20, shape).astype(kind)
    if kind.kind == "b":
        return rng.random(shape) < 0.5
    info = np.iinfo(kind)
    return rng.integers(max(info.min, -200), min(info.max, 3000), shape, endpoint=True).astype(kind)


def check(pixels, transform, slots=None):
    channels, height, width = len(transform), *pixels.shape[1:]
    slots = np.arange(channels) if slots is None else slots
    out = np.full((channels, height, width), 7e7, np.float32)
    standardize_block(pixels, out, transform, slots)
    full = np.zeros((channels, height, width), pixels.dtype)
    full[slots] = pixels
    np.testing.assert_allclose(out[slots], oracle(full, transform)[slots], rtol=2e-6, atol=2e-6)
    untouched = np.setdiff1d(np.arange(channels), slots)
    assert (out[untouched] == np.float32(7e7)).all()


@pytest.mark.some(5)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_pass_equals_the_formulas_in_float64(dtype, method):
    check(draw(dtype, (3, 9, 33)), make(method, 3))


@pytest.mark.parametrize("preset", ["identity", "imagenet", "hibou"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_rgb_presets(dtype, preset):
    top = np.iinfo(dtype).max
    pixels = np.random.default_rng(0).integers(0, top, (5, 7, 3), endpoint=True).astype(dtype)
    check(np.moveaxis(pixels, 2, 0), rgb_transform(preset, dtype=dtype))  # interleaved, as in H&E files
    transform = rgb_transform(preset, dtype=dtype)
    out = np.empty((3, 1, 1), np.float32)
    standardize_block(np.full((3, 1, 1), top, dtype), out, transform, np.arange(3))
    np.testing.assert_allclose(out[:, 0, 0], (1 - transform.mean) / transform.std, rtol=1e-5)


def test_rgb_of_floats_has_no_scale():
    with pytest.raises(ArgumentError, match="unsigned integer"):
        rgb_transform("imagenet", dtype="float32")
    with pytest.raises(UnknownNameError, match="hibou"):
        rgb_transform("imagnet", dtype="uint8")


@pytest.mark.parametrize("use_mean_std", [True, False])
@pytest.mark.parametrize("method", METHODS)
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_any_view_any_slots(method, use_mean_std, data):
    planes, height, width = (data.draw(st.integers(1, size)) for size in (4, 6, 40))
    steps = [data.draw(st.sampled_from([1, 1, 2, 3, -1])) for _ in range(3)]
    raw = draw(data.draw(st.sampled_from(["uint8", "uint16", "float32"])), (planes * 3, height * 3, width * 3))
    order = data.draw(st.permutations(range(3)))
    view = raw.transpose(order)[tuple(slice(None, None, step) for step in steps)]
    view = view[:planes, : data.draw(st.integers(1, 6)), : data.draw(st.integers(1, 40))]
    slots = np.array(data.draw(st.permutations(range(len(view) + 2))))[: len(view)]
    before = raw.copy()
    check(view, make(method, len(view) + 2, use_mean_std=use_mean_std), slots)
    assert np.array_equal(raw, before)


@pytest.mark.parametrize("step", [1, 2])
def test_out_may_be_any_view(step):
    transform, pixels = make("quantile_clipping", 2), draw("float32", (2, 5, 6))
    whole = np.zeros((4, 9, 40), np.float32)
    view = whole[1:3, 2:8, 3 : 3 + 6 * step : step]
    standardize_block(pixels, view, transform, np.arange(2))
    np.testing.assert_allclose(view[:, :5], oracle(pixels, transform), rtol=2e-6, atol=2e-6)
    assert np.count_nonzero(whole) == np.count_nonzero(view[:, :5])


def test_log1p_to_the_last_bits_everywhere():
    rng = np.random.default_rng(0)
    edges = [0.0, 1e-45, 1e-30, 1e-8, 0.4142135, 0.4142136, 1.0, 3.0, 2.0**24, 1e30, 9e36]
    values = np.concatenate([edges, 10.0 ** rng.uniform(-12, 36, 300_000), -rng.uniform(0, 0.98, 50_000)])
    x = values.astype(np.float32)[None, None]
    one, zero = np.ones(1), np.zeros(1)
    for upper in (9e36, 3e38, np.inf):  # the vectorized path, and beyond 1e37 the library's function
        transform = Transform(
            method="quantile_clipping_log1p", lower=-0.98 * one, upper=upper * one, mean=zero, std=one,
            use_mean_std=False,
        )  # fmt: skip
        out = np.empty_like(x)
        standardize_block(x, out, transform, np.arange(1))
        truth = np.log1p(np.maximum(x.astype(np.float64), np.float32(-0.98)))
        np.testing.assert_allclose(out, truth, rtol=2e-7, atol=1e-38)


@pytest.mark.parametrize("method", METHODS)
def test_nan_and_infinity_behave_as_in_numpy(method):
    x = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 5.0, 1e30], np.float32)[None, None].repeat(5, 0)
    bounds = np.array([3.0, np.nan, 0.0, np.inf, 3.0]), np.array([0.0, 0.0, 0.0, 0.0, np.nan])
    transform = Transform(
        method=method, upper=bounds[0], lower=bounds[1], mean=np.full(5, 0.2), std=np.array([1, 1, 0, 1, 1])
    )
    out = np.empty_like(x)
    standardize_block(x, out, transform, np.arange(5))
    with np.errstate(over="ignore"):
        truth = oracle(x, transform).astype(np.float32)
    np.testing.assert_allclose(out, truth, rtol=2e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_pixel_has_the_same_bits_wherever_it_stands(method):
    pixels, transform = draw("float32", (2, 4, 101)), make(method, 2)
    whole = np.empty(pixels.shape, np.float32)
    standardize_block(pixels, whole, transform, np.arange(2))
    for col in range(100):
        part = np.empty((2, 4, 101 - col), np.float32)
        standardize_block(pixels[:, :, col:], part, transform, np.arange(2))
        assert np.array_equal(part, whole[:, :, col:])


def test_close_bounds_far_from_zero_lose_nothing():
    one = np.ones(1)
    transform = Transform(
        method="quantile_clipping", lower=40_000 * one, upper=40_001 * one, mean=0.5 * one, std=0.1 * one
    )
    check(np.linspace(39_999, 40_002, 999, dtype=np.float32)[None, None], transform)


@pytest.mark.parametrize(
    ("pixels", "channels", "slots", "match"),
    [
        ((1, 5, 4), 2, [0], "do not fit"),
        ((2, 4, 4), 2, [0], "do not fit"),
        ((4, 4), 2, [0], "do not fit"),
        ((1, 4, 4), 2, [2], "Slots must lie in 0..1"),
        ((1, 4, 4), 2, [-1], "Slots must lie in 0..1"),
        ((1, 4, 4), 3, [0], "3 channels"),
    ],
)
def test_shapes_that_do_not_fit(pixels, channels, slots, match):
    out = np.empty((2, 4, 4), np.float32)
    with pytest.raises(ArgumentError, match=match):
        standardize_block(np.zeros(pixels), out, make("identity", channels), np.array(slots))


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_rows_written_past_the_caches_are_the_same(data):
    """Rows of any length that begin at any float of a line, and nothing beside them."""
    height, width = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 300))
    transform = make(data.draw(st.sampled_from(METHODS)), 2)
    tables_of = tables([whole_piece(draw(data.draw(st.sampled_from(["uint8", "float32"])), (2, height, width)))])
    start, line = data.draw(st.integers(0, 20)), data.draw(st.integers(width, width + 20))
    dtype = data.draw(st.sampled_from(list(PIXELS.values())))
    found = []
    for streamed in (False, True):
        memory = np.full(start + 2 * height * line, 7, dtype)
        out = memory[start:].reshape(2, height, line)[:, :, :width]
        regions = placed([out])
        regions["mode"] = transform.mode
        run(tables_of, regions, transform.coefficients, out.dtype, streamed=streamed)
        found.append(memory.tobytes())
    assert found[0] == found[1]


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_rows_that_go_on_in_other_chunks_are_the_same(data):
    """Pieces of any chunks, whose planes may come in any order: as of one chunk, which is written row by row."""
    transform, dtype = make(data.draw(st.sampled_from(METHODS)), 2), data.draw(st.sampled_from(list(PIXELS.values())))
    heights, widths = (data.draw(st.lists(st.integers(1, 90), min_size=1, max_size=3)) for _ in range(2))
    height, width = sum(heights), sum(widths)
    image = draw(data.draw(st.sampled_from(["uint8", "uint16", "float32"])), (2, height, width))
    parts = []
    for row, down in zip(np.cumsum(heights) - heights, heights, strict=True):
        for col, across in zip(np.cumsum(widths) - widths, widths, strict=True):
            slots = np.array(data.draw(st.sampled_from([(0, 1), (0, 1), (1, 0)])))
            own = np.ascontiguousarray(image[slots, row : row + down, col : col + across])
            pieces = np.array([(0, 0, 0, 0, 0, row, col, down, across)])
            parts.append(whole_piece(own, slots=slots)._replace(pieces=pieces))
    found = []
    for wave, streamed in ((data.draw(st.permutations(parts)), True), ([whole_piece(image)], False)):
        memory = np.full((2, height, width + 20), 7, dtype)
        regions = placed([memory])
        regions["mode"] = transform.mode
        with mock.patch("spora_db.standardization.standardize.BAND", data.draw(st.sampled_from([1, 1024, 2**13]))):
            run(tables(wave), regions, transform.coefficients, memory.dtype, streamed=streamed)
        found.append(memory.tobytes())
    assert found[0] == found[1]


def test_other_refusals():
    with pytest.raises(ArgumentError, match="real numbers"):
        standardize_block(np.zeros((1, 1, 1), complex), np.empty((1, 1, 1), "f4"), make("identity", 1), np.arange(1))
    with pytest.raises(ArgumentError, match="one shape"):
        Transform(method="identity", lower=np.zeros(2), upper=np.zeros(2), mean=np.zeros(3), std=np.zeros(2))
    with pytest.raises(UnknownNameError, match="quantile_clipping"):
        Transform(method="quantile_cliping", lower=np.zeros(2), upper=np.zeros(2), mean=np.zeros(2), std=np.zeros(2))


# Regions -------------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_region_is_the_padded_image_standardized(data):
    image = draw(data.draw(st.sampled_from(["uint16", "float32"])), (5, 40, 50))
    row, col = data.draw(st.integers(-30, 60)), data.draw(st.integers(-30, 60))
    height, width = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 60))
    pages = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=5, unique=True))
    transform = make(data.draw(st.sampled_from(METHODS)), len(pages))
    result = standardize_region(ArrayReader(image), pages, transform, row=row, col=col, height=height, width=width)
    padded = np.pad(image[pages], ((0, 0), (100, 200), (100, 200)))
    raw = padded[:, row + 100 : row + 100 + height, col + 100 : col + 100 + width]
    np.testing.assert_allclose(result, oracle(raw, transform), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("corner", [(10, 20), (0, 0), (28, 38), (-5, 45)])
@pytest.mark.parametrize("names", [["gaussian_blur"], ["median_filter", "gaussian_blur"]])
def test_halo_is_the_whole_tissue_filtered(corner, names):
    image, filters = draw("float32", (3, 40, 50)), FilterFactory(names)
    transform, reader = make("quantile_clipping_log1p", 3), ArrayReader(image)
    area = {"row": corner[0], "col": corner[1], "height": 12, "width": 12}
    plain = standardize_region(reader, [0, 1, 2], transform, **area)
    halo = standardize_region(reader, [0, 1, 2], transform, **area, filters=filters, halo=True)
    alone = standardize_region(reader, [0, 1, 2], transform, **area, filters=filters)
    assert np.array_equal(alone, filters.apply_filters(plain))
    whole = standardize_region(reader, [0, 1, 2], transform, row=0, col=0, height=40, width=50, filters=filters)
    rows = slice(max(corner[0], 0), min(corner[0] + 12, 40))
    cols = slice(max(corner[1], 0), min(corner[1] + 12, 50))
    inside = (
        slice(None),
        slice(rows.start - corner[0], rows.stop - corner[0]),
        slice(cols.start - corner[1], cols.stop - corner[1]),
    )
    np.testing.assert_allclose(halo[inside], whole[:, rows, cols], rtol=1e-5, atol=1e-6)
    outside = np.ones(halo.shape, bool)
    outside[inside] = False
    assert np.array_equal(halo[outside], plain[outside])


# Specs ---------------------------------------------------------------------------------------------------------------

SPECS = [
    ("identity", None, "identity", None, None, None),
    ("imagenet", None, "imagenet", None, None, None),
    ("hibou", None, "hibou", None, None, None),
    ("quantile_clipping/uq_0.99_image", None, "quantile_clipping", 0.99, None, "image"),
    ("quantile_clipping/uq_0.99_global", "global", "quantile_clipping", 0.99, None, "global"),
    ("quantile_clipping_log1p/uq_0.999_lq_0.01_image", None, "quantile_clipping_log1p", 0.999, 0.01, "image"),
    ("quantile_clipping/uq_1_image", None, "quantile_clipping", 1.0, None, "image"),
    ("quantile_clipping/uq_0.990_image", None, "quantile_clipping", 0.99, None, "image"),
    ("quantile_clipping/uq_0.99", "image", "quantile_clipping", 0.99, None, "image"),
    ("quantile_clipping/uq_0.95_lq_0.05", "global", "quantile_clipping", 0.95, 0.05, "global"),
]


@pytest.mark.parametrize(("text", "level", "method", "upper", "lower", "expected"), SPECS)
def test_specs_are_taken_apart_and_put_together(text, level, method, upper, lower, expected):
    spec = parse_spec(text, quantile_level=level)
    assert (spec.method, spec.upper, spec.lower, spec.quantile_level) == (method, upper, lower, expected)
    assert str(spec) == text
    assert parse_spec(spec) is spec
    assert pickle.loads(pickle.dumps(spec)) == spec


@given(st.floats(0.001, 1.0), st.none() | st.floats(0, 0.0009), st.sampled_from(["image", "global"]))
def test_every_spec_comes_back_from_its_text(upper, lower, level):
    spec = Spec(method="quantile_clipping", upper=upper, lower=lower, quantile_level=level)
    assert parse_spec(str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "level", "error", "match"),
    [
        (
            "quantile_cliping/uq_0.99_image",
            None,
            UnknownNameError,
            "Did you mean 'quantile_clipping'.*as in quantile_clipping_log1p/uq_0.99_image",
        ),
        ("zscore", None, UnknownNameError, "Available"),
        ("quantile_clipping", None, ArgumentError, "of the form"),
        ("quantile_clipping/uq_0.99_tissue", None, ArgumentError, "of the form"),
        ("quantile_clipping/../secret", None, ArgumentError, "of the form"),
        ("quantile_clipping/uq_0.99", None, ArgumentError, "pass quantile_level"),
        ("quantile_clipping/uq_0.99_image", "global", ArgumentError, "has image-level quantiles"),
        ("quantile_clipping/uq_0.99", "tissue", UnknownNameError, "Available: global, image"),
        ("quantile_clipping/uq_1.5_image", None, ArgumentError, "lower < upper <= 1"),
        ("quantile_clipping/uq_0.1_lq_0.2_image", None, ArgumentError, "lower < upper <= 1"),
        (0.99, None, ArgumentError, "float"),
    ],
)
def test_specs_that_are_none(text, level, error, match):
    with pytest.raises(error, match=match):
        parse_spec(text, quantile_level=level)


# Registered functions ------------------------------------------------------------------------------------------------


def square_root(pixels):
    return np.sqrt(pixels)


@pytest.mark.parametrize("kind", ["ufunc", "python", "jitted"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_registered_function_is_a_method(dtype, kind):
    import numba

    function = {"ufunc": np.sqrt, "python": square_root, "jitted": numba.njit(lambda value: value**0.5)}[kind]
    register_standardizer(f"quantile_clipping_{kind}", function)
    assert parse_spec(f"quantile_clipping_{kind}/uq_0.99_image").method == f"quantile_clipping_{kind}"
    transform = make(f"quantile_clipping_{kind}", 4)
    pixels, slots = draw(dtype, (3, 6, 7)), np.array([3, 0, 1])
    out = np.full((4, 8, 9), 5.0, np.float32)
    standardize_block(pixels, out, transform, slots)
    full = np.zeros((4, 6, 7), dtype)
    full[slots] = pixels
    truth = oracle(
        full,
        Transform(
            **{name: getattr(transform, name) for name in ("lower", "upper", "mean", "std")},
            method=transform.method,
            function=np.sqrt,
        ),
    )
    np.testing.assert_allclose(out[slots, :6, :7], truth[slots], rtol=2e-6, atol=2e-6)
    assert (out[2] == 5).all()
    assert (out[:, 6:] == 5).all()
    assert (out[:, :, 7:] == 5).all()


def test_registering_twice_and_badly():
    register_standardizer("quantile_clipping_sqrt", square_root)
    register_standardizer("quantile_clipping_sqrt", square_root)  # a notebook cell run again
    with pytest.raises(ArgumentError, match="registered already"):
        register_standardizer("quantile_clipping_sqrt", np.cbrt)
    for name in ("identity", "quantile_clipping", "a/b", ""):
        with pytest.raises(ArgumentError, match="Cannot register"):
            register_standardizer(name, np.sqrt)
    with pytest.raises(ArgumentError, match="must be a function"):
        register_standardizer("quantile_clipping_text", "sqrt")
    register_standardizer("quantile_clipping_sum", np.sum)
    with pytest.raises(ArgumentError, match="keep the shape"):
        warm_up(make("quantile_clipping_sum", 2), dtype="uint8")


@pytest.mark.parametrize("text", ["{}/uq_0.99_image", " {}/uq_0.99_image", "/{}/uq_0.99_image/"])
def test_what_is_registered_goes_along_however_its_spec_is_written(text):
    register_standardizer("quantile_clipping_sqrt", square_root)
    name = parse_spec(text.format("quantile_clipping_sqrt")).method
    assert registrations([text.format(name)]).keys() == {name}


def test_a_transform_pickles_with_its_function():
    register_standardizer("quantile_clipping_sqrt", square_root)
    data = pickle.dumps(make("quantile_clipping_sqrt", 2))
    _registered.clear()  # as in a spawned worker
    copy = pickle.loads(data)
    out = np.empty((2, 3, 3), np.float32)
    standardize_block(draw("float32", (2, 3, 3)), out, copy, np.arange(2))
    assert np.isfinite(out).all()


# Which channels can be standardized ----------------------------------------------------------------------------------

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("lower", "upper", "mean", "std", "with_moments", "without"),
    [
        (0, 3, 0.5, 1, True, True),
        (0, 0, 0.5, 1, False, False),
        (0, -1, 0.5, 1, False, False),
        (0, NAN, 0.5, 1, False, False),
        (0, INF, 0.5, 1, False, False),
        (NAN, 3, 0.5, 1, False, False),
        (-INF, 3, 0.5, 1, False, False),
        (0, 3, NAN, 1, False, True),
        (0, 3, INF, 1, False, True),
        (0, 3, 0.5, 0, False, True),
        (0, 3, 0.5, -1, False, True),
        (0, 3, 0.5, NAN, False, True),
        (0, 3, 0.5, INF, False, True),
        (5, 3, 0.5, 1, True, True),
    ],
)
def test_which_channels_are_usable(lower, upper, mean, std, with_moments, without):
    for use_mean_std, expected in ((True, with_moments), (False, without)):
        figures = [lower], [upper], [mean], [std]
        reasons = unusable(*figures, use_mean_std=use_mean_std, method="quantile_clipping")
        assert (reasons == 0).tolist() == [expected]
        assert not unusable(*figures, use_mean_std=use_mean_std, method="identity").any()


# Tables --------------------------------------------------------------------------------------------------------------


def write(path, columns, ids=None, index="__index_level_0__"):
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({**columns, **({index: ids} if ids is not None else {})})
    pq.write_table(table, path)


@pytest.fixture
def folder(tmp_path):
    spec = tmp_path / "quantile_clipping/uq_0.99_image"
    write(
        spec / "image_level_upper_quantiles.parquet",
        {"SMA": [1.0, 2.0], "sma": [3.0, 4.0], "index": [7, 8]},
        ["a", "b"],
    )
    write(spec / "global_level_means.parquet", {"SMA": [0.1], "sma": [0.2], "Unnamed: 0": [0]})
    write(spec / "global_level_stds.parquet", {"SMA": [0.3], "sma": [0.4]})
    return tmp_path


SPEC = "quantile_clipping/uq_0.99_image"


def load_statistics(folder, spec, *, tissue_id, channel_names, **options):
    frames = TableFrames(spec=parse_spec(spec), folder=folder, channel_names=tuple(channel_names), **options)
    return frames.statistics(tissue_id)


def test_statistics_by_exact_name_in_the_asked_order(folder):
    found = load_statistics(folder, SPEC, tissue_id="b", channel_names=["sma", "SMA"])
    assert found.upper.tolist() == [4.0, 2.0]
    assert found.mean.tolist() == [0.2, 0.1]
    assert found.std.tolist() == [0.4, 0.3]
    assert found.lower.tolist() == [0.0, 0.0]
    assert found.usable.all()
    assert found.transform().upper.dtype == np.float32


@pytest.mark.parametrize("index", ["tissue_id", "__index_level_0__"])
def test_image_level_moments_and_lower_quantiles(folder, index):
    spec = folder / "quantile_clipping/uq_0.9_lq_0.1_image"
    for name, value in (("upper_quantiles", 5.0), ("lower_quantiles", 1.0), ("means", 0.5), ("stds", 0.25)):
        write(
            spec / f"image_level_{name}.parquet", {"SMA": [value, value + 1], "nothing": pa.nulls(2)}, ["a", "b"], index
        )
    for level in (None, "image"):
        found = load_statistics(
            folder, "quantile_clipping/uq_0.9_lq_0.1_image", tissue_id="b", channel_names=["SMA", "nothing"],
            stats_level=level,
        )  # fmt: skip
        assert (found.lower[0], found.upper[0], found.mean[0], found.std[0]) == (2.0, 6.0, 1.5, 1.25)
        assert found.usable.tolist() == [True, False]


def test_the_older_form_names_either_folder(folder):
    for text in ("quantile_clipping/uq_0.99", SPEC):
        older = parse_spec(text, quantile_level="image")
        found = load_statistics(folder, older, tissue_id="a", channel_names=["SMA"])
        assert found.upper[0] == 1.0
    (folder / SPEC).rename(folder / "quantile_clipping/uq_0.99")
    older = parse_spec("quantile_clipping/uq_0.99", quantile_level="image")
    found = load_statistics(folder, older, tissue_id="a", channel_names=["SMA"])
    assert found.upper[0] == 1.0


def test_a_changed_table_is_read_again(folder):
    assert load_statistics(folder, SPEC, tissue_id="a", channel_names=["SMA"]).mean[0] == 0.1
    write(folder / SPEC / "global_level_means.parquet", {"SMA": [0.7], "sma": [0.2], "more": [1.5]})
    assert load_statistics(folder, SPEC, tissue_id="a", channel_names=["SMA"]).mean[0] == 0.7


def broken(name, columns=None, ids=None):
    def change(path):
        if columns is None:
            (path / name).unlink()
        else:
            write(path / name, columns, ids)

    return change


MEANS, STDS, UPPER = "global_level_means.parquet", "global_level_stds.parquet", "image_level_upper_quantiles.parquet"


@pytest.mark.parametrize(
    ("change", "kwargs", "error", "match"),
    [
        (None, {"tissue_id": "c"}, StatisticsNotFoundError, "No row for tissue 'c' in .*image_level_upper"),
        (None, {"channel_names": ["Sma"]}, StatisticsNotFoundError, "no numeric column for 'Sma'; it has SMA, sma"),
        (None, {"stats_level": "image"}, StatisticsNotFoundError, "image_level_means.parquet"),
        (None, {"stats_level": "tissue"}, UnknownNameError, "Available: global, image"),
        (None, {"spec": "quantile_clipping/uq_0.9_image"}, StatisticsNotFoundError, "There are: .*/uq_0.99_image"),
        (broken(STDS), {}, StatisticsNotFoundError, "use_mean_std=False"),
        (broken(UPPER), {}, StatisticsNotFoundError, "upper_quantiles"),
        (broken(MEANS, {"SMA": [0.1, 0.2]}), {}, TableError, "exactly one row"),
        (lambda path: (path / MEANS).write_bytes(b"PAR1 no"), {}, FileFormatError, "Cannot read"),
        (broken(UPPER, {"SMA": [1.0]}), {}, StatisticsNotFoundError, "no tissue ids"),
        (broken(UPPER, {"SMA": [1.0, 2.0]}, ["a", "a"]), {}, TableError, "repeats"),
    ],
)
def test_missing_or_contradictory_tables(folder, change, kwargs, error, match):
    if change is not None:
        change(folder / SPEC)
    arguments = {"spec": SPEC, "tissue_id": "a", "channel_names": ["SMA"], **kwargs}
    spec = arguments.pop("spec")
    with pytest.raises(error, match=match):
        load_statistics(folder, spec, **arguments)


def test_published_tables(released_cohort):
    folder = released_cohort / "imc/1_0mpp/standardization"
    tissue = "cords2024cancer_aaubexco_0000"
    table = pq.read_table(folder / LOG1P_SPEC / "image_level_upper_quantiles.parquet").to_pandas()
    names = list(table.columns)[::-1]
    found = load_statistics(folder, LOG1P_SPEC, tissue_id=tissue, channel_names=names)
    assert np.array_equal(found.upper.astype(np.float32), table.loc[tissue, names].to_numpy(np.float32))


# The standardizer of the published classes ---------------------------------------------------------------------------


def test_standardizer_drops_keeps_and_warns(folder):
    write(folder / SPEC / "image_level_upper_quantiles.parquet", {"SMA": [0.0], "x": [2.0], "sma": [4.0]}, ["a"])
    for name, value in (("means", 0.5), ("stds", 0.25)):
        write(folder / SPEC / f"global_level_{name}.parquet", {"SMA": [value], "x": [value], "sma": [value]})
    (folder / "standardization").mkdir()
    (folder / "quantile_clipping").rename(folder / "standardization/quantile_clipping")
    options = {
        "standardization": SPEC,
        "modality_dir": folder,
        "channels_per_image": ["SMA", "x", "sma"],
        "verbose": False,
    }
    image = draw("float32", (2, 4, 5))
    image, mask = (standard := build_standardizer(**options)).apply(image, "a", [True, False, True], [True, True])
    assert image.shape == (1, 4, 5)
    assert mask.tolist() == [False, True]
    assert standard.name == SPEC
    keeping = build_standardizer(**options, disable_quantile_mask=True)
    with pytest.warns(RuntimeWarning, match="SMA"):
        image, mask = keeping.apply(np.zeros((2, 4, 5), "u1"), "a", [True, False, True], [True, True])
    assert image.shape == (2, 4, 5)
    assert mask.all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, mask = keeping.apply(np.zeros((1, 4, 5), "u1"), "a", [True, False, True], [False, True])
        _, mask = keeping.apply(np.zeros((1, 4, 5), "u1"), "a", [True, True, True], [False, False, True])
    assert mask.tolist() == [False, False, True]
    for x, measured, selected in [
        (np.zeros((2, 4, 5)), [True, True, True], [False, True, False]),
        (np.zeros((1, 4, 5)), [True, True], [False, True]),
        (np.zeros((1, 4, 5)), [True, False, True], [True]),
    ]:
        with pytest.raises(ArgumentError, match="tissue 'a'"):
            standard.apply(x, "a", measured, selected)
    with pytest.raises(StatisticsNotFoundError, match="'b'"):
        standard.apply(np.zeros((1, 4, 5)), "b", [True, True, True], [False, True, False])
    with pytest.raises(ArgumentError, match="RGB"):
        build_standardizer(standardization="hibou", modality_dir=folder, channels_per_image=["x"])


def test_tensors_give_tensors():
    import torch

    standard = build_standardizer(
        standardization="identity", modality_dir=".", channels_per_image=["a"], filter_factory=FilterFactory(["median"])
    )
    image, mask = standard.apply(
        torch.ones(1, 3, 3, dtype=torch.uint8), "t", torch.ones(1).bool(), torch.ones(1).bool()
    )
    assert isinstance(image, torch.Tensor)
    assert image.dtype == torch.float32
    assert isinstance(mask, np.ndarray)


# Golden figures ------------------------------------------------------------------------------------------------------

SPECS_GOLDEN = ["identity", "quantile_clipping/uq_0.99_image", LOG1P_SPEC]


@pytest.fixture(scope="module")
def golden(untiled_lake, tmp_path_factory):
    """Return the lake with the statistics that the published program computed, as it wrote them."""
    root = tmp_path_factory.mktemp("golden") / "lake"
    shutil.copytree(untiled_lake, root)
    for name, frame in TABLES.items():
        if "standardization" in name:
            values = np.array([[np.nan if v is None else v for v in line] for line in frame["data"]], np.float32)
            ids = frame["index"] if isinstance(frame["index"][0], str) else None
            write(root / name, dict(zip(frame["columns"], values.T, strict=True)), ids)
    return root


@pytest.mark.some(4)
@pytest.mark.parametrize("kind", ["complete", "qc_filtered", "uniprot_filtered"])
@pytest.mark.parametrize("spec", SPECS_GOLDEN)
@pytest.mark.parametrize(("cohort", "modality"), [("cohort_a", "imc"), ("cohort_b", "codex")])
def test_golden_masks_and_pixels(golden, cohort, modality, spec, kind):
    import pandas as pd
    import zarr

    base = golden / cohort / modality
    panel = pd.read_parquet(base / "channels_per_tissue.parquet")
    frame = published_table(f"{cohort}/tiling/1_0mpp/default/64_tile_coordinates.parquet")
    standard = build_standardizer(standardization=spec, modality_dir=base / "1_0mpp", channels_per_image=panel)
    checked = 0
    for tissue in panel.index:
        measured = panel.loc[tissue].to_numpy()
        identity = SAMPLES[f"{cohort}|identity|False|{kind}|{tissue}"]
        expected = SAMPLES[f"{cohort}|{spec}|False|{kind}|{tissue}"]
        image = zarr.open_group(base / "1_0mpp/images" / f"{tissue}.ome.zarr", mode="r")["0"][:]
        selected = np.array(identity["loading"])
        result, mask = standard.apply(image[selected], tissue, measured, selected)
        assert mask.tolist() == expected["loading"]
        assert list(result.shape) == expected["shape"]
        first = frame[(frame.tissue_id == tissue) & (frame.tile_id == 0)].iloc[0]
        tile = result[:, first.row : first.row + 64, first.col : first.col + 64]
        assert_pixels(tile, f"{cohort}|{spec}|False|{kind}|{tissue}", step=4, rtol=1e-5)
        checked += 1
    assert checked == 5


@pytest.mark.parametrize(("cohort", "modality"), [("cohort_a", "imc"), ("cohort_b", "codex")])
def test_golden_rgb(golden, cohort, modality):
    import zarr

    tissue = f"{cohort}_0000"
    for name, folder, preset in [("he", "he", "imagenet"), ("ihc", "ihc/ihc_CD3", "hibou")]:
        image = zarr.open_group(golden / cohort / folder / "1_0mpp/images" / f"{tissue}.ome.zarr", mode="r")["0"][:]
        row, col = SAMPLES[f"{cohort}|he"]["last"] if name == "he" else (0, 0)
        size = (64, 64) if name == "he" else image.shape[1:]
        transform = rgb_transform(preset, dtype=image.dtype)
        tile = standardize_region(
            ArrayReader(image), [0, 1, 2], transform, row=row, col=col, height=size[0], width=size[1]
        )
        assert_pixels(tile, f"{cohort}|{name}", step=4 if name == "he" else 8, rtol=1e-5)
