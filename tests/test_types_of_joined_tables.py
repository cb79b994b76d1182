"""Columns of every Arrow type that users join: their values in plans, frames, locks, labels, exports, or an error."""

import datetime as dt
import json
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakes import write_lake
from spora_db import SporaQuery
from spora_db.errors import ArgumentError, FileFormatError, QueryError, TableError
from spora_db.exporting.fields import exported_row
from spora_db.lock.state import _column_hashes

KEYS = {"dataset": ["alpha", "alpha"], "tissue_id": ["alpha_0000", "alpha_0001"]}
HALF, NOON = np.float16(1.5), dt.datetime(2020, 1, 2, 12, 0, 0, 6)
ZONED = NOON.replace(tzinfo=dt.UTC)
DATES = "SELECT unnest(['infinity'::DATE, '2020-01-02', '-infinity', '0044-03-15 (BC)']) AS v"


def in_dictionary(values: list[Any], kind: pa.DataType) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(range(len(values)), pa.int8()), pa.array(values, kind))


COLUMNS = {
    "decimal": pa.array([Decimal("999.99"), Decimal("-3.10")], pa.decimal128(5, 2)),
    "narrow_decimal": pa.array([Decimal("9.99"), Decimal("-3.10")], pa.decimal32(5, 2)),
    "long_decimal": pa.array([Decimal(10) ** 37, None], pa.decimal128(38, 0)),
    "wide_decimal": pa.array([Decimal(10) ** 20, None], pa.decimal256(30, 2)),
    "wide_decimals": pa.array([[Decimal(10) ** 20, None], None], pa.list_(pa.decimal256(30, 2))),
    "wider_decimal": pa.array([Decimal(2) ** 130, None], pa.decimal256(50, 2)),
    "half": pa.array([HALF, None], pa.float16()),
    "halves": pa.array([[HALF, None], None], pa.large_list(pa.float16())),
    "pairs": pa.array([[HALF, HALF], None], pa.list_(pa.float16(), 2)),
    "half_within": pa.array([{"a": [{"b": HALF}]}, None], pa.struct({"a": pa.list_(pa.struct({"b": pa.float16()}))})),
    "half_by_name": pa.array([[("a", HALF)], []], pa.map_(pa.string(), pa.float16())),
    "known_halves": in_dictionary([HALF, np.float16(2)], pa.float16()),
    "known_texts": in_dictionary(["a", "b"], pa.string()),
    "large_text": pa.array(["a\0b", ""], pa.large_string()),
    "viewed_text": pa.array(["a text that is longer", None], pa.string_view()),
    "bytes": pa.array([b"\0\xff", b""], pa.large_binary()),
    "two_bytes": pa.array([b"\0\xff", None], pa.binary(2)),
    "struct": pa.array([{"a": 1, "dtype": "x"}, None], pa.struct({"a": pa.int64(), "dtype": pa.string()})),
    "map": pa.array([[("a", 1), ("b", None)], []], pa.map_(pa.string(), pa.int32())),
    "great": pa.array([2**64 - 1, 0], pa.uint64()),
    "date": pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31)], pa.date64()),
    "time": pa.array([dt.time(23, 59, 59, 999_999), None], pa.time64("us")),
    "nanoseconds": pa.array([1_577_934_245_000_000_001, None], pa.timestamp("ns")),
    "seconds": pa.array([dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31)], pa.timestamp("s")),
    "zone": pa.array([ZONED, None], pa.timestamp("us", "Europe/Zurich")),
    "interval": pa.array([pa.MonthDayNano([1, 2, 3_000]), None], pa.month_day_nano_interval()),
    "uuid": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([uuid.UUID(int=2**127).bytes, None], pa.binary(16))),
    "json": pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": 1}', None])),
    "truth": pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, None], pa.int8())),
    "nothing": pa.nulls(2),
    "nothings": pa.array([[None], []], pa.list_(pa.null())),
}
OTHERWISE = {"uuid": [str(uuid.UUID(int=2**127)), None], "wider_decimal": [2.0**130, None]}
"""What DuckDB has as another type: a UUID is a text, a decimal of more than 38 digits a float64."""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("types") / "lake", names=("alpha",), tissues=2)


def joined(lake: Path, table: pa.Table | Path, *names: str) -> SporaQuery:
    return SporaQuery(lake).modality("imc").tissues(mpp=1.0).join("mine", table).select(*names)


def by_tissue(column: pa.Array | pa.ChunkedArray) -> pa.Table:
    return pa.table({**KEYS, "v": column.slice(0, 2)})


def test_values_are_those_of_the_table(lake: Path, tmp_path: Path) -> None:
    table = pa.table({**KEYS, **COLUMNS})
    query = joined(lake, table, *COLUMNS)
    plan = query.plan()
    for name, column in COLUMNS.items():
        found = plan.columns.column(name).to_pylist()
        assert found == OTHERWISE.get(name, column.to_pylist()), name
    query.lock(tmp_path / "a.lock.json")
    assert SporaQuery.from_lock(tmp_path / "a.lock.json").plan().hash == plan.hash


@pytest.mark.parametrize("name", ["wide_decimal", "wider_decimal", "half_within", "half_by_name", "known_halves"])
def test_a_parquet_file_that_is_given_is_read_as_one_of_the_lake(lake: Path, tmp_path: Path, name: str) -> None:
    pq.write_table(by_tissue(COLUMNS[name]), tmp_path / "mine.parquet")
    expected = duckdb.sql(f"SELECT v FROM '{tmp_path / 'mine.parquet'}' ORDER BY tissue_id").to_arrow_table()
    found = joined(lake, tmp_path / "mine.parquet", "v").plan().columns
    assert found.column("v").to_pylist() == expected.column("v").to_pylist()


def test_nanoseconds_that_duckdb_drops_of_a_duration_are_refused(lake: Path, tmp_path: Path) -> None:
    table = by_tissue(pa.array([7_001, None], pa.duration("ns")))
    pq.write_table(table, tmp_path / "mine.parquet")
    for given, kind in ((table, ArgumentError), (tmp_path / "mine.parquet", FileFormatError)):
        with pytest.raises(kind, match=r"column 'v' of duration\[ns\].*whole numbers"):
            joined(lake, given, "v")
    whole = joined(lake, by_tissue(pa.array([7_000, None], pa.duration("ns"))), "v").plan()
    assert whole.columns.column("v").to_pylist() == [pa.MonthDayNano([0, 0, 7_000]), None]


def test_a_type_that_cannot_be_read_is_no_fault_of_a_file(lake: Path) -> None:
    table = by_tissue(duckdb.sql("SELECT unnest(['5'::BIGNUM, '7']) AS v").to_arrow_table().column(0))
    with pytest.raises(QueryError, match="BIGNUM"):
        joined(lake, table, "v").plan()


@pytest.mark.parametrize(
    "column",
    [
        pa.array([2**53 + 1, 0], pa.int64()),
        pa.array([Decimal(2) ** 63 - 1, Decimal(0)], pa.decimal128(20, 0)),
        pa.array([Decimal(10) ** 37, Decimal(0)], pa.decimal128(38, 0)),
    ],
)
def test_a_whole_number_that_a_label_would_round_is_refused(lake: Path, column: pa.Array) -> None:
    query = joined(lake, by_tissue(column)).label("v")
    with pytest.raises(TableError, match=f"a number that float32 does not hold, such as {column[0].as_py()}"):
        query.plan()


def test_decimals_are_labels_and_lists_of_them_are_none(lake: Path) -> None:
    decimals = pa.array([Decimal("1.25"), Decimal("-3.5")], pa.decimal128(5, 2))
    assert joined(lake, by_tissue(decimals)).label("v").to_torch().targets().tolist() == [1.25, -3.5]
    nested = pa.array([[Decimal("1.25")], []], pa.list_(pa.decimal128(5, 2)))
    with pytest.raises(ArgumentError, match=r"holds DECIMAL\(5,2\)\[\]"):
        joined(lake, by_tissue(nested)).label("v").plan()


def test_dates_that_python_has_not_are_told_or_kept(lake: Path, tmp_path: Path) -> None:
    dates = duckdb.sql(DATES).to_arrow_table().column(0)
    query = joined(lake, by_tissue(dates), "v")
    with pytest.raises(QueryError, match=r"column 'v' of the query holds times that Python has not.*VARCHAR"):
        query.df()
    query.lock(tmp_path / "a.lock.json")
    assert SporaQuery.from_lock(tmp_path / "a.lock.json").plan().columns.equals(query.plan().columns)
    hashes = _column_hashes(dates)
    assert len(np.unique(hashes)) == len(dates)
    assert hashes[1] == _column_hashes(dates.slice(1, 1))[0]  # whatever stands beside it
    odd = pa.chunked_array([pa.array([1_001, 1_002], pa.time64("ns"))])
    assert len(np.unique(_column_hashes(odd))) == 2
    with pytest.raises(QueryError, match="nanoseconds of a time of day"):
        joined(lake, by_tissue(odd), "v").df()


@pytest.mark.parametrize("value", ["[v]", "{'a': [v]}", "map {'a': v}", "[{'a': v}]"])
def test_dates_within_others_are_told_or_kept_as_well(lake: Path, tmp_path: Path, value: str) -> None:
    dates = duckdb.sql(f"SELECT {value} AS v FROM ({DATES})").to_arrow_table().column(0)
    query = joined(lake, by_tissue(dates), "v")
    for ask in (query.df, lambda: query.to_torch()[0]):
        with pytest.raises(QueryError, match=r"column 'v' of the query holds times that Python has not"):
            ask()
    query.lock(tmp_path / "a.lock.json")
    assert SporaQuery.from_lock(tmp_path / "a.lock.json").plan().columns.equals(query.plan().columns)
    hashes = _column_hashes(dates)
    assert len(np.unique(hashes)) == len(dates)
    assert hashes[1] == _column_hashes(dates.slice(1, 1))[0]


def test_an_export_holds_structs_whole_and_numbers_that_json_has() -> None:
    value = {"a": 1, "dtype": "x", "b": {"c": [{"d": Decimal("1.50")}]}}
    sample = {"he": {"image": np.zeros((3, 2, 2)), "dtype": "float32", "spec": "identity"}, "v": value}
    row = exported_row(0, {**sample, "w": [np.inf, -np.inf, np.nan], "dtype": "float32"})

    def refuse(word: str) -> None:
        raise AssertionError(word)

    found = json.loads(row.json(), parse_constant=refuse)
    expected = {"a": 1, "dtype": "x", "b": {"c": [{"d": "1.50"}]}}
    assert found == {"position": 0, "he": {"spec": "identity"}, "v": expected, "w": ["inf", "-inf", None]}
