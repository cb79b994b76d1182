"""Odd but right images of every encoding, and broken files, made by the tests: name and writer, no files kept."""

import io
import itertools
import json
import struct
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tifffile
import zarr
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, TransposeCodec, ZstdCodec

Write = Callable[[Path], Path]
"""Writes a file or a store below a path whose suffix it chooses, and returns where."""

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


def draw(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    values = np.random.default_rng(0).integers(0, 100, shape)
    return (values % 2 if dtype == "bool" else values).astype(dtype)


# TIFF ----------------------------------------------------------------------------------------------------------------


def write_tiff(path: Path, *, shape: tuple[int, ...] = (37, 53), dtype: str = "uint8", **options: Any) -> Path:
    """Write one series, minimum is black unless said otherwise."""
    found = path.with_suffix(".tif")
    tifffile.imwrite(found, draw(shape, dtype), **{"photometric": "minisblack", "metadata": None, **options})
    return found


SEGMENTS = {"one strip": {}, "strips of 5": {"rowsperstrip": 5}, "tiles": {"tile": (16, 32)}, "big": {"bigtiff": True}}
NUMBERS = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64")
COMPRESSIONS = ("zlib", "lzw", "packbits", "zstd", "lzma", "deflate")


def odd_tiffs() -> Iterator[tuple[str, Write]]:
    for dtype, order, (segments, options) in itertools.product(NUMBERS, "<>", SEGMENTS.items()):
        yield f"{order}{dtype} in {segments}", partial(write_tiff, dtype=dtype, byteorder=order, **options)
    yield "complex", partial(write_tiff, dtype="complex64")
    for compression, dtype, order in itertools.product(COMPRESSIONS, ("uint8", "uint16", "float32"), "<>"):
        common = {"dtype": dtype, "byteorder": order, "compression": compression}
        yield f"{order}{dtype} by {compression}", partial(write_tiff, tile=(16, 16), **common)
        if compression not in ("packbits", "lzma"):
            yield (
                f"{order}{dtype} by {compression}, predicted",
                partial(write_tiff, rowsperstrip=7, predictor=True, **common),
            )
    for compression, colours in itertools.product(("jpeg", "webp", "png", "jpeg2000"), (True, False)):
        shape = (37, 53, 3) if colours else (37, 53)
        if colours or compression != "webp":
            photometric = "rgb" if colours else "minisblack"
            options = {"shape": shape, "photometric": photometric, "compression": compression, "tile": (32, 32)}
            yield f"{'colours' if colours else 'grey'} by {compression}", partial(write_tiff, **options)
    for planes, (segments, options) in itertools.product(("contig", "separate"), SEGMENTS.items()):
        shape = (37, 53, 3) if planes == "contig" else (3, 37, 53)
        both = {"shape": shape, "photometric": "rgb", "planarconfig": planes, **options}
        for dtype in ("uint8", "uint16"):
            yield f"{planes} {dtype} colours in {segments}", partial(write_tiff, dtype=dtype, **both)
    for alpha in ("assocalpha", "unassalpha", "unspecified"):
        yield f"{alpha} beside colours", partial(write_alpha, alpha=alpha)
    for shape, axes in (((4, 37, 53), "CYX"), ((3, 37, 53), "ZYX"), ((1, 1, 2, 37, 53), "TZCYX"), ((2, 37, 53), "QYX")):
        for ome in (True, False):
            options = {"shape": shape, "dtype": "uint16", "ome": ome, "metadata": {"axes": axes}}
            yield f"{axes}{', OME' if ome else ''}", partial(write_tiff, **options)
    yield "white is zero", partial(write_tiff, photometric="miniswhite")
    yield "CMYK", partial(write_tiff, shape=(37, 53, 4), photometric="separated")
    yield "a pyramid", write_pyramid


def write_alpha(path: Path, *, alpha: str) -> Path:
    """Write colours beside an alpha of none, a fifth or all: what is multiplied by it has whole numbers."""
    found, pixels = path.with_suffix(".tif"), draw((37, 53, 4), "uint8")
    pixels[..., 3] = np.array([0, 51, 255])[pixels[..., 3] % 3]
    tifffile.imwrite(found, pixels, photometric="rgb", extrasamples=[alpha], metadata=None)
    return found


def write_pyramid(path: Path) -> Path:
    found, pixels = path.with_suffix(".tif"), draw((3, 64, 96), "uint16")
    with tifffile.TiffWriter(found) as tiff:
        tiff.write(pixels, subifds=2, tile=(16, 16), photometric="minisblack")
        for step in (2, 4):
            tiff.write(pixels[:, ::step, ::step], subfiletype=1, tile=(16, 16), photometric="minisblack")
    return found


# Zarr ----------------------------------------------------------------------------------------------------------------


AXES = {"t": "time", "c": "channel"}


def write_array(
    path: Path, *, dtype: str = "uint16", shape: tuple[int, ...] = (3, 37, 53), group: str = "", **options: Any
) -> Path:
    """Write an array, within a group called as a multiscale image has it where ``group`` names its version."""
    found, pixels = path.with_suffix(".zarr"), draw(shape, dtype)
    version = options.setdefault("zarr_format", 3)
    options.setdefault("chunks", tuple(min(side, 16) for side in shape))
    if not group:
        zarr.create_array(store=found, data=pixels, **options)
        return found
    axes = [{"name": name, "type": AXES.get(name, "space")} for name in ("yx", "cyx", "tcyx", "tczyx")[len(shape) - 2]]
    scale = [{"type": "scale", "scale": [1.0] * len(shape)}]
    images = [{"version": group, "axes": axes, "datasets": [{"path": "s0", "coordinateTransformations": scale}]}]
    attributes = {"multiscales": images} if version == 2 else {"ome": {"version": group, "multiscales": images}}
    zarr.open_group(found, mode="w", zarr_format=version, attributes=attributes)
    zarr.create_array(store=found, name="s0", data=pixels, **options)
    return found


def odd_stores() -> Iterator[tuple[str, Write]]:
    for version, dtype, order in itertools.product((2, 3), NUMBERS, "<>"):
        if version == 2:
            stored = np.dtype(dtype).newbyteorder(order).str
            yield f"v2 {order}{dtype}", partial(write_array, zarr_format=2, dtype=stored)
        else:
            codec = BytesCodec(endian="little" if order == "<" else "big")
            yield f"v3 {order}{dtype}", partial(write_array, dtype=dtype, serializer=codec)
    codecs: dict[str, Any] = {
        "nothing": None, "gzip": GzipCodec(), "zstd": ZstdCodec(), "crc": Crc32cCodec(),
    }  # fmt: skip
    shuffles = ("noshuffle", "shuffle", "bitshuffle")
    for name, shuffle in itertools.product(("lz4", "lz4hc", "zstd", "zlib", "blosclz"), shuffles):
        codecs[f"blosc {name} {shuffle}"] = BloscCodec(cname=name, shuffle=shuffle)
    for name, codec in codecs.items():
        yield f"v3 by {name}", partial(write_array, compressors=codec)
        yield f"v3 by {name}, sharded", partial(write_array, compressors=codec, shards=(3, 32, 32))
    for order in itertools.permutations(range(3)):
        yield f"v3 axes {order}", partial(write_array, filters=[TransposeCodec(order=order)])
    for order, separator, fill in itertools.product("CF", "./", (0, 7, None)):
        options = {"order": order, "chunk_key_encoding": {"name": "v2", "separator": separator}, "fill_value": fill}
        yield f"v2 {order} {separator} {fill}", partial(write_array, zarr_format=2, **options)
    for (version, group), shape in itertools.product(
        ((2, "0.4"), (3, "0.5")), ((37, 53), (3, 37, 53), (1, 3, 37, 53), (1, 2, 1, 37, 53), (2, 2, 37, 53))
    ):
        options = {"zarr_format": version, "group": group, "shape": shape}
        yield f"{len(shape)} axes of {shape[:-2]}, OME-Zarr {group}", partial(write_array, **options)
    for dtype in ("complex64", "<U3"):
        yield f"v2 of {dtype}", partial(write_array, zarr_format=2, dtype=dtype)


# Broken images -------------------------------------------------------------------------------------------------------


def broken_images(folder: Path) -> list[Path]:
    """Write images that are cut, changed, that claim terabytes, name themselves as what follows, or are pointers."""
    found = []
    bases = {
        "strips": {"rowsperstrip": 5},
        "tiles": {"tile": (16, 16), "compression": "zlib"},
        "jpeg": {"shape": (64, 64, 3), "photometric": "rgb", "compression": "jpeg", "tile": (32, 32)},
        "big": {"bigtiff": True},
        "pages": {"shape": (3, 37, 53)},
    }
    for name, options in bases.items():
        data = write_tiff(folder / f"right {name}", **options).read_bytes()
        for part in (0, 3, 8, len(data) // 4, len(data) // 2, len(data) - 1):
            found.append(folder / f"{name} cut at {part}.tif")
            found[-1].write_bytes(data[:part])
        rng = np.random.default_rng(0)
        for number in range(0 if name == "jpeg" else 12):  # most change tags, which JPEG has twice: they stand in front
            changed = bytearray(data)
            for place in rng.integers(4, min(len(data), 400), 3):
                changed[place] ^= int(rng.integers(1, 256))
            found.append(folder / f"{name} changed {number}.tif")
            found[-1].write_bytes(bytes(changed))
    data = bytearray((folder / "right strips.tif").read_bytes())
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    for name, tag, value in (
        ("width", 256, 2**31 - 1),
        ("height", 257, 2**31 - 1),
        ("bits", 258, 7),
        ("place", 273, 9),
    ):
        changed = bytearray(data)
        for entry in range(first + 2, first + 2 + 12 * count, 12):
            if struct.unpack_from("<H", changed, entry)[0] == tag:
                struct.pack_into("<HII", changed, entry + 2, 4, 1, value)
        found.append(folder / f"{name} is {value}.tif")
        found[-1].write_bytes(bytes(changed))
    looped = bytearray(data)
    struct.pack_into("<I", looped, first + 2 + 12 * count, first)
    found.append(folder / "a page that follows itself.tif")
    found[-1].write_bytes(bytes(looped))
    return [*found, *broken_stores(folder), *pointers(folder)]


def broken_stores(folder: Path) -> list[Path]:
    found = []
    changes: dict[str, Any] = {
        "shape": [3, 900, 900], "zarr_format": 4, "data_type": "uint9", "node_type": "table", "codecs": [],
        "chunk_grid": {"name": "rectangular"}, "fill_value": "seven", "chunk_key_encoding": {"name": "v9"},
    }  # fmt: skip
    for key, value in changes.items():
        found.append(write_array(folder / f"{key} is odd"))
        header = found[-1] / "zarr.json"
        header.write_text(json.dumps(json.loads(header.read_text()) | {key: value}))
    found.append(write_array(folder / "shape is beyond all files"))
    header = found[-1] / "zarr.json"
    header.write_text(json.dumps(json.loads(header.read_text()) | {"shape": [3, 2**40, 2**40]}))
    for version, name in ((2, ".zarray"), (3, "zarr.json")):
        found.append(write_array(folder / f"header {version} cut", zarr_format=version))
        (found[-1] / name).write_text((found[-1] / name).read_text()[:40])
    for name, content in (("cut", b""), ("zeros", bytes(99)), ("text", b"not a chunk")):
        found.append(write_array(folder / f"chunk is {name}"))
        (found[-1] / "c/0/0/0").write_bytes(content)
    return found


def pointers(folder: Path) -> list[Path]:
    """Write pointers of git-lfs in the place of images and of a header."""
    found = [folder / "pointer.ome.tiff", folder / "pointer.tif"]
    for path in found:
        path.write_text(POINTER)
    store = write_array(folder / "pointer to a header")
    (store / "zarr.json").write_text(POINTER)
    return [*found, store]


# Parquet, npy and npz ------------------------------------------------------------------------------------------------


def foreign_parquet() -> Iterator[tuple[str, bytes]]:
    """Yield parquet files of other content or broken ones: none is a table of a lake."""
    tables = {
        "lists of nothing": pa.table({"emptylist": pa.array([None, []], pa.list_(pa.int64()))}),
        "halves": pa.table({"x": pa.array(np.array([0, np.nan], np.float16))}),
        "a map": pa.table({"m": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))}),
        "no column": pa.table({}),
    }
    whole = {name: parquet(table) for name, table in tables.items()}
    yield from whole.items()
    good = parquet(pa.table({"tissue_id": [f"t{number}" for number in range(500)], "x": np.arange(500.0)}))
    for part in (0, 4, 50, len(good) // 2, len(good) - 8, len(good) - 1):
        yield f"cut at {part}", good[:part]
    yield "another magic", good[:-4] + b"PARE"
    yield "a long footer", good[:-8] + struct.pack("<I", 2**31 - 1) + good[-4:]
    yield "no footer", good[:-8] + bytes(4) + good[-4:]
    for number in range(4):
        changed, rng = bytearray(good), np.random.default_rng(number)
        for place in rng.integers(len(good) - 500, len(good) - 8, 60):
            changed[place] = int(rng.integers(256))
        yield f"a changed footer {number}", bytes(changed)
    yield "pages of zeros", good[:4] + bytes(len(good) // 2) + good[4 + len(good) // 2 :]


def parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def npy(array: np.ndarray, *, pickled: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=pickled)
    return buffer.getvalue()


def foreign_npy() -> dict[str, bytes]:
    """Return arrays of other programs by name: little and big endian, rows or columns first."""
    found = {}
    for dtype, (order, turned) in itertools.product(("?", "<f8", ">f8"), (("C", "standard"), ("F", "fortran"))):
        for shape in ((5, 7), (4,), (2, 3, 4)):
            name = f"{dtype} {turned} of {len(shape)}"
            found[name] = npy(np.asarray(draw(shape, "bool").astype(dtype), order=order))  # type: ignore[call-overload]
    return found


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def no_masks() -> Iterator[tuple[str, bytes]]:
    """Yield npy and npz files of which none holds a mask: pickled, of other types, in damaged or foreign archives."""
    plain, objects = npy(draw((5, 7), "uint8")), npy(np.array([{"a": 1}, "b"], object), pickled=True)
    yield "objects.npy", objects
    yield "objects.npz", zipped({"mask.npy": objects})
    for name, content in foreign_npy().items():
        yield f"{name}.npy", content
    for dtype in ("<c8", ">c16", "<U3", "S4", "<M8[s]"):
        yield f"{dtype}.npz", zipped({"mask.npy": npy(np.zeros((4, 4), dtype))})
    yield "empty.npz", b""
    yield "text.npz", b"no archive at all"
    yield "no members.npz", zipped({})
    yield "no array.npz", zipped({"hello.txt": b"hello"})
    yield "a value that is no truth.npz", zipped({"mask.npy": npy(np.array([[2]], "u1")).replace(b"|u1", b"|b9")})
    for name, kind in (("bz2", zipfile.ZIP_BZIP2), ("xz", zipfile.ZIP_LZMA)):
        yield f"{name}.npz", zipped({"other.txt": plain}, kind)
    good = zipped({"mask.npy": plain}, zipfile.ZIP_DEFLATED)
    for part in (10, 40, len(good) // 2, len(good) - 30, len(good) - 1):
        yield f"cut at {part}.npz", good[:part]
    central = good.index(b"PK\x01\x02")
    for name, place, value in (("encrypted", 8, 1), ("an unknown method", 10, 99), ("elsewhere", 42, 2**30)):
        changed = bytearray(good)
        struct.pack_into("<I" if place == 42 else "<H", changed, central + place, value)
        yield f"{name}.npz", bytes(changed)
