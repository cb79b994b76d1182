"""The arguments of `SporaQuery.label`, checked before anything is read: a mistake is told where it was made."""

from collections.abc import Iterable, Sequence, Set
from typing import get_args

import numpy as np

from spora_db.errors import ArgumentError, unknown
from spora_db.selection import ClassName, Label, LabelType, MissingLabel
from spora_db.selection.arguments import checked_choice, checked_each, checked_text, own_number, own_text, wrong
from spora_db.selection.label import SAMPLE_FIELDS


def checked_labels(
    columns: tuple[str, ...],
    *,
    classes: Sequence[ClassName] | None,
    missing: MissingLabel,
    label_type: LabelType | None,
    name: str | None,
) -> tuple[Label, ...]:
    """Return the labels that `SporaQuery.label` is to add.

    Parameters
    ----------
    columns, classes, missing, label_type, name
        As `SporaQuery.label` takes them.

    Raises
    ------
    ArgumentError, UnknownNameError
        If an argument is of the wrong form, contradicts another one, or a name is one that samples have already.

    Examples
    --------
    >>> checked_labels(("grade",), classes=(1, 2.0), missing=-1, label_type=None, name=None)
    (Label(column='grade', classes=(1, 2), missing=-1),)
    """
    names = checked_each(columns, verb="label", example=("cancer_type", "age"))
    if not names:
        raise ArgumentError("label() needs at least one column, such as .label('cancer_type').")
    for argument, value in (("classes", classes), ("name", name)):
        if value is not None and len(names) > 1:
            raise ArgumentError(f"label({argument}=) is of one column; got {', '.join(names)}. Call label() for each.")
    if label_type is not None:
        label_type = checked_choice(label_type, options=get_args(LabelType), kind="label_type")
    if classes is not None and label_type == "regression":
        raise ArgumentError("label(classes=, label_type='regression'): numbers have no classes. Leave one of them out.")
    if name is not None and not checked_text(name, at="label(name=", example="label"):
        raise wrong(name, at="label(name=", expected="a name, such as 'label'")
    found = tuple(
        Label(
            column=column,
            name=own_text(name),
            label_type=label_type,
            classes=None if classes is None else _classes(classes),
            missing=_missing(missing),
        )
        for column in names
    )
    for label in found:
        if label.key in SAMPLE_FIELDS:
            raise ArgumentError(
                f"label({label.key!r}): samples have a field {label.key!r} of their own. Give the label another name: "
                f"label({label.column!r}, name='{label.column}_label')."
            )
    return found


def added(labels: tuple[Label, ...], further: tuple[Label, ...]) -> tuple[Label, ...]:
    """Return labels with further ones, which replace those of the same name and column.

    Raises
    ------
    ArgumentError
        If a name is that of another column's label.

    Examples
    --------
    >>> added((Label(column="age"), Label(column="grade")), (Label(column="age", missing="drop"),))
    (Label(column='age', missing='drop'), Label(column='grade'))
    """
    found = {label.key: label for label in labels}
    for label in further:
        if label.column != found.setdefault(label.key, label).column:
            other = found[label.key].column
            raise ArgumentError(
                f"label({label.column!r}): {label.key!r} is the label of column {other!r}. Choose another name."
            )
        found[label.key] = label
    return tuple(found.values())


def _missing(value: object) -> MissingLabel:
    if own_number(value) == -1:
        return -1
    options: tuple[MissingLabel, ...] = get_args(MissingLabel)
    for option in options:
        if own_text(value) == option:
            return option
    raise unknown("choice of missing=", value, options)


def _classes(given: object) -> tuple[ClassName, ...]:
    """Return classes as plain values of one kind: texts, truth values or whole numbers, each once."""
    items = tuple(given) if isinstance(given, Iterable) and own_text(given) is None else ()
    classes = tuple(name for name in map(_class, items) if name is not None)
    if not classes or len(classes) < len(items) or len(set(map(type, classes))) > 1:
        expected = "different texts, whole numbers or truth values, such as ['LUAD', 'LUSC']"
        raise wrong(given, at="label(classes=", expected=expected)
    if len(set(classes)) < len(classes):
        raise ArgumentError(f"label(classes={list(classes)}) names a class twice.")
    return tuple(sorted(classes)) if isinstance(given, Set) else classes


def _class(value: object) -> ClassName | None:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    number = own_number(value)
    if number is None:
        return own_text(value)
    return int(number) if number == int(number) and abs(number) < 2**63 else None
