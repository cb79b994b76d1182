"""What a dataset of rows is indexed with: one row's number, of any library; else the error says what to write."""

from collections import deque

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, Subset

from lakes import write_lake
from spora_db import PlanDataset, SporaQuery, collate_list
from spora_db.errors import ArgumentError

ROWS = 72


@pytest.fixture(scope="module")
def query(tmp_path_factory: pytest.TempPathFactory) -> SporaQuery:
    lake = write_lake(tmp_path_factory.mktemp("index") / "lake")
    return SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0)


@pytest.fixture(scope="module")
def dataset(query: SporaQuery) -> PlanDataset:
    return query.to_torch()


@pytest.mark.parametrize(
    "index", [5, np.int8(5), np.uint64(5), np.array(5), torch.tensor(5), torch.tensor(5, dtype=torch.uint8)]
)
def test_whole_numbers_of_any_library_are_rows(dataset, index):
    assert dataset[index]["tile_id"] == 5
    assert dataset.__getitems__([index, -1])[1]["tile_id"] == 8


@pytest.mark.parametrize(
    "rows", [(5, 7), range(5, 8, 2), deque([5, 7]), pd.Series([5, 7]), np.array([5, 7], object), torch.tensor([5, 7])]
)
def test_a_batch_may_be_any_sequence(dataset, rows):
    assert [sample["tile_id"] for sample in dataset.__getitems__(rows)] == [5, 7]
    assert len(dataset.__getitems__(rows[:0] if hasattr(rows, "__array__") else [])) == 0


def test_small_numbers_from_the_end(dataset):
    assert dataset[np.int8(-1)]["tissue_id"] == dataset[ROWS - 1]["tissue_id"] == "beta_0003"


SEVERAL = {
    "[dataset[i] for i in range(0, 3)]": slice(0, 3),
    "Subset(dataset, range(0, 3)), or query.limit(3).to_torch()": slice(None, 3),
    "Subset(dataset, range(69, 72))": slice(-3, None),
    "dataset[::2]": slice(None, None, 2),
    "dataset[[1, 2]]": [1, 2],
    "[dataset[i] for i in rows]": (1, 2),
    "Subset(dataset, rows)": np.arange(2),
    "dataset[tensor([0, 1])]": torch.arange(2),
    "dataset[range(0, 2)]": range(2),
    "Subset(dataset, numpy.flatnonzero(mask))": np.ones(ROWS, bool),
    "[dataset[i] for i in numpy.flatnonzero(mask)]": torch.ones(ROWS, dtype=torch.bool),
    "numpy.flatnonzero(mask)": [True, False],
    "dataset[tensor([3])]": torch.tensor([3]),
}


@pytest.mark.parametrize("words", SEVERAL)
def test_several_rows_are_told_how_they_are_written(dataset, words):
    with pytest.raises(ArgumentError, match=r"^dataset\[.*: expected the number of one row, from 0 to 71\.") as caught:
        dataset[SEVERAL[words]]
    assert words in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("index", [0.0, np.float32(1), "0", "image", True, np.True_, torch.tensor(True), None, ..., {}])
def test_what_is_no_row_at_all(dataset, index):
    with pytest.raises(ArgumentError, match=r"^dataset\[.*\]: expected the number of one row, from 0 to 71\.$"):
        dataset[index]


@pytest.mark.parametrize(
    "index", [ROWS, -ROWS - 1, np.int64(10**12), torch.tensor(ROWS), 2**63, -(2**70), np.uint64(2**63)]
)
def test_no_such_row(dataset, index):
    for rows in ([index], [0, index]):
        with pytest.raises(IndexError, match=r"position -?\d+ is out of range for 72 rows"):
            dataset.__getitems__(rows)
    with pytest.raises(IndexError, match=r"position -?\d+ is out of range for 72 rows"):
        dataset[index]


def test_what_the_errors_advise_works(query, dataset):
    expected = [dataset[i]["tile_id"] for i in range(3)]
    mask = np.arange(ROWS) < 3
    for subset in (Subset(dataset, range(3)), Subset(dataset, np.flatnonzero(mask)), query.limit(3).to_torch()):
        assert [sample["tile_id"] for sample in subset] == expected
        (batch,) = DataLoader(subset, batch_size=8, collate_fn=collate_list)
        assert [sample["tile_id"] for sample in batch] == expected


def test_a_dataset_is_iterated_over_to_its_end(dataset):
    assert sum(1 for _ in dataset) == ROWS
