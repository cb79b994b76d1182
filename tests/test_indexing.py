"""The index of image headers: right while files stay as they are, NULL once they do not."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lakes import write_lake, write_zarr
from spora_db.catalog import Catalog
from spora_db.errors import FileFormatError
from spora_db.images import write_ometiff
from spora_db.jobs.indexing import index_images
from spora_db.remembered.image_index import index_path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    root = write_lake(tmp_path / "lake", names=("alpha",), tissues=2, size=96)
    folder = root / "alpha/codex/0_5mpp/images"
    folder.mkdir(parents=True)
    write_ometiff(folder / "t.ome.tiff", np.zeros((5, 30, 40), np.uint16), mpp=0.5)
    return root


def headers(lake: Path) -> dict[str, tuple]:
    with Catalog(lake) as catalog:
        rows = catalog.sql("SELECT path, channel_count, height, width, dtype FROM images").fetchall()
    return {row[0].partition("/")[2]: row[1:] for row in rows}


UNKNOWN = (None, None, None, None)
KNOWN = {
    "codex/0_5mpp/images/t.ome.tiff": (5, 30, 40, "uint16"),
    "imc/1_0mpp/images/alpha_0000.ome.zarr": (5, 96, 96, "float32"),
    "imc/1_0mpp/images/alpha_0001.ome.zarr": (5, 96, 96, "float32"),
    "he/1_0mpp/images/alpha_0000.ome.zarr": (3, 96, 96, "uint8"),
    "he/1_0mpp/images/alpha_0001.ome.zarr": (3, 96, 96, "uint8"),
}


@pytest.mark.parametrize("beside", [False, True])
def test_headers_come_from_the_index_and_only_from_where_it_was_asked_for(lake, cache, beside):
    before = sorted(lake.rglob("*"))
    assert headers(lake) == dict.fromkeys(KNOWN, UNKNOWN)
    report = index_images(lake, beside=beside)
    assert (report.read, report.kept, report.problems) == (5, 0, {})
    assert headers(lake) == KNOWN
    assert report.path == (lake / ".spora-db/index.parquet" if beside else index_path(lake))
    written = [path for path in sorted(lake.rglob("*")) if path not in before]
    assert written == ([lake / ".spora-db", lake / ".spora-db/index.parquet"] if beside else [])
    assert cache.exists() != beside
    again = index_images(lake, beside=beside)
    assert (again.read, again.kept) == (0, 5)


def test_a_changed_image_is_unknown_until_it_is_indexed_again(lake):
    index_images(lake)
    tiff, zarr = list(KNOWN)[:2]
    path = lake / "alpha" / tiff
    state = path.stat()
    path.unlink()
    write_ometiff(path, np.arange(5 * 31 * 40, dtype=np.uint16).reshape(5, 31, 40), mpp=0.5)
    write_zarr(lake / "alpha" / zarr, np.zeros((5, 64, 64), np.float32))
    assert headers(lake) == {**KNOWN, tiff: UNKNOWN, zarr: UNKNOWN}
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))  # the size still tells
    assert headers(lake)[tiff] == UNKNOWN
    report = index_images(lake)
    assert (report.read, report.kept) == (2, 3)
    assert headers(lake) == {**KNOWN, tiff: (5, 31, 40, "uint16"), zarr: (5, 64, 64, "float32")}
    path.unlink()
    assert tiff not in headers(lake)
    assert index_images(lake).kept == 4


def test_a_broken_image_is_told_and_left_out(lake):
    name = "codex/0_5mpp/images/t.ome.tiff"
    (lake / "alpha" / name).write_bytes(b"no image")
    report = index_images(lake)
    assert list(report.problems) == [f"alpha/{name}"]
    assert headers(lake) == {**KNOWN, name: UNKNOWN}
    command = [sys.executable, "-m", "spora_db.cli", "index", str(lake)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "0 headers read, 4 known already" in done.stdout
    assert "t.ome.tiff" in done.stderr


def test_a_broken_index_is_an_error_that_says_what_to_do(lake):
    index_images(lake)
    index_path(lake).write_bytes(b"PAR1")
    with pytest.raises(FileFormatError, match="spora-db index"):
        headers(lake)
    with Catalog(lake) as catalog:
        assert catalog.sql("SELECT count(*) FROM channels").fetchone() == (5,)


def test_the_script_for_other_engines_has_the_columns_too(lake):
    index_images(lake)
    with Catalog(lake) as catalog:
        script = catalog.ddl(dialect="spark")
    assert script.count("`channel_count`") >= 4
