"""Arrow arrays of values and back, against pyarrow's own conversions, which import pandas."""

import numpy as np
import pyarrow as pa
import pytest

from spora_db.files.arrow_arrays import arrow_array, arrow_scalar, arrow_table, numpy_array

LISTS = [
    (pa.string(), ["lung", None, "", "Größe", "肺"]),
    (pa.string(), ["lung", "", "a\0b"]),
    (pa.string(), ["Größe", "肺", ""]),
    (pa.bool_(), [True, None, *[False, True] * 9]),
    (pa.int8(), [-1, None, 127]),
    (pa.int64(), [2**63 - 1, -(2**63)]),
    (pa.uint64(), [2**64 - 1, 0]),
    (pa.float32(), [0.1, None, float("inf")]),
    (pa.float64(), [1, 2.5]),
    (pa.list_(pa.string()), [["a", "b"], None, [], ["c", None]]),
    (pa.list_(pa.float64()), [[1.0], []]),
    (pa.list_(pa.list_(pa.int64())), [[[1], []], [], [[2, 3]]]),
]


@pytest.mark.parametrize(("kind", "values"), [*LISTS, *((kind, []) for kind, _ in LISTS)])
def test_a_list_is_what_pyarrow_makes_of_it(kind, values) -> None:
    found, expected = arrow_array(values, kind), pa.array(values, kind)
    found.validate(full=True)
    assert found.type == kind
    assert found.equals(expected)
    assert found.slice(1).to_pylist() == values[1:]
    if values:
        assert arrow_scalar(values[0], kind).equals(expected[0])


@pytest.mark.parametrize("kind", [bool, "i1", "u1", "i2", "i4", "i8", "u8", "f2", "f4", "f8"])
def test_numbers_go_there_and_back(kind) -> None:
    values = np.arange(40).astype(kind)
    for own in (values, values[::3], values[:0]):  # in one piece, with gaps, none
        arrow = arrow_array(own)
        assert arrow.equals(pa.array(own))
        back = numpy_array(arrow)
        assert back.dtype == own.dtype
        np.testing.assert_array_equal(back, own)
    pieces = pa.chunked_array([arrow_array(values[:7]), arrow_array(values[7:])])
    np.testing.assert_array_equal(numpy_array(pieces.slice(3)), values[3:])


@pytest.mark.parametrize(
    ("column", "absent", "expected"),
    [
        (pa.array([1.5, None]), None, [1.5, np.nan]),
        (pa.array([np.float16(1.5), None], pa.float16()), None, [1.5, np.nan]),
        (pa.array([1.5, None]), 0, [1.5, 0]),
        (pa.array([7, None, 3, None], pa.int8()).slice(1), -1, [-1, 3, -1]),
        (pa.nulls(2, pa.int64()), 5, [5, 5]),
        (pa.nulls(9, pa.bool_()).slice(3), True, [True] * 6),
        (pa.nulls(2, pa.float64()), None, [np.nan, np.nan]),
        (pa.array([True, None, False]), True, [True, True, False]),
        (pa.chunked_array([], pa.int32()), None, []),
    ],
)
def test_null_is_told_as_asked(column, absent, expected) -> None:
    np.testing.assert_array_equal(numpy_array(column, absent=absent), expected)


def test_a_table_has_the_columns_of_its_schema() -> None:
    schema = pa.schema({"mpp": pa.float64(), "tissue": pa.string(), "modalities": pa.list_(pa.string())})
    rows = [{"tissue": "a", "mpp": 1, "modalities": ["he"]}, {"mpp": None, "tissue": None, "modalities": None}]
    for records in (rows, []):
        assert arrow_table(records, schema).equals(pa.Table.from_pylist(records, schema=schema))


@pytest.mark.parametrize("kind", ["<i2", ">i2", ">u4", ">f8"])
def test_numbers_of_either_byte_order(kind: str) -> None:
    assert arrow_array(np.arange(6).astype(kind)[::2]).to_pylist() == [0, 2, 4]
