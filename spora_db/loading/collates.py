"""Collates: pure functions from samples to a batch; panels differ between cohorts, so channel counts differ too.

All but `collate_list` return a `Batch`: a dict with ``image`` as described at each, per-channel tensors
(``marker_index``, ``statistics``) shaped like it, and the further fields of the samples. What a field is follows from
the query, never from which rows meet in a batch:

===================================================  ================================================================
a field of samples                                   in a batch of B samples
===================================================  ================================================================
``row, col, tile_id, cell_id, substituted_for``      int64 tensor of shape (B,)
``mpp``                                              float64 tensor of shape (B,)
columns of whole numbers, of truth values            int64, bool tensor of shape (B,); both float64 if a row of the
                                                     query has null
columns of other numbers, decimals too               float64 tensor of shape (B,), NaN for null
columns of texts, dates, bytes, lists, structs       list of length B, None for null
``masks, features``, other dicts of tensors          dict of what their fields are in a batch
``cells``                                            list of B dicts
numbers and tensors that were added to samples       tensor of shape (B, ...); a list where shapes differ
all else                                             list of length B
===================================================  ================================================================

Samples of several modalities give such a batch per modality, with ``sample_index`` (int64 tensor of shape (B',)): which
of the B samples have it; a modality that none of them has is left out. A field that only some samples have, or that is
a number in some and none in others, is an error. Images that lie one after another in memory, as a `PlanDataset` yields
them, are not copied.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import torch
from torch.utils.data._utils.collate import default_collate_fn_map

from spora_db.errors import ArgumentError, unknown
from spora_db.loading.batch import Batch
from spora_db.loading.joining import PER_CHANNEL, Fields, by_modality, common, consecutive, joined, others
from spora_db.loading.memory import allocate
from spora_db.loading.read_rows import FieldColumns
from spora_db.loading.sample import Sample
from spora_db.selection.arguments import wrong

CollateChoice: TypeAlias = "Literal['list', 'padded', 'packed', 'panel'] | Callable[[Sequence[Any]], Any]"


def collate_list(samples: Sequence[Fields]) -> list[Fields]:
    """Return the samples as they are: the collate for samples whose panels differ.

    Parameters
    ----------
    samples
        What a dataset yields.

    See Also
    --------
    collate_padded, collate_packed, collate_panel

    Examples
    --------
    >>> collate_list([{"tile_id": 0}, {"tile_id": 1}])
    [{'tile_id': 0}, {'tile_id': 1}]
    """
    return list(samples)


def collate_padded(samples: Sequence[Fields]) -> Batch:
    """Return a batch with as many channels as its largest panel, and a mask of those that are there.

    Parameters
    ----------
    samples
        B samples of equal height and width.

    Returns
    -------
    Batch
        ``image`` of shape (B, C_max, H, W), zero where a sample has no further channel; ``presence`` (bool tensor of
        shape (B, C_max)); ``marker_index`` (int64, (B, C_max), -1 without accession or channel); the other fields.

    Raises
    ------
    ArgumentError
        If heights or widths differ, or fields that samples share.

    See Also
    --------
    collate_packed, collate_panel, collate_list

    Examples
    --------
    >>> samples = [{"image": torch.ones(c, 2, 2), "marker_index": torch.arange(c)} for c in (1, 3)]
    >>> batch = collate_padded(samples)
    >>> batch["image"].shape, batch["presence"].tolist()
    (torch.Size([2, 3, 2, 2]), [[True, False, False], [True, True, True]])
    """
    return by_modality(samples, _padded)


def collate_packed(samples: Sequence[Fields]) -> Batch:
    """Return a batch with all channels of all samples one after another, for variable-length attention.

    Parameters
    ----------
    samples
        B samples of equal height and width.

    Returns
    -------
    Batch
        ``image`` of shape (sum of C, H, W); ``cu_seqlens`` (int32 tensor of shape (B + 1,)): sample ``i`` has the
        planes ``cu_seqlens[i]:cu_seqlens[i + 1]``; ``max_seqlen`` (int); ``marker_index`` (int64, (sum of C,)); the
        other fields.

    Raises
    ------
    ArgumentError
        If heights or widths differ, or fields that samples share.

    See Also
    --------
    collate_padded, collate_panel, collate_list

    Examples
    --------
    >>> batch = collate_packed([{"image": torch.ones(c, 2, 2)} for c in (1, 3)])
    >>> batch["image"].shape, batch["cu_seqlens"].tolist()
    (torch.Size([4, 2, 2]), [0, 1, 4])
    """
    return by_modality(samples, _packed)


def _default(samples: Sequence[Sample], *, collate_fn_map: object = None) -> Batch:
    return collate_padded(samples)


default_collate_fn_map[Sample] = _default


@dataclass(frozen=True, slots=True)
class collate_panel:
    """Make a collate that delivers fixed channels, with a mask of those that a sample has.

    Parameters
    ----------
    names
        P channel names or UniProt accessions, in the order of delivery; an accession stands for all its isoforms.

    See Also
    --------
    PanelBatchSampler, collate_padded

    Examples
    --------
    >>> sample = {"image": torch.ones(1, 2, 2), "channel_names": ["CD8"], "uniprot_ids": ["P01732"]}
    >>> collate_panel(["CD3e", "P01732"])([sample])["presence"].tolist()
    [[False, True]]
    """

    names: Sequence[str]

    def __post_init__(self) -> None:
        """Refuse panels without names and names twice."""
        names = _listed(self.names)
        if not names or len(set(names)) != len(names):
            raise wrong(self.names, at="collate_panel(", expected="a list of different names")
        object.__setattr__(self, "names", names)

    def __call__(self, samples: Sequence[Fields]) -> Batch:
        """Return a batch: ``image`` (B, P, H, W), ``presence`` (B, P), ``marker_index`` (B, P), the other fields.

        Raises
        ------
        ArgumentError
            If heights or widths differ, or a name finds several channels of a sample.
        """
        return by_modality(samples, self._batch)

    def _batch(self, columns: FieldColumns) -> Batch:
        labels = zip(columns["channel_names"], columns["uniprot_ids"], strict=True)
        found = [_find(tuple(self.names), tuple(names), tuple(accessions)) for names, accessions in labels]
        return _fixed(columns, found, width=len(self.names), channel_names=list(self.names))


def _listed(names: object) -> tuple[str, ...]:
    """Return the texts of a list; none where it holds something else, or is no list."""
    listed = tuple(names) if isinstance(names, Iterable) and not isinstance(names, str) else ()
    texts = tuple(name for name in listed if isinstance(name, str))
    return texts if len(texts) == len(listed) else ()


def _padded(columns: FieldColumns) -> Batch:
    images = columns["image"]
    if isinstance(images, torch.Tensor):
        fields: dict[str, object] = {"presence": torch.ones(images.shape[:2], dtype=torch.bool)}
        fields |= {name: joined(name, columns[name]) for name in PER_CHANNEL if name in columns}
        return Batch({"image": images, **fields, **others(columns)})
    panels = [tuple(range(len(image))) for image in images]
    return _fixed(columns, panels, width=max(map(len, images)))


def _fixed(columns: FieldColumns, found: Sequence[tuple[int, ...]], *, width: int, **changed: object) -> Batch:
    """Return a batch of `width` channels; ``found[b][c]`` is the plane of sample b in channel c, -1 for none."""
    height, width_pixels, dtype = common(columns["image"])
    whole = allocate((len(found), width, height, width_pixels), dtype)
    for target, image, planes in zip(whole, columns["image"], found, strict=True):
        if planes == tuple(range(len(planes))):
            target[: len(planes)] = image[: len(planes)]
        else:
            for place, plane in zip(target, planes, strict=False):
                place.copy_(image[plane]) if plane >= 0 else place.zero_()
        target[len(planes) :] = 0
    return Batch({"image": whole, **_widened(columns, found, width), **others(columns), **changed})


def _widened(columns: FieldColumns, found: Sequence[tuple[int, ...]], width: int) -> dict[str, torch.Tensor]:
    """Return presence and the per-channel tensors, (B, width, ...)."""
    places = torch.tensor([[*planes, *[-1] * (width - len(planes))] for planes in found])
    fields = {"presence": places >= 0}
    for name, empty in PER_CHANNEL.items():
        if name in columns:
            values = list(columns[name])
            starts = torch.tensor([0, *map(len, values)]).cumsum(0)
            filler = torch.full((1, *values[0].shape[1:]), empty, dtype=values[0].dtype)
            rows = torch.where(places >= 0, places + starts[:-1, None], starts[-1])
            fields[name] = torch.cat([*values, filler])[rows]
    return fields


def _packed(columns: FieldColumns) -> Batch:
    images = columns["image"]
    height, width, dtype = common(images)
    counts = [len(image) for image in images]
    packed = images.flatten(0, 1) if isinstance(images, torch.Tensor) else consecutive(images)
    if packed is None:
        packed = allocate((sum(counts), height, width), dtype)
        for target, image in zip(torch.split(packed, counts), images, strict=True):
            target.copy_(image)
    ends = torch.tensor([0, *counts]).cumsum(0).to(torch.int32)
    fields = {"image": packed, "cu_seqlens": ends, "max_seqlen": max(counts)}
    for name in PER_CHANNEL:
        if name in columns:
            fields[name] = torch.cat(list(columns[name]))
    rest = others(columns)
    # Frameworks take the length of the first tensor for the number of samples, which planes and their ends do not have.
    first = {name: value for name, value in rest.items() if isinstance(value, torch.Tensor)}
    return Batch({**first, **fields, **rest})


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


COLLATES: dict[str, Callable[[Sequence[Any]], Any]] = {
    "list": collate_list,
    "padded": collate_padded,
    "packed": collate_packed,
    "panel": collate_padded,
}


def chosen_collate(collate: CollateChoice) -> Callable[[Sequence[Any]], Any]:
    """Return the function of a choice.

    Raises
    ------
    UnknownNameError
        If there is no such choice.
    """
    if callable(collate):
        return collate
    if collate not in tuple(COLLATES):  # which asks no hash of it
        raise unknown("collate", collate, COLLATES)
    return COLLATES[collate]
