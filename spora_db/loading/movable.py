"""`Movable`: a dict whose tensors go together, to a device, into pinned memory or to another process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, TypeVar, cast

import torch

T = TypeVar("T")

BY_VALUE = 2**16
"""Bytes: tensors up to here are pickled as what they hold. A shared memory file takes a descriptor, and longer."""
_OF_NUMPY = {
    torch.bool, torch.uint8, torch.uint16, torch.int8, torch.int16, torch.int32, torch.int64,
    torch.float16, torch.float32, torch.float64,
}  # fmt: skip


class Movable(dict[str, Any]):
    """What samples and batches have in common: a dict in every respect, with tensors in it, however deep.

    Examples
    --------
    >>> moved = Movable(image=torch.zeros(1, 2), tissue_id=["a"]).to("meta")
    >>> moved["image"].device.type, moved["tissue_id"]
    ('meta', ['a'])
    """

    def to(self, device: torch.device | str | int, *, non_blocking: bool = False) -> Self:
        """Return this with all tensors on a device, those of nested dicts and lists too.

        On ``"mps"``, which has no float64, float64 becomes float32.

        Parameters
        ----------
        device
            Such as ``"cuda"``.
        non_blocking
            Whether to go on before pinned memory is copied; see ``torch.Tensor.to``.

        See Also
        --------
        Batch.pin_memory, standardize_batch

        Examples
        --------
        >>> Movable(image=torch.zeros(2)).to("meta")["image"].device.type
        'meta'
        """
        return moved(self, device, non_blocking=non_blocking)

    def pin_memory(self) -> Self:
        """Return this with all tensors in pinned memory, as ``DataLoader(pin_memory=True)`` asks for.

        See Also
        --------
        Batch.to, PlanDataset.loader

        Examples
        --------
        >>> Movable(image=torch.zeros(2)).pin_memory()["image"].is_pinned()  # doctest: +SKIP
        True
        """
        return changed(self, torch.Tensor.pin_memory)

    def copy(self) -> Self:
        """Return a shallow copy of the same class.

        See Also
        --------
        Batch.to

        Examples
        --------
        >>> batch = Movable(image=torch.zeros(2))
        >>> batch.copy()["image"] is batch["image"]
        True
        """
        return type(self)(self)

    __copy__ = copy

    def __or__(self, other: dict[Any, Any], /) -> Self:  # type: ignore[override] # dict gives a dict
        """Return the fields of both, where both have one the other's, of this class."""
        return type(self)({**self, **other})

    def __ror__(self, other: dict[Any, Any], /) -> Self:  # type: ignore[override] # dict gives a dict
        """Return the fields of both, where both have one this one's, of this class."""
        return type(self)({**other, **self})

    def __reduce__(self) -> tuple[Any, ...]:
        """Reduce to a dict whose small tensors are pickled by value."""
        return type(self), (changed(dict(self), _by_value),), self.__dict__ or None


@dataclass(frozen=True, slots=True)
class ByValue:
    """A tensor that is pickled as its numbers, wherever it goes."""

    tensor: torch.Tensor

    def __reduce__(self) -> tuple[Any, ...]:
        """Reduce to an array, from which the tensor is made again."""
        return torch.from_numpy, (self.tensor.numpy(),)


def _by_value(tensor: torch.Tensor) -> Any:  # noqa: ANN401 - the tensor, or what stands for it in a pickle
    plain = type(tensor) is torch.Tensor and tensor.dtype in _OF_NUMPY and tensor.layout == torch.strided
    here = plain and tensor.device.type == "cpu" and not tensor.requires_grad
    return ByValue(tensor) if here and tensor.numel() * tensor.itemsize <= BY_VALUE else tensor


def moved(value: T, device: torch.device | str | int, *, non_blocking: bool = False) -> T:
    """Return a value, or what it holds, with its tensors on a device; see `Movable.to`.

    Examples
    --------
    >>> [part.device.type for part in moved([torch.zeros(1), torch.ones(2)], "meta")]
    ['meta', 'meta']
    """
    return changed(value, partial(_on, device=torch.device(device), non_blocking=non_blocking))


def _on(tensor: torch.Tensor, *, device: torch.device, non_blocking: bool) -> torch.Tensor:
    if device.type == "mps" and tensor.dtype == torch.float64:
        return tensor.to(device, torch.float32, non_blocking=non_blocking)
    return tensor.to(device, non_blocking=non_blocking)


def changed(value: T, change: Callable[[torch.Tensor], object]) -> T:
    """Return a value with each tensor that it is or holds in dicts, lists and tuples changed; all else as it is.

    Examples
    --------
    >>> changed({"a": torch.ones(2), "b": ("text", [torch.ones(1), None])}, lambda tensor: len(tensor))
    {'a': 2, 'b': ('text', [1, None])}
    """
    if isinstance(value, str | int | float | None):  # most of what a batch holds: asked first
        return value
    if isinstance(value, torch.Tensor):
        return cast(T, change(value))
    result: Any = value
    if isinstance(value, Mapping):
        result = {name: changed(part, change) for name, part in value.items()}
        result = type(value)(result) if isinstance(value, Movable) else result
    elif isinstance(value, list):
        result = [changed(part, change) for part in value]
    elif isinstance(value, tuple):
        parts = [changed(part, change) for part in value]
        result = type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return cast(T, result)
