"""Projects as tools of the field leave them, of two fields each: what writes them, and what imports them."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile

from imc_files import write_mcd, write_text
from lakes import coordinates_image
from spora_db.images import write_ometiff, write_omezarr

HEIGHT, WIDTH = 40, 48
NAMES = ["DNA", "CD3", "CD8"]
METALS = ["Ir191", "Er170", "Dy162"]
QPI = "PerkinElmer-QPI-ImageDescription"


def pixels(number: int = 0, dtype: Any = np.float32, channels: int = 3) -> np.ndarray:
    image = coordinates_image(channels, HEIGHT, WIDTH, offset=7 * number)
    return (image % 60_000).astype(dtype)


def colours(number: int = 0) -> np.ndarray:
    """A slide, (H, W, C)."""
    return np.random.default_rng(number).integers(40, 250, (HEIGHT, WIDTH, 3), np.uint8)


def labels(number: int = 0) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint16)
    mask[3:10, 4:12], mask[20:30, 20 + number : 33 + number] = 1, 2
    return mask


def nuclei(number: int = 0) -> np.ndarray:
    inner = np.zeros_like(labels(number))
    inner[5:8, 6:10], inner[23:27, 25:29] = 1, 2
    return inner


def plain(path: Path, planes: np.ndarray, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, planes, **options)


def stack(path: Path, number: int, dtype: Any = np.float32) -> None:
    """A TIFF whose pages have no names."""
    plain(path, pixels(number, dtype), photometric="minisblack")


def folder(path: Path, number: int, names: Sequence[str], dtype: Any = np.float32) -> None:
    """A folder of a TIFF per channel."""
    for name, plane in zip(names, pixels(number, dtype), strict=True):
        plain(path / f"{name}.tiff", plane)


def png(path: Path, mask: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(imagecodecs.png_encode(mask))


def text(path: Path, content: str, encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode(encoding))


def rows(header: str, line: str) -> str:
    """A table of the cells 1 and 2 of both fields; `line` has places for the field and the cell."""
    return "\n".join([header, *(line.format(at=at, cell=cell) for at in (0, 1) for cell in (1, 2)), ""])


# Imaging mass cytometry


def steinbock(root):
    for at in (0, 1):
        plain(root / f"img/P1_00{at}.tiff", pixels(at), imagej=True, metadata={"axes": "CYX"})
        plain(root / f"masks/P1_00{at}.tiff", labels(at))
        text(root / f"intensities/P1_00{at}.csv", "Object,DNA,CD3,CD8\n1,1.5,2,3\n2,4,5,6\n")
        text(root / f"regionprops/P1_00{at}.csv", "Object,area,centroid-0,centroid-1\n1,56,6,7.5\n2,130,24.5,26\n")
    panel = "".join(f"{metal},{name},1,\n" for metal, name in zip(METALS, NAMES, strict=True))
    text(root / "panel.csv", f"channel,name,keep,ilastik\n{panel}")
    text(root / "images.csv", "image,width_px,acquisition_id\nP1_000.tiff,48,1\nP1_001.tiff,48,2\n")


def panel_without_header(root):
    for at in (0, 1):
        stack(root / f"img/s{at}.tiff", at)
    text(root / "panel.csv", "191Ir,DNA\n170Er,CD3\n162Dy,CD8\n")


def mcd(root):
    write_mcd(root / "raw/slide.mcd", [pixels(at) for at in (0, 1)])
    text(root / "panel.csv", "channel,name,keep\nIr191,DNA,1\nEr170,CD3,1\nAr80,CD8,1\n")
    text(root / "clinic.csv", "slide,acquisition_id,age\nslide,1,61\nslide,2,62\n")


def imc_text(root):
    for at in (0, 1):
        write_text(root / f"raw/slide_ROI_00{at}.txt", pixels(at))
    text(root / "panel.csv", "channel,name,keep\nIr191,DNA,1\nEr170,CD3,1\nAr80,CD8,1\n")


def mcd_viewer(root):
    names = [f"{metal[2:]}{metal[:2]}_{name}" for name, metal in zip(NAMES, METALS, strict=True)]
    for at in (0, 1):
        folder(root / f"export/ROI00{at}", at, [f"ROI00{at}_{name}" for name in names])
    text(root / "panel.csv", "Tube Number,Metal Tag,Target,full\n1,Dy162,CD8,1\n2,Er170,CD3,1\n3,Ir191,DNA,1\n")


def mcd_viewer_ome(root):
    names = [f"{name}({metal}Di)" for name, metal in zip(NAMES, METALS, strict=True)]
    for at in (0, 1):
        write_ometiff(root / f"export/slide_ROI_00{at}.ome.tiff", pixels(at), mpp=1.0, channel_names=names)


def imc_pipeline(root):
    stem = "Patient1_s0_a{}_ac"
    for at in (0, 1):
        stack(root / f"ometiff/{stem.format(at)}_full.tiff", at)
        plain(root / f"cpout/masks/{stem.format(at)}_ilastik_s2_Probabilities_mask.tiff", labels(at))
        plain(root / f"masks/{stem.format(at)}_full_mask.tiff", labels(at))
    text(root / "panel.csv", "Metal Tag,Target,full\nIr191,DNA,1\nEr170,CD3,1\nDy162,CD8,1\n")
    images = "".join(f"{stem.format(at)}_full.tiff,{at + 1}\n" for at in (0, 1))
    text(root / "Image.csv", f"FileName_FullStack,ImageNumber\n{images}")
    text(root / "cell.csv", "ImageNumber,ObjectNumber,Area\n2,1,5\n1,1,4\n1,2,3\n2,2,6\n")


def cellprofiler_database(root):
    for at in (0, 1):
        stack(root / f"img/s{at}.tiff", at)
        plain(root / f"masks/s{at}_CellMask.tiff", labels(at))
    text(root / "panel.csv", "name\nDNA\nCD3\nCD8\n")
    text(
        root / "MyExpt_Per_Image.csv",
        "ImageNumber,Image_FileName_Stack,Image_Count_Cells\n1,s0.tiff,2\n2,s1.tiff,2\n",
    )
    table = rows("ImageNumber,Cells_Number_Object_Number,Cells_AreaShape_Area", "{at}+1,{cell},{cell}{at}")
    text(root / "MyExpt_Per_Object.csv", table.replace("0+1", "1").replace("1+1", "2"))


def cellprofiler_channels(root):
    for at in (0, 1):
        for name, plane in zip(NAMES, pixels(at, np.uint16), strict=True):
            plain(root / f"img/well_A0{at}_{name}.tif", plane)
        plain(root / f"cpout/well_A0{at}_CellLabels.tiff", labels(at))
    columns = ",".join(f"FileName_{name}" for name in NAMES)
    files = [",".join(f"well_A0{at}_{name}.tif" for name in NAMES) for at in (0, 1)]
    text(root / "cpout/Image.csv", f"ImageNumber,Metadata_Well,{columns}\n1,A00,{files[0]}\n2,A01,{files[1]}\n")
    text(root / "cpout/Cells.csv", "ImageNumber,ObjectNumber,AreaShape_Area\n1,1,4\n1,2,3\n2,1,5\n2,2,6\n")


def histocat(root):
    names = [f"{name}({metal}Di)" for name, metal in zip(NAMES, METALS, strict=True)]
    for at in (0, 1):
        folder(root / f"histocat/sample_{at}", at, names)
        plain(root / f"histocat/sample_{at}/sample_{at}_mask.tiff", labels(at))
    text(root / "session.csv", rows("ImageName,CellId,Area", "sample_{at},{cell},{cell}{at}"))


# MIBI


def ark(root):
    for at in (0, 1):
        folder(root / f"image_data/fov{at}", at, NAMES)
        plain(root / f"segmentation/deepcell_output/fov{at}_whole_cell.tiff", labels(at)[None])
        plain(root / f"segmentation/deepcell_output/fov{at}_nuclear.tiff", nuclei(at)[None])
    table = rows("cell_size,DNA,label,fov", "{cell}{at}.0,1.5,{cell}.0,fov{at}")
    text(root / "segmentation/cell_table/cell_table_size_normalized.csv", table)


def mibi_points(root):
    for at in (0, 1):
        for name, plane in zip(NAMES, pixels(at, np.uint16), strict=True):
            plain(root / f"run/Point{at}/TIFs/{name}.tif", plane)
        text(root / f"run/Point{at}/TIFs/._{NAMES[0]}.tif", "\0\5")


def mibitiff(root):
    (root / "tiffs").mkdir()
    for at in (0, 1):
        with tifffile.TiffWriter(root / f"tiffs/P{at}.tiff") as tiff:
            for name, mass, plane in zip(NAMES, (89, 117, 119), pixels(at), strict=True):
                told = json.dumps({"image.type": "SIMS", "channel.mass": mass, "channel.target": name})
                tags = [(285, "s", 0, f"{name} ({mass})", True)]
                tiff.write(plane, photometric="minisblack", metadata=None, description=told, extratags=tags)
    text(root / "panel.csv", "Mass,Target\n117,CD3\n89,DNA\n119,CD8\n")


def patients(root):
    for at in (0, 1):
        folder(root / f"cohort/Pat-0{at}/roi_{at}/TIFs", at, NAMES)
        plain(root / f"cohort/Pat-0{at}/roi_{at}/TIFs/overview_thumbnail.tif", pixels(at)[0, ::4, ::4])
    text(root / "clinic.tsv", "Case\tgrade\nPAT-0\t1\nPAT-1\t2\n")


# CyCIF, CODEX


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


def mcmicro_tma(root):
    """Cores of a TMA by number, the channels of every cycle counted from 1."""
    for at in (0, 1):
        plain(root / f"dearray/{at + 1}.ome.tif", pixels(at, np.uint16), photometric="minisblack")
        plain(root / f"segmentation/unmicst-{at + 1}/cell.ome.tif", labels(at))
        text(root / f"quantification/{at + 1}--unmicst_cell.csv", "CellID,DNA\n1,2\n2,1\n")
    text(
        root / "markers.csv",
        "cycle_number,channel_number,marker_name,Filter\n1,1,DNA,DAPI\n1,2,CD3,FITC\n2,1,CD8,Cy5\n",
    )
    text(root / "map.csv", "Core,Diagnosis\n001,LUAD\n002,LUSC\n")


def hubmap(root):
    for at in (0, 1):
        image = root / f"pipeline_output/expr/reg00{at}_expr.ome.tif"
        write_ometiff(image, pixels(at, np.uint16), mpp=0.5, channel_names=NAMES)
        masks = np.stack([labels(at), nuclei(at), labels(at) * 0, nuclei(at) * 0])
        parts = ["cells", "nuclei", "cell_boundaries", "nucleus_boundaries"]
        write_ometiff(root / f"pipeline_output/mask/reg00{at}_mask.ome.tif", masks, mpp=0.5, channel_names=parts)


def sprm(root):
    """Tables of SPRM, beside what HuBMAP's pipeline leaves."""
    hubmap(root)
    for at in (0, 1):
        name = f"reg00{at}_expr.ome.tiff-cell_channel"
        text(root / f"sprm/{name}_mean.csv", "ID,DNA,CD3,CD8\n1,1.5,2,3\n2,4,5,6\n")


def akoya(root):
    for at in (0, 1):
        plain(root / f"stitched/reg00{at}_X01_Y01.tif", pixels(at, np.uint16), imagej=True, metadata={"axes": "CYX"})
        plain(root / f"stitched/reg00{at}_X01_Y01_thumbnail.tif", pixels(at, np.uint8)[0, ::4, ::4])
    text(root / "channelNames.txt", "DNA\nCD3\nCD8\n")


def codex_numbers(root):
    for at in (0, 1):
        stack(root / f"bestFocus/reg00{at}_X01_Y01_Z07.tif", at, np.uint16)
    text(root / "channelNames.txt", "1 DNA\n2 CD3\n3 CD8\n")


def fusion(root):
    (root / "scans").mkdir()
    for at in (0, 1):
        with tifffile.TiffWriter(root / f"scans/TMA 1_Scan{at}.qptiff", bigtiff=True) as tiff:

            def write(page, kind, name, tiff=tiff, **options):
                told = f"<{QPI}><ImageType>{kind}</ImageType><Name>{name}</Name></{QPI}>"
                tiff.write(page, metadata=None, software="PerkinElmer-QPI", description=told, **options)

            tiled = {"tile": (16, 16), "resolutionunit": "CENTIMETER"}
            for name, plane in zip(NAMES, pixels(at, np.uint8), strict=True):
                write(plane, "FullResolution", name, resolution=(2e4, 2e4), **tiled)
            write(colours(at)[::4, ::4], "Thumbnail", "", photometric="rgb")
            for name, plane in zip(NAMES, pixels(at, np.uint8), strict=True):
                write(plane[::2, ::2], "ReducedResolution", name, resolution=(1e4, 1e4), subfiletype=1, **tiled)
            write(colours(at)[::2, ::4], "Label", "", photometric="rgb")


def inform(root):
    """Component images of Vectra fields, and the table of cells of inForm."""
    for at in (0, 1):
        name = f"Core[1,{at + 1},A]_[9000,4000{at}]"
        (root / "export").mkdir(exist_ok=True)
        with tifffile.TiffWriter(root / f"export/{name}_component_data.tif") as tiff:
            stains = ["DNA (DAPI)", "CD3 (Opal 520)", "CD8 (Opal 690)"]
            for stain, plane in zip(stains, pixels(at), strict=True):
                told = f"<{QPI}><ImageType>FullResolution</ImageType><Name>{stain}</Name></{QPI}>"
                tiff.write(plane, metadata=None, software="PerkinElmer-QPI", description=told, tile=(16, 16))
            told = f"<{QPI}><ImageType>Thumbnail</ImageType></{QPI}>"
            tiff.write(colours(at)[::2, ::2], metadata=None, description=told, photometric="rgb")
        with tifffile.TiffWriter(root / f"export/{name}_binary_seg_maps.tif") as tiff:
            told = "<SegmentationImage><CompartmentType>Nucleus</CompartmentType></SegmentationImage>"
            tiff.write(labels(at).astype(np.uint32), metadata=None, description=told)
    cells = rows("Path\tSample Name\tCell ID\tPhenotype", "C:\\x\tCore[1,{at}+1,A]_[9000,4000{at}].im3\t{cell}\tT cell")
    text(root / "Merge_cell_seg_data.txt", cells.replace("0+1", "1").replace("1+1", "2"))


def halo(root):
    """Object data of HALO: cells counted from 0, without masks."""
    for at in (0, 1):
        write_ometiff(root / f"export/core 0{at}.ome.tif", pixels(at, np.uint8), mpp=0.5, channel_names=NAMES)
    cells = rows("Image Location,Object Id,XMin,XMax", "\\\\\\\\server\\\\x\\\\core 0{at}.ome.tif,{cell},4,12")
    text(root / "objects.csv", cells.replace("\\\\", "\\"))


def tma_rows(root):
    """Cores of QuPath's TMA dearrayer, and a sheet with row and column of the array."""
    for at in (0, 1):
        write_ometiff(root / f"cores/B-{at + 1}.ome.tif", pixels(at, np.uint8), mpp=0.5, channel_names=NAMES)
    text(root / "map.csv", "row,column,Patient ID\nA,1,7\nB,1,8\nB,2,9\n")


def slide_and_core(root):
    for at in (0, 1):
        for name, plane in zip(NAMES, pixels(at), strict=True):
            plain(root / f"tma/slide{at + 1}/core01/{name}.tiff", plane)
        plain(root / f"seg/slide{at + 1}_core01_mask.tif", labels(at))
    text(root / "clinic.csv", "Slide,Core,grade\nslide1,core01,1\nslide1,core02,9\nslide2,core01,2\n")
    text(root / "cells.csv", rows("Slide,Core,Object,area", "slide{at}+1,core01,{cell},{cell}{at}").replace("0+1", "1")
         .replace("1+1", "2"))  # fmt: skip


def sample_and_roi(root):
    for at in (0, 1):
        stack(root / f"img/S01_ROI{at + 1}.tif", at)
    text(root / "panel.csv", "name\nDNA\nCD3\nCD8\n")
    text(root / "clinic.csv", "sample,roi,grade\nS1,1,1\nS1,2,2\nS2,1,3\n")


def macsima(root):
    for at in (0, 1):
        for number, (name, plane) in enumerate(zip(NAMES, pixels(at, np.uint16), strict=True)):
            file = f"C-00{number}_S-000_S_FITC_R-01_W-B-1_ROI-0{at}_A-{name}_C-REA61{number}.tif"
            plain(root / f"PreprocessedData/{file}", plane)


# Others


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


def squidpy(root):
    """Cells of AnnData, as squidpy has them: the image in library_id."""
    anndata, pandas = pytest.importorskip("anndata"), pytest.importorskip("pandas")
    for at in (0, 1):
        write_ometiff(root / f"img/s{at}.ome.tiff", pixels(at), mpp=1.0, channel_names=NAMES)
        plain(root / f"masks/s{at}.tif", labels(at))
    index = pandas.Index([f"{at}_{cell}" for at in (0, 1) for cell in (1, 2)], dtype=object)
    libraries = pandas.Series(["s0", "s0", "s1", "s1"], index, dtype=object)
    obs = pandas.DataFrame({"library_id": libraries, "cell_id": [1, 2, 1, 2]}, index=index)
    variables = pandas.DataFrame(index=pandas.Index(["CD3"], dtype=object))
    data = anndata.AnnData(np.arange(4, dtype=np.float32)[:, None], obs=obs, var=variables)
    data.obsm["spatial"] = np.zeros((4, 2))
    data.write_h5ad(root / "cells.h5ad")


def qupath(root):
    for at in (0, 1):
        write_ometiff(root / f"export/core 0{at}.ome.tif", pixels(at, np.uint8), mpp=0.5, channel_names=NAMES)
        png(root / f"labels/core 0{at}-labelled.png", labels(at))
    clinic = "Image;Größe;Patient ID\ncore 00.ome.tif - Series 0;1,5;007\ncore 01.ome.tif - Series 0;2;008\n"
    text(root / "clinic.csv", clinic, "latin-1")


def core_pattern(root):
    for at in (0, 1):
        for name, plane in zip(NAMES, pixels(at), strict=True):
            plain(root / f"tma/B-{at}_core_0{at}_{name}.tiff", plane)
    text(root / "clinic.csv", "patient,grade\nb-0,1\nb-1,2\n", "utf-16")


def ngff(root):
    for at in (0, 1):
        write_omezarr(root / f"plates/p{at}/well_1.ome.zarr", pixels(at, np.uint16), mpp=0.5, channel_names=NAMES)


def cellpose(root):
    for at in (0, 1):
        write_ometiff(root / f"in/s{at}.ome.tiff", pixels(at), mpp=1.0, channel_names=[n.lower() for n in NAMES])
        png(root / f"in/s{at}_cp_masks.png", labels(at))
        text(root / f"in/s{at}_seg.npy", "pickled")
    text(root / "panel.csv", "name,uniprot_id\nDNA,\nCD3,P07766\nCD8,P01732\n")


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


def excel_text(root):
    for at in (0, 1):
        stack(root / f"stacks/S 0{at}.tif", at)
    text(root / "panel.csv", "Channel;Marker;Uniprot\n1;DNA;\n2;CD3;P07766\n3;CD8;P01732\n;;\n", "utf-16")
    text(root / "sheet.csv", "sep=;\nSample ID;Age;age;\ns 0;61;x;\ns 1;62;y;\n", "cp1252")


def workbooks(root):
    openpyxl = pytest.importorskip("openpyxl")
    sheets = {
        "panel": [["Metal", "Marker"], *map(list, zip(METALS, NAMES, strict=True))],
        "clinic": [["ROI", "Age"], ["S 00", 61], ["S 01", 62]],
    }
    for at in (0, 1):
        stack(root / f"stacks/S 0{at}.tif", at)
    for name, lines in sheets.items():
        book = openpyxl.Workbook()
        for line in lines:
            book.active.append(line)
        book.save(root / f"{name}.xlsx")


# Brightfield


def svs(root):
    """Slides of Aperio: thumbnail, level, label and macro beside the image."""
    (root / "slides").mkdir()
    for at in (0, 1):
        said = f"Aperio Image Library v12.0.15\r\n{WIDTH}x{HEIGHT} (16x16) none|AppMag = 20|MPP = 0.5"
        with tifffile.TiffWriter(root / f"slides/A {at}.svs") as tiff:
            image, options = colours(at), {"photometric": "rgb", "metadata": None}
            tiff.write(image, **options, tile=(16, 16), description=said)
            tiff.write(image[::4, ::4], **options, description="Aperio thumbnail")
            tiff.write(image[::2, ::2], **options, tile=(16, 16), description="Aperio level")
            tiff.write(image[:9, :9], **options, subfiletype=1, description="Aperio Image Library\r\nlabel 9x9")
            tiff.write(image[:9, :20], **options, subfiletype=9, description="Aperio Image Library\r\nmacro 20x9")
    text(root / "clinic.csv", "slide_id,Patient ID\nA 0.svs,007\nA 1.svs,008\n")


def qupath_detections(root):
    svs(root)
    cells = rows("Image\tObject ID\tClass\tCentroid X µm\tCentroid Y µm",
                 "A {at}.svs\t0a1b2c3d-0000-4000-8000-0000000000{at}{cell}\tTumor\t{cell}.0\t{at}.5")  # fmt: skip
    text(root / "detections.tsv", cells)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A way in which projects are left.

    Attributes
    ----------
    write
        Writes one into a folder.
    command
        What follows ``spora-db import`` in that folder, but for the name of the dataset and the lake.
    tissues
        The ids of the tissues, of the fields 0 and 1.
    image
        Gives the pixels of a field, (C, H, W), in order of `NAMES` or red, green, blue.
    columns
        Columns of the tissues, and their values.
    cells
        Columns of the cells, and their values for the cells 1 and 2 of both tissues.
    says
        What the command prints among others.
    """

    write: Callable[[Path], None]
    command: str
    tissues: Sequence[str]
    image: Callable[[int], np.ndarray] = pixels
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    cells: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    says: Sequence[str] = ()

    @property
    def name(self) -> str:
        """What the shape is called."""
        return self.write.__name__


def unsigned(number: int) -> np.ndarray:
    return pixels(number, np.uint16)


def bytes_of(number: int) -> np.ndarray:
    return pixels(number, np.uint8)


def planes_of_slide(number: int) -> np.ndarray:
    return np.moveaxis(colours(number), 2, 0)


AREAS = [10, 20, 11, 21]
"""Of ``{cell}{at}`` in `rows`."""
SHAPES = [
    Shape(
        write=steinbock, tissues=["P1_000", "P1_001"], columns={"acquisition_id": ["1", "2"]},
        cells={"area": [56, 130] * 2, "CD3": [2, 5] * 2},
        command="img --panel panel.csv --metadata images.csv --cell-masks masks --cells intensities "
        "--cells regionprops --modality imc --mpp 1.0",
    ),
    Shape(
        write=panel_without_header, tissues=["s0", "s1"], says=["panel.csv has no header"],
        command="img --panel panel.csv --match order --modality imc --mpp 1.0",
    ),
    Shape(
        write=mcd, tissues=["slide_001", "slide_002"], columns={"age": [61, 62]},
        command="raw --panel panel.csv --metadata clinic.csv --modality imc --mpp 1.0",
    ),
    Shape(
        write=imc_text, tissues=["slide_ROI_000", "slide_ROI_001"],
        command="raw --panel panel.csv --modality imc --mpp 1.0",
    ),
    Shape(
        write=mcd_viewer, tissues=["ROI000", "ROI001"],
        command="export --panel panel.csv --modality imc --mpp 1.0",
    ),
    Shape(
        write=mcd_viewer_ome, tissues=["slide_ROI_000", "slide_ROI_001"],
        command="export --modality imc --mpp 1.0",
    ),
    Shape(
        write=imc_pipeline, tissues=["Patient1_s0_a0_ac_full", "Patient1_s0_a1_ac_full"], cells={"Area": [4, 3, 5, 6]},
        command="ometiff --panel panel.csv --metadata Image.csv --cells cell.csv --cell-masks masks --modality imc "
        "--mpp 1.0",
    ),
    Shape(
        write=cellprofiler_database, tissues=["s0", "s1"], cells={"Cells_AreaShape_Area": AREAS},
        command="img --panel panel.csv --match order --metadata MyExpt_Per_Image.csv --cells MyExpt_Per_Object.csv "
        "--cell-masks masks --modality imc --mpp 1.0",
    ),
    Shape(
        write=cellprofiler_channels, tissues=["well_A00", "well_A01"], image=unsigned,
        cells={"AreaShape_Area": [4, 3, 5, 6]},
        command="img --pattern '{tissue}_{channel}.tif' --metadata cpout/Image.csv --cells cpout/Cells.csv "
        "--cell-masks cpout --modality cycif --mpp 0.5",
    ),
    Shape(
        write=histocat, tissues=["sample_0", "sample_1"], cells={"Area": AREAS},
        command="histocat --cell-masks histocat --cells session.csv --modality imc --mpp 1.0",
    ),
    Shape(
        write=ark, tissues=["fov0", "fov1"], cells={"cell_size": AREAS},
        command="image_data --cell-masks segmentation/deepcell_output --cells segmentation/cell_table/"
        "cell_table_size_normalized.csv --modality mibi --mpp 0.39",
    ),
    Shape(write=mibi_points, tissues=["Point0", "Point1"], image=unsigned, command="run --modality mibi --mpp 0.5"),
    Shape(write=mibitiff, tissues=["P0", "P1"], command="tiffs --panel panel.csv --modality mibi --mpp 0.5"),
    Shape(
        write=patients, tissues=["roi_0", "roi_1"], columns={"patient_id": ["Pat-00", "Pat-01"], "grade": [1, 2]},
        command="cohort --pattern '{patient}/{tissue}/TIFs/{channel}.tif' --metadata clinic.tsv --modality mibi "
        "--mpp 0.5",
    ),
    Shape(
        write=mcmicro, tissues=["exemplar-000", "exemplar-001"], image=unsigned, cells={"DNA": [2, 1] * 2},
        command="registration --panel markers.csv --cell-masks segmentation --cells quantification --modality cycif "
        "--mpp 0.65",
    ),
    Shape(
        write=mcmicro_tma, tissues=["1", "2"], image=unsigned, columns={"Diagnosis": ["LUAD", "LUSC"]},
        cells={"DNA": [2, 1] * 2},
        command="dearray --panel markers.csv --cell-masks segmentation --cells quantification --metadata map.csv "
        "--modality cycif --mpp 0.65",
    ),
    Shape(
        write=hubmap, tissues=["reg000_expr", "reg001_expr"], image=unsigned,
        command="pipeline_output/expr --cell-masks pipeline_output/mask --modality codex --mpp 0.5",
    ),
    Shape(
        write=sprm, tissues=["reg000_expr", "reg001_expr"], image=unsigned, cells={"CD3": [2, 5] * 2},
        command="pipeline_output/expr --cell-masks pipeline_output/mask --cells sprm --modality codex --mpp 0.5",
    ),
    Shape(
        write=akoya, tissues=["reg000_X01_Y01", "reg001_X01_Y01"], image=unsigned,
        command="stitched --panel channelNames.txt --modality codex --mpp 0.38",
    ),
    Shape(
        write=codex_numbers, tissues=["reg000_X01_Y01_Z07", "reg001_X01_Y01_Z07"], image=unsigned,
        command="bestFocus --panel channelNames.txt --modality codex --mpp 0.38",
    ),
    Shape(
        write=fusion, tissues=["TMA 1_Scan0", "TMA 1_Scan1"], image=bytes_of, command="scans --modality codex --mpp 0.5"
    ),
    Shape(
        write=inform, tissues=["Core[1,1,A]_[9000,40000]_component_data", "Core[1,2,A]_[9000,40001]_component_data"],
        cells={"Phenotype": ["T cell"] * 4},
        command="export --cell-masks export --cells Merge_cell_seg_data.txt --modality codex --mpp 0.5",
    ),
    Shape(
        write=halo, tissues=["core 00", "core 01"], image=bytes_of, cells={"XMin": [4] * 4},
        command="export --cells objects.csv --modality codex --mpp 0.5",
    ),
    Shape(
        write=tma_rows, tissues=["B-1", "B-2"], image=bytes_of, columns={"patient_id": ["8", "9"]},
        command="cores --metadata map.csv --modality codex --mpp 0.5",
    ),
    Shape(
        write=slide_and_core, tissues=["slide1_core01", "slide2_core01"], columns={"grade": [1, 2]},
        cells={"area": AREAS},
        command="tma --metadata clinic.csv --cells cells.csv --cell-masks seg --modality imc --mpp 1.0",
    ),
    Shape(
        write=sample_and_roi, tissues=["S01_ROI1", "S01_ROI2"], columns={"grade": [1, 2]},
        command="img --panel panel.csv --match order --metadata clinic.csv --modality imc --mpp 1.0",
    ),
    Shape(
        write=macsima, tissues=["ROI-00", "ROI-01"], image=unsigned,
        command="PreprocessedData --pattern '*_{tissue:ROI-[0-9]+}_A-{channel}_C-*.tif' --modality cycif --mpp 0.17",
    ),
    Shape(
        write=spatialdata, tissues=["0_image", "1_image"], cells={"area": [4, 5, 6, 7]},
        command="data.zarr/images --cell-masks data.zarr/labels --cells table.csv --modality imc --mpp 1.0",
    ),
    Shape(
        write=squidpy, tissues=["s0", "s1"], cells={"CD3": [0, 1, 2, 3]},
        command="img --cell-masks masks --cells cells.h5ad --modality imc --mpp 1.0",
    ),
    Shape(
        write=qupath, tissues=["core 00", "core 01"], image=bytes_of,
        columns={"patient_id": ["007", "008"], "Größe": [1.5, 2.0]},
        command="export --cell-masks labels --metadata clinic.csv --modality codex --mpp 0.5",
    ),
    Shape(
        write=core_pattern, tissues=["core_00", "core_01"], columns={"patient_id": ["b-0", "b-1"], "grade": [1, 2]},
        command="tma --pattern '{patient:[^_]+}_{tissue}_{channel}.tiff' --metadata clinic.csv --modality imc "
        "--mpp 1.0",
    ),
    Shape(write=ngff, tissues=["p0_well_1", "p1_well_1"], image=unsigned, command="plates --modality cycif --mpp 0.5"),
    Shape(
        write=cellpose, tissues=["s0", "s1"],
        command="in --panel panel.csv --cell-masks in --modality imc --mpp 1.0",
    ),
    Shape(write=zarr_of_version_2, tissues=["0", "1"], image=unsigned, command="ngff --modality codex --mpp 1.0"),
    Shape(
        write=excel_text, tissues=["S 00", "S 01"], columns={"Age": [61, 62], "age_2": ["x", "y"]},
        command="stacks --panel panel.csv --metadata sheet.csv --match order --modality cycif --mpp 1.0",
    ),
    Shape(
        write=workbooks, tissues=["S 00", "S 01"], columns={"Age": [61, 62]},
        command="stacks --panel panel.xlsx --metadata clinic.xlsx --match order --modality imc --mpp 1.0",
    ),
    Shape(
        write=svs, tissues=["A 0", "A 1"], image=planes_of_slide, columns={"patient_id": ["007", "008"]},
        command="slides --metadata clinic.csv --modality he --mpp 0.5",
    ),
    Shape(
        write=qupath_detections, tissues=["A 0", "A 1"], image=planes_of_slide,
        cells={"centroid_col": [2, 4] * 2, "centroid_row": [1, 1, 3, 3]},
        command="slides --cells detections.tsv --modality he --mpp 0.5",
    ),
]  # fmt: skip
