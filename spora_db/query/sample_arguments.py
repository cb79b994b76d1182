"""The arguments of `SporaQuery.sample`, checked before anything is read: a mistake is told where it was made."""

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import TypeGuard

import numpy as np

from spora_db.errors import ArgumentError
from spora_db.selection import Sampling


def checked_sampling(
    n: int | None,
    *,
    fraction: float | None,
    by: str | Sequence[str],
    quota: Mapping[str, int] | None,
    per_tissue: int | None,
    per_patient: int | None,
    weights: str | None,
    seed: int,
) -> Sampling:
    """Return what `SporaQuery.sample` is to draw.

    Parameters
    ----------
    n, fraction, by, quota, per_tissue, per_patient, weights, seed
        As `SporaQuery.sample` takes them.

    Raises
    ------
    ArgumentError
        If an argument is of the wrong form, out of range, or contradicts another one.

    Examples
    --------
    >>> nothing = dict.fromkeys(["n", "fraction", "per_tissue", "per_patient", "weights"])
    >>> checked_sampling(**nothing, by="grade", quota={3: 5}, seed=0).quota
    (('3', 5),)
    """
    columns = _columns(by)
    if sum(choice is not None for choice in (n, fraction, quota)) > 1:
        raise ArgumentError("sample() takes one of n, fraction and quota.")
    if all(choice is None for choice in (n, fraction, quota, per_tissue, per_patient)):
        raise ArgumentError("sample() needs n, fraction, quota, per_tissue or per_patient, such as .sample(10_000).")
    if fraction is not None and not (_is_number(fraction) and 0 < fraction <= 1):
        raise ArgumentError(f"sample(fraction={fraction!r}): expected a share in (0, 1].")
    if weights is not None and not isinstance(weights, str):
        raise ArgumentError(f"sample(weights={weights!r}): expected an SQL expression, such as '1.0 / n_tiles'.")
    if weights is not None and n is None and quota is None and per_tissue is None and per_patient is None:
        raise ArgumentError("sample(weights=) orders the draw of n, quota, per_tissue or per_patient rows; give one.")
    return Sampling(
        n=None if n is None else _rows("n", n),
        fraction=fraction,
        by=columns,
        quota=() if quota is None else _quota(quota, columns),
        per_tissue=None if per_tissue is None else _rows("per_tissue", per_tissue),
        per_patient=None if per_patient is None else _rows("per_patient", per_patient),
        weights=weights,
        seed=checked_seed(seed, verb="sample"),
    )


def checked_seed(seed: object, *, verb: str) -> int:
    """Return a seed, which becomes part of a text that is hashed: 1 and 1.0 would draw different rows.

    Examples
    --------
    >>> checked_seed(3, verb="split")
    3
    """
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        raise ArgumentError(f"{verb}(seed={seed!r}): expected a whole number, such as seed=0.")
    return int(seed)


def _columns(by: object) -> tuple[str, ...]:
    columns = (by,) if isinstance(by, str) else tuple(by) if isinstance(by, Sequence) else None
    if columns is None or not all(isinstance(name, str) for name in columns):
        raise ArgumentError(f"sample(by={by!r}): expected a column or a list of columns, such as by='dataset'.")
    return columns


def _quota(quota: object, by: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    if not isinstance(quota, Mapping) or not quota:
        raise ArgumentError(
            f"sample(quota={quota!r}): expected the rows to keep of each value, such as {{'LUAD': 500}}."
        )
    if len(by) != 1:
        raise ArgumentError(
            f"sample(quota=) needs the one column that it refers to, such as by='cancer_type'; got {by}."
        )
    pairs = tuple((_text(value, by[0]), _rows(f"quota[{value!r}]", count)) for value, count in quota.items())
    if len(dict(pairs)) < len(pairs):
        raise ArgumentError(f"sample(quota={quota!r}) names a value twice.")
    return pairs


def _text(value: object, column: str) -> str:
    """Return a value as SQL writes it."""
    if value is None:
        raise ArgumentError(
            f"sample(quota={{None: ...}}): rows without {column} have no value to go by. Draw them by themselves, with "
            f'.where("{column} IS NULL").sample(...), and the others with a quota.'
        )
    return str(value).lower() if isinstance(value, bool | np.bool_) else str(value)


def _rows(name: str, value: object) -> int:
    if not _is_number(value) or not math.isfinite(value) or (value >= 1 and value != int(value)):
        raise ArgumentError(f"sample({name}={value!r}): expected a whole number of rows, such as 10_000.")
    if value < 1:
        share = f" For a share of the rows, say fraction={value}." if name == "n" and 0 < value < 1 else ""
        raise ArgumentError(f"sample({name}={value}): expected at least one row.{share}")
    return int(value)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, Real) and not isinstance(value, bool)
