"""Labels of tissues: which are kept, what they become, and the number of each class."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pandas as pd

from spora_db.arrays import Float64, Objects
from spora_db.datasets._types import texts
from spora_db.errors import ArgumentError, TableError, unknown
from spora_db.selection import LabelType
from spora_db.selection.arguments import checked_choice

LABEL_TYPES: tuple[LabelType, ...] = get_args(LabelType)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelChoice:
    """What is asked of the labels.

    Attributes
    ----------
    column
        The column of the tissue metadata that holds them.
    keep
        The values to keep, as the table holds them; None for all.
    kind
        ``"classification"`` or ``"regression"``.
    """

    column: str
    keep: tuple[Any, ...] | None = None
    kind: LabelType = "classification"


def label_choice(label: str | None, keep: Iterable[Any] | None, label_type: str) -> LabelChoice | None:
    """Check the label arguments of a dataset; None where no label is asked for.

    Raises
    ------
    ArgumentError, UnknownNameError
        For a label type that does not exist, a text in place of a list, or choices without a label.
    """
    kind = checked_choice(label_type, options=LABEL_TYPES, kind="label_type")
    if label is None:
        if keep is not None:
            message = "labels_to_keep needs label=, the column that holds the labels."
            raise ArgumentError(message)
        return None
    if isinstance(keep, str):
        message = f"labels_to_keep={keep!r}: expected a list, such as [{keep!r}]."
        raise ArgumentError(message)
    return LabelChoice(column=label, keep=None if keep is None else tuple(keep), kind=kind)


def apply_labels(
    tissues: pd.DataFrame, choice: LabelChoice, modify: Callable[[Any], Any] | None, *, where: str
) -> tuple[pd.DataFrame, Objects | None]:
    """Keep the tissues with a wanted label, and find the classes, of the whole cohort whatever the split.

    Returns
    -------
    rows
        Those that have a wanted label, with that column modified.
    classes
        object array of shape (classes,): the labels in ascending order; None for regression.

    Raises
    ------
    UnknownNameError
        If there is no such column, or a label to keep does not occur in it.
    TableError
        If a label is a list or a struct, or one for regression is not a number.
    """
    if choice.column not in tissues.columns:
        raise unknown("label column", choice.column, tissues.columns, where=where)
    column = tissues[choice.column]
    nested = next((value for value in column if isinstance(value, list | dict | np.ndarray)), None)
    if nested is not None:
        message = (
            f"Label column {choice.column!r} of {where} holds {nested!r}; a label is a text, a number or a truth value."
        )
        raise TableError(message)
    wanted = column.notna()
    if choice.keep is not None:
        known = column.dropna().unique().tolist()
        for label in choice.keep:
            if label not in known:
                raise unknown("label", label, known, where=f"column {choice.column!r} of {where}")
        wanted &= column.isin(choice.keep)
    kept = tissues[wanted].copy()
    values = [_plain(value) for value in kept[choice.column].tolist()]
    if modify is not None:
        values = [modify(value) for value in values]
    if choice.kind == "regression":
        kept[choice.column] = _numbers(values, choice.column, where)
        return kept, None
    kept[choice.column] = pd.Series(values, index=kept.index, dtype=None if values else object)
    return kept, texts(sorted(dict.fromkeys(values), key=lambda value: (type(value).__name__, value)))


def _plain(value: Any) -> Any:  # noqa: ANN401 - labels are of any type
    return value.item() if isinstance(value, np.generic) else value


def _float(value: Any) -> float:  # noqa: ANN401 - labels are of any type
    if isinstance(value, str) and "_" in value:  # Python would read '1_1' as 11
        message = f"could not convert string to float: {value!r}"
        raise ValueError(message)
    return float(value)


def _numbers(values: Sequence[Any], column: str, where: str) -> Float64:
    try:
        return np.array([_float(value) for value in values], np.float64)
    except (TypeError, ValueError) as error:
        message = (
            f"Label {column!r} of {where} is not numeric ({error}); use label_type='classification', or a "
            "label_modifying_fn that returns numbers."
        )
        raise TableError(message) from error
