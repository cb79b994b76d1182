"""TileSampler takes what wraps a dataset of a query: every row once, groups together, places in the order kept."""

import itertools

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, random_split

from lakes import write_lake
from spora_db import PanelBatchSampler, SporaQuery, TileSampler
from spora_db.errors import ArgumentError
from spora_db.loading.underlying import underlying


@pytest.fixture(scope="module")
def query(tmp_path_factory):
    lake = write_lake(tmp_path_factory.mktemp("underlying") / "lake")
    return SporaQuery(lake).modality("imc").tiles(size=32).select("age")


@pytest.fixture(scope="module")
def dataset(query):
    return query.to_torch()


class Pairs(Dataset):
    """What people write: another dataset in an attribute, whose samples are changed."""

    def __init__(self, inner):
        self.cache, self.inner = {}, inner

    def __len__(self):
        return len(self.inner)

    def __getitem__(self, position):
        return self.inner[position], position


class Few(Pairs):
    def __len__(self):
        return 3


def parts(dataset):
    generator = torch.Generator().manual_seed(0)
    train, _ = random_split(dataset, [50, 22], generator)
    joined = ConcatDataset([Subset(dataset, range(40, 72)), Subset(dataset, [3, 1, 2])])
    return {
        "subset": Subset(dataset, np.arange(5, 60)),
        "random_split": train,
        "subset of a subset": Subset(Subset(dataset, range(72)[::-1]), range(30)),
        "negative": Subset(dataset, [-1, -2, 0]),
        "joined": joined,
        "subset of joined": Subset(joined, range(1, 35, 2)),
        "joined twice": ConcatDataset([dataset, Subset(dataset, range(10))]),
    }


@pytest.mark.parametrize("name", list(parts([0] * 72)))
def test_every_position_once_and_groups_together(dataset, name):
    part = parts(dataset)[name]
    sampler = TileSampler(part, block=4, lanes=1, interleave=1)
    order = sampler.order(0)
    assert sorted(order.tolist()) == list(range(len(part)))
    assert sampler.order(1).tolist() != order.tolist()
    tissues = [part[int(position)]["tissue_id"] for position in order]
    assert len(list(itertools.groupby(tissues))) == len(set(tissues))  # with one group at a time, none is torn apart
    other = TileSampler(part, block=4, lanes=1, interleave=1)
    assert other.order(0).tolist() == order.tolist()
    batch = next(iter(DataLoader(part, batch_size=3, sampler=sampler, collate_fn=list)))
    assert [sample["tissue_id"] for sample in batch] == tissues[:3]


def test_a_whole_dataset_has_the_order_that_it_had(dataset):
    whole = TileSampler(dataset)
    assert TileSampler(Pairs(dataset)).order(2).tolist() == whole.order(2).tolist()
    assert TileSampler(dataset).rule.rows_hash == dataset.plan.rows_hash
    halves = [TileSampler(Subset(dataset, rows)).rule.rows_hash for rows in (range(36), range(36, 72), range(36))]
    assert halves[0] == halves[2] != halves[1]


def test_datasets_of_two_queries_are_joined(query):
    both = ConcatDataset([query.where(f"dataset = '{name}'").to_torch() for name in ("alpha", "beta")])
    sampler = TileSampler(both, block=4, lanes=1, interleave=1, balance_by=["dataset"], num_samples=400)
    drawn = [both[position]["dataset"] for position in sampler]
    assert 150 < drawn.count("alpha") < 250
    assert underlying(both).identity(40)["dataset"] == "beta"
    tissues = [both[position]["tissue_id"] for position in TileSampler(both, lanes=1, interleave=1)]
    assert len(list(itertools.groupby(tissues))) == len(set(tissues)) == 8


def test_states_belong_to_the_rows(dataset):
    first, second = (TileSampler(Subset(dataset, rows)) for rows in (range(30), range(1, 31)))
    with pytest.raises(ArgumentError, match="belongs to the rows"):
        second.load_state_dict(first.state_dict())


def test_wrappers_are_looked_through(dataset):
    part = Pairs(Pairs(Subset(dataset, range(20))))
    sampler = TileSampler(part, block=6)
    loader = DataLoader(part, batch_size=6, sampler=sampler, collate_fn=list)
    assert [int(pair[1]) for batch in loader for pair in batch] == sampler.order(0).tolist()
    for wrong, match in (
        (Few(dataset), r"TileSampler\(Few\).*3 rows.*72.*Subset"),
        (Pairs([1, 2]), "no dataset of a query in it"),
        (Subset(dataset, [100]), "row 100 of a dataset that has 72 rows"),
        (Subset(dataset, [0, -(2**70)]), f"row -{2**70} of a dataset that has 72 rows"),
    ):
        with pytest.raises(ArgumentError, match=match):
            TileSampler(wrong)


def test_weights_and_panels_of_a_part(dataset):
    rows = [70, 3, 3, 12]
    part = Subset(dataset, rows)
    own = dataset.plan.columns.column("age").to_pylist()
    assert underlying(part).column("age").to_pylist() == [own[row] for row in rows]
    heavy = TileSampler(part, weights=[0, 0, 0, 1.0], num_samples=5)
    assert list(heavy) == [3] * 5
    named = TileSampler(part, weights="age", num_samples=4000, shuffle="global")
    drawn = np.bincount(list(named), minlength=4)
    ages = np.array([own[row] for row in rows], float)
    assert (((drawn - 4000 * ages / ages.sum()) ** 2) / (4000 * ages / ages.sum())).sum() < 25
    batches = list(PanelBatchSampler(TileSampler(Subset(dataset, range(10, 60))), batch_size=7))
    panels = [{tuple(dataset[10 + row]["channel_names"]) for row in batch} for batch in batches]
    assert all(len(panel) == 1 for panel in panels)
    assert sorted(itertools.chain(*batches)) == list(range(50))


def test_draws_of_a_split_do_not_depend_on_workers(query):
    noted = query.to_torch(transform=draw)
    found = []
    for workers in (0, 2):
        train, _ = random_split(noted, [0.75, 0.25], torch.Generator().manual_seed(0))
        sampler = TileSampler(train, block=4)
        loader = DataLoader(train, batch_size=4, sampler=sampler, num_workers=workers, collate_fn=list)
        found.append([[(s["tile_id"], s["drawn"]) for batch in loader for s in batch] for _ in range(2)])
    assert found[0] == found[1]
    assert dict(found[0][0]) != dict(found[0][1])  # another epoch, other draws


def draw(sample, rng):
    sample["drawn"] = float(rng.random())
    return sample
