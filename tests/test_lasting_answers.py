"""What was found in large tables is kept from process to process, and never told of tables that have changed."""

import errno
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spora_db.catalog import Catalog
from spora_db.catalog.database import Database
from spora_db.errors import TableError
from spora_db.files import stamps
from spora_db.files.shared_folder import SharedFolder
from spora_db.files.stamps import settled_stamps
from spora_db.remembered import answers
from tests.lakes import write_lake
from tests.rewriting import in_place, replaced

COUNT = "SELECT count(*) FROM tiles"
CHANNELS = "SELECT * FROM tissue_channels ORDER BY ALL"
REFUSED = (
    r"^alpha: 'alpha_0000' has 2 rows with tile_id 1 in 32_tile_coordinates\.parquet \(default\)\. Correct the file"
)
TILES = "alpha/tiling/1_0mpp/default/32_tile_coordinates.parquet"
MEASURED = "alpha/imc/channels_per_tissue.parquet"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_lake(tmp_path_factory.mktemp("written") / "lake")
    for path in root.rglob("*_tile_coordinates.parquet"):  # so that other numbers take as many bytes
        write_plain(pq.read_table(path), path)
    return root


@pytest.fixture
def lake(tmp_path: Path, written: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lake whose tables count as large and as written long ago, and an empty cache folder of the user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(answers, "KEPT_FROM", 0)
    monkeypatch.setattr(stamps, "SETTLED_NS", 0)
    return shutil.copytree(written, tmp_path / "lake")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked of the tables themselves: checks, and the tables in memory."""
    found: list[str] = []
    once = Database._once

    def noted(self: Database, text: str, names: object) -> object:
        if text not in self._found and text.startswith("-- purpose"):
            found.append(text.splitlines()[0])
        return once(self, text, names)

    monkeypatch.setattr(Database, "_once", noted)
    return found


def write_plain(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, compression="none", use_dictionary=False, write_statistics=False)


def rows(lake: Path, text: str = COUNT) -> list[tuple[object, ...]]:
    """Ask with nothing in memory, as another process does."""
    with Catalog(lake) as catalog:
        return catalog.sql(text).fetchall()


def kept(tmp_path: Path) -> list[Path]:
    return sorted(path for path in (tmp_path / "cache/spora-db/answers").glob("*") if len(path.name) == 32)


def repeated(table: pa.Table) -> pa.Table:
    """Return tiles of which the first has the number of the second."""
    numbers = [1, *table.column("tile_id").to_pylist()[1:]]
    return table.set_column(table.schema.get_field_index("tile_id"), "tile_id", pa.array(numbers))


def test_good_tables_are_read_through_once(lake: Path, tmp_path: Path, asked: list[str]) -> None:
    first = [rows(lake), rows(lake, CHANNELS)]
    assert any("tile_id names one tile" in text for text in asked)
    assert len(kept(tmp_path)) >= 3
    before = len(asked)
    assert [rows(lake), rows(lake, CHANNELS)] == first
    assert [text for text in asked[before:] if "tile_id" in text or "panel" in text] == []


def test_columns_of_panels_have_their_types_in_every_process(lake: Path, tmp_path: Path) -> None:
    types = {
        "id": "UUID",
        "told": "JSON",
        "n": "HUGEINT",
        "price": "DECIMAL(20,3)",
        "seen": "TIMESTAMP WITH TIME ZONE",
        "ns": "TIMESTAMP_NS",
        "parts": 'STRUCT("a b" UUID, c INTEGER[])',
    }
    values = """uuid() AS id, '{"a": 1}'::JSON AS told, 1.250::DECIMAL(20, 3) AS price,
        '2020-01-02 03:04:05.678901+00'::TIMESTAMPTZ AS seen, '2020-01-02 03:04:05.678901234'::TIMESTAMP_NS AS ns,
        {'a b': uuid(), c: [1, NULL]} AS parts"""
    for name, number in (("alpha", "18446744073709551615::UBIGINT"), ("beta", "(-9223372036854775808)::BIGINT")):
        path = next((lake / name).glob("*/channels.parquet"))
        query = f"COPY (SELECT *, {number} AS n, {values} FROM '{path}') TO '{path}.new' (FORMAT parquet)"
        duckdb.sql(query)
        Path(f"{path}.new").rename(path)
    asked = f"SELECT {', '.join(types)} FROM channels ORDER BY dataset, modality, channel_index"
    found = []
    for _ in range(2):
        with Catalog(lake) as catalog:
            told = catalog.column_types("channels")
            assert {column: told[column] for column in types} == types
            found.append(catalog.sql(asked).fetchall())
    assert found[0] == found[1]
    assert {row[2] for row in found[0] if row[2]} == {2**64 - 1, -(2**63)}
    assert kept(tmp_path)


def test_what_contradicts_itself_is_refused_every_time(lake: Path) -> None:
    path = lake / TILES
    good = pq.read_table(path)
    replaced(path, partial(write_plain, repeated(good)))
    for _ in range(3):
        with pytest.raises(TableError, match=REFUSED):
            rows(lake)
    replaced(path, partial(write_plain, good))
    assert rows(lake) == rows(lake)


@pytest.mark.parametrize("write", [in_place, replaced])
def test_a_good_table_that_becomes_a_bad_one_of_the_same_size_and_time(
    lake: Path, write: Callable[[Path, Callable[[Path], object]], None]
) -> None:
    path = lake / TILES
    good, answer = pq.read_table(path), rows(lake)
    write(path, partial(write_plain, repeated(good)))
    for _ in range(2):
        with pytest.raises(TableError, match=REFUSED):
            rows(lake)
    write(path, partial(write_plain, good))
    assert rows(lake) == answer


def test_what_was_written_just_now_may_be_written_again_unseen(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stamps, "SETTLED_NS", 3600 * 10**9)
    rows(lake)
    assert kept(tmp_path) == []
    assert settled_stamps([lake / TILES]) is None
    monkeypatch.setattr(stamps, "SETTLED_NS", 0)
    while settled_stamps([lake / TILES]) is None:
        time.sleep(0.001)
    status = (lake / TILES).stat()
    times = status.st_mtime_ns, status.st_ctime_ns
    assert settled_stamps([lake / TILES]) == ((status.st_ino, times[0], status.st_size, times[1]),)
    assert settled_stamps([lake / TILES, lake / "absent"]) is None


def test_a_table_that_changes_while_it_is_read_through(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once, path = Database._once, lake / TILES
    good = pq.read_table(path)

    def overtaken(self: Database, text: str, names: object) -> object:
        found = once(self, text, names)
        if "A tile_id names one tile" in text:
            replaced(path, partial(write_plain, repeated(good)))
        return found

    monkeypatch.setattr(Database, "_once", overtaken)
    with pytest.raises(TableError, match=REFUSED):
        rows(lake, "SELECT count(*) FROM tile_coordinates")
    monkeypatch.setattr(Database, "_once", once)
    with pytest.raises(TableError, match=REFUSED):
        rows(lake, "SELECT count(*) FROM tile_coordinates")
    assert kept(tmp_path) == []


def test_what_is_kept_is_bounded(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 3 * 4096
    monkeypatch.setattr(answers, "LIMIT", limit)
    good, before = pq.read_table(lake / TILES), set[Path]()
    for _ in range(5):
        replaced(lake / TILES, partial(write_plain, good))
        rows(lake, "SELECT count(*) FROM tile_coordinates")
        before |= set(kept(tmp_path))
    assert len(before) == 5
    assert 1 <= len(kept(tmp_path)) <= 3
    assert all(path.stat().st_size == 4096 for path in kept(tmp_path))


def test_small_tables_are_asked_anew(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "KEPT_FROM", 2**20)
    rows(lake)
    rows(lake, CHANNELS)
    assert kept(tmp_path) == []


def test_panels_are_the_same_from_where_they_are_kept(lake: Path) -> None:
    path = lake / MEASURED
    table = pq.read_table(path)
    for text in (CHANNELS, "SELECT * FROM channels_per_tissue ORDER BY ALL", "SELECT * FROM markers"):
        fresh = rows(lake, text)
        assert rows(lake, text) == fresh
    fresh = rows(lake, CHANNELS)
    for unknown, answered in ((False, True), (None, False), (True, True)):
        values = pa.array([unknown, *table.column("CD8").to_pylist()[1:]], pa.bool_())
        pq.write_table(table.set_column(table.schema.get_field_index("CD8"), "CD8", values), path)
        for _ in range(2):
            if answered:
                assert (rows(lake, CHANNELS) == fresh) == unknown
            else:
                with pytest.raises(TableError, match=r"'alpha_0000' has nulls in channels_per_tissue\.parquet"):
                    rows(lake, CHANNELS)


def test_panels_that_follow_from_folders_are_not_kept(lake: Path) -> None:
    """Without a table, every channel counts as measured in every tissue that has an image."""
    (lake / MEASURED).unlink()
    query = "SELECT count(DISTINCT tissue_id) FROM tissue_channels WHERE dataset = 'alpha' AND modality = 'imc'"
    with pytest.warns(UserWarning, match="every channel of"):
        assert rows(lake, query) == [(4,)]
    images = lake / "alpha/imc/1_0mpp/images"
    shutil.copytree(images / "alpha_0000.ome.zarr", images / "alpha_0009.ome.zarr")
    with pytest.warns(UserWarning, match="every channel of"):
        assert rows(lake, query) == [(5,)]


@pytest.mark.parametrize("left", [0, 100])
def test_an_answer_that_is_cut_short_is_made_anew(
    lake: Path, tmp_path: Path, left: int, caplog: pytest.LogCaptureFixture
) -> None:
    fresh = [rows(lake), rows(lake, CHANNELS)]
    whole = {path: path.read_bytes() for path in kept(tmp_path)}
    for path in whole:
        os.truncate(path, min(left, len(whole[path]) - 1))
    with caplog.at_level(logging.INFO, "spora_db.remembered.answers"):
        assert [rows(lake), rows(lake, CHANNELS)] == fresh
    assert "is broken and is made anew" in caplog.text
    assert {path: path.read_bytes() for path in kept(tmp_path)} == whole


def test_another_byte_of_an_answer_is_seen(lake: Path, tmp_path: Path) -> None:
    fresh = rows(lake, CHANNELS)
    for path in kept(tmp_path):
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    assert rows(lake, CHANNELS) == fresh


@pytest.mark.parametrize("kind", ["a file", "open to others", "full"])
def test_a_folder_that_cannot_be_written_to_is_no_error(
    lake: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "cache/spora-db"
    if kind == "a file":
        folder.parent.mkdir()
        folder.write_text("")
    elif kind == "open to others":
        (folder / "answers").mkdir(parents=True)
        (folder / "answers").chmod(0o777)
    else:
        monkeypatch.setattr(answers, "LIMIT", 10)
    with caplog.at_level(logging.INFO, "spora_db.remembered.answers"):
        assert rows(lake) == rows(lake)
        assert rows(lake, CHANNELS) == rows(lake, CHANNELS)
    assert ("What is found in large tables is not kept: " in caplog.text) == (kind != "full")
    assert kept(tmp_path) == []


def read_only(*_: object) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def test_the_folder_may_go_meanwhile(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = rows(lake)
    with monkeypatch.context() as patch:
        patch.setattr(SharedFolder, "touch", read_only)
        assert rows(lake) == answer
    shutil.rmtree(tmp_path / "cache")
    assert rows(lake) == answer


def test_another_version_asks_anew(lake: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    rows(lake)
    before = len(asked)
    monkeypatch.setattr(duckdb, "__version__", "99.0.0")
    rows(lake)
    assert any("tile_id" in text for text in asked[before:])


PROCESS = """
import sys
from spora_db.catalog import Catalog
from spora_db.files import stamps
from spora_db.remembered import answers
answers.KEPT_FROM = stamps.SETTLED_NS = 0
with Catalog(sys.argv[1]) as catalog:
    print(catalog.sql("SELECT count(*) FROM tiles").fetchall(), len(catalog.sql("FROM tissue_channels").fetchall()))
"""


@pytest.mark.slow
def test_two_processes_at_once(lake: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROCESS, str(lake)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate()[0] for process in both]
    assert told == [f"{rows(lake)} {len(rows(lake, CHANNELS))}\n"] * 2
    assert [process.returncode for process in both] == [0, 0]
    names = [path.name for path in kept(tmp_path)]
    assert len(names) >= 3
    replaced(lake / TILES, partial(write_plain, repeated(pq.read_table(lake / TILES))))
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "'alpha_0000' has 2 rows with tile_id 1" in refused.stderr
