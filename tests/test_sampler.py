import itertools
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lakes import write_lake
from spora_db import SporaQuery, collate_packed, collate_padded, collate_panel, standardize_batch
from spora_db.errors import ArgumentError, UnknownNameError
from spora_db.loading.batches import PanelBatchSampler
from spora_db.loading.dataset import PlanDataset
from spora_db.loading.draws import (
    draw_with_replacement,
    draw_without_replacement,
    hashed,
    order_key,
    permutation,
    uniforms,
)
from spora_db.loading.position import Cut
from spora_db.loading.sampler import TileSampler

SHUFFLES = ("locality", "global", "none")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("sampler") / "lake")


@pytest.fixture(scope="module")
def dataset(lake):
    query = SporaQuery(lake).modality("imc").tiles(size=32).where("tile_id < 4")
    return query.select("cancer_type", "age", "patient_id").to_torch()


def ranks(dataset, world_size, **options):
    return [TileSampler(dataset, rank=rank, world_size=world_size, **options) for rank in range(world_size)]


def merged(samplers, block):
    """Put the shares of ranks together again, round after round."""
    shares = [list(sampler) for sampler in samplers]
    rounds = range(0, max(len(share) for share in shares), block)
    return [row for start in rounds for share in shares for row in share[start : start + block]]


def critical(freedom):
    """Return what chi-square exceeds once in 1e5 (Wilson and Hilferty 1931)."""
    return freedom * (1 - 2 / (9 * freedom) + 4.265 * np.sqrt(2 / (9 * freedom))) ** 3


def chi_square(drawn, expected):
    assert (drawn[expected == 0] == 0).all()
    drawn, expected = drawn[expected > 0], expected[expected > 0]
    return ((drawn - expected) ** 2 / expected).sum()


# ---- the numbers that orders rest on: literal values, so that no release changes them ----


def test_hashes_and_draws_have_literal_values():
    # the first three outputs of SplitMix64 with seed 0 (Vigna's reference implementation)
    assert [hex(n) for n in hashed(0, np.arange(3)).tolist()] == [
        "0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4", "0x6c45d188009454f",
    ]  # fmt: skip
    assert hex(order_key("00ff", seed=1, epoch=2, purpose="rows")) == "0x7681944bce3f8d7c"
    assert permutation(8, 3).tolist() == [3, 0, 6, 4, 2, 5, 1, 7]
    assert draw_with_replacement(np.array([1.0, 2.0, 5.0]), 8, 3).tolist() == [0, 2, 2, 0, 1, 2, 1, 2]
    assert draw_without_replacement(np.array([1.0, 2.0, 5.0, 1.0]), 3, 3).tolist() == [2, 1, 0]


@pytest.mark.parametrize("unit", [2.0**-1050, 2.0**-300, 2.0**700, 2.0**1018])
def test_weights_of_any_size_draw_what_their_shares_draw(unit):
    shares = np.array([1.0, 2.0, 0.0, 5.0, 1.0, 20.0])
    for key in range(20):
        for draw, count in ((draw_with_replacement, 40), (draw_without_replacement, 5)):
            assert draw(shares * unit, count, key).tolist() == draw(shares, count, key).tolist()


def test_what_weighs_nothing_beside_another_is_drawn_last():
    weights = np.array([5e-324, 1.7e308, 0.0, 1e-300])
    assert set(draw_with_replacement(weights, 100, 3).tolist()) == {1}
    assert draw_without_replacement(weights, 3, 3).tolist()[0] == 1
    assert sorted(draw_without_replacement(weights, 3, 3).tolist()) == [0, 1, 3]


@given(st.integers(1, 400), st.integers(0, 2**64 - 1))
def test_a_permutation_has_every_number_once(count, key):
    assert sorted(permutation(count, key).tolist()) == list(range(count))


def test_uniforms_are_uniform():
    counts = np.histogram(uniforms(5, np.arange(100_000)), bins=100, range=(0, 1))[0]
    assert chi_square(counts, np.full(100, 1000.0)) < critical(99)
    firsts = np.bincount([permutation(6, key)[0] for key in range(6000)], minlength=6)
    assert chi_square(firsts, np.full(6, 1000.0)) < critical(5)


# ---- partition ----


@given(st.integers(0, 60), st.integers(1, 7), st.integers(1, 9), st.booleans(), st.data())
def test_ranks_share_an_order(count, world_size, block, drop_last, data):
    cut = Cut(world_size=world_size, block=block, drop_last=drop_last)
    shares = [cut.assigned(count, rank) for rank in range(world_size)]
    assert {len(share) for share in shares} == {cut.length(count)}
    together = np.concatenate(shares).tolist()
    if drop_last:
        assert sorted(together) == list(range(count // world_size * world_size))
    else:
        assert set(together) == set(range(count))
        assert len(together) - count < world_size
    taken = data.draw(st.integers(0, cut.length(count)))
    gone = set(np.concatenate([share[:taken] for share in shares]).tolist())
    assert cut.left(count, taken).tolist() == [position for position in range(count) if position not in gone]


# ---- the order ----


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_every_row_once_per_epoch_and_epochs_differ(dataset, shuffle):
    sampler = TileSampler(dataset, shuffle=shuffle)
    orders = []
    for epoch in range(4):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
        assert sorted(orders[-1]) == list(range(len(dataset)))
        assert orders[-1] == sampler.order(epoch).tolist()
        sampler.set_epoch(epoch)
        assert list(sampler) == orders[-1]
    different = len({tuple(order) for order in orders})
    assert different == (1 if shuffle == "none" else 4)
    other = TileSampler(dataset, shuffle=shuffle, seed=1).order(0).tolist()
    assert (other == orders[0]) == (shuffle == "none")


def test_the_order_is_the_same_in_a_copy_and_belongs_to_the_rows(dataset, lake):
    order = TileSampler(dataset).order(3).tolist()
    assert TileSampler(pickle.loads(pickle.dumps(dataset))).order(3).tolist() == order
    query = SporaQuery(lake).modality("imc").tiles(size=32).where("tile_id < 4").standardize("identity")
    same, others = query.to_torch(), query.where("tile_id <> 3").to_torch()
    assert len(same) == len(dataset)
    assert same.plan.hash != dataset.plan.hash
    assert TileSampler(same).order(3).tolist() == order
    assert others.plan.rows_hash != same.plan.rows_hash == dataset.plan.rows_hash


@pytest.mark.parametrize("shuffle", SHUFFLES)
@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_ranks_together_have_the_order_of_one(dataset, shuffle, world_size):
    options = {"shuffle": shuffle, "seed": 5, "block": 4, "lanes": 2, "interleave": 2}
    samplers = ranks(dataset, world_size, **options)
    assert merged(samplers, 4) == TileSampler(dataset, **options).order().tolist()


@pytest.mark.parametrize(("world_size", "drop_last"), [(3, False), (3, True), (5, False), (40, False), (40, True)])
def test_ranks_get_equally_many(dataset, world_size, drop_last):
    samplers = ranks(dataset, world_size, drop_last=drop_last, block=3)
    shares = [list(sampler) for sampler in samplers]
    assert {len(share) for share in shares} == {len(samplers[0])}
    assert len(shares[0]) == (32 // world_size if drop_last else -(-32 // world_size))
    assert len(set(itertools.chain(*shares))) == (32 // world_size * world_size if drop_last else 32)


def test_locality_keeps_a_group_together_and_mixes_groups(dataset):
    tissue = dataset.plan.image[:, 0]
    sampler = TileSampler(dataset, block=4, lanes=2, interleave=2)
    order = tissue[sampler.order()]
    blocks = order.reshape(-1, 4)
    assert (np.array([len(set(block)) for block in blocks]) == 2).all()
    for lane in (blocks[0::2].ravel(), blocks[1::2].ravel()):  # a worker of two sees each group's tiles all
        assert all(np.ptp(np.flatnonzero(lane == image)) < 8 for image in set(lane.tolist()))
    assert not set(blocks[0::2].ravel()) & set(blocks[1::2].ravel())


def test_large_images_are_cut_into_groups(lake):
    rows = (
        "SELECT 'alpha' AS dataset, 'alpha_0000' AS tissue_id, r * 40 + c AS tile_id, 64 * r AS \"row\", 64 * c AS col"
    )
    text = f"{rows} FROM range(40) AS a(r), range(40) AS b(c)"
    dataset = SporaQuery.from_sql(lake, text).modality("imc").tiles(size=64).to_torch()
    sampler = TileSampler(dataset, group=512, interleave=1, lanes=1)
    order = sampler.order()
    assert sorted(order.tolist()) == list(range(1600))
    square = (dataset.plan.row[order] // 512) * 5 + dataset.plan.col[order] // 512
    assert len(np.flatnonzero(np.diff(square))) == 24


# ---- state ----


@pytest.mark.parametrize("shuffle", SHUFFLES)
@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_resuming_anywhere_gives_the_rest_exactly(dataset, shuffle, world_size):
    options = {"shuffle": shuffle, "block": 3}
    for rank, whole in enumerate(ranks(dataset, world_size, **options)):
        whole.set_epoch(2)
        expected = list(whole)
        for position in range(len(expected) + 1):
            stopped = TileSampler(dataset, rank=rank, world_size=world_size, **options)
            stopped.set_epoch(2)
            got = list(itertools.islice(stopped, position))
            state = json.loads(json.dumps(stopped.state_dict()))
            resumed = TileSampler(dataset, rank=rank, world_size=world_size, **options)
            resumed.load_state_dict(state)
            resumed.set_epoch(2)  # as training loops do
            assert (len(resumed), resumed.remaining) == (len(expected), len(expected) - position)
            assert got + list(resumed) == expected
            resumed.set_epoch(3)
            whole.set_epoch(3)
            assert list(resumed) == list(whole)
            whole.set_epoch(2)


@pytest.mark.parametrize("sizes", [(1, 2), (1, 4), (2, 1), (2, 4), (4, 1), (4, 2), (3, 5), (4, 4)])
def test_resuming_on_other_ranks_gives_every_row_once(dataset, sizes):
    before, after = sizes
    whole = TileSampler(dataset, block=2).order().tolist()
    for position in range(-(-32 // before) + 1):
        first = ranks(dataset, before, block=2)
        got = [row for sampler in first for row in itertools.islice(sampler, position)]
        states = [sampler.state_dict(taken=position) for sampler in first]
        assert all(state == states[0] for state in states)
        second = ranks(dataset, after, block=2)
        for sampler in second:
            sampler.load_state_dict(states[0])
        remaining = {sampler.remaining for sampler in second}
        assert {len(sampler) for sampler in second} == {-(-32 // after)}
        rest = [list(sampler) for sampler in second]
        assert {len(share) for share in rest} == remaining
        left = [row for row in whole if row not in set(got)]
        assert set(itertools.chain(*rest)) == set(left)
        assert 0 <= sum(map(len, rest)) - len(left) < after  # repeated only to make ranks equal
        third = TileSampler(dataset, block=2)
        taken = len(rest[0]) // 2
        third.load_state_dict(second[0].state_dict(taken=taken))
        seen = set(got) | {row for share in rest for row in share[:taken]}
        assert list(third) == [row for row in whole if row not in seen]


def test_a_state_carries_how_groups_are_mixed(dataset):
    sampler = TileSampler(dataset, lanes=1, interleave=3, block=5, group=256)
    got = list(itertools.islice(sampler, 7))
    other = TileSampler(dataset)
    other.load_state_dict(sampler.state_dict())
    both = got + list(other)
    assert sorted(both) == list(range(32))
    assert both == sampler.order(0).tolist()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"rows_hash": "0" * 32}, "belongs to the rows 000.*same query"),
        ({"version": 1}, "hung on channels and statistics.*set_epoch"),
        ({"seed": 9}, r"seed=9 \(here 0\)"),
        ({"shuffle": "global"}, "shuffle='global'"),
        ({"weights": "00"}, "weights"),
        ({"version": 99}, "version 99"),
        ({"kind": "PanelBatchSampler"}, "PanelBatchSampler"),
    ],
)
def test_states_of_something_else_are_refused(dataset, change, match):
    sampler = TileSampler(dataset)
    with pytest.raises(ArgumentError, match=match):
        sampler.load_state_dict({**sampler.state_dict(), **change})


# ---- weights ----


def test_weights_of_a_column_draw_in_proportion(dataset):
    sampler = TileSampler(dataset, weights="age", num_samples=40_000, shuffle="global")
    weights = dataset.plan.columns.column("age").to_numpy().astype(float)
    drawn = np.bincount(list(sampler), minlength=32)
    assert chi_square(drawn, 40_000 * weights / weights.sum()) < critical(31)


@pytest.mark.parametrize("shuffle", SHUFFLES)
@pytest.mark.parametrize("world_size", [1, 3])
def test_weighted_epochs_on_ranks_and_resumed(dataset, shuffle, world_size):
    weights = np.arange(32.0)
    drawn = np.zeros(32)
    for epoch in range(30):
        samplers = ranks(dataset, world_size, weights=weights, num_samples=300, shuffle=shuffle, block=4)
        one = TileSampler(dataset, weights=weights, num_samples=300, shuffle=shuffle, block=4)
        for sampler in (*samplers, one):
            sampler.set_epoch(epoch)
        rows = merged(samplers, 4)
        assert rows == list(one)
        drawn += np.bincount(rows, minlength=32)
        resumed = TileSampler(dataset, weights=weights, num_samples=300, shuffle=shuffle, block=4)
        resumed.load_state_dict(one.state_dict(taken=epoch * 10))
        assert list(resumed) == rows[epoch * 10 :]
    assert chi_square(drawn, 9000 * weights / weights.sum()) < critical(30)


def test_balance_gives_groups_equal_shares(lake):
    dataset = (
        SporaQuery(lake)
        .modality("imc")
        .tiles(size=32)
        .select("cancer_type")
        .where("tissue_id <> 'beta_0000'")
        .to_torch()
    )
    sampler = TileSampler(dataset, balance_by=["dataset", "cancer_type"], num_samples=20_000)
    types = np.array(dataset.plan.columns.column("cancer_type").to_pylist())
    cohort = np.array(dataset.plan.images.column("dataset").to_pylist())[dataset.plan.image[:, 0]]
    names, group = np.unique(np.char.add(types, cohort), return_inverse=True)
    assert len(names) == 4
    assert len(set(np.bincount(group).tolist())) > 1
    assert chi_square(np.bincount(group[list(sampler)]), np.full(4, 5_000.0)) < critical(3)


def test_without_replacement_no_row_repeats_and_first_draws_follow_weights(dataset):
    weights = np.zeros(32)
    weights[:6] = [1, 2, 3, 4, 5, 5]
    sampler = TileSampler(dataset, weights=weights, replacement=False, num_samples=4, shuffle="global")
    firsts, seconds = np.zeros(32), np.zeros(32)
    for epoch in range(4_000):
        rows = sampler.order(epoch)
        assert len(set(rows.tolist())) == 4
        firsts[rows[0]] += 1
        seconds[rows[1]] += 1
    share = weights / weights.sum()
    second = np.array([sum(share[j] * share[i] / (1 - share[j]) for j in range(6) if j != i) for i in range(32)])
    second[6:] = 0
    assert chi_square(firsts, 4_000 * share) < critical(5)
    assert chi_square(seconds, 4_000 * second) < critical(5)
    assert len(TileSampler(dataset, weights=weights, replacement=False)) == 6


def test_a_part_of_the_rows_differs_between_epochs(dataset):
    sampler = TileSampler(dataset, num_samples=8)
    parts = [frozenset(sampler.order(epoch).tolist()) for epoch in range(200)]
    assert {len(part) for part in parts} == {8}
    drawn = np.bincount(list(itertools.chain(*parts)), minlength=32)
    assert chi_square(drawn, np.full(32, 50.0)) < critical(31)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"shuffle": "random"}, UnknownNameError, "locality"),
        ({"rank": 2, "world_size": 2}, ArgumentError, "rank=2"),
        ({"world_size": 0}, ArgumentError, "world_size=0"),
        ({"num_samples": 33}, ArgumentError, "replacement=True"),
        ({"num_samples": 0}, ArgumentError, "num_samples=0"),
        ({"num_samples": 2.5}, ArgumentError, "whole number of rows"),
        ({"num_samples": "x"}, ArgumentError, r"TileSampler\(num_samples='x'\): expected a whole number of rows"),
        ({"rank": "0", "world_size": 2}, ArgumentError, r"TileSampler\(rank='0'\): expected a whole number of ranks"),
        ({"rank": 0, "world_size": 0}, ArgumentError, r"TileSampler\(world_size=0\): .* at least 1"),
        ({"rank": -1, "world_size": 2}, ArgumentError, r"TileSampler\(rank=-1\): .* at least 0"),
        ({"replacement": "no"}, ArgumentError, r"TileSampler\(replacement='no'\): expected True or False"),
        ({"drop_last": None}, ArgumentError, r"TileSampler\(drop_last=None\): expected True or False"),
        ({"balance_by": 5}, ArgumentError, r"TileSampler\(balance_by=5\): expected a name, such as 'dataset', or"),
        ({"weights": ["a"] * 32}, ArgumentError, "the name of a column, or a number per row"),
        ({"weights": {"age": 1}}, ArgumentError, "the name of a column, or a number per row"),
        ({"num_samples": 2**63, "replacement": True}, ArgumentError, r"below 2\*\*63"),
        ({"weights": "grade"}, UnknownNameError, r"\.select\('grade'\)"),
        ({"weights": "cancer_type"}, ArgumentError, "expected numbers"),
        ({"weights": [1.0]}, ArgumentError, r"\(1,\) for 32 rows"),
        ({"weights": [-1.0] * 32}, ArgumentError, "alpha_0000"),
        ({"weights": [np.nan] * 32}, ArgumentError, "32 weights are not finite"),
        ({"weights": [0.0] * 32}, ArgumentError, "All weights are 0"),
        ({"weights": "age", "balance_by": ["dataset"]}, ArgumentError, "not both"),
        ({"balance_by": ["stage"]}, UnknownNameError, "stage"),
    ],
)
def test_unusable_arguments(dataset, options, error, match):
    with pytest.raises(error, match=match):
        TileSampler(dataset, **options)


@pytest.mark.parametrize("value", ["x", -1, 0.5, True, [1]])
def test_what_methods_are_given_is_told(dataset, value):
    sampler = TileSampler(dataset)
    batches, loader = PanelBatchSampler(sampler, batch_size=4), dataset.loader(4)
    for call, at in (
        (sampler.order, "order(epoch="),
        (batches.batches, "batches(epoch="),
        (sampler.set_epoch, "set_epoch(epoch="),
        (lambda value: sampler.state_dict(taken=value), "state_dict(taken="),
        (lambda value: sampler.report(batch_size=value), "report(batch_size="),
        (lambda value: sampler.report(workers=value), "report(workers="),
        (lambda value: sampler.report(cache_bytes=value), "report(cache_bytes="),
        (lambda value: dataset.explain(batch_size=value), "explain(batch_size="),
        (lambda value: PanelBatchSampler(sampler, batch_size=value), "PanelBatchSampler(batch_size="),
    ):
        with pytest.raises(ArgumentError) as caught:
            call(value)
        assert str(caught.value).startswith(f"{at}{value!r}): expected a whole number of "), str(caught.value)
    for call, words in (
        (loader.profile, "profile(seconds='x'): expected a number of seconds"),
        (lambda value: dataset.explain(seconds=value), "explain(seconds='x', "),
        (lambda value: dataset.explain(cache_bytes=value), "cache_bytes='x'): expected a number of seconds from 0 on"),
    ):
        with pytest.raises(ArgumentError) as caught:
            call("x")
        assert words in str(caught.value)


def test_what_is_no_sampler_plan_batch_or_list_of_samples_is_told(dataset):
    for call, words in (
        (lambda: PanelBatchSampler(dataset, batch_size=4), "PanelBatchSampler(sampler=PlanDataset"),
        (lambda: PanelBatchSampler(TileSampler(dataset), batch_size=4, drop_last=1), "PanelBatchSampler(drop_last=1)"),
        (lambda: PlanDataset("lake"), "PlanDataset('lake'): expected a plan"),
        (lambda: collate_padded(5), "collate(5): expected a list of samples"),
        (lambda: collate_packed(dataset[0][name] for name in ()), "expected a list of samples"),
        (lambda: collate_panel(5), "collate_panel(5): expected a list of different names"),
        (lambda: collate_panel([5]), "collate_panel([5]): expected a list of different names"),
        (lambda: standardize_batch(5, "cpu"), "standardize_batch(5): expected a batch"),
    ):
        with pytest.raises(ArgumentError) as caught:
            call()
        assert words in str(caught.value)


@pytest.mark.parametrize("row", [32, -33, 2**70, -(2**70)])
def test_a_plan_names_the_row_that_it_has_not(dataset, row):
    with pytest.raises(IndexError, match=rf"position {row} is out of range for 32 rows"):
        dataset.plan.identity(row)


def test_a_row_of_a_plan_is_a_number(dataset):
    assert dataset.plan.identity(-1) == dataset.plan.identity(torch.tensor(31)) == dataset.plan.identity(np.uint8(31))
    for row in (1.0, True, "1", slice(1), np.arange(2)):
        with pytest.raises(ArgumentError, match=r"identity\(.*expected a row's number"):
            dataset.plan.identity(row)


# ---- panels ----


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("drop_last", [False, True])
def test_batches_of_equal_panels(dataset, world_size, drop_last):
    samplers = [PanelBatchSampler(s, batch_size=5, drop_last=drop_last) for s in ranks(dataset, world_size)]
    batches = [list(sampler) for sampler in samplers]
    assert {len(part) for part in batches} == {len(samplers[0])}
    panel = samplers[0].panels
    assert len(set(panel.tolist())) == 2
    for batch in itertools.chain(*batches):
        assert len(set(panel[batch].tolist())) == 1
    rows = list(itertools.chain(*itertools.chain(*batches)))
    if not drop_last:
        assert set(rows) == set(range(32))
    for position in range(len(batches[0]) + 1):
        stopped = [PanelBatchSampler(s, batch_size=5, drop_last=drop_last) for s in ranks(dataset, world_size)]
        resumed = [PanelBatchSampler(s, batch_size=5, drop_last=drop_last) for s in ranks(dataset, world_size)]
        for before, after, whole in zip(stopped, resumed, batches, strict=True):
            assert list(itertools.islice(before, position)) == whole[:position]
            after.load_state_dict(before.state_dict())
            assert list(after) == whole[position:]
    assert samplers[0].epoch == 1
    assert list(samplers[0]) != batches[0]


# ---- report ----


def test_the_report_counts_what_readers_decode(dataset):
    from spora_db.images import cache_info, clear_cache, set_cache_bytes

    sampler = TileSampler(dataset, block=4, lanes=1, interleave=2, shuffle="global")
    for limit in (2**20, 50_000, 0):
        report = sampler.report(cache_bytes=limit)
        clear_cache()
        before = cache_info().bytes_limit
        set_cache_bytes(limit)
        delivered = sum(dataset[row]["image"].nbytes for row in sampler)
        decoded = cache_info().bytes_decoded
        set_cache_bytes(before)
        assert report.amplification == pytest.approx(decoded / delivered)
    text = str(sampler.report())
    assert "distinct tissues" in text
    assert "distinct patients" in text
    local = TileSampler(dataset, block=8, lanes=1, interleave=2).report()
    assert local.tissues == 2.0
    assert local.tissues < local.tissues_global


@settings(max_examples=30)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=25), st.integers(1, 4), st.integers(1, 4), st.integers(1, 9))
def test_interleaving_keeps_every_member(sizes, lanes, width, block):
    from spora_db.kernels.order import interleave_groups

    sizes = np.array(sizes)
    out = np.empty(sizes.sum(), np.int64)
    backwards = np.arange(len(sizes)) % 2 == 0
    interleave_groups(np.cumsum(sizes) - sizes, sizes, permutation(len(sizes), 1), backwards, lanes, width, block, out)
    assert sorted(out.tolist()) == list(range(sizes.sum()))
