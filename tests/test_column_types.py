"""Every pair of arrow types in two cohorts against DuckDB's own union of the same two files: types and values."""

import datetime
import decimal
import itertools
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spora_db import Catalog
from spora_db.sources.duckdb_types import duckdb_type

DAY = datetime.date(2020, 7, 1)
MOMENT = datetime.datetime(2020, 7, 1, 12, 30, 5)
CLOCK = datetime.time(12, 30, 5)
NUMBER = decimal.Decimal("1.25")
TWO = {"a": 3, "b": "x"}
WHOLE = {f"{sign}int{bits}": [7, None] for sign in ("", "u") for bits in (8, 16, 32, 64)}
TYPES: dict[str, tuple[pa.DataType, list]] = {
    **{name: (getattr(pa, name)(), values) for name, values in WHOLE.items()},
    "bool": (pa.bool_(), [True, None]),
    "float16": (pa.float16(), [1.5, float("nan")]),
    "float32": (pa.float32(), [0.1, float("nan")]),
    "float64": (pa.float64(), [0.1, float("nan")]),
    "decimal": (pa.decimal128(5, 2), [NUMBER, None]),
    "decimal32": (pa.decimal32(9, 3), [NUMBER, None]),
    "decimal256": (pa.decimal256(30, 4), [NUMBER, None]),
    "too_wide_decimal": (pa.decimal256(50, 2), [NUMBER, None]),
    "string": (pa.string(), ["x", None]),
    "large_string": (pa.large_string(), ["y", ""]),
    "string_view": (pa.string_view(), ["z", None]),
    "dictionary": (pa.dictionary(pa.int8(), pa.string()), ["d", None]),
    "dictionary_of_numbers": (pa.dictionary(pa.int16(), pa.int64()), [7, None]),
    "binary": (pa.binary(), [b"x", None]),
    "large_binary": (pa.large_binary(), [b"y", None]),
    "binary_view": (pa.binary_view(), [b"z", None]),
    "fixed_size_binary": (pa.binary(2), [b"ab", None]),
    "date32": (pa.date32(), [DAY, None]),
    "date64": (pa.date64(), [DAY, None]),
    "time32": (pa.time32("ms"), [CLOCK, None]),
    "time64": (pa.time64("us"), [CLOCK, None]),
    "time64_ns": (pa.time64("ns"), [CLOCK, None]),
    **{f"timestamp_{unit}": (pa.timestamp(unit), [MOMENT, None]) for unit in ("s", "ms", "us", "ns")},
    **{f"zoned_{unit}": (pa.timestamp(unit, "Asia/Tokyo"), [MOMENT, None]) for unit in ("ms", "us", "ns")},
    "list": (pa.list_(pa.string()), [["x"], []]),
    "large_list": (pa.large_list(pa.large_string()), [["x", None], None]),
    "list_view": (pa.list_view(pa.string_view()), [["y"], None]),
    "large_list_view": (pa.large_list_view(pa.string()), [["z"], None]),
    "fixed_size_list": (pa.list_(pa.float32(), 2), [[1.0, float("nan")], None]),
    "list_of_null": (pa.list_(pa.null()), [[], [None]]),
    "list_of_numbers": (pa.list_(pa.int64()), [[1, 2], None]),
    "list_of_dates": (pa.list_(pa.date32()), [[DAY], None]),
    "list_of_moments": (pa.list_(pa.timestamp("us")), [[MOMENT], None]),
    "list_of_lists": (pa.list_(pa.large_list(pa.int8())), [[[1], []], None]),
    "struct": (pa.struct({"a": pa.int64(), "b": pa.string()}), [TWO, None]),
    "struct_in_other_order": (pa.struct({"b": pa.large_string(), "a": pa.int32()}), [TWO, None]),
    "struct_with_more": (pa.struct({"a": pa.float64(), "c d": pa.date32()}), [{"a": 1.5, "c d": DAY}, None]),
    "struct_of_nulls": (pa.struct({"a": pa.null()}), [{"a": None}, None]),
    "list_of_structs": (pa.list_(pa.struct({"a": pa.int64()})), [[{"a": 1}], None]),
    "list_of_wider": (pa.list_view(pa.struct({"z": pa.bool_(), "a": pa.float32()})), [[{"z": True, "a": 2.0}], []]),
    "map": (pa.map_(pa.string(), pa.int64()), [[("k", 1)], None]),
    "map_of_floats": (pa.map_(pa.large_string(), pa.float64()), [[("k", 1.5)], []]),
    "null": (pa.null(), [None, None]),
}
NAMES = list(TYPES)
PAIRS = list(itertools.combinations_with_replacement(NAMES, 2))
WHOLE_NUMBERS = {f"{sign}{name}" for sign in ("", "U") for name in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")}
NUMBERS = WHOLE_NUMBERS | {"FLOAT", "DOUBLE", "DECIMAL"}
MOMENTS = {"DATE", "TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS"}
FAMILIES = (NUMBERS, MOMENTS, {"TIME", "TIME_NS"})
"""Types that have a common one; DuckDB brings the others together too, and fails at their values or alters them."""


def family(kind: str) -> set[str]:
    name = kind.partition("(")[0]
    return next((found for found in FAMILIES if name in found), {name})


def shape(kind: str) -> str:
    if kind.endswith("[]"):
        return "LIST"
    return next((name for name in ("MAP", "STRUCT") if kind.startswith(name)), "")


def as_text(first: str, second: str) -> bool:
    """Whether two types of DuckDB have no common one here: different shapes, or different families."""
    shapes = [
        kind[-2:] if kind.endswith("[]") else kind[:3] if kind.startswith(("MAP", "STR")) else ""
        for kind in (first, second)
    ]
    if "NULL" in (first.strip('"'), second.strip('"')) or first == second:
        return False
    return shapes[0] != shapes[1] or (not shapes[0] and family(first) != family(second))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("types")
    for name, (kind, values) in TYPES.items():
        pq.write_table(pa.table({"n": [0, 1], "c": pa.array(values, kind)}), folder / f"{name}.parquet")
    return folder


@pytest.fixture(scope="module")
def bare():
    """DuckDB alone."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


@pytest.fixture(scope="module")
def single(files, bare):
    """What DuckDB reads in each file alone."""
    return {name: str(bare.sql(f"SELECT c FROM '{files}/{name}.parquet'").types[0]) for name in TYPES}


def lake_of(folder: Path, pairs: list[tuple[str, str]]) -> Path:
    """Two cohorts with a column for each pair."""
    for cohort, at in (("a", 0), ("b", 1)):
        columns = {f"p{n}": pa.array(TYPES[pair[at]][1], TYPES[pair[at]][0]) for n, pair in enumerate(pairs)}
        path = folder / cohort / "metadata/tissues.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.table({"tissue_id": ["s", "t"], **columns}), path)
    return folder


def reads(folder: Path, pairs: list[tuple[str, str]]) -> list[tuple[str, list, str | None]]:
    """The type, the values and the note of the schema of each pair; wide tables take DuckDB long, so some at a time."""
    answers: list[tuple[str, list, str | None]] = []
    for start in range(0, len(pairs), 40):
        with Catalog(lake_of(folder / str(start), pairs[start : start + 40])) as catalog:
            found = catalog.sql("SELECT COLUMNS('^p[0-9]+$') FROM tissues ORDER BY dataset, tissue_id")
            told = {column: cohorts for _, column, _, cohorts, *_ in catalog.schema().fetchall()}
            values = zip(*found.fetchall(), strict=True)
            answers += [
                (kind, list(column), told[name])
                for name, kind, column in zip(found.columns, found.types, values, strict=True)
            ]
    return answers


def test_a_column_has_the_type_that_duckdb_reads(single, files, bare):
    names = {name: duckdb_type(pq.read_schema(files / f"{name}.parquet").field("c").type) for name in TYPES}
    for name, kind in names.items():
        with duckdb.connect() as connection:
            same = kind.replace("NULL", "INTEGER")
            assert str(connection.sql(f"SELECT NULL::{same}").types[0]) == single[name].replace('"NULL"', "INTEGER"), (
                name
            )


def test_a_pair_has_the_type_and_the_values_of_duckdbs_own_union(tmp_path, single, files, bare):
    pairs = [pair for pair in PAIRS if not as_text(single[pair[0]], single[pair[1]])]
    assert len(pairs) > 300
    for pair, (kind, values, _) in zip(pairs, reads(tmp_path, pairs), strict=True):
        paths = [f"{files}/{name}.parquet" for name in pair]
        union = bare.sql(f"SELECT c FROM read_parquet({paths}, union_by_name = true)").types[0]
        assert kind == widened(str(union).replace('"NULL"', "VARCHAR"), {single[name] for name in pair}), (pair, union)
        both = " UNION ALL ".join(
            f"SELECT {at} AS file, n, CAST(c AS {kind}) AS c FROM '{path}'" for at, path in enumerate(paths)
        )
        expected = [value for (value,) in bare.sql(f"SELECT c FROM ({both}) ORDER BY file, n").fetchall()]
        assert repr(values) == repr(expected), pair


def widened(union: str, kinds: set[str]) -> str:
    """DuckDB's common type, but where it is too narrow for the digits of some value, or for later ones."""
    kinds = {kind for kind in kinds if kind.strip('"') != "NULL"}
    if len(kinds) <= 1:
        return union
    if all(kind.endswith("[]") for kind in kinds):
        first, second = (kind.removesuffix("[]") for kind in kinds)
        inner = "VARCHAR" if as_text(first, second) else widened(union.removesuffix("[]"), {first, second})
        return f"{inner}[]"
    if kinds <= WHOLE_NUMBERS:
        return union if "UBIGINT" in kinds else "BIGINT"
    if "TIMESTAMP_NS" in kinds and any("TZ" in kind or "ZONE" in kind for kind in kinds):
        return "TIMESTAMPTZ_NS"
    if union == "FLOAT" and kinds & {"INTEGER", "UINTEGER", "BIGINT", "UBIGINT"} | {k for k in kinds if "DECIMAL" in k}:
        return "DOUBLE"
    if union.startswith("DOUBLE") or "FLOAT" not in union or not any("BIGINT" in kind for kind in kinds):
        return union
    return union.replace("FLOAT", "DOUBLE")


def test_pairs_without_a_common_type_are_text_that_the_schema_tells(tmp_path, single, files, bare):
    pairs = [pair for pair in PAIRS if as_text(single[pair[0]], single[pair[1]])][::17]
    for pair, (kind, values, told) in zip(pairs, reads(tmp_path, pairs), strict=True):
        assert kind == "VARCHAR", pair
        both = " UNION ALL ".join(
            f"SELECT {at} AS file, n, CAST(c AS VARCHAR) AS c FROM '{files}/{name}.parquet'"
            for at, name in enumerate(pair)
        )
        assert values == [value for (value,) in bare.sql(f"SELECT c FROM ({both}) ORDER BY file, n").fetchall()], pair
        assert told is not None, pair
