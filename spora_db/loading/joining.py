"""What all collates share: samples by modality, images that lie together, fields joined where they can be."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch

from spora_db.errors import ArgumentError

Fields: TypeAlias = Mapping[str, Any]
Batch: TypeAlias = dict[str, Any]

PER_CHANNEL = {"marker_index": -1, "statistics": 0}
"""Tensors with a value per channel, and what stands where a batch has no channel."""


def by_modality(samples: Sequence[Fields], collate: Callable[[Sequence[Fields]], Batch]) -> Batch:
    """Collate samples, or the parts of samples by modality."""
    if not samples:
        raise ArgumentError("There are no samples to collate.")
    if "image" in samples[0]:
        return collate(samples)
    batch: Batch = {}
    names = dict.fromkeys(name for sample in samples for name in sample)
    for name in names:
        having = [i for i, sample in enumerate(samples) if name in sample]
        parts = [samples[i][name] for i in having]
        if all(isinstance(part, Mapping) and "image" in part for part in parts):
            batch[name] = {**collate(parts), "sample_index": torch.tensor(having)}
        else:
            batch[name] = joined([sample.get(name) for sample in samples])
    return batch


def common(samples: Sequence[Fields]) -> tuple[int, int, torch.dtype]:
    """Return the height and width that all images have, and a type that holds them all."""
    sizes = {tuple(sample["image"].shape[1:]) for sample in samples}
    if len(sizes) != 1:
        listed = ", ".join(f"{height} x {width}" for height, width in sorted(sizes)[:5])
        raise ArgumentError(
            f"Images of {listed} pixels do not fit into one batch. Use collate_list, or tiles instead of tissues."
        )
    height, width = sizes.pop()
    dtypes = {sample["image"].dtype for sample in samples}
    return height, width, dtypes.pop() if len(dtypes) == 1 else torch.float32


def consecutive(images: Sequence[torch.Tensor]) -> torch.Tensor | None:
    """Return images as one tensor (sum of C, H, W) without a copy, or None where they do not lie like that."""
    first = images[0]
    place, start = first.storage_offset(), first.untyped_storage().data_ptr()
    for image in images:
        same = image.untyped_storage().data_ptr() == start and image.dtype == first.dtype
        if (
            not same
            or not image.is_contiguous()
            or image.storage_offset() != place
            or image.shape[1:] != first.shape[1:]
        ):
            return None
        place += image.numel()
    shape = (sum(len(image) for image in images), *first.shape[1:])
    return first.as_strided(shape, first.stride())


def others(samples: Sequence[Fields]) -> Batch:
    """Return the fields that do not belong to channels."""
    own = {"image", *(name for name in PER_CHANNEL if name in samples[0])}
    names = dict.fromkeys(name for sample in samples for name in sample if name not in own)
    fields = {name: [sample.get(name) for sample in samples] for name in names}
    # As many cells in all samples of a batch are chance: they stay a list, whatever their number.
    return {name: values if name == "cells" else joined(values) for name, values in fields.items()}


def joined(values: Sequence[Any]) -> object:
    """Return tensors of one shape as one tensor, mappings joined field by field, everything else as a list."""
    first = values[0]
    if all(isinstance(value, torch.Tensor) for value in values):
        if all(value.shape == first.shape and value.dtype == first.dtype for value in values):
            return torch.stack(list(values))
    elif all(isinstance(value, Mapping) for value in values) and all(set(value) == set(first) for value in values):
        return {name: joined([value[name] for value in values]) for name in first}
    return list(values)
