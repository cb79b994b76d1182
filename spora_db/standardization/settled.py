"""What is settled once an object is made: assigning it is an error that names the remedy, never ignored."""

from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn

import numpy as np

from spora_db.errors import ReadOnlyError

_LIST_CHANGES = (
    "__setitem__", "__delitem__", "__iadd__", "__imul__", "append", "clear", "extend", "insert", "pop", "remove",
    "reverse", "sort",
)  # fmt: skip
_DICT_CHANGES = ("__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault", "update")


class Settled:
    """Base of classes some of whose attributes say how an object was made and what was read for it.

    A class lists these in `_settled`, each with what to do instead of assigning it, and calls `_settle` at the end of
    its constructor. Every other attribute is read each time it is needed, so that assigning it has its effect.

    Examples
    --------
    >>> class Tiling(Settled):
    ...     _settled = {"stride": "Make another Tiling."}
    ...     def __init__(self, stride):
    ...         self.stride = stride
    ...         self._settle()
    >>> Tiling(3).stride
    3
    >>> Tiling(3).stride = 4
    Traceback (most recent call last):
    spora_db.errors.ReadOnlyError: 'stride' of a Tiling cannot be changed once it is made. Make another Tiling.
    """

    _settled: ClassVar[Mapping[str, str]] = {}
    _is_settled: bool = False

    def __setattr__(self, name: str, value: object) -> None:
        """Assign an attribute that is read again, refuse one that is not."""
        if self._is_settled and name in self._settled:
            raise self._refusal(name)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        """Refuse to remove what an object needs."""
        if self._is_settled and not name.startswith("_") and name in {*self._settled, *vars(self)}:
            raise self._refusal(name)
        super().__delattr__(name)

    def _refusal(self, name: str) -> ReadOnlyError:
        remedy = self._settled.get(name, "Assign another value instead of deleting it.")
        return ReadOnlyError(f"{name!r} of a {type(self).__name__} cannot be changed once it is made. {remedy}")

    def _settle(self) -> None:
        self.__dict__["_is_settled"] = True


def _refuse(self: Any, *_: object, **__: object) -> NoReturn:  # noqa: ANN401
    message = f"This {type(self).__mro__[1].__name__} says how something was made; changing it would have no effect. "
    raise ReadOnlyError(message + "Make the object anew with other arguments, or change a copy of it.")


class FixedList(list[Any]):
    """A list that equals any other, but refuses changes that nobody would see.

    Examples
    --------
    >>> FixedList(["imc"]) == ["imc"]
    True
    >>> FixedList(["imc"]).append("he")
    Traceback (most recent call last):
    spora_db.errors.ReadOnlyError: This list says how something was made; ... Make the object anew ...
    """

    def __reduce__(self) -> tuple[Any, ...]:
        """Hand the items over, also to a copy."""
        return type(self), (list(self),)


class FixedDict(dict[Any, Any]):
    """A dict that equals any other, but refuses changes that nobody would see; values may have their own life.

    Examples
    --------
    >>> FixedDict(imc={})["he"] = {}
    Traceback (most recent call last):
    spora_db.errors.ReadOnlyError: This dict says how something was made; ... Make the object anew ...
    """

    def __reduce__(self) -> tuple[Any, ...]:
        """Hand the items over, also to a copy."""
        return type(self), (dict(self),)


for _class, _changes in ((FixedList, _LIST_CHANGES), (FixedDict, _DICT_CHANGES)):
    for _name in _changes:
        setattr(_class, _name, _refuse)


def fixed(value: Any) -> Any:  # noqa: ANN401 - any argument of a constructor
    """Return an argument as it was given, with its lists, sets and dicts made unchangeable; an array becomes a list.

    Examples
    --------
    >>> fixed({"imc": {"filter_list": ["median_filter"]}})
    {'imc': {'filter_list': ['median_filter']}}
    """
    if isinstance(value, Mapping):
        return FixedDict({key: fixed(item) for key, item in value.items()})
    if isinstance(value, list):
        return FixedList(fixed(item) for item in value)
    if isinstance(value, np.ndarray):
        return FixedList(value.tolist())
    if isinstance(value, set):
        return frozenset(value)
    return value
