"""Arrow arrays of Python's and numpy's values, and numpy arrays of Arrow's, without pandas.

pyarrow imports pandas, a quarter of a second, to ask whether what it is given is a Series: in ``pa.array``,
``pa.scalar``, ``pa.repeat`` of a value, ``Table.from_pylist``, ``Schema.empty_table``, wherever a function of
``pyarrow.compute`` or a method is given a Python or numpy value, in ``to_numpy``, and with ``pyarrow.dataset``, which
reads files of parquet (``pq.read_table``), joins, groups and filters by expressions. On the way from a query to batches
nothing needs pandas, so these take the place of the conversions there.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from spora_db.arrays import AnyArray


def arrow_array(values: Sequence[Any] | AnyArray, kind: pa.DataType | None = None) -> pa.Array:
    """Return numbers, truth values, texts or lists of them as an Arrow array; None is null.

    Parameters
    ----------
    values
        A list, which is copied, or an array of numpy, which is shared unless it holds truth values.
    kind
        The type of the Arrow array; by default that of the numpy array.

    See Also
    --------
    numpy_array : the way back

    Examples
    --------
    >>> arrow_array(["lung", None], pa.string()).to_pylist(), arrow_array(np.arange(2, dtype=np.int32)).type
    (['lung', None], DataType(int32))
    """
    if isinstance(values, np.ndarray):
        assert kind is None, "an array has its type"
        return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, _buffer(values)])
    assert kind is not None, "a list has none"
    known = np.array([value is not None for value in values], np.bool_)
    present = None if known.all() else _buffer(known)
    if pa.types.is_list(kind):
        lists = [() if value is None else value for value in values]
        items = arrow_array(list(chain.from_iterable(lists)), kind.value_type)
        return pa.Array.from_buffers(kind, len(lists), [present, _offsets(lists)], children=[items])
    if pa.types.is_string(kind):
        texts = values if present is None else ["" if value is None else value for value in values]
        whole = "".join(texts)
        parts = texts if whole.isascii() else [text.encode() for text in texts]
        return pa.Array.from_buffers(kind, len(texts), [present, _offsets(parts), pa.py_buffer(whole.encode())])
    assert pa.types.is_primitive(kind), kind
    own = numpy_array(pa.nulls(0, kind)).dtype  # kind.to_pandas_dtype() imports pandas up to pyarrow 17
    numbers = np.array([0 if value is None else value for value in values], own)
    return pa.Array.from_buffers(kind, len(numbers), [present, _buffer(numbers)])


def arrow_scalar(value: object, kind: pa.DataType) -> pa.Scalar:
    """Return a value as Arrow's, for functions of ``pyarrow.compute``; None is null.

    Examples
    --------
    >>> arrow_scalar(None, pa.string()), arrow_scalar(3, pa.int64())
    (<pyarrow.StringScalar: None>, <pyarrow.Int64Scalar: 3>)
    """
    return arrow_array([value], kind)[0]


def arrow_table(records: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Return rows, each with a value for every column, as a table.

    Examples
    --------
    >>> arrow_table([{"tissue": "a", "mpp": 1.0}], pa.schema({"tissue": pa.string(), "mpp": pa.float64()})).to_pylist()
    [{'tissue': 'a', 'mpp': 1.0}]
    """
    columns = [arrow_array([record[field.name] for record in records], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def numpy_array(column: pa.Array | pa.ChunkedArray, *, absent: float | None = None) -> AnyArray:
    """Return numbers or truth values of Arrow as a numpy array of their type, shared where they lie in one piece.

    Parameters
    ----------
    column
        Numbers or truth values.
    absent
        What stands for null; among floating-point numbers NaN, if nothing else is said.

    See Also
    --------
    arrow_array : the way back

    Examples
    --------
    >>> numpy_array(arrow_array([True, None], pa.bool_()), absent=False)
    array([ True, False])
    """
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if whole.null_count:
        assert absent is not None or pa.types.is_floating(whole.type), "no whole number stands for null"
        parts = [None, *whole.buffers()[1:]]  # fill_null takes no float16 in pyarrow 17
        values = numpy_array(pa.Array.from_buffers(whole.type, len(whole), parts, offset=whole.offset)).copy()
        values[numpy_array(whole.is_null())] = np.nan if absent is None else absent
        return values
    if pa.types.is_boolean(whole.type):
        return np.from_dlpack(whole.cast(pa.uint8())).view(np.bool_)
    return np.from_dlpack(whole)


def is_number(kind: pa.DataType) -> bool:
    """Tell whether values of a type lie on a line: whole numbers, floating-point ones, decimals.

    Examples
    --------
    >>> is_number(pa.decimal128(5, 2)), is_number(pa.bool_())
    (True, False)
    """
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _buffer(values: AnyArray) -> pa.Buffer:
    if values.dtype == np.bool_:
        return pa.py_buffer(np.packbits(values, bitorder="little"))
    return pa.py_buffer(np.ascontiguousarray(values, values.dtype.newbyteorder("=")))


def _offsets(parts: Sequence[Sequence[Any]]) -> pa.Buffer:
    ends = np.zeros(len(parts) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)), out=ends[1:])
    assert ends[-1] < 2**31, "one array of Arrow has no room for more"
    return pa.py_buffer(ends.astype(np.int32))
