"""Which pages of a TIFF file are its image: several pictures, descriptions that do not fit, stacked channels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from spora_db import import_dataset
from spora_db.errors import ArgumentError, FileFormatError, SporaError
from spora_db.images import open_image, read_region

STACK = np.random.default_rng(0).integers(0, 60000, (5, 60, 80)).astype("uint16")
SLIDE = np.random.default_rng(1).integers(0, 255, (300, 400, 3)).astype("uint8")
SMALL = np.full((75, 100, 3), 50, "uint8")
NAMESPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"


def described(*images: str) -> str:
    return f'<?xml version="1.0"?><OME xmlns="{NAMESPACE}">{"".join(images)}</OME>'


def image_xml(
    number: int,
    sizes: dict[str, int],
    *,
    samples: int = 1,
    kind: str = "uint8",
    name: str = "",
    data: str = "",
    **names: Any,
) -> str:
    """Return one Image of OME-XML; `sizes` along x, y, c, z, t."""
    count = sizes.get("c", 1) // samples
    labels = names.get("labels", [""] * count)
    channels = "".join(
        f'<Channel ID="Channel:{number}:{at}" SamplesPerPixel="{samples}" {f"Name={label!r}" if label else ""}/>'
        for at, label in enumerate(labels)
    )
    size = " ".join(f'Size{axis.upper()}="{sizes.get(axis, 1)}"' for axis in "xyczt")
    return (
        f'<Image ID="Image:{number}" Name="{name}">'
        f'<Pixels ID="Pixels:{number}" DimensionOrder="XYCZT" Type="{kind}" {size}>'
        f"{channels}{data}</Pixels></Image>"
    )


def write(path: Path, pages: list[tuple[np.ndarray, dict[str, Any]]], xml: str | None = None) -> Path:
    with tifffile.TiffWriter(path, ome=False) as tiff:
        for number, (page, how) in enumerate(pages):
            how = {"photometric": "rgb" if page.ndim == 3 else "minisblack", **how}
            tiff.write(
                page, description=xml if number == 0 and xml else how.pop("description", None), metadata=None, **how
            )
    return path


def channels_first(picture: np.ndarray) -> np.ndarray:
    return np.moveaxis(picture, -1, 0)


BIG = {"compression": "zlib", "tile": (64, 64)}
REDUCED = {"subfiletype": 1}


@pytest.mark.parametrize(
    "pages",
    [
        [(SMALL, {}), (SLIDE, BIG)],
        [(SLIDE, BIG), (SMALL, {})],
        [(SMALL, {}), (SLIDE, BIG), (SLIDE[::2, ::2].copy(), BIG), (SLIDE[::4, ::4].copy(), BIG)],
        [(SLIDE, BIG), (SLIDE[::2, ::2].copy(), {**BIG, **REDUCED}), (SMALL[:, :60].copy(), {})],
        [(np.zeros((500, 500, 3), "uint8"), {"description": "macro 500x500"}), (SLIDE, BIG)],
        [(np.zeros((300, 400, 3), "uint8"), {"description": "label image"}), (SLIDE, BIG)],
        [(np.zeros((400, 400, 3), "uint8"), {"extratags": [(285, 2, 0, "Thumbnail", True)]}), (SLIDE, {})],
        [(np.zeros((300, 400, 3), "uint8"), REDUCED), (SLIDE, BIG)],
        [(SLIDE, BIG), (np.ones((300, 400), bool), {"subfiletype": 4})],
    ],
)
def test_the_slide_is_read_and_not_what_lies_beside_it(
    tmp_path: Path, pages: list[tuple[np.ndarray, dict[str, Any]]]
) -> None:
    image = open_image(write(tmp_path / "a.ome.tiff", pages))
    np.testing.assert_array_equal(read_region(image), channels_first(SLIDE))


@pytest.mark.parametrize(("channels", "size"), [(5, 100), (3, 100), (3, 500)])
def test_colours_and_channels_in_one_file_are_named(tmp_path: Path, channels: int, size: int) -> None:
    """A cohort of three channels would take the picture, and one of H&E three channels."""
    stack = np.zeros((channels, size, size), "uint8")
    colour = image_xml(0, {"x": 400, "y": 300, "c": 3}, samples=3, data='<TiffData IFD="0" PlaneCount="1"/>')
    planes = image_xml(1, {"x": size, "y": size, "c": channels}, data=f'<TiffData IFD="1" PlaneCount="{channels}"/>')
    path = write(tmp_path / "a.ome.tiff", [(SLIDE, {}), *((page, {}) for page in stack)], described(colour, planes))
    with pytest.raises(
        FileFormatError, match=rf"a picture in colours and an image of channels.*c={channels}, y={size}"
    ):
        open_image(path)


@pytest.mark.parametrize(("first", "second"), [("", ""), ("macro image", "slide"), ("slide", "label image")])
def test_the_largest_image_of_ome_xml(tmp_path: Path, first: str, second: str) -> None:
    one = image_xml(0, {"x": 100, "y": 75, "c": 3}, samples=3, name=first, data='<TiffData IFD="0" PlaneCount="1"/>')
    two = image_xml(1, {"x": 400, "y": 300, "c": 3}, samples=3, name=second, data='<TiffData IFD="1" PlaneCount="1"/>')
    path = write(tmp_path / "a.ome.tiff", [(SMALL, {}), (SLIDE, BIG)], described(one, two))
    if second == "label image":
        assert open_image(path).shape == (3, 75, 100)  # what the file says that it is
    else:
        np.testing.assert_array_equal(read_region(open_image(path)), channels_first(SLIDE))


def test_images_of_one_size_are_named(tmp_path: Path) -> None:
    both = [
        image_xml(at, {"x": 400, "y": 300, "c": 3}, samples=3, name=name, data=f'<TiffData IFD="{at}" PlaneCount="1"/>')
        for at, name in enumerate(["left", "right"])
    ]
    path = write(tmp_path / "a.ome.tiff", [(SLIDE, {}), (SLIDE, {})], described(*both))
    with pytest.raises(FileFormatError, match=r"holds 2 images of 300 x 400 pixels.*'left'.*page 0; 'right'.*page 1"):
        open_image(path)


def test_an_rgb_pyramid_that_kept_the_xml_of_its_source(tmp_path: Path) -> None:
    levels = [(SLIDE[::step, ::step].copy(), {**BIG, **({} if step == 1 else REDUCED)}) for step in (1, 2, 4)]
    xml = described(image_xml(0, {"x": 400, "y": 300, "c": 9}, samples=3, data='<TiffData IFD="0" PlaneCount="3"/>'))
    np.testing.assert_array_equal(
        read_region(open_image(write(tmp_path / "a.tif", levels, xml))), channels_first(SLIDE)
    )
    for size in ({"x": 500, "y": 300, "c": 9}, {"x": 300, "y": 400, "c": 3}):
        xml = described(image_xml(0, size, samples=3, data='<TiffData IFD="0" PlaneCount="3"/>'))
        with pytest.raises(FileFormatError, match=r"OME-XML of the image .* contradicts its pages") as error:
            open_image(write(tmp_path / "a.tif", levels, xml))
        assert "ownload" not in str(error.value)


def test_pages_that_the_xml_does_not_fit_are_never_fewer_channels(tmp_path: Path) -> None:
    """tifffile gives up on such files; read page by page, four of five channels would be left."""
    pages = [(page, {"rowsperstrip": 10}) for page in STACK[:4]] + [(STACK[4, :40], {"rowsperstrip": 10})]
    xml = described(image_xml(0, {"x": 80, "y": 60, "c": 5}, kind="uint16", data="<TiffData/>"))
    with pytest.raises(FileFormatError, match=r"contradicts its pages|of several sizes"):
        open_image(write(tmp_path / "a.tif", pages, xml))


@pytest.mark.some(2)
@pytest.mark.parametrize("kind", ["uint16", "float32"])
@pytest.mark.parametrize(
    "cut", [lambda stack: stack[None, None, ..., None], lambda stack: stack[..., None, :]], ids=["columns", "rows"]
)
def test_pages_of_columns_or_rows_are_the_planes_of_the_xml(tmp_path: Path, cut: Any, kind: str) -> None:
    """xtiff writes an axis of samples with one element, of which newer versions of tifffile make pages."""
    stack = STACK.astype(kind)
    labels = [f"marker {at}" for at in range(5)]
    sizes, ome_kind = {"x": 80, "y": 60, "c": 5}, {"float32": "float"}.get(kind, kind)
    xml = described(image_xml(0, sizes, kind=ome_kind, data="<TiffData/>", labels=labels))
    path = tmp_path / "a.ome.tiff"
    tifffile.imwrite(path, cut(stack), description=xml, metadata=None, photometric="minisblack")
    np.testing.assert_array_equal(read_region(open_image(path)), stack)
    np.testing.assert_array_equal(
        read_region(open_image(path), [3], row=7, col=11, height=20, width=9), stack[[3], 7:27, 11:20]
    )
    report = import_dataset(path, into=tmp_path / "lake", dataset="d", modality="imc", mpp=1.0)
    assert report.channels == tuple(labels)
    tifffile.imwrite(path, cut(stack), description=xml, metadata=None, photometric="minisblack", compression="zlib")
    with pytest.raises(FileFormatError, match=r"OME-XML .* describes c=5, y=60, x=80; the pages are"):
        open_image(path)


def write_stacked(folder: Path, writer: str, axis: str) -> Path:
    path = folder / f"a.{'ome.zarr' if writer == 'zarr' else 'ome.tiff'}"
    if writer == "ome":
        tifffile.imwrite(path, STACK, metadata={"axes": f"{axis.upper()}YX"}, photometric="minisblack", ome=True)
    elif writer == "imagej":
        count = {"z": "slices", "t": "frames"}[axis]
        labels = [f"marker {at}" for at in range(5)]
        tifffile.imwrite(path, STACK, imagej=True, metadata={"axes": f"{axis.upper()}YX", count: 5, "Labels": labels})
    else:
        names = {"z": ["z", "c", "y", "x"], "t": ["t", "c", "y", "x"]}[axis]
        store = zarr.create_array(
            path, shape=(5, 1, 60, 80), dtype="uint16", chunks=(2, 1, 32, 32), dimension_names=names
        )
        store[:] = STACK[:, None]
    return path


@pytest.mark.some(3)
@pytest.mark.parametrize("writer", ["ome", "imagej", "zarr"])
@pytest.mark.parametrize("axis", ["z", "t"])
def test_channels_stacked_as_depths_or_times_open_by_saying_so(tmp_path: Path, writer: str, axis: Any) -> None:
    path = write_stacked(tmp_path, writer, axis)
    with pytest.raises(FileFormatError, match=rf"the axes {axis}=5.*channel_axis='{axis}'.*--channel-axis {axis}"):
        open_image(path)
    np.testing.assert_array_equal(read_region(open_image(path, channel_axis=axis)), STACK)
    with pytest.raises(FileFormatError, match=f"the axes {axis}=5"):
        open_image(path, channel_axis="t" if axis == "z" else "z")
    panel = tmp_path / "panel.csv"
    panel.write_text("channel_name\n" + "".join(f"marker {at}\n" for at in range(5)))
    for images in ("copy", "link"):
        with pytest.raises(ArgumentError, match="'zarr' or 'tiff'"):
            import_dataset(
                path,
                into=tmp_path / "lake",
                dataset="d",
                modality="imc",
                mpp=1.0,
                panel=panel,
                images=images,
                channel_axis=axis,
            )
    report = import_dataset(
        path, into=tmp_path / "lake", dataset="d", modality="imc", mpp=1.0, panel=panel, channel_axis=axis
    )
    written = report.path / "imc/1_0mpp/images/a.ome.zarr"
    np.testing.assert_array_equal(read_region(open_image(written)), STACK)


def test_an_axis_of_channels_and_one_of_depths_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.ome.tif", STACK[:4].reshape(2, 2, 60, 80), metadata={"axes": "ZCYX"}, photometric="minisblack"
    )
    for axis in ("c", "z", "t"):
        with pytest.raises(SporaError, match="the axes z=2, c=2"):
            open_image(tmp_path / "a.ome.tif", channel_axis=axis)
    with pytest.raises(ArgumentError, match="channel_axis is one of"):
        open_image(tmp_path / "a.ome.tif", channel_axis="s")  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 3])
def test_ome_xml_that_leaves_out_pages_like_the_image_is_refused(tmp_path: Path, count: int) -> None:
    xml = tifffile.OmeXml()
    xml.addimage("uint8", (count, 40, 50), (count, 1, 1, 40, 50, 1), axes="CYX")
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=False) as tiff:
        for number in range(4):
            page = np.full((40, 50), number, np.uint8)
            text = xml.tostring() if number == 0 else None
            tiff.write(page, photometric="minisblack", metadata=None, description=text, contiguous=False)
        tiff.write(page[::2, ::2], photometric="minisblack", metadata=None)  # a level, or a preview
    with pytest.raises(FileFormatError, match=f"leaves out {4 - count} pages of the same size and type: .*3"):
        open_image(tmp_path / "a.ome.tif")
