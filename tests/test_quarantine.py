import errno
import json
import logging
import multiprocessing
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from lakes import write_lake
from spora_db import Catalog, SporaQuery
from spora_db.cli import app
from spora_db.errors import (
    ArgumentError,
    FileFormatError,
    ReaderError,
    SporaError,
    TableError,
    UnknownNameError,
    WriteError,
)
from spora_db.images import clear_cache, close_images, files
from spora_db.loading import parts
from spora_db.loading.dataset import PlanDataset
from spora_db.remembered.quarantine import SCHEMA, Quarantine, quarantine_path, read_quarantine

BROKEN = "alpha_0001"
SHARD = "0/c/0/0/1"  # rows 0 to 63, columns 64 to 95: tiles 2 and 5 of 3 x 3
TILES = [2, 5]
RECORD = {"dataset": "alpha", "tissue_id": "t", "modality": "imc", "mpp": 1.0, "tile_size": 32}


def cut(lake: Path, tissue: str, shard: str = SHARD) -> None:
    """Truncate a shard of an image, as an interrupted download does."""
    path = lake / tissue.partition("_")[0] / "imc/1_0mpp/images" / f"{tissue}.ome.zarr" / shard
    path.write_bytes(path.read_bytes()[:100])


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SPORA_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Path:
    root = write_lake(tmp_path_factory.mktemp("quarantine") / "lake")
    cut(root, BROKEN)
    return root


@pytest.fixture
def query(lake) -> SporaQuery:
    return SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0)


def quarantine(lake: Path) -> pd.DataFrame:
    with Catalog(lake) as catalog:
        return catalog.quarantine().df()


def place(sample: dict) -> tuple:
    return sample["dataset"], sample["tissue_id"], sample["tile_id"], sample["image"].sum().item()


def read_all(dataset: PlanDataset) -> list[tuple]:
    return [(*place(dataset[i]), dataset[i]["substituted_for"]) for i in range(len(dataset))]


def test_a_broken_tile_raises_unless_it_is_replaced(query, lake):
    dataset = query.to_torch()
    positions = [i for i in range(len(dataset)) if broken(dataset.plan.identity(i))]
    assert len(positions) == 2
    for position in positions:
        with pytest.raises(SporaError, match=BROKEN):
            dataset[position]
    assert "substituted_for" not in dataset[0]
    assert quarantine(lake).empty
    with pytest.raises(UnknownNameError, match="replace"):
        query.to_torch(on_error="ignore")


def broken(identity: dict) -> bool:
    return identity["tissue_id"] == BROKEN and identity["tile_id"] in TILES


@pytest.mark.some(2)
@pytest.mark.parametrize("standardize_on", ["cpu", "device"])
def test_a_substitute_comes_from_another_tissue_of_the_same_channels(query, standardize_on, caplog):
    dataset = query.to_torch(on_error="replace", standardize_on=standardize_on)
    with caplog.at_level(logging.WARNING):
        samples = [dataset[i] for i in range(len(dataset))]
    for position, sample in enumerate(samples):
        own = dataset.plan.identity(position)
        if broken(own):
            assert sample["substituted_for"] == position
            assert sample["tissue_id"] != BROKEN
            assert len(sample["channel_names"]) == 5
        else:
            assert sample["substituted_for"] == -1
            assert {name: sample[name] for name in own} == own
    assert [record.levelname for record in caplog.records] == ["WARNING"]  # once for the tissue
    assert BROKEN in caplog.text


def test_substitutes_are_the_same_whoever_reads_them(query):
    expected = read_all(query.to_torch(on_error="replace"))
    assert read_all(query.to_torch(on_error="replace")) == expected
    batches = query.to_torch(on_error="replace").__getitems__(range(72))
    assert [(*place(sample), sample["substituted_for"]) for sample in batches] == expected


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("workers", "method", "collate"),
    [
        (0, None, "padded"),
        (0, None, "panel"),
        (2, "fork", "padded"),
        (2, "fork", "panel"),
        (2, "spawn", "padded"),
        (2, "forkserver", "padded"),
    ],
)
def test_workers_draw_the_same_substitutes_and_record_each_row_once(query, lake, workers, method, collate):
    dataset = query.to_torch(on_error="replace")
    dataset_places = {i: place(dataset[i]) for i in range(len(dataset)) if broken(dataset.plan.identity(i))}
    loader = dataset.loader(8, num_workers=workers, start_method=method, collate=collate, timeout=120)
    found, rows = {}, 0
    for batch in [*loader, *loader]:
        rows += len(batch["image"])
        for i, position in enumerate(batch["substituted_for"].tolist()):
            if position >= 0:
                image = batch["image"][i]
                found[position] = (
                    *(batch[name][i] for name in ("dataset", "tissue_id")),
                    batch["tile_id"][i].item(),
                    image.sum().item(),
                )
    assert rows == 144
    assert found == dataset_places
    table = quarantine(lake)
    assert table.tile_id.tolist() == TILES
    assert set(table.tissue_id) == {BROKEN}
    assert list(zip(table.row, table.col, strict=True)) == [(0, 64), (32, 64)]
    assert table.error.str.contains(BROKEN).all()
    assert table.cell_id.isna().all()


def test_the_command_lists_the_quarantine_and_forgets_it(query, lake):
    def told(*options: str) -> str:
        done = CliRunner().invoke(app, ["quarantine", str(lake), *options])
        assert done.exit_code == 0, done.output
        return done.output

    assert told().startswith("0 rows of")
    read_all(query.to_torch(on_error="replace"))
    listed = told("--format", "csv").splitlines()
    assert len(listed) == 1 + len(TILES)
    assert all(BROKEN in line for line in listed[1:])
    assert f"alpha/{BROKEN} (imc) tile 2 at row 0, column 64: FileFormatError: " in told()
    assert told("--forget") == "2 rows forgotten\n"
    assert quarantine(lake).empty
    assert told("--forget") == "0 rows forgotten\n"


def test_what_is_in_quarantine_can_be_excluded(query, lake, tmp_path):
    everything = query.df()
    whole = read_all(query.to_torch(on_error="replace"))
    assert len(whole) == 72
    with Catalog(lake) as catalog:
        results = (catalog.quarantine(), catalog.quarantine().df(), catalog.quarantine().arrow())
        queries = [query.exclude(result) for result in results]
    kept = everything[~((everything.tissue_id == BROKEN) & everything.tile_id.isin(TILES))].reset_index(drop=True)
    for left in queries:
        pd.testing.assert_frame_equal(left.df(), kept)
    left = queries[0]
    assert left.count() == 70
    assert len(left.to_torch()) == 70
    assert {sample["substituted_for"] for sample in map(left.to_torch(on_error="replace").__getitem__, range(70))} == {
        -1
    }
    with Catalog(lake) as catalog:
        assert len(catalog.sql(left.sql())) == 70  # the text stands alone
    for dialect in ("spark", "postgres"):
        assert BROKEN in left.sql(dialect=dialect)
    assert SporaQuery.from_lock(left.lock(tmp_path / "cohort.lock.json")).plan().hash == left.plan().hash


@pytest.mark.parametrize(
    ("table", "left"),
    [
        ({}, 63),
        ({"tile_id": [3]}, 71),
        ({"tile_id": pa.nulls(1)}, 63),
        ({"tile_id": [3], "row": [32], "col": [0]}, 71),
        ({"tile_id": [3], "row": [0], "col": [0]}, 72),  # of another tiling
        ({"tile_id": [3], "tile_size": [64]}, 72),
        ({"tile_id": [3], "mpp": [0.5]}, 72),
        ({"tile_id": [3], "modality": ["he"]}, 72),
        ({"tile_id": [3], "modality": ["imc"], "mpp": [1.0], "tile_size": [32]}, 71),
        ({"cell_id": [3]}, 72),
    ],
)
def test_rows_are_excluded_by_all_that_a_table_says(query, table, left):
    rows = pa.table({"dataset": ["alpha"], "tissue_id": ["alpha_0003"], **table})
    assert query.exclude(rows).count() == left


def test_exclusions_add_up_and_tissues_go_whole(query, lake):
    third = pa.table({"dataset": ["alpha"], "tissue_id": ["alpha_0003"]})
    tile = pd.DataFrame({"dataset": ["beta"], "tissue_id": ["beta_0000"], "tile_id": [0], "note": ["blurred"]})
    assert query.exclude(third).exclude(tile).count() == 72 - 9 - 1
    tissues = SporaQuery(lake).modality("imc").tissues(mpp=1.0)
    assert tissues.count() == 8
    assert set(tissues.exclude(tile).exclude(third).df().tissue_id) & {"beta_0000", "alpha_0003"} == set()


def test_tables_that_name_no_rows_are_refused(query):
    with pytest.raises(ArgumentError, match=r"catalog\.quarantine"):
        query.exclude(["alpha_0001"])
    with pytest.raises(TableError, match="tissue_id"):
        query.exclude(pa.table({"dataset": ["alpha"]}))
    with pytest.raises(TableError, match="dataset"):
        query.exclude(pa.table({"dataset": [None], "tissue_id": ["a"]}))
    with pytest.raises(TableError, match="tile_id"):
        query.exclude(pa.table({"dataset": ["a"], "tissue_id": ["a"], "tile_id": ["third"]}))


def test_a_lake_that_is_entirely_broken_raises(tmp_path):
    root = write_lake(tmp_path / "lake", names=("alpha",), tissues=2)
    for image in (root / "alpha/imc/1_0mpp/images").iterdir():
        shutil.rmtree(image / "0")
    dataset = SporaQuery(root).modality("imc").tiles(size=32, mpp=1.0).to_torch(on_error="replace")
    with pytest.raises(SporaError, match="alpha_000") as caught:
        dataset[0]
    assert "100 substitutes" in caught.value.__notes__[0]
    with pytest.raises(SporaError, match="alpha_000"):
        list(dataset.loader(4, num_workers=1, start_method="fork", timeout=60))


def test_other_errors_are_not_hidden(query, monkeypatch):
    dataset = query.to_torch(on_error="replace")
    monkeypatch.setattr(parts, "read_regions", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        dataset[0]


def test_a_row_is_not_replaced_for_want_of_a_descriptor(query, lake, monkeypatch):
    dataset = query.to_torch(on_error="replace")
    dataset[0]
    close_images()
    clear_cache()

    def exhausted(path, *_, **__):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "open", exhausted)
        with pytest.raises(ReaderError, match="as many open files as it may have"):
            dataset[0]
    assert quarantine(lake).empty
    assert dataset[0]["substituted_for"] == -1


def test_an_error_that_led_to_itself_is_replaced_like_any(query, monkeypatch):
    dataset = query.to_torch(on_error="replace")
    error, other = FileFormatError("It is broken."), ValueError()
    error.__context__, other.__context__ = other, error  # as of errors that are kept, and raised while others are told
    read, failing = parts.read_regions, [True]

    def broken_once(*arguments, **options):
        return {0: error} if failing and failing.pop() else read(*arguments, **options)

    monkeypatch.setattr(parts, "read_regions", broken_once)
    assert dataset[0]["substituted_for"] == 0


def test_whole_tissues_and_several_modalities_are_replaced(lake):
    tissues = SporaQuery(lake).modality("imc").tissues(mpp=1.0).to_torch(on_error="replace")
    assert [tissues[i]["substituted_for"] for i in range(8)] == [-1, 1, -1, -1, -1, -1, -1, -1]
    table = quarantine(lake)
    assert table[["tissue_id", "modality"]].values.tolist() == [[BROKEN, "imc"]]
    assert table.tile_id.isna().all()
    both = SporaQuery(lake).modality("he", "imc").tiles(size=32, mpp=1.0).to_torch(on_error="replace")
    sample = both[11]
    assert {name: part["substituted_for"] for name, part in sample.items()} == {"he": 11, "imc": 11}
    assert sample["he"]["tissue_id"] == sample["imc"]["tissue_id"] != BROKEN
    assert quarantine(lake).modality.tolist() == ["imc", "imc"]


# ---- the file ----


def test_an_empty_quarantine_has_its_types(lake):
    assert read_quarantine(lake).schema == SCHEMA
    with Catalog(lake) as catalog:
        assert catalog.quarantine().fetchall() == []
        assert catalog.quarantine().arrow().schema == SCHEMA


def append(path: Path, start: int) -> None:
    own = Quarantine(path)
    for tile in range(start, start + 100):
        own.record({**RECORD, "tile_id": tile, "row": 0, "col": 0}, ValueError("x" * 500))


def test_many_processes_write_and_duplicates_collapse(lake):
    path = quarantine_path(lake)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        list(pool.map(append, [path] * 4, [0, 50, 100, 0]))
    assert read_quarantine(lake).column("tile_id").to_pylist() == list(range(200))
    size = path.stat().st_size
    append(path, 0)
    assert path.stat().st_size == size


def test_a_torn_line_is_told_and_passed_over(lake, caplog):
    path = quarantine_path(lake)
    append(path, 0)
    with path.open("a") as file:
        file.write('{"dataset": "al\n[]\n\n' + json.dumps({"dataset": 3}) + "\n")
    assert read_quarantine(lake).num_rows == 100
    assert caplog.text.count("passed over") == 4


def test_the_state_folder_lies_outside_the_lake(monkeypatch, lake, tmp_path):
    monkeypatch.delenv("SPORA_STATE_DIR")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert quarantine_path(lake).parent == tmp_path / ".local/state/spora-db/quarantine"
    link = tmp_path / "link"
    link.symlink_to(lake)
    assert quarantine_path(link) == quarantine_path(lake)


def test_a_folder_that_cannot_be_written_is_told_at_once(query, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPORA_STATE_DIR", str(tmp_path / "file"))
    with pytest.raises(WriteError, match="SPORA_STATE_DIR"):
        query.to_torch(on_error="replace")
    monkeypatch.setenv("SPORA_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(WriteError, match="permission"):
        query.to_torch(on_error="replace")


def test_the_audit_tells_what_is_in_quarantine(query, lake):
    assert "quarantine" not in str(query.audit())
    list(query.to_torch(on_error="replace"))
    audit = query.audit()
    assert audit.table("missing").query("what.str.contains('quarantine')").to_dict("records") == [
        {
            "what": "image: in quarantine, it could not be read",
            "dataset": "alpha",
            "modality": "imc",
            "tissues": 1,
            "examples": [BROKEN],
        }
    ]
    assert "in quarantine, it could not be read for 1 tissue (alpha imc)" in str(audit)
    assert "quarantine" not in str(query.where(f"tissue_id <> '{BROKEN}'").audit())
