"""Annotations of QuPath and ImageJ on their way into a dataset: what is taken, what is left out, what is refused."""

import gzip
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import roifile
import shapely
from typer.testing import CliRunner

from imports import importing
from region_lakes import blob, box
from spora_db import Catalog, SporaQuery
from spora_db.cli import app
from spora_db.errors import FileFormatError, MissingExtraError, TableError
from spora_db.images import write_ometiff
from spora_db.importing import ImportReport
from spora_db.regions.polygons import shapes_of

SIZE = 128


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Return a folder of two slides."""
    pixels = np.random.default_rng(0).integers(0, 255, (3, SIZE, SIZE), dtype=np.uint8)
    for name in ("slide_1", "slide_2"):
        write_ometiff(tmp_path / "raw" / f"{name}.ome.tiff", pixels, mpp=0.5, channel_names=["R", "G", "B"])
    return tmp_path / "raw"


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., ImportReport]:
    return importing(tmp_path, modality="he", mpp=0.5)


def feature(
    shape: Any, *, name: str | None = None, what: Any = None, kind: str | None = "annotation", **more: Any
) -> dict:
    """Return a feature as QuPath writes it."""
    properties = {"isLocked": True, "measurements": {"a": 1.5}}
    properties |= {"objectType": kind} if kind else {}
    properties |= {"classification": {"name": what, "color": [200, 0, 0]}} if isinstance(what, str) else {}
    properties |= {"classification": what} if isinstance(what, dict) else {}
    properties |= {"name": name} if name else {}
    geometry = shape if isinstance(shape, dict) else shapely.geometry.mapping(shape)
    return {"type": "Feature", "geometry": geometry, "properties": properties, **more}


def written(path: Path, found: Any) -> Path:
    """Write a file of annotations; a list is that of the features of a collection."""
    path.parent.mkdir(parents=True, exist_ok=True)
    collection = {"type": "FeatureCollection", "features": found} if isinstance(found, list) else found
    text = (found if isinstance(found, str) else json.dumps(collection)).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def regions(report: ImportReport) -> list[dict[str, Any]]:
    """Return the rows that were written, with shapes."""
    table = pq.read_table(report.path / "metadata/regions.parquet")
    rows = table.drop_columns(["polygon"]).to_pylist()
    shapes = shapes_of(table.column("polygon").combine_chunks()) if len(table) else []
    return [{**row, "shape": shape} for row, shape in zip(rows, shapes, strict=True)]


HOLED = shapely.Polygon([(10, 10), (60, 10), (60, 40), (10, 40)], [[(20, 20), (30, 20), (30, 30), (20, 30)]])


def test_what_qupath_exports_comes_into_the_dataset_and_is_asked(raw, run, tmp_path):
    two = shapely.MultiPolygon([HOLED, box(100, 100, 120, 128)])
    written(tmp_path / "qupath/slide_1.geojson", [
        feature(two, name="core", what="Tumor", id="0ab1"),
        feature(blob(0, at=(64, 64), radius=30), what={"name": "Stroma", "colorRGB": -3670016}, id="0ab2"),
        feature(box(0, 0, 9, 9), what={"names": ["Tumor", "Positive"], "color": [1, 2, 3]}, id="0ab3"),
        feature(box(0, 0, 5, 5), what={"name": ""}, id="0ab4", kind="tissue"),
        feature(box(0, 0, 4, 4), id="0ab5", kind=None),
        feature(shapely.LineString([(0, 0), (9, 9)]), what="Tumor", id="0ab6"),
        feature(shapely.Point(3, 3), id="0ab7"),
        feature(box(0, 0, 4, 4), kind="cell", id="0ab8"),
        feature(box(0, 0, 4, 4), kind="detection", id="0ab9"),
    ])  # fmt: skip
    report = run(raw, annotations=tmp_path / "qupath")
    found = {row["region_id"]: row for row in regions(report)}
    assert {key: (row["name"], row["class"], row["color"]) for key, row in found.items()} == {
        "0ab1": ("core", "Tumor", "#c80000"),
        "0ab2": (None, "Stroma", "#c80000"),
        "0ab3": (None, "Tumor: Positive", "#010203"),
        "0ab4": (None, None, None),
        "0ab5": (None, None, None),
    }
    assert {(row["tissue_id"], row["mpp"]) for row in found.values()} == {("slide_1", 0.5)}
    assert found["0ab1"]["shape"].equals(two)
    notes = " ".join(report.notes)
    assert "5 regions: 2 without a class, 1 Tumor, 1 Stroma, 1 Tumor: Positive." in notes
    assert "1 LineString, 1 Point, 1 cell, 1 detection" in notes
    assert "Without annotations: 'slide_2'" in notes
    assert "pixels of the full resolution" in notes
    with Catalog(report.path.parent) as catalog:
        rows = catalog.sql("SELECT region_id, area, last_row FROM regions WHERE class = 'Tumor'").fetchall()
    assert rows == [("0ab1", pytest.approx(two.area), 120.0)]


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("slide_1.geojson", lambda features: features),
        ("slide_1.json", lambda features: json.dumps(features)),  # a bare list
        ("slide_1.geojson.gz", lambda features: features),
        ("SLIDE_1.GeoJSON", lambda features: features[0]),  # one feature, another case
        ("slide_01.geojson", lambda features: features),
        ("slide_1.ome.tiff.geojson", lambda features: features),
        ("slide_1.ome.tiff - Series 0.geojson", lambda features: features),
        ("slide_1_annotations.geojson", lambda features: features),
        ("exports/slide_1.geojson", lambda features: features),
    ],
)
def test_forms_and_names_of_files(raw, run, tmp_path, name, shape):
    written(tmp_path / "given" / name, shape([feature(HOLED, what="Tumor")]))
    (row,) = regions(run(raw, annotations=tmp_path / "given"))
    assert (row["tissue_id"], row["region_id"], row["class"]) == ("slide_1", "1", "Tumor")
    assert row["shape"].equals(HOLED)


def test_one_file_for_one_image(raw, run, tmp_path):
    place = written(tmp_path / "whatever.geojson", [feature(HOLED, what="Tumor")])
    (raw / "slide_2.ome.tiff").unlink()
    assert regions(run(raw, annotations=place))[0]["tissue_id"] == "slide_1"


def test_coordinates_are_scaled_with_the_images(raw, run, tmp_path):
    written(tmp_path / "given/slide_2.geojson", [feature(HOLED, what="Tumor")])
    report = run(raw, annotations=tmp_path / "given", mpp=1.0, source_mpp="file")
    (row,) = regions(report)
    assert row["mpp"] == 1.0
    assert row["shape"].equals(shapely.affinity.scale(HOLED, 0.5, 0.5, origin=(0, 0)))
    assert any("times 0.5" in note for note in report.notes)


def test_ids_that_do_not_tell_features_apart_become_numbers(raw, run, tmp_path):
    kinds = ("PathAnnotationObject", "PathCellObject", "PathAnnotationObject", "PathTileObject")
    old = [feature(box(0, 0, 9, 9), kind=None, id=name) for name in kinds]
    written(tmp_path / "given/slide_1.geojson", old)
    written(tmp_path / "given/slide_2.geojson", [feature(box(0, 0, 9, 9), id="x"), feature(box(0, 0, 8, 8), id="x")])
    report = run(raw, annotations=tmp_path / "given")
    assert [(row["tissue_id"], row["region_id"]) for row in regions(report)] == [
        ("slide_1", "1"), ("slide_1", "2"), ("slide_2", "1"), ("slide_2", "2")]  # fmt: skip
    assert any("1 cell, 1 tile" in note for note in report.notes)


def test_crossing_flat_open_and_outlying_outlines(raw, run, tmp_path):
    bow = {"type": "Polygon", "coordinates": [[[0, 0], [20, 20], [20, 0], [0, 20], [0, 0]]]}
    open_ring = {"type": "Polygon", "coordinates": [[[0, 0, 7], [20, 0, 7], [20, 10, 7]]]}
    flat = {"type": "Polygon", "coordinates": [[[0, 0], [20, 20], [40, 40], [0, 0]]]}
    dot = {"type": "Polygon", "coordinates": [[[1, 1], [1, 1], [1, 1], [1, 1]]]}
    shapes = [bow, open_ring, flat, dot, box(500, 500, 600, 600), box(-20, -20, 30, 30)]
    written(
        tmp_path / "given/slide_1.geojson",
        [feature(shape, what="Tumor", id=str(at)) for at, shape in enumerate(shapes)],
    )
    report = run(raw, annotations=tmp_path / "given")
    found = {row["region_id"]: row["shape"] for row in regions(report)}
    assert {name: shape.area for name, shape in found.items()} == {"0": 200, "1": 100, "4": 10_000, "5": 2_500}
    assert all(shape.is_valid for shape in found.values())
    notes = " ".join(report.notes)
    assert "cross themselves were taken for all that they go around: 1" in notes
    assert "without area: 1 region." in notes
    assert "1 Polygon of fewer than three points" in notes
    assert any("1 region of 4 outside of the image altogether" in text for text in report.decisions.warnings)


def test_a_dataset_gains_regions_with_what_is_added(raw, run, tmp_path):
    for name in ("slide_1", "slide_2"):
        written(tmp_path / f"given/{name}.geojson", [feature(HOLED, what="Tumor", id=f"of {name}")])
    later = tmp_path / "later"
    later.mkdir()
    (raw / "slide_2.ome.tiff").rename(later / "slide_2.ome.tiff")
    run(raw, annotations=tmp_path / "given/slide_1.geojson")
    report = run(later, annotations=tmp_path / "given", add=True)
    assert [row["tissue_id"] for row in regions(report)] == ["slide_1", "slide_2"]
    imported = json.loads((report.path / "metadata/import.json").read_text())["imports"]
    assert [made["options"]["annotations"] for made in imported] == ["slide_1.geojson", "given"]
    with pytest.raises(TableError, match=r"has the regions .*of slide_1.* already"):
        run(raw, annotations=tmp_path / "given", add=True, mpp=1.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no GeoJSON"),
        ("{", "is no GeoJSON"),
        ("[" * 100_000, "is no GeoJSON"),
        ("3", "no list of features"),
        ('{"type": "FeatureCollection"}', "no list of features"),
        ('{"type": "FeatureCollection", "features": {}}', "no list of features"),
        ("[3]", "Feature 1 of .* no GeoJSON feature: 3"),
        ('{"type": "Polygon", "coordinates": []}', "no GeoJSON feature"),
        ([{"type": "Feature", "properties": 3}], "properties that are no object"),
        ([feature({"coordinates": []})], "geometry without type"),
        ([feature({"type": "Polygon"})], "Polygon without rings: None"),
        ([feature({"type": "Polygon", "coordinates": {}})], "without rings"),
        ([feature({"type": "MultiPolygon", "coordinates": [[]]})], "without rings"),
        ([feature({"type": "Polygon", "coordinates": [[["0", "0"], ["1", "1"], ["2", "0"]]]})], "pairs of numbers"),
        ([feature({"type": "Polygon", "coordinates": [[[0], [1], [2]]]})], "pairs of numbers"),
        ([feature({"type": "Polygon", "coordinates": [[3, 4, 5]]})], "pairs of numbers"),
        ([feature({"type": "Polygon", "coordinates": [7]})], "pairs of numbers"),
        ([feature({"type": "Polygon", "coordinates": [[[0, 0], [True, 1], [2, 0]]]})], "pairs of numbers"),
        ([feature({"type": "Polygon", "coordinates": [[[0, 0], [float("nan"), 1], [2, 0]]]})], "pairs of numbers"),
        ([feature({"type": "Polygon", "coordinates": [[[0, 0], [1e300, 1], [2, 0]]]})], "pairs of numbers"),
        ([feature({"type": "Polygon", "coordinates": [[[0, 0], [10**400, 1], [2, 0]]]})], "pairs of numbers"),
        ([{**feature(HOLED), "properties": {"classification": 7}}], "classification that is no object"),
    ],
)  # fmt: skip
def test_broken_files_are_named_and_nothing_is_written(raw, run, tmp_path, text, words):
    place = written(tmp_path / "given/slide_1.geojson", text)
    with pytest.raises(FileFormatError, match=words) as caught:
        run(raw, annotations=tmp_path / "given")
    assert str(place) in str(caught.value)
    assert not (tmp_path / "lake" / "mine").exists()


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ((), "no annotations in"),
        (("other.geojson",), "annotations of none of the images"),
        (("slide_1.geojson", "sub/slide_1.geojson"), "all the tissue 'slide_1'"),
        (("slide_1.geojson", "slide_1.json"), "several files of one image"),
    ],
)
def test_files_that_belong_to_no_image_or_to_one_twice(raw, run, tmp_path, names, words):
    (tmp_path / "given").mkdir()
    for name in names:
        written(tmp_path / "given" / name, [feature(HOLED)])
    with pytest.raises(TableError, match=words):
        run(raw, annotations=tmp_path / "given")


def test_a_broken_archive_and_bytes(raw, run, tmp_path):
    for name, content in (("slide_1.geojson.gz", b"\x1f\x8bgarbage"), ("slide_1.geojson", b"\xff\xfe\x00{")):
        place = tmp_path / name.partition(".")[2] / name
        place.parent.mkdir()
        place.write_bytes(content)
        with pytest.raises(FileFormatError, match="is no GeoJSON"):
            run(raw, annotations=place.parent)


# ---------------------------------------------------------------------------------------------------------- ImageJ


def roi(points: Any, name: str = "") -> roifile.ImagejRoi:
    found = roifile.ImagejRoi.frompoints(np.asarray(points, np.float64))
    found.name = name
    return found


def test_rois_of_imagej(raw, run, tmp_path):
    (tmp_path / "rois").mkdir()
    line = roi([(0, 0), (9, 9)], "line")
    line.roitype = roifile.ROI_TYPE.LINE
    found = [
        roi([(5, 5), (40, 5), (40, 30)], "tumor-1"),
        roi([(50, 50), (60, 50), (60, 60), (50, 60)], "0055-0055"),
        line,
    ]
    roifile.roiwrite(tmp_path / "rois/slide_1_RoiSet.zip", found)
    with zipfile.ZipFile(tmp_path / "rois/slide_1_RoiSet.zip", "a") as archive:
        archive.writestr("__MACOSX/._tumor-1.roi", b"resource fork")
        archive.writestr("notes.txt", b"not a region")
    roi([(5.5, 5.25), (40, 5), (40, 30.5)], "stroma").tofile(tmp_path / "rois/slide_2.roi")
    report = run(raw, annotations=tmp_path / "rois")
    rows = regions(report)
    assert [(row["tissue_id"], row["name"], row["class"]) for row in rows] == [
        ("slide_1", "tumor-1", "tumor"), ("slide_1", "0055-0055", None), ("slide_2", "stroma", "stroma")]  # fmt: skip
    assert [row["shape"].area for row in rows] == [
        437.5,
        100.0,
        shapely.Polygon([(5.5, 5.25), (40, 5), (40, 30.5)]).area,
    ]
    assert any("its name without a number" in note for note in report.notes)
    assert any("1 line without area" in note for note in report.notes)


def test_rectangles_and_ovals_have_their_areas(raw, run, tmp_path):
    (raw / "slide_2.ome.tiff").unlink()
    shapes = [
        roifile.ImagejRoi(roitype=kind, top=10, left=20, bottom=50, right=80, name=kind.name)
        for kind in (roifile.ROI_TYPE.RECT, roifile.ROI_TYPE.OVAL)
    ]
    roifile.roiwrite(tmp_path / "slide_1.zip", shapes)
    rows = {row["class"]: row["shape"] for row in regions(run(raw, annotations=tmp_path / "slide_1.zip"))}
    assert rows["RECT"].equals(box(10, 20, 50, 80))
    assert rows["OVAL"].area == pytest.approx(np.pi * 20 * 30, rel=0.01)
    assert rows["OVAL"].bounds == pytest.approx((20, 10, 80, 50), abs=0.5)


def test_a_broken_roi_is_named(raw, run, tmp_path):
    (raw / "slide_2.ome.tiff").unlink()
    for content in (b"", b"Iout" + b"\0" * 3, b"no region at all" * 9):
        (tmp_path / "slide_1.roi").write_bytes(content)
        with pytest.raises(FileFormatError, match=r"slide_1\.roi"):
            run(raw, annotations=tmp_path / "slide_1.roi")


def test_what_is_not_installed_is_named(raw, run, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "shapely", None)
    written(tmp_path / "given/slide_1.geojson", [feature(HOLED)])
    with pytest.raises(MissingExtraError, match=r"spora-db\[annotations\]"):
        run(raw, annotations=tmp_path / "given")


def test_the_command_says_what_it_took(raw, tmp_path):
    written(tmp_path / "given/slide_1.geojson", [feature(HOLED, what="Tumor")])
    asked = ["import", raw, "--dataset", "mine", "--into", tmp_path / "lake", "--modality", "he", "--mpp", "0.5"]
    done = CliRunner().invoke(app, [*map(str, asked), "--annotations", str(tmp_path / "given")])
    assert done.exit_code == 0, done.output
    assert "regions: 1 region: 1 Tumor." in done.output
    done = CliRunner().invoke(app, ["validate", str(tmp_path / "lake"), "--deep"])
    assert "regions" not in done.output
    query = SporaQuery(tmp_path / "lake").modality("he").tissues()
    assert query.count() == 2


# -------------------------------------------------------------------------------------------------------- back out


def test_regions_go_out_as_they_came_in(raw, run, tmp_path):
    features = [feature(shapely.MultiPolygon([HOLED, box(70, 70, 90, 90.5)]), name="core", what="Tumor", id="a"),
                feature(blob(0, at=(64, 64), radius=30), id="b")]  # fmt: skip
    written(tmp_path / "given/slide_1.geojson", features)
    first = run(raw, annotations=tmp_path / "given", mpp=1.0, source_mpp="file")
    done = CliRunner().invoke(app, ["export-regions", str(tmp_path / "lake"), str(tmp_path / "out"), "--mpp", "0.5"])
    assert done.exit_code == 0, done.output
    assert [path.relative_to(tmp_path).as_posix() for path in (tmp_path / "out").rglob("*.geojson")] == [
        "out/mine/slide_1.geojson"
    ]
    exported = json.loads((tmp_path / "out/mine/slide_1.geojson").read_text())["features"]
    assert [shapely.geometry.shape(item["geometry"]).equals(shapely.geometry.shape(given["geometry"]))
            for item, given in zip(exported, features, strict=True)] == [True, True]  # fmt: skip
    again = run(raw, annotations=tmp_path / "out/mine", mpp=1.0, source_mpp="file", overwrite=True)
    before = regions(first)
    assert [(r["region_id"], r["name"], r["class"], r["color"], r["mpp"]) for r in regions(again)] == [
        (r["region_id"], r["name"], r["class"], r["color"], r["mpp"]) for r in before]  # fmt: skip
    assert all(one["shape"].equals(other["shape"]) for one, other in zip(regions(again), before, strict=True))
