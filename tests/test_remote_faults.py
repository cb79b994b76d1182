"""What goes wrong with a lake in a bucket while it is used is told by its address, with what to do; or is mended."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from http_servers import Bucket, slow_bucket
from lakes import write_lake
from spora_db import Catalog, SporaQuery
from spora_db.errors import SporaError, WriteError
from spora_db.files.stores import mirror, ranged
from spora_db.images import clear_cache, close_images

IMAGE = "alpha/imc/1_0mpp/images/alpha_0000.ome.zarr"
TABLE = "alpha/metadata/tissues.parquet"
PORTAL = b"<!DOCTYPE html><html><body>Log in</body></html>"


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    folder = tmp_path_factory.mktemp("buckets")
    write_lake(folder / "b/whole")
    with slow_bucket(folder) as server:
        yield server


@pytest.fixture
def lake(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A lake that one may damage, which lies at ``s3://b/lake``, read with a new cache."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_NO_SIGN_REQUEST", "YES")
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.address)
    monkeypatch.setenv("SPORA_CACHE_DIR", str(tmp_path / "cache"))
    forget()
    yield Path(shutil.copytree(bucket.folder / "b/whole", bucket.folder / "b/lake"))
    shutil.rmtree(bucket.folder / "b/lake")
    forget()


def forget() -> None:
    close_images()
    clear_cache()
    mirror._mirror.cache_clear()
    ranged.SINCE.clear()


def read_tables() -> None:
    with Catalog("s3://b/lake") as catalog:
        catalog.sql("SELECT * FROM tissues").fetchall()


def read_images() -> None:
    dataset = SporaQuery("s3://b/lake").modality("imc").tiles(size=32, mpp=1.0).standardize("identity").to_torch()
    for number in range(len(dataset)):
        dataset[number]


def chunk_of(lake: Path) -> Path:
    return max(path for path in (lake / IMAGE).rglob("*") if path.is_file() and path.name != "zarr.json")


@pytest.mark.parametrize(
    ("name", "read", "said"),
    [
        (TABLE, read_tables, "parquet"),
        (f"{IMAGE}/zarr.json", read_images, "JSON"),
        (f"{IMAGE}/0/zarr.json", read_images, "JSON"),
        ("", read_images, "shard"),
    ],
    ids=["a table", "an image", "an array", "a chunk"],
)
def test_a_web_page_in_place_of_a_file(lake: Path, name: str, read: Callable[[], None], said: str) -> None:
    path = lake / name if name else chunk_of(lake)
    path.write_bytes(PORTAL)
    with pytest.raises(SporaError, match=said) as caught:
        read()
    assert f"s3://b/lake/{path.relative_to(lake)}" in str(caught.value)
    assert "Upload it again to s3://b/lake, or tell its keepers." in str(caught.value)


def test_half_a_lake(lake: Path) -> None:
    chunk = chunk_of(lake)
    chunk.unlink()
    with pytest.raises(SporaError) as caught:
        read_images()
    assert f"s3://b/lake/{chunk.relative_to(lake)}" in str(caught.value)


def full(*_: object, **__: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def denied(*_: object, **__: object) -> int:
    raise PermissionError(errno.EACCES, "Permission denied")


def test_a_disk_that_is_full_before_the_tables_are_here(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(WriteError, match=rf"kept below {tmp_path}/cache: No space left.* Free space .*SPORA_CACHE_DIR"):
        read_tables()


def test_a_cache_that_cannot_be_made(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPORA_CACHE_DIR", str(tmp_path / "file/cache"))
    with pytest.raises(WriteError, match=rf"kept below {tmp_path}/file/cache: Not a directory\. .*SPORA_CACHE_DIR"):
        read_tables()


def test_a_cache_of_another_user(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_tables()
    forget()
    monkeypatch.setattr(os, "geteuid", lambda: -1)
    monkeypatch.setattr(Path, "open", denied)
    said = rf"{tmp_path}/cache: Permission denied, and {tmp_path}/cache/.* belongs to another user\. .*of your own"
    with pytest.raises(WriteError, match=said):
        read_tables()
