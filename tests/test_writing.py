import os
import resource
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spora_db.errors import FileFormatError, TableError, WriteError
from spora_db.files.parquet import read_provenance, write_parquet
from spora_db.files.writing import atomic_path

TABLE = pa.table({"tissue_id": ["a", "b"], "row": [0, 64]})


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_appears_whole_with_its_metadata(tmp_path):
    path = write_parquet(TABLE, tmp_path / "new" / "t.parquet", metadata={"stride": 64, "max_tiles": None})
    assert pq.read_table(path).drop_columns([]).to_pydict() == TABLE.to_pydict()
    assert read_provenance(path) == {"stride": 64, "max_tiles": None}
    assert names(path.parent) == ["t.parquet"]


def test_the_schema_metadata_stays(tmp_path):
    table = TABLE.replace_schema_metadata({"pandas": "{}"})
    kept = pq.read_metadata(write_parquet(table, tmp_path / "t.parquet", metadata={"a": 1})).metadata
    assert kept[b"pandas"] == b"{}"


def test_a_file_of_another_program_has_no_provenance(tmp_path):
    pq.write_table(TABLE, tmp_path / "t.parquet")
    assert read_provenance(tmp_path / "t.parquet") is None


def test_provenance_of_a_file_that_is_not_parquet(tmp_path):
    (tmp_path / "t.parquet").write_text("no")
    with pytest.raises(FileFormatError, match="Expected a parquet file"):
        read_provenance(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), TableError("two runs"), KeyboardInterrupt(), ValueError("x")]
)
def test_after_an_error_the_old_file_stays_and_nothing_else(tmp_path, error):
    path = tmp_path / "t.parquet"
    path.write_text("old")
    expected = WriteError if type(error) is OSError else type(error)

    def write():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(expected) as caught:
        write()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["t.parquet"]
    if expected is WriteError:
        assert f"Could not write {path}: No space left on device" in str(caught.value)


def test_the_temporary_name_is_hidden_unique_and_in_the_same_folder(tmp_path):
    with atomic_path(tmp_path / "t.parquet") as one, atomic_path(tmp_path / "t.parquet") as two:
        assert one != two
        for path in (one, two):
            assert path.parent == tmp_path
            assert path.name.startswith(".t.parquet.")
            assert path.suffix == ".tmp"
            path.write_text(path.name)


def test_the_file_gets_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    path = write_parquet(TABLE, tmp_path / "t.parquet")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("make", [lambda p: p.write_text("a file"), lambda p: (p / "t.parquet").mkdir(parents=True)])
def test_a_place_that_cannot_be_written_is_a_write_error(tmp_path, make):
    make(tmp_path / "place")
    with pytest.raises(WriteError, match=r"Could not write .*t\.parquet"):
        write_parquet(TABLE, tmp_path / "place" / "t.parquet")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a file system that nobody can write to")
def test_a_read_only_place_is_a_write_error():
    with pytest.raises(WriteError, match="Check that the folder can be written to"):
        write_parquet(TABLE, "/proc/self/t.parquet")


def test_a_full_disk_leaves_nothing(tmp_path):
    """A limit on the size of files stands in for a full disk: the write fails in the middle."""
    code = f"""
import pathlib, pyarrow as pa, random
from spora_db import errors
from spora_db.files import parquet
table = pa.table({{"x": [random.random() for _ in range(100_000)]}})
try:
    parquet.write_parquet(table, pathlib.Path({str(tmp_path)!r}) / "t.parquet")
except errors.WriteError as error:
    raise SystemExit(7)
"""
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))  # noqa: E731
    done = subprocess.run(
        [sys.executable, "-B", "-c", code], preexec_fn=limit, check=False, env=os.environ | {"NUMBA_DISABLE_JIT": "1"}
    )
    assert done.returncode == 7
    assert names(tmp_path) == []
