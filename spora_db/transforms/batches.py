"""A batch taken apart into the samples that it holds, and put together again, on the device where it is."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from spora_db.errors import ArgumentError
from spora_db.loading.joining import NAMES, PER_CHANNEL

OF_SAMPLE = ("masks", "cells", "row", "col", "mpp", "modality", "symmetry")
"""Fields that transforms read or change, beside those of channels."""


def parts_of(sample: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the parts of a sample or batch by modality, or itself under no name.

    Raises
    ------
    ArgumentError
        If there is no image in it.
    """
    if "image" in sample:
        return {"": sample}
    found = {name: part for name, part in sample.items() if isinstance(part, Mapping) and "image" in part}
    if not found:
        raise ArgumentError(
            f"Received a dict of {', '.join(map(str, sample)) or 'nothing'}, with no image in it; expected a sample as "
            "query.to_torch()[0] gives it, or a batch of a collate."
        )
    return found


def is_batch(samples: Mapping[str, Any]) -> bool:
    """Tell whether a dict is a batch: padded, packed, of a panel, or one of these by modality."""
    return any("cu_seqlens" in part or part["image"].ndim == 4 for part in parts_of(samples).values())


def is_fixed(batch: Mapping[str, Any]) -> bool:
    """Tell whether all samples of a batch have the same channels, named once."""
    return any(isinstance(name, str) for name in batch.get("channel_names", ()))


def unbound(batch: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the samples of a batch, as far as transforms read them; those of several modalities as dicts of them.

    Numbers are those of Python; images and other tensors are views. In a padded batch a sample has all its channels,
    and ``presence`` says which are there.
    """
    if "image" in batch:
        return _unbound(batch)
    samples: list[dict[str, Any]] = []
    for name, part in parts_of(batch).items():
        for place, sample in zip(part["sample_index"].tolist(), _unbound(part), strict=True):
            samples += [{} for _ in range(place + 1 - len(samples))]
            samples[place][name] = sample
    return list(samples)


def _unbound(batch: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    count = len(batch["cu_seqlens"]) - 1 if "cu_seqlens" in batch else len(batch["image"])
    fields = {}
    for name in ("image", *PER_CHANNEL):
        if name in batch:
            lengths = batch["cu_seqlens"].diff().tolist() if "cu_seqlens" in batch else None
            fields[name] = list(batch[name] if lengths is None else batch[name].split(lengths))
    for name in (*OF_SAMPLE, "presence", *(() if is_fixed(batch) else NAMES)):
        if name in batch:
            fields[name] = _items(batch[name], count)
    return [{name: values[i] for name, values in fields.items()} for i in range(count)]


def _items(values: Any, count: int) -> list[Any]:  # noqa: ANN401 - whatever a batch holds
    if isinstance(values, Mapping):
        columns = {name: _items(part, count) for name, part in values.items()}
        return [{name: column[i] for name, column in columns.items()} for i in range(count)]
    if isinstance(values, torch.Tensor):
        return list(values) if values.ndim > 2 else values.tolist()
    return list(values)


def rejoined(
    batch: Mapping[str, Any], before: Sequence[Mapping[str, Any]], samples: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any]:
    """Return a batch with what has become of its samples, `before` as `unbound` gave them."""
    if "image" in batch:
        return _rejoined(batch, before, samples)
    changed = {}
    for name, part in parts_of(batch).items():
        places = part["sample_index"].tolist()
        changed[name] = _rejoined(part, [before[i][name] for i in places], [samples[i][name] for i in places])
    return type(batch)({**batch, **changed})  # type: ignore[call-arg]


def _rejoined(
    batch: Mapping[str, Any], before: Sequence[Mapping[str, Any]], samples: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any]:
    fields: dict[str, Any] = {}
    for name in samples[0]:
        values = [sample[name] for sample in samples]
        if all(name in old and old[name] is value for old, value in zip(before, values, strict=True)):
            continue
        if "cu_seqlens" in batch and name in ("image", *PER_CHANNEL):
            fields[name] = torch.cat(values)
        else:
            fields[name] = _joined(batch.get(name, batch["image"].new_empty(0, dtype=torch.int64)), values)
    if "cu_seqlens" in batch and "image" in fields:
        lengths = [len(sample["image"]) for sample in samples]
        ends = batch["cu_seqlens"]
        fields["cu_seqlens"] = torch.tensor([0, *lengths]).cumsum(0).to(device=ends.device, dtype=ends.dtype)
        fields["max_seqlen"] = max(lengths)
    return type(batch)({**batch, **fields})  # type: ignore[call-arg]


def _joined(before: Any, values: Sequence[Any]) -> Any:  # noqa: ANN401 - whatever a batch holds
    """Return values as their field had them before."""
    if isinstance(before, Mapping):
        return {name: _joined(part, [value[name] for value in values]) for name, part in before.items()}
    if not isinstance(before, torch.Tensor):
        return list(values)
    if not isinstance(values[0], torch.Tensor):
        return torch.tensor(values, dtype=before.dtype, device=before.device)
    shapes = {tuple(value.shape) for value in values}
    if len(shapes) > 1:
        sizes = " and ".join(sorted({f"{shape[-2]} x {shape[-1]}" for shape in shapes}))
        raise ArgumentError(f"Samples of {sizes} pixels do not fit into one batch: its quarter turns need squares.")
    return torch.stack(list(values)).to(before.device)
