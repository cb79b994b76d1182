"""The catalog kept between questions: lent only where a new one would be the same, to one borrower, to no fork."""

import os
import shutil
import time
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from spora_db import SporaQuery
from spora_db.catalog import Catalog, close_kept_catalog, lent_catalog
from spora_db.errors import QueryError, UnknownNameError
from spora_db.jobs.indexing import index_images
from tests.lakes import write_lake

LONG_AGO = time.time() - 3600


def settle(lake: Path) -> Path:
    """Make all folders of a lake look as if nothing had happened to them for an hour."""
    for folder in (lake, *(path for path in lake.rglob("*") if path.is_dir())):
        os.utime(folder, (LONG_AGO, LONG_AGO))
    return lake


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("written") / "lake")


@pytest.fixture
def lake(tmp_path: Path, written: Path):
    yield settle(shutil.copytree(written, tmp_path / "lake"))  # to write it anew takes longer than most tests
    close_kept_catalog()


def borrowed(lake: Path) -> Catalog:
    with lent_catalog(lake) as catalog:
        return catalog


def images(lake: Path) -> int:
    with lent_catalog(lake) as catalog:
        return catalog.sql("SELECT count(*) FROM images").fetchall()[0][0]


def test_the_same_catalog_is_lent_again(lake):
    first = borrowed(lake)
    assert borrowed(lake) is first
    assert borrowed(f"{lake}/") is first
    assert borrowed(lake / "alpha") is not first


def test_two_borrowers_have_two_catalogs(lake):
    with lent_catalog(lake) as first, lent_catalog(lake) as second:
        assert first is not second
        assert first.sql("SELECT 1").fetchall() == second.sql("SELECT 1").fetchall()
    assert borrowed(lake) in (first, second)


def test_what_a_borrower_leaves_behind_is_gone(lake):
    with lent_catalog(lake) as catalog:
        catalog._register("query_rows", pa.table({"x": [1]}))
        catalog.sql("SELECT count(*) FROM channels").fetchall()
        assert catalog.files_used()
    with lent_catalog(lake) as again:
        assert again is catalog
        assert again.files_used() == ()
        with pytest.raises(UnknownNameError, match="'mine'"):
            again._run("SELECT * FROM mine")


def test_a_catalog_that_failed_is_not_lent_again(lake):
    first = borrowed(lake)
    with pytest.raises(QueryError, match="SELEC"), lent_catalog(lake) as catalog:
        catalog.sql("SELEC 1")
    assert catalog is first
    assert borrowed(lake) is not first


def add_image(lake: Path) -> None:
    (lake / "alpha/he/1_0mpp/images/new.ome.zarr").mkdir()


def add_cohort(lake: Path) -> None:
    write_lake(lake, names=("gamma",))


def add_tiling(lake: Path) -> None:
    folder = lake / "beta/tiling/1_0mpp/default"
    (folder / "48_tile_coordinates.parquet").write_bytes((folder / "32_tile_coordinates.parquet").read_bytes())


def remove_table(lake: Path) -> None:
    (lake / "beta/imc/channels_per_tissue.parquet").unlink()


def turn_link(lake: Path) -> None:
    table = lake / "alpha/metadata/tissues.parquet"
    copy = lake.parent / "elsewhere.parquet"
    copy.write_bytes(table.read_bytes())
    table.unlink()
    table.symlink_to(copy)


def write_index(lake: Path) -> None:
    index_images(lake, beside=True)


CHANGES = [add_image, add_cohort, add_tiling, remove_table, turn_link, write_index]


@pytest.mark.some(3)
@pytest.mark.filterwarnings("ignore::spora_db.errors.AbsentFileWarning")
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("settled", [False, True])
def test_a_changed_lake_is_opened_anew(lake, change, settled):
    first = borrowed(lake)
    change(lake)
    if settled and change in (add_tiling, remove_table, turn_link):
        settle(lake)  # the times of folders alone would not tell
    assert borrowed(lake) is not first


def test_a_folder_that_has_just_changed_is_not_trusted(lake):
    add_image(lake)
    first = borrowed(lake)
    assert borrowed(lake) is not first
    os.utime(lake / "alpha/he/1_0mpp/images", (LONG_AGO, LONG_AGO))
    settled = borrowed(lake)
    assert borrowed(lake) is settled


def test_a_changed_image_loses_its_remembered_header(lake):
    write_index(lake)
    settle(lake)
    known = "SELECT count(*) FROM images WHERE height IS NOT NULL"
    with lent_catalog(lake) as catalog:
        before = catalog.sql(known).fetchall()[0][0]
    (lake / "alpha/imc/1_0mpp/images/alpha_0000.ome.zarr/0/zarr.json").touch()
    with lent_catalog(lake) as catalog:
        assert catalog.sql(known).fetchall()[0][0] == before - 1


def test_a_table_that_is_written_again_is_read_again(lake):
    query = SporaQuery(lake).modality("imc").tiles(size=32).split("train")
    before = query.plan()
    first = borrowed(lake)
    path = lake / "alpha/metadata/tissues.parquet"
    frame = pd.read_parquet(path)
    frame.assign(split="test", extra=1).to_parquet(path)
    assert borrowed(lake) is first
    assert query.count() == len(before) // 2
    assert query.where("extra IS NULL").count() == query.count()
    with lent_catalog(lake) as catalog:
        assert "extra" in catalog.columns("tiles")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_finds_no_catalog(lake):
    first = borrowed(lake)
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(send, str(images(lake)).encode())
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(receive, 100).decode() == str(images(lake))
    os.close(receive)
    os.close(send)
    assert first._connection.closed
    assert borrowed(lake) is not first
