"""The vectors of a feature set as one matrix on disk, made once of its parts, and mapped into memory.

``<set>/.matrix-<column>-<stamp>/`` holds ``vectors.npy``, ``norms.npy`` and ``keys.arrow``; the stamp is that of the
parts, so that a matrix of other parts is never taken. Where the set's folder cannot be written to, it lies in the cache
folder of the user.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spora_db.arrays import AnyArray, Float32, Float64
from spora_db.errors import FileFormatError, QueryError, counted, reason
from spora_db.feature_sets import FeatureColumn, FeatureSet, key_columns
from spora_db.feature_sets.reading import read_part
from spora_db.files.failures import PARQUET_FAILURES
from spora_db.files.folders import user_folder
from spora_db.files.stamps import lasting_stamp
from spora_db.files.stores.mirror import mirror_of
from spora_db.files.stores.so_far import SoFar
from spora_db.files.writing import atomic_path, take_room
from spora_db.layout import FEATURE_PART

logger = logging.getLogger(__name__)

VECTORS, NORMS, KEYS = "vectors.npy", "norms.npy", "keys.arrow"
BLOCK = 8192
"""Rows that are held as float64 at a time: 25 MB of 384 numbers."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeatureMatrix:
    """The vectors of one dataset, and what they are of.

    Attributes
    ----------
    dataset
        Its name.
    vectors
        float16 or float32 array of shape (N, D), mapped from disk.
    norms
        float32 array of shape (N,): their lengths, NaN where a vector is zero or not finite, and so like nothing.
    keys
        Table of N rows, mapped from disk: the tissue, and the tile or the cell, of each.
    place
        The folder that it lies in; a worker maps it anew.
    """

    dataset: str
    place: Path
    vectors: AnyArray
    norms: Float32
    keys: pa.Table

    def __reduce__(self) -> tuple[Callable[..., "FeatureMatrix"], tuple[str, Path]]:
        """Reduce to the place, for workers of any start method."""
        return opened, (self.dataset, self.place)

    def exact(self, rows: AnyArray, unit: Float64) -> Float64:
        """Return the similarity of some rows with a vector of length 1, in float64: array of shape (rows,)."""
        found = np.empty(len(rows), np.float64)
        for first in range(0, len(rows), BLOCK):
            own = self.vectors[rows[first : first + BLOCK]].astype(np.float64)
            # of equal rows equal sums, wherever they stand: BLAS adds the last rows of a block in another order
            products, squares = np.einsum("ij,j->i", own, unit), np.einsum("ij,ij->i", own, own)
            found[first : first + BLOCK] = products / np.sqrt(squares)
        return found


def feature_matrix(folder: Path, features: FeatureSet, column: FeatureColumn) -> FeatureMatrix:
    """Return the matrix of a column of vectors, made where there is none of these parts.

    Raises
    ------
    QueryError
        If the set is not complete.
    FileFormatError
        If a part is broken.
    WriteError
        If it can neither be written beside the parts nor into the user's cache.
    """
    if features.state != "complete":
        raise QueryError(
            f"The features {features.name!r} of {features.dataset} are not complete yet. Run extract() again, which "
            "goes on where it was."
        )
    parts = sorted(path for path in folder.iterdir() if FEATURE_PART.fullmatch(path.name))
    stamp = _digest([[path.name, *lasting_stamp(path)] for path in parts])
    place = folder / f".matrix-{column.name}-{stamp}"
    if not place.is_dir() and (mirror_of(folder) is not None or not os.access(folder, os.W_OK)):
        place = user_folder("cache") / "matrices" / _digest([str(folder.resolve()), column.name, stamp])
    if not place.is_dir():
        logger.info("Making the matrix of %s of %s: %s.", features.name, features.dataset, place)
        with atomic_path(place) as temporary:
            temporary.mkdir()
            _make(temporary, parts, features, column)
        for stale in place.parent.glob(f".matrix-{column.name}-*"):
            if stale != place and stale.suffix != ".tmp":
                rmtree(stale, ignore_errors=True)
    return opened(features.dataset, place)


def opened(dataset: str, place: Path) -> FeatureMatrix:
    """Return the matrix of a dataset that lies in a folder."""
    with pa.memory_map(str(place / KEYS)) as mapped:
        keys = pa.ipc.open_file(mapped).read_all()
    vectors = np.load(place / VECTORS, mmap_mode="r")
    return FeatureMatrix(dataset=dataset, vectors=vectors, norms=np.load(place / NORMS), keys=keys, place=place)


def _make(place: Path, parts: list[Path], features: FeatureSet, column: FeatureColumn) -> None:
    """Write a matrix, part after part."""
    assert column.dimension is not None
    kinds, so_far = key_columns(features.grain), SoFar()
    keys = pa.schema({name: kind for name, kind in kinds.items() if name.endswith("_id")})
    count = sum(_rows(part) for part in parts)
    vectors = np.lib.format.open_memmap(
        place / VECTORS, mode="w+", dtype=np.dtype(column.dtype), shape=(count, column.dimension)
    )
    with (place / VECTORS).open("r+b") as written:
        take_room(written.fileno())
    norms, done = np.empty(count, np.float32), 0
    with pa.OSFile(str(place / KEYS), "wb") as file, pa.ipc.new_file(file, keys) as writer:
        for part in parts:
            of_part, (own,) = read_part(part, [column], grain=features.grain)
            writer.write_table(of_part.select(keys.names).combine_chunks())
            vectors[done : done + len(own)] = own
            norms[done : done + len(own)] = _norms(own)
            done += len(own)
            so_far.tell("%d of %d vectors of %s are in their matrix.", done, count, features.dataset)
    if done != count:
        raise FileFormatError(
            f"The features in {parts[0].parent} have {counted(done, 'vector')} for {counted(count, 'row')}. Extract "
            "them again."
        )
    vectors.flush()
    np.save(place / NORMS, norms)


def _rows(part: Path) -> int:
    try:
        return int(pq.read_metadata(part).num_rows)
    except PARQUET_FAILURES as error:
        raise FileFormatError(f"{part} cannot be read: {reason(error)}. Extract the features again.") from error


def _norms(vectors: AnyArray) -> Float32:
    """Return the lengths of vectors, NaN for those that are like nothing: float32 array of shape (N,)."""
    found = np.empty(len(vectors), np.float64)
    for first in range(0, len(vectors), BLOCK):
        own = vectors[first : first + BLOCK].astype(np.float64)
        found[first : first + BLOCK] = np.einsum("ij,ij->i", own, own)
    norms = np.sqrt(found)
    return np.where(np.isfinite(norms) & (norms > 0), norms, np.nan).astype(np.float32)


def _digest(value: object) -> str:
    return hashlib.blake2b(json.dumps(value).encode(), digest_size=8).hexdigest()
