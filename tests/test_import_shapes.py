"""Import of what tools and people write: pixels, names, ids, masks and cells are those of the source."""

import csv
import json
import re
import sys
import unicodedata
from pathlib import Path

import imagecodecs
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile
from typer.testing import CliRunner

from imports import importing
from lakes import coordinates_image
from spora_db import errors
from spora_db.cli import app
from spora_db.images import open_image, read_region, write_ometiff, write_omezarr
from spora_db.importing.accessions import TABLE, target_of
from spora_db.importing.spellings import folded, split_name
from spora_db.masks import load_label_mask
from spora_db.validation import validate

HEIGHT, WIDTH = 24, 32
MARKERS = ["DNA", "CD3", "CD8", "Ki-67"]
TAGS = ["Ir191", "Er170", "Dy162", "Er168"]
PANEL = "channel,name,keep\n" + "".join(f"{tag},{name},1\n" for tag, name in zip(TAGS, MARKERS, strict=True))


def pixels(number=0, channels=4):
    return coordinates_image(channels, HEIGHT, WIDTH, offset=7 * number)


@pytest.fixture
def bring(tmp_path):
    return importing(tmp_path, tissue_mask="full")


def image_of(report, tissue):
    [path] = report.path.glob(f"*/*/images/{tissue}.ome.*")
    return read_region(open_image(path))


def panel_of(report):
    return pq.read_table(report.path / "imc/channels.parquet").to_pydict()


def said(report, *, about, warning=None):
    rows = [row for row in report.decisions.rows if row.about == about and warning in (None, row.warning)]
    return " ".join(row.says for row in rows)


def pages(path: Path, planes, names):
    """A TIFF whose pages have names, or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tifffile.TiffWriter(path) as tiff:
        for plane, name in zip(planes, names, strict=True):
            tags = [] if name is None else [(285, "s", 0, name, True)]
            tiff.write(plane, photometric="minisblack", metadata=None, extratags=tags)
    return path


# How channels are matched ---------------------------------------------------------------------------------------------

SPELLED = {
    "names": (MARKERS, "name"),
    "other case": ([name.lower() for name in MARKERS], "name"),
    "metals": (TAGS, "name"),
    "mass first": ([tag[2:] + tag[:2] for tag in TAGS], "tag"),
    "mass and marker": ([f"{t[2:]}{t[:2]}_{n}" for t, n in zip(TAGS, MARKERS, strict=True)], "spelling"),
    "as text files of the instrument": ([f"{n}({t}Di)" for t, n in zip(TAGS, MARKERS, strict=True)], "spelling"),
    "masses in brackets": ([f"{n} ({t[2:]})" for t, n in zip(TAGS, MARKERS, strict=True)], "spelling"),
    "field of view before all": ([f"ROI001_{n}" for n in MARKERS], "name"),
    "no hyphens": (["DNA", "CD-3", "CD_8", "Ki67"], "spelling"),
}


@pytest.mark.some(3)
@pytest.mark.parametrize(("names", "how"), SPELLED.values(), ids=SPELLED)
def test_pages_are_known_by_any_spelling_whatever_their_order(bring, tmp_path, names, how):
    order = [2, 0, 3, 1]
    pages(tmp_path / "raw/a.tiff", pixels()[order], [names[at] for at in order])
    report = bring(tmp_path / "raw", panel=PANEL)
    np.testing.assert_array_equal(image_of(report, "a"), pixels(), strict=True)
    kept = json.loads((report.path / "metadata/import.json").read_text())["imports"][0]
    [row] = [row for row in kept["decisions"] if "channels" in row["details"]]
    assert [item["channel"] for item in row["details"]["channels"]] == MARKERS
    assert how in {item["how"] for item in row["details"]["channels"]}
    assert [item["page"] for item in row["details"]["channels"]] == [order.index(at) for at in range(4)]
    assert not report.decisions.warnings


def test_a_page_may_be_named_by_its_accession(bring, tmp_path):
    pages(tmp_path / "raw/a.tiff", pixels(0, 2), ["p01732", "P07766"])
    report = bring(tmp_path / "raw", panel="name,accession\nCD3,P07766\nCD8,P01732\n")
    np.testing.assert_array_equal(image_of(report, "a"), pixels(0, 2)[::-1])
    assert "by UniProt accession" in said(report, about="channels")


def test_channels_may_be_known_by_the_number_of_the_page(bring, tmp_path):
    pages(tmp_path / "raw/a.tiff", pixels(), [None] * 4)
    panel = "channel_number,cycle_number,marker_name\n4,1,D\n2,1,B\n1,1,A\n3,1,C\n"
    report = bring(tmp_path / "raw", panel=panel)
    np.testing.assert_array_equal(image_of(report, "a"), pixels()[[3, 1, 0, 2]])
    assert panel_of(report)["channel_name"] == ["D", "B", "A", "C"]
    assert "by the panel's channel numbers" in said(report, about="channels", warning=False)
    with pytest.raises(errors.TableError, match=r"numbers its channels up to 4.*has 3 pages"):
        bring(pages(tmp_path / "b.tiff", pixels(0, 3), [None] * 3), panel=panel, dataset="other")


@pytest.mark.parametrize("names", [[None] * 4, [f"Channel:0:{at}" for at in range(4)]], ids=["none", "made up"])
def test_order_is_taken_only_where_nothing_names_the_pages_and_with_a_warning(bring, tmp_path, names):
    pages(tmp_path / "raw/a.tiff", pixels(), names)
    report = bring(tmp_path / "raw", panel=PANEL)
    [first, second] = report.decisions.warnings
    assert "order of the panel: page 0" in first
    assert "= DNA; page 1" in first
    assert "DNA (191) stands before CD3 (170)" in second
    told = bring(tmp_path / "raw", panel="name\nA\nB\nC\nD\n", match="order", dataset="sure")
    assert told.decisions.warnings == ()
    assert "page 3" in said(told, about="channels")


def test_pages_with_names_win_even_where_one_has_none(bring, tmp_path):
    pages(tmp_path / "raw/a.tiff", pixels(0, 3), ["CD3 (117)", None, "HH3 (89)"])
    report = bring(tmp_path / "raw", panel="Mass,Target\n89,HH3\n117,CD3\n")
    np.testing.assert_array_equal(image_of(report, "a"), pixels(0, 3)[[2, 0]])
    assert report.decisions.warnings == (
        "Left out: page 1. Pages without a name are no channel where others have names.",
    )
    with pytest.raises(errors.TableError, match=r"no page for 'CD8'.*'page 1, without a name'.*Name every page"):
        bring(tmp_path / "raw", panel="Mass,Target\n89,HH3\n117,CD3\n120,CD8\n", dataset="more")


def test_pages_that_no_row_has_are_named_beside_those_that_they_may_be(bring, tmp_path):
    pages(tmp_path / "raw/a.tiff", pixels(0, 3), ["Collagen I", "CD3", "Vimentine"])
    with pytest.raises(
        errors.TableError, match=r"Perhaps 'Collagen I' is 'Collagen I[+]FN', 'Vimentine' is 'Vimentin'"
    ):
        bring(tmp_path / "raw", panel="name\nCollagen I+FN\nCD3\nVimentin\n")


def test_a_page_that_is_two_channels_is_refused(bring, tmp_path):
    pages(tmp_path / "raw/a.tiff", pixels(0, 2), ["141Pr_CD3", "142Nd_CD8"])
    with pytest.raises(errors.TableError, match="'CD3' by its name, and 'CD8' by its metal Pr141"):
        bring(tmp_path / "raw", panel="metal,name\nNd142,CD3\nPr141,CD8\n")


def test_names_that_contradict_an_order_asked_for_are_told(bring, tmp_path):
    pages(tmp_path / "raw/a.tiff", pixels(0, 2), ["CD8", "CD3"])
    report = bring(tmp_path / "raw", panel="name\nCD3\nCD8\n", match="order")
    assert "page 0 'CD8' = CD3" in report.decisions.warnings[0]


@pytest.mark.parametrize(
    ("name", "marker", "tag"),
    [
        ("CD3 (117)", "CD3", "117"),
        ("141Pr_CD3", "CD3", "Pr141"),
        ("Pr141", None, "Pr141"),
        ("CD3-Pr-141", "CD3", "Pr141"),
        ("89Y-CD45", "CD45", "Y89"),
        ("HLA-DR(Gd160Di)", "HLA-DR", "Gd160"),
        ("80ArAr", None, "ArAr80"),
        ("CD141", "CD141", None),
        ("p75 (CD271)", "p75 (CD271)", None),
        ("Keratin (14)", "Keratin (14)", None),
        ("Iridium (V2)", "Iridium (V2)", None),
        ("Cadherin-11", "Cadherin-11", None),
        ("Yb172_Histone H3", "Histone H3", "Yb172"),
    ],
)
def test_names_are_split_into_marker_and_tag(name, marker, tag):
    found = split_name(name)
    assert (found.marker, found.tag) == (marker, tag)


# What files say of themselves -----------------------------------------------------------------------------------------


def sized(path, kind):
    """An image that says 0.325 microns per pixel, in the words of several programs."""
    planes = (np.arange(2 * HEIGHT * WIDTH).reshape(2, HEIGHT, WIDTH) % 999).astype(np.uint16)
    size = {"PhysicalSizeX": 0.325, "PhysicalSizeY": 0.325}
    if kind == "ome":
        tifffile.imwrite(path, planes, metadata={"axes": "CYX", **size}, photometric="minisblack")
    elif kind == "ome in nm":
        nm = {"PhysicalSizeX": 325, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 325, "PhysicalSizeYUnit": "nm"}
        tifffile.imwrite(path, planes, metadata={"axes": "CYX", **nm}, photometric="minisblack")
    elif kind == "imagej":
        tifffile.imwrite(path, planes, imagej=True, resolution=(1 / 0.325,) * 2, metadata={"axes": "CYX", "unit": "um"})
    elif kind == "centimetres":
        inverse = (1e4 / 0.325,) * 2
        tifffile.imwrite(path, planes, resolution=inverse, resolutionunit=3, photometric="minisblack", metadata=None)
    else:
        write_omezarr(path, planes, mpp=0.325)


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("kind", "suffix"),
    [
        ("ome", ".ome.tif"),
        ("ome in nm", ".ome.tif"),
        ("imagej", ".tif"),
        ("centimetres", ".tif"),
        ("zarr", ".ome.zarr"),
    ],
)
def test_a_resolution_other_than_the_file_says_is_told(bring, tmp_path, kind, suffix):
    (tmp_path / "raw").mkdir()
    sized(tmp_path / f"raw/a{suffix}", kind)
    report = bring(tmp_path / "raw", panel="name\nA\nB\n", match="order")
    [warning] = report.decisions.warnings
    assert "says 1 microns per pixel" in warning
    assert "0.325" in warning
    assert "--mpp" in warning
    right = bring(tmp_path / "raw", panel="name\nA\nB\n", match="order", mpp=0.33, dataset="near")
    assert right.decisions.warnings == ()


def test_dots_per_inch_of_paper_are_no_resolution(bring, tmp_path):
    (tmp_path / "raw").mkdir()
    options = {"resolution": (72, 72), "resolutionunit": 2, "metadata": None, "photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "raw/a.tif", pixels(0, 2), **options)
    report = bring(tmp_path / "raw", panel="name\nA\nB\n", match="order")
    assert "No file says its resolution" in said(report, about="resolution", warning=False)


def test_a_second_image_in_a_file_is_told(bring, tmp_path):
    (tmp_path / "raw").mkdir()
    with tifffile.TiffWriter(tmp_path / "raw/slide.ome.tif") as tiff:
        for number, size in enumerate((32, 48)):
            meta = {"axes": "CYX", "Name": f"ROI_00{number + 1}", "Channel": {"Name": ["DNA", "CD3"]}}
            tiff.write(np.full((2, size, size), number, "u2"), metadata=meta, photometric="minisblack")
    report = bring(tmp_path / "raw")
    [warning] = report.decisions.warnings
    assert "holds 2 images" in warning
    assert "taken: 'ROI_002'" in warning
    assert "Left out: 'ROI_001'" in warning
    assert image_of(report, "slide").shape == (2, 48, 48)


def test_a_pyramid_and_its_thumbnail_are_no_second_image(bring, tmp_path):
    slide = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    (tmp_path / "raw").mkdir()
    with tifffile.TiffWriter(tmp_path / "raw/slide.tif") as tiff:
        tiff.write(slide, subifds=1, photometric="rgb", metadata=None)
        tiff.write(slide[::2, ::2], subfiletype=1, photometric="rgb", metadata=None)
        tiff.write(slide[::8, ::8], photometric="rgb", description="thumbnail", metadata=None)
    report = bring(tmp_path / "raw", modality="he")
    assert report.decisions.warnings == ()
    np.testing.assert_array_equal(image_of(report, "slide"), np.moveaxis(slide, 2, 0))


# Saying it ------------------------------------------------------------------------------------------------------------


def test_a_dry_run_says_the_same_and_writes_nothing(bring, tmp_path):
    for number, tissue in enumerate(["a", "b"]):
        write_ometiff(tmp_path / f"raw/{tissue}.ome.tiff", pixels(number), mpp=1.0, channel_names=MARKERS)
    before = sorted(tmp_path.rglob("*"))
    tried = bring(tmp_path / "raw", dry_run=True)
    assert sorted(tmp_path.rglob("*")) == before
    written = bring(tmp_path / "raw")
    assert (tried.written, written.written) == (False, True)
    assert tried.decisions == written.decisions
    assert (tried.tissues, tried.channels, tried.path) == (written.tissues, written.channels, written.path)
    kept = json.loads((written.path / "metadata/import.json").read_text())["imports"]
    assert [row["says"] for row in kept[0]["decisions"]] == list(written.notes)
    assert kept[0]["options"]["source"] == "raw"
    assert str(tmp_path) not in json.dumps(kept[0]["options"])


def test_a_dry_run_finds_what_writing_would_refuse(bring, tmp_path):
    write_ometiff(tmp_path / "raw/a.ome.tiff", pixels(), mpp=1.0, channel_names=MARKERS)
    (tmp_path / "seg").mkdir()
    wrong = np.ones((HEIGHT, WIDTH + 1), np.uint16)
    for name, write in (("a.tiff", tifffile.imwrite), ("a.npz", lambda path, mask: np.savez(path, mask=mask))):
        write(tmp_path / "seg" / name, wrong)
        for option in ("masks", "cell_masks"):
            with pytest.raises(errors.FileFormatError, match=r"24 x 33, but the image .* is 24 x 32"):
                bring(tmp_path / "raw", dry_run=True, **{option: tmp_path / "seg"})
        (tmp_path / "seg" / name).unlink()
    with pytest.raises(errors.ArgumentError, match="does not hold the panel's channels in the panel's order"):
        bring(tmp_path / "raw", dry_run=True, images="link", panel="name\nCD3\nDNA\nCD8\nKi-67\n")
    with pytest.raises(errors.ArgumentError, match="cannot be linked or copied as one image"):
        bring(channel_folders(tmp_path / "fields", ["a"]), dry_run=True, images="copy")


def test_the_command_prints_what_was_decided(tmp_path):
    write_ometiff(tmp_path / "raw/a.ome.tiff", pixels(), mpp=0.5, channel_names=MARKERS)
    arguments = ["import", str(tmp_path / "raw"), "--dataset", "mine", "--into", str(tmp_path / "lake")]
    arguments += ["--modality", "imc", "--mpp", "1.0", "--dry-run"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "mine: 1 tissue, 4 channels (dry run: nothing was written)" in result.stdout
    assert "channels: 4 channels: 4 by name. page 0 = DNA" in result.stdout
    assert "warning: resolution: The command says 1 microns per pixel" in result.stdout
    assert not (tmp_path / "lake").exists()


# Ids and tables -------------------------------------------------------------------------------------------------------


def channel_folders(raw: Path, tissues, channels=("DNA", "CD3"), inner=""):
    """A folder per field of view with a TIFF per channel, as ark and MIBI write them."""
    for number, tissue in enumerate(tissues):
        folder = raw / tissue / inner
        folder.mkdir(parents=True)
        for name, plane in zip(channels, pixels(number, len(channels)), strict=True):
            tifffile.imwrite(folder / f"{name}.tiff", plane)
    return raw


def tissues_of(report):
    return pq.read_table(report.path / "metadata/tissues.parquet").to_pylist()


def cells_of(report):
    return pq.read_table(report.path / "metadata/cells.parquet").to_pydict()


KEYS = {
    "ids": (["roi_01", "roi_02"], "id"),
    "file names": (["roi_01.tiff", "roi_02.ome.tif"], "file name"),
    "paths": (["/data/x/roi_01.tiff", "C:\\data\\roi_02.tiff"], "file name"),
    "other case": (["ROI_01", "Roi_02.TIFF"], "letter case"),
    "without zeros": (["roi_1", "roi_2"], "leading zeros"),
    "with zeros": (["roi_001", "ROI_002"], "leading zeros"),
}


@pytest.mark.some(3)
@pytest.mark.parametrize(("values", "how"), KEYS.values(), ids=KEYS)
def test_tables_are_joined_by_any_spelling_of_an_id_and_say_how(bring, tmp_path, values, how):
    raw = channel_folders(tmp_path / "raw", ["roi_01", "roi_02"])
    sheet = "No,Image,age\n1,{1},62\n2,{0},61\n".format(*values)
    report = bring(raw, metadata=sheet, cells="IMAGE,Object,area\n{},1,5.5\n{},1,6\n".format(*values))
    assert [row["age"] for row in tissues_of(report)] == [61, 62]
    assert cells_of(report)["tissue_id"] == ["roi_01", "roi_02"]
    assert not [row for row in report.decisions.rows if row.warning and row.about != "checks"]
    for about in ("metadata", "cells"):
        assert f"by {how}" in said(report, about=about)


def test_one_id_column_may_be_that_of_one_table_only(bring, tmp_path):
    raw = channel_folders(tmp_path / "raw", ["a", "b"])
    cells = "fov,Object\na.tiff,1\nb,1\nother,1\n"
    for column in ("picture", "fov"):
        report = bring(raw, metadata="picture,fov_nr\na,1\nb,2\n", cells=cells, id_column=column, dataset=column)
        assert cells_of(report)["tissue_id"] == ["a", "b"]
        assert "'picture'" in said(report, about="metadata")
    with pytest.raises(errors.UnknownNameError, match="Did you mean 'fov'"):
        bring(raw, metadata="picture,x\na,1\nb,2\n", cells=cells, id_column="fovs", dataset="x")
    same = bring(raw, metadata="fov,x\na,1\nb,2\n", cells=cells, dataset="same")
    assert cells_of(same)["tissue_id"] == ["a", "b"]


TOGETHER = {
    "row and column": (["A-1", "A-2"], "row,column,x\nA,2,2\nA,1,1\nB,1,9\n"),
    "the column names what is a number": (["slide 1 core 01", "slide 1 core 02"], "Core,Slide ID,x\n2,1,2\n1,1,1\n"),
    "three": (["T1_B-1", "T1_B-2"], "column,tma,row,x\n1,T1,B,1\n1,T2,B,9\n2,T1,B,2\n"),
}


@pytest.mark.parametrize(("tissues", "sheet"), TOGETHER.values(), ids=TOGETHER)
def test_several_columns_may_name_a_tissue_together(bring, tmp_path, tissues, sheet):
    raw = channel_folders(tmp_path / "raw", tissues)
    report = bring(raw, metadata=sheet)
    assert [row["x"] for row in tissues_of(report)] == [1, 2]
    assert "by the parts of the names" in said(report, about="metadata")


def test_several_columns_that_fit_no_tissue_change_nothing(bring, tmp_path):
    raw = channel_folders(tmp_path / "raw", ["A-1", "A-2"])
    with pytest.raises(errors.TableError, match="no column that names the 2 images"):
        bring(raw, metadata="row,column\nA,1\nB,2\n")
    with pytest.raises(errors.TableError, match="no column that names the 2 images"):  # 1 and 12 are not 11 and 2
        bring(channel_folders(tmp_path / "numbers", ["11_2", "11_3"]), metadata="slide,core\n1,12\n1,13\n")


def test_measurements_are_no_ids_of_images_that_are_called_by_numbers(bring, tmp_path):
    raw = channel_folders(tmp_path / "raw", ["1"])
    report = bring(raw, cells="CellID,DNA,CD3\n1,2,0.5\n2,1,1\n3,7,1\n")
    assert cells_of(report)["cell_id"] == [1, 2, 3]
    assert "All rows of cells.csv are of the only image" in said(report, about="cells")


def test_accents_of_file_names_may_be_characters_of_their_own(bring, tmp_path):
    raw = channel_folders(tmp_path / "raw", [unicodedata.normalize("NFD", "Zürich")])
    report = bring(raw, metadata="image,x\nZürich,1\n")
    assert [row["x"] for row in tissues_of(report)] == [1]


def test_zeros_that_tell_tissues_apart_are_not_dropped(bring, tmp_path):
    raw = channel_folders(tmp_path / "raw", ["1", "01"])
    report = bring(raw, metadata="image,x\n1,a\n01,b\n")
    assert [(row["tissue_id"], row["x"]) for row in tissues_of(report)] == [("01", "b"), ("1", "a")]
    with pytest.raises(errors.TableError, match="'001', which is several tissues but for leading zeros"):
        bring(raw, metadata="image,x\n1,a\n001,b\n", dataset="other")
    alone = channel_folders(tmp_path / "alone", ["1"])
    report = bring(alone, metadata="image,x\n1,a\n01,b\n", dataset="alone")
    assert [row["x"] for row in tissues_of(report)] == ["a"]
    with pytest.raises(errors.TableError, match="'01', '001', which are all the tissue '1'"):
        bring(alone, metadata="image,x\n01,a\n001,b\n", dataset="other")


def test_ids_are_text_in_any_spelling_of_their_column(bring, tmp_path):
    raw = channel_folders(tmp_path / "raw", ["f1", "f2"])
    sheet = "image,Patient ID,slide,Core_ID,code,well,age,dose\nf1, 0012 ,7,3,007,1E5,61,1e-3\nf2,0013,8,4,8,2E5,,2.5\n"
    report = bring(raw, metadata=sheet)
    first, second = tissues_of(report)
    assert (first["patient_id"], first["slide"], first["Core_ID"], first["code"]) == ("0012", "7", "3", "007")
    assert (first["well"], first["age"], first["dose"]) == ("1E5", 61, 1e-3)
    assert (second["well"], second["age"], second["dose"]) == ("2E5", None, 2.5)
    assert "'Patient ID' of metadata.csv is 'patient_id'" in said(report, about="metadata")


@pytest.mark.parametrize("how", ["sheets", "pattern", "folders"])
def test_a_table_of_patients_is_joined_by_patient(bring, tmp_path, how):
    patients = tmp_path / "clinic.csv"
    pattern = "{patient}/{tissue}/{channel}.tiff" if how == "pattern" else None
    patients.write_text("Patient;grade;Sex\np2;3;F\nP1;2;M\np9;1;M\n")
    if how == "sheets":
        raw = channel_folders(tmp_path / "raw", ["a", "b", "c"])
        (tmp_path / "images.csv").write_text("image,patient_id\na,p1\nb,p2\nc,p1\n")
        report = bring(raw, metadata=[tmp_path / "images.csv", patients])
    else:
        raw = channel_folders(tmp_path / "raw", ["p1/a", "p2/b", "p1/c"])
        report = bring(raw, metadata=[patients], pattern=pattern)
    assert [row["grade"] for row in tissues_of(report)] == [2, 3, 2]
    assert "by patient" in said(report, about="metadata")
    assert "1 row of clinic.csv left out" in said(report, about="metadata")
    patients.write_text("Patient,grade\np1,2\n")
    given = [tmp_path / "images.csv", patients] if how == "sheets" else [patients]
    with pytest.raises(errors.TableError, match="no row for 1 of 2 patients of the images: 'p2'"):
        bring(raw, metadata=given, pattern=pattern, dataset="x")


ENCODED = {
    "utf-8 with a mark": "utf-8-sig",
    "latin-1": "latin-1",
    "windows": "cp1252",
    "utf-16": "utf-16",
    "utf-16 without a mark": "utf-16-le",
}


@pytest.mark.some(3)
@pytest.mark.parametrize("encoding", ENCODED.values(), ids=ENCODED)
def test_tables_of_any_encoding(bring, tmp_path, encoding):
    raw = channel_folders(tmp_path / "raw", ["f1"])
    (tmp_path / "m.csv").write_bytes("image;Größe;Ort\nf1;1,5;Zürich\n".encode(encoding))
    report = bring(raw, metadata=tmp_path / "m.csv")
    [row] = tissues_of(report)
    assert (row["Größe"], row["Ort"]) == (1.5, "Zürich")
    assert "Decimal commas of m.csv were read as points: 'Größe'" in said(report, about="metadata")
    told = "it is no UTF-8" in said(report, about="metadata")
    assert told != encoding.startswith("utf-8")


ODD_TABLES = {
    "pandas index": (",image,x\n0,f1,a\n1,f2,b\n", {"x": ["a", "b"]}),
    "pandas index twice": ("Unnamed: 0,image,x\n5,f1,a\n7,f2,b\n", {"x": ["a", "b"], "row_name": [5, 7]}),
    "R row names": ('"image","x"\n"r1","f1","a"\n"r2","f2","b"\n', {"x": ["a", "b"], "row_name": ["r1", "r2"]}),
    "R with blanks": ('"image" "x"\n"1" "f1" "a"\n"2" "f2" "b"\n', {"x": ["a", "b"]}),
    "Excel with empty columns and rows": ("image;x;;\nf1;a;;\nf2;b;;\n;;;\n", {"x": ["a", "b"]}),
    "Excel says how": ("sep=;\nimage;x\nf1;a\nf2;b\n", {"x": ["a", "b"]}),
    "columns that differ in case": ("image,Age,age\nf1,61,x\nf2,62,y\n", {"Age": [61, 62], "age_2": ["x", "y"]}),
    "tabs": ("image\tx\nf1\ta\nf2\tb\n", {"x": ["a", "b"]}),
    "blanks around": ("image , x\n f1 , a \nf2,b\n", {"x": ["a", "b"]}),
    "nothing in many words": ("image,x,y\nf1,NA,N/A\nf2,1,\n", {"x": [None, 1], "y": [None, None]}),
    "quoted delimiters and lines": ('image,x\nf1,"a, b"\nf2,"c\nd"\n', {"x": ["a, b", "c\nd"]}),
    "dates and truth": ("image,d,t\nf1,2020-01-31,True\nf2,2021-02-01,false\n", {"t": [True, False]}),
}  # fmt: skip


@pytest.mark.some(3)
@pytest.mark.parametrize(("text", "expected"), ODD_TABLES.values(), ids=ODD_TABLES)
def test_tables_as_they_come(bring, tmp_path, text, expected):
    report = bring(channel_folders(tmp_path / "raw", ["f1", "f2"]), metadata=text)
    rows = tissues_of(report)
    assert {name: [row[name] for row in rows] for name in expected} == expected
    own = set(rows[0]) - {"tissue_id", "dataset", "modality", "image", "d"}
    assert own == set(expected)


def test_a_table_in_parquet_and_one_that_is_compressed(bring, tmp_path):
    import gzip

    raw = channel_folders(tmp_path / "raw", ["f1", "f2"])
    pq.write_table(pa.table({"image": ["f2", "f1"], "Patient_ID": [2.0, 1.0], "n": [5, 6]}), tmp_path / "m.parquet")
    (tmp_path / "c.csv.gz").write_bytes(gzip.compress(b"fov,label\nf1,1.0\nf2,3.0\n"))
    report = bring(raw, metadata=tmp_path / "m.parquet", cells=tmp_path / "c.csv.gz")
    assert [(row["patient_id"], row["n"]) for row in tissues_of(report)] == [("1", 6), ("2", 5)]
    assert cells_of(report)["cell_id"] == [1, 3]


def test_a_workbook_of_excel(bring, tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["image", "Patient_ID", "code", "age", "day"], ["f1", 12, 7, 61.5, None], ["f2", 13, 8, None, None]):
        book.active.append(row)
    for row in (2, 3):
        book.active.cell(row, 3).number_format = "000"
    book.create_sheet("notes").append(["see mail"])
    book.save(tmp_path / "m.xlsx")
    raw = channel_folders(tmp_path / "raw", ["f1", "f2"])
    report = bring(raw, metadata=tmp_path / "m.xlsx")
    found = [(row["patient_id"], row["code"], row["age"]) for row in tissues_of(report)]
    assert found == [("12", "007", 61.5), ("13", "008", None)]
    assert "the first, 'Sheet', was taken. Left out: 'notes'" in said(report, about="metadata")


def test_formats_that_need_more_say_what(bring, tmp_path, monkeypatch):
    raw = channel_folders(tmp_path / "raw", ["f1"])
    for name, words in (("m.xls", "before 2007"), ("m.rds", "write.csv"), ("m.ods", "Save it as")):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(errors.FileFormatError, match=words):
            bring(raw, metadata=tmp_path / name)
    (tmp_path / "m.csv").write_bytes(b"PK\x03\x04...")
    with pytest.raises(errors.FileFormatError, match=r"name it [.]xlsx"):
        bring(raw, metadata=tmp_path / "m.csv")
    (tmp_path / "m.xlsx").write_bytes(b"PK\x03\x04...")
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(errors.MissingExtraError, match=r"spora-db\[excel\]"):
        bring(raw, metadata=tmp_path / "m.xlsx")


PANELS = {
    "mcmicro": "channel_number,cycle_number,marker_name\n1,1,DNA\n2,1,CD3\n",
    "CODEX": "cycle,biomarker\n1,DNA\n1,CD3\n",
    "IMC panels": "Tube Number,Metal Tag,Target,full\n1,Ir191,DNA,1\n2,Er170,CD3,1\n3,Pr141,CD8,0\n",
    "HuBMAP": "channel_id\tprotein\tUniProtKB\tclone\n1\tDNA\t\tx\n2\tCD3\tP07766\ty\n",
    "a list": "DNA\nCD3\n",
    "R": '"","Metal.Tag","Clean.Target"\n"1","Ir191","DNA"\n"2","Er170","CD3"\n',
    "metals without a header": "191Ir,DNA\n170Er,CD3\n",
    "numbers without a header": "1 DNA\n2 CD3\n",
    "numbers and metals without a header": "1\tIr191\tDNA\n2\tEr170\tCD3\n",
    "names with tags": "name\nDNA_191Ir\nCD3_170Er\n",
}


@pytest.mark.some(3)
@pytest.mark.parametrize("text", PANELS.values(), ids=PANELS)
def test_panels_in_the_words_of_the_field(bring, tmp_path, text):
    raw = channel_folders(tmp_path / "raw", ["f1"])
    report = bring(raw, panel=text)
    assert report.channels == ("DNA", "CD3")
    np.testing.assert_array_equal(image_of(report, "f1"), pixels(0, 2))
    assert panel_of(report)["uniprot_id"] == [None, "P07766"]


def test_names_of_images_are_split_where_they_stay_different(bring, tmp_path):
    names = ["ROI001_DNA_191Ir", "ROI001_DNA_193Ir", "ROI001_CD3_170Er"]
    raw = channel_folders(tmp_path / "raw", ["f1"], names)
    report = bring(raw)
    assert report.channels == ("CD3", "DNA_191Ir", "DNA_193Ir")
    assert panel_of(report)["metal_tag"] == ["Er170", "Ir191", "Ir193"]
    np.testing.assert_array_equal(image_of(report, "f1"), pixels(0, 3)[[2, 0, 1]])


# Cells ----------------------------------------------------------------------------------------------------------------


def label_mask():
    labels = np.zeros((HEIGHT, WIDTH), np.uint16)
    labels[2:8, 2:9], labels[10:15, 4:20], labels[18:22, 25:30] = 1, 2, 5
    return labels


def masked(tmp_path, name="f1_whole_cell.tiff", tissue="f1"):
    channel_folders(tmp_path / "raw", [tissue])
    (tmp_path / "seg").mkdir(parents=True)
    tifffile.imwrite(tmp_path / "seg" / name, label_mask())
    return {"source": tmp_path / "raw", "cell_masks": tmp_path / "seg"}


def test_cells_that_no_mask_has_are_refused(bring, tmp_path):
    given = masked(tmp_path)
    with pytest.raises(errors.TableError, match=r"2 cells of 3 in .* are in no cell mask: 'f1': 0, 7"):
        bring(**given, cells="image,Object\nf1,0\nf1,1\nf1,7\n")
    report = bring(**given, cells="image,Object\nf1,2\n")
    [warning] = report.decisions.warnings
    assert "2 labels of the cell masks have no row in cells.csv: 'f1': 1, 5" in warning
    whole = bring(**given, cells="image,Object\nf1,2\nf1,1\nf1,5\n", dataset="whole")
    assert whole.decisions.warnings == ()
    assert "Every cell of cells.csv is in its mask" in said(whole, about="cells")


def test_a_table_of_cells_of_the_only_image_need_not_name_it(bring, tmp_path):
    report = bring(**masked(tmp_path), cells="CellID,DNA,X_centroid,Y_centroid\n1,2.5,4,4\n2,1,12,12\n5,0,27,20\n")
    assert cells_of(report)["tissue_id"] == ["f1"] * 3
    raw = channel_folders(tmp_path / "two", ["f1", "f2"])
    with pytest.raises(errors.TableError, match="no column that names the 2 images"):
        bring(raw, cells="CellID,DNA\n1,2.5\n", dataset="two")


@pytest.mark.some(2)
@pytest.mark.parametrize("header", ["CellID,cell_id", "CellID,Object", "cell_id,label", "Object ID,Object"])
def test_of_several_columns_of_cells_that_with_the_labels_is_taken(bring, tmp_path, header):
    first, second = header.split(",")
    odd = ("2", "5") if first == "cell_id" else ("17_C_5", "17_C_6")
    other = ("9", "8") if first == "cell_id" else ("2", "5")
    report = bring(**masked(tmp_path), cells=f"image,{header}\nf1,{odd[0]},{other[0]}\nf1,{odd[1]},{other[1]}\n")
    cells = cells_of(report)
    assert cells["cell_id"] == [2, 5]
    kept = second if first == "cell_id" else first
    assert cells[kept] == ([9, 8] if first == "cell_id" else list(odd))


def test_a_table_of_cells_for_each_image(bring, tmp_path):
    raw = channel_folders(tmp_path / "raw", ["exemplar-001", "exemplar-002"])
    (tmp_path / "q").mkdir()
    (tmp_path / "q/unmicst-exemplar-001_cell.csv").write_text("CellID,DNA\n1,2.5\n2,3\n")
    (tmp_path / "q/exemplar-002--unmicst_cell.csv").write_text("CellID,DNA,CD3\n1,2,7\n")
    report = bring(raw, cells=tmp_path / "q")
    cells = cells_of(report)
    assert list(zip(cells["tissue_id"], cells["cell_id"], cells["CD3"], strict=True)) == [
        ("exemplar-001", 1, None), ("exemplar-001", 2, None), ("exemplar-002", 1, 7),
    ]  # fmt: skip


def test_detections_of_qupath_are_numbered_and_placed_in_pixels(bring, tmp_path):
    raw = channel_folders(tmp_path / "raw", ["f1", "f2"])
    ids = [f"0a1b2c3d-0000-4000-8000-00000000000{at}" for at in range(3)]
    sheet = "Image\tObject ID\tClassification\tCentroid X µm\tCentroid Y µm\n"
    sheet += f"f1.tiff\t{ids[0]}\tTumor\t4.0\t2.5\nf2.tiff\t{ids[1]}\tImmune\t1.0\t1.5\nf1.tiff\t{ids[2]}\t\t6.0\t3.0\n"
    report = bring(raw, cells=sheet, mpp=0.5)
    cells = cells_of(report)
    assert cells["cell_id"] == [1, 1, 2]
    assert cells["Object ID"] == ids
    assert (cells["centroid_row"], cells["centroid_col"]) == ([5.0, 3.0, 6.0], [8.0, 2.0, 12.0])
    assert "named by UUIDs" in said(report, about="cells", warning=True)
    with pytest.raises(errors.TableError, match="UUIDs in 'Object ID', which no mask has"):
        bring(**masked(tmp_path / "m"), cells=sheet, mpp=0.5, dataset="x")


def test_cells_of_anndata(bring, tmp_path):
    anndata = pytest.importorskip("anndata")
    import pandas as pd

    index, variables = pd.Index(["f1_1", "f1_2"], dtype=object), pd.Index(["DNA", "CD3"], dtype=object)
    obs = pd.DataFrame({"image": pd.Series(["f1", "f1"], index, dtype=object), "Object": [1, 2]}, index=index)
    data = anndata.AnnData(np.array([[1.5, 2], [3, 4]], np.float32), obs=obs, var=pd.DataFrame(index=variables))
    data.obsm["spatial"] = np.zeros((2, 2))
    data.write_h5ad(tmp_path / "cells.h5ad")
    report = bring(channel_folders(tmp_path / "raw", ["f1"]), cells=tmp_path / "cells.h5ad")
    cells = cells_of(report)
    assert (cells["cell_id"], cells["DNA"], cells["CD3"]) == ([1, 2], [1.5, 3.0], [2.0, 4.0])
    assert cells["row_name"] == ["f1_1", "f1_2"]
    assert "Left out of cells.h5ad: 'spatial'" in said(report, about="cells")


def test_cells_of_a_table_of_spatialdata(bring, tmp_path):
    anndata = pytest.importorskip("anndata")
    import pandas as pd

    index = pd.Index(["0", "1"], dtype=object)
    obs = pd.DataFrame({"region": pd.Series(["f1_labels"] * 2, index, dtype=object), "instance_id": [2, 5]}, index)
    data = anndata.AnnData(
        np.ones((2, 1), np.float32), obs=obs, var=pd.DataFrame(index=pd.Index(["DNA"], dtype=object))
    )
    data.write_zarr(tmp_path / "data.zarr/tables/table")
    report = bring(channel_folders(tmp_path / "raw", ["f1_image"]), cells=tmp_path / "data.zarr/tables/table")
    assert (cells_of(report)["tissue_id"], cells_of(report)["cell_id"]) == (["f1_image"] * 2, [2, 5])
    assert "by name without its ending ('f1_labels' is 'f1_image')" in said(report, about="cells")


# Folders and masks ----------------------------------------------------------------------------------------------------

LAYOUTS = {
    "ark": (["fov1", "fov2"], "", ["fov1", "fov2"]),
    "MIBI": (["Point1", "Point2"], "TIFs", ["Point1", "Point2"]),
    "patients": (["p1/a", "p2/b"], "", ["a", "b"]),
    "patients with the same names": (["p1/a", "p2/a"], "TIFs", ["p1_a", "p2_a"]),
}


@pytest.mark.some(2)
@pytest.mark.parametrize(("tissues", "inner", "ids"), LAYOUTS.values(), ids=LAYOUTS)
def test_folders_of_channels_at_any_depth(bring, tmp_path, tissues, inner, ids):
    raw = channel_folders(tmp_path / "raw", tissues, inner=inner)
    (raw / "._DS").write_bytes(b"\0")
    (raw / tissues[0] / inner / "._CD3.tiff").write_bytes(b"\0\5\x16\7")
    (raw / tissues[0] / inner / "thumbnail.tiff").write_bytes(b"no picture")
    report = bring(raw, panel="name\nDNA\nCD3\n")
    assert list(report.tissues) == ids
    for number, tissue in enumerate(ids):
        np.testing.assert_array_equal(image_of(report, tissue), pixels(number, 2))
    assert "thumbnail.tiff" in said(report, about="images")
    if "/" in tissues[0]:
        assert [row["folder"] for row in tissues_of(report)] == ["p1", "p2"]


def test_images_in_folders_of_patients(bring, tmp_path):
    for number, (patient, roi) in enumerate([("p1", "a"), ("p1", "b"), ("p2", "a")]):
        path = tmp_path / f"raw/{patient}/{roi}.ome.tiff"
        write_ometiff(path, pixels(number), mpp=1.0, channel_names=MARKERS)
    (tmp_path / "raw/masks").mkdir()
    tifffile.imwrite(tmp_path / "raw/masks/a.tiff", label_mask())
    report = bring(tmp_path / "raw", metadata="path,x\np1/a.ome.tiff,1\np1/b.ome.tiff,2\np2/a.ome.tiff,3\n")
    assert report.tissues == ("p1_a", "p1_b", "p2_a")
    assert [row["x"] for row in tissues_of(report)] == [1, 2, 3]
    np.testing.assert_array_equal(image_of(report, "p2_a"), pixels(2))
    assert "as no images: 'masks'" in said(report, about="images")


PATTERNS = {
    "{patient}/{tissue}_{channel}.tiff": (["p1/roi_1_{}.tiff", "p2/roi_2_{}.tiff"], ["roi_1", "roi_2"], ["p1", "p2"]),
    "{patient}/{tissue}_{channel}": (["p1/roi_1_{}.tiff", "p2/roi_1_{}.tiff"], ["p1_roi_1", "p2_roi_1"], ["p1", "p2"]),
    "{patient}_{tissue:[^_]+}/*/{channel}.tif": (["A_1_x/t/{}.tiff", "A_2_y/t/{}.tiff"], ["x", "y"], ["A_1", "A_2"]),
}


@pytest.mark.parametrize(("pattern", "expected"), PATTERNS.items(), ids=PATTERNS)
def test_a_pattern_says_what_the_parts_of_paths_are(bring, tmp_path, pattern, expected):
    paths, ids, patients = expected
    names = ["CD3", "HLA_DR"]
    for number, path in enumerate(paths):
        for name, plane in zip(names, pixels(number, 2), strict=True):
            file = tmp_path / "raw" / path.format(name)
            file.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(file, plane)
    tifffile.imwrite(tmp_path / "raw/other.tiff", pixels(0, 1)[0])
    report = bring(tmp_path / "raw", pattern=pattern)
    assert list(report.tissues) == ids
    assert report.channels == ("CD3", "HLA_DR")
    assert [row["patient_id"] for row in tissues_of(report)] == patients
    for number, tissue in enumerate(ids):
        np.testing.assert_array_equal(image_of(report, tissue), pixels(number, 2))
    assert "does not fit: 'other.tiff'" in said(report, about="images", warning=True)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{patient}/{channel}.tiff", "'tissue' among them"),
        ("{tissue}/{tissue}.tiff", "each name once"),
        ("{tissue}/x.tiff", "fits none of the 2 images"),
        ("{tissue:[}/{channel}", "no regular expression"),
        ("{tissue}/*.tiff", "makes one tissue 'f1' of 'CD3.tiff', 'DNA.tiff'"),
    ],
)
def test_patterns_that_cannot_be_are_refused(bring, tmp_path, pattern, message):
    raw = channel_folders(tmp_path / "raw", ["f1"])
    with pytest.raises(errors.SporaError, match=message):
        bring(raw, pattern=pattern)


def test_files_that_are_channels_lead_to_the_pattern(bring, tmp_path):
    for name in ("a_DNA", "a_CD3", "b_DNA", "b_CD3"):
        pages(tmp_path / f"raw/{name}.tiff", pixels(0, 1), [None])
    for panel in (None, "name\nDNA\nCD3\n"):
        with pytest.raises(errors.SporaError, match=r"pattern '[{]tissue[}]_[{]channel[}][.]tiff'"):
            bring(tmp_path / "raw", panel=panel)
    assert bring(tmp_path / "raw", pattern="{tissue}_{channel}.tiff").tissues == ("a", "b")


def test_files_of_one_field_given_as_the_source_are_one_image(bring, tmp_path):
    raw = channel_folders(tmp_path / "raw", ["f1"], ["CD3", "CD8", "Vimentin"])
    report = bring(raw / "f1")
    assert report.tissues == ("f1",)
    np.testing.assert_array_equal(image_of(report, "f1"), pixels(0, 3))
    assert "have one channel each" in report.decisions.warnings[0]


MASKS = {
    "steinbock": ["f1.tiff"],
    "ark": ["f1_whole_cell.tiff"],
    "ark before": ["f1_feature_0.tif"],
    "mcmicro": ["unmicst-f1/cell.ome.tif"],
    "Cellpose": ["f1_cp_masks.png", "f1_seg.npy"],
    "QuPath": ["f1-labelled.png"],
    "MCD": ["F1_mask.tiff"],
    "a folder of parts": ["whole_cell/f1.tiff", "nuclear/f1.tiff"],
    "both parts": ["f1_whole_cell.tiff", "f1_nuclear.tiff"],
    "mcmicro, both": ["f1/cell.tif", "f1/nuclei.tif", "f1/cellRing.tif"],
    "with probabilities": ["f1_cellmask.tiff", "f1_Probabilities.tiff"],
    "other images": ["f1.tiff", "f2.tiff"],
}


@pytest.mark.some(3)
@pytest.mark.parametrize("files", MASKS.values(), ids=MASKS)
def test_masks_are_found_by_the_names_that_tools_give_them(bring, tmp_path, files):
    raw = channel_folders(tmp_path / "raw", ["f1"])
    labels = label_mask()
    for name in files:
        path = tmp_path / "seg" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nuclear = "nucle" in name
        content = np.where(labels > 1, labels, 0) if nuclear else labels
        if name.endswith(".png"):
            path.write_bytes(imagecodecs.png_encode(content))
        elif name.endswith("npy") or "Prob" in name or "Ring" in name:
            path.write_bytes(b"no mask")
        else:
            tifffile.imwrite(path, content)
    report = bring(raw, cell_masks=tmp_path / "seg")
    folder = report.path / "segmentations/1_0mpp/cell_masks"
    np.testing.assert_array_equal(load_label_mask(folder / "instances/f1.npz"), labels)
    kinds = sorted(path.name for path in folder.iterdir())
    assert kinds == (["instances", "nuclear"] if any("nucle" in name for name in files) else ["instances"])
    if "nuclear" in kinds:
        np.testing.assert_array_equal(load_label_mask(folder / "nuclear/f1.npz"), np.where(labels > 1, labels, 0))
    assert not [item for item in validate(report.path.parent, deep=True) if item.severity == "error"]


def test_masks_of_several_channels_are_told_apart_by_their_names(bring, tmp_path):
    raw = channel_folders(tmp_path / "raw", ["f1"])
    labels = label_mask()
    planes = np.stack([labels, np.where(labels > 1, labels, 0), labels * 0 + 1, labels * 0 + 1]).astype(np.uint16)
    names = ["cells", "nuclei", "cell_boundaries", "nucleus_boundaries"]
    write_ometiff(tmp_path / "seg/f1_mask.ome.tiff", planes, mpp=1.0, channel_names=names)
    report = bring(raw, cell_masks=tmp_path / "seg")
    folder = report.path / "segmentations/1_0mpp/cell_masks"
    np.testing.assert_array_equal(load_label_mask(folder / "instances/f1.npz"), planes[0])
    np.testing.assert_array_equal(load_label_mask(folder / "nuclear/f1.npz"), planes[1])
    tifffile.imwrite(tmp_path / "seg/f1_mask.ome.tiff", planes, photometric="minisblack")
    with pytest.raises(errors.FileFormatError, match="expected one value per pixel"):
        bring(raw, cell_masks=tmp_path / "seg", dataset="x")


def test_only_one_kind_of_parts_are_the_cells(bring, tmp_path):
    report = bring(**masked(tmp_path, "f1_nuclear.tiff"))
    assert "instances (files of nuclear)" in said(report, about="masks")
    tifffile.imwrite(tmp_path / "seg/f1_cytoplasm.tiff", label_mask())
    with pytest.raises(errors.TableError, match="and none of whole cells"):
        bring(source=tmp_path / "raw", cell_masks=tmp_path / "seg", dataset="x")


def test_masks_beside_their_images_are_no_images(bring, tmp_path):
    write_ometiff(tmp_path / "raw/f1.ome.tiff", pixels(), mpp=1.0, channel_names=MARKERS)
    tifffile.imwrite(tmp_path / "raw/f1_mask.tiff", label_mask())
    report = bring(tmp_path / "raw")
    assert report.tissues == ("f1",)
    assert "'f1_mask.tiff'" in said(report, about="images")


# Accessions -----------------------------------------------------------------------------------------------------------


def test_a_panel_without_accessions_gets_them_and_each_guess_is_told(bring, tmp_path):
    names = ["DNA", "CD8a", "PD-1", "panCK", "vWF + CD31"]
    raw = channel_folders(tmp_path / "raw", ["f1"], names)
    report = bring(raw, panel="name\n" + "\n".join(names) + "\n")
    assert panel_of(report)["uniprot_id"] == [None, "P01732", "Q15116", "P02533", None]
    told = said(report, about="accessions")
    assert "CD8a = P01732 (CD8A)" in told
    assert "panCK = P02533 (KRT14, for several proteins)" in told
    assert "Without one: 'DNA', 'vWF + CD31'" in told
    off = bring(raw, accessions="off", dataset="off")
    assert panel_of(off)["uniprot_id"] == [None] * 5
    given = bring(raw, panel="name,uniprot\nDNA,\nCD8a,P01732\nPD-1,\npanCK,\nvWF + CD31,\n", dataset="given")
    assert panel_of(given)["uniprot_id"] == [None, "P01732", None, None, None]


def test_accessions_of_a_panel_that_are_those_of_others_are_told(bring, tmp_path):
    raw = channel_folders(tmp_path / "raw", ["f1"], ["CD3", "CD8", "PD-1", "CD45RA"])
    panel = "name,uniprot\nCD3,P01732\nCD8,P01731\nPD-1,\nCD45RA,P08575-8\n"
    report = bring(raw, panel=panel)
    [warning] = [row.says for row in report.decisions.rows if row.warning and row.about == "accessions"]
    assert "CD3 has P01732 (CD8A), not P07766 (CD3E)" in warning
    assert "CD45RA" not in warning
    assert "CD8 " not in warning  # of a mouse
    assert "These could be given: PD-1 = Q15116" in said(report, about="accessions")


def test_the_table_of_targets_holds_accessions_each_once():
    with TABLE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    pattern = re.compile(r"[OPQ][0-9][A-Z0-9]{3}[0-9]|[A-NR-Z][0-9](?:[A-Z][A-Z0-9]{2}[0-9]){1,2}")
    assert len(rows) > 300
    assert [row for row in rows if not pattern.fullmatch(row["accession"])] == []
    names = [folded(name) for row in rows for name in {row["gene"], *filter(None, row["names"].split(";"))}]
    doubled = {name for name in names if names.count(name) > 1}
    assert {name for name in doubled if len({target_of(name).accession}) > 1} == set()
    for values in ([row["accession"] for row in rows], [row["gene"] for row in rows]):
        assert len(set(values)) == len(values)


def test_the_table_agrees_with_published_panels():
    found = sorted((Path(__file__).parents[2] / "shared/data").glob("*/**/channels.parquet"))
    if not found:
        pytest.skip("the folder of real data is absent")
    wrong = []
    for path in found:
        for row in pq.read_table(path, columns=["channel_name", "uniprot_id"]).to_pylist():
            target = target_of(row["channel_name"])
            if target is not None and row["uniprot_id"] and row["uniprot_id"].partition("-")[0] != target.accession:
                wrong.append((row, target))
    assert wrong == []
