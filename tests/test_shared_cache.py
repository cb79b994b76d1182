"""Chunks are known by the image's files and by what is asked of them, in every process alike."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from spora_db.errors import FileFormatError
from spora_db.images import cache_info, clear_cache, close_images, open_image, read_region, write_ometiff, write_omezarr
from spora_db.images.zarr_chunks import ChunkStore

IMAGE = np.arange(3 * 90 * 100, dtype=np.uint16).reshape(3, 90, 100)


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    clear_cache()
    yield
    clear_cache()
    close_images()


@pytest.mark.parametrize(("write", "name"), [(write_omezarr, "a.ome.zarr"), (write_ometiff, "a.ome.tiff")])
def test_a_reader_of_the_same_file_decodes_nothing_again(tmp_path, write, name):
    path = write(tmp_path / name, IMAGE, mpp=1)
    read_region(open_image(path))
    decoded = cache_info().bytes_decoded
    close_images()
    (tmp_path / "link").symlink_to(tmp_path)
    for again in (path, tmp_path / "link" / name):
        assert np.array_equal(read_region(open_image(again)), IMAGE)
        assert cache_info().bytes_decoded == decoded
    other = write(tmp_path / f"b{name}", IMAGE + 1, mpp=1)
    assert np.array_equal(read_region(open_image(other)), IMAGE + 1)


def test_a_chunk_file_that_is_replaced_while_it_is_decoded_is_refused(tmp_path, monkeypatch):
    path = write_omezarr(tmp_path / "a.ome.zarr", IMAGE, mpp=1)
    other = write_omezarr(tmp_path / "b.ome.zarr", IMAGE + 1, mpp=1)
    decode = ChunkStore.decode

    def replacing(self, source, planes):
        Path(str(source.path).replace("a.ome", "b.ome")).replace(source.path)
        return decode(self, source, planes)

    reader = open_image(path)
    monkeypatch.setattr(ChunkStore, "decode", replacing)
    with pytest.raises(FileFormatError, match=r"a\.ome\.zarr/0/\S+ was written again while it was read"):
        read_region(reader)
    monkeypatch.undo()
    assert cache_info().entries == 0
    assert np.array_equal(read_region(reader), IMAGE + 1)
    assert other.exists()
