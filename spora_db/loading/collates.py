"""Collates: pure functions from samples to a batch; panels differ between cohorts, so channel counts differ too.

All but `collate_list` return a dict with the fields of a sample: ``image`` as described at each, per-channel tensors
(``marker_index``, ``statistics``) shaped like it, other tensors stacked where their shapes agree, everything else as
lists of length B. Samples of several modalities give such a dict per modality, with ``sample_index`` (int64 tensor of
shape (B',)): which of the B samples have it. Images that lie one after another in memory, as a `PlanDataset` yields
them, are not copied.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import torch

from spora_db.errors import ArgumentError
from spora_db.loading.memory import allocate

Sample: TypeAlias = Mapping[str, Any]
Batch: TypeAlias = dict[str, Any]
Collate: TypeAlias = Callable[[Sequence[Sample]], Batch]

PER_CHANNEL = {"marker_index": -1, "statistics": 0}
"""Tensors with a value per channel, and what stands where a batch has no channel."""


def collate_list(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples as they are: the collate for samples whose panels differ.

    Parameters
    ----------
    samples
        What a dataset yields.
    """
    return list(samples)


def collate_padded(samples: Sequence[Sample]) -> Batch:
    """Return a batch with as many channels as its largest panel, and a mask of those that are there.

    Parameters
    ----------
    samples
        B samples of equal height and width.

    Returns
    -------
    dict
        ``image`` of shape (B, C_max, H, W), zero where a sample has no further channel; ``presence`` (bool tensor of
        shape (B, C_max)); ``marker_index`` (int64, (B, C_max), -1 without accession or channel); the other fields.

    Raises
    ------
    ArgumentError
        If heights or widths differ.

    Examples
    --------
    >>> samples = [{"image": torch.ones(c, 2, 2), "marker_index": torch.arange(c)} for c in (1, 3)]
    >>> batch = collate_padded(samples)
    >>> batch["image"].shape, batch["presence"].tolist()
    (torch.Size([2, 3, 2, 2]), [[True, False, False], [True, True, True]])
    """
    return _by_modality(samples, _padded)


def collate_packed(samples: Sequence[Sample]) -> Batch:
    """Return a batch with all channels of all samples one after another, for variable-length attention.

    Parameters
    ----------
    samples
        B samples of equal height and width.

    Returns
    -------
    dict
        ``image`` of shape (sum of C, H, W); ``cu_seqlens`` (int32 tensor of shape (B + 1,)): sample ``i`` has the
        planes ``cu_seqlens[i]:cu_seqlens[i + 1]``; ``max_seqlen`` (int); ``marker_index`` (int64, (sum of C,)); the
        other fields.

    Raises
    ------
    ArgumentError
        If heights or widths differ.

    Examples
    --------
    >>> batch = collate_packed([{"image": torch.ones(c, 2, 2)} for c in (1, 3)])
    >>> batch["image"].shape, batch["cu_seqlens"].tolist()
    (torch.Size([4, 2, 2]), [0, 1, 4])
    """
    return _by_modality(samples, _packed)


@dataclass(frozen=True, slots=True)
class collate_panel:
    """Make a collate that delivers fixed channels, with a mask of those that a sample has.

    Parameters
    ----------
    names
        P channel names or UniProt accessions, in the order of delivery; an accession stands for all its isoforms.

    Examples
    --------
    >>> sample = {"image": torch.ones(1, 2, 2), "channel_names": ["CD8"], "uniprot_ids": ["P01732"]}
    >>> collate_panel(["CD3e", "P01732"])([sample])["presence"].tolist()
    [[False, True]]
    """

    names: Sequence[str]

    def __post_init__(self) -> None:
        """Refuse panels without names and names twice."""
        if isinstance(self.names, str) or not self.names or len(set(self.names)) != len(self.names):
            raise ArgumentError(f"collate_panel({self.names!r}): expected a list of different names.")
        object.__setattr__(self, "names", tuple(self.names))

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """Return a batch: ``image`` (B, P, H, W), ``presence`` (B, P), ``marker_index`` (B, P), the other fields.

        Raises
        ------
        ArgumentError
            If heights or widths differ, or a name finds several channels of a sample.
        """
        return _by_modality(samples, self._batch)

    def _batch(self, samples: Sequence[Sample]) -> Batch:
        found = [
            _find(tuple(self.names), tuple(sample["channel_names"]), tuple(sample["uniprot_ids"])) for sample in samples
        ]
        return _fixed(samples, found, width=len(self.names), channel_names=list(self.names))


def _by_modality(samples: Sequence[Sample], collate: Collate) -> Batch:
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
            batch[name] = _joined([sample.get(name) for sample in samples])
    return batch


def _padded(samples: Sequence[Sample]) -> Batch:
    counts = [len(sample["image"]) for sample in samples]
    width = max(counts)
    if min(counts) == width:
        whole = _consecutive([sample["image"] for sample in samples])
        if whole is not None:
            image = whole.view(len(samples), width, *whole.shape[1:])
            return {**_others(samples), "image": image, **_widened(samples, [None] * len(samples), width)}
    return _fixed(samples, [tuple(range(count)) for count in counts], width=width)


def _fixed(samples: Sequence[Sample], found: Sequence[tuple[int, ...]], *, width: int, **changed: object) -> Batch:
    """Return a batch of `width` channels; ``found[b][c]`` is the plane of sample b in channel c, -1 for none."""
    height, width_pixels, dtype = _common(samples)
    image = allocate((len(samples), width, height, width_pixels), dtype)
    for target, sample, planes in zip(image, samples, found, strict=True):
        if planes == tuple(range(len(planes))):
            target[: len(planes)] = sample["image"][: len(planes)]
        else:
            for place, plane in zip(target, planes, strict=False):
                place.copy_(sample["image"][plane]) if plane >= 0 else place.zero_()
        target[len(planes) :] = 0
    return {**_others(samples), "image": image, **_widened(samples, found, width), **changed}


def _widened(samples: Sequence[Sample], found: Sequence[tuple[int, ...] | None], width: int) -> Batch:
    """Return presence and the per-channel tensors, (B, width, ...)."""
    full = tuple(range(width))
    places = torch.tensor([[*planes, *[-1] * (width - len(planes))] for planes in (f or full for f in found)])
    batch: Batch = {"presence": places >= 0}
    for name, empty in PER_CHANNEL.items():
        if all(name in sample for sample in samples):
            rows = []
            for sample, place in zip(samples, places, strict=True):
                values = sample[name]
                filler = torch.full((1, *values.shape[1:]), empty, dtype=values.dtype)
                rows.append(torch.cat([values, filler])[place])  # -1 finds the filler
            batch[name] = torch.stack(rows)
    return batch


def _packed(samples: Sequence[Sample]) -> Batch:
    images = [sample["image"] for sample in samples]
    height, width, dtype = _common(samples)
    counts = [len(image) for image in images]
    packed = _consecutive(images)
    if packed is None:
        packed = allocate((sum(counts), height, width), dtype)
        for target, image in zip(torch.split(packed, counts), images, strict=True):
            target.copy_(image)
    ends = torch.tensor([0, *counts]).cumsum(0).to(torch.int32)
    batch = {**_others(samples), "image": packed, "cu_seqlens": ends, "max_seqlen": max(counts)}
    for name in PER_CHANNEL:
        if all(name in sample for sample in samples):
            batch[name] = torch.cat([sample[name] for sample in samples])
    return batch


def _common(samples: Sequence[Sample]) -> tuple[int, int, torch.dtype]:
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


def _consecutive(images: Sequence[torch.Tensor]) -> torch.Tensor | None:
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


def _others(samples: Sequence[Sample]) -> Batch:
    """Return the fields that do not belong to channels."""
    own = {"image", *(name for name in PER_CHANNEL if name in samples[0])}
    names = dict.fromkeys(name for sample in samples for name in sample if name not in own)
    fields = {name: [sample.get(name) for sample in samples] for name in names}
    # As many cells in all samples of a batch are chance: they stay a list, whatever their number.
    return {name: values if name == "cells" else _joined(values) for name, values in fields.items()}


def _joined(values: Sequence[Any]) -> object:
    """Return tensors of one shape as one tensor, mappings joined field by field, everything else as a list."""
    first = values[0]
    if all(isinstance(value, torch.Tensor) for value in values):
        if all(value.shape == first.shape and value.dtype == first.dtype for value in values):
            return torch.stack(list(values))
    elif all(isinstance(value, Mapping) for value in values) and all(set(value) == set(first) for value in values):
        return {name: _joined([value[name] for value in values]) for name in first}
    return list(values)


@lru_cache(maxsize=1024)
def _find(names: tuple[str, ...], channels: tuple[str, ...], accessions: tuple[str | None, ...]) -> tuple[int, ...]:
    """Return the plane of each name, -1 for none: by channel name, else by accession."""
    planes = []
    for name in names:
        places = [i for i, channel in enumerate(channels) if channel == name] or [
            i for i, text in enumerate(accessions) if text is not None and (text == name or text.split("-")[0] == name)
        ]
        if len(places) > 1:
            listed = ", ".join(channels[i] for i in places)
            raise ArgumentError(f"{name!r} is measured by several channels: {listed}. Name the channel that is meant.")
        planes.append(places[0] if places else -1)
    return tuple(planes)
