"""Feature sets as they lie in a lake: descriptions are read back, broken ones are told, layers never mix parts."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from spora_db.errors import FileFormatError
from spora_db.feature_sets import (
    FeatureColumn,
    FeatureSet,
    described,
    key_columns,
    part_rows,
    part_schema,
    read_feature_set,
)
from spora_db.layout import FEATURES_FILE, feature_folder, feature_part, scan

EMBEDDING = FeatureColumn(name="embedding", dimension=4, dtype="float16")
SCORE = FeatureColumn(name="score", dimension=None, dtype="float32")
MADE = FeatureSet(
    name="own", dataset="lung", grain="tile", columns=(EMBEDDING, SCORE), expected=3, mpp=1.0, tile_size=64
)


def write(root: Path, text: str, *parts: str) -> Path:
    folder = feature_folder(root / "lung", "own")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FEATURES_FILE).write_text(text, encoding="utf-8")
    for part in parts:
        (folder / part).write_bytes(b"")
    return folder


def test_a_description_is_read_as_it_was_written(tmp_path: Path) -> None:
    whole = replace(MADE, model="net", spec="identity", notes={"seed": [1, None]}, modalities=("he", "imc"))
    assert read_feature_set(write(tmp_path, described(whole)), dataset="lung") == whole
    assert part_schema(whole).names == [*key_columns("tile"), "embedding", "score"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"grain": "slide"}, "one of tile, cell, tissue"),
        ({"state": "half"}, "one of running, complete"),
        ({"expected": -1}, "a number of rows"),
        ({"expected": True}, "a number of rows"),
        ({"columns": []}, "at least one"),
        ({"columns": [{"name": "a", "dimension": 0, "dtype": "float16"}]}, "a dimension of 'a', at least 1"),
        ({"columns": [{"name": "a", "dimension": 2, "dtype": "int8"}]}, "one of float16, float32"),
        ({"columns": [{"name": "a", "dimension": 2}]}, "the fields of a feature set"),
        ({"format": 2}, "another format"),
        ({"surprise": 1}, "surprise"),
        ({"model": 7}, "a text as 'model'"),
    ],
)
def test_a_wrong_description_is_told(tmp_path: Path, change: dict[str, object], said: str) -> None:
    folder = write(tmp_path, json.dumps(json.loads(described(MADE)) | change))
    with pytest.raises(FileFormatError, match=said):
        read_feature_set(folder, dataset="lung")


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"'])
def test_what_is_no_description_is_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(FileFormatError, match=r"features\.json"):
        read_feature_set(write(tmp_path, text), dataset="lung")


def test_parts_are_named_by_their_rows() -> None:
    names = [feature_part(first, first + 9) for first in (0, 10, 1_000_000_000)]
    assert sorted(names) == names
    assert [part_rows(name)[0] for name in names] == [0, 10, 1_000_000_000]
    with pytest.raises(FileFormatError, match="is no part"):
        part_rows("part-000000009-000000001.parquet")


def test_the_later_layer_has_the_whole_set(tmp_path: Path) -> None:
    published, derived = tmp_path / "published", tmp_path / "derived"
    (published / "lung" / "metadata").mkdir(parents=True)
    write(published, described(MADE), feature_part(0, 2), feature_part(3, 5))
    above = write(derived, described(MADE), feature_part(0, 5), ".part-000000006-000000007.parquet.tmp")
    lake = scan([published, derived])
    assert [folder.path for folder in lake.datasets[0].feature_folders] == [above]
    assert [table.path.name for table in lake.tables("features")] == [feature_part(0, 5)]
    assert [len(scan(published).tables("features")), lake.tables("features")[0].name] == [2, "own"]


def test_a_users_tables_lie_in_a_dataset_or_beside_all(tmp_path: Path) -> None:
    (tmp_path / "lung" / "metadata").mkdir(parents=True)
    for folder in (tmp_path / "lung" / "tables", tmp_path / "tables"):
        folder.mkdir()
        (folder / "labels.parquet").write_bytes(b"")
        (folder / "notes.txt").write_bytes(b"")
    found = [(table.dataset, table.name) for table in scan(tmp_path).tables("own")]
    assert found == [("lung", "labels"), ("", "labels")]
    assert [table.dataset for table in scan(tmp_path / "lung").tables("own")] == ["lung", ""]
