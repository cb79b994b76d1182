"""Colours of TIFF files against pillow: RGB where the file says so, converted where a library does, else refused."""

import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from spora_db import SporaQuery, import_dataset, validate
from spora_db.errors import FileFormatError, SporaError
from spora_db.images import open_image, read_region, write_ometiff, write_omezarr
from spora_db.images.brightfield import brightfield_fault

ROWS, COLS = np.mgrid[:96, :128]
PICTURE = np.stack([128 + 100 * np.sin(COLS / 20), 128 + 80 * np.cos(ROWS / 15), 200 - COLS / 2], -1)
RGB = PICTURE.clip(0, 255).astype("uint8")
PLANES = np.moveaxis(RGB, -1, 0)
YCBCR = np.asarray(Image.fromarray(RGB).convert("YCbCr"))
BACK = np.moveaxis(np.asarray(Image.frombytes("YCbCr", (128, 96), YCBCR.tobytes()).convert("RGB")), -1, 0)
CMYK = np.asarray(Image.fromarray(RGB).convert("CMYK"))
ALPHA = np.broadcast_to((COLS * 2)[..., None], (96, 128, 1)).clip(0, 255).astype("uint8")
CUTS: list[dict[str, Any]] = [
    {},
    {"compression": "zlib"},
    {"compression": "zstd", "tile": (32, 48)},
    {"rowsperstrip": 7},
]


def lake(root: Path) -> tuple[Path, Path]:
    """Make a lake of one H&E tissue whose image is to be written."""
    base = root / "lake" / "cohort"
    image = base / "he/1_0mpp/images/t1.ome.tiff"
    for folder in (image.parent, base / "metadata", base / "segmentations/1_0mpp/tissue_masks"):
        folder.mkdir(parents=True)
    row = {"tissue_id": "t1", "modality": "he", "patient_id": "p", "split": "train"}
    pd.DataFrame([row]).to_parquet(base / "metadata/tissues.parquet")
    np.savez(base / "segmentations/1_0mpp/tissue_masks/t1.npz", mask=np.ones((96, 128), bool))
    return root / "lake", image


def loaded(root: Path) -> np.ndarray:
    query = SporaQuery(root).modality("he").tissues(mpp=1.0).standardize("identity")
    return query.to_torch()[0]["image"].numpy()


def write_jpeg_2000(path: Path, pixels: np.ndarray, *, compression: int = 33003, mct: bool = False, **how: Any) -> None:
    streams = [
        imagecodecs.jpeg2k_encode(
            np.ascontiguousarray(pixels[row : row + 32, col : col + 32]),
            level=0,
            codecformat="j2k",
            reversible=True,
            mct=mct,
        )
        for row in range(0, 96, 32)
        for col in range(0, 128, 32)
    ]
    with tifffile.TiffWriter(path, ome=False) as tiff:
        how = {"photometric": "rgb", **how}
        tiff.write(
            iter(streams), shape=RGB.shape, dtype="uint8", tile=(32, 32), compression=compression, metadata=None, **how
        )


@pytest.mark.parametrize("cut", CUTS, ids=str)
@pytest.mark.parametrize("ome", [True, False])
def test_ycbcr_without_jpeg_becomes_rgb(tmp_path: Path, cut: dict[str, Any], ome: bool) -> None:
    root, path = lake(tmp_path)
    tifffile.imwrite(path, YCBCR, photometric="ycbcr", subsampling=(1, 1), ome=ome, **cut)
    got = read_region(open_image(path))
    assert np.abs(got.astype(int) - BACK).max() <= 2
    np.testing.assert_array_equal(
        read_region(open_image(path), [2, 0], row=9, col=33, height=50, width=61), got[[2, 0], 9:59, 33:94]
    )
    if not cut:
        np.testing.assert_allclose(loaded(root), got / 255, atol=1e-6)
        assert [finding for finding in validate(root, deep=True) if finding.severity == "error"] == []


def test_coefficients_and_ranges_of_ycbcr_are_those_of_the_tags(tmp_path: Path) -> None:
    """BT.709 coefficients in the range of video, 16 to 235 and 16 to 240, by the formula of TIFF 6.0."""
    luma = np.array([0.2126, 0.7152, 0.0722])
    y = RGB @ luma
    chroma = [(RGB[..., 2] - y) / (2 - 2 * luma[2]), (RGB[..., 0] - y) / (2 - 2 * luma[0])]
    stored = np.stack([16 + y * 219 / 255, *(128 + part * 112 / 127 for part in chroma)], -1).round().astype("uint8")
    tags = [
        (529, 5, 3, (2126, 10000, 7152, 10000, 722, 10000), True),
        (532, 5, 6, (16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1), True),
    ]
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="ycbcr", subsampling=(1, 1), extratags=tags)
    assert np.abs(read_region(open_image(tmp_path / "a.tif")).astype(int) - PLANES).max() <= 2


@pytest.mark.parametrize("photometric", ["rgb", "ycbcr"])
def test_aperio_33003_is_ycbcr_and_33005_rgb(tmp_path: Path, photometric: str) -> None:
    write_jpeg_2000(tmp_path / "a.tif", YCBCR, photometric=photometric)
    assert np.abs(read_region(open_image(tmp_path / "a.tif")).astype(int) - BACK).max() <= 2
    for compression in (33005, 34712):
        write_jpeg_2000(tmp_path / "b.tif", RGB, compression=compression, mct=True)
        np.testing.assert_array_equal(read_region(open_image(tmp_path / "b.tif")), PLANES)
    write_jpeg_2000(tmp_path / "c.tif", RGB, mct=True)
    with pytest.raises(FileFormatError, match="YCbCr by the tags, and RGB by the colour transform"):
        open_image(tmp_path / "c.tif")


@pytest.mark.parametrize(
    ("how", "photometric"), [({}, 6), ({"outcolorspace": "ycbcr"}, 6), ({"outcolorspace": "rgb"}, 2)]
)
def test_jpeg_is_converted_by_its_decoder(tmp_path: Path, how: dict[str, Any], photometric: int) -> None:
    for cut in ({}, {"tile": (32, 32)}, {"subsampling": (1, 1)}, {"subsampling": (2, 1)}):
        options = {"compression": "jpeg", "compressionargs": {"level": 95, **how}, **cut}
        tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb", **options)
        with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
            assert tiff.pages[0].photometric == photometric
        assert np.abs(read_region(open_image(tmp_path / "a.tif")).astype(int) - PLANES).mean() <= 2


@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_premultiplied_alpha_is_divided_out(tmp_path: Path, cut: dict[str, Any]) -> None:
    stored = np.asarray(Image.fromarray(np.dstack([RGB, ALPHA])).convert("RGBa"))
    wanted = np.asarray(Image.frombytes("RGBa", (128, 96), stored.tobytes()).convert("RGBA"))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stored, photometric="rgb", extrasamples=["assocalpha"], **cut)
    got = read_region(open_image(path))
    assert np.abs(got.astype(int) - np.moveaxis(wanted, -1, 0)).max() <= 1
    tifffile.imwrite(path, np.dstack([RGB, ALPHA]), photometric="rgb", extrasamples=["unassalpha"], **cut)
    np.testing.assert_array_equal(read_region(open_image(path))[:3], PLANES)


def planes(path: Path, pages: np.ndarray, **how: Any) -> None:
    with tifffile.TiffWriter(path, ome=False) as tiff:
        for page in pages:
            tiff.write(np.ascontiguousarray(page), metadata=None, **how)


def fewer_bits(path: Path) -> None:
    """Write samples of 16 bits, and make the tags say 12."""
    tifffile.imwrite(path, RGB.astype("uint16"), photometric="rgb")
    path.write_bytes(path.read_bytes().replace(struct.pack("<3H", 16, 16, 16), struct.pack("<3H", 12, 12, 12)))


def less_chroma(path: Path) -> None:
    """Write YCbCr, and make the tags say that chroma is of half the width."""
    tifffile.imwrite(path, YCBCR, photometric="ycbcr", compression="zlib", subsampling=(1, 1))
    entry = [struct.pack("<HHIHH", 530, 3, 2, across, 1) for across in (1, 2)]
    assert entry[0] in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(*entry))


COLOUR_MAP = np.stack([np.arange(256)[::-1] * 256] * 3).astype("uint16")
NOT_RGB: dict[str, tuple[Any, str]] = {
    "CMYK": (lambda path: tifffile.imwrite(path, CMYK, photometric="separated"), "are CMYK"),
    "CMYK in planes": (
        lambda path: tifffile.imwrite(path, np.moveaxis(CMYK, -1, 0), photometric="separated", planarconfig="separate"),
        "are CMYK",
    ),
    "CMYK with alpha": (
        lambda path: tifffile.imwrite(path, np.dstack([CMYK, ALPHA]), photometric="separated", extrasamples=[2]),
        "are CMYK",
    ),
    "CMYK under JPEG": (
        lambda path: tifffile.imwrite(path, CMYK, photometric="separated", compression="jpeg"), "are CMYK",
    ),
    "CIELAB": (lambda path: tifffile.imwrite(path, YCBCR, photometric="cielab"), "are CIELAB"),
    "ICC LAB": (lambda path: tifffile.imwrite(path, YCBCR, photometric="icclab", compression="zlib"), "are ICC LAB"),
    "YCbCr in planes": (
        lambda path: tifffile.imwrite(
            path, np.moveaxis(YCBCR, -1, 0), photometric="ycbcr", planarconfig="separate", subsampling=(1, 1)
        ),
        "YCbCr in separate planes",
    ),
    "white is zero": (lambda path: planes(path, 255 - PLANES, photometric="miniswhite"), "colours are white is zero"),
    "one plane of white is zero": (
        lambda path: [
            planes(path, 255 - PLANES[:1], photometric="miniswhite"),
            tifffile.imwrite(path, PLANES[1:], photometric="minisblack", append=True, metadata=None),
        ],
        "colours are white is zero",
    ),
    "YCbCr of less chroma": (less_chroma, "chroma of a lower resolution"),
    "palette": (lambda path: planes(path, 255 - PLANES, photometric="palette", colormap=COLOUR_MAP), "are palette"),
    "int16": (lambda path: tifffile.imwrite(path, RGB.astype("int16"), photometric="rgb"), "3 channels of int16"),
    "float32": (lambda path: tifffile.imwrite(path, RGB / np.float32(255), photometric="rgb"), "channels of float32"),
    "12 bits": (fewer_bits, "12 bits of 16"),
    "bool": (lambda path: planes(path, PLANES > 100, photometric="minisblack"), "it holds bool"),
    "2 channels": (lambda path: planes(path, PLANES[:2], photometric="minisblack"), "2 channels of uint8"),
}  # fmt: skip


@pytest.mark.some(3)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", NOT_RGB)
def test_what_is_not_rgb_is_refused_in_the_same_words_everywhere(tmp_path: Path, name: str) -> None:
    write, words = NOT_RGB[name]
    root, path = lake(tmp_path)
    write(path)
    with pytest.raises(SporaError, match=words) as by_loader:
        loaded(root)
    assert str(by_loader.value) in [finding.reason for finding in validate(root) if finding.severity == "error"]
    with pytest.raises(SporaError) as by_import:
        import_dataset(path, into=tmp_path / "new", dataset="d", modality="he", mpp=1.0, images="link")
    assert str(by_import.value) == str(by_loader.value)
    assert not (tmp_path / "new").exists()


def test_rgb_in_every_form_that_says_so(tmp_path: Path) -> None:
    root, path = lake(tmp_path)
    ways: list[Any] = [
        lambda: tifffile.imwrite(path, RGB, photometric="rgb", compression="zlib"),
        lambda: tifffile.imwrite(path, PLANES, photometric="rgb", planarconfig="separate"),
        lambda: planes(path, PLANES, photometric="minisblack"),
        lambda: write_ometiff(path, PLANES, mpp=1.0),
        lambda: write_ometiff(path, PLANES, mpp=1.0, photometric="rgb"),
        lambda: [path.unlink(), write_omezarr(path.with_name("t1.ome.zarr"), PLANES, mpp=1.0)],
    ]
    for way in ways:
        way()
        np.testing.assert_allclose(loaded(root), PLANES / 255, atol=1e-6)
        assert [finding for finding in validate(root, deep=True) if finding.severity == "error"] == []


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("int16", "3 channels of int16"),
        ("float32", "3 channels of float32"),
        ("bool", "is no RGB picture: it holds bool"),
    ],
)
def test_brightfield_of_zarr_takes_the_same_rule(tmp_path: Path, kind: str, words: str) -> None:
    root, path = lake(tmp_path)
    write_omezarr(path.with_name("t1.ome.zarr"), PLANES.astype(kind), mpp=1.0)
    with pytest.raises(FileFormatError, match=words) as by_loader:
        loaded(root)
    assert str(by_loader.value) in [finding.reason for finding in validate(root) if finding.severity == "error"]


def test_planes_of_a_multiplex_image_stay_as_they_are(tmp_path: Path) -> None:
    """What white or a palette means to a viewer is no matter of measured values."""
    for how in ({"photometric": "miniswhite"}, {"photometric": "palette", "colormap": COLOUR_MAP}):
        planes(tmp_path / "a.tif", PLANES, **how)
        np.testing.assert_array_equal(read_region(open_image(tmp_path / "a.tif")), PLANES)


@pytest.mark.parametrize(("kind", "is_one"), [("uint8", True), ("uint16", True), ("uint32", False), ("uint64", False)])
def test_brightfield_has_the_types_that_its_error_names(tmp_path: Path, kind: str, is_one: bool) -> None:
    path = write_omezarr(tmp_path / "a.ome.zarr", np.ones((3, 20, 30), kind), mpp=0.5)
    fault = brightfield_fault(open_image(path))
    assert fault is None if is_one else fault and f"3 channels of {kind}; H&E and IHC images are RGB" in fault
