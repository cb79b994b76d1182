"""Windows over whole tissues: every row against a loop over the image, pixels against numpy's padding."""

import math
from pathlib import Path

import numpy as np
import pytest

from lakes import PANEL, coordinates_image, write_lake, write_zarr
from spora_db import SporaQuery
from spora_db.errors import ArgumentError, QueryError
from spora_db.jobs.indexing import index_images

SIZES = {"alpha_0000": (96, 96), "alpha_0001": (45, 131), "alpha_0002": (7, 33), "alpha_0003": (64, 32)}
"""Of one pixel less, more and just as much as windows take."""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_lake(tmp_path_factory.mktemp("windows") / "lake", names=("alpha",))
    for i, (tissue, (height, width)) in enumerate(SIZES.items()):
        image = coordinates_image(len(PANEL), height, width, offset=i)
        path = root / "alpha/imc/1_0mpp/images" / f"{tissue}.ome.zarr"
        write_zarr(path, image if i != 2 else image[[0, 2, 3, 4]])
    return root


def expected(height: int, width: int, *, size: int, stride: int, padding: str) -> list[tuple[int, int, int]]:
    """Step over an image until all its pixels are in a window (around: in the middle square of one)."""
    first = -((size - stride) // 2) if padding == "around" else 0
    middle = first if padding == "around" else 0

    def starts(length: int) -> list[int]:
        found = [first]
        covered = first + size if padding == "end" else first - middle + stride
        while covered < length:
            found.append(found[-1] + stride)
            covered += stride
        return found

    corners = [(row, col) for row in starts(height) for col in starts(width)]
    return [(number, *corner) for number, corner in enumerate(corners)]


@pytest.mark.some(3)
@pytest.mark.parametrize("padding", ["end", "around"])
@pytest.mark.parametrize(("size", "stride"), [(32, 32), (32, 31), (33, 8), (200, 100), (7, 1)])
def test_windows_are_those_of_a_loop_over_every_image(lake: Path, size: int, stride: int, padding: str) -> None:
    query = SporaQuery(lake).modality("imc").windows(size=size, stride=stride, padding=padding)
    frame = query.df()
    for tissue, (height, width) in SIZES.items():
        own = frame[frame["tissue_id"] == tissue][["tile_id", "row", "col"]]
        found = list(own.itertuples(index=False, name=None))
        assert found == expected(height, width, size=size, stride=stride, padding=padding)
    assert query.count() == len(frame) == len(query.plan())


def test_pixels_are_those_of_the_padded_image(lake: Path) -> None:
    query = SporaQuery(lake).modality("imc").windows(size=40, stride=24, padding="around")
    for sample in query.where("tissue_id <> 'alpha_0002'").to_torch():
        height, width = SIZES[sample["tissue_id"]]
        image = coordinates_image(len(PANEL), height, width, offset=int(sample["tissue_id"][-1]))
        padded = np.pad(image, [(0, 0), (8, 240), (8, 240)])
        row, col = sample["row"] + 8, sample["col"] + 8
        np.testing.assert_array_equal(sample["image"].numpy(), padded[:, row : row + 40, col : col + 40])


def test_rows_take_conditions_columns_splits_and_samples(lake: Path) -> None:
    query = SporaQuery(lake).modality("imc").windows(size=32).where("age > 40 AND row = 32").select("age")
    frame = query.df()
    assert set(frame["tissue_id"]) == {"alpha_0001", "alpha_0003"}
    assert (frame["row"] == 32).all()
    assert set(frame["age"]) == {50, 70}
    assert query.split("test").count() == len(frame)
    assert query.sample(2, seed=1).count() == 2
    assert set(frame["strategy"]) == {"windows/32/end"}


def test_places_of_two_modalities_are_registered(lake: Path) -> None:
    query = SporaQuery(lake).modality("he", "imc").windows(size=50, stride=50)
    sample = query.where("tissue_id = 'alpha_0000'").to_torch()[1]
    assert sample["he"]["image"].shape[1:] == sample["imc"]["image"].shape[1:] == (50, 50)
    assert (sample["he"]["row"], sample["imc"]["col"]) == (0, 50)


def test_an_index_spares_the_headers_and_the_sql_needs_no_other_table(lake: Path) -> None:
    query = SporaQuery(lake).modality("imc").windows(size=32)
    before = query.df()
    assert "query_image_sizes" in query.sql()
    index_images(lake, beside=True)
    assert "query_image_sizes" not in query.sql()
    assert query.df().equals(before)


def test_a_lock_holds_windows(lake: Path, tmp_path: Path) -> None:
    query = SporaQuery(lake).modality("imc").windows(size=32, stride=20, padding="around")
    query.lock(tmp_path / "cohort.lock.json")
    again = SporaQuery.from_lock(tmp_path / "cohort.lock.json")
    assert again.plan().hash == query.plan().hash


def test_other_units_forget_the_windows(lake: Path) -> None:
    query = SporaQuery(lake).modality("imc").windows(size=32, stride=8)
    assert query.tiles(size=32).selection.windows is None
    assert query.tissues().plan().windows is None
    assert query.cells(size=8).selection.windows is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"size": 32, "stride": 33}, r"windows\(size=32, stride=33\): expected a stride of at most 32"),
        ({"size": 0}, r"windows\(size=0\): expected a whole number of pixels"),
        ({"size": 32, "stride": math.nan}, r"windows\(stride=nan\)"),
        ({"size": 32, "padding": "all"}, "Unknown choice of padding= 'all'"),
        ({"size": 32, "padding": "arround"}, "Did you mean 'around'"),
    ],
)
def test_what_is_no_window_is_refused(lake: Path, arguments: dict[str, object], said: str) -> None:
    with pytest.raises((ArgumentError, KeyError), match=said):
        SporaQuery(lake).windows(**arguments)  # type: ignore[arg-type]


def test_rows_of_ones_own_are_no_windows(lake: Path) -> None:
    query = SporaQuery.from_sql(lake, "SELECT dataset, tissue_id, tile_id, row, col FROM tiles").modality("imc")
    with pytest.raises(QueryError, match=r"windows\(\) makes its own rows"):
        query.windows(size=32).count()


def test_published_classes_have_no_windows(lake: Path) -> None:
    with pytest.raises(ArgumentError, match=r"windows\(\) has no counterpart"):
        SporaQuery(lake).modality("imc").windows(size=32).to_spora_dataset()
