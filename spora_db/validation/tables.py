"""Rules about single parquet files: columns and types from the footer, all rows only in a deep validation."""

import contextlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spora_db.catalog.describe import cohort_types
from spora_db.errors import FileFormatError, SporaError, TableError
from spora_db.files.failures import PARQUET_FAILURES
from spora_db.files.stores.remote_files import fetch_whole
from spora_db.layout import Dataset, Lake, TableFile, TableKind
from spora_db.masks.label_encoders import encoder_columns, encoder_faults
from spora_db.regions.polygons import POLYGON
from spora_db.sources.duckdb_types import duckdb_type
from spora_db.sources.footers import Footer, is_stray, key_position, read_footer
from spora_db.sources.tables import CELLS, CHANNELS, REGIONS, TILE_STATS, TISSUES
from spora_db.sources.tables import table as table_source
from spora_db.sqltext.names import fold
from spora_db.validation.findings import Finding, Severity
from spora_db.validation.rules import broken

MOST_BYTES: Final = 2**36
ENCODER_ROWS: Final = 1_000_000
_INDEX: Final = "channel_index"
_UNNAMED = re.compile(r"Unnamed: [0-9]+")
_WHOLE = frozenset(f"{sign}{size}" for sign in ("", "U") for size in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT"))
_NUMBER = _WHOLE | {"FLOAT", "DOUBLE", "NULL"}
_TEXT = frozenset({"VARCHAR"})
_ID = _TEXT | _WHOLE | {"FLOAT", "DOUBLE"}
_OPTIONAL_TEXT = _TEXT | {"NULL"}
_FLAG = frozenset({"BOOLEAN"})
_POLYGON = frozenset({duckdb_type(POLYGON)})
_NAMES: Mapping[frozenset[str], str] = {
    _WHOLE: "whole numbers",
    _NUMBER: "numbers",
    _TEXT: "text",
    _ID: "text or numbers",
    _OPTIONAL_TEXT: "text",
    _FLAG: "truth values",
    _POLYGON: "polygons (lists of rings of points with row and col)",
}

_TOLD_BY_VALUES: Mapping[TableKind, tuple[str, ...]] = {"cells": ("cell_id",), "label_encoder": ("id",)}
"""Columns whose whole numbers may be floats or texts: each value is checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """What a kind of table has: the column that identifies a row, columns it needs, columns it should have."""

    key: str | None
    needed: Mapping[str, frozenset[str]]
    expected: Mapping[str, frozenset[str]]
    wide: frozenset[str] | None = None


_KINDS: Mapping[TableKind, _Kind] = {
    "tissues": _Kind(
        key="tissue_id",
        needed={"tissue_id": _ID},
        expected={"modality": _OPTIONAL_TEXT, "patient_id": _ID | {"NULL"}, "split": _OPTIONAL_TEXT},
    ),
    "cells": _Kind(key="tissue_id", needed={"tissue_id": _ID, "cell_id": _WHOLE}, expected={}),
    "regions": _Kind(
        key="tissue_id",
        needed={"tissue_id": _ID, "region_id": _ID, "class": _OPTIONAL_TEXT, "mpp": _NUMBER, "polygon": _POLYGON},
        expected={},
    ),
    "channels": _Kind(
        key=None,
        needed={"channel_name": _TEXT},
        expected={"uniprot_id": _OPTIONAL_TEXT, "qc_pass": _FLAG, "is_nuclear_marker": _FLAG},
    ),
    "panels": _Kind(key="tissue_id", needed={"tissue_id": _ID}, expected={}, wide=_FLAG),
    "tile_coordinates": _Kind(
        key="tissue_id", needed={"tissue_id": _ID, "tile_id": _WHOLE, "row": _WHOLE, "col": _WHOLE}, expected={}
    ),
    "tile_stats": _Kind(
        key="tissue_id",
        needed={"tissue_id": _ID, "mask_height": _WHOLE, "mask_width": _WHOLE, "num_tiles": _WHOLE},
        expected={"tile_size": _WHOLE, "coverage_ratio": _NUMBER},
    ),
    "statistics": _Kind(key=None, needed={}, expected={}, wide=_NUMBER),
    "own": _Kind(key=None, needed={}, expected={}),
    "features": _Kind(key="tissue_id", needed={"tissue_id": _TEXT}, expected={}),
    "label_encoder": _Kind(key=None, needed={"name": _TEXT, "id": _WHOLE}, expected={}),
}


def check_table(table: TableFile, lake: Lake, *, deep: bool) -> Iterator[Finding]:
    """Yield what is wrong with one table; `deep` reads all its rows and checks the checksums of its pages."""
    file = lake.relative(table.path)
    try:
        footer = read_footer(table)
        key_at = _key_position(footer)
    except FileFormatError as error:
        rule = "encrypted" if "is encrypted" in str(error) else "parquet"
        yield broken(rule, str(error), dataset=table.dataset, file=file)
        return
    except TableError as error:
        yield broken("columns_missing", str(error), dataset=table.dataset, file=file)
        return
    for rule, reason in (*_names(footer, key_at), *_types(footer, key_at), *_rows(footer, deep=deep)):
        number_for_flag = rule == "column_types" and _NAMES[_FLAG] in reason and "VARCHAR" not in reason
        severity: Severity | None = "warning" if number_for_flag else None  # 0 and 1 are read as truth values
        yield broken(rule, reason, dataset=table.dataset, file=file, severity=severity)


def check_kinds(lake: Lake) -> Iterator[Finding]:
    """Yield the columns that have no common type in the datasets of a lake, and so are text."""
    for relation in (TISSUES, CELLS, REGIONS, CHANNELS, TILE_STATS):
        try:
            source = table_source(relation, lake)
        except SporaError:
            continue  # found in the dataset itself
        cohorts = cohort_types(source.origins)
        for column in source.texts:
            reason = f"The column {column!r} of {relation.kind} is {cohorts[column]:.300}."
            yield broken("column_kinds", reason, dataset="", file="")


def check_encoders(dataset: Dataset, lake: Lake) -> Iterator[Finding]:
    """Yield what is wrong with the rows of the label encoders of a dataset."""
    for table in dataset.tables:
        if table.kind == "label_encoder":
            file = lake.relative(table.path)
            names, ids = read_encoder(table.path)
            for fault in encoder_faults(names, ids):
                yield broken("label_encoders", fault, dataset=dataset.name, file=file)


def check_panel_order(dataset: Dataset, lake: Lake) -> Iterator[Finding]:
    """Yield the panels whose own ``channel_index`` says another order than their rows, which is the one that counts."""
    import pyarrow.parquet as pq

    for table in dataset.tables:
        with contextlib.suppress(SporaError, *PARQUET_FAILURES):  # found in the table itself
            names = read_footer(table).names if table.kind == "channels" else ()
            for at in [at for at, name in enumerate(names) if fold(name) == _INDEX]:
                fetch_whole([table.path])
                with pq.ParquetFile(table.path) as file:
                    own = file.read().column(at).to_pylist()
                if own not in (list(range(len(own))), list(range(1, len(own) + 1))):
                    reason = f"The column {names[at]!r} says {', '.join(map(str, own[:20]))}; the rows come in the "
                    reason += f"order 0 to {len(own) - 1}."
                    yield broken("panel_order", reason, dataset=dataset.name, file=lake.relative(table.path))


def read_encoder(path: Path) -> tuple[list[object], list[object]]:
    """Return the names and the ids of a label encoder; empty where it cannot be read, found elsewhere."""
    import pyarrow.parquet as pq

    fetch_whole([path])
    try:
        with pq.ParquetFile(path) as file:
            places = encoder_columns(file.schema_arrow.names)
            if file.metadata.num_rows > ENCODER_ROWS or places is None:
                return [], []
            table = file.read()
    except PARQUET_FAILURES:
        return [], []
    names, ids = (table.column(at).to_pylist() for at in places)
    return names, ids


def _key_position(footer: Footer) -> int | None:
    """Return where the tissue ids are, None where the table has none."""
    key = _KINDS[footer.table.kind].key
    if footer.table.kind == "statistics" and footer.table.level == "image":
        key = "tissue_id"
    return None if key is None else key_position(footer, key)


def _names(footer: Footer, key_at: int | None) -> Iterator[tuple[str, str]]:
    """Yield columns that are absent, repeated or left over."""
    kind = _KINDS[footer.table.kind]
    have = {fold(name) for name in footer.names}
    for rule, columns in (("columns_missing", kind.needed), ("columns_expected", kind.expected)):
        for name in columns:
            if name not in have and name != kind.key:
                yield rule, f"There is no column {name!r}. There are: {', '.join(footer.names[:20])}."
    repeated = sorted(name for name, times in Counter(footer.names).items() if times > 1)
    if repeated:
        yield "column_twice", f"Columns stand more than once: {', '.join(map(repr, repeated))}."
    if kind.wide is None:
        folded = Counter(fold(name) for name in set(footer.names))
        alike = sorted(name for name in set(footer.names) if folded[fold(name)] > 1)
        if alike:
            yield "column_case", f"Columns differ in case only: {', '.join(map(repr, alike))}."
    left = [
        name
        for at, (name, found) in enumerate(zip(footer.names, footer.types, strict=True))
        if at != key_at and (is_stray(name, found) or _UNNAMED.fullmatch(name))
    ]
    if left:
        yield "stray_columns", f"An index of pandas was left in: {', '.join(map(repr, left))}."


def _types(footer: Footer, key_at: int | None) -> Iterator[tuple[str, str]]:
    """Yield columns of other types than the layout's."""
    kind = _KINDS[footer.table.kind]
    wanted = {**kind.needed, **kind.expected}
    wrong: dict[tuple[str, frozenset[str]], list[str]] = {}
    for at, (name, found) in enumerate(zip(footer.names, footer.types, strict=True)):
        types = _ID if at == key_at else wanted.get(fold(name), None if is_stray(name, found) else kind.wide)
        values_tell = fold(name) in _TOLD_BY_VALUES.get(footer.table.kind, ()) and (
            found in ("FLOAT", "DOUBLE", "VARCHAR") or found.startswith("DECIMAL")
        )
        if types is not None and found not in types and not values_tell:
            wrong.setdefault((found, types), []).append(name)
    for (found, types), names in wrong.items():
        listed = ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        yield "column_types", f"Expected {_NAMES.get(types, 'text or numbers')} in {listed}; found {found}."


def _rows(footer: Footer, *, deep: bool) -> Iterator[tuple[str, str]]:
    """Yield a wrong number of rows, and rows that cannot be read."""
    if footer.table.kind == "statistics" and footer.table.level == "global" and footer.rows != 1:
        yield "statistics_tables", f"It has {footer.rows} rows; a global table has exactly one."
    if deep and (reason := _unreadable(footer.table.path)):
        yield "parquet", reason


def _unreadable(path: Path) -> str | None:
    """Read every row and say what fails."""
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            metadata = file.metadata
            claimed = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
            if claimed > MOST_BYTES:
                return f"It claims {claimed:,} bytes; at most {MOST_BYTES:,} are read."
            for _ in file.iter_batches(batch_size=65_536):
                pass
    except (*PARQUET_FAILURES, MemoryError) as error:
        return f"Its rows cannot be read: {error}"
    return None
