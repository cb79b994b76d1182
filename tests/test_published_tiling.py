import inspect

import numpy as np
import pytest

from spora_db.errors import ArgumentError
from spora_db.tiling import tile_grid, tile_mask
from spora_db.tiling.published import Tile, best_mask_tiling_try_to_stop, get_grid_tile

MASK = np.random.default_rng(5).random((61, 90)) < 0.8


def test_signatures_are_the_published_ones():
    greedy = inspect.signature(best_mask_tiling_try_to_stop).parameters.values()
    assert [(p.name, p.default) for p in greedy][1:] == [
        ("tile_size", inspect.Parameter.empty),
        ("stride", None),
        ("tolerance", 0.2),
        ("coverage_goal", 0.99),
        ("min_gain_ratio", 0.05),
        ("max_tiles", None),
        ("allow_overlap", True),
    ]
    assert list(inspect.signature(get_grid_tile).parameters) == ["mask", "tile_size", "stride", "tolerance"]
    assert Tile._fields == ("y", "x", "h", "w", "valid_ratio", "gain")


@pytest.mark.parametrize("tile_size", [16, 64, 100])
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32])
def test_greedy_is_tile_mask_in_the_published_form(tile_size, dtype):
    tiles, stats, covered = best_mask_tiling_try_to_stop(MASK.astype(dtype), tile_size, stride=9, tolerance=0.7)
    tiling = tile_mask(MASK, tile_size=tile_size, stride=9, tolerance=0.7)
    assert [(t.y, t.x, t.gain, t.valid_ratio) for t in tiles] == [
        (*at, gain, ratio)
        for at, gain, ratio in zip(tiling.tiles.tolist(), tiling.gains, tiling.valid_ratios, strict=True)
    ]
    assert {(t.h, t.w) for t in tiles} == {(tile_size, tile_size)}
    assert stats == tiling.stats
    assert_covers(covered, (max(61, tile_size), max(90, tile_size)), tiles, stats)


def test_grid_is_tile_grid_in_the_published_form():
    tiles, stats, covered = get_grid_tile(MASK, 16, 12, 0.7)
    tiling = tile_grid(MASK, tile_size=16, stride=12, tolerance=0.7)
    assert [[t.y, t.x] for t in tiles] == tiling.tiles.tolist()
    assert stats == tiling.stats
    assert_covers(covered, (72, 96), tiles, stats)


def assert_covers(covered, shape, tiles, stats):
    expected = np.zeros(shape, np.uint8)
    padded = np.zeros(shape, np.uint8)
    padded[:61, :90] = MASK
    for tile in tiles:
        window = np.s_[tile.y : tile.y + tile.h, tile.x : tile.x + tile.w]
        expected[window] = padded[window]
    assert covered.dtype == np.uint8
    np.testing.assert_array_equal(covered, expected)
    assert covered.sum() == stats["covered_valid_pixels"]


def test_values_are_plain_python():
    tiles, stats, _ = best_mask_tiling_try_to_stop(MASK, 16)
    assert {type(value) for value in tiles[0]} == {int, float}
    assert {type(value) for value in stats.values()} == {int, float, str}


def test_errors_are_value_errors_too():
    with pytest.raises(ArgumentError, match=r"tolerance is 1\.5") as caught:
        best_mask_tiling_try_to_stop(MASK, 16, tolerance=1.5)
    assert isinstance(caught.value, ValueError)
