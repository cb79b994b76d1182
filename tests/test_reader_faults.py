"""A fault of a library, or of ours, is told as what it is, never as a broken file; what is broken still is."""

import ast
import contextlib
import errno
import json
import os
import re
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile
import zarr

import spora_db
from spora_db.errors import FileFormatError, ImageNotFoundError, ReaderError, SporaError
from spora_db.files.parquet import read_provenance
from spora_db.images import chunk_codecs, image_header, open_image, read_region, write_ometiff, write_omezarr
from spora_db.images.cache import clear_cache
from spora_db.images.opening import close_images
from spora_db.images.tiff_tags import odd_tag
from spora_db.importing.fields import Field
from spora_db.importing.mask_files import MaskSource
from spora_db.importing.masks import read_mask
from spora_db.importing.page_names import page_names
from spora_db.layout import scan
from spora_db.lock.json_values import from_json
from spora_db.masks import load_mask
from spora_db.remembered.image_index import index_path, read_index
from spora_db.remembered.quarantine import SCHEMA, quarantine_path, read_quarantine
from spora_db.sources.footers import broken_parquet, read_footer, verify_pages
from spora_db.standardization.wide_tables import wide_table
from spora_db.validation import validate

IMAGE = np.arange(2 * 40 * 50, dtype=np.uint16).reshape(2, 40, 50)
FAULTS = [
    AttributeError("no attribute 'init_decode'"),
    TypeError("takes 2 arguments"),
    KeyError("x"),
    IndexError("i"),
    NameError("n"),
    AssertionError(),
    ImportError("codec"),
    RecursionError("deep"),
    NotImplementedError("later"),
]


def raiser(error: Exception) -> Callable:
    def fail(*_arguments, **_options):
        raise error

    return fail


def forget() -> None:
    close_images()
    clear_cache()


def tiff(folder: Path) -> Path:
    return write_ometiff(folder / "a.ome.tiff", IMAGE, mpp=1, tile=16)


def tiff_in_packbits(folder: Path) -> Path:
    """Write segments that tifffile decodes."""
    tifffile.imwrite(folder / "b.tiff", IMAGE, tile=(16, 16), compression="packbits", photometric="minisblack")
    return folder / "b.tiff"


def store(folder: Path) -> Path:
    return write_omezarr(folder / "a.ome.zarr", IMAGE, mpp=1, chunk=16, shard=32)


def unusual_store(folder: Path) -> Path:
    path = folder / "b.ome.zarr"
    zarr.create_array(path, data=IMAGE, chunks=(1, 16, 16), filters=[zarr.codecs.TransposeCodec(order=(0, 2, 1))])
    return path


def mask(folder: Path, suffix: str = ".npz") -> Path:
    path = folder / f"m{suffix}"
    whole = np.ones((40, 50), np.uint8)
    if suffix == ".npz":
        np.savez_compressed(path, mask=whole)
    elif suffix == ".npy":
        np.save(path, whole)
    else:
        path.write_bytes(imagecodecs.png_encode(whole))
    return path


def brought(path: Path) -> np.ndarray:
    return read_mask(MaskSource(path=path), FIELD)


FIELD = Field(tissue_id="m", pages=(), file=Path("m.tiff"), height=40, width=50, dtype=np.dtype(np.uint8))
READERS = {
    "open a TIFF": (tifffile, "TiffFile", tiff, open_image),
    "its header": (tifffile, "TiffFile", tiff, image_header),
    "its names": (tifffile, "TiffFile", tiff, lambda path: page_names(path, 2)),
    "decode a TIFF": (tifffile.TiffPage, "decode", tiff_in_packbits, lambda path: read_region(open_image(path))),
    "decode a chunk": (chunk_codecs, "BLOSC_DECODE", store, lambda path: read_region(open_image(path))),
    "decode some planes": (chunk_codecs, "BLOSC_DECODE", store, lambda path: read_region(open_image(path), [1])),
    "open an unusual store": (zarr, "open_array", unusual_store, open_image),
    "decode an unusual store": (zarr.Array, "__getitem__", unusual_store, lambda path: read_region(open_image(path))),
    "a mask": (zipfile, "ZipFile", mask, load_mask),
    "a mask's bytes": (zipfile.ZipFile, "open", mask, load_mask),
    "a mask to import": (np.lib.format, "open_memmap", lambda folder: mask(folder, ".npy"), brought),
    "a PNG to import": (imagecodecs, "png_decode", lambda folder: mask(folder, ".png"), brought),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_fault_of_a_library_is_no_broken_file(tmp_path, monkeypatch, reader):
    module, name, make, read = READERS[reader]
    path = make(tmp_path)
    read(path)
    for error in FAULTS:
        forget()
        monkeypatch.setattr(module, name, raiser(error))
        with pytest.raises(ReaderError) as caught:
            read(path)
        assert caught.value.__cause__ is error
        assert str(path) in (said := str(caught.value))
        assert type(error).__name__ in said
        assert not re.search("broken|download|damaged|cut short", said)
        assert not isinstance(caught.value, FileFormatError)


def refusing(number):
    """Return what opens no file, as the system says it: of some numbers a kind of OSError of their own."""

    def refuse(path, *_, **__):
        raise OSError(number, os.strerror(number), str(path))

    return refuse


def test_what_the_system_does_not_give_is_told_by_name(tmp_path, monkeypatch):
    paths = [
        write_omezarr(tmp_path / f"{name}.ome.zarr", np.ones((2, 64, 64), "u2"), mpp=1, chunk=64, shard=64)
        for name in "ab"
    ]
    np.savez_compressed(tmp_path / "a.npz", mask=np.eye(3, dtype="u1"))
    opened = open_image(paths[0])
    clear_cache()

    refuse = refusing(errno.EACCES)
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(FileFormatError, match=r"a\.ome\.zarr/0/c/0/0/0 .*Permission denied.*rights"):
        read_region(opened)
    monkeypatch.setattr(Path, "is_file", refuse)  # as below a folder that one may not enter
    for read in (open_image, image_header):
        with pytest.raises(FileFormatError, match=r"b\.ome\.zarr .*Permission denied.*rights"):
            read(paths[1])
    with pytest.raises(FileFormatError, match=r"a\.npz .*Permission denied"):
        load_mask(tmp_path / "a.npz")


@pytest.mark.parametrize("write", [write_omezarr, write_ometiff])
def test_a_process_without_a_free_descriptor_calls_no_file_broken(tmp_path, monkeypatch, write):
    path = write(
        tmp_path / f"a.{write.__name__.removeprefix('write_').replace('ome', 'ome.')}", np.ones((2, 64, 64)), mpp=1
    )
    opened = open_image(path)
    close_images()

    exhausted = refusing(errno.EMFILE)
    monkeypatch.setattr(os, "open", exhausted)
    with pytest.raises(ReaderError, match=r"a\.ome\..* as many open files as it may have.*ulimit -n"):
        read_region(opened)
    monkeypatch.setattr(Path, "open", exhausted)
    with pytest.raises(ReaderError, match=r"a\.ome\..* as many open files as it may have.*ulimit -n"):
        open_image(path)


FEW = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from spora_db.images import open_image, read_region
print(sum(int(read_region(open_image(path)).sum()) for path in sys.argv[1:]))
"""


def test_more_images_than_a_process_may_open_are_read(tmp_path):
    paths = [write_ometiff(tmp_path / f"{n}.ome.tiff", np.full((1, 20, 20), n, "u2"), mpp=1) for n in range(70)]
    run = subprocess.run([sys.executable, "-c", FEW, *paths], capture_output=True, text=True, check=False)
    assert run.stdout.split() == [str(400 * sum(range(70)))], run.stderr


def test_memory_that_is_short_is_told_as_such(tmp_path, monkeypatch):
    path = tiff(tmp_path)
    monkeypatch.setattr(tifffile, "TiffFile", raiser(MemoryError()))
    with pytest.raises(ReaderError, match="not enough memory"):
        open_image(path)


def table(folder: Path) -> Path:
    path = folder / "cohort/metadata/tissues.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"tissue_id": ["a"]}), path)
    return path


TABLES = {
    "a footer": lambda path: read_footer(scan(path.parents[2]).datasets[0].tables[0]),
    "its pages": verify_pages,
    "statistics": wide_table,
    "what was recorded": read_provenance,
}


@pytest.mark.parametrize("reader", ["a footer", "its pages"])
def test_a_table_without_a_free_descriptor_is_not_called_broken(tmp_path, monkeypatch, reader):
    path = table(tmp_path)
    said = f'IO Error: Cannot open file "{path}": {os.strerror(errno.EMFILE)}'  # DuckDB's, without a number
    assert isinstance(broken_parquet(path, said), ReaderError)
    monkeypatch.setattr(pq, "ParquetFile", raiser(OSError(errno.EMFILE, os.strerror(errno.EMFILE))))
    with pytest.raises(ReaderError, match=r"tissues\.parquet was not read: .* as many open files as it may have"):
        TABLES[reader](path)


@pytest.mark.parametrize("error", [AttributeError("a"), TypeError("t"), KeyError("k"), NameError("n")], ids=repr)
@pytest.mark.parametrize("reader", TABLES)
def test_a_fault_at_a_table_is_told_as_it_is(tmp_path, monkeypatch, reader, error):
    path = table(tmp_path)
    monkeypatch.setattr(pq, "ParquetFile", raiser(error))
    monkeypatch.setattr(pq, "read_metadata", raiser(error))
    with pytest.raises(type(error)) as caught:
        TABLES[reader](path)
    assert caught.value is error


def test_validate_does_not_advise_to_download_what_a_library_cannot_read(tmp_path, monkeypatch):
    images, masks = tmp_path / "cohort/he/1_0mpp/images", tmp_path / "cohort/segmentations/1_0mpp/tissue_masks"
    images.mkdir(parents=True)
    masks.mkdir(parents=True)
    pixels = np.zeros((40, 50, 3), np.uint8)
    tifffile.imwrite(images / "a.ome.tiff", pixels, tile=(16, 16), compression="packbits", photometric="rgb")
    mask(masks)
    monkeypatch.setattr(tifffile.TiffPage, "decode", raiser(AttributeError("no such method")))
    monkeypatch.setattr(zipfile, "ZipFile", raiser(TypeError("one argument too many")))
    found = [item for item in validate(tmp_path, deep=True) if "spora-db itself" in item.reason]
    assert [(item.rule, Path(item.file).name) for item in found] == [
        ("image_pixels", "a.ome.tiff"), ("masks_readable", "m.npz"),
    ]  # fmt: skip
    assert not [item for item in found if "ownload" in item.remedy + item.reason]


SHAPES = [None, 1, 0.5, True, "text", [], {}, [1], [[]], [{}], {"a": 1}, [None]]
"""JSON of every shape: what metadata must survive wherever it stands."""


OME, MULTISCALE = ("attributes", "ome"), ("attributes", "ome", "multiscales", 0)
INNER = ("codecs", 0, "configuration")


@pytest.mark.parametrize(
    "place",
    [
        ("attributes",), OME, (*OME, "multiscales"), (*OME, "omero"), (*OME, "omero", "channels"), MULTISCALE,
        (*OME, "omero", "channels", 0), (*OME, "omero", "channels", 0, "label"), (*MULTISCALE, "datasets"),
        (*MULTISCALE, "datasets", 0), (*MULTISCALE, "datasets", 0, "path"), (*MULTISCALE, "axes"),
        (*MULTISCALE, "axes", 0), (*MULTISCALE, "axes", 0, "name"), (*MULTISCALE, "coordinateSystems"),
    ],
    ids=lambda place: ".".join(map(str, place)),
)  # fmt: skip
def test_metadata_of_any_shape_is_read_or_refused_by_name(tmp_path, place):
    path = write_omezarr(tmp_path / "a.ome.zarr", IMAGE, mpp=1, channel_names=["a", "b"])
    whole = (path / "zarr.json").read_text()
    for value in SHAPES:
        (path / "zarr.json").write_text(spoiled(whole, place, value))
        for read in (open_image, image_header, lambda path: page_names(path, 2)):
            with contextlib.suppress(FileFormatError, ImageNotFoundError):
                read(path)


@pytest.mark.parametrize(
    "place",
    [("fill_value",), ("codecs",), ("codecs", 0), INNER, (*INNER, "codecs"), (*INNER, "codecs", 1), ("shape",),
     (*INNER, "chunk_shape"), (*INNER, "index_codecs"), ("chunk_grid",), ("data_type",), ("chunk_key_encoding",),
     ("dimension_names",), ("storage_transformers",)],
    ids=lambda place: ".".join(map(str, place)),
)  # fmt: skip
def test_an_array_of_any_metadata_is_read_or_refused_by_name(tmp_path, place):
    path = write_omezarr(tmp_path / "a.ome.zarr", IMAGE, mpp=1)
    whole = (path / "0" / "zarr.json").read_text()
    for value in (*SHAPES, "NaN", "0x00", 2**70, -1, 1e400):
        (path / "0" / "zarr.json").write_text(spoiled(whole, place, value))
        with contextlib.suppress(SporaError):  # zarr-python has words of its own for what only it reads
            read_region(open_image(path))


def spoiled(text: str, place: tuple, value: object) -> str:
    document = node = json.loads(text)
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    return json.dumps(document)


@pytest.mark.parametrize("value", SHAPES, ids=repr)
def test_other_json_of_any_shape_is_read_or_refused_by_name(tmp_path, monkeypatch, caplog, value):
    monkeypatch.setenv("SPORA_STATE_DIR", str(tmp_path))
    log = quarantine_path("lake")
    log.parent.mkdir(parents=True)
    log.write_text(f"{json.dumps(value)}\n{json.dumps(dict.fromkeys(SCHEMA.names, value))}\n")
    assert read_quarantine("lake").num_rows == 0
    assert caplog.text.count("passed over") == 2
    with pytest.raises(FileFormatError, match="a table of rows"):
        from_json(pa.Table, {"arrow": value}, where="a lock")
    statistics = pa.table({"CD3": [1.0]}).replace_schema_metadata({b"pandas": json.dumps(value).encode()})
    pq.write_table(statistics, tmp_path / "means.parquet")
    with contextlib.suppress(FileFormatError):
        wide_table(tmp_path / "means.parquet")


@pytest.mark.parametrize("columns", [{"a": [1]}, {"path": ["x"]}, {"path": ["x"], "files": [["y"]]}, {"files": [1]}])
def test_an_index_without_its_columns_is_refused(tmp_path, columns):
    path = index_path(tmp_path, beside=True)
    path.parent.mkdir()
    pq.write_table(pa.table(columns), path)
    with pytest.raises(FileFormatError, match="cannot be read"):
        read_index(tmp_path)


@pytest.mark.parametrize(
    ("tag", "kind", "count", "said"),
    [(256, 2, 1, "ImageWidth of page 0 is 1 value of type 2"), (257, 4, 3, "ImageLength of page 0 is 3 values"),
     (258, 2, 2, "BitsPerSample of page 0 is 2 values of type 2"), (273, 2, 4, "StripOffsets")],
)  # fmt: skip
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
def test_a_tag_of_the_wrong_kind_is_damage_of_the_file(tmp_path, order, big, tag, kind, count, said):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, IMAGE[0], byteorder=order, bigtiff=big, metadata=None)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        at = file.pages[0].tags[tag].offset
    content[at : at + (12 if big else 8)] = struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, count)
    path.write_bytes(content)
    assert said in (odd_tag(path) or "")
    with pytest.raises(FileFormatError):
        read_region(open_image(path))


WORDS = {"AssertionError", "AttributeError", "IndexError", "KeyError", "LookupError", "NameError", "TypeError",
         "Exception", "BaseException"}  # fmt: skip
NO_FILES = {
    "catalog/aliases.py": "an argument of any type as a table",
    "catalog/explain.py": "values of two types that do not compare",
    "asking/answers.py": "told as a fault of spora-db",
    "copying/copying.py": "the fields of a document",
    "datasets/cohort_images.py": "an argument of a client",
    "datasets/brightfield.py": "an argument of a client",
    "datasets/labels.py": "a label as a number",
    "explore/near.py": "the fields of a request",
    "explore/points.py": "the corners of a request",
    "feature_sets/description.py": "the fields of a document",
    "files/failures.py": "the list itself",
    "images/shared_chunks.py": "the head of a chunk that this or another process has written",
    "loading/indexing.py": "an index of any type",
    "loading/joining.py": "a field that a client's samples lack",
    "loading/transforming.py": "arguments that a client's function does not take",
    "loading/weights.py": "an argument as numbers",
    "nearest/answer.py": "an argument of any type as a vector",
    "selection/arguments.py": "an argument as a number",
    "sources/given_tables.py": "an argument of any type as a table",
    "tiling/parameters.py": "an argument as a number",
}
"""Where such errors may be caught: what raises them there is no file."""


def raised_again(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.With):  # such as `telling`
        return raised_again(statement.body[-1])
    return isinstance(statement, ast.Raise) and statement.exc is None


def test_no_other_list_of_exceptions_takes_a_fault_for_a_broken_file():
    package = Path(spora_db.__file__).parent
    found = set()
    for path in package.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        types = {id(node.slice) for node in nodes if isinstance(node, ast.Subscript)}  # dict[int, Exception]
        for node in nodes:
            if id(node) in types:
                continue
            handler = isinstance(node, ast.ExceptHandler) and not any(map(raised_again, node.body))
            listed = isinstance(node, ast.Tuple) and all(isinstance(part, ast.Name) for part in node.elts)
            caught = node.type if handler else node if listed else None
            if caught and WORDS & {part.id for part in ast.walk(caught) if isinstance(part, ast.Name)}:
                found.add(path.relative_to(package).as_posix())
    assert found == set(NO_FILES)
