import hashlib
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lakes import write_lake
from spora_db import SporaQuery
from spora_db.errors import ArgumentError, QueryError, SporaError, StatisticsNotFoundError, UnknownNameError


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("query") / "lake")


@pytest.fixture
def query(lake: Path) -> SporaQuery:
    return SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0)


@pytest.fixture(scope="module")
def tiles(lake: Path) -> pd.DataFrame:
    """All IMC tiles with their tissue's columns, joined by pandas: the oracle."""
    frames = []
    for base in sorted(lake.iterdir()):
        coordinates = pd.read_parquet(base / "tiling/1_0mpp/default/32_tile_coordinates.parquet")
        tissues = pd.read_parquet(base / "metadata/tissues.parquet").query("modality == 'imc'")
        frames.append(coordinates.merge(tissues, on="tissue_id").assign(dataset=base.name))
    return pd.concat(frames).sort_values(["dataset", "tissue_id", "tile_id"], ignore_index=True)


def key(frame: pd.DataFrame) -> list[tuple[str, str, int]]:
    return list(zip(frame["dataset"], frame["tissue_id"], frame["tile_id"], strict=True))


def pixels_digest(asked: SporaQuery) -> str:
    """Return a digest of rows and pixels of all samples."""
    digest = hashlib.sha256()
    for sample in asked.to_torch():
        digest.update(f"{sample['tissue_id']}|{sample['tile_id']}|{sample['channel_names']}".encode())
        digest.update(sample["image"].numpy().tobytes())
    return digest.hexdigest()


def sample_key(seed: int, dataset: str, tissue_id: str, tile_id: int) -> str:
    return hashlib.md5(f"spora-db/1|{seed}|{dataset}|{tissue_id}|{tile_id}".encode()).hexdigest()


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("condition", "mask"),
    [
        ("cancer_type = 'LUAD'", lambda f: f.cancer_type == "LUAD"),
        ("age > 50 AND split = 'train'", lambda f: (f.age > 50) & (f.split == "train")),
        ('"X..spots" BETWEEN 1 AND 2', lambda f: f["X..spots"].between(1, 2)),
        ("tiles.row = 32 OR col = 0", lambda f: (f.row == 32) | (f.col == 0)),
        ("lower(dataset) LIKE 'a%'", lambda f: f.dataset == "alpha"),
        ("tissue_id IN (SELECT tissue_id FROM tissues WHERE age = 40)", lambda f: f.age == 40),
        ("age > 1000", lambda f: f.age > 1000),
        (
            "EXISTS (SELECT 1 FROM tissues AS t WHERE t.tissue_id = tiles.tissue_id AND t.age > 50)",
            lambda f: f.age > 50,
        ),
        (
            "age > (SELECT min(t.age) FROM tissues AS t WHERE t.dataset = Tissues.dataset)",
            lambda f: f.age > 40,
        ),
        (
            "tile_id = (SELECT max(tile_id) FROM (SELECT tiles.tile_id FROM tiles WHERE tiles.row = 0) AS first_rows)",
            lambda f: f.tile_id == 2,
        ),
    ],
)
def test_where_selects_what_pandas_selects(query, tiles, condition, mask):
    found = query.where(condition)
    expected = tiles[mask(tiles)]
    assert found.count() == len(expected)
    assert key(found.df()) == key(expected)


def test_rows_carry_identity_and_selected_columns_in_order(query, tiles):
    frame = query.select("cancer_type", "age").df()
    assert list(frame) == [
        "dataset", "modality", "mpp", "strategy", "tile_size", "tissue_id", "tile_id", "row", "col",
        "cancer_type", "age",
    ]  # fmt: skip
    for column in ("row", "col", "cancer_type", "age"):
        assert frame[column].tolist() == tiles[column].tolist()
    assert query.to_arrow().num_rows == len(tiles)


def test_conditions_and_splits_add_up(query, tiles):
    found = query.where("age > 40").where("age < 70").split("test").df()
    assert key(found) == key(tiles[(tiles.age > 40) & (tiles.age < 70) & (tiles.split == "test")])


def test_sample_is_the_smallest_hashes(query, tiles):
    hashes = [sample_key(3, *item) for item in key(tiles)]
    chosen = sorted(range(len(tiles)), key=hashes.__getitem__)[:20]
    assert key(query.sample(20, seed=3).df()) == key(tiles.loc[sorted(chosen)])


def test_sample_by_groups_is_even_and_fills_up(query, tiles):
    found = query.where("dataset = 'beta' OR tissue_id = 'alpha_0000' AND tile_id < 3").sample(20, by="dataset").df()
    assert found.groupby("dataset").size().to_dict() == {"alpha": 3, "beta": 17}
    even = query.sample(20, by=["dataset", "cancer_type"]).select("cancer_type").df()
    assert set(even.groupby(["dataset", "cancer_type"]).size()) == {5}


def test_sample_of_other_cohorts_does_not_change_a_cohorts_share(lake, query, tmp_path):
    both = query.sample(10, by="dataset", seed=1).where("dataset = 'alpha'")
    alone = SporaQuery(lake / "alpha").modality("imc").tiles(size=32).sample(5, seed=1).df()
    together = query.sample(10, by="dataset", seed=1).df().query("dataset == 'alpha'")
    assert key(alone) == key(together)
    assert both.count() == 10


@pytest.mark.parametrize(
    ("require", "tissues"),
    [(["CD3e"], 6), (["P07766"], 6), (["CD8"], 8), (["P01732"], 8), (["P01732-2", "CD3e"], 6)],
)
def test_require_keeps_tissues_that_offer_the_markers(query, require, tissues):
    assert query.channels(require=require).df()["tissue_id"].nunique() == tissues


def test_require_looks_at_the_kind(query):
    assert query.channels(require=["Bad"]).count() > 0
    assert query.channels(kind="qc_filtered", require=["Bad"]).count() == 0
    assert query.channels(kind="uniprot_filtered", require=["DNA"]).count() == 0
    nuclear = query.channels(kind="uniprot_filtered", require=["P68431"], replace_nuclear_uniprot_ids=True)
    assert nuclear.df()["tissue_id"].nunique() == 8


@pytest.mark.some(4)
@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda q: q.modality("codex"), UnknownNameError, ["codex", "he", "imc"]),
        (lambda q: q.modality("imc", "IMC"), ArgumentError, ["twice", "imc"]),
        (lambda q: q.modality("IMC").tiles(size=64), QueryError, ["size=32", "spora-db tile"]),
        (lambda q: q.tiles(size=32, mpp=0.5), QueryError, ["mpp=1.0"]),
        (lambda q: q.tissues(mpp=0.5), UnknownNameError, ["1.0"]),
        (lambda q: q.split("trian"), UnknownNameError, ["train"]),
        (lambda q: q.where("cancr_type = 'LUAD'"), UnknownNameError, ["cancer_type"]),
        (lambda q: q.where("age > 1; DROP TABLE x"), QueryError, []),
        (lambda q: q.where("age IN (SELECT a FROM read_parquet('/etc/passwd'))"), QueryError, ["read_parquet"]),
        (lambda q: q.channels(require=["CD33e"]), UnknownNameError, ["CD3e"]),
        (lambda q: q.select("agee"), UnknownNameError, ["age"]),
        (lambda q: q.sample(3, by="datset"), UnknownNameError, ["dataset"]),
        (lambda q: q.standardize("imagenet"), ArgumentError, ["imagenet", "imc"]),
        (lambda q: q.modality("he").standardize("quantile_clipping/uq_0.99_image"), ArgumentError, ["hibou"]),
        (lambda q: q.modality("he").channels(require=["CD3e"]), ArgumentError, ["panel"]),
        (lambda q: q.where("random() < 0.5"), QueryError, ["random()", ".sample(n, seed=)"]),
        (
            lambda q: q.where("tissue_id IN (SELECT tissue_id FROM tissues USING SAMPLE 2)"),
            QueryError,
            ["a sample clause"],
        ),
    ],
)
def test_mistakes_are_named_with_what_exists(query, build, error, words):
    with pytest.raises(error) as caught:
        build(query).count()
    assert isinstance(caught.value, SporaError)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    "build",
    [
        lambda q: q.modality(),
        lambda q: q.modality("imc", "imc"),
        lambda q: q.tiles(size=0),
        lambda q: q.tiles(mpp="fine"),
        lambda q: q.sample(0),
        lambda q: q.split(),
        lambda q: q.select(["age"]),
        lambda q: q.channels(kind="all"),
        lambda q: q.channels(names="CD3e"),
        lambda q: q.standardize("quantile_cliping/uq_0.99_image"),
        lambda q: q.standardize("quantile_clipping/uq_1.99_image"),
    ],
)
def test_verbs_refuse_what_makes_no_sense(query, build):
    with pytest.raises((ArgumentError, UnknownNameError)):
        build(query)


def test_missing_statistics_are_an_error_that_names_the_command(query):
    with pytest.raises(StatisticsNotFoundError, match="spora-db standardize"):
        query.standardize("quantile_clipping/uq_0.95_image").plan()


def test_verbs_return_new_queries(query):
    narrower = query.where("age > 50")
    assert narrower is not query
    assert query.selection.conditions == ()
    assert pickle.loads(pickle.dumps(narrower)) == narrower
    assert narrower.count() < query.count()


class Lung(SporaQuery):
    """A query with a verb of its own."""

    __slots__ = ()

    def lung(self) -> "Lung":
        return self.where("cancer_type IN ('LUAD', 'LUSC')")


def test_a_subclass_adds_a_verb_which_all_others_keep(lake, query):
    plain = query.where("cancer_type IN ('LUAD', 'LUSC')")
    own = Lung(query.lake, query.selection).lung()
    assert own.selection == plain.selection
    assert isinstance(own.split("train").sample(3), Lung)
    assert isinstance(Lung.from_sql(lake, "SELECT dataset, tissue_id FROM tissues"), Lung)
    assert own.df().equals(plain.df())
    assert repr(pickle.loads(pickle.dumps(own))) == repr(own)


def test_sql_runs_as_shown(lake, query, tiles):
    from spora_db import Catalog

    shown = query.where("age > 50").sample(7, by="dataset", seed=2)
    with Catalog(lake) as catalog:
        assert catalog.sql(shown.sql()).df().equals(shown.df())


def test_explain_shows_sql_and_plan(query):
    text = str(query.where("age > 50").explain())
    assert '"age" > 50' in text or "age > 50" in text
    assert "PARQUET" in text.upper()


def test_rows_of_other_engines_may_bring_half_precision(lake):
    import pyarrow as pa

    rows = (
        SporaQuery(lake).modality("imc").tiles(size=32).df().head(4)[["dataset", "tissue_id", "tile_id", "row", "col"]]
    )
    halves = np.array([0.5, 1.5, 65504, np.nan], np.float16)
    vectors = pa.LargeListArray.from_arrays(np.arange(5), pa.array(halves))
    table = pa.Table.from_pandas(rows).append_column("score", pa.array(halves)).append_column("vector", vectors)
    query = SporaQuery.from_arrow(lake, table).modality("imc").tiles(size=32)
    found = query.label("score", missing=-1).select("vector").plan()
    np.testing.assert_array_equal(found.labels.of("score"), halves.astype(np.float32))
    assert len(query.exclude(table.slice(1))) == 1


def test_from_sql_and_from_arrow_are_the_same_question(lake, query):
    text = "SELECT dataset, tissue_id, tile_id, \"row\", col FROM tiles WHERE modality = 'imc' AND age > 50"
    by_sql = SporaQuery.from_sql(lake, text).modality("imc")
    by_arrow = SporaQuery.from_arrow(lake, by_sql.to_arrow().select(["dataset", "tissue_id", "tile_id", "row", "col"]))
    expected = query.where("age > 50")
    for other in (by_sql, by_arrow.modality("imc").tiles(size=32, mpp=1.0)):
        assert key(other.df()) == key(expected.df())
        assert other.plan().hash == expected.plan().hash


def test_rows_of_several_modalities_or_none_say_what_to_choose(lake):
    rows = SporaQuery(lake).modality(("he", "imc")).tiles(size=32, mpp=1.0).to_arrow()
    with pytest.raises(QueryError) as caught:
        SporaQuery.from_arrow(lake, rows).count()
    assert ".modality(('he', 'imc'))" in str(caught.value)
    assert SporaQuery.from_arrow(lake, rows).modality(("he", "imc")).count() == rows.num_rows
    with pytest.raises(QueryError, match="rows are empty"):
        SporaQuery.from_arrow(lake, rows.slice(0, 0)).count()
    assert SporaQuery.from_arrow(lake, rows.slice(0, 0)).modality("imc").count() == 0


def test_from_sql_needs_the_identity(lake):
    with pytest.raises(QueryError, match="tile_id"):
        SporaQuery.from_sql(lake, "SELECT dataset, tissue_id FROM tissues").modality("imc").count()
    tissues = SporaQuery.from_sql(lake, "SELECT dataset, tissue_id FROM tissues WHERE modality = 'imc'").modality("imc")
    assert tissues.tissues().count() == 8
    with pytest.raises(QueryError):
        SporaQuery.from_sql(lake, "COPY tiles TO 'x'").modality("imc").count()


def test_several_modalities_are_paired(lake):
    pairs = SporaQuery(lake).modality("imc", "he").tiles(size=32)
    assert pairs.df()["tissue_id"].nunique() == 6
    kept = SporaQuery(lake).modality("imc", "he", missing="keep").tiles(size=32)
    assert kept.df()["tissue_id"].nunique() == 8
    either = SporaQuery(lake).modality(("imc", "he")).tiles(size=32)
    assert either.count() == (8 + 6) * 9
    assert (kept.plan().image == -1).any(axis=1).sum() == 2 * 9


def test_plan_is_small_and_equal_everywhere(lake, query, tmp_path):
    asked = query.channels(kind="uniprot_filtered").standardize("quantile_clipping/uq_0.99_image").select("age")
    plan = asked.plan()
    assert plan.nbytes <= 32 * len(plan)
    copy = tmp_path / "elsewhere"
    shutil.copytree(lake, copy)
    moved = SporaQuery(copy, asked.selection).plan()
    again = pickle.loads(pickle.dumps(plan))
    script = (
        "import pickle, sys; from spora_db import SporaQuery; query = pickle.loads(sys.stdin.buffer.read());"
        "print(query.plan().hash)"
    )
    other = subprocess.run(
        [sys.executable, "-c", script], input=pickle.dumps(asked), capture_output=True, check=True
    ).stdout.decode()
    assert {plan.hash, moved.hash, again.hash, other.strip()} == {plan.hash}
    assert np.array_equal(plan.row, moved.row)
    assert asked.where("age > 40").plan().hash != plan.hash
    assert asked.standardize("identity").plan().hash != plan.hash


@pytest.mark.slow
def test_the_order_of_listings_and_another_process_change_neither_rows_nor_pixels(lake, query, monkeypatch, backwards):
    asked = query.standardize("quantile_clipping/uq_0.99_image").sample(9, by="dataset")
    plan, frame, digest = asked.plan(), asked.df(), pixels_digest(asked)
    backwards()
    assert asked.plan().hash == plan.hash
    assert asked.df().equals(frame)
    assert pixels_digest(asked) == digest
    monkeypatch.undo()
    script = (
        "import pickle, sys\nsys.path.insert(0, sys.argv[1])\nfrom test_query import pixels_digest\n"
        "print(pixels_digest(pickle.loads(sys.stdin.buffer.read())))"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent)]
    other = subprocess.run(command, input=pickle.dumps(asked), capture_output=True, check=True).stdout.decode()
    assert other.strip() == digest


def test_plan_keeps_the_order_of_df(query):
    frame, plan = query.df(), query.plan()
    tissues = pa.array(plan.images.column("tissue_id")).take(pa.array(plan.image[:, 0])).to_pylist()
    assert tissues == frame["tissue_id"].tolist()
    assert plan.tile_id.tolist() == frame["tile_id"].tolist()
    assert plan.row.tolist() == frame["row"].tolist()


def test_no_rows_is_an_error_only_when_training(query):
    nothing = query.where("age > 1000")
    assert nothing.count() == 0
    assert nothing.df().empty
    with pytest.raises(QueryError, match="no tiles"):
        nothing.to_torch()
