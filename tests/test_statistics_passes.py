"""Global statistics in one pass and a sample: the same quantiles as of everything, whatever the sample has missed."""

import numpy as np
import pytest

from array_reader import ArrayReader, cohort
from spora_db.kernels.brackets import TALLIES, part_by_brackets
from spora_db.standardization.methods import register_standardizer
from spora_db.standardization.specs import parse_spec
from spora_db.statistics import Rounds, StatisticsPlan, brackets, compute_statistics, run_unit

SPECS = [
    "quantile_clipping/uq_0.99_global", "quantile_clipping_log1p/uq_0.97_lq_0.02_global",
    "quantile_clipping_sqrt/uq_0.5_global", "quantile_clipping/uq_0.95_lq_0.05_zq_raise-quantile_global",
]  # fmt: skip

MOST = float(np.finfo(np.float64).max)
LEAST = -MOST


@pytest.fixture(autouse=True)
def square_root():
    register_standardizer("quantile_clipping_sqrt", np.sqrt)


def hashed(count, seed):
    """Numbers in [0, 1) of 24 bits."""
    keys = (np.arange(count, dtype=np.uint64) + np.uint64(1 + seed * 1_000_003)) * np.uint64(0x9E3779B97F4A7C15)
    return ((keys ^ (keys >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) >> np.uint64(40)).astype(
        np.float64
    ) / 2**24


def smooth(seed, height, width):
    return (hashed(height * width, seed) ** 3 * 400 + 1).reshape(height, width)


def statistics(units, spec, names=("X",), **options):
    """Return the result, and the kinds of rounds it took."""
    plan = StatisticsPlan(spec=parse_spec(spec), channel_names=names, **options)
    rounds, kinds, result = Rounds(plan), [], None
    while result is None:
        kinds.append(rounds.stage.kind)
        result = rounds.fold([run_unit(unit, plan=plan, stage=rounds.stage) for unit in units])
    return result, kinds


def check(result, tissues, spec):
    """Compare with numpy on everything: quantiles to the last bit."""
    spec = parse_spec(spec)
    values = {name: pixels.astype(np.float32).astype(np.float64).ravel() for name, pixels in tissues.items()}
    whole = np.concatenate(list(values.values()))
    lower = 0.0 if spec.lower is None else np.quantile(whole, spec.lower)
    upper = np.quantile(whole, spec.upper)
    if spec.on_zero_quantile is not None and upper <= max(lower, 0.0):
        found = [np.quantile(whole, share) for share in (0.99, 0.999, 0.9999, 0.99999, 1.0)]
        upper = next((other for other in found if other > max(lower, 0.0)), 0.0)
        lower = lower if upper > 0 else 0.0
    assert (result.lower[0, 0], result.upper[0, 0]) == (lower, upper)
    for row, tissue in enumerate(result.tissue_ids):
        clipped = np.clip(values[tissue], lower, upper)
        z = (clipped - lower) / (upper - lower + 1e-8) if spec.method == "quantile_clipping" else clipped
        z = {"quantile_clipping_log1p": np.log1p, "quantile_clipping_sqrt": np.sqrt}.get(spec.method, np.asarray)(z)
        np.testing.assert_allclose(result.means[row, 0], z.mean(), rtol=1e-12, atol=1e-300)
        spread = 0.0 if (z == z[0]).all() else z.std()
        np.testing.assert_allclose(result.stds[row, 0], spread, rtol=1e-12 + 1e-15 * abs(z.mean()) / (spread or 1))


SHAPE = (60, 83)
RARE = hashed(60 * 83, 9).reshape(SHAPE)
HARD = {
    "one pixel": {"a": np.array([[3.5]])},
    "one pixel of many": {"a": np.where(RARE.max() == RARE, 40.0, 0.0), "b": np.zeros(SHAPE)},
    "constant": {"a": np.full(SHAPE, 7.25), "b": np.full((1, 9), 7.25)},
    "constants": {"a": np.full(SHAPE, 7.25), "b": np.full(SHAPE, 1.5)},
    "two values": {"a": np.where(RARE < 0.01, 5.0, 1.0), "b": np.where(RARE < 0.011, 5.0, 1.0)},
    "sorted": {"a": np.sort(smooth(1, *SHAPE).ravel()).reshape(SHAPE), "b": np.arange(700.0).reshape(7, 100)},
    "apart": {"a": smooth(1, *SHAPE), "b": smooth(2, *SHAPE) * 1e6, "c": smooth(3, 5, 7) * 1e-6},
    "zeros": {"a": np.where(RARE < 0.02, smooth(1, *SHAPE), 0.0), "b": np.zeros((300, 300))},
    "counts": {"a": np.floor(smooth(1, *SHAPE) / 30), "b": np.floor(smooth(2, *SHAPE) / 9)},
    "narrow": {"a": 1000 + RARE / 100, "b": 1000 + smooth(2, *SHAPE) / 1e6},
}


@pytest.mark.some(4)
@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("spec", SPECS)
def test_hard_pixels(monkeypatch, spec, kind):
    result, kinds = statistics(cohort(monkeypatch, HARD[kind]), spec)
    check(result, HARD[kind], spec)
    assert kinds == ["sample", "bracket"]


def shares_beside(quantiles, *, evidence):
    """Say that every quantile lies where it does not."""
    beside = np.array([share for quantile in quantiles for share in (quantile * 0.9, quantile * 0.95)])
    return np.tile(beside, (len(evidence), 1))


@pytest.mark.parametrize("kind", ["apart", "counts", "sorted", "narrow"])
@pytest.mark.parametrize("spec", SPECS)
def test_a_quantile_outside_of_its_bracket_is_searched(monkeypatch, spec, kind):
    monkeypatch.setattr(brackets, "shares_around", shares_beside)
    result, kinds = statistics(cohort(monkeypatch, HARD[kind]), spec)
    check(result, HARD[kind], spec)
    assert kinds == ["sample", "bracket", "digits", "digits", "moments"] or kind == "counts"


@pytest.mark.parametrize("spec", SPECS)
def test_a_bracket_with_too_many_pixels_is_searched(monkeypatch, spec):
    result, kinds = statistics(cohort(monkeypatch, HARD["apart"]), spec, kept_bytes=160)
    check(result, HARD["apart"], spec)
    assert kinds == ["sample", "bracket", "digits", "digits", "moments"]


ENDS = [[0, 2, 7, 9], [2, 2, 7, 7], [3, 3, 3, 3], [-1, 1, 1, 4], [LEAST, LEAST, 6, 8], [LEAST, LEAST, 5, MOST],
        [1, MOST, LEAST, 8], [LEAST, MOST, LEAST, MOST]]  # fmt: skip


@pytest.mark.parametrize("ends", ENDS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint64"])
def test_pixels_are_parted_by_brackets(dtype, ends):
    rng, (lowest, low, high, highest) = np.random.default_rng(0), map(float, ends)
    odd = [np.nan, np.inf, -np.inf, MOST, LEAST] if dtype.startswith("f") else []
    for size in (0, 1, 31, 32, 33, 500):
        for share in (0.0, 0.02, 1.0):  # of pixels that may lie anywhere
            values = np.where(rng.random(size) < share, rng.integers(0, 11, size), 5)
            with np.errstate(over="ignore"):
                values = np.concatenate([values, odd if share else []]).astype(dtype)
            rng.shuffle(values)
            between, kept, tallies = np.empty_like(values), np.zeros(20, dtype), np.zeros(TALLIES, np.int64)
            count = part_by_brackets(values, np.array(ends, float), between, kept, tallies)
            number = values.astype(float)
            within, broken = (number >= low) & (number <= high), np.isnan(number)
            np.testing.assert_array_equal(between[:count], values[within])
            least, most = ~within & (number == lowest), ~within & (number == highest) & (number != lowest)
            below, above = ~within & (number < lowest), ~within & (number > highest) & (number >= lowest) & ~least
            inside = ~(within | least | most | below | above | broken)
            np.testing.assert_array_equal(kept[: inside.sum()], values[inside][:20])
            at_low, at_high = within & (number == low), within & (number == high) & (number != low)
            left, right = inside & (number < low), inside & (number >= low)
            found = [below, least, left, at_low, within & ~at_low & ~at_high, at_high, right, most, above, broken]
            assert tallies.tolist() == [int(where.sum()) for where in found]


def test_partials_that_wait_on_a_disk_do_not_change_a_bit(monkeypatch):
    units, saved, savez = cohort(monkeypatch, {f"t{i}": smooth(i, *SHAPE) for i in range(4)}), [], np.savez
    monkeypatch.setattr(np, "savez", lambda file, **arrays: (saved.append(list(arrays)), savez(file, **arrays)))
    for spec in ("quantile_clipping/uq_0.99_global", "quantile_clipping_log1p/uq_0.99_image"):
        results = []
        for kept_bytes in (2**28, 2**15, 2**5):
            saved.clear()
            found = compute_statistics(units, spec=spec, channel_names=["X"], kept_bytes=kept_bytes)
            results.append((len(saved) > 0, found.upper.tobytes()))
            if kept_bytes >= 2**15:  # one pass adds up in another order than those of a search
                results[-1] += (found.means.tobytes(), found.pooled.squares.tobytes())
        assert [result[0] for result in results] == [False, "global" in spec, True]
        assert results[0][1:] == results[1][1:]
        assert results[0][1] == results[2][1]


def counting(monkeypatch):
    """Count the pixels that are decoded."""
    asked, decoded = [], ArrayReader.decoded

    def counted(self, group, down, across, *, rows, cols, files):
        asked.append(len(group.planes) * (rows.stop - rows.start) * (cols.stop - cols.start))
        return decoded(self, group, down, across, rows=rows, cols=cols, files=files)

    monkeypatch.setattr(ArrayReader, "decoded", counted)
    return asked


def test_pixels_are_decoded_once_besides_the_sample(monkeypatch):
    tissues = {f"t{i}": smooth(i, 1024, 1024) for i in range(2)}
    units, decoded = cohort(monkeypatch, tissues), counting(monkeypatch)
    result, _ = statistics(units, SPECS[0])
    check(result, tissues, SPECS[0])
    assert sum(decoded) == 2 * (1024 * 1024 + 2 * 256 * 256)


def test_only_a_channel_that_is_missed_is_decoded_again(monkeypatch):
    good, odd = smooth(1, 256, 256), smooth(2, 256, 256)
    odd[3, 3] = np.nan
    units, decoded = cohort(monkeypatch, {"a": np.stack([good, odd])}), counting(monkeypatch)
    result, kinds = statistics(units, SPECS[0], names=("X", "Y"))
    assert kinds == ["sample", "bracket", "digits", "digits", "moments"]
    assert sum(decoded) == 256 * 256 * (2 * 2 + 4)  # the last names what is odd
    assert np.isnan([result.upper[0, 1], result.means[0, 1], result.pooled.means[1]]).all()
    alone, _ = statistics(cohort(monkeypatch, {"a": good}), SPECS[0])
    assert (result.upper[0, 0], result.means[0, 0], result.stds[0, 0]) == (
        alone.upper[0, 0], alone.means[0, 0], alone.stds[0, 0]
    )  # fmt: skip


GOLDEN = {
    SPECS[0]: (
        "0x0.0p+0 0x1.689b8bb333333p+10 0x1.7bf4a77cd8b5fp-3 0x1.e565db5d41363p-3",
        "0x1.1d1ca6846ab62p-4 0x1.1f39947810d80p-3 0x1.ad0918cf089d5p-3 0x1.1d6340f99948fp-2",
        "0x1.415f49ddaab39p-4 0x1.413f7b1926d51p-3 0x1.e36b254a2f11ep-3 0x1.3d42affb0d673p-2",
    ),
    SPECS[1]: (
        "0x1.6777017ae147bp+0 0x1.27db20d70a3d6p+10 0x1.1a6d9975ee00fp+2 0x1.d8f826912da69p+0",
        "0x1.ce93e6d27ae34p+1 0x1.104a21e9fdf36p+2 0x1.27afcd8001f42p+2 0x1.392419964d8f8p+2",
        "0x1.b14b927c090efp+0 0x1.c988110c0584bp+0 0x1.d321a515d69a0p+0 0x1.d22ec1c6cda81p+0",
    ),
}
"""Bounds and pooled moments, means and deviations of tissues, as a pass for each 16 bits and one for moments find."""


@pytest.mark.parametrize("spec", GOLDEN)
def test_figures_are_those_of_three_passes(monkeypatch, spec):
    tissues = {f"t{i}": smooth(i, 150 + 40 * i, 333 - 20 * i) * (1 + i) for i in range(4)}
    result, kinds = statistics(cohort(monkeypatch, tissues)[::-1], spec)
    (lower, upper, *pooled), means, stds = ([float.fromhex(text) for text in row.split()] for row in GOLDEN[spec])
    assert (result.lower[0, 0], result.upper[0, 0]) == (lower, upper)
    found = [result.pooled.means[0], result.pooled.std[0], *result.means[:, 0], *result.stds[:, 0]]
    np.testing.assert_allclose(found, [*pooled, *means, *stds], rtol=1e-14)
    assert kinds == ["sample", "bracket"]
