"""The state that a lock holds: fingerprints of files and images, and digests of a plan, tissue by tissue."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
from sqlglot import exp

from spora_db.arrays import AnyArray, Int64
from spora_db.catalog.relations import MARKER_MACROS
from spora_db.files.arrow_arrays import numpy_array
from spora_db.files.python_times import python_values
from spora_db.files.stores.mirror import Mirror, mirror_of
from spora_db.files.stores.ranges import TO_THE_END, FileRange
from spora_db.files.stores.remote_files import fetch_whole, open_binary
from spora_db.images import open_image
from spora_db.images.regions import read_through
from spora_db.layout import TableFile
from spora_db.masks import load_mask
from spora_db.plan import ABSENT, Plan
from spora_db.plan.cell_parts import PlanCells
from spora_db.plan.statistics import global_spec
from spora_db.selection.resolved import Resolved

PARTS = ("rows", "columns", "channels", "statistics", "cells")
"""What a `TissueState` holds digests of, after the number of rows."""
TissueState = tuple[int, str, str, str, str, str]

EDGE = 65_536
"""Bytes at either end of an image's files that its fingerprint reads: headers, and the indexes of shards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileState:
    """The fingerprint of a file, or of an image's folder.

    Attributes
    ----------
    size
        Bytes, over all files of a folder.
    modified
        Nanoseconds since 1970, of the newest file. Told, but no difference by itself: copies have other times.
    digest
        BLAKE2b of the content; of images, of the names, sizes and both ends of the files, or all their bytes.
    """

    size: int
    modified: int
    digest: str


def file_state(path: Path) -> FileState:
    """Return the fingerprint of a parquet file: all its bytes are read."""
    fetch_whole([path])
    with path.open("rb") as file:
        state = os.fstat(file.fileno())
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
    return FileState(size=state.st_size, modified=state.st_mtime_ns, digest=digest.hexdigest())


def image_state(path: Path, *, whole: bool = False) -> FileState:
    """Return the fingerprint of an image, a file or a folder, from both ends of its files, or from all their bytes.

    That of a remote lake is the same, whatever of it is in the copy: what lacks is fetched. It tells no time.

    Raises
    ------
    StoreError, FileFormatError
        A file of a remote lake is gone, or another one, or cannot be read.
    """
    digest, size, modified = hashlib.blake2b(digest_size=16), 0, 0
    remote = mirror_of(path)
    for name, length, time in _files(path) if remote is None else _remote_files(path, remote, whole=whole):
        with open_binary(path / name) as opened:
            digest.update(json.dumps([name, length]).encode())
            for part in _parts(opened) if whole else (_ends(opened, length),):
                digest.update(part)
        size, modified = size + length, max(modified, time)
    return FileState(size=size, modified=modified, digest=digest.hexdigest())


def _files(path: Path) -> Iterator[tuple[str, int, int]]:
    """Yield name, bytes and time of each file of an image; the name of one that is a file is a dot."""
    for file in sorted(item for item in path.rglob("*") if item.is_file()) if path.is_dir() else [path]:
        state = file.stat()
        yield file.relative_to(path).as_posix(), state.st_size, state.st_mtime_ns


def _remote_files(path: Path, remote: Mirror, *, whole: bool) -> list[tuple[str, int, int]]:
    """Return the same of a remote image, with what its fingerprint reads fetched, of all files at once."""
    found = {name or ".": state.size for name, state in remote.files_below(path).items()}
    ranges = ((0, TO_THE_END),) if whole else ((0, EDGE), (-EDGE, EDGE))
    for error in remote.bring([FileRange(str(path / name), *part) for part in ranges for name in found]):
        if error is not None:
            raise error
    return [(name, found[name], 0) for name in sorted(found, key=lambda name: name.split("/"))]


def verify_image(path: Path) -> None:
    """Read an image or a mask whole, so that every checksum in it is compared; absent chunks are no damage of others.

    Raises
    ------
    FileFormatError
        A checksum is that of other bytes, or the file is broken in another way.
    """
    if path.suffix == ".npz":
        load_mask(path)
        return
    for _ in read_through(open_image(path, missing_chunks="zeros")):
        pass


def _parts(file: BinaryIO) -> Iterator[bytes]:
    while part := file.read(2**20):
        yield part


def _ends(file: BinaryIO, size: int) -> bytes:
    head = file.read(EDGE)
    file.seek(max(EDGE, size - EDGE))
    return head + file.read(EDGE)


def used_files(tables: Iterable[TableFile], resolved: Resolved, plan: Plan) -> list[TableFile]:
    """Return, of the tables that were read, those that the plan's rows depend on.

    Other cohorts, and other tilings, specs and resolutions of the same cohort, may come and go. Where the user's SQL
    reads relations itself, every table that it may have read is kept.

    Parameters
    ----------
    tables, resolved, plan
        The tables behind the relations that were read, the query, and its plan.
    """
    selection = resolved.selection
    if resolved.source is not None or any(tree.find(exp.Query) for tree in resolved.predicates):
        return list(tables)
    datasets = set(plan.images.column("dataset").to_pylist())
    specs = [selection.standardization.parsed(name) for name in selection.modality_names]
    texts = {str(item) for spec in specs if spec.needs_statistics for item in (spec, global_spec(spec))}
    wanted: dict[str, set[Any]] = {
        "dataset": datasets,
        "modality": {*selection.modality_names, None},
        "mpp": {selection.mpp, None},
        "strategy": {selection.strategy, None},
        "tile_size": {selection.tile_size, None},
        "spec": {*texts, None},
    }
    calls = (call for tree in resolved.predicates for call in tree.find_all(exp.Anonymous))
    named = resolved.markers is not None or any(call.name.lower() in MARKER_MACROS for call in calls)

    def depends(table: TableFile) -> bool:
        if named and table.kind == "channels":  # panels of other cohorts tell what protein a name stands for
            return True
        if table.kind == "own" and not table.dataset:  # of all datasets
            return True
        return all(getattr(table, name) in values for name, values in wanted.items())

    return [table for table in tables if depends(table)]


def tissue_states(plan: Plan) -> dict[str, dict[str, TissueState]]:
    """Return, by dataset and tissue, the number of rows and a digest of each of `PARTS`.

    A digest depends on this tissue alone, not on what else the plan holds.
    """
    keys = list(zip(*(plan.images.column(name).to_pylist() for name in ("dataset", "tissue_id")), strict=True))
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    tissue = np.array([numbers[key] for key in keys], np.int64)
    rows = _Sliced.sorted(tissue[_first(plan)] if len(plan) else tissue[:0], _row_arrays(plan), tissues=len(numbers))
    images = _Sliced.sorted(tissue, (np.arange(len(tissue)),), tissues=len(numbers))
    modality = _hashes(plan.images.column("modality").to_pylist())
    channels, statistics = (_Sliced(offsets=plan.channels.offsets, arrays=part) for part in _channel_arrays(plan))
    cells = None if plan.cells is None else _Sliced(offsets=plan.cells.offsets, arrays=_cell_arrays(plan.cells))
    states: dict[str, dict[str, TissueState]] = {}
    for (dataset, tissue_id), number in numbers.items():
        places, *columns = rows.take(number)
        own = images.take(number)[0]
        heads = modality[own]
        states.setdefault(dataset, {})[tissue_id] = (
            len(places),
            _digest([places]),
            _digest(columns),
            _digest([heads, *(array for image in own for array in channels.take(image))]),
            _digest([heads, *(array for image in own for array in statistics.take(image))]),
            _digest(() if cells is None or plan.cells is None else cells.take(plan.cells.tissue[own[0]])),
        )
    return states


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sliced:
    """Arrays of entries that belong to things one after the other: thing ``i`` owns ``offsets[i]:offsets[i + 1]``."""

    offsets: Int64
    arrays: tuple[AnyArray, ...]

    @classmethod
    def sorted(cls, owner: Int64, arrays: tuple[AnyArray, ...], *, tissues: int) -> "_Sliced":
        """Sort entries by their owner; those of one owner keep their order."""
        order = np.argsort(owner, kind="stable")
        offsets = np.searchsorted(owner[order], np.arange(tissues + 1))
        return cls(offsets=offsets, arrays=tuple(array[order] for array in arrays))

    def take(self, number: int) -> list[AnyArray]:
        start, stop = self.offsets[number : number + 2]
        return [array[start:stop] for array in self.arrays]


def _first(plan: Plan) -> Int64:
    """Return each row's first image."""
    present = (plan.image != ABSENT).argmax(axis=1)
    return cast(Int64, plan.image[np.arange(len(plan)), present].astype(np.int64))


def _row_arrays(plan: Plan) -> tuple[AnyArray, ...]:
    """Return per row its place with the modalities beside each other, and a hash of each carried value."""
    names = plan.images.column("modality").to_pylist()
    modalities = np.array([*_hashes(names), 0], np.uint64)  # the spare last entry takes ABSENT (-1)
    places = np.column_stack([plan.tile_id, plan.row, plan.col]).astype(np.int64).view(np.uint64)
    place = np.concatenate([places, modalities[plan.image]], axis=1)
    return place, *(_column_hashes(column) for column in plan.carried.columns)


def _channel_arrays(plan: Plan) -> tuple[tuple[AnyArray, ...], tuple[AnyArray, ...]]:
    """Return per channel of an image what it is, and its statistics."""
    channels = plan.channels.entries()
    names = _hashes(plan.channel_names)
    accessions = np.array([*_hashes(plan.uniprot_ids), 0], np.uint64)
    what = (names[channels.name], accessions[channels.uniprot], channels.page, channels.channel_index)
    return what, (channels.lower, channels.upper, channels.mean, channels.std)


def _cell_arrays(cells: PlanCells) -> tuple[AnyArray, ...]:
    values = [
        array if texts is None else np.array([*_hashes(texts), 0], np.uint64)[array]
        for array, texts in zip(cells.values, cells.categories, strict=True)
    ]
    return cells.cell_id, cells.row, cells.col, *values


def _column_hashes(column: pa.ChunkedArray) -> AnyArray:
    """Return a number per value, the same wherever the value stands."""
    encoded = column.combine_chunks()
    if pa.types.is_nested(encoded.type):  # Arrow makes no dictionary of lists and structs
        return _hashes(python_values(encoded))
    if not pa.types.is_dictionary(encoded.type):
        encoded = encoded.dictionary_encode(null_encoding="mask")
    hashes = np.array([*_hashes(python_values(encoded.dictionary)), 0], np.uint64)
    return cast(AnyArray, hashes[numpy_array(encoded.indices.cast(pa.int64()), absent=-1)])


def _hashes(values: Iterable[object]) -> AnyArray:
    texts = (json.dumps(value, default=str).encode() for value in values)
    return np.array([int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) for text in texts], np.uint64)


def _digest(arrays: Sequence[AnyArray]) -> str:
    """Return a digest of arrays; nothing where there are none."""
    digest = hashlib.blake2b(digest_size=8)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest() if arrays else ""
