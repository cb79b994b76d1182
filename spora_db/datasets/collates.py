"""From the samples of a `SporaDataset` to batches; panels differ between cohorts, so only equal shapes are stacked."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from spora_db.arrays import Objects
from spora_db.datasets._types import MultiplexTissue


def collate_tissues(samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a batch by modality, for ``DataLoader(dataset, collate_fn=collate_tissues)``.

    Parameters
    ----------
    samples
        What a :class:`SporaDataset` yields.

    Returns
    -------
    dict
        ``dataset_name``, ``tissue_id`` and, for tiles, ``tile_id``: lists with an entry per sample. ``modalities``:
        modality to a dict of ``sample`` (int64 tensor of shape (n,): which samples have it), ``image`` (float32 tensor
        of shape (n, C, H, W) where all n have one shape, else a list of n tensors), and for multiplex images
        ``channel_names`` and ``uniprot_ids`` (lists of n lists).

    See Also
    --------
    SporaDataset, collate_padded

    Examples
    --------
    >>> from spora_db.datasets import HETissue
    >>> tile = HETissue(image=torch.zeros(3, 8, 8), tissue_id="t", kind="tile")
    >>> sample = {"dataset_name": "a", "tissue_id": "t", "tile_id": 0, "modalities": {"he": tile}}
    >>> collate_tissues([sample, sample])["modalities"]["he"]["image"].shape
    torch.Size([2, 3, 8, 8])
    """
    batch: dict[str, Any] = {key: [sample[key] for sample in samples] for key in samples[0] if key != "modalities"}
    names = dict.fromkeys(name for sample in samples for name in sample["modalities"])
    return {**batch, "modalities": {name: _one_modality(samples, name) for name in names}}


def plain_samples(samples: Sequence[Mapping[str, Any]]) -> list[dict[str, dict[str, Any]]]:
    """Return samples as `SporaQuery.to_torch` gives those of several modalities, for the collates of that side.

    Parameters
    ----------
    samples
        As `collate_tissues`.

    Returns
    -------
    list of dict
        Modality to ``image``, ``dataset``, ``tissue_id``, ``modality``, for multiplex images ``channel_names`` and
        ``uniprot_ids``, for tiles ``tile_id``.

    Examples
    --------
    >>> from spora_db.datasets import HETissue
    >>> tissue = HETissue(image=torch.zeros(3, 8, 8), tissue_id="t")
    >>> sorted(plain_samples([{"dataset_name": "a", "tissue_id": "t", "modalities": {"he": tissue}}])[0]["he"])
    ['dataset', 'image', 'modality', 'tissue_id']
    """
    return [{name: _plain(sample, name) for name in sample["modalities"]} for sample in samples]


def _plain(sample: Mapping[str, Any], name: str) -> dict[str, Any]:
    tissue = sample["modalities"][name]
    fields: dict[str, Any] = {"image": tissue.image, "dataset": sample["dataset_name"], "modality": name}
    fields |= {key: sample[key] for key in ("tissue_id", "tile_id") if key in sample}
    if isinstance(tissue, MultiplexTissue):
        fields["channel_names"], fields["uniprot_ids"] = (
            _listed(tissue.channel_names) or [],
            _listed(tissue.uniprot_ids),
        )
    return fields


def _one_modality(samples: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    present = [number for number, sample in enumerate(samples) if name in sample["modalities"]]
    tissues = [samples[number]["modalities"][name] for number in present]
    images = [tissue.image for tissue in tissues]
    equal = len({image.shape for image in images}) == 1
    part: dict[str, Any] = {"sample": torch.tensor(present), "image": torch.stack(images) if equal else images}
    if isinstance(tissues[0], MultiplexTissue):
        part["channel_names"] = [_listed(tissue.channel_names) for tissue in tissues]
        part["uniprot_ids"] = [_listed(tissue.uniprot_ids) for tissue in tissues]
    return part


def _listed(names: Objects | None) -> list[Any] | None:
    return None if names is None else names.tolist()
