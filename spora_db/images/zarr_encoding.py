"""How an array's chunks are named and encoded, from ``zarr.json`` or ``.zarray``, and what is left to zarr-python."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from spora_db.images.chunk_codecs import DECODERS
from spora_db.images.files import broken
from spora_db.images.zarr_json import sizes
from spora_db.images.zarr_shards import ShardIndex

V3_TYPES = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)")
V3_FIELDS = (
    {"zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value", "codecs"}
    | {"attributes", "dimension_names", "storage_transformers"}
)  # fmt: skip
V2_TYPES = re.compile(r"[<>|=]([iu][1248]|f[248]|b1)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How one array's pixels become files.

    Attributes
    ----------
    dtype
        The stored type with its byte order.
    fill
        The value of chunks that are legitimately not stored.
    order
        Whether the last (C) or the first (F) axis varies fastest within a chunk.
    chunk
        Shape of what is encoded at once.
    shard
        Shape of what one file holds, a whole number of chunks; equal to ``chunk`` without sharding.
    index
        Where the index of a shard lies; None without sharding.
    codecs
        Compressors and checksums, in the order in which they were applied.
    prefix, separator
        A file's name is ``prefix`` and its chunk coordinates joined by ``separator``.
    unusual
        Why chunks are decoded by zarr-python instead, or None.
    """

    dtype: np.dtype[Any]
    fill: Any
    order: Literal["C", "F"]
    chunk: tuple[int, ...]
    shard: tuple[int, ...]
    index: ShardIndex | None = None
    codecs: tuple[str, ...]
    prefix: str = ""
    separator: str
    unusual: str | None = None

    def key(self, coordinates: Sequence[int]) -> str:
        """Return the name of the file at ``coordinates`` of the grid of files, relative to the array's folder."""
        return self.prefix + self.separator.join(map(str, coordinates))


def _may_be_skipped(value: object) -> bool:
    """Tell whether a field that readers do not know says that they need not."""
    return isinstance(value, Mapping) and value.get("must_understand") is False


def read_v3(metadata: Mapping[str, Any], shape: tuple[int, ...], path: Path) -> Encoding:
    """Read the encoding from the contents of an array's ``zarr.json``."""
    dtype = _pixel_type(metadata.get("data_type"), V3_TYPES, path)
    grid = _named(metadata.get("chunk_grid"), "chunk_grid", path)
    naming = _named(metadata.get("chunk_key_encoding"), "chunk_key_encoding", path)
    separator = naming[1].get("separator", "/" if naming[0] == "default" else ".")
    if separator not in ("/", ".") or naming[0] not in ("default", "v2"):
        raise broken(path, f"its chunks are named by {naming!r:.100}", expected="default or v2, with / or .")
    unusual = None if grid[0] == "regular" else f"chunk grid {grid[0]!r}"
    if metadata.get("storage_transformers"):
        unusual = "storage transformers"
    outer = shape if unusual else _chunk(grid[1], "chunk_shape", shape, path)
    chunk, index = outer, None
    codecs = _codecs(metadata.get("codecs"), path)
    if len(codecs) == 1 and codecs[0][0] == "sharding_indexed":
        inner = codecs[0][1]
        chunk = _chunk(inner, "chunk_shape", shape, path)
        if any(whole % part for whole, part in zip(outer, chunk, strict=True)):
            raise broken(path, f"chunks {chunk} do not divide shards {outer}", expected="a whole number of chunks")
        coding, at = [name for name, _ in _codecs(inner.get("index_codecs"), path)], inner.get("index_location", "end")
        if coding not in (["bytes"], ["bytes", "crc32c"]) or at not in ("start", "end"):
            unusual = f"a shard index of codecs {coding}"
        index = ShardIndex(at_start=at == "start", has_checksum="crc32c" in coding)
        codecs = _codecs(inner.get("codecs"), path)
    names = tuple(name for name, _ in codecs)
    if names[0] != "bytes" or any(name not in DECODERS for name in names[1:]):
        unusual = unusual or f"codecs {', '.join(names)}"
    elif (order := codecs[0][1].get("endian") or "little") not in ("little", "big"):
        raise broken(path, f"its pixels are in the byte order {order!r:.100}", expected="little or big")
    elif order == "big":
        dtype = dtype.newbyteorder(">")
    if unknown := [name for name in metadata if name not in V3_FIELDS and not _may_be_skipped(metadata[name])]:
        found = f"it has fields that its readers must understand: {', '.join(unknown)}"
        raise broken(path, f"{found:.200}", expected="fields of Zarr 3", remedy="Write the image again without them.")
    return Encoding(
        dtype=dtype,
        fill=_fill(metadata.get("fill_value"), dtype, path),
        order="C",
        chunk=chunk,
        shard=outer,
        index=index,
        codecs=names[1:],
        prefix=f"c{separator}" if naming[0] == "default" else "",
        separator=separator,
        unusual=unusual,
    )


def read_v2(metadata: Mapping[str, Any], shape: tuple[int, ...], path: Path) -> Encoding:
    """Read the encoding from the contents of an array's ``.zarray``."""
    dtype, order = _pixel_type(metadata.get("dtype"), V2_TYPES, path), metadata.get("order", "C")
    declared = metadata.get("dimension_separator")
    separator = _separator_on_disk(path, len(shape)) if declared is None else declared
    if separator not in ("/", ".") or order not in ("C", "F"):
        raise broken(path, f"order {order!r}, dimension_separator {separator!r}", expected="C or F, and / or .")
    compressor, unusual = metadata.get("compressor"), "filters" if metadata.get("filters") else None
    codecs: tuple[str, ...] = ()
    if compressor is not None:
        codec = compressor.get("id") if isinstance(compressor, dict) else compressor
        codecs = (str(codec),)
        unusual = unusual or (None if codecs[0] in DECODERS and codec != "crc32c" else f"compressor {codec!r:.80}")
    if unusual and declared is None and separator == "/":
        raise broken(
            path,
            f"its chunks lie in folders, it declares no dimension_separator, and it has {unusual}, which zarr-python "
            "would look for under other names",
            expected="'dimension_separator': '/'",
            remedy="Add it.",
        )
    chunk = _chunk(metadata, "chunks", shape, path)
    return Encoding(
        dtype=dtype,
        fill=_fill(metadata.get("fill_value"), dtype, path),
        order=order,
        chunk=chunk,
        shard=chunk,
        codecs=codecs,
        separator=separator,
        unusual=unusual,
    )


def _separator_on_disk(document: Path, axes: int) -> str:
    """Return how the chunks of an array that declares no separator are named: as its writer named them.

    The specification's default is a dot; writers before the key existed, and nested stores copied without it, meant
    folders. The key says nothing where no chunk is there.
    """
    flat = re.compile(r"\d+" + r"\.\d+" * (axes - 1))
    found: dict[str, str] = {}
    with os.scandir(document.parent) as entries:
        for entry in entries:
            if flat.fullmatch(entry.name) and axes > 1:
                found.setdefault(".", entry.name)
            elif entry.name.isdecimal() and entry.is_dir():
                found.setdefault("/", entry.name)
    if len(found) > 1:
        raise broken(
            document,
            f"it declares no dimension_separator, and beside it lie chunks of both kinds, such as {found['.']} and "
            f"{found['/']}/",
            expected="one kind",
            remedy="Remove the chunks that are not meant, or declare 'dimension_separator'.",
        )
    return next(iter(found), ".")


def _named(value: Any, key: str, path: Path) -> tuple[str, Mapping[str, Any]]:  # noqa: ANN401 - any JSON value
    """Return the name and configuration of one extension point of ``zarr.json``."""
    if isinstance(value, str):
        return value, {}
    if isinstance(value, dict) and isinstance(value.get("name"), str):
        configuration = value.get("configuration", {})
        if isinstance(configuration, dict):
            return value["name"], configuration
    raise broken(path, f"{key!r} is {value!r:.100}", expected="a name and a configuration")


def _codecs(value: Any, path: Path) -> list[tuple[str, Mapping[str, Any]]]:  # noqa: ANN401 - any JSON value
    """Return the codecs as names and configurations."""
    if not isinstance(value, list) or not value:
        raise broken(path, f"'codecs' is {value!r:.100}", expected="a list of codecs")
    codecs = [_named(item, "codecs", path) for item in value]
    for name, configuration in codecs:
        if name == "transpose" and not isinstance(configuration.get("order"), list):  # drafts had "C" and "F"
            raise broken(path, f"it is transposed by {configuration!r:.80}", expected="an order of axes, [2, 1, 0]")
    return codecs


def _chunk(document: Mapping[str, Any], key: str, shape: tuple[int, ...], path: Path) -> tuple[int, ...]:
    """Return a chunk's shape, checked against the array's."""
    chunk = sizes(document, key, path)
    if len(chunk) != len(shape) or 0 in chunk:
        raise broken(path, f"{key!r} is {chunk} for an array of shape {shape}", expected="one positive size per axis")
    return chunk


def _fill(value: Any, dtype: np.dtype[Any], path: Path) -> Any:  # noqa: ANN401 - any JSON value, any scalar
    """Return the fill value as a scalar of the native type; absent means zero."""
    native = dtype.newbyteorder("=")
    try:
        if not isinstance(value, bool | int | float | str | None):
            raise ValueError("no single value")
        if value is None:
            return native.type(0)
        if isinstance(value, str) and value.startswith("0x"):
            stored = int(value, 16).to_bytes(native.itemsize, "big")
            return np.frombuffer(stored, dtype.newbyteorder(">")).astype(native)[0]
        if isinstance(value, str) and native.kind != "f":
            raise ValueError("a text for whole numbers")
        return native.type(value)
    except (ValueError, OverflowError) as error:
        raise broken(path, f"its fill value is {value!r:.80}", expected=f"a value of type {native}") from error


def _pixel_type(name: object, known: re.Pattern[str], path: Path) -> np.dtype[Any]:
    """Return the type of that name, refusing text, records, complex numbers and dates."""
    if isinstance(name, str) and known.fullmatch(name):
        return np.dtype(name)
    raise broken(
        path,
        f"its values are of type {name!r:.80}",
        expected="whole numbers, floats or bool, as pixels are",
        remedy="Convert the image to one of these types.",
    )
