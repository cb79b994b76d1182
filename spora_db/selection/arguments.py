"""Checks of what the verbs of `SporaQuery` are given: a mistake is told where it was made, in the words of the call.

A check returns Python's own values, whatever library the argument came from: a selection is bound to SQL, pickled and
written as JSON. Its `at` is the call up to the argument, such as ``"tiles(size="``, which the error begins with.
"""

import math
import operator
import os
from collections.abc import Callable, Iterable, Mapping, Set
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from spora_db.errors import ArgumentError, unknown
from spora_db.layout import parse_mpp
from spora_db.remembered.quarantine import IDENTITY

Choice = TypeVar("Choice", bound=str)


def wrong(value: object, *, at: str, expected: str) -> ArgumentError:
    """Build the error for an argument of the wrong form.

    Examples
    --------
    >>> print(wrong(0, at="tiles(size=", expected="a whole number"))
    tiles(size=0): expected a whole number.
    """
    shown = " ".join(repr(value).split())
    return ArgumentError(f"{at}{shown[:120] + '...' * (len(shown) > 120)}): expected {expected}.")


def own_number(value: object) -> int | float | None:
    """Return a number of Python, numpy, `decimal` or `fractions` as int or float; None for all else, and for NaN.

    Examples
    --------
    >>> own_number(np.int64(3)), own_number(np.float32(0.1)), own_number(Decimal("0.5")), own_number("3")
    (3, 0.1, 0.5, None)
    """
    if isinstance(value, np.floating):
        value = float(str(value))  # through text: numpy.float32(0.1) means 0.1, not 0.10000000149
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        return None
    if isinstance(value, Integral):
        return int(value)
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def own_text(value: object) -> str | None:
    """Return a text as a plain one, also where it is numpy's or an Enum's member; None for all else."""
    return str.__str__(value) if isinstance(value, str) else None


def index_number(index: object) -> int | None:
    """Return a whole number of Python, numpy or torch as an int; None of all else, a bool and an array of one too.

    Examples
    --------
    >>> index_number(np.uint8(7)), index_number(True), index_number(np.array([7])), index_number(7.0)
    (7, None, None, None)
    """
    if getattr(index, "ndim", 0) or "bool" in str(getattr(index, "dtype", type(index).__name__)):
        return None
    try:
        return operator.index(index)  # type: ignore[arg-type]
    except TypeError:
        return None


def row_of(index: object, count: int, *, otherwise: Callable[[], ArgumentError]) -> int:
    """Return the number of one of `count` rows, negative ones counted from the end; what is no number is that error.

    Examples
    --------
    >>> row_of(-1, 5, otherwise=lambda: wrong(-1, at="dataset[", expected="a row"))
    4
    """
    number = index_number(index)
    if number is None:
        raise otherwise()
    if not -count <= number < count:
        raise IndexError(f"position {number} is out of range for {count} rows")
    return number % count


def checked_whole(value: object, *, at: str, of: str, least: int = 1) -> int:
    """Return a whole number, `of` what: pixels, rows; one above zero, unless `least` is another, and of 64 bits.

    Examples
    --------
    >>> checked_whole(1e4, at="sample(n=", of="rows")
    10000
    """
    number = own_number(value)
    if number is None or not least <= number < 2**63 or number != int(number):
        limit = f"at least {least}" if number is None or number < 2**63 else "below 2**63"
        raise wrong(value, at=at, expected=f"a whole number of {of}, {limit}")
    return int(number)


def checked_bytes(value: object, *, at: str) -> int:
    """Return a number of bytes, 0 or more."""
    return checked_whole(value, at=at, of="bytes", least=0)


def checked_seed(value: object, *, at: str) -> int:
    """Return a seed, which becomes part of a text that is hashed: 1 and 1.0 would draw different rows.

    Examples
    --------
    >>> checked_seed(3, at="split(seed=")
    3
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise wrong(value, at=at, expected="a whole number, such as seed=0")
    return int(value)


def checked_mpp(value: object) -> float | None:
    """Return a resolution in microns per pixel, None where it is left open."""
    number = own_number(value)
    given: Any = value if number is None else number
    return None if given is None else parse_mpp(given)


def checked_shares(value: object, *, at: str) -> tuple[tuple[str, float], ...]:
    """Return names and their shares, which are above 0 and add up to 1.

    Examples
    --------
    >>> checked_shares({"train": Decimal("0.8"), "test": 0.2}, at="split(fractions=")
    (('train', 0.8), ('test', 0.2))
    """
    items = tuple(value.items()) if isinstance(value, Mapping) else ()
    pairs = ((own_text(name), own_number(share)) for name, share in items)
    shares = tuple((name, float(share)) for name, share in pairs if name is not None and share and share > 0)
    if len(shares) < len(items) or abs(sum(share for _, share in shares) - 1) > 1e-9:
        expected = "names (texts) with shares above 0 that add up to 1, such as {'train': 0.8, 'test': 0.2}"
        raise wrong(value, at=at, expected=expected)
    return shares


def checked_text(value: object, *, at: str, example: str) -> str:
    """Return a plain text."""
    text = own_text(value)
    if text is None:
        raise wrong(value, at=at, expected=f"a text, such as {example!r}")
    return text


def checked_names(value: object, *, at: str, example: tuple[str, ...], alone: bool = False) -> tuple[str, ...]:
    """Return the names of a list; with `alone`, a name by itself is a list of one.

    Examples
    --------
    >>> checked_names(["row", "col"], at="select(", example=("age",))
    ('row', 'col')
    >>> checked_names("row", at="audit(columns=", example=("age", "split"), alone=True)
    ('row',)
    """
    text = own_text(value)
    if text is not None and alone:
        return (text,)
    items = tuple(value) if isinstance(value, Iterable) and text is None else (None,)
    names = tuple(name for name in map(own_text, items) if name is not None)
    if len(names) < len(items):
        several = f"a list of names, such as {list(example) if text is None else [text]}"
        raise wrong(value, at=at, expected=f"a name, such as {example[0]!r}, or {several}" if alone else several)
    return tuple(sorted(names)) if isinstance(value, Set) else names  # a set has another order in every process


def checked_each(values: Iterable[object], *, verb: str, example: tuple[str, ...]) -> tuple[str, ...]:
    """Return names that are given one by one; a list of them is refused."""
    names = []
    for value in values:
        name = own_text(value)
        if name is None:
            listed = ", ".join(map(repr, example))
            raise wrong(value, at=f"{verb}(", expected=f"names one by one, such as .{verb}({listed})")
        names.append(name)
    return tuple(names)


def checked_flag(value: object, *, at: str) -> bool:
    """Return True or False; no other value stands for one of them."""
    if not isinstance(value, bool | np.bool_):
        raise wrong(value, at=at, expected="True or False")
    return bool(value)


def checked_choice(value: object, *, options: tuple[Choice, ...], kind: str) -> Choice:
    """Return the one of some texts that was chosen."""
    for option in options:
        if own_text(value) == option:
            return option
    raise unknown(kind, value, options)


def check_path(value: object, *, at: str, example: str) -> None:
    """Refuse what is no path."""
    if not isinstance(value, str | os.PathLike):
        raise wrong(value, at=at, expected=f"a path, such as {example!r}")


def checked_table(table: Any, *, at: str, expected: str) -> pa.Table:  # noqa: ANN401 - tables of any library
    """Return a pyarrow, pandas or polars table, or a catalog's result, as Arrow, with each identity column once."""
    from spora_db.sources.given_tables import as_arrow  # loads sqlglot, which no worker needs

    found = as_arrow(table, at=at, expected=expected)
    for name in IDENTITY:
        if (times := found.column_names.count(name)) > 1:
            raise ArgumentError(
                f"{at}...): the table has {times} columns {name}; expected one. Drop or rename the others."
            )
    return found
