"""Collates of bags, which differ in their number of rows: padded with a mask, or packed one after the other."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from spora_db.errors import ArgumentError
from spora_db.loading.batch import Batch
from spora_db.loading.joining import field, joined

PER_ROW = ("features", "presence", "marker_index", "tile_id", "cell_id", "row", "col")
"""Tensors of a bag whose first dimension is its rows."""


def collate_bags_padded(bags: Sequence[Mapping[str, Any]]) -> Batch:
    """Return a batch with as many rows as its largest bag, and a mask of those that are there.

    Parameters
    ----------
    bags
        B bags.

    Returns
    -------
    Batch
        ``features`` of shape (B, N_max, ...), zero where a bag has no further row; ``mask`` (bool tensor of shape (B,
        N_max)); ``row, col, tile_id`` (or ``cell_id``) of shape (B, N_max), -1 there; labels and numbers of shape (B,);
        texts as lists.

    Raises
    ------
    ArgumentError
        If there are no bags, or their features differ in shape.

    See Also
    --------
    collate_bags_packed, SporaQuery.bags

    Examples
    --------
    >>> batch = collate_bags_padded([{"features": torch.ones(n, 4)} for n in (1, 3)])
    >>> batch["features"].shape, batch["mask"].tolist()
    (torch.Size([2, 3, 4]), [[True, False, False], [True, True, True]])
    """
    features = _features(bags)
    counts = torch.tensor([len(own) for own in features])
    batch = Batch(features=_padded(features, fill=0), mask=torch.arange(int(counts.max())) < counts[:, None])
    return _with_others(batch, bags, lambda name, values: _padded(values, fill=0 if name == "presence" else -1))


def collate_bags_packed(bags: Sequence[Mapping[str, Any]]) -> Batch:
    """Return a batch with all rows of all bags one after the other, for variable-length attention.

    Parameters
    ----------
    bags
        B bags.

    Returns
    -------
    Batch
        ``features`` of shape (sum of N, ...); ``cu_seqlens`` (int32 tensor of shape (B + 1,)): bag ``i`` has the rows
        ``cu_seqlens[i]:cu_seqlens[i + 1]``; ``max_seqlen`` (int); ``row, col, tile_id`` (or ``cell_id``) of shape (sum
        of N,); labels and numbers of shape (B,); texts as lists.

    Raises
    ------
    ArgumentError
        If there are no bags, or their features differ in shape.

    See Also
    --------
    collate_bags_padded, SporaQuery.bags

    Examples
    --------
    >>> batch = collate_bags_packed([{"features": torch.ones(n, 4)} for n in (1, 3)])
    >>> batch["features"].shape, batch["cu_seqlens"].tolist(), batch["max_seqlen"]
    (torch.Size([4, 4]), [0, 1, 4], 3)
    """
    features = _features(bags)
    counts = [len(own) for own in features]
    ends = torch.tensor([0, *counts]).cumsum(0).to(torch.int32)
    batch = Batch(features=torch.cat(features), cu_seqlens=ends, max_seqlen=max(counts))
    return _with_others(batch, bags, lambda _, values: torch.cat(values))


def _features(bags: Sequence[Mapping[str, Any]]) -> list[torch.Tensor]:
    if not len(bags):
        raise ArgumentError("There are no bags to collate.")
    features: list[torch.Tensor] = field("features", bags)
    shapes = sorted({tuple(own.shape[1:]) for own in features})
    if len(shapes) > 1:
        raise ArgumentError(f"The features of the bags have shapes {shapes} a row; expected one. Collate them apart.")
    return features


def _with_others(
    batch: Batch, bags: Sequence[Mapping[str, Any]], rows: Callable[[str, list[torch.Tensor]], torch.Tensor]
) -> Batch:
    """Return a batch with the other fields of the bags; `rows` joins those that have a value for each row."""
    for name in bags[0]:
        if name != "features":
            values = field(name, bags)
            batch[name] = rows(name, values) if name in PER_ROW else joined(name, values)
    return batch


def _padded(values: Sequence[torch.Tensor], *, fill: float) -> torch.Tensor:
    longest = max(map(len, values))
    whole = values[0].new_full((len(values), longest, *values[0].shape[1:]), fill)
    for place, own in enumerate(values):
        whole[place, : len(own)] = own
    return whole
