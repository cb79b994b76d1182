"""A query is a collection of its rows: counted, iterated over, cut; pandas' ``head`` is the oracle of every limit."""

import inspect
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from cell_lakes import write_cells, write_masks
from lakes import write_lake
from spora_db import SporaQuery
from spora_db.errors import ArgumentError, QueryError, TableError
from spora_db.plan import cell_centroids
from spora_db.query import row_answers

ROWS = "SELECT dataset, tissue_id, tile_id, \"row\", col, age FROM tiles WHERE modality = 'imc' AND age > 50"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cohorts: alpha's cells have places in its table, beta's only in the masks."""
    lake = write_lake(tmp_path_factory.mktemp("protocol") / "lake")
    masks = write_masks(lake)
    write_cells(lake / "alpha", masks, names=("Pos_Y", "Pos_X"))
    write_cells(lake / "beta", masks)
    return lake


def tiles(lake: Path) -> SporaQuery:
    return SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0)


QUERIES: dict[str, Callable[[Path], SporaQuery]] = {
    "tiles": tiles,
    "of a condition": lambda lake: tiles(lake).where("age > 50").select("age", "cancer_type"),
    "tissues": lambda lake: SporaQuery(lake).modality("imc").tissues(mpp=1.0).select("age"),
    "pairs": lambda lake: tiles(lake).modality("imc", "he"),
    "pairs kept": lambda lake: tiles(lake).modality("he", "imc", missing="keep"),
    "alternatives": lambda lake: tiles(lake).modality(("imc", "he")),
    "required": lambda lake: tiles(lake).channels(require=["CD3e"]),
    "sample": lambda lake: tiles(lake).sample(13, by="dataset", seed=3),
    "fraction": lambda lake: tiles(lake).sample(fraction=0.4),
    "caps": lambda lake: tiles(lake).sample(per_patient=3),
    "quota": lambda lake: tiles(lake).sample(quota={"LUAD": 9, "BRCA": 2}, by="cancer_type"),
    "divided": lambda lake: (
        tiles(lake).split(by="patient", fractions={"a": 0.5, "b": 0.5}, seed=1, replace=True).split("a")
    ),
    "excluded": lambda lake: tiles(lake).exclude(pa.table({"dataset": ["alpha"], "tissue_id": ["alpha_0000"]})),
    "of SQL": lambda lake: SporaQuery.from_sql(lake, ROWS).modality("imc").select("age"),
    "of Arrow": lambda lake: SporaQuery.from_arrow(lake, tiles(lake).to_arrow().take(list(range(71, 2, -3)))),
    "cells": lambda lake: SporaQuery(lake).modality("imc").cells(size=16).select("cell_type"),
    "cells of a place": lambda lake: SporaQuery(lake / "alpha").modality("imc").cells(size=16).where("col > 40.5"),
}


@pytest.fixture(params=QUERIES)
def query(lake: Path, request: pytest.FixtureRequest) -> SporaQuery:
    return QUERIES[request.param](lake)


def placed(query: SporaQuery) -> pd.DataFrame:
    """Return the rows of a plan, sorted as those of a query are."""
    plan, unit = query.plan(), query.selection.unit
    images = plan.images.take(plan.image.max(axis=1)).select(["dataset", "tissue_id"]).to_pandas()
    rows = images if unit == "tissue" else images.assign(**{f"{unit}_id": plan.tile_id})
    return rows.sort_values(list(rows.columns), ignore_index=True)


@pytest.mark.some(4)
@pytest.mark.parametrize("n", [0, 7, 10**6])
def test_a_limit_is_the_head_of_all_rows(query, n):
    expected = query.df().head(n)
    limited = query.limit(n)
    pd.testing.assert_frame_equal(limited.df(), expected, check_dtype=False)  # without NULL, int32 is no float64
    pd.testing.assert_frame_equal(query.head(n), limited.df())
    assert limited.count() == len(limited) == len(expected)
    assert bool(limited) == bool(n)
    assert list(limited) == limited.to_arrow().to_pylist()


@pytest.mark.some(4)
def test_a_plan_has_the_rows_of_the_limit(query):
    found, limited = placed(query.limit(7)), query.limit(7).df()
    assert len(found) == 7
    rows = limited.sort_values([*found.columns], ignore_index=True)
    pd.testing.assert_frame_equal(found, rows[[*found.columns]], check_dtype=False)


@pytest.mark.some(4)
def test_columns_are_those_of_the_rows_and_need_no_lake(query):
    assert query.columns == tuple(query.df().columns)
    assert SporaQuery("no such lake", query.selection).columns == query.columns


@pytest.mark.some(4)
def test_rows_are_plain_values_in_the_order_of_df(query, monkeypatch):
    monkeypatch.setattr(row_answers, "BATCH", 2)
    rows = list(query)
    kinds = {type(value) for row in rows for value in row.values()}
    assert kinds <= {str, int, float, type(None)}
    pd.testing.assert_frame_equal(pd.DataFrame(rows, columns=query.columns), query.df(), check_dtype=False)


def test_the_place_of_limit_among_the_verbs_does_not_matter(lake):
    early = tiles(lake).limit(4).where("age > 50").sample(9, seed=1)
    late = tiles(lake).where("age > 50").sample(9, seed=1).limit(4)
    assert early.selection == late.selection
    assert len(late) == 4
    pd.testing.assert_frame_equal(early.df(), tiles(lake).where("age > 50").sample(9, seed=1).df().head(4))


def test_of_several_limits_the_least_counts(lake):
    assert [len(tiles(lake).limit(a).limit(b)) for a, b in ((3, 8), (8, 3))] == [3, 3]
    assert len(tiles(lake).limit(3).head(8)) == 3


@pytest.mark.parametrize("n", [-1, 1.5, "3", True, None, float("nan"), [3]])
@pytest.mark.parametrize("verb", ["limit", "head"])
def test_a_limit_is_a_whole_number(lake, verb, n):
    with pytest.raises(ArgumentError, match=rf"^{verb}\(.*: expected a whole number of rows, at least 0\.$"):
        getattr(tiles(lake), verb)(n)


def test_numbers_of_other_libraries_are_numbers(lake):
    assert len(tiles(lake).limit(np.int32(3))) == len(tiles(lake).head(3.0)) == 3


def test_rows_that_share_their_identity_come_in_the_order_of_their_columns(lake):
    table = tiles(lake).select("age").limit(6).to_arrow()
    labels = pa.array([f"{i * 7 % 30:02}" for i in range(30)])
    rows = table.take([i % 6 for i in range(30)]).append_column("label", labels)
    query = SporaQuery.from_arrow(lake, rows).select("label")
    expected = rows.to_pandas().sort_values(["tile_id", "label"])["label"].tolist()
    assert query.df()["label"].tolist() == expected
    assert query.limit(7).df()["label"].tolist() == expected[:7]
    assert query.limit(7).plan().columns.column("label").to_pylist() == expected[:7]


def test_splits_and_patients_are_checked_of_all_rows_whatever_the_limit(lake):
    query = tiles(lake)
    table = query.select("patient_id").to_arrow()
    patients = [*table["patient_id"].to_pylist()[:-1], None]
    last = table.set_column(table.column_names.index("patient_id"), "patient_id", pa.array(patients))
    with pytest.raises(TableError, match=r"1 selected rows .* have no patient_id"):
        SporaQuery.from_arrow(lake, last).sample(per_patient=1).limit(1).count()
    assert query.split("test", by="tissue").limit(2).df()["tissue_id"].tolist() == ["alpha_0001", "alpha_0001"]


def test_masks_are_read_of_the_tissues_of_the_first_cells_alone(lake, monkeypatch):
    read = []
    load = cell_centroids.load_label_mask
    spy = lambda path, **told: read.append(path.stem) or load(path, **told)  # noqa: E731
    monkeypatch.setattr(cell_centroids, "load_label_mask", spy)
    query = SporaQuery(lake / "beta").modality("imc").cells(size=16).limit(5)
    assert len(query.plan()) == 5
    assert set(read) == {"beta_0000"}


def test_the_first_cells_of_masks_and_of_places_known_from_masks(lake):
    for query in (
        SporaQuery(lake).modality("imc").cells(size=16, source="masks"),
        SporaQuery(lake / "beta").modality("imc").cells(size=16).where("col > 40.5"),
    ):
        expected = placed(query).head(6)
        pd.testing.assert_frame_equal(placed(query.limit(6)), expected)
        with pytest.raises(QueryError, match="masks"):
            len(query.limit(6))


def test_what_a_limit_leaves_is_what_is_looked_at(lake):
    query = tiles(lake).limit(9)
    audit = query.audit()
    assert audit.totals["rows"], audit.totals["tissues"] == (9, 1)
    assert set(query.panel_overlap().columns) == {"alpha"}
    assert query.explain().estimated_rows <= 9
    assert len(query.to_torch()) == 9
    assert len(query.to_spora_dataset()) == 9


def test_a_limit_is_shown(lake):
    query = tiles(lake).limit(1234)
    assert "limit=1234" in repr(query)
    assert query.sql().endswith("LIMIT 1234")
    assert "the first 1,234 rows" in query._repr_html_()
    assert "limit" not in repr(tiles(lake))


def test_whether_there_is_a_row_is_not_counted(lake, monkeypatch):
    monkeypatch.setattr(SporaQuery, "count", lambda _: pytest.fail("counted"))
    assert tiles(lake)
    assert not tiles(lake).where("age > 1000")
    assert not tiles(lake).where("cancer_type = 'no such'")  # and no warning: it is a question


def test_an_empty_query_warns_where_it_was_asked(lake):
    empty = tiles(lake).where("cancer_type = 'LUADD'")
    for ask in (len, SporaQuery.count, SporaQuery.df, SporaQuery.head, iter, SporaQuery.plan):
        with pytest.warns(UserWarning, match="Did you mean 'LUAD'") as caught:
            ask(empty)
        assert {warning.filename for warning in caught} == {__file__}


def test_what_a_query_does_not_answer(lake):
    query = tiles(lake)
    with pytest.raises(ArgumentError, match=r"'alpha_0000' in query: expected a condition.*\.where\("):
        assert "alpha_0000" in query
    for index in (0, slice(0, 3)):
        with pytest.raises(TypeError, match="'SporaQuery' object is not subscriptable"):
            query[index]


def test_numpy_takes_a_query_for_one_thing(lake, monkeypatch):
    query = tiles(lake)
    for asked in ("to_arrow", "count"):
        monkeypatch.setattr(SporaQuery, asked, lambda _: pytest.fail("asked the lake"))
    assert np.asarray(query).shape == ()
    assert np.array([query, query.limit(3)], dtype=object).shape == (2,)
    assert pd.Series([query, query]).tolist() == [query, query]
    assert pd.DataFrame({"query": [query]})["query"][0] is query


def test_being_looked_at_asks_nothing(lake, monkeypatch):
    pretty = pytest.importorskip("rich.pretty")
    monkeypatch.setattr(SporaQuery, "to_arrow", lambda _: pytest.fail("asked the lake"))
    monkeypatch.setattr(SporaQuery, "count", lambda _: pytest.fail("asked the lake"))
    query = tiles(lake)
    assert "SporaQuery" in pretty.pretty_repr(query)
    assert repr(query) == str(query)
    assert query == tiles(lake)
    assert query.columns[0] == "dataset"


def test_pandas_makes_a_frame_of_a_query(lake):
    query = tiles(lake).limit(5)
    pd.testing.assert_frame_equal(pd.DataFrame(query), query.df(), check_dtype=False)


def counted(lake: str) -> None:
    assert SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0).count() == 72


@pytest.mark.some(2)
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_no_database_is_open_while_rows_are_looped_over(lake, method):
    """In the loop others may be asked, processes forked, and the loop broken off."""
    context = multiprocessing.get_context(method)
    for row in tiles(lake):
        assert tiles(lake).where("tile_id = 0").count() == 8
        process = context.Process(target=counted, args=(str(lake),))
        process.start()
        process.join(60)
        assert process.exitcode == 0
        assert row["tissue_id"] == "alpha_0000"
        break
    assert tiles(lake).count() == 72


def test_a_subclass_keeps_its_class_and_its_count(lake):
    class Own(SporaQuery):
        def count(self) -> int:
            return 5

    own = Own(lake).modality("imc").tiles(size=32, mpp=1.0).limit(2)
    assert type(own) is Own
    assert len(own) == 5
    assert inspect.signature(own.limit) == inspect.signature(SporaQuery(lake).limit)
