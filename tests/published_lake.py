"""A small lake with all that the published classes read: `write_lake`, and IHC, masks, cells, cell tasks and labels."""

from pathlib import Path

import numpy as np
import pandas as pd

from lakes import coordinates_image, write_lake, write_zarr

CELL_TYPES = ["background", "T cell", "B cell"]
LABELS = ["y", "x", None, "z"]


def rgb(number: int, size: int = 96) -> np.ndarray:
    """Return the H&E pixels of a tissue: uint8 (3, H, W)."""
    return (coordinates_image(3, size, size, offset=number) % 251).astype(np.uint8)


def cells(number: int, size: int = 96) -> np.ndarray:
    """Return the cell instances of a tissue: 16-pixel squares, every second one empty."""
    squares = np.arange((size // 16) ** 2).reshape(size // 16, size // 16)
    return np.kron(np.where(squares % 2, squares + number, 0), np.ones((16, 16))).astype(np.uint16)


def write_published_lake(root: Path, *, names: tuple[str, ...] = ("alpha", "beta")) -> Path:
    """Write the lake; labels differ by tissue, `score` is numeric, `grade` whole numbers, patients are ints in beta."""
    write_lake(root, names=names)
    for name in names:
        base = root / name
        tissues = pd.read_parquet(base / "metadata/tissues.parquet")
        number = tissues["tissue_id"].str[-4:].astype(int)
        tissues["label"] = [LABELS[i] for i in number]
        tissues["score"] = [[0.5, np.nan, 2.0, 3.5][i] for i in number]
        tissues["grade"] = number % 3
        if name == "beta":
            tissues["patient_id"] = number // 2 + 170
        ihc = tissues[tissues["modality"] == "he"].iloc[:2].assign(modality="ihc_Ki67")
        pd.concat([tissues, ihc]).to_parquet(base / "metadata/tissues.parquet")
        masks = base / "segmentations/1_0mpp"
        for folder in ("ihc/ihc_Ki67/1_0mpp/images", masks / "tissue_masks", masks / "cell_masks/instances",
                       masks / "cell_masks/types"):  # fmt: skip
            (base / folder).mkdir(parents=True)
        rows = []
        for i in range(4):
            tissue = f"{name}_{i:04d}"
            if i < 2:
                write_zarr(base / "ihc/ihc_Ki67/1_0mpp/images" / f"{tissue}.ome.zarr", rgb(i + 50))
            mask = np.zeros((96, 96), np.uint8)
            mask[8:80] = 255
            np.savez_compressed(masks / "tissue_masks" / f"{tissue}.npz", mask=mask)
            np.savez_compressed(masks / "cell_masks/instances" / f"{tissue}.npz", mask=cells(i))
            np.savez_compressed(masks / "cell_masks/types" / f"{tissue}.npz", mask=np.sign(cells(i)).astype(np.uint8))
            rows += [{"tissue_id": tissue, "cell_id": int(c), "cell_type": "T cell"} for c in np.unique(cells(i))[1:]]
        pd.DataFrame(rows).to_parquet(base / "metadata/cells.parquet")
        pd.DataFrame({"name": CELL_TYPES, "id": range(3)}).to_parquet(masks / "cell_masks/types/label_encoder.parquet")
    return root
