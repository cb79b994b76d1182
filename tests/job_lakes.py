"""Lakes for runs over many tissues: masks alone, or images of two panels whose every statistic numpy can give."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from lakes import write_zarr

MARKERS = ("DNA", "CD3e", "CD8")


def blob_mask(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return a few discs, as tissue lies on a slide."""
    rows, cols = np.mgrid[:height, :width]
    mask = np.zeros((height, width), bool)
    for _ in range(4):
        row, col, radius = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(0.15, 0.4) * min(height, width)
        mask |= (rows - row) ** 2 + (cols - col) ** 2 < radius**2
    return mask


def write_masks(root: Path, *, tissues: int = 6, size: int = 200, name: str = "cohort", seed: int = 0) -> Path:
    """Write a dataset of masks alone."""
    rng = np.random.default_rng(seed)
    folder = mask_folder(root, name)
    folder.mkdir(parents=True)
    (root / name / "metadata").mkdir()
    for i in range(tissues):
        height, width = rng.integers(size * 3 // 4, size, 2)
        np.savez_compressed(folder / f"{name}_{i:04d}.npz", mask=blob_mask(rng, height, width))
    return root


def write_images(
    root: Path, *, dtype: str = "float32", modality: str = "imc", tissues: int = 4, size: int = 90, name: str = "cohort"
) -> Path:
    """Write a dataset of images with masks and a panel of three markers; the third tissue lacks CD3e."""
    write_masks(root, tissues=tissues, size=size, name=name)
    rng = np.random.default_rng(1)
    folder = root / name / modality / "1_0mpp/images"
    folder.mkdir(parents=True)
    measured = {}
    for i in range(tissues):
        tissue = f"{name}_{i:04d}"
        present = np.array([True, i != 2, True])
        image = rng.gamma(0.6, 40.0, (3, *read_mask(root, tissue, name).shape))
        write_zarr(folder / f"{tissue}.ome.zarr", image[present].astype(dtype))
        measured[tissue] = present
    panel = pd.DataFrame(
        {"channel_name": MARKERS, "qc_pass": True, "uniprot_id": [None, "P07766", "P01732"], "is_nuclear_marker": False}
    )
    panel.to_parquet(root / name / modality / "channels.parquet")
    table = pd.DataFrame.from_dict(measured, orient="index", columns=list(MARKERS)).rename_axis("tissue_id")
    table.to_parquet(root / name / modality / "channels_per_tissue.parquet")
    return root


def mask_folder(root: Path, name: str = "cohort") -> Path:
    return root / name / "segmentations/1_0mpp/tissue_masks"


def read_mask(root: Path, tissue: str, name: str = "cohort") -> np.ndarray:
    with np.load(mask_folder(root, name) / f"{tissue}.npz") as archive:
        return archive["mask"]


def contents(root: Path, pattern: str = "**/*") -> dict[str, str]:
    """Return the digest of every file that a run writes: tables, failures."""
    kinds = ("tiling/", "standardization/")
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.glob(pattern))
        if path.is_file() and any(kind in path.as_posix() for kind in kinds)
    }


def hidden(root: Path) -> list[str]:
    """Return what a run has left behind."""
    return [path.relative_to(root).as_posix() for path in root.rglob(".*")]
