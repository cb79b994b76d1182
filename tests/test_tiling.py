import itertools
import math
import pickle
from fractions import Fraction

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agreed import SHARED
from published_figures import TILINGS
from reference_lake import greedy_cases, grid_cases
from spora_db.errors import ArgumentError
from spora_db.tiling import TilingParameters, check_strategy, tile_grid, tile_mask

RATIOS = [0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.85, 0.95, 0.99]


# --- the published figures -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cases():
    return {name: (mask, options) for name, mask, options in itertools.chain(greedy_cases(), grid_cases())}


@pytest.mark.parametrize("name", [name for name in TILINGS if not name.startswith("grid")])
def test_greedy_equals_the_golden_tilings(cases, name):
    mask, options = cases[name]
    assert_golden(tile_mask(mask, **options), TILINGS[name])


@pytest.mark.parametrize("name", [name for name in TILINGS if name.startswith("grid")])
def test_grid_equals_the_golden_tilings(cases, name):
    mask, options = cases[name]
    assert_golden(tile_grid(mask, **options), TILINGS[name])


def test_every_golden_case_is_run(cases):
    assert cases.keys() == TILINGS.keys()
    assert {name: (list(mask.shape), int(mask.sum()), options) for name, (mask, options) in cases.items()} == {
        name: (case["shape"], case["mask_sum"], case["kwargs"]) for name, case in TILINGS.items()
    }


def assert_golden(tiling, golden):
    assert np.column_stack([tiling.tiles, tiling.gains]).tolist() == golden["tiles"]
    assert {key: tiling.stats[key] for key in golden["stats"]} == golden["stats"]


@pytest.mark.skipif(not SHARED.is_dir(), reason="only a released tiling shows that ours equals it row by row")
def test_released_tiling_row_by_row():
    cohort = SHARED / "data/cords2024cancer"
    with np.load(cohort / "segmentations/1_0mpp/tissue_masks/cords2024cancer_ocmzljpb_0001.npz") as file:
        mask = file["mask"]
    tiling = tile_mask(mask, tile_size=128, stride=64, tolerance=0.95, coverage_goal=0.95, min_gain_ratio=0.1)
    folder = cohort / "tiling/1_0mpp/default"
    released = pq.read_table(folder / "128_tile_coordinates.parquet").sort_by("tile_id")
    assert tiling.tiles.tolist() == [
        list(pair) for pair in zip(*released.select(["row", "col"]).to_pydict().values(), strict=True)
    ]
    assert len(tiling.tiles) == 27
    (row,) = pq.read_table(folder / "128_tile_stats.parquet").drop(["tissue_id"]).to_pylist()
    assert {key: tiling.stats[key] for key in row} == row


# --- a direct, slow oracle -------------------------------------------------------------------------------------------


def slow_greedy(
    mask, *, tile, stride, tolerance, goal, gain, max_tiles=None, overlap=True, strict=False, integer=False
):
    """Semantics written down word by word: every candidate looked at for every pick, pixels counted in the mask."""
    mask = np.pad(mask, [(0, max(tile - n, 0)) for n in mask.shape])
    area, total, uncovered = tile * tile, int(mask.sum()), mask.copy()
    if total == 0:
        return [], "empty_mask", 0
    exact = (lambda x: Fraction(str(x))) if integer else (lambda x: x)

    def starts(n):
        found = list(range(0, n - tile + 1, stride))
        return found if n - tile in found else [*found, n - tile]

    def keep(valid):
        ratio = Fraction(valid, area) if integer else valid / area
        return valid > 0 and ratio >= (1 - exact(tolerance) if integer else 1.0 - tolerance)

    def pixels(array, tile_at):
        return int(array[tile_at[0] : tile_at[0] + tile, tile_at[1] : tile_at[1] + tile].sum())

    left = [(r, c) for r in starts(mask.shape[0]) for c in starts(mask.shape[1]) if keep(pixels(mask, (r, c)))]
    count, picks, covered = len(left), [], 0
    while left:
        gains = [pixels(uncovered, at) for at in left]
        best = left[gains.index(max(gains))]
        reached = (
            (covered == total if strict else True)
            if goal >= 1
            else (Fraction(covered, total) >= exact(goal) if integer else covered / total >= goal)
        )
        if max(gains) == 0:
            return picks, "no_gain", count
        if reached and max(gains) < math.ceil(exact(gain) * area):
            return picks, "adaptive_stop", count
        picks.append((*best, max(gains), pixels(mask, best) / area))
        covered += max(gains)
        uncovered[best[0] : best[0] + tile, best[1] : best[1] + tile] = False
        left.remove(best)
        if not overlap:
            left = [at for at in left if abs(at[0] - best[0]) >= tile or abs(at[1] - best[1]) >= tile]
        if len(picks) == max_tiles:
            return picks, "max_tiles", count
    return picks, "candidates_exhausted", count


def slow_grid(mask, *, tile, stride, tolerance):
    padded = [math.ceil(max(n, tile) / stride) * stride for n in mask.shape]
    full, covered = np.zeros(padded, bool), np.zeros(padded, bool)
    full[: mask.shape[0], : mask.shape[1]] = mask
    tiles, windows = [], 0
    for row in range(0, padded[0] - tile + 1, stride):
        for col in range(0, padded[1] - tile + 1, stride):
            window = full[row : row + tile, col : col + tile]
            windows += 1
            if window.any() and window.sum() / tile**2 >= 1.0 - tolerance:
                tiles.append([row, col, int(window.sum())])
                covered[row : row + tile, col : col + tile] |= window
    return tiles, int(covered.sum()), windows, padded


@st.composite
def masks(draw):
    """Noise, flat areas, repeated blocks (ties) and stripes; non-square, also smaller than the tile."""
    height, width = draw(st.integers(1, 44)), draw(st.integers(1, 44))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    match draw(st.sampled_from(["noise", "full", "blocks", "disc", "stripes"])):
        case "noise":
            return rng.random((height, width)) < draw(st.sampled_from([0.02, 0.5, 0.9, 0.99]))
        case "full":
            return np.ones((height, width), bool)
        case "blocks":
            block = draw(st.integers(2, 8))
            coarse = rng.random((height // block + 1, width // block + 1)) < 0.6
            return np.kron(coarse, np.ones((block, block), bool))[:height, :width]
        case "disc":
            rows, cols = np.ogrid[:height, :width]
            return np.hypot(rows - height / 2, cols - width / 2) < min(height, width) / 2.2
        case _:
            return np.broadcast_to(np.arange(width) % draw(st.integers(1, 9)) == 0, (height, width)).copy()


ARGUMENTS = {
    "mask": masks(),
    "tile": st.integers(1, 16),
    "stride": st.integers(1, 20),
    "tolerance": st.sampled_from(RATIOS),
}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(
    **ARGUMENTS,
    goal=st.sampled_from([0.3, 0.5, 0.9, 0.95, 1.0]),
    gain=st.sampled_from(RATIOS),
    max_tiles=st.none() | st.integers(1, 12),
    overlap=st.booleans(),
    strict=st.booleans(),
    integer=st.booleans(),
)
def test_greedy_equals_the_slow_oracle(mask, tile, stride, tolerance, goal, gain, max_tiles, overlap, strict, integer):
    picks, reason, candidates = slow_greedy(
        mask, tile=tile, stride=stride, tolerance=tolerance, goal=goal, gain=gain, max_tiles=max_tiles, overlap=overlap,
        strict=strict, integer=integer,
    )  # fmt: skip
    tiling = tile_mask(
        mask, tile_size=tile, stride=stride, tolerance=tolerance, coverage_goal=goal, min_gain_ratio=gain,
        max_tiles=max_tiles, allow_overlap=overlap, strict_coverage_goal=strict, integer_thresholds=integer,
    )  # fmt: skip
    assert np.column_stack([tiling.tiles, tiling.gains]).tolist() == [list(pick[:3]) for pick in picks]
    assert tiling.valid_ratios.tolist() == [pick[3] for pick in picks]
    total, covered = int(mask.sum()), sum(pick[2] for pick in picks)
    assert tiling.stats == {
        "mask_height": mask.shape[0],
        "mask_width": mask.shape[1],
        "tissue_mask_frac": mask.mean(),
        "num_tiles": len(picks),
        "coverage_ratio": covered / total if total else 1.0,
        "covered_valid_pixels": covered,
        "total_valid_pixels": total,
        "candidate_count": candidates,
        "stop_reason": reason,
        "tile_size": tile,
        "stride": stride,
        "tolerance": tolerance,
        "coverage_goal": goal,
        "min_gain_ratio": gain,
        "tiling_method": "default",
    }


@settings(max_examples=150, deadline=None, derandomize=True)
@given(**ARGUMENTS)
@example(mask=np.ones((26, 26), bool), tile=10, stride=3, tolerance=0.2)
def test_grid_equals_the_slow_oracle(mask, tile, stride, tolerance):
    tiles, covered, windows, padded = slow_grid(mask, tile=tile, stride=stride, tolerance=tolerance)
    tiling = tile_grid(mask, tile_size=tile, stride=stride, tolerance=tolerance)
    assert np.column_stack([tiling.tiles, tiling.gains]).tolist() == tiles
    assert tiling.stats["covered_valid_pixels"] == covered
    assert tiling.stats["grid_candidate_count"] == windows
    assert [tiling.stats["padded_height"], tiling.stats["padded_width"]] == padded
    assert tiling.stats["stop_reason"] == ("fixed_grid_complete" if mask.any() else "empty_mask")


def test_more_than_255_rows_per_cell_are_counted_right():
    """Columns are summed in bytes, 255 rows at a time."""
    mask = np.random.default_rng(0).random((1300, 611)) < 0.9
    tiling = tile_mask(mask, tile_size=600, stride=600, tolerance=0.5, min_gain_ratio=0.0)
    assert tiling.stats["total_valid_pixels"] == mask.sum()
    assert tiling.gains[0] == max(mask[r : r + 600, c : c + 600].sum() for r in (0, 600, 700) for c in (0, 11))


# --- the two options -------------------------------------------------------------------------------------------------


def test_strict_coverage_goal_goes_on_until_everything_is_covered():
    mask = np.ones((100, 101), bool)
    kwargs = {"tile_size": 50, "stride": 50, "coverage_goal": 1.0, "min_gain_ratio": 0.05}
    loose, strict = tile_mask(mask, **kwargs), tile_mask(mask, **kwargs, strict_coverage_goal=True)
    assert (loose.stats["stop_reason"], loose.stats["num_tiles"], loose.stats["coverage_ratio"] < 1) == (
        "adaptive_stop",
        4,
        True,
    )
    assert (strict.stats["stop_reason"], strict.stats["num_tiles"], strict.stats["coverage_ratio"]) == (
        "candidates_exhausted",
        6,
        1.0,
    )
    assert strict.tiles[:4].tolist() == loose.tiles.tolist()


def test_integer_thresholds_keep_a_tile_of_exactly_one_minus_tolerance():
    mask = np.zeros((10, 10), bool)
    mask.flat[:15] = True
    assert tile_mask(mask, tile_size=10, tolerance=0.85).stats["candidate_count"] == 0
    assert tile_mask(mask, tile_size=10, tolerance=0.85, integer_thresholds=True).tiles.tolist() == [[0, 0]]


# --- what is accepted ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda mask: mask.astype(np.uint8) * 200,
        lambda mask: np.where(mask, 3, -2).astype(np.int8),
        lambda mask: mask.astype(">u2"),
        lambda mask: np.where(mask, 0.5, -np.inf),
        lambda mask: np.asfortranarray(mask),
        lambda mask: np.repeat(mask, 2, axis=1)[:, ::2],
        lambda mask: mask.tolist(),
    ],
    ids=["uint8", "negative", "big-endian", "float", "fortran", "strided", "list"],
)
def test_any_mask_above_zero_is_the_same_mask(change):
    mask = np.random.default_rng(3).random((90, 77)) < 0.7
    kwargs = {"tile_size": 16, "stride": 7, "tolerance": 0.4}
    assert tile_mask(change(mask), **kwargs).tiles.tolist() == tile_mask(mask, **kwargs).tiles.tolist()


def test_the_mask_is_not_written_to():
    mask = np.random.default_rng(3).random((90, 77)) < 0.7
    mask.flags.writeable = False
    assert len(tile_mask(mask, tile_size=16, tolerance=0.5).tiles) > 0
    assert len(tile_grid(mask, tile_size=16, tolerance=0.5).tiles) > 0


def test_a_tile_far_larger_than_the_mask_is_padded():
    mask = np.ones((3, 5), bool)
    for tile in (tile_mask, tile_grid):
        tiling = tile(mask, tile_size=2**31 - 1, tolerance=0.99)
        assert (tiling.stats["num_tiles"], tiling.stats["total_valid_pixels"]) == (0, 15)
        tiling = tile(mask, tile_size=100, tolerance=0.9986)
        assert (tiling.tiles.tolist(), tiling.gains.tolist()) == ([[0, 0]], [15])


def test_stride_defaults_to_the_tile_size():
    assert tile_mask(np.ones((8, 8)), tile_size=4).stats["stride"] == 4


def test_numpy_scalars_become_python_values():
    parameters = TilingParameters(tile_size=np.int64(4), tolerance=np.float32(0.5), max_tiles=np.uint8(3))
    assert (type(parameters.tile_size), type(parameters.tolerance), type(parameters.max_tiles)) == (int, float, int)
    assert pickle.loads(pickle.dumps(parameters)) == parameters


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tile_size", 0),
        ("tile_size", 2.5),
        ("tile_size", "64"),
        ("tile_size", True),
        ("tile_size", 2**31),
        ("stride", 0),
        ("stride", -1),
        ("stride", 1.0),
        ("tolerance", -0.1),
        ("tolerance", 1.0),
        ("tolerance", math.nan),
        ("tolerance", "0.2"),
        ("coverage_goal", 0.0),
        ("coverage_goal", 1.01),
        ("coverage_goal", None),
        ("min_gain_ratio", 1.0),
        ("min_gain_ratio", -1e-9),
        ("max_tiles", 0),
        ("max_tiles", 1.5),
    ],
)
def test_a_parameter_out_of_range_is_named_with_value_and_range(name, value):
    with pytest.raises(ArgumentError, match=rf"{name} is .*; expected a .*number") as caught:
        tile_mask(np.ones((8, 8), bool), **{"tile_size": 4, name: value})
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((2, 3, 4)), r"shape \(2, 3, 4\); expected \(height, width\)"),
        (np.ones(9), r"shape \(9,\)"),
        (np.ones((0, 9)), r"shape \(0, 9\)"),
        (np.array([[1.0, np.nan]]), "holds NaN"),
        (np.array([["a"]]), "dtype <U1"),
        (np.array([[None]]), "dtype object"),
        (np.ones((2, 2), complex), "dtype complex128"),
    ],
)
@pytest.mark.parametrize("tile", [tile_mask, tile_grid])
def test_a_mask_that_is_none_is_refused(tile, mask, message):
    with pytest.raises(ArgumentError, match=message):
        tile(mask, tile_size=4)


def test_more_candidates_than_can_be_ranked_are_refused():
    row = np.lib.stride_tricks.as_strided(np.ones(1, np.uint8), shape=(1, 1), strides=(0, 0))
    from spora_db.tiling.lattice import build_lattice

    starts = np.lib.stride_tricks.as_strided(np.zeros(1, np.int64), shape=(2**33,), strides=(0,))
    with pytest.raises(ArgumentError, match="larger stride"):
        build_lattice(row, tile_size=1, row_starts=starts, col_starts=starts)


def test_strategy_default_is_greedy_and_every_other_name_a_grid():
    assert check_strategy("default") == "greedy"
    assert check_strategy("grid_224") == check_strategy("dense", grid=True) == "grid"
    for asked in (
        lambda: check_strategy("default", grid=True),
        lambda: tile_grid(np.ones((4, 4)), tile_size=4, strategy="default"),
    ):
        with pytest.raises(ArgumentError, match="grid was asked for under the strategy name 'default'"):
            asked()


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a b", ".hidden", None, "a\n", "grid\0"])
def test_a_strategy_that_is_no_folder_name_is_refused(name):
    with pytest.raises(ArgumentError, match="strategy is"):
        check_strategy(name)
