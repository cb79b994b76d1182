"""`validate` and feature sets: each fault is told once, and a set without one is passed over in silence."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_lakes import EMBEDDING, SCORE, write_features
from spora_db.feature_sets import FeatureSet, described
from spora_db.layout import FEATURES_FILE, feature_folder, feature_part
from spora_db.validation import validate

MADE = FeatureSet(
    name="own", dataset="lung", grain="tile", columns=(EMBEDDING, SCORE), expected=6, state="complete",
    mpp=1.0, strategy="default", tile_size=64,
)  # fmt: skip


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    tiles = pd.DataFrame(
        {"tissue_id": ["a"] * 3 + ["b"] * 3, "tile_id": [0, 1, 2] * 2, "row": 0, "col": [0, 64, 128] * 2}
    )
    folder = tmp_path / "lung" / "tiling" / "1_0mpp" / "default"
    folder.mkdir(parents=True)
    (tmp_path / "lung" / "metadata").mkdir()
    tiles.to_parquet(folder / "64_tile_coordinates.parquet")
    pd.DataFrame({"tissue_id": ["a", "b"]}).to_parquet(tmp_path / "lung" / "metadata" / "tissues.parquet")
    write_features(tmp_path / "lung", MADE, tiles.assign(mpp=1.0, strategy="default", tile_size=64), part=3)
    return tmp_path


def found(lake: Path, *, deep: bool = False) -> dict[str, str]:
    told = validate(lake, deep=deep)
    return {finding.rule: finding.reason for finding in told if "/features" in finding.file}


FIRST, SECOND = feature_part(0, 2), feature_part(3, 5)


def described_as(**changes: object) -> Callable[[Path], object]:
    return lambda folder: (folder / FEATURES_FILE).write_text(described(replace(MADE, **changes)))  # type: ignore[arg-type]


def rewrite(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], object]:
    return lambda folder: pq.write_table(change(pq.read_table(folder / FIRST)), folder / FIRST)


def with_column(name: str, values: list[object]) -> Callable[[Path], object]:
    def change(table: pa.Table) -> pa.Table:
        at = table.column_names.index(name)
        return table.set_column(at, name, pa.array(values, table.schema.field(name).type))

    return rewrite(change)


FAULTS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "a part is gone": (lambda folder: (folder / SECOND).unlink(), "feature_rows", "3 of 6 rows, and is complete"),
    "it is running": (described_as(state="running"), "feature_rows", "6 of 6 rows, and is running"),
    "a part is broken": (lambda folder: (folder / FIRST).write_bytes(b"PAR1"), "feature_parts", "cannot be read"),
    "a part lacks rows": (rewrite(lambda table: table.slice(1)), "feature_parts", "2 rows; by its name expected 3"),
    "parts overlap": (lambda folder: (folder / SECOND).rename(folder / feature_part(2, 4)), "feature_parts", "row 2"),
    "a tile twice": (with_column("tile_id", [0, 0, 2]), "feature_parts", "More than once it has features of 1 tile"),
    "no such tile": (with_column("tile_id", [0, 1, 9]), "feature_orphans", "does not have the tiles of 1 row"),
    "a tile that says nothing": (
        with_column("tile_id", [None, 1, 2]),
        "feature_parts",
        "'tile_id' says nothing in 1 row",
    ),
    "other columns": (rewrite(lambda table: table.drop_columns("score")), "feature_sets", "expected tissue_id"),
    "no description": (lambda folder: (folder / FEATURES_FILE).write_text("{"), "feature_sets", "no JSON"),
}


@pytest.mark.some(3)
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_told(lake: Path, fault: str) -> None:
    make, rule, said = FAULTS[fault]
    make(feature_folder(lake / "lung", "own"))
    told = found(lake)
    assert rule in told, told
    assert said in told[rule]


def test_a_set_without_faults_is_passed_over(lake: Path) -> None:
    assert found(lake, deep=True) == {}


def test_numbers_are_read_on_request(lake: Path) -> None:
    with_column("score", [0.5, float("nan"), float("inf")])(feature_folder(lake / "lung", "own"))
    assert found(lake) == {}
    assert found(lake, deep=True) == {"feature_values": "2 rows of it have NaN or infinite features."}


@pytest.mark.parametrize("kind", [pa.list_(pa.float16(), 4), pa.list_(pa.float32(), 4), pa.list_(pa.float16())])
def test_vectors_that_no_plan_takes_are_told(lake: Path, kind: pa.DataType) -> None:
    def other(table: pa.Table) -> pa.Table:
        own = table.column("embedding").to_pylist()
        own[0] = None if kind == table.schema.field("embedding").type else own[0]
        return table.set_column(table.column_names.index("embedding"), "embedding", pa.array(own, kind))

    rewrite(other)(feature_folder(lake / "lung", "own"))
    assert "'embedding' is " in found(lake, deep=True)["feature_parts"]
