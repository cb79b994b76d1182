"""Label encoders: which class the numbers of a cell task's masks stand for."""

from collections import Counter
from collections.abc import Iterator, Sequence

from spora_db.errors import counted
from spora_db.files.whole_numbers import MOST, whole_number
from spora_db.sqltext.names import positions


def encoder_columns(columns: Sequence[str]) -> tuple[int, int] | None:
    """Return where names and ids stand among the columns of an encoder; None where one is absent or there twice.

    Examples
    --------
    >>> encoder_columns(["ID", "Name"]), encoder_columns(["id", "id", "name"])
    ((1, 0), None)
    """
    names, ids = positions("name", columns), positions("id", columns)
    return (names[0], ids[0]) if len(names) == len(ids) == 1 else None


def class_names(names: Sequence[object], ids: Sequence[object]) -> dict[int, str]:
    """Return the classes, id to name, of an encoder without `encoder_faults`.

    Examples
    --------
    >>> class_names(["T cell", "B cell"], [1, 2.0])
    {1: 'T cell', 2: 'B cell'}
    """
    return {number: str(name) for name, number in zip(names, class_ids(ids), strict=True) if number is not None}


def class_ids(ids: Sequence[object]) -> list[int | None]:
    """Return the ids as whole numbers from 0; None for what is none."""
    return [whole_number(value) for value in ids]


def encoder_faults(names: Sequence[object], ids: Sequence[object]) -> Iterator[str]:
    """Yield what is wrong with the columns of a label encoder, as sentences.

    Examples
    --------
    >>> list(encoder_faults(["T cell", None], [1, 1.5]))
    ['1 row has no name.', 'An id is a whole number in digits, from 0 to 9223372036854775807; found 1.5.']
    """
    absent = sum(_is_nothing(name) for name in names)
    if absent:
        yield f"{counted(absent, 'row')} {'has' if absent == 1 else 'have'} no name."
    odd = [name for name in names if not _is_nothing(name) and not isinstance(name, str | int | float)]
    if odd:
        yield f"A name is a text; found {odd[0]!r}."
    absent = sum(value is None or value != value for value in ids)  # NaN differs from itself
    if absent:
        yield f"{counted(absent, 'row')} {'has' if absent == 1 else 'have'} no id."
    numbers = class_ids(ids)
    wrong = [value for value, number in zip(ids, numbers, strict=True) if number is None and value is not None]
    wrong = [value for value in wrong if value == value]
    if wrong:
        what = (
            "An id is 0 or more"
            if whole_number(wrong[0], least=-MOST) is not None
            else (f"An id is a whole number in digits, from 0 to {MOST}")
        )
        yield f"{what}; found {wrong[0]!r}."
    texts = [str(name) for name in names if not _is_nothing(name)]
    for what, values in (("a name", texts), ("an id", [number for number in numbers if number is not None])):
        repeated = sorted(str(value) for value, times in Counter(values).items() if times > 1)
        if repeated:
            yield f"It repeats {what}: these stand more than once as {what.split()[1]}: {', '.join(repeated[:10])}."


def _is_nothing(name: object) -> bool:
    """Tell whether a name is null, NaN, or without a letter."""
    return name is None or name != name or (isinstance(name, str) and not name.strip())
