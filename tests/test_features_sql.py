"""Feature sets in SQL: told in `features`, their vectors as arrays, whichever layer they lie in."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_lakes import EMBEDDING, SCORE, write_features
from spora_db import Catalog, SporaQuery
from spora_db.errors import FileFormatError, QueryError, TableError, UnknownNameError
from spora_db.feature_sets import FeatureSet
from spora_db.layout import feature_folder, feature_part

LUNG = FeatureSet(
    name="own-tile", dataset="lung_imc", grain="tile", columns=(EMBEDDING, SCORE), expected=35, state="complete",
    model="net", modalities=("imc",), mpp=1.0, strategy="default", tile_size=128, spec="identity", failed=1,
)  # fmt: skip
TONSIL = replace(LUNG, dataset="tonsil_codex", modalities=("codex",), expected=30, state="running")


@pytest.fixture(scope="module")
def layers(lake_of_examples: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], pd.DataFrame]:
    """Return the layers of a lake with features, and what these are."""
    above = tmp_path_factory.mktemp("features") / "above"
    made = []
    for features, number in ((LUNG, 35), (TONSIL, 15)):
        rows = SporaQuery(lake_of_examples).modality(*features.modalities).tiles(size=128, mpp=1.0).df()
        made.append(write_features(above / features.dataset, features, rows.head(number), part=16))
    return [lake_of_examples, above], pd.concat(made, ignore_index=True)


def test_sets_are_told_with_their_coverage(layers: tuple[list[Path], pd.DataFrame]) -> None:
    with Catalog(layers[0]) as catalog:
        told = catalog.sql("SELECT * FROM features ORDER BY dataset").df()
    assert told["dataset"].tolist() == ["lung_imc", "tonsil_codex"]
    assert told["n_rows"].tolist() == [35, 15]
    assert told["coverage"].tolist() == [1.0, 0.5]
    assert told["dimension"].tolist() == [4, 4]
    assert told["columns"].map(list).tolist() == [["embedding[4]", "score"]] * 2
    assert told["state"].tolist() == ["complete", "running"]
    assert told["root"].tolist() == [str(layers[0][1])] * 2


FORMS = ["feature('own-tile')", '"feature_own-tile"', "feature('OWN-TILE')"]


@pytest.mark.parametrize("form", FORMS)
def test_vectors_are_arrays_of_their_length(layers: tuple[list[Path], pd.DataFrame], form: str) -> None:
    with Catalog(layers[0]) as catalog:
        types = dict(
            catalog.sql(f"DESCRIBE SELECT embedding, score FROM {form}").df()[["column_name", "column_type"]].values
        )
        found = catalog.sql(f"SELECT * FROM {form} ORDER BY dataset, tissue_id, tile_id").df()
    assert types == {"embedding": "FLOAT[4]", "score": "FLOAT"}
    expected = layers[1].sort_values(["dataset", "tissue_id", "tile_id"], ignore_index=True)
    assert np.array_equal(np.stack(found["embedding"]), np.stack(expected["embedding"]))
    names = ["dataset", "tissue_id", "mpp", "strategy", "tile_size", "tile_id", "row", "col", "score"]
    pd.testing.assert_frame_equal(found[names], expected[names], check_dtype=False)


def test_they_join_with_tiles_and_what_is_known_of_tissues(layers: tuple[list[Path], pd.DataFrame]) -> None:
    text = """
        SELECT cancer_type, count(*) AS n, avg(array_inner_product(embedding, embedding)) AS norm
        FROM feature('own-tile') JOIN tiles USING (dataset, tissue_id, mpp, strategy, tile_size, tile_id)
        WHERE modality = 'imc' GROUP BY cancer_type ORDER BY ALL
    """
    with Catalog(layers[0]) as catalog:
        found = catalog.sql(text).df()
        tissues = catalog.sql("SELECT tissue_id, cancer_type FROM tissues WHERE modality = 'imc'").df()
    made = layers[1].query("dataset == 'lung_imc'").merge(tissues, on="tissue_id")
    norms = made["embedding"].map(lambda vector: float(np.square(vector, dtype=np.float64).sum()))
    expected = norms.groupby(made["cancer_type"]).agg(["size", "mean"])
    assert found["n"].tolist() == expected["size"].tolist()
    np.testing.assert_allclose(found["norm"], expected["mean"], rtol=1e-6)


def test_queries_may_be_built_on_them(layers: tuple[list[Path], pd.DataFrame]) -> None:
    text = "SELECT dataset, tissue_id, tile_id, \"row\", col, score FROM feature('own-tile') WHERE score > 0"
    query = SporaQuery.from_sql(layers[0], text).modality("imc", "codex", missing="keep").tiles(size=128, mpp=1.0)
    assert len(query) == int((layers[1]["score"] > 0).sum())


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("FROM feature('othe')", UnknownNameError),
        ("FROM feature(dataset)", UnknownNameError),
        ("SELECT feature('own-tile')", QueryError),
        ("FROM query_table('tissues')", QueryError),
        ("FROM main.feature('own-tile')", QueryError),
    ],
)
def test_what_names_no_set_is_refused(
    layers: tuple[list[Path], pd.DataFrame], text: str, kind: type[Exception]
) -> None:
    with Catalog(layers[0]) as catalog, pytest.raises(kind):
        catalog.sql(text).fetchall()


def test_a_lake_without_features_has_the_relation(lake_of_examples: Path) -> None:
    with Catalog(lake_of_examples) as catalog:
        assert catalog.sql("FROM features").fetchall() == []


def write(folder: Path, features: FeatureSet) -> pd.DataFrame:
    rows = pd.DataFrame({
        "tissue_id": ["a", "b"], "mpp": 1.0, "strategy": "default", "tile_size": 64, "tile_id": 0, "row": 0, "col": 0
    })  # fmt: skip
    (folder / features.dataset / "metadata").mkdir(parents=True, exist_ok=True)
    return write_features(folder / features.dataset, features, rows)


def test_sets_of_one_name_are_alike_in_all_datasets(tmp_path: Path) -> None:
    write(tmp_path, LUNG)
    write(tmp_path, replace(TONSIL, columns=(SCORE,)))
    with (
        Catalog(tmp_path) as catalog,
        pytest.raises(TableError, match=r"embedding\[4\], score of tiles.*score of tiles"),
    ):
        catalog.sql("FROM feature('own-tile')")


def test_a_part_that_is_not_as_told_is_refused(tmp_path: Path) -> None:
    write(tmp_path, LUNG)
    part = feature_folder(tmp_path / "lung_imc", "own-tile") / feature_part(0, 1)
    pd.DataFrame({"tissue_id": ["a"]}).to_parquet(part)
    with Catalog(tmp_path) as catalog, pytest.raises(FileFormatError, match=r"by features\.json expected"):
        catalog.sql("FROM feature('own-tile')")
    part.write_bytes(b"PAR1")
    with Catalog(tmp_path) as catalog, pytest.raises(FileFormatError, match="cannot be read as parquet"):
        catalog.sql("FROM feature('own-tile')")


def test_nan_in_a_vector_is_seen_and_lies_between_no_numbers(tmp_path: Path) -> None:
    write(tmp_path, LUNG)
    part = feature_folder(tmp_path / "lung_imc", "own-tile") / feature_part(0, 1)
    table = pq.read_table(part)
    vectors = pa.array([[1, np.nan, 0, 0], [0, 0, 0, 0]], pa.list_(pa.float32(), 4)).cast(pa.list_(pa.float16(), 4))
    pq.write_table(table.set_column(table.column_names.index("embedding"), "embedding", vectors), part)
    seen, between = "count(*) FILTER (isnan(embedding[2]))", "count(*) FILTER (embedding[2] BETWEEN 0 AND 1)"
    text = f"SELECT {seen}, {between}, max(embedding[2])"
    with Catalog(tmp_path) as catalog:
        found = catalog.sql(f"{text} FROM feature('own-tile')").fetchall()[0]
        assert found[:2] == (1, 1)
        assert np.isnan(found[2])
        assert catalog.sql("SELECT count(*) FROM feature('own-tile') WHERE isnan(embedding[2])").fetchall() == [(1,)]
        assert catalog.sql("SELECT count(*) FROM feature('own-tile') WHERE embedding[2] <= 1").fetchall() == [(1,)]
