"""The relation `regions`: typed and empty without a file, areas and bounding boxes, what validation finds."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from lakes import write_zarr
from region_lakes import blob, box, region_table, write_regions
from spora_db import Catalog
from spora_db.errors import QueryError
from spora_db.files.parquet import write_parquet
from spora_db.regions.polygons import POLYGON, edges_of, polygons_of, shapes_of, valid
from spora_db.validation import validate


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    place = tmp_path / "lake" / "alpha"
    write_parquet(pa.table({"tissue_id": ["a", "b"], "modality": ["he", "he"]}), place / "metadata" / "tissues.parquet")
    for tissue in ("a", "b"):
        write_zarr(place / "he/1_0mpp/images" / f"{tissue}.ome.zarr", np.zeros((3, 64, 64), np.uint8))
    return place


HOLED = shapely.Polygon([(0, 0), (30, 0), (30, 20), (0, 20)], [[(5, 5), (10, 5), (10, 15), (5, 15)]])


def test_a_lake_without_regions_has_the_relation_typed_and_empty(dataset):
    with Catalog(dataset.parent) as catalog:
        assert catalog.sql("SELECT * FROM regions").fetchall() == []
        types = catalog.column_types("regions")
        assert types["polygon"] == 'STRUCT("row" DOUBLE, col DOUBLE)[][][]'
        assert types["area"] == types["first_row"] == types["mpp"] == "DOUBLE"
        assert "regions" in catalog.schema().df()["relation"].tolist()


def test_areas_and_bounding_boxes_are_those_of_shapely(dataset):
    two = shapely.MultiPolygon([HOLED, box(40, 40, 50, 63.5)])
    shapes = {"1": two, "2": blob(0, at=(30, 30), radius=20), "3": blob(1, at=(-5, 60), radius=9)}
    write_regions(dataset, [("a", name, "tumor", shape) for name, shape in shapes.items()])
    with Catalog(dataset.parent) as catalog:
        rows = catalog.sql("SELECT region_id, area, first_col, first_row, last_col, last_row FROM regions").fetchall()
    for name, area, *bounds in rows:
        assert area == pytest.approx(shapes[name].area, rel=1e-12)
        assert tuple(bounds) == shapes[name].bounds
    assert len(rows) == 3


def test_columns_of_a_cohorts_own_stay_and_names_are_reconciled(dataset):
    table = region_table([("a", "1", "tumor", HOLED)], more={"Grade": pa.array([3])})
    write_parquet(table.rename_columns(["tissue_id", "region_id", "name", "CLASS", *table.column_names[4:]]),
                  dataset / "metadata" / "regions.parquet")  # fmt: skip
    with Catalog(dataset.parent) as catalog:
        assert catalog.sql("SELECT class, Grade, color FROM regions").fetchall() == [("tumor", 3, None)]


def test_other_engines_have_classes_without_polygons(dataset):
    write_regions(dataset, [("a", "1", "tumor", HOLED)])
    with Catalog(dataset.parent) as catalog:
        for dialect in ("spark", "postgres"):
            script = catalog.ddl(dialect=dialect)
            assert "regions" in script
            assert "polygon" not in script
            assert "class" in catalog.translate("SELECT class FROM regions", dialect=dialect)
            with pytest.raises(QueryError, match="polygon"):
                catalog.translate("SELECT polygon FROM regions", dialect=dialect)


# ---------------------------------------------------------------------------------------------------- validation


def findings(dataset: Path) -> dict[str, str]:
    return {item.rule: item.reason for item in validate(dataset) if "regions.parquet" in item.file}


def test_a_right_file_has_no_findings(dataset):
    write_regions(dataset, [("a", "1", "tumor", HOLED), ("b", "1", None, box(0, 0, 4, 4))])
    assert findings(dataset) == {}


def open_ring(table: pa.Table) -> pa.Table:
    rings = table.column("polygon").to_pylist()
    rings[0][0][0].pop()
    return table.set_column(table.column_names.index("polygon"), "polygon", pa.array(rings, POLYGON))


def with_nan(table: pa.Table) -> pa.Table:
    rings = table.column("polygon").to_pylist()
    rings[0][0][0][1]["row"] = float("nan")
    return table.set_column(table.column_names.index("polygon"), "polygon", pa.array(rings, POLYGON))


def with_x(table: pa.Table) -> pa.Table:
    point = pa.struct({"x": pa.float64(), "y": pa.float64()})
    other = pa.array([[[[{"x": 0.0, "y": 0.0}]]]], pa.list_(pa.list_(pa.list_(point))))
    return table.set_column(table.column_names.index("polygon"), "polygon", other)


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("change", "rule", "words"),
    [
        (lambda table: pa.concat_tables([table, table]), "region_rows", "has 2 regions with region_id 1"),
        (open_ring, "region_rows", "not closed"),
        (with_nan, "region_rows", "finite"),
        (with_x, "column_types", "rings of points with row and col"),
        (lambda table: table.drop_columns(["polygon"]), "columns_missing", "polygon"),
        (lambda table: table.drop_columns(["mpp"]), "columns_missing", "mpp"),
        (lambda table: table.set_column(4, "mpp", pa.array([-1.0])), "region_rows", "above 0"),
        (lambda table: table.append_column("color", pa.array(["red"])), "region_rows", "with color red"),
        (lambda table: table.set_column(5, "polygon", pa.nulls(1, POLYGON)), "region_rows", "without tissue_id"),
        (lambda table: table.set_column(0, "tissue_id", pa.array(["c"])), "regions_without_tissues", "no image"),
    ],
)
def test_what_validation_finds(dataset, change, rule, words):
    write_parquet(change(region_table([("a", "1", "tumor", HOLED)])), dataset / "metadata" / "regions.parquet")
    found = findings(dataset)
    assert words in found.get(rule, ""), found


# ---------------------------------------------------------------------------------------------------- polygons


def test_polygons_come_back_as_they_were():
    shapes = np.array([HOLED, shapely.MultiPolygon([HOLED, box(40, 40, 50, 50)]), blob(3, at=(0, 0), radius=5)], object)
    column = polygons_of(shapes)
    assert column.type == POLYGON
    assert column.to_pylist()[0][0][1][0] == {"row": 5.0, "col": 5.0}
    assert all(shapely.equals(shapes_of(column), shapes))
    assert all(shapely.equals(shapes_of(column[1:]), shapes[1:]))  # a slice, whose offsets do not begin at 0
    assert polygons_of(np.array([], object)).to_pylist() == []


def test_geopandas_style_readers_find_plain_arrow(tmp_path):
    place = write_regions(tmp_path, [("a", "1", "tumor", HOLED)])
    assert pq.read_table(place).column("polygon").type == POLYGON


coordinates = st.integers(-4, 36).map(lambda value: value / 2)
corners = st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=9, unique=True)


@settings(max_examples=60, deadline=None)
@given(outlines=st.lists(corners, min_size=1, max_size=4), seed=st.integers(0, 2**16))
def test_areas_and_points_are_exact(outlines, seed):
    """Outlines that cross themselves, overlap, touch, lie on the borders of the rectangles or have holes."""
    shapes = valid(np.array([shapely.Polygon(outline) for outline in outlines], object))
    shapes = shapes[[shapely.area(shape) > 0 for shape in shapes]]
    if not len(shapes):
        return
    covered = shapely.union_all(shapes)
    rng = np.random.default_rng(seed)
    corner, size = rng.integers(-4, 16, (40, 2)), rng.integers(1, 9, (40, 1))
    boxes = np.hstack([corner, corner + size]).astype(np.float64)
    rectangles = shapely.box(boxes[:, 1], boxes[:, 0], boxes[:, 3], boxes[:, 2])
    edges = edges_of(shapes)
    np.testing.assert_allclose(
        edges.areas(boxes), shapely.area(shapely.intersection(rectangles, covered)), rtol=0, atol=1e-9
    )
    points = rng.random((2, 200)) * 24 - 4
    assert (edges.hold(*points) == shapely.contains_xy(covered, points[1], points[0])).all()


def test_long_edges_are_listed_a_few_times_only():
    teeth = [(col, row) for col in range(2000) for row in ((0, 1000) if col % 2 else (1000, 0))]
    comb = shapely.Polygon([*teeth, (1999, 1001), (0, 1001)])
    edges = edges_of(np.array([comb], object))
    assert len(edges.members) <= 8 * len(edges.edges)
    assert edges.areas(np.array([[0.0, 0, 1001, 2000]]))[0] == pytest.approx(valid(np.array([comb]))[0].area, rel=1e-9)
