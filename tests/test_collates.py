import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lakes import write_lake
from spora_db import SporaQuery
from spora_db.errors import ArgumentError
from spora_db.loading.collates import collate_list, collate_packed, collate_padded, collate_panel

PROTEINS = [f"P{i:05d}" for i in range(12)]


def make_sample(channels, *, number, dtype=torch.float32, memory=None):
    """A sample whose pixels encode the marker: 100 * number + index of the marker."""
    values = torch.tensor([100.0 * number + c for c in channels])
    image = values[:, None, None].expand(-1, 3, 4).to(dtype).contiguous()
    if memory is not None:
        memory.copy_(image)
        image = memory
    return {
        "image": image,
        "channel_names": [f"name{c}" for c in channels],
        "uniprot_ids": [None if c % 5 == 4 else PROTEINS[c] for c in channels],
        "marker_index": torch.tensor([-1 if c % 5 == 4 else c for c in channels], dtype=torch.int64),
        "tissue_id": f"tissue{number}",
        "masks": {"tissue": torch.full((3, 4), number % 2 == 0)},
        "row": number,
    }


panels = st.lists(
    st.lists(st.integers(0, 11), min_size=1, max_size=8, unique=True), min_size=1, max_size=6
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(panels, st.booleans())
def test_padded_and_packed_agree_with_list(chosen, consecutive):
    if consecutive:
        whole = torch.empty((sum(map(len, chosen)), 3, 4))
        places = torch.split(whole, [len(channels) for channels in chosen])
    else:
        places = [None] * len(chosen)
    samples = [make_sample(c, number=i, memory=m) for i, (c, m) in enumerate(zip(chosen, places, strict=True))]
    kept = collate_list(samples)
    padded, packed = collate_padded(samples), collate_packed(samples)
    ends = packed["cu_seqlens"]
    assert ends.dtype == torch.int32
    assert padded["presence"].dtype == torch.bool
    assert packed["max_seqlen"] == padded["image"].shape[1] == max(map(len, chosen))
    for i, sample in enumerate(kept):
        count = len(sample["image"])
        assert torch.equal(padded["image"][i][padded["presence"][i]], sample["image"])
        assert torch.equal(packed["image"][ends[i] : ends[i + 1]], sample["image"])
        assert torch.equal(padded["marker_index"][i, :count], sample["marker_index"])
        assert torch.equal(packed["marker_index"][ends[i] : ends[i + 1]], sample["marker_index"])
        assert (padded["image"][i, count:] == 0).all()
        assert (padded["marker_index"][i, count:] == -1).all()
        assert not padded["presence"][i, count:].any()
    for batch in (padded, packed):
        assert batch["row"].tolist() == list(range(len(chosen)))
        assert batch["channel_names"] == [sample["channel_names"] for sample in samples]
        assert torch.equal(batch["masks"]["tissue"], torch.stack([s["masks"]["tissue"] for s in samples]))
    if consecutive:
        assert packed["image"].data_ptr() == whole.data_ptr()
        if len(set(map(len, chosen))) == 1:
            assert padded["image"].data_ptr() == whole.data_ptr()


@settings(max_examples=60, deadline=None)
@given(panels, st.lists(st.integers(0, 11), min_size=1, max_size=6, unique=True), st.booleans())
def test_a_fixed_panel_holds_what_samples_have(chosen, wanted, by_accession):
    samples = [make_sample(channels, number=i) for i, channels in enumerate(chosen)]
    names = [PROTEINS[c] if by_accession and c % 5 != 4 else f"name{c}" for c in wanted]
    batch = collate_panel(names)(samples)
    assert batch["image"].shape == (len(chosen), len(wanted), 3, 4)
    assert batch["channel_names"] == names
    for i, channels in enumerate(chosen):
        for k, c in enumerate(wanted):
            assert bool(batch["presence"][i, k]) == (c in channels)
            assert (batch["image"][i, k] == (100 * i + c if c in channels else 0)).all()
            assert batch["marker_index"][i, k] == (c if c in channels and c % 5 != 4 else -1)


def test_types_are_kept_and_mixed_ones_become_float32():
    for dtype in (torch.uint8, torch.uint16):
        samples = [make_sample([0, 1], number=0, dtype=dtype), make_sample([2], number=1, dtype=dtype)]
        assert collate_padded(samples)["image"].dtype == collate_packed(samples)["image"].dtype == dtype
        assert collate_padded(samples)["image"][1].tolist()[1] == [[0] * 4] * 3
    mixed = [make_sample([0, 1], number=0, dtype=torch.uint8), make_sample([2], number=1)]
    assert collate_padded(mixed)["image"].dtype == torch.float32
    assert collate_packed(mixed)["image"][2, 0, 0] == 102


def test_isoforms_and_ambiguous_accessions():
    sample = make_sample([0, 1], number=0)
    sample["uniprot_ids"] = ["P08575-8", "P08575"]
    with pytest.raises(ArgumentError, match="'P08575' is measured by several channels: name0, name1"):
        collate_panel(["P08575"])([sample])
    assert collate_panel(["name1", "P08575-8"])([sample])["image"][0, :, 0, 0].tolist() == [1, 0]
    for names in ("CD3", [], ["a", "a"]):
        with pytest.raises(ArgumentError, match="list of different names"):
            collate_panel(names)


def test_sizes_that_differ_are_refused():
    small, large = make_sample([0], number=0), make_sample([1], number=1)
    large["image"] = torch.zeros(1, 5, 4)
    for collate in (collate_padded, collate_packed, collate_panel(["name0"])):
        with pytest.raises(ArgumentError, match="3 x 4, 5 x 4"):
            collate([small, large])
        with pytest.raises(ArgumentError, match="no samples"):
            collate([])
    large["image"], large["masks"] = torch.zeros(1, 3, 4), {"tissue": torch.zeros(2, 2, dtype=torch.bool)}
    assert isinstance(collate_padded([small, large])["masks"]["tissue"], list)


def test_collates_pickle():
    for collate in (collate_list, collate_padded, collate_packed, collate_panel(["a", "b"])):
        pickle.loads(pickle.dumps(collate))


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return write_lake(tmp_path_factory.mktemp("collates") / "lake")


def test_samples_of_a_dataset(lake):
    dataset = SporaQuery(lake).modality("imc").tiles(size=32).to_torch()
    assert dataset.vocabulary == ("P01732-2", "P07766", "P62736", "not-an-id")
    samples = dataset.__getitems__([0, 18, 40])  # the second tissue lacks CD3e
    assert samples[0]["marker_index"].tolist() == [-1, 1, 0, 2, 3]
    assert samples[1]["marker_index"].tolist() == [-1, 0, 2, 3]
    batch = collate_packed(samples)
    assert batch["image"].data_ptr() == samples[0]["image"].data_ptr()
    assert batch["cu_seqlens"].tolist() == [0, 5, 9, 14]
    for i, position in enumerate((0, 18, 40)):
        part = batch["image"][batch["cu_seqlens"][i] : batch["cu_seqlens"][i + 1]]
        assert torch.equal(part, dataset[position]["image"])
    batch = collate_panel(["P07766", "P01732"])(samples)
    assert batch["presence"].tolist() == [[True, True], [False, True], [True, True]]
    assert batch["marker_index"].tolist() == [[1, 0], [-1, 0], [1, 0]]


def test_a_vocabulary_of_ones_own(lake):
    query = SporaQuery(lake).modality("imc").tiles(size=32).channels(kind="uniprot_filtered")
    dataset = query.to_torch(vocabulary=["P99999", "P01732", "P07766"])
    assert dataset[0]["marker_index"].tolist() == [2, 1]
    with pytest.raises(ArgumentError, match=r"lacks P07766.*\.channels\(names=vocabulary\)"):
        query.to_torch(vocabulary=["P01732-2"])
    with pytest.raises(ArgumentError, match="P01732 more than once"):
        query.to_torch(vocabulary=["P01732", "P01732", "P07766"])


def test_several_modalities_one_of_them_absent(lake):
    dataset = SporaQuery(lake).modality("imc", "he", missing="keep").tiles(size=32).to_torch()
    batch = collate_padded(dataset.__getitems__([0, 18, 30]))
    assert batch["imc"]["sample_index"].tolist() == [0, 1, 2]
    assert batch["he"]["sample_index"].tolist() == [0, 2]
    assert batch["he"]["image"].shape == (2, 3, 32, 32)
    assert np.array_equal(batch["he"]["image"][1], dataset[30]["he"]["image"])
