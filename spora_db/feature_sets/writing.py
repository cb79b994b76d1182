"""The folder of a feature set while it is made: parts as they come, each whole, by any number of processes at a time.

Beside ``<name>/`` a hidden folder ``.<name>.work/`` holds the locks of those at work; the system releases them with the
process. What lies in ``<name>/`` is whole at any time: parts, and a description that says which are still to come.
"""

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from spora_db.arrays import AnyArray
from spora_db.errors import FileFormatError, WriteError, counted
from spora_db.feature_sets.description import FeatureColumn, FeatureSet, described, read_feature_set
from spora_db.feature_sets.parts import key_columns, part_rows, part_schema, vector_type
from spora_db.files.failures import PARQUET_FAILURES
from spora_db.files.locks import HeldElsewhereError, lock_file
from spora_db.files.parquet import read_provenance, write_parquet
from spora_db.files.stores.remote_files import check_writable
from spora_db.files.writing import atomic_path
from spora_db.layout import FAILED_FILE, FEATURE_PART, FEATURES_FILE, feature_part

Failed = tuple[int, str]
"""A row that has no features, by its position among the rows of the dataset, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetFolder:
    """The folder of one dataset's feature set, of which parts are written.

    Attributes
    ----------
    path
        ``<layer>/<dataset>/features/<name>``.
    dataset
        The dataset's name.
    """

    path: Path
    dataset: str

    @property
    def work(self) -> Path:
        """Where locks lie while runs are at work."""
        return self.path.with_name(f".{self.path.name}.work")

    def described(self) -> FeatureSet | None:
        """Return what the set says of itself; None where there is none.

        Raises
        ------
        FileFormatError
            If its description is broken.
        """
        there = (self.path / FEATURES_FILE).exists()
        return read_feature_set(self.path, dataset=self.dataset) if there else None

    @contextlib.contextmanager
    def opened(self, *, alone: bool = False) -> Iterator[None]:
        """Be at work in the folder, beside other runs, or alone.

        Raises
        ------
        HeldElsewhereError
            If another run is at work, and it or this one is to be alone.
        WriteError
            If the folder cannot be written to.
        """
        check_writable(self.path)
        try:
            with lock_file(self.work / "lock", shared=not alone, wait=False, keep=False):
                yield
        except HeldElsewhereError as error:
            raise HeldElsewhereError(
                f"Another run is at work on {self.path}, and one that overwrites works alone. Wait until it has ended, "
                "or end it."
            ) from error
        finally:
            self._sweep()

    def _sweep(self) -> None:
        """Remove what is hidden, of runs that were killed too, unless another run is at work."""
        with contextlib.suppress(OSError), lock_file(self.work / "lock", wait=False, keep=False):
            for rest in (*self.work.glob("*-*"), *self.path.glob(".part-*.tmp")):
                rest.unlink()
        with contextlib.suppress(OSError):
            self.work.rmdir()

    def claim(self, first: int, last: int) -> AbstractContextManager[None]:
        """Return what holds a part for one process; entered, it raises `HeldElsewhereError` where another makes it."""
        return lock_file(self.work / f"{first}-{last}", wait=False, keep=False)

    def has(self, first: int, last: int) -> bool:
        """Tell whether a part is there, whole."""
        return (self.path / feature_part(first, last)).is_file()

    def remove(self) -> None:
        """Remove the set, in one step for readers."""
        gone = self.path.with_name(f".{self.path.name}.old.tmp")
        shutil.rmtree(gone, ignore_errors=True)
        try:
            self.path.rename(gone)
        except FileNotFoundError:
            return
        except OSError as error:
            raise WriteError(f"Could not remove {self.path}: {error.strerror or error}.") from error
        shutil.rmtree(gone, ignore_errors=True)

    def describe(self, features: FeatureSet) -> None:
        """Write the description, whole."""
        with atomic_path(self.path / FEATURES_FILE) as temporary:
            temporary.write_text(described(features), encoding="utf-8")

    def write_part(
        self,
        features: FeatureSet,
        first: int,
        last: int,
        *,
        keys: Mapping[str, pa.Array],
        vectors: Mapping[str, AnyArray],
        failed: Sequence[Failed] = (),
    ) -> None:
        """Write a part, whole.

        Parameters
        ----------
        features
            The set.
        first, last
            Its first and last row, counted within the dataset.
        keys
            The keys of all its rows.
        vectors
            The features of those that did not fail: arrays of shape (N, D) or (N,).
        failed
            The rows that did.

        Raises
        ------
        WriteError
            The disk is full, or the folder read-only; nothing half-written is left.
        """
        lost = {position - first for position, _ in failed}
        kept = pa.array([place for place in range(last - first + 1) if place not in lost], pa.int64())
        types = key_columns(features.grain)
        columns = {name: keys[name].cast(kind).take(kept) for name, kind in types.items()}
        columns |= {column.name: feature_array(column, vectors[column.name]) for column in features.columns}
        told = {name: keys[name].cast(kind) for name, kind in types.items()}
        reasons = [
            {**{name: told[name][position - first].as_py() for name in told}, "reason": why} for position, why in failed
        ]
        write_parquet(
            pa.table(columns, schema=part_schema(features)),
            self.path / feature_part(first, last),
            metadata={"failed": reasons},
            plain=[column.name for column in features.columns],
        )

    def finish(self, features: FeatureSet, parts: Sequence[tuple[int, int]]) -> FeatureSet | None:
        """Note that a set is complete, if all of `parts` are there; return it then.

        Raises
        ------
        FileFormatError
            If a part is damaged, or of other rows than these.
        """
        if not all(self.has(*part) for part in parts):
            return None
        if features.state == "complete":
            return features
        strangers = sorted(
            path.name
            for path in self.path.iterdir()
            if FEATURE_PART.fullmatch(path.name) and part_rows(path.name) not in set(parts)
        )
        if strangers:
            raise FileFormatError(
                f"{self.path} has parts of other rows: {', '.join(strangers[:3])}. Make it anew with overwrite=True "
                "(--overwrite)."
            )
        failed = [row for part in parts for row in self._checked(features, *part)]
        types = {**key_columns(features.grain), "reason": pa.string()}
        if failed:
            write_parquet(pa.Table.from_pylist(failed, schema=pa.schema(types)), self.path / FAILED_FILE)
        complete = replace(features, state="complete", failed=len(failed))
        self.describe(complete)
        return complete

    def _checked(self, features: FeatureSet, first: int, last: int) -> list[dict[str, object]]:
        """Return the rows of a part that failed; refuse one that is not as it was written."""
        path = self.path / feature_part(first, last)
        try:
            schema, count = pq.read_schema(path), pq.read_metadata(path).num_rows
        except PARQUET_FAILURES as error:
            raise FileFormatError(f"{path} is damaged: {error}. Delete it and run again: it is made anew.") from error
        failed: list[dict[str, object]] = (read_provenance(path) or {}).get("failed", [])
        if not schema.remove_metadata().equals(part_schema(features)) or count + len(failed) != last - first + 1:
            raise FileFormatError(
                f"{path} has {counted(count, 'row')} and {counted(len(failed), 'failure')}, of columns {schema.names}; "
                f"expected {last - first + 1:,} in all, of {part_schema(features).names}. Delete it and run again."
            )
        return failed


def feature_array(column: FeatureColumn, values: AnyArray) -> pa.Array:
    """Return an array of shape (N, D) or (N,) as Arrow has it; no value is copied.

    Examples
    --------
    >>> import numpy as np
    >>> column = FeatureColumn(name="embedding", dimension=3, dtype="float16")
    >>> feature_array(column, np.zeros((2, 3), np.float16)).type
    FixedSizeListType(fixed_size_list<item: halffloat>[3])
    """
    flat = pa.array(values.reshape(-1))
    return flat if column.dimension is None else pa.FixedSizeListArray.from_arrays(flat, type=vector_type(column))
