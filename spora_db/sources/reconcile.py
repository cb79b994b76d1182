"""One column, many cohorts, many types: the type that holds them all.

It is that of DuckDB's own ``union_by_name`` but where that one drops digits or fails: whole numbers widen at once to
64 bits, and with them FLOAT to DOUBLE; times with nanoseconds keep them; what has no common type becomes text.
"""

from collections.abc import Iterable

from spora_db.sources.duckdb_types import NULL, digits, parts, struct
from spora_db.sqltext.names import fold

_SIGNED = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT"}
_UNSIGNED = {"UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}
WHOLE_NUMBERS = _SIGNED | _UNSIGNED
FLOATS = {"FLOAT", "DOUBLE"}
_IN_FLOAT = {"TINYINT", "SMALLINT", "UTINYINT", "USMALLINT", "FLOAT"}
_IN_DOUBLE = WHOLE_NUMBERS - {"BIGINT", "UBIGINT"}
_LONGEST = {
    "TINYINT": 3, "SMALLINT": 5, "INTEGER": 10, "BIGINT": 19,
    "UTINYINT": 3, "USMALLINT": 5, "UINTEGER": 10, "UBIGINT": 20,
}  # fmt: skip
_MOST_DIGITS = 38
TIMES = {"DATE", "TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMPTZ", "TIMESTAMPTZ_NS"}
TEXT = "VARCHAR"


def common_type(types: Iterable[str], *, exact: bool = False) -> str:
    """Return the one type for a column that has these types in its files.

    Equal types stay; NULL gives way to any; lists, maps and structs join part by part, structs with the fields of all;
    integers widen to BIGINT, or to HUGEINT where unsigned ones of 64 bits meet signed ones; integers and floats become
    DOUBLE; decimals, and integers with them, a DECIMAL that holds both; a date or time is taken for the more precise
    of two; everything else becomes VARCHAR.

    Parameters
    ----------
    types
        Names, as `duckdb_type` gives them.
    exact
        Whether numbers that floats do not hold (whole ones beyond 2^53, long decimals) occur: with floats they become
        VARCHAR then.

    Examples
    --------
    >>> common_type(["NULL", "INTEGER"]), common_type(["INTEGER", "FLOAT"]), common_type(["DOUBLE", "VARCHAR"])
    ('INTEGER', 'DOUBLE', 'VARCHAR')
    >>> common_type(["DATE", "TIMESTAMP"]), common_type(["BIGINT", "DECIMAL(5, 2)"]), common_type(["NULL[]", "DATE[]"])
    ('TIMESTAMP', 'DECIMAL(21, 2)', 'DATE[]')
    >>> common_type(['STRUCT("a" BIGINT)', 'STRUCT("b" DATE, "A" DOUBLE)'])
    'STRUCT("a" DOUBLE, "b" DATE)'
    >>> common_type(["BIGINT", "DOUBLE"], exact=True)
    'VARCHAR'
    """
    found = dict.fromkeys(kind for kind in types if kind != NULL)
    if not found:
        return TEXT  # nulls everywhere: text is what most columns hold, and a typed column can be compared
    inner = [taken for kind in found if (taken := parts(kind)) is not None]
    if inner:
        shapes = {shape for shape, _ in inner}
        if len(inner) < len(found) or len(shapes) > 1:
            return TEXT
        return _common_nested(shapes.pop(), [fields for _, fields in inner], exact=exact)
    return next(iter(found)) if len(found) == 1 else _common_plain(set(found), exact=exact)


def _common_nested(shape: str, types: list[tuple[tuple[str, str], ...]], *, exact: bool) -> str:
    if shape == "STRUCT":
        spelled = {fold(name): name for fields in reversed(types) for name, _ in reversed(fields)}
        order = dict.fromkeys(fold(name) for fields in types for name, _ in fields)
        listed = {name: [kind for fields in types for other, kind in fields if fold(other) == name] for name in order}
        return struct((spelled[name], common_type(kinds, exact=exact)) for name, kinds in listed.items())
    joined = [common_type((kind for _, kind in place), exact=exact) for place in zip(*types, strict=True)]
    return f"{joined[0]}[]" if shape == "LIST" else f"MAP({', '.join(joined)})"


def _common_plain(found: set[str], *, exact: bool) -> str:
    if found <= WHOLE_NUMBERS:
        return "BIGINT" if "UBIGINT" not in found else "UBIGINT" if found <= _UNSIGNED else "HUGEINT"
    if found <= TIMES:
        nanoseconds = "_NS" if any(kind.endswith("_NS") for kind in found) else ""
        return ("TIMESTAMPTZ" if any("TZ" in kind for kind in found) else "TIMESTAMP") + nanoseconds
    if found == {"TIME", "TIME_NS"}:
        return "TIME_NS"
    decimals = [digits(kind) or (_LONGEST[kind], 0) for kind in found if digits(kind) or kind in WHOLE_NUMBERS]
    if len(decimals) == len(found):
        scale = max(after for _, after in decimals)
        whole = max(total - after for total, after in decimals)
        return f"DECIMAL({whole + scale}, {scale})" if whole + scale <= _MOST_DIGITS else TEXT
    if len(decimals) + len(found & FLOATS) == len(found):
        if exact and not found <= _IN_DOUBLE | FLOATS:
            return TEXT
        return "FLOAT" if found <= _IN_FLOAT else "DOUBLE"
    return TEXT


def becomes_text(types: Iterable[str], common: str) -> bool:
    """Tell whether values of other types are text in the common one, if only somewhere within.

    Examples
    --------
    >>> becomes_text(["BIGINT", "VARCHAR"], "VARCHAR"), becomes_text(["VARCHAR", "NULL"], "VARCHAR")
    (True, False)
    >>> becomes_text(["BIGINT[]", "DATE[]"], "VARCHAR[]"), becomes_text(['STRUCT("a" DATE)'], 'STRUCT("a" DATE)')
    (True, False)
    """
    found = [kind for kind in types if kind != NULL]
    inner = parts(common)
    if inner is None:
        return common == TEXT and any(kind != TEXT for kind in found)
    shape, fields = inner
    places = [_places(shape, taken[1]) for kind in found if (taken := parts(kind)) is not None]
    return any(
        becomes_text((there[place] for there in places if place in there), kind)
        for place, kind in _places(shape, fields).items()
    )


def _places(shape: str, fields: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Return the types within a nested type: by name in a struct, by position elsewhere."""
    return {fold(name) if shape == "STRUCT" else str(at): kind for at, (name, kind) in enumerate(fields)}


def needs_exactness(types: Iterable[str]) -> bool:
    """Tell whether numbers that floats may not hold meet floats among types: ``exact`` decides then.

    Examples
    --------
    >>> needs_exactness(["BIGINT", "DOUBLE"]), needs_exactness(["INTEGER", "DOUBLE"]), needs_exactness(["BIGINT"])
    (True, False, False)
    """
    kinds = list(types)
    return common_type(kinds) != common_type(kinds, exact=True)
