"""The channels of a plan as panels: every image's own, all of them, their pickle and their hash."""

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spora_db import SporaQuery
from spora_db.plan.panels import PlanChannels, PlanPanel
from tests.lakes import PANEL, write_lake

FIELDS = ("image", "name", "uniprot", "page", "channel_index", "lower", "upper", "mean", "std")


@st.composite
def panels(draw) -> tuple[list[PlanPanel], list[list[tuple[int, ...]]]]:
    """Draw panels, and image by image what they deliver: (name, uniprot, page, channel_index, upper)."""
    first, made, expected = 0, [], []
    for _ in range(draw(st.integers(1, 3))):
        n, c = draw(st.integers(1, 4)), draw(st.integers(1, 5))
        delivered = draw(hnp.arrays(np.bool_, (n, c)))
        page = np.where(delivered, np.arange(c), -1).astype(np.int8)
        name, uniprot = (draw(hnp.arrays(np.int32, c, elements=st.integers(-1, 9))) for _ in range(2))
        upper = np.where(delivered, np.arange(n * c).reshape(n, c), np.nan).astype(np.float32)
        index = np.arange(10, 10 + c, dtype=np.int32)
        made.append(PlanPanel(first=first, channel_index=index, name=name, uniprot=uniprot, page=page, upper=upper))
        expected += [
            [(name[at], uniprot[at], at, 10 + at, upper[row, at]) for at in range(c) if delivered[row, at]]
            for row in range(n)
        ]
        first += n
    return made, expected


@given(panels())
def test_entries_of_one_image_and_of_all(drawn):
    made, expected = drawn
    channels = PlanChannels.of_panels(tuple(made))
    whole = channels.entries()
    assert np.diff(channels.offsets).tolist() == [len(own) for own in expected]
    for image, own in enumerate(expected):
        entries = channels.of(image)
        got = zip(entries.name, entries.uniprot, entries.page, entries.channel_index, entries.upper, strict=True)
        assert list(got) == own
        assert np.isnan(entries.lower).all()
        part = slice(*channels.offsets[image : image + 2])
        for field in FIELDS:
            np.testing.assert_array_equal(getattr(entries, field), getattr(whole, field)[part])


@given(panels(), st.data())
def test_narrowed_panels_deliver_what_is_left(drawn, data):
    made, _ = drawn
    for panel in made:
        kept = panel.delivered & data.draw(hnp.arrays(np.bool_, panel.page.shape))
        narrow = panel.narrowed(kept)
        assert narrow.delivered.any(axis=0).all()
        assert len(narrow) == len(panel)
        rows, channels = np.nonzero(kept)
        before = panel.entries(rows, channels)
        after = narrow.entries(*np.nonzero(narrow.delivered))
        for field in FIELDS:
            np.testing.assert_array_equal(getattr(after, field), getattr(before, field))
        assert (np.isnan(narrow.upper) == ~narrow.delivered).all()


def test_a_panel_of_many_channels_has_pages_for_all(tmp_path, monkeypatch):
    names = [(f"M{number:03d}", True, f"P{number:05d}", False) for number in range(130)]
    monkeypatch.setattr("tests.lakes.PANEL", [*PANEL, *names])
    plan = SporaQuery(write_lake(tmp_path, names=("wide",), size=32)).modality("imc").tissues().plan()
    assert plan.channels.of(0).page.tolist() == list(range(135))
    assert plan.channels.of(2).page.tolist() == list(range(134))
    assert plan.channels.of(2).channel_index.tolist() == [0, *range(2, 135)]


@pytest.mark.some(2)
@pytest.mark.parametrize("spec", ["identity", "quantile_clipping/uq_0.99_image"])
def test_a_plan_pickles_and_knows_nothing_of_other_cohorts(tmp_path, spec):
    query = SporaQuery(write_lake(tmp_path)).modality("imc").tiles(size=32).where("dataset = 'alpha'").standardize(spec)
    plan = query.plan()
    again = pickle.loads(pickle.dumps(plan, protocol=5))
    assert again.hashed().hash == plan.hash
    assert set(plan.channel_names) == {name for name, *_ in PANEL}
    other = write_lake(tmp_path / "other", names=("gamma",)) / "gamma"
    for table in ("channels", "channels_per_tissue"):
        frame = pd.read_parquet(other / f"imc/{table}.parquet").rename(columns={"CD8": "AAA"})
        frame.replace({"CD8": "AAA", "P01732-2": "P00001"}).to_parquet(other / f"imc/{table}.parquet")
    other.rename(tmp_path / "gamma")
    (tmp_path / "other").rmdir()
    assert query.plan().hash == plan.hash
    assert query.where("tissue_id <> 'alpha_0000'").plan().hash != plan.hash
