"""What a query will read: files, row groups and rows, told before it is run."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakes import write_lake
from spora_db import SporaQuery
from spora_db.catalog import Catalog
from spora_db.errors import QueryError

TILES = "alpha/tiling/1_0mpp/default/32_tile_coordinates.parquet"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cohorts; the tiles of alpha lie in nine row groups of four rows, sorted by tile_id."""
    root = write_lake(tmp_path_factory.mktemp("explain") / "lake")
    table = pa.Table.from_pandas(pd.read_parquet(root / TILES).sort_values(["tile_id", "tissue_id"]))
    pq.write_table(table, root / TILES, row_group_size=4)
    return root


@pytest.fixture
def query(lake: Path) -> SporaQuery:
    return SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0)


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("condition", "touched", "rows"),
    [
        ("tile_id < 3", 3, 12),
        ("tile_id BETWEEN 2 AND 4", 3, 12),
        ("tile_id = 8", 1, 4),
        ("tile_id IN (0, 8)", 2, 8),
        ("tissue_id = 'alpha_0001'", 9, 36),
        ("tile_id > 2 AND tile_id < 7 AND tile_id <> 5", 4, 16),
        ("tile_id = 1 OR row = 0", 9, 36),
        ("age > 1", 9, 36),
    ],
)
def test_row_groups_are_those_whose_range_may_hold_a_row(query, condition, touched, rows):
    told = query.where(condition).where("dataset = 'alpha'").explain()
    tiles = next(file for file in told.files if file.path == TILES)
    assert (tiles.row_groups, tiles.touched, tiles.rows) == (9, touched, rows)


def test_files_that_a_condition_rules_out_are_untouched(query):
    told = query.where("dataset = 'alpha' AND age > 50").explain()
    assert sorted(file.path for file in told.files) == ["alpha/metadata/tissues.parquet", TILES]
    assert sorted(told.untouched) == [
        "beta/metadata/tissues.parquet",
        "beta/tiling/1_0mpp/default/32_tile_coordinates.parquet",
    ]
    tissues = told.files[[file.path for file in told.files].index("alpha/metadata/tissues.parquet")]
    assert {"age", "tissue_id"} <= set(tissues.columns)
    assert "patient_id" not in tissues.columns


def test_the_text_holds_everything(query):
    told = query.where("age > 50").explain()
    text = str(told)
    assert text.startswith(query.where("age > 50").sql())
    assert "Read parquet" in text
    assert "age > 50" in told.plan
    assert "Files: 4 read, 0 ruled out." in text
    assert f"Estimated rows: {told.estimated_rows:,}." in text
    assert 0 < told.estimated_rows <= 72


def test_rows_of_another_engine_and_panels_count_too(lake):
    rows = pa.table({"dataset": ["alpha"], "tissue_id": ["alpha_0000"]})
    told = SporaQuery.from_arrow(lake, rows).modality("imc").tissues(mpp=1.0).channels(require=["CD8"]).explain()
    assert "alpha/imc/channels_per_tissue.parquet" in {file.path for file in told.files}


def test_a_plan_names_the_listings_of_folders_too(lake):
    with Catalog(lake) as catalog:
        assert "source_images" in catalog.explain_sql("SELECT path FROM images").plan


def test_a_users_select_is_guarded(lake):
    with Catalog(lake) as catalog:
        told = catalog.explain_sql("SELECT max(age) FROM tissues WHERE dataset = $name", {"name": "beta"})
        assert [file.path for file in told.files] == ["beta/metadata/tissues.parquet"]
        with pytest.raises(QueryError):
            catalog.explain_sql("SELECT * FROM read_csv('/etc/passwd')")


def test_columns_that_begin_alike_are_told_apart(tmp_path):
    root = write_lake(tmp_path / "lake", names=("alpha",))
    path = root / "alpha/metadata/tissues.parquet"
    frame = pd.read_parquet(path)
    frame.assign(
        **{
            "age group": ["old", "young"] * (len(frame) // 2) + ["old"] * (len(frame) % 2),
            "age group 2": [{"low": 1}] * len(frame),
        }
    ).to_parquet(path)
    with Catalog(root) as catalog:
        for text, read in (
            ('SELECT "age group" FROM tissues WHERE "age group" <> \'young\'', {"age group"}),
            ('SELECT min("age group 2".low) FROM tissues WHERE age % 7 = 3', {"age", "age group 2"}),
            ("SELECT count(*) FROM tissues WHERE \"age group\" IN ('old', 'b')", {"age group"}),
        ):
            columns = set(catalog.explain_sql(text).files[0].columns)
            assert {name for name in columns if name.startswith("age")} == read, (text, columns)


def test_a_file_that_is_read_twice_counts_once(query):
    told = query.channels(require=["CD8"]).explain()
    paths = [file.path for file in told.files]
    assert len(paths) > len(set(paths))
    assert f"Files: {len(set(paths))} read, 0 ruled out." in str(told)
    groups = {file.path: file.row_groups for file in told.files}
    assert f"Row groups: {sum(groups.values())} of {sum(groups.values())}." in str(told)
    assert repr(told) == str(told)
