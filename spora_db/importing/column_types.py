"""Types of columns that were read as texts: numbers and dates where every value is one, and ids stay as they stand."""

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pyarrow as pa

_IDS: Final = frozenset((
    "patient", "case", "subject", "donor", "participant", "specimen", "sample", "slide", "block", "core", "roi", "fov",
    "image", "acquisition", "barcode", "section", "tissue", "scene", "batch", "plate", "well",
))  # fmt: skip
"""Columns that name something, besides those that end in id."""
_ID: Final = re.compile(
    r"(?:^|[^A-Za-z])(?i:ids?)$|[a-z]I[Dd]s?$|^(?i:patient|tissue|sample|specimen|image|slide|case)(?i:ids?)$"
)
_AS_IT_STANDS: Final = r"^[+-]?0[0-9]|^[0-9]+[eE][0-9]+$"
"""Texts that a number would not give back: 0012, and the well 1E5."""
_WHOLE: Final = r"^[+-]?[0-9]{1,18}$"
_NUMBER: Final = r"^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?$|^[+-]?[Ii]nf$"
SAMPLE: Final = 256
_DATE: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_TIME: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?$"


def names_ids(name: str) -> bool:
    """Tell whether the values of a column of that name are names, however much they look like numbers.

    Examples
    --------
    >>> [names_ids(name) for name in ("Patient_ID", "patientId", "Slide", "case ID", "grid", "age")]
    [True, True, True, True, False, False]
    """
    return _ID.search(name) is not None or name.strip().casefold() in _IDS


def typed(table: "pa.Table", *, texts: Collection[str] = ()) -> "pa.Table":
    """Return a table with numbers, dates and truth values as such, as far as each gives its text back.

    Parameters
    ----------
    table
        Columns of texts; others are kept as they are, but for ids, which become texts.
    texts
        Columns that stay texts, besides those that name something.

    Examples
    --------
    >>> import pyarrow as pa
    >>> table = pa.table({"slide": ["7", "8"], "code": ["007", "8"], "age": ["61", None], "size": ["1.5", "2"]})
    >>> typed(table).to_pylist()[0]
    {'slide': '7', 'code': '007', 'age': 61, 'size': 1.5}
    """
    import pyarrow as pa

    columns = [
        as_text(column) if name in texts or names_ids(name) else _typed(column)
        for name, column in zip(table.column_names, table.columns, strict=True)
    ]
    return pa.table(columns, names=table.column_names)


def as_text(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """Return a column as texts: a whole number without a point, also where gaps made it a float.

    Examples
    --------
    >>> import pyarrow as pa
    >>> as_text(pa.chunked_array([[7.0, None]])).to_pylist()
    ['7', None]
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(column.type):
        return column
    if pa.types.is_floating(column.type):
        known = pc.if_else(pc.is_finite(column), column, None)
        if all(value == int(value) for value in known.to_pylist() if value is not None):
            return known.cast(pa.int64()).cast(pa.string())
    return pa.chunked_array([[None if value is None else str(value) for value in column.to_pylist()]], pa.string())


def look_like_numbers(column: "pa.ChunkedArray") -> bool:
    """Tell whether the first values of a column are numbers, as measurements are.

    Examples
    --------
    >>> import pyarrow as pa
    >>> [look_like_numbers(pa.chunked_array([values])) for values in (["1", "2.5", None], ["a", "1"], [1.5])]
    [True, False, True]
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_string(column.type):
        return bool(pa.types.is_integer(column.type) or pa.types.is_floating(column.type))
    return bool(pc.all(pc.match_substring_regex(column.drop_null().slice(0, SAMPLE), _NUMBER)).as_py())


def _typed(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """Return a column of texts in the narrowest type that all its values have."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_string(column.type):
        return column
    values = column.drop_null()
    if not len(values):
        return pa.chunked_array([pa.nulls(len(column))])

    def all_are(pattern: str) -> bool:
        some = values.slice(0, SAMPLE)  # what is none is mostly seen here, which saves the rest
        return all(pc.all(pc.match_substring_regex(part, pattern)).as_py() for part in (some, values))

    if pc.any(pc.match_substring_regex(values, _AS_IT_STANDS)).as_py():
        return column
    if all_are(_WHOLE):
        return column.cast(pa.int64())
    if all_are(_NUMBER):
        return column.cast(pa.float64())
    if pc.all(pc.is_in(pc.utf8_lower(values), pa.array(["true", "false"]))).as_py():
        return pc.equal(pc.utf8_lower(column), "true")
    return _dates(column, all_are(_DATE), all_are(_TIME))


def _dates(column: "pa.ChunkedArray", is_date: bool, is_time: bool) -> "pa.ChunkedArray":  # noqa: FBT001
    """Return a column of texts as dates or times, where all of them are in the calendar."""
    import pyarrow as pa

    if not (is_date or is_time):
        return column
    try:
        return column.cast(pa.date32() if is_date else pa.timestamp("us"))
    except pa.ArrowInvalid:
        return column
