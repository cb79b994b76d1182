"""Every odd and every broken image, made here or of the shared data: equal to the oracle, or an error of ours."""

import json
import subprocess
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from agreed import SHARED
from odd_files import Write, broken_images, odd_stores, odd_tiffs
from spora_db.errors import FileFormatError, ImageNotFoundError
from spora_db.images import open_image, read_region

FORMATS, BAD = SHARED / "data" / "formats", SHARED / "data" / "bad"
METADATA = ("zarr.json", ".zarray", ".zgroup")


def tiffs(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file() and file.suffix.lower() in (".tif", ".tiff"))


def stores(folder: Path) -> list[Path]:
    return sorted({file.parent for name in METADATA for file in folder.rglob(name)})


def name(path: Path) -> str:
    return "/".join(path.parts[-3:])


ONLY_REAL = "only files of other programs show which of their habits no writer here has; the shared data has some"


def cases(made: Iterable[tuple[str, Write]], real: list[Path]) -> list[Any]:
    """Return the made images, and the real ones or one skipped test that says what they would show."""
    found = [pytest.param(write, id=name) for name, write in made]
    found += [pytest.param(path, id=name(path)) for path in real]
    return found if real else [*found, pytest.param(None, marks=pytest.mark.skip(reason=ONLY_REAL), id="real files")]


@pytest.fixture
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return where an image is; a made one is written first."""
    case: Path | Write = request.param
    return case if isinstance(case, Path) else case(tmp_path / "image")


def channels_first(image: np.ndarray, axes: str) -> np.ndarray:
    image = np.moveaxis(image, -1, -3) if axes.endswith("YXS") else image
    return image.reshape(-1, *image.shape[-2:])


def assert_delivered(got: np.ndarray, stored: np.ndarray) -> None:
    """Compare pixels; bool is delivered as uint8 and float16 as float32."""
    changed = {np.dtype(np.bool_): np.dtype(np.uint8), np.dtype(np.float16): np.dtype(np.float32)}
    native = stored.dtype.newbyteorder("=")
    wanted = changed.get(native, native)
    assert got.dtype == wanted
    np.testing.assert_array_equal(got, stored)


def unmultiplied(image: np.ndarray, page: tifffile.TiffPage) -> np.ndarray:
    """Return the colours of an RGBA image of premultiplied alpha, others as they are."""
    if page.photometric != 2 or page.extrasamples != (1,):
        return image
    colours, alpha, most = image[..., :3].astype(float), image[..., 3:].astype(float), np.iinfo(image.dtype).max
    colours = np.where(alpha > 0, colours * most / np.maximum(alpha, 1), colours).round().clip(0, most)
    return np.concatenate([colours.astype(image.dtype), image[..., 3:]], -1)


def tiff_oracle(path: Path) -> tuple[np.ndarray, str] | None:
    try:
        with tifffile.TiffFile(path, _multifile=False) as tiff:
            series = max(tiff.series, key=lambda series: series.keyframe.imagelength * series.keyframe.imagewidth)
            return unmultiplied(series.levels[0].asarray(), series.keyframe), series.axes
    except Exception:  # noqa: BLE001 - whatever tifffile raises: then we must refuse too
        return None


def photometric(path: Path) -> int:
    """Return how the first page's samples are to be read, by tifffile."""
    with tifffile.TiffFile(path) as tiff:
        return int(tiff.pages[0].photometric)


@pytest.mark.some(4)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", cases(odd_tiffs(), tiffs(FORMATS)), indirect=True)
def test_odd_tiff(path: Path) -> None:
    oracle = tiff_oracle(path)
    try:
        got = read_region(open_image(path))
    except FileFormatError as error:
        assert str(path) in str(error)  # noqa: PT017 - the message is the point
        cmyk = "are CMYK" in str(error) and photometric(path) == tifffile.PHOTOMETRIC.SEPARATED
        assert oracle is None or oracle[0].dtype.kind == "c" or oracle[0].size == 0 or oracle[1] == "ZYX" or cmyk
        return
    assert oracle is not None
    assert_delivered(got, channels_first(*oracle))


def zarr_oracle(path: Path) -> Any:
    """Return the array that an OME-Zarr reader must show, None where there is none."""
    try:
        node = zarr.open(path, mode="r")
        if isinstance(node, zarr.Group):
            attributes = dict(node.attrs)
            ome = attributes.get("ome", attributes)
            node = node[ome["multiscales"][0]["datasets"][0]["path"] if "multiscales" in ome else "0"]
        return node[...]
    except Exception:  # noqa: BLE001 - whatever zarr-python raises: then we must refuse too
        return None


@pytest.mark.some(4)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", cases(odd_stores(), stores(FORMATS)), indirect=True)
def test_odd_zarr(path: Path) -> None:
    stored = zarr_oracle(path)
    try:
        reader = open_image(path, missing_chunks="zeros")
        got = read_region(reader)
    except (FileFormatError, ImageNotFoundError) as error:
        assert str(path) in str(error)  # noqa: PT017 - the message is the point
        extra = getattr(stored, "ndim", 0) > 3 or "more than one element" in str(error)
        assert stored is None or stored.ndim < 2 or stored.dtype.kind not in "biuf" or extra
        return
    assert stored is not None
    assert_delivered(got, channels_first(stored.squeeze() if stored.ndim > 3 else stored, "cyx"))


CHILD = """
import json, logging, resource, sys, warnings
resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30,) * 2)
warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
from spora_db.errors import SporaError
from spora_db.images import open_image, read_region
for path in json.load(sys.stdin):
    try:
        said = "pixels " + str(read_region(open_image(path)).shape)
    except SporaError as error:
        said = "refused " + str(error)
    except BaseException as error:
        said = "escaped " + repr(error)
    print(json.dumps([path, said]), flush=True)
"""


@pytest.mark.filterwarnings("ignore")
def test_broken_images_never_crash_and_never_lie(tmp_path: Path) -> None:
    """In a child with a memory limit, because headers claim terabytes and codecs are C."""
    pointers = [file for file in BAD.rglob("*") if file.is_file() and "gitlfs" in str(file)]
    paths = [*tiffs(BAD), *stores(BAD), *pointers, *tiffs(FORMATS / "tiff-image-rs" / "fuzz_images")]
    paths += broken_images(tmp_path)
    child = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=json.dumps([str(path) for path in paths]),
        capture_output=True,
        text=True,
        check=False,
    )
    said = dict(json.loads(line) for line in child.stdout.splitlines())
    assert child.returncode == 0, f"died after {list(said)[-1:]}: {child.stderr[-2000:]}"
    assert [text for text in said.values() if text.startswith("escaped")] == []
    for path in paths:
        if said[str(path)].startswith("refused"):
            assert str(path) in said[str(path)] or path.name in said[str(path)]
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            oracle = tiff_oracle(path)
            assert oracle is not None, f"read {path}, which tifffile does not"
            assert_delivered(read_region(open_image(path)), channels_first(*oracle))
