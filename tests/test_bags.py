"""Bags against pandas: which rows are in which, their vectors, labels, draws; batches; and a model that learns."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from feature_lakes import tiles
from lakes import write_lake
from spora_db import SporaQuery, collate_bags_packed, collate_bags_padded
from spora_db.bags.grouping import grouped, thinned
from spora_db.errors import ArgumentError, QueryError, TableError, UnknownNameError

DIMENSION = 6


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("bags")
    return [write_lake(folder / "lake", tissues=4, size=96), folder / "mine"]


@pytest.fixture(scope="module")
def vectors(lake: list[Path]) -> np.ndarray:
    """Return the vectors of all 72 rows, in the order of the query."""
    made = np.random.default_rng(3).standard_normal((72, DIMENSION)).astype(np.float16)
    left = list(torch.from_numpy(made).split(9))
    tiles(lake[0]).extract(lambda batch: left.pop(0), name="own", into=lake[1], batch_size=9, part_rows=18)
    return made


@pytest.mark.some(2)
@pytest.mark.parametrize("by", ["patient_id", "tissue_id", "split", "age"])
def test_bags_are_the_groups_of_pandas(lake: list[Path], vectors: np.ndarray, by: str) -> None:
    query = tiles(lake).where("tile_id != 4").select("patient_id", "age", "split")
    frame = tiles(lake).select("patient_id", "age", "split").df()
    frame = frame[frame["tile_id"] != 4]
    bags = query.bags(by=by, features="own")
    groups = list(frame.groupby(["dataset", by], sort=False))
    assert len(bags) == len(groups)
    assert bags.counts.tolist() == [len(group) for _, group in groups]
    for bag, ((dataset, value), group) in zip((bags[i] for i in range(len(bags))), groups, strict=True):
        assert (bag["dataset"], bag["bag"]) == (dataset, value)
        assert bag["features"].dtype == torch.float32
        assert (bag["features"].numpy() == vectors[group.index].astype(np.float32)).all()
        for name in ("tissue_id", "tile_id", "row", "col", "age"):
            assert list(bag[name]) == group[name].tolist()


def test_labels_are_those_of_the_group(lake: list[Path], vectors: np.ndarray) -> None:
    bags = tiles(lake).label("cancer_type").bags(by="patient_id", features="own")
    assert bags.classes == {"cancer_type": ("BRCA", "LUAD")}
    assert bags.targets().tolist() == [int(bags[i]["cancer_type"]) for i in range(len(bags))] == [1, 0, 1, 0]
    with pytest.raises(TableError, match=r"patient_id 'p0' of alpha have several values of the label 'age'"):
        tiles(lake).label("age").bags(by="patient_id", features="own")


def test_a_draw_is_of_the_row_alone(lake: list[Path], vectors: np.ndarray) -> None:
    def drawn(query: SporaQuery, **options: Any) -> dict[tuple[str, str], list[tuple[str, int]]]:
        bags = query.bags(by="patient_id", features="own", max_per_bag=5, **options)
        found = (bags[i] for i in range(len(bags)))
        return {
            (bag["dataset"], bag["bag"]): list(zip(bag["tissue_id"], bag["tile_id"].tolist(), strict=True))
            for bag in found
        }

    every, other = drawn(tiles(lake)), drawn(tiles(lake), seed=1)
    assert {len(rows) for rows in every.values()} == {5}
    assert every == drawn(tiles(lake))
    assert other != every
    assert all(rows == sorted(rows) for rows in every.values())
    beta = drawn(tiles(lake).where("dataset = 'beta'"))
    assert beta == {key: rows for key, rows in every.items() if key[0] == "beta"}
    assert every["alpha", "p0"] != [(t.replace("beta", "alpha"), i) for t, i in every["beta", "p0"]]


def test_all_rows_are_drawn_alike(lake: list[Path], vectors: np.ndarray) -> None:
    """Of 18 rows of four patients, 6 are drawn by 200 seeds: each row about 67 times, by five standard deviations."""
    counts = np.zeros(72)
    plan = tiles(lake).select("patient_id").plan()
    grouping = grouped(plan, "patient_id", kept=np.ones(72, bool))
    for seed in range(200):
        counts[thinned(plan, grouping, most=6, seed=seed).rows] += 1
    assert counts.sum() == 200 * 4 * 6
    assert (np.abs(counts - 200 / 3) < 5 * np.sqrt(200 * 2 / 9)).all()


def test_batches_padded_and_packed(lake: list[Path], vectors: np.ndarray) -> None:
    bags = (
        tiles(lake)
        .where("row + tile_id > 40 OR tissue_id LIKE '%0'")
        .label("split")
        .bags(by="tissue_id", features="own")
    )
    samples = [bags[i] for i in range(3)]
    counts = [len(sample["features"]) for sample in samples]
    assert len(set(counts)) > 1
    padded, packed = collate_bags_padded(samples), collate_bags_packed(samples)
    assert padded["features"].shape == (3, max(counts), DIMENSION)
    assert padded["mask"].sum(dim=1).tolist() == counts
    assert (padded["features"][~padded["mask"]] == 0).all()
    assert (padded["tile_id"][~padded["mask"]] == -1).all()
    assert packed["cu_seqlens"].tolist() == [0, *np.cumsum(counts)]
    assert packed["cu_seqlens"].dtype == torch.int32
    assert packed["max_seqlen"] == max(counts)
    for batch in (padded["features"][padded["mask"]], packed["features"]):
        assert torch.equal(batch, torch.cat([sample["features"] for sample in samples]))
    assert padded["split"].shape == packed["split"].shape == (3,)
    assert padded["bag"] == packed["bag"] == [sample["bag"] for sample in samples]
    with pytest.raises(ArgumentError, match="no bags"):
        collate_bags_padded([])


def test_a_plain_loader_takes_them(lake: list[Path], vectors: np.ndarray) -> None:
    bags = tiles(lake).bags(by="tissue_id", features="own")
    sent = pickle.dumps(bags)
    assert len(sent) < 50_000  # the vectors stay on disk
    for own in (bags, pickle.loads(sent)):
        (batch,) = DataLoader(own, batch_size=len(bags))
        assert torch.equal(batch["features"].reshape(-1, DIMENSION), torch.from_numpy(vectors).float())


def test_bags_of_tiles(lake: list[Path]) -> None:
    query = tiles(lake).where("tissue_id = 'alpha_0001'")
    (bag,) = query.bags(by="tissue_id", features="tiles", max_per_bag=4)
    assert bag["features"].shape == (4, 5, 32, 32)
    dataset = query.to_torch()
    for tile, image in zip(bag["tile_id"].tolist(), bag["features"], strict=True):
        assert torch.equal(image, dataset[tile]["image"])
    batch = collate_bags_padded([bag, bag])
    assert batch["features"].shape == (2, 4, 5, 32, 32)
    assert batch["presence"].shape == (2, 4, 5)


def test_what_makes_no_bags_is_told(lake: list[Path], vectors: np.ndarray, tmp_path: Path) -> None:
    query = tiles(lake)
    with pytest.raises(UnknownNameError, match="Did you mean 'patient_id'"):
        query.bags(by="patient_idd", features="own")
    with pytest.raises(UnknownNameError, match="feature set 'owns'"):
        query.bags(by="patient_id", features="owns")
    with pytest.raises(QueryError, match="selects no tiles"):
        query.where("tile_id < 0").bags(by="patient_id", features="own")
    part = query.where("tile_id > 3")
    part.extract(lambda batch: batch["image"].mean(dim=(2, 3))[:, :2], name="few", into=lake[1], batch_size=20)
    with pytest.raises(TableError, match=r"32 rows of 72 have no features 'few', the first of tissue 'alpha_0000'"):
        query.bags(by="patient_id", features="few")
    assert query.bags(by="patient_id", features="few", missing="drop").counts.sum() == 40
    bags = query.bags(by="patient_id", features="own")
    for number in (4, -5, 2**70, np.uint64(2**63)):
        with pytest.raises(IndexError, match=f"no bag {number};"):
            bags[number]
    for several in (np.array([1]), torch.tensor([1]), slice(0, 2**70), True, np.True_, 1.0, np.array(1.0)):
        with pytest.raises(ArgumentError, match="expected the number of one bag"):
            bags[several]
    assert len(bags[-1]["features"]) == 18


def test_no_column_or_label_takes_the_place_of_what_bags_have(lake: list[Path], vectors: np.ndarray) -> None:
    own = tiles(lake).df()[["dataset", "tissue_id", "tile_id"]].assign(bag="x", mask="y", features="z")
    query = tiles(lake).join("mine", own)
    for name in ("bag", "mask", "features"):
        with pytest.raises(ArgumentError, match=rf"select\('{name}'\): samples have a field"):
            query.select(name).bags(by="tissue_id", features="own")
        assert query.bags(by=name, features="own")[0]["bag"] in "xyz"
    with pytest.raises(ArgumentError, match=r"label\('mask'\): bags have a field 'mask' of their own"):
        query.label("mask").bags(by="tissue_id", features="own")


class Attention(torch.nn.Module):
    """Gated attention over the rows of a bag (Ilse, Tomczak, Welling 2018), without its gate."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weigh = torch.nn.Sequential(torch.nn.Linear(size, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
        self.tell = torch.nn.Linear(size, 2)

    def forward(self, batch: Any) -> torch.Tensor:
        weights = self.weigh(batch["features"]).squeeze(-1).masked_fill(~batch["mask"], -torch.inf).softmax(dim=1)
        return self.tell((weights[..., None] * batch["features"]).sum(dim=1))


def accuracy(bags: Any, labels: torch.Tensor) -> float:
    """Train on two thirds of the bags, and return the share of the others that is told right."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Attention(DIMENSION)
    order = torch.randperm(len(bags), generator=generator).tolist()
    train, test = order[: len(order) * 2 // 3], order[len(order) * 2 // 3 :]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    batches = {name: collate_bags_padded([bags[i] for i in part]) for name, part in (("train", train), ("test", test))}
    for _ in range(150):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(batches["train"]), labels[train]).backward()
        optimizer.step()
    with torch.no_grad():
        return float((model(batches["test"]).argmax(dim=1) == labels[test]).double().mean())


def test_attention_finds_what_was_planted_and_nothing_in_shuffled_labels(tmp_path: Path) -> None:
    """A few rows of every bag of one class are shifted: told by attention, while shuffled labels are told by chance."""
    lake = [write_lake(tmp_path / "lake", names=("alpha",), tissues=60, size=96), tmp_path / "mine"]
    query = tiles(lake[0]).label("cancer_type")
    draw = np.random.default_rng(5)
    rows = query.df()
    planted = draw.standard_normal((len(rows), DIMENSION)).astype(np.float32)
    planted[(rows["cancer_type"] == "LUAD") & (rows["tile_id"] % 3 == 0), 0] += 8
    left = list(torch.from_numpy(planted).split(54))
    query.extract(lambda batch: left.pop(0), name="own", into=lake[1], batch_size=54)
    bags = tiles(lake).label("cancer_type").bags(by="tissue_id", features="own")
    labels = bags.targets()
    assert accuracy(bags, labels) >= 0.9
    shuffled = labels[torch.from_numpy(np.random.default_rng(1).permutation(len(labels)))]
    assert 0.2 <= accuracy(bags, shuffled) <= 0.8
