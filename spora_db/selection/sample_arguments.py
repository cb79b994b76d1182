"""The arguments of `SporaQuery.sample`, checked before anything is read: a mistake is told where it was made."""

from collections.abc import Mapping, Sequence

import numpy as np

from spora_db.errors import ArgumentError
from spora_db.selection import Sampling
from spora_db.selection.arguments import checked_names, checked_seed, checked_text, checked_whole, own_number, wrong


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
    columns = checked_names(by, at="sample(by=", example=("dataset", "cancer_type"), alone=True)
    if sum(choice is not None for choice in (n, fraction, quota)) > 1:
        raise ArgumentError("sample() takes one of n, fraction and quota.")
    if all(choice is None for choice in (n, fraction, quota, per_tissue, per_patient)):
        raise ArgumentError("sample() needs n, fraction, quota, per_tissue or per_patient, such as .sample(10_000).")
    if weights is not None and n is None and quota is None and per_tissue is None and per_patient is None:
        raise ArgumentError("sample(weights=) orders the draw of n, quota, per_tissue or per_patient rows; give one.")
    return Sampling(
        n=None if n is None else _rows("n", n),
        fraction=None if fraction is None else _share(fraction),
        by=columns,
        quota=() if quota is None else _quota(quota, columns),
        per_tissue=None if per_tissue is None else _rows("per_tissue", per_tissue),
        per_patient=None if per_patient is None else _rows("per_patient", per_patient),
        weights=None if weights is None else checked_text(weights, at="sample(weights=", example="1.0 / n_tiles"),
        seed=checked_seed(seed, at="sample(seed="),
    )


def _quota(quota: object, by: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    if not isinstance(quota, Mapping) or not quota:
        raise wrong(quota, at="sample(quota=", expected="the rows to keep of each value, such as {'LUAD': 500}")
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


def _rows(argument: str, value: object) -> int:
    share = own_number(value)
    if argument == "n" and share is not None and 0 < share < 1:
        raise ArgumentError(f"sample(n={value}): expected rows, at least 1. For a share of them, say fraction={value}.")
    return checked_whole(value, at=f"sample({argument}=", of="rows")


def _share(value: object) -> float:
    share = own_number(value)
    if share is None or not 0 < share <= 1:
        raise wrong(value, at="sample(fraction=", expected="a share in (0, 1], such as 0.5")
    return float(share)
