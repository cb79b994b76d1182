"""Which rows to label next, against numpy: by entropy and margin, in turns of classes, and greedy k-center."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_lakes import tiles
from lakes import write_lake
from spora_db import Catalog, SporaQuery
from spora_db.choosing import different
from spora_db.choosing.different import farthest_first
from spora_db.errors import ArgumentError, QueryError, TableError, UnknownNameError

KEYS = ["dataset", "tissue_id", "tile_id"]
ROWS = 54


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("choosing")
    return [write_lake(folder / "lake", tissues=3, size=96), folder / "mine"]


def keep(lake: list[Path], name: str, **columns: np.ndarray) -> None:
    """Keep arrays as the features of all rows."""
    left = [{key: torch.from_numpy(values[i : i + 9]) for key, values in columns.items()} for i in range(0, ROWS, 9)]
    tiles(lake[0]).extract(
        lambda batch: left.pop(0), name=name, into=lake[1], dtype="float32", batch_size=9, allow_nan=True
    )


@pytest.fixture(scope="module")
def made(lake: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Return scores of three classes and vectors of all rows, some of which are equal."""
    draw = np.random.default_rng(5)
    scores = draw.dirichlet([0.5] * 3, ROWS).astype(np.float32)
    scores[20], scores[33], scores[7] = scores[3], scores[3], [0, 0, 1]
    vectors = draw.integers(-3, 4, (ROWS, 6)).astype(np.float32)
    vectors[~vectors.any(axis=1), 0] = 1
    keep(lake, "scores", p=scores)
    keep(lake, "numbers", a=scores[:, 0].copy(), b=scores[:, 1].copy(), c=scores[:, 2].copy())
    keep(lake, "vectors", vector=vectors)
    broken = vectors / 1
    broken[4], broken[9, 2] = 0, np.nan
    keep(lake, "broken", vector=broken)
    return scores, vectors


def uncertainty(scores: np.ndarray, measure: str) -> np.ndarray:
    own = scores.astype(np.float64)
    if measure == "margin":
        ordered = np.sort(own, axis=1)
        return 1 - (ordered[:, -1] - ordered[:, -2])
    return -np.sum(np.where(own > 0, own * np.log(np.where(own > 0, own, 1)), 0), axis=1)


@pytest.mark.some(3)
@pytest.mark.parametrize("measure", ["entropy", "margin"])
@pytest.mark.parametrize("condition", ["true", "dataset = 'beta' AND row > 0"])
@pytest.mark.parametrize("name", ["scores", "numbers"])
def test_the_most_uncertain_are_those_of_numpy(lake: Any, made: Any, measure: Any, condition: str, name: str) -> None:
    every = tiles(lake).df()
    inside = np.ones(ROWS, bool) if condition == "true" else (every["dataset"] == "beta") & (every["row"] > 0)
    expected = uncertainty(made[0], measure)
    order = [row for row in np.lexsort((np.arange(ROWS), -expected)) if inside[row]][:7]
    chosen = tiles(lake).where(condition).select("age").most_uncertain(7, scores=name, measure=measure)
    found = chosen.df()
    assert found[KEYS].to_numpy().tolist() == every.loc[sorted(order)][KEYS].to_numpy().tolist()
    assert np.allclose(found["uncertainty"], expected[sorted(order)], atol=1e-12)
    assert found["predicted"].tolist() == made[0].argmax(axis=1)[sorted(order)].tolist()
    assert len(chosen.where("uncertainty > 0").to_torch()) == 7
    again = chosen.most_uncertain(2, scores=name, measure=measure).df()  # of what was chosen
    assert again[KEYS].to_numpy().tolist() == every.loc[sorted(order[:2])][KEYS].to_numpy().tolist()


@pytest.mark.parametrize("n", [1, 5, 12, ROWS])
def test_classes_take_turns(lake: Any, made: Any, n: int) -> None:
    expected, classes = uncertainty(made[0], "entropy"), made[0].argmax(axis=1)
    queues = {own: [r for r in np.lexsort((np.arange(ROWS), -expected)) if classes[r] == own] for own in range(3)}
    taken: list[int] = []
    while len(taken) < n:
        turn = sorted((-expected[queue[0]], queue[0]) for queue in queues.values() if queue)
        for _, row in turn[: n - len(taken)]:
            taken.append(row)
            queues[classes[row]].pop(0)
    every = tiles(lake).df()
    found = tiles(lake).most_uncertain(n, scores="scores", balanced=True).df()
    assert found[KEYS].to_numpy().tolist() == every.loc[sorted(taken)][KEYS].to_numpy().tolist()


def test_scores_of_own_tables_and_of_sql(lake: Any, made: Any) -> None:
    rows = tiles(lake).df()[[*KEYS, "mpp", "strategy", "tile_size"]]
    own = rows.assign(**{f"p_{i}": made[0][:, i].astype(np.float64) for i in range(3)})
    columns = ["p_0", "p_1", "p_2"]
    chosen = tiles(lake).join("own", own).most_uncertain(5, scores=columns).df()
    assert chosen[KEYS].equals(tiles(lake).most_uncertain(5, scores="scores").df()[KEYS])
    with Catalog(lake) as catalog:
        keys = "dataset, tissue_id, tile_id"
        text = f"SELECT {keys}, row, col FROM feature('scores') ORDER BY score_entropy(p) DESC, {keys} LIMIT 5"
        found = SporaQuery.from_sql(lake, text)
        assert found.modality("imc").tiles(size=32, mpp=1.0).df()[KEYS].equals(chosen[KEYS])
        assert catalog.sql("SELECT score_entropy([0.5, 0.5]), score_margin([0.7, 0.2, 0.1]::FLOAT[3])").fetchall()[
            0
        ] == pytest.approx((np.log(2), 0.5))
        assert catalog.sql("SELECT score_entropy(NULL), score_margin(NULL), is_probabilities(NULL)").fetchall() == [
            (None, None, None)
        ]
        assert catalog.sql("SELECT score_entropy([NULL, NULL]), score_margin([NULL, NULL, NULL])").fetchall() == [
            (None, None)
        ]
        for wrong in ("[0.7]", "[0.7, NULL]", "['nan'::FLOAT, 1]", "[-0.1, 1.1]", "[2, 3]"):
            assert catalog.sql(f"SELECT is_probabilities({wrong})").fetchall() == [(False,)]
            with pytest.raises(QueryError, match="which are no probabilities"):
                catalog.sql(f"SELECT score_entropy({wrong})").fetchall()
    few = tiles(lake).join("own", own.head(20))
    with pytest.raises(TableError, match=r"34 rows of 54 have no p_0, p_1, p_2, the first of them .*'alpha_0002'"):
        few.most_uncertain(5, scores=columns)
    assert len(few.most_uncertain(5, scores=columns, missing="drop")) == 5
    nan = own.assign(p_1=np.where(rows.index == 3, np.nan, own["p_1"]))
    with pytest.raises(
        TableError, match=r"of 1 row are no probabilities, the first of .*'tile_id': 3.*none of them NaN"
    ):
        tiles(lake).join("own", pd.DataFrame(nan)).most_uncertain(5, scores=columns)


def test_no_column_of_a_users_is_taken_for_one_of_ours(lake: Any, made: Any) -> None:
    names = [
        "number",
        "scores",
        "place",
        "Similarity",
        "near_similarity",
        "difference",
        "PREDICTED",
        "beside",
        "measured",
    ]
    own = tiles(lake).df()[[*KEYS, "mpp", "strategy", "tile_size"]]
    own = own.assign(**{name: [f"{name} {row}" for row in range(ROWS)] for name in names})
    bare = tiles(lake)
    asked = bare.join("near", own).select(*(name for name in names if name not in ("Similarity", "difference")))
    for choose in (
        lambda query: query.most_uncertain(6, scores="scores"),
        lambda query: query.most_different(6, features="vectors", than=bare.limit(4)),
        lambda query: query.nearest(made[1][3], name="vectors", k=6),
    ):
        plain = choose(bare).df()
        found = choose(asked if "predicted" not in plain else asked._with(columns=("number", "scores", "place"))).df()
        pd.testing.assert_frame_equal(found[plain.columns], plain)
        said = own.merge(plain[KEYS], on=KEYS)
        for name in set(names) & set(found.columns) - set(plain.columns):
            assert found[name].tolist() == said[name].tolist(), name
    with pytest.raises(ArgumentError, match=r"a column 'PREDICTED', and the rows that were found have one .*your"):
        asked.most_uncertain(6, scores="scores")
    with pytest.raises(ArgumentError, match="asks for a column 'Similarity'"):
        bare.join("near", own).select("Similarity").nearest(made[1][3], name="vectors", k=6)


def greedy(vectors: np.ndarray, seen: np.ndarray, n: int) -> tuple[list[int], list[float]]:
    """Return k-center by loops over rows: each one's nearest center, then the row that is farthest from its own."""
    centers, rows, cosines = list(seen.astype(np.float64)), [], []
    for _ in range(n):
        best, at = np.inf, -1
        for row, vector in enumerate(vectors.astype(np.float64)):
            near = max(
                float(vector @ center / (np.sqrt(vector @ vector) * np.sqrt(center @ center))) for center in centers
            )
            if row not in rows and near < best:
                best, at = near, row
        rows.append(at)
        cosines.append(best)
        centers.append(vectors[at].astype(np.float64))
    return rows, cosines


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 4), st.integers(1, 20))
def test_farthest_first_is_that_of_loops(seed: int, count: int, before: int, size: int) -> None:
    """Of small whole numbers, whose sums are exact in any order, with many equal rows: the very same ones."""
    draw = np.random.default_rng(seed)
    vectors = draw.integers(-2, 3, (count + before, size)).astype(np.float32)
    vectors[~vectors.any(axis=1), 0] = 1
    n = int(draw.integers(1, count + 1))
    rows, cosines = farthest_first(vectors[before:], vectors[:before], n)
    expected = greedy(vectors[before:], vectors[:before], n)
    assert rows.tolist() == expected[0]
    assert np.allclose(cosines, expected[1], atol=1e-14)


def test_blocks_and_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(0).standard_normal((60, 21)).astype(np.float32)
    vectors[57] = vectors[5]
    whole = farthest_first(vectors, vectors[:3], 9)
    monkeypatch.setattr(different, "ROWS", 7)
    rows, cosines = farthest_first(vectors, vectors[:3], 9)
    assert rows.tolist() == whole[0].tolist() == greedy(vectors, vectors[:3], 9)[0]
    assert cosines.tolist() == whole[1].tolist()


def test_the_most_different_is_a_query(lake: Any, made: Any) -> None:
    every = tiles(lake).df()
    seen = tiles(lake).where("tissue_id = 'alpha_0000'")
    own = np.flatnonzero(every["tissue_id"] != "alpha_0000")
    rows, cosines = greedy(made[1][own], made[1][:9], 6)
    chosen = tiles(lake).label("cancer_type").most_different(6, features="vectors", than=seen)
    found = chosen.df().sort_values("turn")
    assert found[KEYS].to_numpy().tolist() == every.loc[own[rows]][KEYS].to_numpy().tolist()
    assert np.allclose(found["difference"], 1 - np.array(cosines), atol=1e-12)
    assert set(chosen.to_torch()[0]) >= {"difference", "turn", "cancer_type", "image"}
    again = chosen.most_different(2, features="vectors", than=seen).df().sort_values("turn")
    assert again[KEYS].to_numpy().tolist() == found[KEYS].to_numpy().tolist()[:2]


@pytest.mark.some(4)
@pytest.mark.parametrize(
    ("choose", "error", "said"),
    [
        (lambda q: q.most_uncertain(55, scores="scores"), QueryError, r"most_uncertain\(55\): there are 54 rows"),
        (lambda q: q.most_uncertain(0, scores="scores"), ArgumentError, "whole number of rows"),
        (lambda q: q.most_uncertain(3, scores="score"), UnknownNameError, "Did you mean 'scores'"),
        (lambda q: q.most_uncertain(3, scores="scores", column="q"), UnknownNameError, "column of vectors 'q'"),
        (lambda q: q.most_uncertain(3, scores=["p_0"]), ArgumentError, "a column for every class"),
        (lambda q: q.most_uncertain(3, scores=["p_0", "p_1"]), UnknownNameError, "'p_0'"),
        (lambda q: q.most_uncertain(3, scores="scores", measure="variance"), UnknownNameError, "variance"),
        (lambda q: q.most_uncertain(3, scores="vectors"), TableError, "are no probabilities, the first of"),
        (lambda q: q.most_different(3, features="vectors", than="q"), ArgumentError, "labelled already"),
        (lambda q: q.most_different(3, features="vector", than=q.limit(2)), UnknownNameError, "'vectors'"),
        (lambda q: q.most_different(53, features="vectors", than=q.limit(2)), QueryError, "there are 52 rows"),
        (lambda q: q.most_different(3, features="vectors", than=q.where('"row" < 0')), QueryError, "selects no rows"),
        (lambda q: q.most_different(3, features="broken", than=q.limit(2)), TableError, "2 rows are zero, or have NaN"),
        (
            lambda q: q.most_different(3, features="vectors", than=SporaQuery(q.lake).modality("imc").tissues(mpp=1.0)),
            ArgumentError,
            "it asks for tissues",
        ),
    ],
)
def test_what_cannot_be_chosen_is_told(lake: Any, made: Any, choose: Any, error: type, said: str) -> None:
    with pytest.raises(error, match=said):
        choose(tiles(lake))
