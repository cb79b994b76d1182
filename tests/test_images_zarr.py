"""OME-Zarr regions against zarr-python, for every encoding, axis order and region; and what broken stores say."""

import itertools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, TransposeCodec, ZstdCodec

from spora_db.errors import ArgumentError, FileFormatError, ImageNotFoundError, SporaError
from spora_db.images import clear_cache, image_header, open_image, read_region, write_omezarr
from spora_db.images.omezarr import OmeZarrReader
from spora_db.images.pieces import Regions, decode
from spora_db.importing.page_names import page_names

V3_COMPRESSORS: dict[str, Any] = {
    "none": None,
    "gzip": GzipCodec(level=1),
    "zstd": ZstdCodec(level=1),
    "zstd+crc32c": [ZstdCodec(level=1), Crc32cCodec()],
    "crc32c+gzip": [Crc32cCodec(), GzipCodec(level=1)],
    **{
        f"blosc-{cname}-{shuffle}": BloscCodec(cname=cname, clevel=3, shuffle=shuffle)
        for cname, shuffle in itertools.product(["lz4", "zstd", "zlib", "blosclz", "lz4hc"], ["bitshuffle", "shuffle"])
    },
    "blosc-lz4-noshuffle": BloscCodec(cname="lz4", clevel=1, shuffle="noshuffle"),
    "blosc-stored": BloscCodec(cname="lz4", clevel=0, shuffle="bitshuffle"),
    "blosc-small-blocks": BloscCodec(cname="lz4", clevel=3, shuffle="bitshuffle", blocksize=3000),
}
DTYPES = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float16", "float32", "float64"]


def pixels(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    """Draw pixels that compress, so that blosc keeps blocks rather than storing them."""
    rng = np.random.default_rng(seed)
    values = rng.poisson(3.0, shape) * (rng.random(shape) < 0.4)
    return values.astype(dtype)


def expected(image: np.ndarray) -> np.ndarray:
    """Return what a reader must deliver for stored pixels."""
    if image.dtype == np.bool_:
        return image.astype(np.uint8)
    return image.astype(np.float32 if image.dtype == np.float16 else image.dtype.newbyteorder("="))


def write_v3(path: Path, image: np.ndarray, *, axes: str = "cyx", array: str = "s0", **encoding: Any) -> Path:
    """Write an OME-Zarr 0.5 store with zarr-python."""
    ome = {"multiscales": [{"axes": [{"name": name} for name in axes], "datasets": [{"path": array}]}]}
    group = zarr.open_group(path, mode="w", zarr_format=3, attributes={"ome": ome})
    stored = group.create_array(
        array, shape=image.shape, dtype=image.dtype, config={"write_empty_chunks": True}, **encoding
    )
    stored[...] = image
    return path


def assert_region(path: Path, image: np.ndarray, pages: list[int] | None, box: tuple[int, int, int, int]) -> None:
    """Compare one region with the image itself."""
    row, col, height, width = box
    got = read_region(open_image(path), pages, row=row, col=col, height=height, width=width)
    wanted = expected(image)[slice(None) if pages is None else pages, row : row + height, col : col + width]
    assert got.dtype == wanted.dtype
    np.testing.assert_array_equal(got, wanted)


@st.composite
def stores(draw: st.DrawFn) -> dict[str, Any]:
    """Draw an image, an encoding and a region."""
    shape = (draw(st.integers(1, 9)), draw(st.integers(1, 90)), draw(st.integers(1, 90)))
    chunk = tuple(draw(st.integers(1, size + 5)) for size in shape)
    per = tuple(draw(st.integers(1, 3)) for _ in shape)
    row, col = draw(st.integers(0, shape[1] - 1)), draw(st.integers(0, shape[2] - 1))
    return {
        "shape": shape,
        "chunk": tuple(-(-size // 2) if size // part > 8 else part for size, part in zip(shape, chunk, strict=True)),
        "per": draw(st.sampled_from([None, per])),
        "dtype": draw(st.sampled_from(DTYPES)),
        "codec": draw(st.sampled_from(sorted(V3_COMPRESSORS))),
        "endian": draw(st.sampled_from(["little", "little", "big"])),
        "order": draw(st.permutations("cyx")),
        "pages": draw(st.none() | st.lists(st.integers(0, shape[0] - 1), min_size=1, max_size=12)),
        "box": (row, col, draw(st.integers(1, shape[1] - row)), draw(st.integers(1, shape[2] - col))),
    }


@settings(max_examples=60, deadline=None)
@given(case=stores())
def test_v3_equals_zarr_python(case: dict[str, Any]) -> None:
    image = pixels(case["shape"], case["dtype"])
    axes = "".join(case["order"])
    places = ["cyx".index(axis) for axis in axes]
    chunk = tuple(case["chunk"][place] for place in places)
    shards = None if case["per"] is None else tuple(c * case["per"][p] for c, p in zip(chunk, places, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        path = write_v3(
            Path(folder) / "a.ome.zarr",
            image.transpose(places),
            axes=axes,
            chunks=chunk,
            shards=shards,
            compressors=V3_COMPRESSORS[case["codec"]],
            serializer=BytesCodec(endian=case["endian"]) if image.dtype.itemsize > 1 else "auto",
        )
        assert_region(path, image, case["pages"], case["box"])
        assert image_header(path)[1:] == (*image.shape, expected(image).dtype)


@pytest.mark.some(4)
@pytest.mark.parametrize("codec", sorted(V3_COMPRESSORS))
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_planes_alone_equal_the_whole(tmp_path: Path, codec: str, dtype: str) -> None:
    """Chunks large enough that blosc cuts them into blocks: planes in a block, blocks in a plane, neither."""
    for height, width in [(256, 256), (100, 100), (64, 48)]:
        image = pixels((21, height, width), dtype)
        path = tmp_path / f"{height}.ome.zarr"
        write_v3(path, image, chunks=(21, height, width), compressors=V3_COMPRESSORS[codec])
        for pages in ([3], [20], [0, 20], [20, 3, 17], [5, 5, 6], list(range(20)), list(range(1, 21)), None):
            clear_cache()
            assert_region(path, image, pages, (0, 0, height, width))


@pytest.mark.some(4)
@pytest.mark.parametrize("compressor", ["default", None, "zlib", "lz4", "bz2", "blosc-zstd"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [">u2", "<f4", "|u1", ">f8"])
def test_v2_equals_zarr_python(tmp_path: Path, compressor: str | None, order: str, dtype: str) -> None:
    import numcodecs

    image = pixels((3, 50, 70), dtype)
    codecs: dict[str | None, Any] = {
        "default": numcodecs.Blosc(cname="lz4"),
        "blosc-zstd": numcodecs.Blosc(cname="zstd", shuffle=numcodecs.Blosc.BITSHUFFLE),
        "zlib": numcodecs.Zlib(),
        "lz4": numcodecs.LZ4(),
        "bz2": numcodecs.BZ2(),
    }
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    stored = group.create_array(
        "0", shape=image.shape, dtype=dtype, chunks=(2, 32, 32), order=order, compressors=codecs.get(compressor)
    )
    stored[...] = image
    assert_region(tmp_path / "a.zarr", image, None, (0, 0, 50, 70))
    assert_region(tmp_path / "a.zarr", image, [2, 0], (30, 31, 7, 39))


def test_unusual_codecs_go_to_zarr_python(tmp_path: Path) -> None:
    image = pixels((4, 60, 50), "uint16")
    turned = write_v3(
        tmp_path / "turned.zarr", image, chunks=(3, 32, 32), filters=[TransposeCodec(order=(2, 0, 1))], compressors=None
    )
    group = zarr.open_group(tmp_path / "filtered.zarr", mode="w", zarr_format=2)
    import numcodecs

    stored = group.create_array(
        "0", shape=image.shape, dtype="u2", chunks=(3, 32, 32), filters=[numcodecs.Delta(dtype="u2")]
    )
    stored[...] = image
    for path in (turned, tmp_path / "filtered.zarr"):
        assert_region(path, image, None, (0, 0, 60, 50))
        assert_region(path, image, [3, 0, 3], (20, 17, 30, 33))
        first = next(
            file for file in path.rglob("*") if file.is_file() and file.suffix != ".json" and file.name[0] != "."
        )
        first.write_bytes(b"broken")
        clear_cache()
        with pytest.raises(FileFormatError, match="zarr-python"):
            read_region(open_image(path))


@pytest.mark.parametrize(
    ("changed", "readable"),
    [
        ({"codecs": [{"name": "bytes", "configuration": {"endian": "middle"}}]}, False),
        ({"codecs": [{"name": "bytes", "configuration": {"endian": "little"}}]}, True),
        ({"turned": {"must_understand": True}}, False),
        ({"turned": {"by": 90}}, False),
        ({"turned": {"by": 90, "must_understand": False}}, True),
    ],
)
def test_what_readers_must_understand_is_not_passed_over(tmp_path: Path, changed, readable) -> None:
    image = pixels((2, 40, 30), "uint16")
    path = write_v3(tmp_path / "a.zarr", image, chunks=(2, 32, 32), compressors=None)
    document = path / "s0/zarr.json"
    document.write_text(json.dumps(json.loads(document.read_text()) | changed))
    if readable:
        assert_region(path, image, None, (0, 0, 40, 30))
    else:
        with pytest.raises(FileFormatError, match="broken"):
            read_region(open_image(path))


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        ("yx", (40, 30)),
        ("xy", (40, 30)),
        ("tcyx", (1, 3, 40, 30)),
        ("czyx", (3, 1, 40, 30)),
        ("tczyx", (1, 2, 1, 9, 8)),
    ],
)
def test_axis_orders(tmp_path: Path, axes: str, shape: tuple[int, ...]) -> None:
    stored = pixels(shape, "uint16")
    image = stored.squeeze() if axes != "xy" else stored.T
    image = image[None] if image.ndim == 2 else image
    path = write_v3(tmp_path / "a.zarr", stored, axes=axes, chunks=tuple(min(16, size) for size in shape))
    assert_region(path, image, None, (0, 0, *image.shape[1:]))


@pytest.mark.parametrize(
    ("axes", "shape"), [("zyx", (3, 8, 8)), ("tcyx", (2, 3, 8, 8)), ("cy", (3, 8)), ("cyy", (3, 8, 8))]
)
def test_other_axes_are_named(tmp_path: Path, axes: str, shape: tuple[int, ...]) -> None:
    path = write_v3(tmp_path / "a.zarr", pixels(shape, "uint8"), axes=axes, chunks=shape)
    with pytest.raises(FileFormatError, match=f"axes {axes[0]}={shape[0]}"):
        open_image(path)


def test_absent_chunks_are_an_error_unless_they_mean_zeros(tmp_path: Path) -> None:
    image = pixels((3, 70, 70), "float32") + 1
    path = write_omezarr(tmp_path / "a.ome.zarr", image, mpp=1, chunk=16, shard=32)
    gone = path / "0/c/0/1/2"
    gone.unlink()
    np.testing.assert_array_equal(read_region(open_image(path), row=0, height=32), image[:, :32])
    with pytest.raises(ImageNotFoundError, match=r"c/0/1/2.*missing_chunks='zeros'"):
        read_region(open_image(path))
    image[:, 32:64, 64:] = 0
    np.testing.assert_array_equal(read_region(open_image(path, missing_chunks="zeros")), image)
    with pytest.raises(ArgumentError, match="missing_chunks"):
        open_image(path, missing_chunks="ones")  # type: ignore[arg-type]
    with pytest.raises(FileFormatError, match="float32, which has no known white"):
        open_image(path, missing_chunks="white")


@pytest.mark.parametrize("shard", [32, 64], ids=["files", "in a shard"])
def test_absent_chunks_can_be_white(tmp_path: Path, shard: int) -> None:
    image = pixels((3, 64, 64), "uint8")
    image[:, 32:, :32] = 255
    store = zarr.create_array(
        tmp_path / "a.zarr", shape=image.shape, dtype="uint8", chunks=(3, 32, 32), shards=(3, shard, shard),
        fill_value=0, dimension_names=["c", "y", "x"],
    )  # fmt: skip
    for row, col in ((0, 0), (0, 32), (32, 32)):
        store[:, row : row + 32, col : col + 32] = image[:, row : row + 32, col : col + 32]
    np.testing.assert_array_equal(read_region(open_image(tmp_path / "a.zarr", missing_chunks="white")), image)


def test_chunks_beyond_two_million_across_are_no_others(tmp_path: Path) -> None:
    """A chunk's place in a batch is one number: that of chunk 2**21 of a line was that of the first of the next."""
    store = zarr.create_array(
        tmp_path / "a.zarr", shape=(1, 3, 2**21 + 2), dtype="uint8", chunks=(1, 1, 1), fill_value=0,
        dimension_names=["c", "y", "x"],
    )  # fmt: skip
    store[0, 0, 2**21], store[0, 1, 0], store[0, 1, 2**21 + 1] = 7, 3, 5
    image = open_image(tmp_path / "a.zarr", missing_chunks="zeros")
    for window in ({"col": 2**21 - 2, "width": 4}, {"col": 0, "width": 3}):
        here = slice(window["col"], window["col"] + window["width"])
        np.testing.assert_array_equal(read_region(image, row=0, height=3, **window), store[:, :, here])


def test_absent_chunks_do_not_end_a_wave(tmp_path: Path) -> None:
    """They are one row of pixels, whatever their size; 40 of 64 MB were 40 waves."""
    shape, chunk = (1, 4096, 40 * 4096), 4096
    zarr.create_array(
        tmp_path / "a.zarr", shape=shape, dtype="float32", chunks=(1, chunk, chunk), dimension_names=["c", "y", "x"]
    )
    places = np.arange(40) * chunk
    regions = Regions(
        readers=[open_image(tmp_path / "a.zarr", missing_chunks="zeros")], pages=[np.arange(1)],
        image=np.zeros(40, np.int64), row=np.zeros(40, np.int64), col=places, height=np.full(40, 8),
        width=np.full(40, 8),
    )  # fmt: skip
    assert [len(wave.pieces) for wave in decode(regions, {})] == [40]


def test_empty_chunks_in_a_whole_shard_are_the_fill_value(tmp_path: Path) -> None:
    image = pixels((2, 64, 64), "uint16")
    image[:, 16:32] = 7
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3)
    stored = group.create_array(
        "0", shape=image.shape, dtype="u2", chunks=(2, 16, 16), shards=(2, 64, 64), fill_value=7
    )
    stored[...] = image
    assert_region(tmp_path / "a.zarr", image, [1], (3, 3, 40, 50))


@pytest.mark.parametrize("fill", [np.nan, np.inf, -1.5, 0])
def test_fill_values(tmp_path: Path, fill: float) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3)
    group.create_array("0", shape=(1, 4, 4), dtype="float32", chunks=(1, 4, 4), fill_value=fill)
    got = read_region(open_image(tmp_path / "a.zarr", missing_chunks="zeros"))
    np.testing.assert_array_equal(got, np.full((1, 4, 4), fill, np.float32))


def test_a_chunk_written_again_is_read_again(tmp_path: Path) -> None:
    image = pixels((3, 40, 40), "uint16")
    path = write_omezarr(tmp_path / "a.ome.zarr", image, mpp=1, chunk=16, shard=32)
    reader = open_image(path)
    np.testing.assert_array_equal(read_region(reader), image)
    zarr.open_array(path / "0", mode="r+")[...] = image + 1
    np.testing.assert_array_equal(read_region(reader), image + 1)
    assert open_image(path) is reader
    write_omezarr(path, image[:, :20] + 2, mpp=1, overwrite=True)
    assert open_image(path).shape == (3, 20, 40)


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """Return the only shard of a small store in the published encoding, whose chunks have no checksums."""
    path = tmp_path / "a.ome.zarr"
    write_v3(
        path,
        pixels((5, 64, 64), "float32"),
        array="0",
        chunks=(5, 32, 32),
        shards=(5, 64, 64),
        compressors=V3_COMPRESSORS["blosc-lz4-bitshuffle"],
    )
    return path / "0/c/0/0/0"


def flip(data: bytes, position: int) -> bytes:
    """Change one byte."""
    changed = bytearray(data)
    changed[position] ^= 0x55
    return bytes(changed)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda data: b"", "it is empty"),
        (lambda data: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git-lfs pointer"),
        (lambda data: data[: len(data) // 2], "checksum of its chunk index"),
        (lambda data: flip(data, len(data) - 10), "checksum of its chunk index"),
        (lambda data: flip(data, 4), "blosc header"),
        (lambda data: data[:4] + b"\xff\xff\xff\x7f" + data[8:], "blosc header"),
        (lambda data: data[:16] + b"\xff" * 8 + data[24:], "does not decode"),
    ],
)
def test_broken_shards_say_what_is_wrong(shard: Path, damage: Any, says: str) -> None:
    shard.write_bytes(damage(shard.read_bytes()))
    with pytest.raises(FileFormatError, match=says) as caught:
        read_region(open_image(shard.parents[4]), [1])
    assert str(shard) in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_damage_raises_anything_else(data: st.DataObject) -> None:
    """Bytes changed anywhere in the store: a SporaError, or pixels, never a crash or another exception."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_omezarr(Path(folder) / "a.ome.zarr", pixels((5, 40, 40), "uint16"), mpp=1, chunk=32, shard=64)
        files = sorted(file for file in path.rglob("*") if file.is_file())
        file = data.draw(st.sampled_from(files))
        content = bytearray(file.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        file.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
        for pages in ([1], None):
            try:
                read_region(open_image(path), pages)
            except SporaError as error:
                assert str(path) in str(error)  # noqa: PT017 - the message is the point


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"shape": [5, 2**50, 2**50]}, None),
        ({"shape": "large"}, "list of sizes"),
        ({"shape": [0, 64, 64]}, "at least one pixel"),
        ({"data_type": "complex64"}, "complex64"),
        ({"fill_value": "many"}, "fill value"),
        ({"codecs": []}, "list of codecs"),
        ({"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0, 64, 64]}}}, "positive size"),
        ({"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [5, 100, 64]}}}, "do not divide"),
        ({"chunk_key_encoding": {"name": "default", "configuration": {"separator": "../"}}}, "named by"),
    ],
)
def test_hostile_metadata(shard: Path, change: dict[str, Any], says: str | None) -> None:
    document = shard.parents[3] / "zarr.json"
    document.write_text(json.dumps(json.loads(document.read_text()) | change))
    with pytest.raises(SporaError, match=says):
        read_region(open_image(shard.parents[4]), [0], height=64, width=64, row=64)


@pytest.mark.parametrize("inner", ["../other", "/etc", "a/../../b", 5])
def test_an_array_outside_the_store_is_refused(tmp_path: Path, inner: object) -> None:
    ome = {"multiscales": [{"axes": [{"name": "y"}, {"name": "x"}], "datasets": [{"path": inner}]}]}
    zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3, attributes={"ome": ome})
    with pytest.raises(FileFormatError, match="points to"):
        open_image(tmp_path / "a.zarr")


def test_parts_that_are_absent(tmp_path: Path) -> None:
    with pytest.raises(ImageNotFoundError, match="no image at"):
        open_image(tmp_path / "none.ome.zarr")
    (tmp_path / "empty.ome.zarr").mkdir()
    with pytest.raises(FileFormatError, match="it holds nothing"):
        open_image(tmp_path / "empty.ome.zarr")
    (tmp_path / "pointer.ome.zarr").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(FileFormatError, match="git-lfs"):
        open_image(tmp_path / "pointer.ome.zarr")
    path = write_omezarr(tmp_path / "a.ome.zarr", pixels((1, 8, 8), "uint8"), mpp=1)
    shutil.rmtree(path / "0")
    with pytest.raises(ImageNotFoundError, match="no array at '0'"):
        open_image(path)
    (path / "zarr.json").write_text("{")
    with pytest.raises(FileFormatError, match="not JSON"):
        open_image(path)


def group(path: Path, version: int, attributes: dict[str, Any], *, image: bool = False) -> None:
    """Write a group; before OME-Zarr 0.5 its attributes are not below ``ome``."""
    scales = {"multiscales": [{"axes": [{"name": name} for name in "cyx"], "datasets": [{"path": "0"}]}]}
    said = attributes | (scales if image else {})
    node = zarr.open_group(path, mode="a", zarr_format=version, attributes=said if version == 2 else {"ome": said})
    if image:
        stored = node.create_array("0", shape=(2, 8, 9), dtype="u1", chunks=(2, 8, 9))
        stored[...] = 7


LAYOUT = {"bioformats2raw.layout": 3}


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("attributes", [LAYOUT, {}])
def test_the_one_image_of_bioformats2raw_opens(tmp_path: Path, version: int, attributes: dict[str, Any]) -> None:
    path = tmp_path / "a.ome.zarr"
    group(path, version, attributes)
    group(path / "OME", version, {"series": ["0"]} if attributes else {})
    named = {"omero": {"channels": [{"label": "DNA"}, {"label": "CD8"}]}}
    group(path / "0", version, named, image=True)
    assert image_header(path)[1:4] == (2, 8, 9)
    assert (read_region(open_image(path)) == 7).all()
    assert page_names(path, 2) == ("DNA", "CD8")
    assert path / "0" in {file.parent for file in OmeZarrReader(path).files}


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("attributes", "images", "says"),
    [
        (LAYOUT, ["0", "1", "10", "2"], r"store of bioformats2raw: it holds the images 0, 1, 2, 10\. .*a\.ome\.zarr/0"),
        ({}, ["0", "1"], r"store of several images: it holds the images 0, 1\."),
        (
            {"plate": {"wells": [{"path": "A/1"}, {"path": "B/2"}]}},
            ["A/1/0"],
            r"HCS plate with 2 wells \(A/1, B/2\).*A/1/0",
        ),
        ({"plate": 5}, [], "HCS plate with 0 wells"),
        ({"well": {"images": [{"path": "0"}, {"path": "1"}]}}, ["0", "1"], r"well of an HCS plate .* 0, 1\."),
        (
            {"spatialdata_attrs": {"version": "0.2"}},
            ["images/raw", "labels/cells"],
            r"SpatialData .* images images/raw\.",
        ),
    ],
)
def test_stores_of_other_kinds_are_named(
    tmp_path: Path, version: int, attributes: dict[str, Any], images: list[str], says: str
) -> None:
    path = tmp_path / "a.ome.zarr"
    group(path, version, attributes)
    for image in images:
        group(path / image, version, {}, image=True)
    with pytest.raises(FileFormatError, match=says):
        open_image(path)
    for image in images:
        assert open_image(path / image).shape == (2, 8, 9)


def test_a_table_and_a_list_of_images_that_is_none(tmp_path: Path) -> None:
    zarr.open_group(tmp_path / "table.zarr", mode="w", zarr_format=2, attributes={"encoding-type": "anndata"})
    with pytest.raises(FileFormatError, match="anndata store"):
        open_image(tmp_path / "table.zarr")
    group(tmp_path / "a.zarr", 3, LAYOUT)
    group(tmp_path / "a.zarr/OME", 3, {"series": ["../b"]})
    with pytest.raises(FileFormatError, match=r"lists its images .*\.\./b"):
        open_image(tmp_path / "a.zarr")
    group(tmp_path / "b.zarr", 3, LAYOUT)
    group(tmp_path / "b.zarr/OME", 3, {"series": ["0", "1"]})  # of which none was copied
    with pytest.raises(FileFormatError, match="the images 0, 1"):
        open_image(tmp_path / "b.zarr")


def test_a_pyramid_that_does_not_begin_with_its_finest_level_is_refused(tmp_path: Path) -> None:
    image = np.arange(2 * 40 * 60, dtype=np.uint16).reshape(2, 40, 60)
    path = write_omezarr(tmp_path / "a.ome.zarr", image, mpp=0.5)
    half = image[:, ::2, ::2]
    zarr.open_group(path, mode="a").create_array("1", shape=half.shape, dtype=half.dtype)[:] = half
    document = json.loads((path / "zarr.json").read_text())
    levels = [
        {"path": level, "coordinateTransformations": [{"type": "scale", "scale": [1.0, scale, scale]}]}
        for level, scale in (("0", 0.5), ("1", 1.0))
    ]
    for given_levels in (levels, levels[::-1]):
        document["attributes"]["ome"]["multiscales"][0]["datasets"] = given_levels
        (path / "zarr.json").write_text(json.dumps(document))
        if given_levels is levels:
            np.testing.assert_array_equal(read_region(open_image(path)), image)
        else:
            with pytest.raises(FileFormatError, match="levels 1, 0 say that the first is not the finest"):
                open_image(path)
