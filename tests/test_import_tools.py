"""Import of whole projects as tools of the field leave them: one command, and the first batch equals the source."""

import json
import os
import subprocess
import sys

import imagecodecs
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tifffile
from typer.testing import CliRunner

from lakes import coordinates_image
from spora_db import SporaQuery
from spora_db.cli import app
from spora_db.images import write_ometiff, write_omezarr
from spora_db.masks import load_label_mask
from spora_db.validation import validate

HEIGHT, WIDTH = 40, 48
NAMES = ["DNA", "CD3", "CD8"]
METALS = ["Ir191", "Er170", "Dy162"]


def pixels(number=0, dtype=np.float32, channels=3):
    image = coordinates_image(channels, HEIGHT, WIDTH, offset=7 * number)
    return (image % 60_000).astype(dtype)


def labels(number=0):
    mask = np.zeros((HEIGHT, WIDTH), np.uint16)
    mask[3:10, 4:12], mask[20:30, 20 + number : 33 + number] = 1, 2
    return mask


def nuclei(number=0):
    inner = np.zeros_like(labels(number))
    inner[5:8, 6:10], inner[23:27, 25:29] = 1, 2
    return inner


def plain(path, planes, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, planes, **options)


def text(path, content, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode(encoding))
    return path


# Each writes a project of two fields, and returns the arguments, the modality and the tissues


def steinbock(root):
    for at in (0, 1):
        plain(root / f"img/P1_00{at}.tiff", pixels(at), imagej=True, metadata={"axes": "CYX"})
        plain(root / f"masks/P1_00{at}.tiff", labels(at))
        text(root / f"intensities/P1_00{at}.csv", "Object,DNA,CD3,CD8\n1,1.5,2,3\n2,4,5,6\n")
        text(root / f"regionprops/P1_00{at}.csv", "Object,area,centroid-0,centroid-1\n1,56,6,7.5\n2,130,24.5,26\n")
    rows = "".join(f"{metal},{name},1,\n" for metal, name in zip(METALS, NAMES, strict=True))
    text(root / "panel.csv", f"channel,name,keep,ilastik\n{rows}")
    text(root / "images.csv", "image,width_px\nP1_000.tiff,48\nP1_001.tiff,48\n")
    arguments = ["img", "--panel", "panel.csv", "--metadata", "images.csv", "--cell-masks", "masks"]
    return [*arguments, "--cells", "intensities", "--cells", "regionprops"], "imc", ["P1_000", "P1_001"]


def mcmicro(root):
    cells = "CellID,DNA,X_centroid,Y_centroid\n1,2,7.5,6\n2,1,26,24\n"
    for at in (0, 1):
        name = f"exemplar-00{at}"
        size = {"PhysicalSizeX": 0.65, "PhysicalSizeY": 0.65}
        image = root / f"registration/{name}.ome.tif"
        plain(image, pixels(at, np.uint16), photometric="minisblack", metadata={"axes": "CYX", **size})
        plain(root / f"segmentation/unmicst-{name}/cell.ome.tif", labels(at))
        plain(root / f"segmentation/unmicst-{name}/nuclei.ome.tif", nuclei(at))
        plain(root / f"probability-maps/{name}-pmap.tif", pixels(at)[0])
        text(root / f"quantification/{name}--unmicst_cell.csv", cells)
    text(root / "markers.csv", "channel_number,cycle_number,marker_name\n1,1,DNA\n2,1,CD3\n3,1,CD8\n")
    arguments = ["registration", "--panel", "markers.csv", "--mpp", "0.65", "--cell-masks", "segmentation"]
    return [*arguments, "--cells", "quantification"], "cycif", ["exemplar-000", "exemplar-001"]


def ark(root):
    for at in (0, 1):
        for name, plane in zip(NAMES, pixels(at), strict=True):
            plain(root / f"image_data/fov{at}/{name}.tiff", plane)
        plain(root / f"segmentation/deepcell_output/fov{at}_whole_cell.tiff", labels(at)[None])
        plain(root / f"segmentation/deepcell_output/fov{at}_nuclear.tiff", nuclei(at)[None])
    table = "cell_size,DNA,label,fov,centroid-0,centroid-1\n" + "".join(
        f"56.0,1.5,{cell}.0,fov{at},{place}\n" for at in (0, 1) for cell, place in ((1, "6,7.5"), (2, "24.5,26"))
    )
    text(root / "segmentation/cell_table/cell_table.csv", table)
    arguments = ["image_data", "--cell-masks", "segmentation/deepcell_output"]
    return [*arguments, "--cells", "segmentation/cell_table/cell_table.csv"], "mibi", ["fov0", "fov1"]


def mibi_points(root):
    for at in (0, 1):
        for name, plane in zip(NAMES, pixels(at, np.uint16), strict=True):
            plain(root / f"run/Point{at}/TIFs/{name}.tif", plane)
        text(root / f"run/Point{at}/TIFs/._{NAMES[0]}.tif", "\0\5")
    return ["run"], "mibi", ["Point0", "Point1"]


def mibitiff(root):
    for at in (0, 1):
        path = root / f"tiffs/P{at}.tiff"
        path.parent.mkdir(exist_ok=True)
        with tifffile.TiffWriter(path) as tiff:
            for name, mass, plane in zip(NAMES, (89, 117, 119), pixels(at), strict=True):
                told = json.dumps({"image.type": "SIMS", "channel.mass": mass, "channel.target": name})
                tags = [(285, "s", 0, f"{name} ({mass})", True)]
                tiff.write(plane, photometric="minisblack", metadata=None, description=told, extratags=tags)
    return (
        ["tiffs", "--panel", text(root / "panel.csv", "Mass,Target\n117,CD3\n89,DNA\n119,CD8\n")],
        "mibi",
        ["P0", "P1"],
    )


def mcd_viewer(root):
    for at in (0, 1):
        for name, metal, plane in zip(NAMES, METALS, pixels(at), strict=True):
            plain(root / f"export/ROI00{at}/ROI00{at}_{metal[2:]}{metal[:2]}_{name}.tiff", plane)
    panel = "Tube Number,Metal Tag,Target,full\n1,Dy162,CD8,1\n2,Er170,CD3,1\n3,Ir191,DNA,1\n4,Pr141,CD4,0\n"
    return ["export", "--panel", text(root / "panel.csv", panel)], "imc", ["ROI000", "ROI001"]


def imc_pipeline(root):
    stem = "Patient1_s0_a{}_ac"
    for at in (0, 1):
        plain(root / f"ometiff/{stem.format(at)}_full.tiff", pixels(at), photometric="minisblack")
        plain(root / f"cpout/masks/{stem.format(at)}_ilastik_s2_Probabilities_mask.tiff", labels(at))
        plain(root / f"masks/{stem.format(at)}_full_mask.tiff", labels(at))
    text(root / "panel.csv", "Metal Tag,Target,full\nIr191,DNA,1\nEr170,CD3,1\nDy162,CD8,1\n")
    images = "".join(f"{stem.format(at)}_full.tiff,{at + 1}\n" for at in (0, 1))
    text(root / "Image.csv", f"FileName_FullStack,ImageNumber\n{images}")
    text(root / "cell.csv", "ImageNumber,ObjectNumber,Area\n2,1,5\n1,1,4\n1,2,3\n2,2,6\n")
    arguments = ["ometiff", "--panel", "panel.csv", "--metadata", "Image.csv", "--cells", "cell.csv"]
    return [*arguments, "--cell-masks", "masks"], "imc", [f"{stem.format(at)}_full" for at in (0, 1)]


def hubmap(root):
    for at in (0, 1):
        image = root / f"pipeline_output/expr/reg00{at}_expr.ome.tif"
        write_ometiff(image, pixels(at, np.uint16), mpp=0.5, channel_names=NAMES)
        masks = np.stack([labels(at), nuclei(at), labels(at) * 0, nuclei(at) * 0])
        parts = ["cells", "nuclei", "cell_boundaries", "nucleus_boundaries"]
        write_ometiff(root / f"pipeline_output/mask/reg00{at}_mask.ome.tif", masks, mpp=0.5, channel_names=parts)
    arguments = ["pipeline_output/expr", "--cell-masks", "pipeline_output/mask", "--mpp", "0.5"]
    return arguments, "codex", ["reg000_expr", "reg001_expr"]


def spatialdata(root):
    zarr = pytest.importorskip("zarr")
    store = root / "data.zarr"
    zarr.open_group(store, mode="w")
    for kind in ("images", "labels"):
        zarr.open_group(store / kind, mode="w")
    for at in (0, 1):
        write_omezarr(root / "x.zarr", pixels(at), mpp=1.0, channel_names=NAMES)
        (root / "x.zarr").rename(store / f"images/{at}_image")
        write_omezarr(root / "x.zarr", labels(at)[None], mpp=1.0)
        (root / "x.zarr").rename(store / f"labels/{at}_labels")
    text(root / "table.csv", "region,instance_id,area\n0_labels,1,4\n0_labels,2,5\n1_labels,1,6\n1_labels,2,7\n")
    arguments = ["data.zarr/images", "--cell-masks", "data.zarr/labels", "--cells", "table.csv"]
    return arguments, "imc", ["0_image", "1_image"]


def qupath(root):
    for at in (0, 1):
        write_ometiff(root / f"export/core 0{at}.ome.tif", pixels(at, np.uint8), mpp=0.5, channel_names=NAMES)
        path = root / f"labels/core 0{at}-labelled.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(imagecodecs.png_encode(labels(at)))
    clinic = "Image;Größe;Patient ID\ncore 00.ome.tif - Series 0;1,5;007\ncore 01.ome.tif - Series 0;2;008\n"
    text(root / "clinic.csv", clinic, "latin-1")
    arguments = ["export", "--cell-masks", "labels", "--metadata", "clinic.csv", "--mpp", "0.5"]
    return arguments, "codex", ["core 00", "core 01"]


def akoya(root):
    for at in (0, 1):
        plain(root / f"stitched/reg00{at}_X01_Y01.tif", pixels(at, np.uint16), imagej=True, metadata={"axes": "CYX"})
        plain(root / f"stitched/reg00{at}_X01_Y01_thumbnail.tif", pixels(at, np.uint8)[0, ::4, ::4])
    return ["stitched", "--panel", text(root / "channelNames.txt", "DNA\nCD3\nCD8\n")], "codex", [
        "reg000_X01_Y01", "reg001_X01_Y01",
    ]  # fmt: skip


def core_pattern(root):
    for at in (0, 1):
        for name, plane in zip(NAMES, pixels(at), strict=True):
            plain(root / f"tma/B-{at}_core_0{at}_{name}.tiff", plane)
    text(root / "clinic.csv", "patient,grade\nb-0,1\nb-1,2\n", "utf-16")
    arguments = ["tma", "--pattern", "{patient:[^_]+}_{tissue}_{channel}.tiff", "--metadata", "clinic.csv"]
    return arguments, "imc", ["core_00", "core_01"]


def ngff(root):
    for at in (0, 1):
        write_omezarr(root / f"plates/p{at}/well_1.ome.zarr", pixels(at, np.uint16), mpp=0.5, channel_names=NAMES)
    return ["plates", "--mpp", "0.5"], "cycif", ["p0_well_1", "p1_well_1"]


def cellpose(root):
    for at in (0, 1):
        write_ometiff(root / f"in/s{at}.ome.tiff", pixels(at), mpp=1.0, channel_names=[n.lower() for n in NAMES])
        (root / f"in/s{at}_cp_masks.png").write_bytes(imagecodecs.png_encode(labels(at)))
        text(root / f"in/s{at}_seg.npy", "pickled")
    text(root / "panel.csv", "name,uniprot_id\nDNA,\nCD3,P07766\nCD8,P01732\n")
    return ["in", "--panel", "panel.csv", "--cell-masks", "in"], "imc", ["s0", "s1"]


def patients(root):
    for at in (0, 1):
        image = pixels(at)
        for name, plane in zip(NAMES, image, strict=True):
            plain(root / f"cohort/Pat-0{at}/roi_{at}/TIFs/{name}.tif", plane)
        plain(root / f"cohort/Pat-0{at}/roi_{at}/TIFs/overview_thumbnail.tif", image[0, ::4, ::4])
    text(root / "clinic.tsv", "Case\tgrade\nPAT-0\t1\nPAT-1\t2\n")
    arguments = ["cohort", "--pattern", "{patient}/{tissue}/TIFs/{channel}.tif", "--metadata", "clinic.tsv"]
    return arguments, "mibi", ["roi_0", "roi_1"]


def zarr_of_version_2(root):
    zarr = pytest.importorskip("zarr")
    for at in (0, 1):
        store = zarr.open_group(root / f"ngff/{at}.zarr", mode="w", zarr_format=2)
        store.create_array("0", data=pixels(at, np.uint16)[None, :, None], chunks=(1, 1, 1, 32, 32))
        axes = [{"name": name} for name in "tczyx"]
        steps = [{"type": "scale", "scale": [1, 1, 1, 1, 1]}]
        levels = [{"path": "0", "coordinateTransformations": steps}]
        store.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": levels}]
        store.attrs["omero"] = {"channels": [{"label": name} for name in NAMES]}
    return ["ngff"], "codex", ["0", "1"]


def excel_panel(root):
    for at in (0, 1):
        plain(root / f"stacks/S 0{at}.tif", pixels(at), photometric="minisblack")
    text(root / "panel.csv", "Channel;Marker;Uniprot\n1;DNA;\n2;CD3;P07766\n3;CD8;P01732\n;;\n", "utf-16")
    text(root / "sheet.csv", "sep=;\nSample ID;Age;age;\ns 0;61;x;\ns 1;62;y;\n", "cp1252")
    arguments = ["stacks", "--panel", "panel.csv", "--metadata", "sheet.csv", "--match", "order"]
    return arguments, "cycif", ["S 00", "S 01"]


PROJECTS = [
    steinbock, mcmicro, ark, mibi_points, mibitiff, mcd_viewer, imc_pipeline, hubmap, spatialdata, qupath, akoya,
    core_pattern, ngff, cellpose, patients, zarr_of_version_2, excel_panel,
]  # fmt: skip


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, f"{result.output} {result.exception!r}"
    return result.stdout


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.__name__)
def test_a_project_reaches_its_first_batch(tmp_path, monkeypatch, project):
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    (source, *options), modality, tissues = project(tmp_path / "project")
    mpp = [] if "--mpp" in options else ["--mpp", "1.0"]
    lake = tmp_path / "lake"
    command = [source, *options, *mpp, "--dataset", "new", "--into", lake, "--modality", modality]
    assert "(dry run: nothing was written)" in run("import", *command, "--tissue-mask", "full", "--dry-run")
    assert not lake.exists()
    run("import", *command, "--tissue-mask", "full")
    assert not [item for item in validate(lake, deep=True) if item.severity == "error"]
    resolution = options[options.index("--mpp") + 1] if "--mpp" in options else "1.0"
    run("tile", lake, "--tile-size", 16, "--mpp", resolution, "--jobs", 1, "--quiet")
    run("standardize", lake, "--modality", modality, "--mpp", resolution, "--jobs", 1, "--quiet")
    query = SporaQuery(lake).modality(modality).tiles(size=16, mpp=float(resolution)).channels(kind="complete")
    samples = list(query.to_torch())
    assert sorted({sample["tissue_id"] for sample in samples}) == tissues
    for sample in samples:
        image = pixels(tissues.index(sample["tissue_id"]))
        order = [NAMES.index(name.split(" ")[0]) for name in sample["channel_names"]]
        row, col = sample["row"], sample["col"]
        expected = image[order, row : row + 16, col : col + 16]
        kind = samples_dtype(lake, sample["tissue_id"])
        np.testing.assert_array_equal(sample["image"].numpy(), expected.astype(kind).astype(np.float32))
        assert sorted(order) == [0, 1, 2]
    check_cells(lake / "new", tissues, options)


def samples_dtype(lake, tissue):
    made = json.loads((lake / "new/metadata/import.json").read_text())["imports"][0]
    [found] = [row["details"]["images"] for row in made["decisions"] if "images" in row["details"]]
    return next(row["dtype"] for row in found if row["tissue_id"] == tissue)


def check_cells(dataset, tissues, options):
    """Compare masks with those of the project, and cells with the labels."""
    masks = dataset / "segmentations"
    if "--cell-masks" in options:
        for at, tissue in enumerate(tissues):
            [path] = masks.glob(f"*/cell_masks/instances/{tissue}.npz")
            np.testing.assert_array_equal(load_label_mask(path), labels(at))
            for path in masks.glob(f"*/cell_masks/nuclear/{tissue}.npz"):
                np.testing.assert_array_equal(load_label_mask(path), nuclei(at))
    if "--cells" in options:
        cells = pq.read_table(dataset / "metadata/cells.parquet").to_pandas()
        assert sorted(zip(cells.tissue_id, cells.cell_id, strict=True)) == [(t, c) for t in tissues for c in (1, 2)]


def test_a_slide_with_detections_of_qupath(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    slide = np.random.default_rng(0).integers(40, 250, (128, 160, 3), np.uint8)
    (tmp_path / "slides").mkdir()
    with tifffile.TiffWriter("slides/A 1.tif") as tiff:
        tiff.write(slide, photometric="rgb", tile=(64, 64), subifds=1, metadata=None)
        tiff.write(slide[::2, ::2], photometric="rgb", tile=(64, 64), subfiletype=1, metadata=None)
        tiff.write(slide[::8, ::8], photometric="rgb", description="label", metadata=None)
    ids = [f"0a1b2c3d-0000-4000-8000-00000000000{at}" for at in range(2)]
    rows = "".join(f"A 1.tif\t{name}\tTumor\t{10.0 + at}\t20.5\n" for at, name in enumerate(ids))
    text(tmp_path / "cells.tsv", f"Image\tObject ID\tClass\tCentroid X \u00b5m\tCentroid Y \u00b5m\n{rows}")
    command = ["--dataset", "new", "--into", "lake", "--modality", "he", "--mpp", "0.5", "--cells", "cells.tsv"]
    run("import", "slides", *command, "--tissue-mask", "full")
    run("tile", "lake", "--tile-size", 32, "--mpp", "0.5", "--jobs", 1, "--quiet")
    samples = list(SporaQuery("lake").modality("he").tiles(size=32, mpp=0.5).standardize("identity").to_torch())
    for sample in samples:
        tile = slide[sample["row"] : sample["row"] + 32, sample["col"] : sample["col"] + 32]
        np.testing.assert_allclose(sample["image"].numpy(), np.moveaxis(tile, 2, 0) / 255, rtol=0, atol=1e-6)
    cells = pd.read_parquet("lake/new/metadata/cells.parquet")
    assert cells[["centroid_row", "centroid_col"]].values.tolist() == [[41, 20], [41, 22]]


def test_two_tables_of_the_same_cells_are_put_side_by_side(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, modality, _ = steinbock(tmp_path)
    command = ["--mpp", 1.0, "--dataset", "new", "--into", "lake", "--modality", modality, "--tissue-mask", "full"]
    run("import", *arguments, *command)
    cells = pd.read_parquet("lake/new/metadata/cells.parquet")
    assert cells.area.tolist() == [56, 130, 56, 130]
    assert cells.CD3.tolist() == [2, 5, 2, 5]
    text(tmp_path / "regionprops/P1_001.csv", "Object,area\n1,56\n")
    result = CliRunner().invoke(app, ["import", *map(str, arguments), *map(str, command), "--overwrite"])
    assert "regionprops has other cells than intensities: 3 and 4" in str(result.exception)


def test_what_was_decided_is_written_where_the_output_is_ascii(tmp_path):
    for name, plane in zip(NAMES, pixels(), strict=True):
        plain(tmp_path / f"raw/f1/{name}.tiff", plane)
    sheet = text(tmp_path / "m.csv", "image;Gr\u00f6\u00dfe\nf1;1,5\n", "latin-1")
    command = ["import", tmp_path / "raw", "--dataset", "new", "--into", tmp_path / "lake", "--modality", "imc"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "spora_db.cli", *map(str, command), "--mpp", "1", "--metadata", str(sheet), "--dry-run"],
        capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Decimal commas of m.csv were read as points: 'Gr\\xf6\\xdfe'." in done.stdout
