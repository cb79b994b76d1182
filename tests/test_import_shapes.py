"""Import of what tools and people write: pixels, names, ids, masks and cells are those of the source."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile
from typer.testing import CliRunner

from lakes import coordinates_image
from spora_db import errors
from spora_db.cli import app
from spora_db.images import open_image, read_region, write_ometiff, write_omezarr
from spora_db.importing import import_dataset
from spora_db.importing.spellings import split_name

HEIGHT, WIDTH = 24, 32
MARKERS = ["DNA", "CD3", "CD8", "Ki-67"]
TAGS = ["Ir191", "Er170", "Dy162", "Er168"]
PANEL = "channel,name,keep\n" + "".join(f"{tag},{name},1\n" for tag, name in zip(TAGS, MARKERS, strict=True))


def pixels(number=0, channels=4):
    return coordinates_image(channels, HEIGHT, WIDTH, offset=7 * number)


@pytest.fixture
def bring(tmp_path):
    """Import a folder into a lake; tables are given as text, and keyword arguments override."""

    def run(source, **options):
        for name in ("panel", "metadata", "cells"):
            if isinstance(options.get(name), str):
                (tmp_path / f"{name}.csv").write_text(options[name])
                options[name] = tmp_path / f"{name}.csv"
        given = {"into": tmp_path / "lake", "dataset": "mine", "modality": "imc", "mpp": 1.0, "tissue_mask": "full"}
        return import_dataset(source, **{**given, **options})

    return run


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
