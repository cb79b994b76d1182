import numpy as np
import pytest

from spora_db.errors import ArgumentError, UnknownNameError
from spora_db.standardization.filters import Filter, FilterFactory

MODES = {"reflect": "reflect", "replicate": "edge", "constant": "constant"}


def windows(image, size, padding):
    """Every window of every pixel, float64 of shape (C, H, W, size, size)."""
    margin = size // 2
    padded = np.pad(image.astype(np.float64), ((0, 0), (margin, margin), (margin, margin)), mode=MODES[padding])
    return np.lib.stride_tricks.sliding_window_view(padded, (size, size), (1, 2))


def blurred(image, size, sigma, padding):
    weights = np.exp(-0.5 * ((np.arange(size) - size // 2) / sigma) ** 2)
    square = np.outer(weights, weights)
    return (windows(image, size, padding) * square / square.sum()).sum((-1, -2))


@pytest.fixture
def image():
    return np.random.default_rng(0).gamma(0.7, 4, (3, 21, 34)).astype(np.float32)


@pytest.mark.parametrize("padding", MODES)
@pytest.mark.parametrize(("size", "sigma"), [(1, 1.0), (3, 1.0), (5, 0.6), (9, 3.0)])
def test_gaussian_blur_is_the_full_convolution(image, size, sigma, padding):
    factory = FilterFactory(
        ["gaussian_blur"], {"gaussian_blur": {"kernel_size": size, "sigma": sigma, "padding": padding}}
    )
    before = image.copy()
    np.testing.assert_allclose(factory.apply_filters(image), blurred(image, size, sigma, padding), rtol=2e-6, atol=1e-6)
    assert np.array_equal(image, before)


@pytest.mark.parametrize("padding", MODES)
@pytest.mark.parametrize("size", [1, 3, 5, 7])
def test_median_is_the_middle_of_the_window(image, size, padding):
    factory = FilterFactory(["median_filter"], {"median_filter": {"kernel_size": size, "padding": padding}})
    truth = np.median(windows(image, size, padding).reshape(*image.shape, -1), axis=-1)
    assert np.array_equal(factory.apply_filters(image), truth.astype(np.float32))


@pytest.mark.parametrize("name", ["gaussian_blur", "median_filter"])
def test_defaults_agree_with_torch(image, name):
    import torch

    padded = torch.nn.functional.pad(torch.from_numpy(image).double()[None], (1, 1, 1, 1), mode="reflect")
    patches = padded.unfold(2, 3, 1).unfold(3, 3, 1)[0].reshape(*image.shape, 9)
    weights = torch.exp(-0.5 * torch.tensor([-1.0, 0, 1]).double() ** 2)
    square = torch.outer(weights, weights).reshape(9) / torch.outer(weights, weights).sum()
    truth = (patches * square).sum(-1) if name == "gaussian_blur" else patches.median(-1).values
    result = FilterFactory((name,)).apply_filters(torch.from_numpy(image))
    assert isinstance(result, torch.Tensor)
    torch.testing.assert_close(result.double(), truth, rtol=2e-6, atol=1e-6)


def test_filters_run_in_their_order(image):
    factory = FilterFactory(["median", "gaussian"], {"gaussian": {"kernel_size": 5, "sigma": 2.0}})
    assert factory.margin == 3
    median = np.median(windows(image, 3, "reflect").reshape(*image.shape, -1), axis=-1)
    truth = blurred(median, 5, 2.0, "reflect")
    np.testing.assert_allclose(factory.apply_filters(image), truth, rtol=2e-6, atol=1e-6)


def test_nan_spreads_and_does_not_hang(image):
    image[0, 5, 5] = np.nan
    for name in ("gaussian_blur", "median_filter"):
        broken = np.isnan(FilterFactory([name]).apply_filters(image).numpy())
        assert broken[0, 4:7, 4:7].all()
        assert broken.sum() == 9


def test_views_and_single_planes(image):
    wide = np.zeros((3, 40, 60), np.float32)
    wide[:, 3:24, 5:39] = image
    view = wide[:, 3:24, 5:39]
    factory = FilterFactory(["gaussian_blur"])
    expected = factory.apply_filters(image)
    assert np.array_equal(factory.apply_filters(image[1]), expected[1])
    factory.apply_in_place(view)
    assert np.array_equal(view, expected)
    assert not wide[:, :3].any()


@pytest.mark.parametrize(
    ("names", "params", "error", "match"),
    [
        (["gausian_blur"], None, UnknownNameError, "Did you mean 'gaussian_blur'"),
        (["gaussian_blur"], {"median_blur": {}}, UnknownNameError, "Unknown filter"),
        (["gaussian_blur"], {"gaussian_blur": {"size": 3}}, UnknownNameError, "kernel_size"),
        (["gaussian_blur"], {"gaussian_blur": {"kernel_size": 4}}, ArgumentError, "odd"),
        (["gaussian_blur"], {"gaussian_blur": {"kernel_size": 3.0}}, ArgumentError, "odd"),
        (["gaussian_blur"], {"gaussian_blur": {"sigma": 0.0}}, ArgumentError, "positive"),
        (["median_filter"], {"median_filter": {"padding": "wrap"}}, UnknownNameError, "reflect"),
        ("gaussian_blur", None, ArgumentError, "sequence of names"),
    ],
)
def test_bad_filters(names, params, error, match):
    with pytest.raises(error, match=match):
        FilterFactory(names, params)


def test_planes_too_small_to_reflect():
    with pytest.raises(ArgumentError, match="too small"):
        Filter(name="gaussian_blur", kernel_size=5).run(np.zeros((1, 2, 9), np.float32))
    with pytest.raises(ArgumentError, match="shape"):
        FilterFactory(["median_filter"]).apply_filters(np.zeros(4))
