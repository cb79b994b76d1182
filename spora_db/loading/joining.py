"""What all collates share: samples by modality, images that lie together, fields joined where they can be."""

from collections.abc import Callable, Mapping, Sequence, Sized
from typing import Any, TypeAlias, get_args

import numpy as np
import torch

from spora_db.arrays import AnyArray
from spora_db.errors import ArgumentError
from spora_db.loading.batch import Batch, NamesField
from spora_db.loading.read_rows import FieldColumns, ReadRows
from spora_db.selection.arguments import wrong

Fields: TypeAlias = Mapping[str, Any]

PER_CHANNEL = {"marker_index": -1, "statistics": 0}
"""Tensors with a value per channel, and what stands where a batch has no channel."""
NAMES = get_args(NamesField)
"""Lists with a text per channel."""
_TEXTS = {str, list, type(None)}
_NUMBERS = {bool, int, float}


def by_modality(samples: Sequence[Fields], collate: Callable[[FieldColumns], Batch]) -> Batch:
    """Collate samples, or the parts of samples by modality."""
    if not isinstance(samples, Sized):
        raise wrong(samples, at="collate(", expected="a list of samples")
    if not len(samples):
        raise ArgumentError("There are no samples to collate.")
    if isinstance(samples, ReadRows) and (parts := samples.columns()) is not None:
        found = [(collate(part.columns), part.which) for part in parts]
        if not samples.several:
            return found[0][0]
        return Batch({own["modality"][0]: own | {"sample_index": torch.from_numpy(which)} for own, which in found})
    return _by_modality(samples, collate)


def _by_modality(samples: Sequence[Fields], collate: Callable[[FieldColumns], Batch]) -> Batch:
    _check_dicts(samples)
    if "image" in samples[0]:
        return collate(columns_of(samples))
    batch = Batch()
    for name in dict.fromkeys(name for sample in samples for name in sample):
        having = [i for i, sample in enumerate(samples) if name in sample]
        parts = [samples[i][name] for i in having]
        if all(isinstance(part, Mapping) and "image" in part for part in parts):
            batch[name] = collate(columns_of(parts))
            batch[name]["sample_index"] = torch.tensor(having)
        else:
            batch[name] = joined(name, field(name, samples))
    return batch


def columns_of(samples: Sequence[Fields]) -> FieldColumns:
    """Return what samples hold, column by column; their images as one tensor where they lie together, and are alike.

    Raises
    ------
    ArgumentError
        If some lack a field, or have not as many values of channels as channels.
    """
    images = field("image", samples)
    whole = consecutive(images) if len({image.shape for image in images}) == 1 else None
    columns: FieldColumns = {"image": images if whole is None else whole.view(len(images), *images[0].shape)}
    for name in dict.fromkeys(name for sample in samples for name in sample if name != "image"):
        if name not in PER_CHANNEL or name not in samples[0] or all(name in sample for sample in samples):
            columns[name] = field(name, samples)
    _check_channels(columns)
    return columns


def _check_channels(columns: FieldColumns) -> None:
    """Refuse what a transform has made of images alone: which channels are left is said by nothing else."""
    for name in (*PER_CHANNEL, *NAMES):
        for image, values in zip(columns["image"], columns.get(name, ()), strict=False):
            if len(values) != len(image):
                raise ArgumentError(
                    f"A sample's image has {len(image)} channels and its {name} {len(values)}. A transform that leaves "
                    f"out or adds channels does the same to {name}: sample[{name!r}][kept], or removes that field."
                )


def _check_dicts(samples: Sequence[object]) -> None:
    stranger = next((sample for sample in samples if not isinstance(sample, Mapping)), None)
    if stranger is not None:
        raise ArgumentError(
            f"Received {type(stranger).__name__} to collate; expected samples, which are dicts. Where a transform "
            "returns something else, write loader(collate=torch.utils.data.default_collate), or a function of your own."
        )


def common(images: "torch.Tensor | Sequence[torch.Tensor]") -> tuple[int, int, torch.dtype]:
    """Return the height and width that all images have, and a type that holds them all."""
    sizes = {tuple(image.shape[1:]) for image in images}
    if len(sizes) != 1:
        listed = ", ".join(f"{height} x {width}" for height, width in sorted(sizes)[:5])
        raise ArgumentError(
            f"Images of {listed} pixels do not fit into one batch. Use collate_list, or tiles instead of tissues."
        )
    height, width = sizes.pop()
    dtypes = {image.dtype for image in images}
    return height, width, dtypes.pop() if len(dtypes) == 1 else torch.float32


def consecutive(images: Sequence[torch.Tensor]) -> torch.Tensor | None:
    """Return images as one tensor (sum of C, H, W) without a copy, or None where they do not lie like that."""
    first = images[0]
    place, start = first.storage_offset(), first.untyped_storage().data_ptr()
    for image in images:
        unlike = image.dtype != first.dtype or image.shape[1:] != first.shape[1:] or not image.is_contiguous()
        if unlike or image.untyped_storage().data_ptr() != start or image.storage_offset() != place:
            return None
        place += image.numel()
    shape = (sum(len(image) for image in images), *first.shape[1:])
    return first.as_strided(shape, first.stride())


def others(columns: FieldColumns) -> dict[str, Any]:
    """Return the fields that do not belong to channels."""
    # As many cells in all samples of a batch are chance: they stay a list, whatever their number.
    return {
        name: values if name == "cells" else joined(name, values)
        for name, values in columns.items()
        if name != "image" and name not in PER_CHANNEL
    }


def field(name: str, samples: Sequence[Fields]) -> list[Any]:
    """Return a field of all samples.

    Raises
    ------
    ArgumentError
        If some samples lack it: what the batch holds would depend on which samples meet in it.
    """
    try:
        return [sample[name] for sample in samples]
    except KeyError:
        having = sum(name in sample for sample in samples)
        raise ArgumentError(
            f"{having} of the {len(samples)} samples of a batch have the field {name!r}, the others do not. Give it to "
            "all of them (datasets that are joined need the same .select(...) and options), or use collate_list."
        ) from None


def joined(name: str, values: "torch.Tensor | AnyArray | Sequence[Any]") -> object:
    """Return what a batch holds of a field: a tensor of tensors of one shape, and of numbers; else a list.

    Dicts with tensors in them are joined field by field.

    Raises
    ------
    ArgumentError
        If some values are tensors or numbers, and others are of another kind.

    Examples
    --------
    >>> joined("row", [0, 128]), joined("age", [61.5, float("nan")]), joined("site", ["lung", None])
    (tensor([  0, 128]), tensor([61.5000,     nan], dtype=torch.float64), ['lung', None])
    """
    if isinstance(values, torch.Tensor | np.ndarray):
        return torch.as_tensor(values)
    types = set(map(type, values))
    if types <= _TEXTS:
        return list(values)
    kinds = {"number"} if types <= _NUMBERS else {_kind(value) for value in values}
    if kinds == {"number"}:
        return torch.from_numpy(np.array(values))  # bool, int64 or float64
    if any(isinstance(kind, torch.dtype) or kind == "number" for kind in kinds):
        if len(kinds) > 1:
            raise ArgumentError(
                f"The field {name!r} is {' and '.join(sorted(map(str, kinds)))} in the samples of one batch; expected "
                "one kind in all of them, such as NaN for a number that is missing. Change it, or use collate_list."
            )
        return torch.stack(list(values)) if len({value.shape for value in values}) == 1 else list(values)
    if kinds == {"tensors"} and len({frozenset(value) for value in values}) == 1:
        return {key: joined(f"{name}.{key}", [value[key] for value in values]) for key in values[0]}
    return list(values)


def _kind(value: object) -> torch.dtype | str:
    """Return the type of a tensor's values, ``"number"``, ``"tensors"`` for what holds some, or the value's type."""
    if isinstance(value, torch.Tensor):
        return value.dtype
    if isinstance(value, bool | int | float | np.number | np.bool_):
        return "number"
    if isinstance(value, Mapping) and any(isinstance(_kind(part), torch.dtype) for part in value.values()):
        return "tensors"
    return type(value).__name__
