"""What training and benchmark code does with the published classes, with `spora_db` in their place."""

from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from spora_db import MultiplexImagingDataset, MultiplexTissue
from spora_db.datasets import ComposedImagingDataset, SporaDataset


class TileBag(Dataset):
    """Tiles of a split, loaded by coordinates in the worker."""

    def __init__(self, dataset: MultiplexImagingDataset, split: str) -> None:
        self.dataset = dataset
        metadata = dataset.tissue_modality_metadata
        tissue_ids = metadata[metadata["split"] == split].index.values
        self.places = [
            (tissue_id, row, col)
            for tissue_id in tissue_ids
            for row, col in dataset.tile_coordinates.get(tissue_id, [])
        ]
        assert all(type(value) is int for _, row, col in self.places for value in (row, col))

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> MultiplexTissue:
        tissue_id, row, col = self.places[index]
        return self.dataset.get_tile_by_coordinates(
            tissue_id=tissue_id, row=row, col=col, preprocess=True, kind="uniprot_filtered"
        )


def embed_tissue(dataset: MultiplexImagingDataset, tissue_id: str, tile: int = 32, pad: int = 12) -> list[float]:
    """Cut a whole tissue where its mask is, and standardize a padded copy."""
    tissue = dataset.get_tissue(tissue_id, kind="uniprot_filtered", preprocess=True, image_mode="CHW")
    mask = dataset.get_tissue_mask(tissue_id).mask
    _, height, width = tissue.image.shape
    means = [
        float(tissue.image[:, row : row + tile, col : col + tile].mean())
        for row in range(0, height - tile + 1, tile)
        for col in range(0, width - tile + 1, tile)
        if mask[row : row + tile, col : col + tile].mean() > 0.3
    ]
    raw = dataset.get_tissue(tissue_id, kind="uniprot_filtered", preprocess=False, image_mode="CHW")
    x = torch.nn.functional.pad(raw.image, pad=(pad, pad, pad, pad), mode="constant", value=0)
    x, refined = dataset.standardizer.apply(x, tissue_id, raw.measured_mask, raw.image_loading_mask)
    assert torch.equal(x[:, pad:-pad, pad:-pad], tissue.image)
    _, names, uniprot_ids = dataset._refine_channel_metadata(
        raw.image_loading_mask, raw.channel_names, raw.uniprot_ids, refined
    )
    assert names.tolist() == tissue.channel_names.tolist()
    assert uniprot_ids.tolist() == tissue.uniprot_ids.tolist()
    return means


def drop_marker(tissue: MultiplexTissue, marker: str) -> tuple[torch.Tensor, MultiplexTissue]:
    """Take one channel out of a tissue, in place."""
    target = tissue.channel_names == marker
    plane = tissue.image[torch.from_numpy(target)]
    tissue.image = tissue.image[torch.from_numpy(~target)]
    tissue.channel_names = tissue.channel_names[~target]
    tissue.uniprot_ids = tissue.uniprot_ids[~target]
    tissue.image_loading_mask = None
    return plane, tissue


def cell_means(dataset: MultiplexImagingDataset, tissue_ids: list[str]) -> dict[str, np.ndarray]:
    """Average markers per cell; tissues without a cell mask are skipped, as benchmarks do."""
    found = {}
    for tissue_id in tissue_ids:
        try:
            mask = dataset.get_cell_instance_mask(tissue_id).mask
        except ValueError:
            continue
        image = np.asarray(dataset.get_tissue(tissue_id, kind="complete", preprocess=False).image)
        labels = mask.numpy().reshape(-1)
        sums = np.stack([np.bincount(labels, weights=plane.reshape(-1)) for plane in image])
        found[tissue_id] = sums[:, 1:] / np.maximum(np.bincount(labels)[1:], 1)
    return found


def run(root: Path, *, name: str = "alpha", workers: int = 2) -> dict[str, object]:
    """Do all of it, and return what a test can look at."""
    dataset = MultiplexImagingDataset(
        name=name,
        path=root / name,
        modality="imc",
        standardization="quantile_clipping/uq_0.99_image",
        resolution=1.0,
        tile_size=32,
        tile_strategy="default",
        filter_list=(),
        use_mean_std=True,
        disable_quantile_mask=False,
        verbose=False,
        replace_nuclear_uniprot_ids=True,
    )
    bag = TileBag(dataset, "train")
    loader = DataLoader(bag, batch_size=4, num_workers=workers, collate_fn=list)
    tiles = [tile for batch in loader for tile in batch]
    everywhere = dataset.channel_list["channel_name"][dataset.image_channel_map.all(axis=0).to_numpy()]
    plane, rest = drop_marker(dataset.get_tile(tiles[0].tissue_id, 0), "CD8")
    composed = ComposedImagingDataset(
        name=name,
        path=root / name,
        modalities=["he", "imc"],
        resolution=1.0,
        tile_size=32,
        modality_kwargs={"imc": {"standardization": "identity"}, "codex": {"standardization": "identity"}},
    )
    spora = SporaDataset(
        dataset_names=[name],
        datasets_dir=root,
        modalities=["he", "imc"],
        resolution=1.0,
        tile_size=32,
        modality_kwargs={
            "imc": {"standardization": "quantile_clipping/uq_0.99_image"},
            "he": {"mean_std_type": "imagenet"},
        },
        seed=0,
    )
    return {
        "tiles": tiles,
        "embedding": embed_tissue(dataset, tiles[0].tissue_id),
        "everywhere": everywhere.tolist(),
        "plane": plane,
        "rest": rest,
        "cells": cell_means(dataset, dataset.get_tissue_ids(kind="modality")),
        "composed": composed.get_composed_tile(tiles[0].tissue_id, 1),
        "random": spora.sample_random_tile(),
    }
