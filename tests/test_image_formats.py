"""A format or a codec from outside is one call, and then part of lakes like those that are built in."""

import zlib
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import zarr

from spora_db.catalog import Catalog
from spora_db.errors import ArgumentError, FileFormatError
from spora_db.images import (
    ChunkGrid,
    image_header,
    open_image,
    read_region,
    register_codec,
    register_image_format,
    write_omezarr,
)
from spora_db.images.chunk_codecs import DECODERS
from spora_db.images.formats import FORMATS
from spora_db.images.page_groups import group_pages
from spora_db.images.pixels import ChunkPlanes
from spora_db.images.zarr_layout import read_layout
from spora_db.layout.names import IMAGE_SUFFIXES

IMAGE = np.arange(2 * 30 * 40, dtype=np.uint16).reshape(2, 30, 40)


class NpyReader:
    """Images as numpy writes arrays."""

    not_rgb = None

    def __init__(self, path, *, missing_chunks, channel_axis):
        self.path, self.files = path, (path,)
        self._array = np.load(path, mmap_mode="r")
        self.shape, self.dtype = self._array.shape, self._array.dtype
        self.chunks = self.shape[1:]

    def grids(self, pages):
        return [ChunkGrid(*self.chunks, group_pages(pages, self.shape[0]))]

    def needs(self, group, down, across, *, rows, cols):
        return iter(())

    def decoded(self, group, down, across, *, rows, cols, files):
        return ChunkPlanes.of(self._array), group.from_whole

    def close(self):
        self._array = None


@pytest.fixture
def npy(monkeypatch):
    monkeypatch.setitem(FORMATS, "npy", None)
    monkeypatch.setitem(IMAGE_SUFFIXES, ".npy", "")
    del FORMATS["npy"], IMAGE_SUFFIXES[".npy"]
    register_image_format("npy", suffixes=[".npy"], reader=NpyReader)


def test_a_format_from_outside_is_opened_and_listed(npy, tmp_path):
    folder = tmp_path / "cohort/imc/1_0mpp/images"
    folder.mkdir(parents=True)
    np.save(folder / "a.npy", IMAGE)
    write_omezarr(folder / "b.ome.zarr", IMAGE, mpp=1)
    with Catalog(tmp_path) as catalog:
        found = catalog.sql("SELECT tissue_id, format FROM images ORDER BY tissue_id").fetchall()
    assert found == [("a", "npy"), ("b", "ome-zarr")]
    assert image_header(folder / "a.npy") == ("npy", 2, 30, 40, np.uint16)
    image = open_image(folder / "a.npy")
    assert open_image(folder / "a.npy") is image
    np.testing.assert_array_equal(read_region(image, [1, 0], row=3, col=5, height=9, width=8), IMAGE[::-1, 3:12, 5:13])
    np.save(folder / "a.npy", IMAGE + 1)
    np.testing.assert_array_equal(read_region(open_image(folder / "a.npy")), IMAGE + 1)


def test_what_is_no_format_names_those_there_are(npy, tmp_path):
    (tmp_path / "a.gif").write_bytes(b"gif")
    with pytest.raises(FileFormatError, match=r"\.zarr, or a file .*\.tif, or .*, or one called \.npy\. Convert"):
        open_image(tmp_path / "a.gif")


@pytest.mark.parametrize(
    ("name", "suffix", "said"),
    [
        ("ome-zarr", ".new", "already"),
        ("new", "new", "begins with a point"),
        ("new", ".New", "lower case"),
        ("new", ".new.zarr", "ome-zarr"),
        ("new", ".ome.tiff", "ome-tiff"),
    ],
)
def test_a_name_is_of_one_format(name, suffix, said):
    before = dict(FORMATS), dict(IMAGE_SUFFIXES)
    with pytest.raises(ArgumentError, match=said):
        register_image_format(name, suffixes=[suffix], reader=NpyReader)
    assert before == (FORMATS, IMAGE_SUFFIXES)


def test_every_suffix_of_a_lake_is_that_of_a_format():
    for suffix, name in IMAGE_SUFFIXES.items():
        assert FORMATS[name].holds(Path(f"a{suffix}"))


def test_a_codec_from_outside_is_decoded_here(tmp_path, monkeypatch):
    path = tmp_path / "a.ome.zarr"
    zarr.create_array(path, data=IMAGE, chunks=(2, 16, 16), zarr_format=2, compressors=numcodecs.Zlib())
    document = path / ".zarray"
    document.write_text(document.read_text().replace('"zlib"', '"my-codec"'))
    assert "compressor" in read_layout(path).encoding.unusual
    monkeypatch.setitem(DECODERS, "my-codec", None)
    del DECODERS["my-codec"]
    register_codec("my-codec", lambda data, size: zlib.decompress(data))
    assert read_layout(path).encoding.unusual is None
    np.testing.assert_array_equal(read_region(open_image(path)), IMAGE)
    with pytest.raises(ArgumentError, match="my-codec"):
        register_codec("my-codec", zlib.decompress)
