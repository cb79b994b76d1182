"""Damaged Zarr stores of every layout: an error that names the file, or the right pixels; silent only without checksum.

The oracle is zarr-python, which is asked whenever other pixels come back than were written.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numcodecs
import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ShardingCodec, TransposeCodec, ZstdCodec
from zarr.codecs.bytes import BytesCodec

from spora_db.errors import FileFormatError, SporaError
from spora_db.images import clear_cache, close_images, open_image, read_region, write_ometiff, write_omezarr
from spora_db.masks import load_mask

IMAGE = np.random.default_rng(0).poisson(2, (3, 40, 40)).astype("u2")
CHUNK, SHARD = (3, 16, 16), (3, 32, 32)
TURNED = TransposeCodec(order=(2, 1, 0))


class Layout(NamedTuple):
    """How a store is written, and whether all bytes of its chunks are covered by a checksum."""

    checked: bool
    version: int = 3
    separator: str = "/"
    array: dict[str, Any] | None = None


def v2(checked: bool, separator: str = ".", **array: Any) -> Layout:
    return Layout(checked, 2, separator, array)


def v3(checked: bool, separator: str = "/", **array: Any) -> Layout:
    return Layout(checked, 3, separator, array)


def at_start(**index: Any) -> Any:
    """Return a shard whose index stands first."""
    return ShardingCodec(
        chunk_shape=CHUNK, codecs=[BytesCodec(endian="little"), BloscCodec()], index_location="start", **index
    )


LAYOUTS = {
    "v2-raw": v2(False, compressors=None),
    "v2-raw-nested": v2(False, "/", compressors=None),
    "v2-blosc": v2(False, compressors=numcodecs.Blosc()),
    "v2-blosc-nested": v2(False, "/", compressors=numcodecs.Blosc()),
    "v2-gzip": v2(True, compressors=numcodecs.GZip()),
    "v2-zlib": v2(True, compressors=numcodecs.Zlib()),
    "v2-zstd": v2(False, compressors=numcodecs.Zstd()),
    "v2-zstd-checksum": v2(True, "/", compressors=numcodecs.Zstd(checksum=True)),
    "v2-lz4": v2(False, compressors=numcodecs.LZ4()),
    "v2-delta": v2(False, filters=[numcodecs.Delta(dtype="u2")], compressors=None),
    "v2-crc32c": v2(True, filters=[numcodecs.CRC32C()], compressors=None),
    "v3-raw": v3(False, compressors=None),
    "v3-raw-flat": v3(False, ".", compressors=None),
    "v3-blosc": v3(False, compressors=BloscCodec()),
    "v3-zstd": v3(False, compressors=ZstdCodec()),
    "v3-zstd-checksum": v3(True, compressors=ZstdCodec(checksum=True)),
    "v3-gzip": v3(True, compressors=GzipCodec()),
    "v3-raw-crc32c": v3(True, ".", compressors=Crc32cCodec()),
    "v3-blosc-crc32c": v3(True, compressors=[BloscCodec(), Crc32cCodec()]),
    "v3-turned": v3(False, filters=[TURNED], compressors=None),
    "v3-turned-crc32c": v3(True, filters=[TURNED], compressors=Crc32cCodec()),
    "shards-raw": v3(False, shards=SHARD, compressors=None),
    "shards-blosc": v3(False, shards=SHARD, compressors=BloscCodec()),
    "shards-blosc-crc32c": v3(True, shards=SHARD, compressors=[BloscCodec(), Crc32cCodec()]),
    "shards-index-first": v3(False, chunks=SHARD, serializer=at_start(), compressors=None),
    "shards-turned": v3(False, shards=SHARD, filters=[TURNED], compressors=None),
    "ours": Layout(checked=True),
}


def write(path: Path, layout: Layout) -> Path:
    """Write the image, all chunks present."""
    if layout.array is None:
        return write_omezarr(path, IMAGE, mpp=1, chunk=16, shard=32)
    naming = {"name": "v2" if layout.version == 2 else "default", "separator": layout.separator}
    group = zarr.open_group(path, mode="w", zarr_format=layout.version)
    stored = group.create_array(
        "0",
        shape=IMAGE.shape,
        dtype=IMAGE.dtype,
        chunk_key_encoding=naming,
        config={"write_empty_chunks": True},
        **{"chunks": CHUNK, **layout.array},
    )
    stored[...] = IMAGE
    return path


def chunk_files(path: Path) -> list[Path]:
    metadata = ("zarr.json", ".zarray", ".zattrs")
    return sorted(file for file in (path / "0").rglob("*") if file.is_file() and file.name not in metadata)


def damages(data: bytes) -> Iterator[tuple[str, bytes]]:
    size = len(data)
    yield "empty", b""
    yield from (("cut", data[:kept]) for kept in (1, 15, size // 2, size - 1))
    yield from (("longer", data + more) for more in (b"\0", bytes(64), b"x" * 10, data))
    yield "zeros", bytes(size)
    yield "text", b"<html>Not found</html>".ljust(size)
    places = {*range(0, size, max(1, size // 15)), *range(min(size, 18)), *range(max(0, size - 8), size)}
    for place in sorted(places):
        flipped = bytearray(data)
        flipped[place] ^= 1 << (place % 8)
        yield f"bit {place}", bytes(flipped)


def read(path: Path, pages: list[int] | None) -> np.ndarray | SporaError:
    clear_cache()
    try:
        return read_region(open_image(path), pages)
    except SporaError as error:
        assert str(path) in str(error)  # noqa: PT017 - the message is the point
        return error


@pytest.mark.some(4)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_damage_is_an_error_or_changes_nothing(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.ome.zarr", LAYOUTS[name])
    np.testing.assert_array_equal(read(path, None), IMAGE)
    file = chunk_files(path)[0]
    whole = file.read_bytes()
    for damage, data in damages(whole):
        file.write_bytes(data)
        alternating = [[1]] if damage.endswith(("1", "3", "5", "7", "9")) else [None]
        for pages in alternating if damage.startswith("bit") else ([1], None):
            got = read(path, pages)
            if isinstance(got, SporaError):
                continue
            assert damage != "empty", name
            right = IMAGE if pages is None else IMAGE[pages]
            if not np.array_equal(got, right):
                assert not LAYOUTS[name].checked, f"{damage}: other pixels in spite of a checksum"
                stored = zarr.open_array(path / "0", mode="r")[...]
                np.testing.assert_array_equal(got, stored if pages is None else stored[pages])
    file.write_bytes(whole)
    np.testing.assert_array_equal(read(path, None), IMAGE)


@pytest.mark.some(4)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(LAYOUTS))
@pytest.mark.parametrize("choice", ["zeros", "white"])
def test_an_empty_file_is_no_absent_chunk(tmp_path: Path, name: str, choice: Any) -> None:
    path = write(tmp_path / "a.ome.zarr", LAYOUTS[name])
    file = chunk_files(path)[-1]
    file.write_bytes(b"")
    with pytest.raises(FileFormatError, match="it is empty") as caught:
        read_region(open_image(path, missing_chunks=choice))
    assert str(file) in str(caught.value)


def renamed(path: Path) -> None:
    """Name the chunks otherwise than the metadata says."""
    for file in chunk_files(path):
        name = file.relative_to(path / "0").as_posix()
        target = path / "0" / (name.replace("/", ".") if "/" in name else name.replace(".", "/"))
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)


def linked(path: Path) -> None:
    """Leave a link where a chunk was, as git-annex does before the content is fetched."""
    file = chunk_files(path)[0]
    file.unlink()
    file.symlink_to("../nowhere")


def linked_folder(path: Path) -> None:
    folder = chunk_files(path)[0].parent
    shutil.rmtree(folder)
    folder.symlink_to("nowhere")


def file_for_folder(path: Path) -> None:
    folder = chunk_files(path)[0].parent
    shutil.rmtree(folder)
    folder.write_bytes(b"")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("choice", ["error", "zeros", "white"])
@pytest.mark.parametrize(
    ("name", "damage", "says"),
    [
        ("v2-raw", renamed, r"names chunks like 0\.0\.0, but on disk lies 0/0/0"),
        ("v2-raw-nested", renamed, r"names chunks like 0/0/0, but on disk lies 0\.0\.0"),
        ("v2-delta", renamed, "but on disk lies 0/0/0"),
        ("v3-raw-flat", renamed, "but on disk lies c/0/0/0"),
        ("ours", renamed, r"but on disk lies c\.0\.0\.0"),
        ("v2-raw", linked, "a link to what is not there"),
        ("v3-turned", linked, "a link to what is not there"),
        ("ours", linked_folder, "a link to what is not there"),
        ("ours", file_for_folder, "a folder above it is a file"),
        ("v3-turned", file_for_folder, "a folder above it is a file"),
    ],
)
def test_chunks_that_are_there_otherwise_are_not_absent(
    tmp_path: Path, name: str, damage: Callable[[Path], None], says: str, choice: Any
) -> None:
    path = write(tmp_path / "a.ome.zarr", LAYOUTS[name])
    damage(path)
    with pytest.raises(FileFormatError, match=says):
        read_region(open_image(path, missing_chunks=choice))


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """Return a shard of four raw chunks without any checksum but that of its index, which tests write anew."""
    return chunk_files(write(tmp_path / "a.ome.zarr", LAYOUTS["shards-raw"]))[0]


SIZE = int(np.prod(CHUNK)) * 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda index: index[[1, 1, 2, 3]], "gives chunks 0 and 1 the same bytes"),
        (lambda index: index - [[0, 0], [8, 0], [0, 0], [0, 0]], "gives chunks 1 and 2 the same bytes"),
        (lambda index: index - [[0, 0], [0, 0], [0, 0], [-1, 0]], "places chunk 3 at bytes"),
        (lambda index: index - [[-(10**6), 0], [0, 0], [0, 0], [0, 0]], "places chunk 0 at bytes"),
        (lambda index: index[:, ::-1], "places chunk 0 at bytes"),
        (lambda index: np.where(index == 0, 2**64 - 1, index), "places chunk 0 at bytes"),
        (lambda index: np.where(index == 2 * SIZE, 2**64 - 8, index), "places chunk 1 at bytes"),
        (lambda index: index * [[1, 0], [1, 1], [1, 1], [1, 1]], "places chunk 0 at bytes 0 to 0"),
    ],
    ids=["twice", "overlapping", "over the index", "beyond the file", "swapped", "half empty", "overflow", "no bytes"],
)
def test_an_index_that_contradicts_its_shard(shard: Path, change: Callable[..., np.ndarray], says: str) -> None:
    data = shard.read_bytes()
    index = np.frombuffer(data[-68:-4], "<u8").reshape(4, 2)
    changed = np.ascontiguousarray(change(index.astype(object)).astype("<u8")).tobytes()
    checksum = numcodecs.CRC32C().encode(np.frombuffer(changed, "u1"))
    shard.write_bytes(data[:-68] + bytes(checksum))
    with pytest.raises(FileFormatError, match=says):
        read_region(open_image(shard.parents[4]))


@pytest.mark.parametrize("document", ["zarr.json", "0/zarr.json", ".zgroup", ".zattrs", "0/.zarray"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", bytes(40)])
def test_broken_metadata_is_named(tmp_path: Path, document: str, content: bytes) -> None:
    version = 3 if document.endswith("json") else 2
    path = write(tmp_path / "a.ome.zarr", v2(False) if version == 2 else v3(False))
    (path / ".zattrs").write_text("{}") if version == 2 else None
    (path / document).write_bytes(content)
    with pytest.raises(FileFormatError, match=document.replace(".", r"\.")):
        open_image(path)


@pytest.mark.parametrize(
    ("document", "change", "says"),
    [
        ("zarr.json", {"zarr_format": 4}, "zarr_format is 4.*Expected 3"),
        ("0/zarr.json", {"zarr_format": 2}, "zarr_format is 2.*Expected 3"),
        (".zgroup", {"zarr_format": 3}, "zarr_format is 3.*Expected 2"),
        ("0/.zarray", {"zarr_format": None}, "zarr_format is None.*Expected 2"),
        ("0/zarr.json", {"shape": [3, 2**40, 2**40]}, r"shape \(3, 1099511627776.* than a file may have"),
        ("0/.zarray", {"shape": [2**61, 4, 4]}, "than a file may have"),
    ],
)
def test_metadata_of_another_version_or_of_no_file_is_refused(
    tmp_path: Path, document: str, change: dict[str, Any], says: str
) -> None:
    path = write(tmp_path / "a.ome.zarr", v3(False) if document.endswith("json") else v2(False))
    held = json.loads((path / document).read_text())
    (path / document).write_text(json.dumps(held | change))
    with pytest.raises(FileFormatError, match=says):
        open_image(path)


def test_no_flipped_bit_in_a_zarr_of_ours_is_silent(tmp_path: Path) -> None:
    """Every bit of the shape, and some of all other bytes."""
    image = IMAGE[:, :20, :17]
    path = write_omezarr(tmp_path / "a.ome.zarr", image, mpp=1, chunk=16, shard=16)
    for file in (path / "zarr.json", path / "0/zarr.json", chunk_files(path)[1]):
        whole = file.read_bytes()
        shape = 8 * max(whole.find(b'"shape"'), 0)
        for place in (*range(shape, shape + 8 * 45), *range(3, 8 * len(whole), 83)):
            flipped = bytearray(whole)
            flipped[place // 8] ^= 1 << (place % 8)
            file.write_bytes(flipped)
            close_images()
            got = read(path, None)
            assert isinstance(got, SporaError) or np.array_equal(got, image), (file, place)
        file.write_bytes(whole)


def test_an_image_that_was_resized_on_purpose_opens_without_the_note(tmp_path: Path) -> None:
    path = write_omezarr(tmp_path / "a.ome.zarr", IMAGE, mpp=1)
    zarr.open_array(path / "0", mode="r+").resize((3, 40, 30))
    with pytest.raises(FileFormatError, match=r"shape is \(3, 40, 30\).*\(3, 40, 40\) was written.*remove 'spora_db'"):
        open_image(path)
    del zarr.open_group(path, mode="r+").attrs["spora_db"]
    np.testing.assert_array_equal(read(path, None), IMAGE[:, :, :30])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_no_flipped_bit_in_a_mask_is_silent(tmp_path: Path, save: Any) -> None:
    path, mask = tmp_path / "a.npz", np.zeros((9, 11), np.int32)
    mask[3:5, 2:7] = 7
    save(path, mask=mask)
    whole = path.read_bytes()
    for place in range(0, 8 * len(whole), 7):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << (place % 8)
        path.write_bytes(flipped)
        try:
            got = load_mask(path)
        except SporaError:
            continue
        assert got.dtype == mask.dtype, place
        np.testing.assert_array_equal(got, mask)


@pytest.mark.parametrize("compression", ["zstd", "deflate"])
@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_a_flipped_bit_in_an_ome_tiff_of_ours_is_an_error(tmp_path: Path, compression: Any, dtype: str) -> None:
    path = write_ometiff(tmp_path / "a.ome.tiff", IMAGE.astype(dtype), mpp=1, tile=16, compression=compression)
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        offsets, counts = tiff.pages[1].dataoffsets, tiff.pages[1].databytecounts
    whole = path.read_bytes()
    for place in range(offsets[2], offsets[2] + counts[2], 7):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << (place % 8)
        path.write_bytes(flipped)
        got = read(path, [1])
        assert isinstance(got, SporaError) or np.array_equal(got, IMAGE[[1]]), place


def test_gzip_members_are_all_read(tmp_path: Path) -> None:
    import gzip

    path = write(tmp_path / "a.ome.zarr", LAYOUTS["v2-gzip"])
    file = chunk_files(path)[0]
    pixels = gzip.decompress(file.read_bytes())
    halves = gzip.compress(pixels[:100]) + gzip.compress(pixels[100:])
    for data in (halves, halves + gzip.compress(b""), gzip.compress(b"") + halves, halves + bytes(16)):
        file.write_bytes(data)
        np.testing.assert_array_equal(read(path, None), IMAGE)
        np.testing.assert_array_equal(zarr.open_array(path / "0", mode="r")[...], IMAGE)
    for data in (halves[:-1], halves + gzip.compress(b"x"), gzip.compress(pixels[:100]), halves[:20] + halves[21:]):
        file.write_bytes(data)
        assert isinstance(read(path, None), FileFormatError)


@pytest.mark.parametrize("separator", ["/", "."])
@pytest.mark.parametrize("declared", ["absent", "null"])
def test_v2_chunks_are_named_as_their_writer_named_them(tmp_path: Path, separator: str, declared: str) -> None:
    path = write(tmp_path / "a.ome.zarr", v2(False, separator, compressors=None))
    document = path / "0/.zarray"
    metadata = json.loads(document.read_text())
    del metadata["dimension_separator"]
    document.write_text(json.dumps(metadata if declared == "absent" else metadata | {"dimension_separator": None}))
    np.testing.assert_array_equal(read(path, None), IMAGE)
    other = path / ("0/0.0.0" if separator == "/" else "0/0/0/0")
    other.parent.mkdir(parents=True, exist_ok=True)
    other.write_bytes(b"x")
    close_images()
    with pytest.raises(FileFormatError, match="chunks of both kinds"):
        open_image(path)


def test_nested_chunks_that_zarr_python_would_not_find_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ome.zarr", v2(False, "/", filters=[numcodecs.Delta(dtype="u2")], compressors=None))
    document = path / "0/.zarray"
    metadata = json.loads(document.read_text())
    del metadata["dimension_separator"]
    document.write_text(json.dumps(metadata))
    with pytest.raises(FileFormatError, match="declares no dimension_separator"):
        open_image(path, missing_chunks="zeros")


@pytest.mark.parametrize("filters", ["auto", "transpose"])
def test_a_folder_or_a_pipe_is_no_chunk(tmp_path: Path, filters: str) -> None:
    """zarr-python reads the fill value at a folder, and waits without end at a pipe."""
    path = write_omezarr(tmp_path / "a.ome.zarr", np.ones((2, 40, 40), np.uint16), mpp=1.0)
    more = {} if filters == "auto" else {"filters": [TransposeCodec(order=(2, 1, 0))]}
    array = zarr.create_array(
        path / "0", shape=(2, 40, 40), chunks=(2, 40, 40), dtype="uint16", overwrite=True, fill_value=9, **more
    )
    array[:] = 1
    chunk = path / "0/c/0/0/0"
    for make in (Path.mkdir, os.mkfifo):
        chunk.rmdir() if chunk.is_dir() else chunk.unlink()
        make(chunk)
        for choice in ("error", "zeros"):
            with pytest.raises(FileFormatError, match="a folder or a device, no file"):
                read_region(open_image(path, missing_chunks=choice))
