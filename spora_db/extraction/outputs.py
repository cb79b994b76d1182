"""What a model returns, as the columns of a feature set: one row per row of the batch, or a clear error."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch

from spora_db.arrays import AnyArray
from spora_db.errors import ArgumentError, counted, unknown
from spora_db.feature_sets import FeatureColumn, Grain, key_columns
from spora_db.feature_sets.description import FeatureType
from spora_db.layout import check_name
from spora_db.sqltext.names import fold

VECTOR, SCALAR = "vector", "value"
"""What the columns of a model are called that names none."""
EXPECTED = (
    "expected a tensor of shape (N, D), one vector a row, or (N,), one number a row, or a dict of such tensors by name"
)


@dataclass(slots=True, kw_only=True)
class Outputs:
    """Checks what a model returns, batch after batch, and makes columns of it.

    Attributes
    ----------
    dtype
        The type of vectors; single numbers, such as predictions and classes, are float32.
    grain
        What a row is of; its key's columns are no names of outputs.
    allow_nan
        Whether values may be NaN or infinite.
    columns
        The columns, once a first batch or an earlier run has told; later batches have the same, or are refused.
    """

    dtype: FeatureType
    grain: Grain
    allow_nan: bool = False
    columns: tuple[FeatureColumn, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse another type."""
        if self.dtype not in get_args(FeatureType):
            raise unknown("dtype of features", self.dtype, get_args(FeatureType))

    def checked(self, returned: object, *, rows: int, where: str) -> dict[str, AnyArray]:
        """Return the columns of a batch, by name: arrays of shape (rows, D) or (rows,).

        Parameters
        ----------
        returned
            What the model returned.
        rows
            How many rows it was given.
        where
            Which rows these were, for errors.

        Raises
        ------
        ArgumentError
            If it is none of what is expected, of another number of rows, has NaN, or other columns than before.
        """
        named = self._named(returned, where=where)
        arrays = {name: self._array(name, value, rows=rows, where=where) for name, value in named.items()}
        columns = tuple(_column(name, array) for name, array in arrays.items())
        if self.columns is None:
            self.columns = columns
        elif columns != self.columns:
            raise ArgumentError(
                f"The model returned {in_words(columns)} for {where}, and {in_words(self.columns)} for the rows "
                "before. A feature set has the same columns for every row: have the model return one kind of output."
            )
        return arrays

    def _named(self, returned: object, *, where: str) -> dict[str, object]:
        """Return outputs by name, in the model's order, checked as names of columns."""
        if isinstance(returned, torch.Tensor | np.ndarray):
            return {SCALAR if returned.ndim == 1 else VECTOR: returned}
        if not isinstance(returned, Mapping) or not returned:
            raise ArgumentError(f"The model returned {_shown(returned)} for {where}; {EXPECTED}.")
        keys, seen = ("dataset", "modality", *key_columns(self.grain)), dict[str, str]()
        for name in returned:
            if not isinstance(name, str):
                raise ArgumentError(f"The model returned a dict with the key {name!r} for {where}; expected texts.")
            check_name(name, kind="name of a feature column")
            if fold(name) in keys:
                raise ArgumentError(
                    f"The model returned an output called {name!r}, as a column of the rows is called: rename it. "
                    f"Taken are {', '.join(keys)}."
                )
            if fold(name) in seen:
                raise ArgumentError(
                    f"The model returned outputs {seen[fold(name)]!r} and {name!r}, which SQL takes for one: rename it."
                )
            seen[fold(name)] = name
        return dict(returned)

    def _array(self, name: str, value: object, *, rows: int, where: str) -> AnyArray:
        """Return one output as an array that a column holds."""
        found = _numbers(name, value, where=where)
        if found.ndim not in (1, 2) or 0 in found.shape[1:]:
            raise ArgumentError(
                f"The model returned {name!r} of shape {found.shape} for {where}; {EXPECTED}. "
                "Flatten it, or take its mean over what else it has."
            )
        if len(found) != rows:
            raise ArgumentError(
                f"The model returned {counted(len(found), 'row')} in {name!r} for {where}, a batch of "
                f"{rows:,}; {EXPECTED}."
            )
        wanted = np.dtype(self.dtype if found.ndim == 2 else np.float32)
        if not self.allow_nan and not np.isfinite(found).all():
            bad = int((~np.isfinite(found)).reshape(rows, -1).any(axis=1).sum())
            raise ArgumentError(
                f"The model returned NaN or infinite numbers in {name!r} for {bad} of the rows of {where}. Mend the "
                "model, or keep them with allow_nan=True (--allow-nan)."
            )
        with np.errstate(over="ignore"):  # told below, with what to do
            cast = np.array(found, wanted, order="C")  # a copy: a model may return one buffer again and again
        if found.dtype.kind in "iu" and (cast != found).any():
            raise ArgumentError(
                f"The model returned whole numbers in {name!r} for {where} that {wanted} does not hold exactly; return "
                "them in several outputs, or as floating-point numbers."
            )
        if found.dtype.kind == "f" and (np.isinf(cast) & np.isfinite(found)).any():
            largest = float(np.abs(found[np.isfinite(found)]).max())
            remedy = "Ask for dtype='float32', or scale them" if wanted.itemsize == 2 else "Scale them"
            raise ArgumentError(
                f"The model returned numbers up to {largest:g} in {name!r} for {where}, beyond {wanted} "
                f"(up to {np.finfo(wanted).max:g}). {remedy}."
            )
        return cast


def in_words(columns: tuple[FeatureColumn, ...]) -> str:
    """Return columns in words.

    Examples
    --------
    >>> in_words((FeatureColumn(name="vector", dtype="float16", dimension=384),))
    'vector (float16, 384)'
    """
    return ", ".join(
        f"{column.name} ({column.dtype}{'' if column.dimension is None else f', {column.dimension}'})"
        for column in columns
    )


def _numbers(name: str, value: object, *, where: str) -> AnyArray:
    """Return an output as an array of real numbers, on the CPU."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        if value.dtype in (torch.bfloat16, torch.float16):
            value = value.float()
        if value.layout == torch.strided and not value.is_complex() and not value.is_quantized:
            return value.numpy()
    elif isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        return value
    raise ArgumentError(f"The model returned {name!r} as {_shown(value)} for {where}; {EXPECTED}.")


def _shown(value: object) -> str:
    if isinstance(value, torch.Tensor | np.ndarray):
        return f"a {type(value).__name__} of {value.dtype}"
    return f"{type(value).__name__}"


def _column(name: str, array: AnyArray) -> FeatureColumn:
    dtype: FeatureType = "float16" if array.dtype == np.float16 else "float32"
    return FeatureColumn(name=name, dtype=dtype, dimension=array.shape[1] if array.ndim == 2 else None)
