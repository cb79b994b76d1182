"""Maps of windows and vectors of cells, against double loops in float64 and exact fractions."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from full_disks import no_room
from lakes import write_lake
from spora_db import SporaQuery, assemble, cell_vectors, open_image, validate
from spora_db.errors import ArgumentError, FileFormatError, MaskNotFoundError, QueryError, SporaError, WriteError
from spora_db.maps import stitching
from spora_db.maps.grid import WindowGrid
from spora_db.maps.stitching import Stitcher
from spora_db.masks.writing import write_mask
from spora_db.selection import WindowChoice

OURS = settings(deadline=None, max_examples=40, derandomize=True)


def corners(grid: WindowGrid) -> list[tuple[int, int]]:
    """The corners of a grid, as tests/test_windows.py compares them with loops."""
    before, reach = grid.windows.geometry(grid.size)
    stride = grid.windows.stride
    down, across = (1 + max(0, -(-(length - reach) // stride)) for length in (grid.height, grid.width))
    return [(r * stride - before, c * stride - before) for r in range(down) for c in range(across)]


def nearest(length: int, starts: list[int], size: int) -> list[int]:
    """Return for every pixel the window whose middle is nearest to its own; of two the later."""
    return [
        min(reversed(range(len(starts))), key=lambda k: abs(Fraction(2 * pixel + 1, 2) - starts[k] - Fraction(size, 2)))
        for pixel in range(length)
    ]


def by_pixels(
    grid: WindowGrid, tokens: np.ndarray, places: list[tuple[int, int]], pitch: int, weighting: str
) -> np.ndarray:
    """Say for every pixel of the image what every window says of it; a map's pixel is the mean. (h, w, D)."""
    height, width = -(-grid.height // pitch), -(-grid.width // pitch)
    sums = np.zeros((height, width, tokens.shape[-1]))
    counts = np.zeros((height, width, 1))
    token = grid.size // tokens.shape[1]
    starts = [sorted({place[axis] for place in places}) for axis in (0, 1)]
    owner = [nearest(length, starts[axis], grid.size) for axis, length in enumerate((grid.height, grid.width))]
    for (row, col), said in zip(places, tokens, strict=True):
        for r in range(max(row, 0), min(row + grid.size, grid.height)):
            for c in range(max(col, 0), min(col + grid.size, grid.width)):
                if weighting == "centre" and (starts[0][owner[0][r]], starts[1][owner[1][c]]) != (row, col):
                    continue
                sums[r // pitch, c // pitch] += said[(r - row) // token, (c - col) // token].astype(np.float64)
                counts[r // pitch, c // pitch] += 1
    with np.errstate(invalid="ignore"):
        return sums / counts


def stitched(
    grid: WindowGrid, tokens: np.ndarray, places: list[tuple[int, int]], pitch: float, weighting: str
) -> np.ndarray:
    stitcher = Stitcher(
        grid, depth=tokens.shape[-1], pitch=pitch, weighting=weighting, dtype=np.dtype(np.float32), folder=Path()
    )
    for (row, col), said in zip(places, tokens, strict=True):
        stitcher.add(said, row=row, col=col)
    return np.moveaxis(stitcher.whole(), 0, -1)


@OURS
@given(
    height=st.integers(1, 40), width=st.integers(1, 40), side=st.integers(1, 4), token=st.integers(1, 5),
    stride=st.integers(1, 12), pitch=st.integers(1, 9), padding=st.sampled_from(["end", "around"]),
    weighting=st.sampled_from(["area", "centre"]), seed=st.integers(0, 9),
)  # fmt: skip
def test_maps_are_those_of_a_loop_over_all_pixels(
    height: int, width: int, side: int, token: int, stride: int, pitch: int, padding: str, weighting: str, seed: int
) -> None:
    size = side * token
    windows = WindowChoice(stride=min(stride, size), padding=padding)
    grid = WindowGrid(height=height, width=width, size=size, windows=windows)
    places = corners(grid)
    tokens = np.random.default_rng(seed).normal(size=(len(places), side, side, 2)).astype(np.float32)
    expected = by_pixels(grid, tokens, places, pitch, weighting)
    assert not np.isnan(expected).any()
    np.testing.assert_allclose(stitched(grid, tokens, places, pitch, weighting), expected, rtol=2e-6, atol=2e-6)


def shared(first: tuple[Fraction, Fraction], second: tuple[Fraction, Fraction]) -> Fraction:
    return max(Fraction(0), min(first[1], second[1]) - max(first[0], second[0]))


@OURS
@given(
    length=st.integers(1, 30), size=st.integers(3, 20), count=st.integers(1, 7), stride=st.integers(1, 20),
    seed=st.integers(0, 9),
)  # fmt: skip
def test_tokens_of_a_fraction_of_a_pixel_share_exact_areas(
    length: int, size: int, count: int, stride: int, seed: int
) -> None:
    """One row of windows of ``size / count`` pixels a token, also where that is no whole number."""
    grid = WindowGrid(height=size, width=length, size=size, windows=WindowChoice(stride=min(stride, size)))
    places = [place for place in corners(grid) if place[0] == 0]
    said = np.random.default_rng(seed).normal(size=(len(places), count, count, 1)).astype(np.float32)
    said = np.repeat(said[:, :1], count, axis=1)  # alike from top to bottom: areas are widths
    pitch = Fraction(size, count)
    columns = -(-length // pitch)
    expected = []
    for m in range(columns):
        cell = (m * pitch, (m + 1) * pitch)
        parts = [
            (shared(shared_token, cell), float(said[n, 0, j, 0]))
            for n, (_, col) in enumerate(places)
            for j in range(count)
            if (shared_token := (Fraction(col) + j * pitch, min(Fraction(col) + (j + 1) * pitch, Fraction(length))))
        ]
        total = sum(float(area) for area, _ in parts)
        expected.append(sum(float(area) * value for area, value in parts) / total)
    found = stitched(grid, said, places, float(pitch), "area")
    assert found.shape[1] == columns
    np.testing.assert_allclose(found[0, :, 0], expected, rtol=1e-5, atol=1e-5)


def test_places_without_a_window_are_nan_and_a_large_map_waits_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stitching, "LARGE", 0)
    grid = WindowGrid(height=100, width=40, size=20, windows=WindowChoice(stride=10))
    stitcher = Stitcher(grid, depth=1, pitch=10.0, weighting="area", dtype=np.dtype(np.float16), folder=tmp_path)
    assert isinstance(stitcher.whole.__self__._map, np.memmap)
    with no_room(), pytest.raises(WriteError, match=r"A map of 80 bytes does not fit into .*: No space left on device"):
        Stitcher(grid, depth=1, pitch=10.0, weighting="area", dtype=np.dtype(np.float16), folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
    stitcher.add(np.ones((1, 1, 1), np.float32), row=0, col=0)
    stitcher.add(np.full((1, 1, 1), 3, np.float32), row=70, col=10)
    nan = np.nan
    expected = np.full((10, 4), nan)
    expected[:2, :2], expected[7:9, 1:3] = 1, 3
    np.testing.assert_array_equal(stitcher.whole()[0], expected)


def test_windows_that_come_in_another_order_are_refused() -> None:
    grid = WindowGrid(height=100, width=40, size=20, windows=WindowChoice(stride=20))
    stitcher = Stitcher(grid, depth=1, pitch=20.0, weighting="area", dtype=np.dtype(np.float32), folder=Path())
    stitcher.add(np.ones((1, 1, 1), np.float32), row=40, col=0)
    with pytest.raises(ArgumentError, match="A window at row 20 came after windows further down"):
        stitcher.add(np.ones((1, 1, 1), np.float32), row=20, col=0)


@OURS
@given(
    height=st.integers(1, 24), width=st.integers(1, 24), pitch=st.sampled_from([1.0, 2.0, 3.0, 1.5, 0.5, 2.25, 7.3]),
    rows=st.integers(1, 8), cols=st.integers(1, 8), cells=st.integers(0, 5), holes=st.booleans(),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_vectors_of_cells_are_those_of_a_double_loop(
    height: int, width: int, pitch: float, rows: int, cols: int, cells: int, holes: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    mask = np.repeat(rng.integers(0, cells + 1, size=(height, width)), 1, axis=0) * 1000
    tokens = rng.normal(size=(3, rows, cols)).astype(np.float32)
    if holes:
        tokens[rng.integers(3), rng.integers(rows), rng.integers(cols)] = np.nan
    found = cell_vectors(tokens, mask, pitch=pitch)
    labels = [label for label in np.unique(mask) if label]
    assert found.cell_id.tolist() == labels
    for at, label in enumerate(labels):
        total, area = np.zeros(3), 0.0
        for r, c in zip(*np.nonzero(mask == label), strict=True):
            for k in range(rows):
                for m in range(cols):
                    down = min(r + 1, (k + 1) * pitch) - max(r, k * pitch)
                    across = min(c + 1, (m + 1) * pitch) - max(c, m * pitch)
                    if down > 0 and across > 0 and not np.isnan(tokens[:, k, m]).any():
                        area += down * across
                        total += down * across * tokens[:, k, m].astype(np.float64)
        assert found.area[at] == pytest.approx(area, abs=1e-6)
        if area > 1e-6:
            np.testing.assert_allclose(found.vectors[at], total / area, rtol=1e-4, atol=1e-5)
        else:
            assert np.isnan(found.vectors[at]).all()


@pytest.mark.parametrize(
    ("tokens", "mask", "pitch", "said"),
    [
        (np.ones((2, 2)), np.ones((2, 2), int), 1, r"tokens is an array \(D, h, w\)"),
        (np.ones((1, 2, 2)), np.ones((2, 2)), 1, "mask is an integer array"),
        (np.ones((1, 2, 2)), np.ones((2, 2), int), 0, "pitch is a number of pixels above zero"),
        (np.ones((1, 2, 2)), np.full((2, 2), -1), 1, "Labels of cells are 0 to 2147483647; the mask has -1"),
        (np.ones((1, 2, 2)), np.full((2, 2), 2**40), 1, "Labels of cells are 0 to 2147483647"),
    ],
)
def test_what_is_no_map_or_mask_is_refused(tokens: np.ndarray, mask: np.ndarray, pitch: float, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        cell_vectors(tokens, mask, pitch=pitch)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("maps") / "lake", names=("alpha",), tissues=2)


def windows(lake: Path, **choices: object) -> SporaQuery:
    query = SporaQuery(lake).modality("imc").channels(names=["CD3e", "CD8"])
    return query.windows(**{"size": 32, "stride": 20, **choices})  # type: ignore[arg-type]


def tokens_of(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Means of 4 x 4 squares of 8 pixels: a map of them is known from the image alone."""
    return torch.nn.functional.avg_pool2d(batch["image"], 8)


def test_a_map_of_means_is_the_image_at_a_coarser_resolution(lake: Path, tmp_path: Path) -> None:
    before = sorted(lake.rglob("*"))
    maps = windows(lake, stride=8).assemble(tokens_of, name="means", into=tmp_path / "mine", num_workers=2)
    assert sorted(lake.rglob("*")) == before, "the published lake is as it was"
    image = SporaQuery(lake).modality("imc").channels(names=["CD3e", "CD8"]).tissues().to_torch()[0]["image"]
    expected = image.reshape(2, 12, 8, 12, 8).mean(dim=(2, 4))
    # zarr-python reads what was written; windows that begin beyond the first token see the same tokens
    stored = zarr.open_group(maps[0], mode="r")["0"][:]
    np.testing.assert_allclose(stored, expected, rtol=1e-6)
    both = SporaQuery([lake, tmp_path / "mine"])
    sample = both.modality("map_means").tissues(mpp=8.0).to_torch()[0]
    np.testing.assert_array_equal(sample["image"], stored)
    assert (sample["tissue_id"], sample["channel_names"]) == ("alpha_0000", ["0", "1"])
    assert open_image(maps[1]).shape == (2, 12, 12)


def test_maps_and_panels_are_what_validate_knows(lake: Path, tmp_path: Path) -> None:
    before = {(found.rule, found.file) for found in validate(lake, deep=True)}
    layer = tmp_path / "mine"
    windows(lake).assemble(tokens_of, name="means", into=layer, channel_names=["t cells", "killers"])
    after = {(found.rule, found.file) for found in validate([lake, layer], deep=True)}
    assert {found for found in after - before if "map" in found[1]} == set()


def vectors(plan_rows: int) -> Iterator[np.ndarray]:
    yield from np.arange(plan_rows, dtype=np.float32).reshape(-1, 1, 1)


@pytest.mark.parametrize("weighting", ["area", "centre"])
def test_vectors_make_a_map_at_the_resolution_of_the_stride(lake: Path, tmp_path: Path, weighting: str) -> None:
    plan = windows(lake, padding="around").plan()
    maps = assemble(plan, vectors(len(plan)), name="score", into=tmp_path, weighting=weighting, dtype="float16")
    assert [path.parts[-3] for path in maps] == ["20_0mpp", "20_0mpp"]
    own = np.flatnonzero(plan.image[:, 0] == 1)
    places = list(zip(plan.row[own].tolist(), plan.col[own].tolist(), strict=True))
    grid = WindowGrid(height=96, width=96, size=32, windows=WindowChoice(stride=20, padding="around"))
    expected = by_pixels(grid, own.reshape(-1, 1, 1, 1), places, 20, weighting)
    found = zarr.open_group(maps[1], mode="r")["0"][:]
    np.testing.assert_allclose(found[0], expected[..., 0], rtol=2e-3)
    if weighting == "centre":  # every pixel of the map is one window's middle square
        np.testing.assert_array_equal(found[0], own.reshape(5, 5))


def test_cells_of_a_map_are_those_of_its_masks(lake: Path, tmp_path: Path) -> None:
    layer = tmp_path / "mine"
    mask = np.zeros((96, 96), np.int32)
    mask[3:11, 3:11], mask[60:63, 50:90] = 5, 9
    folder = layer / "alpha/segmentations/1_0mpp/cell_masks/instances"
    windows(lake, stride=8).assemble(tokens_of, name="means", into=layer)
    query = SporaQuery([lake, layer]).modality("map_means").tissues()
    with pytest.raises(
        MaskNotFoundError, match="'alpha_0000' of dataset 'alpha' has no instance mask; there are: none"
    ):
        query.cell_vectors()
    for tissue in ("alpha_0000", "alpha_0001"):
        write_mask(folder / f"{tissue}.npz", [mask], shape=mask.shape, dtype=mask.dtype)
    table = query.cell_vectors()
    assert table.schema.field("vector").type == pa.list_(pa.float32(), 2)
    assert table.column("cell_id").to_pylist() == [5, 9] * 2
    tokens = query.to_torch()[0]["image"].numpy().astype(np.float64)
    spread = np.repeat(np.repeat(tokens, 8, axis=1), 8, axis=2)  # every pixel its token
    expected = [spread[:, mask == label].mean(axis=1) for label in (5, 9)]
    np.testing.assert_allclose(table.column("vector").to_pylist()[:2], expected, rtol=1e-6)
    write_mask(folder / "alpha_0001.npz", [mask[:40]], shape=(40, 96), dtype=mask.dtype)
    with pytest.raises(FileFormatError, match="of 40 x 96 pixels is not of the tissue"):
        query.cell_vectors()


def failing(kind: str) -> object:
    def model(batch: dict[str, torch.Tensor]) -> object:
        said = batch["image"].mean(dim=(2, 3))
        if kind == "nan":
            said[3, 1] = torch.nan
        if kind == "less":
            return said[:-1]
        if kind == "text":
            return np.array(["a"] * len(said))
        if kind == "flat":
            return said[:, :, None]
        if kind == "changing" and batch["tissue_id"][0] == "alpha_0001":
            return said[:, :1]
        if kind == "oblong":
            return said[:, :, None, None].expand(-1, -1, 2, 3)
        return said

    return model


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("nan", "NaN or an infinite number for the window .*'alpha_0000', 'tile_id': 3"),
        ("less", r"outputs for 48 windows; the query has 50\. Return one for every window"),
        ("text", r"expected numbers of shape \(n, D\)"),
        ("flat", r"an array of shape \(\d+, 2, 1\)"),
        ("changing", "are 1 x 1 x 1 numbers per window"),
        ("oblong", "have 2 x 3 tokens of 2 numbers; windows are square"),
    ],
)
def test_a_model_that_returns_something_else_is_an_error(lake: Path, tmp_path: Path, kind: str, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        windows(lake).assemble(failing(kind), name="x", into=tmp_path / "mine", batch_size=25)  # type: ignore[arg-type]


def test_what_is_there_is_not_overwritten_unless_asked(lake: Path, tmp_path: Path) -> None:
    query, layer = windows(lake), tmp_path / "mine"
    maps = query.assemble(failing("well"), name="x", into=layer)  # type: ignore[arg-type]
    called = []
    with pytest.raises(WriteError, match=r"alpha_0000\.ome\.zarr exists already\. Pass overwrite=True"):
        query.assemble(lambda batch: called.append(1) or batch["image"].mean(dim=(2, 3)), name="x", into=layer)
    assert len(called) == 1, "it is told after the first batch"
    again = query.assemble(lambda batch: batch["image"].amax(dim=(2, 3)), name="x", into=layer, overwrite=True)
    assert again == maps
    with pytest.raises(WriteError, match=r"names the channels 0, 1, these maps have 0\. Choose another name"):
        query.assemble(lambda batch: batch["row"], name="x", into=layer, overwrite=True)


def test_maps_of_other_layers_are_not_hidden_unasked(lake: Path, tmp_path: Path) -> None:
    below, layer = tmp_path / "below", tmp_path / "mine"
    windows(lake).assemble(failing("well"), name="x", into=below)  # type: ignore[arg-type]
    query = windows([lake, below])
    with pytest.raises(WriteError, match=r"below.*alpha_0000\.ome\.zarr exists already"):
        query.assemble(failing("well"), name="x", into=layer)  # type: ignore[arg-type]
    called = []
    with pytest.raises(WriteError, match=r"below.*names the channels 0, 1, these maps have 0\. Choose another name"):
        query.assemble(lambda batch: called.append(1) or batch["row"], name="x", into=layer, overwrite=True)
    assert len(called) == 1, "it is told after the first batch"
    assert not [*layer.rglob("*.zarr")]
    maps = query.assemble(failing("well"), name="x", into=layer, overwrite=True)  # type: ignore[arg-type]
    assert all(path.is_relative_to(layer) for path in maps)


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda q: q.tiles(size=32).assemble(len, name="x"), "needs a query of windows"),
        (lambda q: q.assemble(len, name="../x"), "it cannot name a file inside its folder"),
        (lambda q: q.assemble(len, name="x", weighting="center"), "Did you mean 'centre'"),
        (lambda q: q.assemble(len, name="x", dtype="float64"), "Did you mean 'float"),
        (lambda q: q.assemble(len, name="x", pitch=0), r"assemble\(pitch=0\): expected pixels"),
        (lambda q: q.assemble(failing("well"), name="x", channel_names=["a"]), "returns 2 numbers for every place"),
        (lambda q: q.tissues().modality("imc", "he").cell_vectors(), "whole images of one modality"),
        (lambda q: assemble(q.tiles(size=32).plan(), [], name="x"), "needs a plan of windows"),
        (lambda q: assemble(q.plan(), [], name="x"), "outputs for 0 windows; the query has 50"),
    ],
)
def test_calls_that_cannot_be_meant_say_why(lake: Path, call: object, said: str) -> None:
    with pytest.raises((SporaError, QueryError), match=said):
        call(windows(lake))  # type: ignore[operator]
    assert not (lake / "alpha/map").exists()
