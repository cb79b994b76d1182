"""Columns of cohorts that are called as what rows of queries say themselves: each is reached, and none is another."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cell_lakes import write_cells, write_masks
from lakes import write_lake
from region_lakes import box, region_table
from spora_db import Catalog, SporaQuery
from spora_db.catalog.names_in import listed
from spora_db.datasets.frames import read_metadata
from spora_db.errors import UnknownNameError
from spora_db.selection.cells import IDENTITY, OF_REGIONS
from spora_db.selection.resolved import TILE_IDENTITY, TISSUE_IDENTITY
from spora_db.sources.names_of_rows import OF_ROWS
from spora_db.sources.tables import TISSUES

OWN = {"row": 100, "Col": 200, "path": 300, "mpp": 400, "region_class": 500, "cell_id": 600, "tissue_row": 700}
"""What is added to the number of a tissue, by column."""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort whose tissues and cells have columns of such names: numbers of their own."""
    root = write_lake(tmp_path_factory.mktemp("lake") / "lake", names=("alpha",))
    write_cells(root / "alpha", write_masks(root), names=("centroid_row", "centroid_col"))
    path = root / "alpha/metadata/tissues.parquet"
    frame = pd.read_parquet(path)
    number = frame["tissue_id"].str[-1].astype(int)
    frame.assign(number=number, **{name: start + number for name, start in OWN.items()}).to_parquet(path)
    path = root / "alpha/metadata/cells.parquet"
    frame = pd.read_parquet(path)
    frame.assign(modality=frame["cell_id"] % 7, region_class=frame["cell_id"] % 5).to_parquet(path)
    return root


def test_the_names_are_all_that_rows_have_beside_tissues():
    of_rows = {*TILE_IDENTITY, *TISSUE_IDENTITY, *IDENTITY, *OF_REGIONS, *listed("tiles")}
    assert of_rows - {*TISSUES.place, *TISSUES.fixed} == OF_ROWS


@pytest.mark.parametrize("relation", ["tissues", "tiles"])
def test_a_relation_has_such_a_column_by_its_second_name(lake, relation):
    with Catalog(lake) as catalog:
        rows = catalog.sql(f"FROM {relation}").df()
        narrow = catalog.sql(f"SELECT number, tissue_path, tissue_tissue_row FROM {relation}").df()
    second = ["tissue_tissue_row", "tissue_col", "tissue_path", "tissue_mpp", "tissue_region_class", "tissue_cell_id"]
    for name, start in zip([*second, "tissue_row"], OWN.values(), strict=True):
        assert (rows[name] == start + rows["number"]).all()
    assert (narrow["tissue_path"] == 300 + narrow["number"]).all()
    assert (narrow["tissue_tissue_row"] == 100 + narrow["number"]).all()


CONDITIONS = ["tissues.path = 302", "tissue_path = 302", "tissues.row = 102", "tissues.Col = 202", "tissues.mpp = 402"]


ROWS = {
    "tiles": lambda q: q.tiles(size=32, mpp=1.0),
    "windows": lambda q: q.windows(size=32, stride=32, mpp=1.0),
    "tissues": lambda q: q.tissues(mpp=1.0),
    "cells": lambda q: q.cells(size=8, mpp=1.0),
}


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_a_condition_on_tissues_is_about_tissues(lake, rows, condition):
    query = rows(SporaQuery(lake).modality("imc"))
    expected = query.where("number = 2").count()
    assert query.where(condition).count() == expected > 0
    assert set(query.where(condition).df()["tissue_id"]) == {"alpha_0002"}


@pytest.mark.parametrize("unit", ROWS)
def test_a_column_that_begins_with_tissue_is_no_second_name(tmp_path, unit):
    """Tissues have ``tissue_path`` and no ``path``, and of another name the first and the third."""
    root = write_lake(tmp_path / "lake", names=("alpha",))
    write_cells(root / "alpha", write_masks(root), names=("centroid_row", "centroid_col"))
    path = root / "alpha/metadata/tissues.parquet"
    frame = pd.read_parquet(path)
    third = (frame["tissue_id"] == "alpha_0002").astype(int)
    frame.assign(tissue_path="scan", row=third, tissue_tissue_row=1 - third).to_parquet(path)
    query = ROWS[unit](SporaQuery(root).modality("imc"))
    of_third = query.where("tissue_id = 'alpha_0002'").count()
    assert query.where("tissues.tissue_path = 'scan'").count() == query.count()
    for condition in ("tissues.row = 1", "tissues.tissue_tissue_row = 0"):
        assert query.where(condition).count() == of_third > 0
    if unit == "tiles":
        assert query.where("tissues.path LIKE '%alpha_0002%'").count() == of_third
    else:
        with pytest.raises(UnknownNameError, match=r"Unknown column 'path' in tissues.*Available: X..spots, age"):
            query.where("tissues.path = 'scan'").count()


def test_a_condition_without_the_relation_is_about_the_row(lake):
    query = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0).select("tissue_mpp")
    found = query.where("mpp = 1 AND \"row\" < 100 AND path LIKE '%alpha_0002%'").df()
    assert set(found["tissue_mpp"]) == {402}


def test_rows_of_cells_have_what_their_table_calls_so(lake):
    query = SporaQuery(lake).modality("imc").cells(size=8, mpp=1.0)
    found = query.select("cell_modality", "cell_region_class", "tissue_region_class").df()
    assert (found["cell_modality"] == found["cell_id"] % 7).all()
    assert (found["cell_region_class"] == found["cell_id"] % 5).all()
    assert (found["tissue_region_class"] == 500 + found["tissue_id"].str[-1].astype(int)).all()
    assert set(found["modality"]) == {"imc"}
    assert query.where("cells.region_class = 3").count() == (found["cell_id"] % 5 == 3).sum()


def test_metadata_of_a_published_class_are_the_columns_of_the_file(lake):
    written = pd.read_parquet(lake / "alpha/metadata/tissues.parquet")
    with Catalog(lake) as catalog:
        assert set(read_metadata(catalog, lake / "alpha", "tissues")) == {*written, "dataset"} - {"tissue_id"}


def test_what_a_view_computes_is_not_taken_from_a_file(tmp_path):
    root = write_lake(tmp_path / "lake", names=("alpha",))
    own = {"area": ["big"], "First_Row": ["first"], "points": ["all"], "last_col": [None]}
    table = region_table([("alpha_0000", "r", "tumor", box(1, 2, 11, 22))], more=own)
    pq.write_table(table, root / "alpha/metadata/regions.parquet")
    with Catalog(root) as catalog:
        columns = "area, first_row, last_col, area_2, First_Row_2, points"
        assert catalog.sql(f"SELECT {columns} FROM regions").fetchall() == [(200, 1, 22, "big", "first", "all")]
        assert pa.types.is_floating(catalog.sql("FROM regions").to_arrow_table().field("area").type)
