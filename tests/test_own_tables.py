"""A user's own tables as relations, whichever way they come: their keys are checked, what is wrong is told."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from command_line import call
from spora_db import Catalog
from spora_db.errors import ArgumentError, FileFormatError, OrphanRowsWarning, SporaError, TableError, WriteError
from spora_db.jobs.own_tables import add_table
from spora_db.sources.given_tables import read_given
from spora_db.validation import validate

TISSUES = {"alpha": ["1", "2", "007"], "beta": ["1"]}


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    for dataset, ids in TISSUES.items():
        base = tmp_path / "lake" / dataset
        (base / "metadata").mkdir(parents=True)
        (base / "tiling" / "1_0mpp" / "default").mkdir(parents=True)
        table = {"tissue_id": ids, "modality": "he", "grade": range(len(ids))}
        pd.DataFrame(table).to_parquet(base / "metadata" / "tissues.parquet")
        tiles = pd.DataFrame({"tissue_id": ids[0], "tile_id": range(3), "row": 0, "col": [0, 64, 128]})
        tiles.to_parquet(base / "tiling" / "1_0mpp" / "default" / "64_tile_coordinates.parquet")
    return tmp_path / "lake"


LABELS = pd.DataFrame(
    {"dataset": ["alpha", "alpha", "beta"], "tissue_id": ["1", "007", "1"], "stage": ["I", "II", "III"]}
)


def as_csv(table: pd.DataFrame, folder: Path) -> Path:
    table.to_csv(folder / "labels.csv", index=False)
    return folder / "labels.csv"


def as_parquet(table: pd.DataFrame, folder: Path) -> str:
    table.to_parquet(folder / "labels.parquet")
    return str(folder / "labels.parquet")


def in_lake(table: pd.DataFrame, folder: Path) -> None:
    (folder / "lake" / "tables").mkdir()
    table.to_parquet(folder / "lake" / "tables" / "labels.parquet")


def in_datasets(table: pd.DataFrame, folder: Path) -> None:
    for dataset, rows in table.groupby("dataset"):
        (folder / "lake" / str(dataset) / "tables").mkdir()
        rows.drop(columns="dataset").to_parquet(folder / "lake" / str(dataset) / "tables" / "labels.parquet")


def in_a_layer(table: pd.DataFrame, folder: Path) -> None:
    (folder / "above" / "tables").mkdir(parents=True)
    table.to_parquet(folder / "above" / "tables" / "labels.parquet")


WAYS: dict[str, Callable[[pd.DataFrame, Path], Any]] = {
    "pandas": lambda table, _: table,
    "arrow": lambda table, _: pa.Table.from_pandas(table),
    "csv": as_csv,
    "parquet": as_parquet,
    "in the lake": in_lake,
    "in its datasets": in_datasets,
    "in a layer": in_a_layer,
}


@pytest.mark.some(3)
@pytest.mark.parametrize("way", WAYS)
def test_a_table_is_a_relation_whichever_way_it_comes(lake: Path, way: str) -> None:
    given = WAYS[way](LABELS, lake.parent)
    place = [lake, lake.parent / "above"] if way == "in a layer" else lake
    with Catalog(place, tables=None if given is None else {"labels": given}) as catalog:
        found = catalog.sql("SELECT dataset, tissue_id, stage FROM labels ORDER BY ALL").df()
        joined = catalog.sql("SELECT stage, grade FROM labels JOIN tissues USING (dataset, tissue_id) ORDER BY ALL")
        assert joined.fetchall() == [("I", 0), ("II", 2), ("III", 0)]
        assert "labels" in catalog.schema().df()["relation"].tolist()
        assert ("labels",) in catalog.sql("SHOW TABLES").fetchall()
        files = [file.name for file in catalog.files_used()]
    pd.testing.assert_frame_equal(found, LABELS.sort_values(["dataset", "tissue_id"], ignore_index=True))
    assert ("labels" in files) == (given is None)


@pytest.mark.parametrize(("between", "mark"), [(",", "."), (";", ","), (";", "."), ("\t", ".")])
def test_files_of_spreadsheets_are_read(lake: Path, tmp_path: Path, between: str, mark: str) -> None:
    path = tmp_path / ("own.tsv" if between == "\t" else "own.csv")
    table = LABELS.assign(share=[row + 0.5 for row in range(len(LABELS))], note="a.b")
    table.to_csv(path, index=False, sep=between, decimal=mark, encoding="utf-8-sig")
    with Catalog(lake, tables={"own": path, "same": table}) as catalog:
        found = [catalog.sql(f"SELECT * FROM {name} ORDER BY ALL").fetchall() for name in ("own", "same")]
    assert found[0] == found[1]


@pytest.mark.parametrize(("between", "inside"), [(",", ";"), (";", ",")])
def test_what_stands_between_quotation_marks_separates_nothing(tmp_path: Path, between: str, inside: str) -> None:
    path, name = tmp_path / "own.csv", f"cut{inside} stained{inside} read{inside} by"
    path.write_text(f'tissue_id{between}"{name}"\nT1{between}"me{inside} you"\n', encoding="utf-8")
    assert read_given(path, at="join(").to_pylist() == [{"tissue_id": "T1", name: f"me{inside} you"}]


@pytest.mark.parametrize("ids", [[1, 2], [1.0, 2.0], np.array([1, 2], np.uint8)])
def test_ids_are_text_as_in_every_other_relation(lake: Path, ids: Any) -> None:
    table = pd.DataFrame({"dataset": "alpha", "tissue_id": ids, "score": np.array([0.5, 1.5], np.float16)})
    with Catalog(lake, tables={"scores": pa.Table.from_pandas(table)}) as catalog:
        assert catalog.sql("SELECT tissue_id, score FROM scores ORDER BY ALL").fetchall() == [("1", 0.5), ("2", 1.5)]


def test_a_lake_of_one_dataset_needs_none_said_aloud(lake: Path) -> None:
    table = LABELS.iloc[:2].drop(columns="dataset")
    with Catalog(lake / "alpha", tables={"labels": table}) as catalog:
        with pytest.warns(OrphanRowsWarning, match="no column 'dataset'.*'alpha'"):
            rows = catalog.sql("SELECT dataset, stage FROM labels ORDER BY ALL").fetchall()
        assert rows == [("alpha", "I"), ("alpha", "II")]
    with pytest.raises(TableError, match="no column 'dataset', and the lake has several"):
        Catalog(lake, tables={"labels": table})


def tiles(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"dataset": "alpha", "tissue_id": "1", "tile_id": [0, 1], **columns})


ORPHANS = [
    (pd.DataFrame({"dataset": ["alpha", "gamma"], "tissue_id": ["1", "1"]}), "1 row .* is about a tissue"),
    (tiles(tile_id=[2, 3]), "1 row .* is about a tile"),
    (tiles(tile_size=[64, 128]), "1 row .* is about a tile"),
    (tiles(mpp=0.5), "2 rows .* are about a tile"),
    (pd.DataFrame({"dataset": "alpha", "tissue_id": "1", "cell_id": [1]}), "1 row .* is about a cell"),
]


@pytest.mark.parametrize(("table", "said"), ORPHANS)
def test_rows_about_nothing_are_counted_aloud(lake: Path, table: pd.DataFrame, said: str) -> None:
    with Catalog(lake, tables={"own": table}) as catalog:
        with pytest.warns(OrphanRowsWarning, match=said):
            catalog.sql("SELECT count(*) FROM own")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert catalog.sql("SELECT count(*) FROM own").fetchall() == [(len(table),)]


FAULTS = [
    (pd.concat([LABELS, LABELS.iloc[:1]]), "2 rows of one tissue .*'alpha', tissue_id '1'"),
    (tiles(tile_id=[1, 1]), "2 rows of one tile .*tile_id 1"),
    (tiles(tile_id=[1, None]), "1 row .* have no dataset or no tissue_id or no tile_id"),
    (tiles(tile_id=[1, 1.5]), "1.5; expected"),
    (LABELS.assign(tissue_id=["1", None, "1"]), "1 row .* have no dataset or no tissue_id"),
]


@pytest.mark.parametrize(("table", "said"), FAULTS)
def test_rows_that_share_or_lack_a_key_are_refused(lake: Path, table: pd.DataFrame, said: str) -> None:
    with Catalog(lake, tables={"own": table}) as catalog:
        for _ in range(2):
            with pytest.raises(TableError, match=said):
                catalog.sql("SELECT count(*) FROM own")
        assert catalog.sql("SELECT count(*) FROM tissues").fetchall() == [(4,)]


@pytest.mark.parametrize(
    "name", ["tiles", "n_markers", "select", "order", "A", "a-b", "", "1a", "feature_x", "source_x", "near_rows"]
)
def test_a_name_that_means_something_else_is_refused(lake: Path, name: str) -> None:
    with Catalog(lake) as catalog, pytest.raises(ArgumentError, match="Choose another"):
        catalog.register(name, LABELS)


@pytest.mark.parametrize(
    ("table", "kind"), [(5, ArgumentError), ("absent.csv", FileFormatError), (tiles(cell_id=1), TableError)]
)
def test_what_is_no_table_is_refused(lake: Path, table: Any, kind: type[SporaError]) -> None:
    with Catalog(lake) as catalog:
        with pytest.raises(kind):
            catalog.register("own", table)
        assert "own" not in catalog.relations


def test_a_table_may_be_replaced_and_one_without_tissues_is_read_as_it_is(lake: Path) -> None:
    with Catalog(lake) as catalog:
        for rows in (1, 2, 3):
            catalog.register("numbers", pa.table({"x": range(rows)}))
            assert catalog.sql("SELECT count(*), max(x) FROM numbers").fetchall() == [(rows, rows - 1)]
        with pytest.raises(ArgumentError, match="relation of this name"):
            catalog.register("tissues", pa.table({"x": [1]}))


def test_files_of_a_name_that_means_something_else_are_left_out_and_told(
    lake: Path, caplog: pytest.LogCaptureFixture
) -> None:
    in_datasets(LABELS, lake.parent)
    pq.write_table(pa.table({"tissue_id": ["1"]}), lake / "alpha" / "tables" / "tiles.parquet")
    with Catalog(lake) as catalog:
        assert "tables/tiles.parquet" in caplog.text
        assert catalog.columns("tiles")[:2] == ("dataset", "modality")
    told = {(finding.rule, finding.file) for finding in validate(lake) if finding.rule.startswith("own")}
    assert told == {("own_tables", "alpha/tables/tiles.parquet")}


def test_validate_tells_what_is_wrong_with_tables(lake: Path) -> None:
    in_lake(pd.concat([LABELS, LABELS]), lake.parent)
    LABELS.assign(tissue_id=["1", "2", "3"]).to_parquet(lake / "tables" / "more.parquet")
    (lake / "tables" / "notes.xlsx").write_bytes(b"")
    found = {finding.rule: finding for finding in validate(lake) if finding.file.startswith("tables")}
    assert set(found) == {"own_tables", "own_orphans", "unknown_files"}
    assert "2 rows of one tissue" in found["own_tables"].reason
    assert "dataset 'beta', tissue_id '3'" in found["own_orphans"].reason


def test_a_table_in_the_lake_and_in_a_dataset_is_refused(lake: Path) -> None:
    in_lake(LABELS, lake.parent)
    in_datasets(LABELS, lake.parent)
    with Catalog(lake) as catalog, pytest.raises(TableError, match=r"tables/labels\.parquet and .*Keep one"):
        catalog.sql("FROM labels")


def test_one_datasets_folder_sees_its_rows_of_a_table_beside_it(lake: Path) -> None:
    in_lake(LABELS, lake.parent)
    with Catalog(lake) as whole, Catalog(lake / "alpha") as alone:
        rows = "SELECT * FROM labels WHERE dataset = 'alpha' ORDER BY ALL"
        assert alone.sql("FROM labels ORDER BY ALL").fetchall() == whole.sql(rows).fetchall() != []
        assert len(whole.sql("FROM labels")) > len(alone.sql("FROM labels"))
    assert not [item for item in validate(lake / "alpha") if item.rule.startswith("own_")]
    LABELS.drop(columns="dataset").to_parquet(lake / "tables" / "labels.parquet")
    with Catalog(lake / "alpha") as alone, pytest.raises(TableError, match=r"no column 'dataset', and lies beside"):
        alone.sql("FROM labels")


def test_a_file_that_is_written_again_is_read_again(lake: Path) -> None:
    in_lake(LABELS, lake.parent)
    with Catalog(lake) as catalog:
        assert len(catalog.sql("FROM labels")) == 3
        LABELS.iloc[:2].assign(more=1).to_parquet(lake / "tables" / "labels.parquet")
        assert catalog.sql("SELECT sum(more) FROM labels").fetchall() == [(2,)]


PLACES: dict[str, tuple[str, list[str], str]] = {
    "beside the datasets": ("lake", [], "lake/tables"),
    "in a layer": ("lake", ["--into", "above"], "above/tables"),
    "in a dataset": ("lake", ["--dataset", "alpha"], "lake/alpha/tables"),
    "in the dataset that was given": ("lake/alpha", [], "lake/alpha/tables"),
}


@pytest.mark.some(2)
@pytest.mark.parametrize("place", PLACES)
def test_a_table_is_put_into_a_lake(lake: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lake.parent)
    given, options, folder = PLACES[place]
    file = as_csv(LABELS.iloc[:2], lake.parent)
    done = call("add-table", given, file, "--name", "labels", *options)
    assert (done.stdout.partition(":")[0], done.stderr) == ("2 rows", "")
    assert (lake.parent / folder / "labels.parquet").is_file()
    with Catalog(["lake", "above"] if folder.startswith("above") else "lake") as catalog:
        assert catalog.sql("SELECT dataset, max(stage) FROM labels GROUP BY dataset").fetchall() == [("alpha", "II")]
    assert (
        "the lake has a table 'labels'" in call("add-table", given, file, "--name", "labels", *options, code=1).stderr
    )


def test_a_table_that_says_a_thing_twice_is_not_put_into_a_lake(lake: Path, tmp_path: Path) -> None:
    twice = as_csv(pd.concat([LABELS, LABELS]), tmp_path)
    assert "2 rows of one tissue" in call("add-table", lake, twice, "--name", "labels", code=1).stderr
    assert not (lake / "tables").exists()
    strange = as_csv(LABELS.assign(tissue_id="x").iloc[1:], tmp_path)
    assert "that the lake does not have" in call("add-table", lake, strange, "--name", "labels").stderr
    nameless = as_csv(LABELS.drop(columns="tissue_id"), tmp_path)
    assert "has no column 'tissue_id'" in call("add-table", lake, nameless, "--name", "stages").stderr
    call("add-table", lake, as_csv(LABELS, tmp_path), "--name", "labels", "--overwrite")
    with Catalog(lake) as catalog:
        assert len(catalog.sql("FROM labels")) == 3


STAGES = LABELS.iloc[:2].drop(columns="dataset")


def test_a_table_of_a_dataset_needs_no_column_that_says_it(lake: Path, tmp_path: Path) -> None:
    """Warnings are errors here: nothing is guessed, as the dataset is said. Tables of both spellings are one."""
    add_table(lake, STAGES, name="stages", dataset="alpha")
    add_table(lake / "beta", LABELS.iloc[2:], name="stages")
    (tmp_path / "above").mkdir()
    assert add_table([lake / "alpha", tmp_path / "above"], STAGES, name="more").parts[-4:-2] == ("above", "alpha")
    with Catalog([lake, tmp_path / "above"]) as catalog:
        assert catalog.sql("SELECT dataset, stage FROM stages ORDER BY ALL").df()["stage"].tolist() == [
            "I",
            "II",
            "III",
        ]
        assert catalog.sql("SELECT DISTINCT dataset FROM more").fetchall() == [("alpha",)]


REFUSED: dict[str, tuple[str | None, pd.DataFrame, str | None, str]] = {
    "rows of another dataset": (None, LABELS, "alpha", "goes into the dataset 'alpha', but has rows of beta"),
    "beside the datasets already": (None, STAGES, "alpha", "tables/t.parquet and .*alpha/tables/t.parquet too"),
    "in a dataset already": ("alpha", LABELS, None, "tables/t.parquet and .*alpha/tables/t.parquet too"),
    "other keys elsewhere": ("alpha", STAGES.assign(modality="he").iloc[:1], "beta", "tell rows apart in different"),
}


@pytest.mark.some(2)
@pytest.mark.parametrize("case", REFUSED)
def test_a_table_that_others_of_its_name_contradict_is_not_put_into_a_lake(lake: Path, case: str) -> None:
    first, table, dataset, said = REFUSED[case]
    add_table(lake, LABELS if first is None else STAGES, name="t", dataset=first)
    for overwrite in (False, True):
        with pytest.raises((TableError, WriteError), match=said):
            add_table(lake, table, name="t", dataset=dataset, overwrite=overwrite)
    with Catalog(lake) as catalog:
        assert len(catalog.sql("FROM t")) == (3 if first is None else 2)


def test_a_table_that_replaces_another_is_called_by_its_name(lake: Path) -> None:
    add_table(lake, LABELS, name="labels")
    with pytest.raises(TableError, match="table 'labels' has 2 rows of one tissue"):
        add_table(lake, pd.concat([LABELS, LABELS]), name="labels", overwrite=True)


def test_cells_are_known_by_their_ids_where_a_table_also_says_the_resolution(lake: Path) -> None:
    """Cells have none in the lake; rows about those of masks alone are not told as rows about nothing."""
    pd.DataFrame({"tissue_id": ["1"], "cell_id": [1]}).to_parquet(lake / "alpha" / "metadata" / "cells.parquet")
    masks = lake / "beta" / "segmentations" / "1_0mpp" / "cell_masks" / "instances"
    masks.mkdir(parents=True)
    np.savez(masks / "1.npz", mask=np.ones((4, 4), np.int32))
    own = pd.DataFrame({"dataset": ["alpha", "beta"], "tissue_id": "1", "cell_id": [1, 7], "mpp": 1.0})
    with Catalog(lake, tables={"own": own}) as catalog:
        assert len(catalog.sql("FROM own")) == 2
