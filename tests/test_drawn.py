"""A row number that a sampler yields stays an int, and keeps where it was drawn."""

import pickle

import numpy as np
import pytest
from torch.utils.data import ConcatDataset, Dataset

from spora_db.loading.drawn import Drawn

PLACE = {"seed": 3, "epoch": -1, "position": 2**40, "of_panel": True}


class Echo(Dataset[int]):
    """Five rows that give back what they were asked by."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, position: int) -> int:
        return position


@pytest.mark.parametrize("change", [lambda n: n, lambda n: n + 0, lambda n: 7 + (n - 7), lambda n: n - np.int64(0)])
@pytest.mark.parametrize("carry", [lambda n: n, lambda n: pickle.loads(pickle.dumps(n))])
def test_it_is_the_number_and_keeps_its_place(change, carry):
    drawn = carry(change(Drawn(9, **PLACE)))
    assert (type(drawn), int(drawn), drawn.__dict__) == (Drawn, 9, PLACE)
    assert [*range(10)][drawn] == hash(drawn) == drawn == 9
    assert np.asarray([drawn, 1], np.int64).tolist() == [9, 1]


def test_it_passes_through_datasets_that_count_on():
    both = ConcatDataset([Echo(), Echo()])
    for asked, found in ((Drawn(7, **PLACE), 2), (Drawn(-1, **PLACE), 4)):
        assert (both[asked], both[asked].__dict__) == (found, PLACE)


def test_many_are_sent_in_few_bytes():
    batch = [Drawn(row, seed=0, epoch=3, position=10 * row) for row in range(100_000, 100_256)]
    assert len(pickle.dumps(batch)) < 30 * len(batch)
