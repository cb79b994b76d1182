"""Frozen dataclasses as JSON and back, whole: the types of the fields say how each value is read again."""

import base64
import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import pyarrow as pa

from spora_db.errors import FileFormatError

T = TypeVar("T")


def to_json(value: Any) -> Any:  # noqa: ANN401 - any value of a field
    """Return what stands for a value in JSON: dataclasses as objects, tuples as lists, Arrow tables as base64 text.

    Examples
    --------
    >>> from spora_db.selection import SplitChoice
    >>> to_json(SplitChoice(by="patient", fractions=(("train", 0.8), ("test", 0.2))))
    {'by': 'patient', 'fractions': [['train', 0.8], ['test', 0.2]], 'seed': 0, 'replace': False}
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, pa.Table):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, value.schema) as writer:
            writer.write_table(value)
        return {"arrow": base64.b64encode(sink.getvalue()).decode("ascii")}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    return value


def from_json(kind: type[T], value: object, *, where: str) -> T:
    """Return the dataclass that `to_json` wrote; fields that are absent take their defaults.

    Parameters
    ----------
    kind
        The dataclass.
    value
        What JSON gave.
    where
        The file, for errors.

    Raises
    ------
    FileFormatError
        If the value does not fit the fields, or has fields that this version does not know.

    Examples
    --------
    >>> from spora_db.selection import SplitChoice
    >>> from_json(SplitChoice, {"by": "patient", "fractions": [["train", 1]]}, where="cohort.lock.json")
    SplitChoice(by='patient', fractions=(('train', 1),))
    """
    read: T = _read(kind, value, where)
    return read


def _read(kind: Any, value: Any, where: str) -> Any:  # noqa: ANN401 - any value of a field
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in (Any, object):
        return value
    if origin is Literal:
        if value in arguments:
            return value
        raise _misfit(value, f"one of {', '.join(map(repr, arguments))}", where)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _read_choice([item for item in arguments if item is not type(None)], value, where)
    if origin is tuple and isinstance(value, list):
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_read(arguments[0], item, where) for item in value)
        if len(arguments) == len(value):
            return tuple(_read(item, part, where) for item, part in zip(arguments, value, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, dict):
        return {_read(arguments[0], key, where): _read(arguments[1], item, where) for key, item in value.items()}
    if kind is pa.Table and isinstance(value, dict):
        return _read_table(value, where)
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return _read_fields(kind, value, where)
    if kind is float and type(value) is int:  # as Python's types have it; 5 and 5.0 stay what they are
        return value
    if kind in (str, int, float, bool) and type(value) is kind:
        return value
    raise _misfit(value, getattr(kind, "__name__", str(kind)), where)


def _read_choice(kinds: list[Any], value: Any, where: str) -> Any:  # noqa: ANN401 - any value of a field
    for kind in kinds:
        if type(value) is kind:
            return value
    for kind in kinds[:-1]:
        try:
            return _read(kind, value, where)
        except FileFormatError:
            continue
    return _read(kinds[-1], value, where)


def _read_fields(kind: Any, value: dict[str, Any], where: str) -> Any:  # noqa: ANN401 - any dataclass
    hints = get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    if unknown := sorted(set(value) - set(fields)):
        raise FileFormatError(
            f"{where}: {kind.__name__} has no {', '.join(unknown)}. Was it written by a newer version of spora-db?"
        )
    if absent := [
        name
        for name, field in fields.items()
        if name not in value and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]:
        raise FileFormatError(f"{where}: {', '.join(absent)} of {kind.__name__} is missing.")
    return kind(**{name: _read(hints[name], item, where) for name, item in value.items()})


def _read_table(value: dict[str, Any], where: str) -> pa.Table:
    text = value.get("arrow")
    if not isinstance(text, str):
        raise _misfit(value, "a table of rows as {'arrow': text}", where)
    try:
        with pa.ipc.open_stream(base64.b64decode(text, validate=True)) as reader:
            return reader.read_all()
    except (ValueError, OSError, pa.ArrowException) as error:
        raise FileFormatError(f"{where}: a table of rows cannot be read: {error!r}.") from error


def _misfit(value: object, expected: str, where: str) -> FileFormatError:
    text = repr(value)
    return FileFormatError(f"{where}: expected {expected}, got {text[:80] + '...' * (len(text) > 80)}.")
