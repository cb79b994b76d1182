"""Slides and fields as scanners and instruments write them, with their tags, orders and pictures beside the image."""

import json
import struct
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tifffile

from imports import write_tiled
from spora_db import errors
from spora_db.images import open_image, open_levels, read_region
from spora_db.images.conversions import OTHERS
from spora_db.importing import import_dataset
from spora_db.importing.file_facts import file_facts
from spora_db.masks import load_tissue_mask
from spora_db.validation import validate

SIZES = [(1400, 1100), (350, 275)]


def picture(seed, height, width):
    """Tissue on glass, smooth enough for JPEG, and different wherever one looks."""
    rows, cols = np.mgrid[:height, :width]
    waves = [np.sin(rows / (7 + at) + seed) * np.cos(cols / (11 - at)) for at in range(3)]
    inside = np.hypot(rows / height - 0.5, cols / width - 0.5) < 0.35
    colours = np.stack([np.where(inside, 150 + 40 * wave + 20 * at, 244) for at, wave in enumerate(waves)], -1)
    colours[..., 1] -= 60 * inside
    return colours.clip(0, 255).astype(np.uint8)


def label(height=90, width=120):
    return np.full((height, width, 3), (7, 0, 255), np.uint8)


def shrink(image, times):
    height, width = (size // times for size in image.shape[:2])
    return (
        image[: height * times, : width * times].reshape(height, times, width, times, 3).mean((1, 3)).astype(np.uint8)
    )


JPEG = {"photometric": "ycbcr", "compression": "jpeg", "subsampling": (2, 2)}
TILED = {"tile": (240, 240), "metadata": None}


def ycbcr(image):
    """The colours that JPEG compresses (ITU-T T.871), as scanners write them."""
    red, green, blue = np.moveaxis(image.astype(float), -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    planes = (luma, 128 + (blue - luma) / 1.772, 128 + (red - luma) / 1.402)
    return np.rint(np.stack(planes, -1)).clip(0, 255).astype(np.uint8)


def svs(path, image):
    """Aperio: baseline, thumbnail in strips, levels, label and macro at the end; descriptions with MPP."""
    said = "Aperio Image Library v12.0.15\r\n1400x1100 [0,0 1100x1400] (240x240) JPEG/RGB Q=70|AppMag = 40|MPP = 0.2510"
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        tiff.write(ycbcr(image), **TILED, **JPEG, description=said)
        tiff.write(ycbcr(shrink(image, 10)), **JPEG, rowsperstrip=16, metadata=None, description="Aperio thumbnail")
        tiff.write(ycbcr(shrink(image, 4)), **TILED, **JPEG, description="Aperio level")
        extra = {"photometric": "rgb", "metadata": None, "compression": "lzw"}
        tiff.write(label(), **extra, subfiletype=1, description="Aperio Image Library\r\nlabel 120x90")
        tiff.write(label(60, 200), **extra, subfiletype=9, description="Aperio Image Library\r\nmacro 200x60")
    return "svs"


def ndpi(path, image):
    """Hamamatsu: pages by magnification, resolution tags in centimeters, the macro with magnification -1."""
    with tifffile.TiffWriter(path) as tiff:
        pages = ((image, 40.0, 1), (shrink(image, 4), 10.0, 4), (label(80, 240), -1.0, 100))
        for page, magnification, times in pages:
            tags = [(65420, "I", 1, 1, True), (65421, "f", 1, magnification, True)]
            tiff.write(
                ycbcr(page),
                **JPEG,
                tile=(256, 256),
                metadata=None,
                software="NDP.scan",
                extratags=[*tags, (271, "s", 0, "Hamamatsu", True)],
                resolution=(1e4 / 0.251 / times, 1e4 / 0.251 / times),
                resolutionunit="CENTIMETER",
            )
    with_long_offsets(path)
    return "ndpi"


def with_long_offsets(path):
    """Write the directories again as NDPI has them: offsets of 8 bytes, the upper halves of values behind the tags."""
    data = bytearray(path.read_bytes())
    (place,) = struct.unpack_from("<I", data, 4)
    assert place == 8  # what is lost below is the first directory, which is written again
    link = 4
    while place:
        (count,) = struct.unpack_from("<H", data, place)
        tags = data[place : place + 2 + 12 * count]
        (place,) = struct.unpack_from("<I", data, place + 2 + 12 * count)
        struct.pack_into("<Q", data, link, len(data))
        link = len(data) + len(tags)
        data += tags + struct.pack("<Q", 0) + bytes(4 * count)
    path.write_bytes(data)


def scn(path, image):
    """Leica: the macro is the first image of the XML, sizes in nanometers."""
    height, width = image.shape[:2]
    small = shrink(image, 4)
    xml = f"""<?xml version="1.0"?>
    <scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01"><collection name="slide" sizeX="9" sizeY="9">
    <image name="macro"><pixels sizeX="120" sizeY="90"><dimension sizeX="120" sizeY="90" r="0" ifd="0"/></pixels>
      <view sizeX="2000000" sizeY="1500000" offsetX="0" offsetY="0"/></image>
    <image name="scan"><pixels sizeX="{width}" sizeY="{height}">
      <dimension sizeX="{width}" sizeY="{height}" r="0" ifd="1"/>
      <dimension sizeX="{small.shape[1]}" sizeY="{small.shape[0]}" r="1" ifd="2"/></pixels>
      <view sizeX="{width * 251}" sizeY="{height * 251}" offsetX="5" offsetY="5"/></image>
    </collection></scn>"""
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for number, page in enumerate((label(), image, small)):
            tiff.write(ycbcr(page), **JPEG, tile=(256, 256), metadata=None, description=xml if number == 0 else None)
    return "scn"


def btf(path, image):
    """An OME-BigTIFF with levels in SubIFDs."""
    size = {"PhysicalSizeX": 0.251, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.251, "PhysicalSizeYUnit": "µm"}
    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as tiff:
        tiff.write(ycbcr(image), **JPEG, tile=(256, 256), subifds=1, metadata={"axes": "YXS", **size})
        tiff.write(ycbcr(shrink(image, 4)), **JPEG, tile=(256, 256), subfiletype=1)
    return "ome.btf"


def libvips(path, image):
    """A plain pyramid: reduced pages behind the first, resolution in pixels per centimeter."""
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for times in (1, 4):
            tiff.write(
                image if times == 1 else shrink(image, 4),
                tile=(256, 256),
                photometric="rgb",
                compression="zstd",
                metadata=None,
                subfiletype=0 if times == 1 else 1,
                resolution=(1e4 / 0.251 / times, 1e4 / 0.251 / times),
                resolutionunit="CENTIMETER",
            )
    return "tif"


SCANNERS = [svs, ndpi, scn, btf, libvips]


@pytest.fixture
def scanned(tmp_path, request):
    """A slide of a scanner: its file, and its pixels by tifffile as they are decoded."""
    write = request.param
    image = picture(3, *SIZES[0])
    path = tmp_path / "raw" / f"slide.{write(tmp_path / 'first', image)}"
    path.parent.mkdir()
    (tmp_path / "first").rename(path)
    with tifffile.TiffFile(path) as tiff:
        pages = [page for page in tiff.pages if page.shape[:2] == image.shape[:2]]
        return path, np.moveaxis(pages[0].asarray(), -1, 0)


def bring(path, tmp_path, **options):
    given = {"into": tmp_path / "lake", "dataset": "mine", "modality": "he", "mpp": 0.25, "source_mpp": "file"}
    return import_dataset(path, **given | options)


def image_of(report, *, tissue="slide", modality="he"):
    [path] = report.path.glob(f"{modality}/*/images/{tissue}.ome.zarr")
    return path


@pytest.mark.some(3)
@pytest.mark.parametrize("scanned", SCANNERS, indirect=True, ids=lambda write: write.__name__)
def test_a_slide_at_full_resolution(scanned, tmp_path):
    path, pixels = scanned
    assert file_facts(path).mpp == pytest.approx((0.251, 0.251), rel=1e-4)
    report = bring(path.parent, tmp_path)
    assert report.tissues == ("slide",)
    np.testing.assert_array_equal(read_region(open_image(image_of(report))), pixels)
    assert [level.shape[1:] for level in open_levels(image_of(report))] == [(1400, 1100), (700, 550)]
    assert not [item for item in validate(report.path, deep=True) if item.severity != "note"]
    text = (report.path / "metadata/import.json").read_text()
    assert "0.251, as the files say" in text
    mask = load_tissue_mask(report.path / "segmentations/0_25mpp/tissue_masks/slide.npz")
    assert mask.shape == (1400, 1100)
    assert mask[700, 550]
    assert not mask[:100].any()


@pytest.mark.some(2)
@pytest.mark.parametrize("scanned", SCANNERS, indirect=True, ids=lambda write: write.__name__)
def test_a_slide_made_coarser_from_the_nearest_level(scanned, tmp_path):
    path, _ = scanned
    report = bring(path, tmp_path, mpp=2.008)
    found = read_region(open_image(image_of(report)))
    levels = [read_region(level) for level in open_levels(path)]
    expected = [4, 8][len(levels) == 1]
    source = levels[-1]
    assert (len(levels) == 2) == (expected == 4)
    factor = 2 if len(levels) == 2 else 8
    assert found.shape == (3, 175, 138)
    blocks = source[:, : 175 * factor, : 137 * factor].reshape(3, 175, factor, 137, factor).astype(float)
    np.testing.assert_array_equal(found[:, :, :137], np.rint(blocks.mean((2, 4))))


@pytest.mark.some(2)
@pytest.mark.parametrize("scanned", SCANNERS, indirect=True, ids=lambda write: write.__name__)
def test_label_and_macro_never_leave_the_file(scanned, tmp_path):
    path, _ = scanned
    report = bring(path, tmp_path)
    for level in open_levels(image_of(report)):
        red, green, blue = read_region(level).astype(int)
        assert not ((red < 60) & (green < 60) & (blue > 200)).any()
    assert [item.name for item in report.path.rglob("*.zarr")] == ["slide.ome.zarr"]
    if path.suffix in (".svs", ".ndpi", ".scn"):
        with pytest.raises(errors.ArgumentError, match=r"label or macro.*zarr"):
            bring(path, tmp_path, dataset="copied", images="copy", source_mpp=None)


def test_a_slide_that_does_not_say_its_resolution(tmp_path):
    (tmp_path / "raw").mkdir()
    tifffile.imwrite(tmp_path / "raw/slide.tif", picture(1, 300, 200), photometric="rgb")
    with pytest.raises(errors.FileFormatError, match="does not say how many microns"):
        bring(tmp_path / "raw", tmp_path)
    report = bring(tmp_path / "raw", tmp_path, source_mpp=0.125)
    assert open_image(image_of(report)).shape == (3, 150, 100)
    with pytest.raises(errors.ArgumentError, match=r"slide\.tif.*0\.5 microns per pixel; it cannot be made finer"):
        bring(tmp_path / "raw", tmp_path, source_mpp=0.5, dataset="finer")
    with pytest.raises(errors.ArgumentError, match="leave source_mpp out"):
        bring(tmp_path / "raw", tmp_path, source_mpp=0.125, images="link", dataset="linked")
    assert not (tmp_path / "lake/finer").exists()


QPTIFF = """<?xml version="1.0" encoding="utf-16"?>
<PerkinElmer-QPI-ImageDescription><DescriptionVersion>2</DescriptionVersion>
<ImageType>{kind}</ImageType><Name>{filter}</Name>{biomarker}</PerkinElmer-QPI-ImageDescription>"""


def qptiff(path):
    """Akoya: channels at full resolution, a thumbnail in colours, reduced channels, overview and label."""
    names = [("DAPI", ""), ("Opal 520", "<Biomarker>CD8</Biomarker>"), ("Opal 690", "<Biomarker> PanCK </Biomarker>")]
    planes = np.random.default_rng(0).integers(0, 200, (3, 1280, 1024)).astype(np.uint8)
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:

        def write(page, kind, name="", biomarker="", **options):
            text = QPTIFF.format(kind=kind, filter=name, biomarker=biomarker).replace("utf-16", "utf-8")
            tiff.write(page, metadata=None, software="PerkinElmer-QPI", description=text, **options)

        cm = {"resolutionunit": "CENTIMETER", "tile": (512, 512), "compression": "lzw"}
        for (name, biomarker), plane in zip(names, planes, strict=True):
            write(plane, "FullResolution", name, biomarker, resolution=(2e4, 2e4), **cm)
        write(label(100, 80), "Thumbnail", photometric="rgb")
        for (name, biomarker), plane in zip(names, planes, strict=True):
            write(plane[::2, ::2], "ReducedResolution", name, biomarker, resolution=(1e4, 1e4), subfiletype=1, **cm)
        write(label(200, 90), "Overview", photometric="rgb")
        write(label(90, 70), "Label", photometric="rgb")
    return planes


def test_channels_of_a_qptiff(tmp_path):
    planes = qptiff(tmp_path / "core.qptiff")
    assert file_facts(tmp_path / "core.qptiff").mpp == (0.5, 0.5)
    assert len(open_levels(tmp_path / "core.qptiff")) == 2
    report = bring(tmp_path / "core.qptiff", tmp_path, modality="codex", mpp=0.5)
    assert report.channels == ("DAPI", "CD8", "PanCK")
    found = read_region(open_image(image_of(report, tissue="core", modality="codex")))
    np.testing.assert_array_equal(found, planes)
    coarse = bring(tmp_path / "core.qptiff", tmp_path, modality="codex", mpp=1.0, dataset="coarse")
    found = read_region(open_image(image_of(coarse, tissue="core", modality="codex")))
    np.testing.assert_array_equal(found, planes[:, ::2, ::2])  # the level, not the mean


@pytest.mark.parametrize("named", [True, False], ids=["page names", "descriptions alone"])
def test_channels_of_a_mibitiff(tmp_path, named):
    planes = np.random.default_rng(0).poisson(2, (3, 256, 256)).astype(np.float32)
    with tifffile.TiffWriter(tmp_path / "fov.tiff") as tiff:
        for plane, (mass, target) in zip(planes, [(89, "HH3"), (117, "CD3"), (197, None)], strict=True):
            text = json.dumps({"channel.mass": mass, "channel.target": target, "image.type": "SIMS", "mibi.run": "r"})
            tags = [(285, "s", 0, f"{target or mass} ({mass})", True)] if named else []
            tiff.write(
                plane,
                metadata=None,
                description=text,
                extratags=tags,
                resolution=(2.56e4, 2.56e4),
                resolutionunit="CENTIMETER",
            )
    report = bring(tmp_path / "fov.tiff", tmp_path, modality="mibi", mpp=0.390625)
    assert file_facts(tmp_path / "fov.tiff").mpp == pytest.approx((0.390625, 0.390625))
    assert [name.split(" ")[0] for name in report.channels[:2]] == ["HH3", "CD3"]
    assert "197" in report.channels[2]
    found = read_region(open_image(image_of(report, tissue="fov", modality="mibi")))
    np.testing.assert_array_equal(found, planes)


@pytest.mark.some(3)
@pytest.mark.parametrize("shape", [(1, 2, 64, 80), (2, 1, 64, 80), (1, 1, 2, 64, 80), (1, 2, 1, 64, 80)])
@pytest.mark.parametrize("kind", ["shaped", "ome", "imagej"])
def test_axes_of_one_element_are_left_out(tmp_path, shape, kind):
    image = np.random.default_rng(0).random(shape).astype(np.float32)
    axes = {4: "TCYX" if shape[0] == 1 else "CZYX", 5: "TZCYX" if shape[1] == 1 else "TCZYX"}[len(shape)]
    if kind == "imagej":
        image = image.reshape(1, 1, 2, 64, 80, 1)
        axes = "TZCYXS"
    options = {"shaped": {}, "ome": {"ome": True}, "imagej": {"imagej": True}}[kind]
    metadata = None if kind == "shaped" else {"axes": axes}
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="minisblack", metadata=metadata or {}, **options)
    (tmp_path / "panel.csv").write_text("name\nDNA\nCD3\n")
    report = bring(
        tmp_path / "a.tif", tmp_path, modality="imc", mpp=1.0, source_mpp=None, panel=tmp_path / "panel.csv",
        match="order",
    )  # fmt: skip
    found = read_region(open_image(image_of(report, tissue="a", modality="imc")))
    np.testing.assert_array_equal(found, image.reshape(2, 64, 80))


@pytest.mark.parametrize(("suffix", "row"), [(suffix, row) for row in OTHERS for suffix in row.suffixes])
def test_every_format_that_is_not_read_names_what_converts_it(tmp_path, suffix, row):
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / f"lung 1{suffix}").write_bytes(b"\0" * 100)
    tool = row.command.split(" ")[0].rstrip(",")
    for source in (folder / f"lung 1{suffix}", folder):
        with pytest.raises(errors.SporaError, match=tool) as told:
            bring(source, tmp_path)
        assert row.called in str(told.value)
        assert f"lung 1{suffix}" in str(told.value)
    if not suffix.startswith(".zarr"):
        with pytest.raises(errors.FileFormatError, match=tool):
            open_image(folder / f"lung 1{suffix}")


def test_a_format_that_is_not_read_beside_images_is_told(tmp_path):
    (tmp_path / "raw").mkdir()
    tifffile.imwrite(tmp_path / "raw/slide.tif", picture(1, 300, 200), photometric="rgb")
    for name in ("other.czi", "thumbnail.png"):
        (tmp_path / "raw" / name).write_bytes(b"bytes")
    report = bring(tmp_path / "raw", tmp_path, source_mpp=0.25)
    [said] = [warning for warning in report.decisions.warnings if "not read" in warning]
    assert "bioformats2raw --series 0 other.czi" in said
    assert "png" not in said


CHILD = """
    import resource, sys
    from pathlib import Path
    from spora_db.importing import import_dataset
    from spora_db.images import set_cache_bytes, zarr_writing

    set_cache_bytes(2**25)
    zarr_writing.MOST_THREADS = 2

    def bring(name):
        import_dataset(sys.argv[1] + name, into=sys.argv[2], dataset=Path(name).stem, modality="he", mpp=0.5)

    bring("/small.svs")
    used = int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (used + 300_000_000, used + 300_000_000))
    bring("/slide.svs")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux to limit the memory of a process")
def test_a_slide_is_imported_in_less_memory_than_its_pixels_take(tmp_path):
    """3 x 14,336 x 14,336 pixels, 617 MB, in 300 MB beyond what Python and its libraries take."""
    tile = np.moveaxis(np.asarray([[[120]], [[60]], [[140]]], np.uint8).repeat(512, 1).repeat(512, 2), 0, -1).copy()
    tile[::7] += 30
    for name, side in (("small", 2048), ("slide", 14_336)):
        write_tiled(tmp_path / f"{name}.svs", side=side, tile=tile)
    command = [sys.executable, "-c", textwrap.dedent(CHILD), tmp_path, tmp_path / "lake"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    image = open_image(tmp_path / "lake/slide/he/0_5mpp/images/slide.ome.zarr")
    assert image.shape == (3, 14_336, 14_336)
    assert load_tissue_mask(tmp_path / "lake/slide/segmentations/0_5mpp/tissue_masks/slide.npz").all()
