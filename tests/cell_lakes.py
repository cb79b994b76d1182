"""Masks and cells for the lakes of `lakes.write_lake`, every value known."""

from pathlib import Path

import numpy as np
import pandas as pd

SIZE = 96


def instance_mask(number: int, size: int = SIZE) -> np.ndarray:
    """Return ragged cells of about 7 x 5 pixels, labels 3, 6, 9, ...; another mask for every number."""
    rng = np.random.default_rng(number)
    r, c = np.ogrid[:size, :size]
    labels = 3 * (1 + (r // 8) * (size // 8) + c // 8)
    inside = (r % 8 < 7) & (c % 8 < 5) & (rng.random((size, size)) < 0.8)
    return np.where(inside, labels, 0).astype(np.uint16)


def write_mask(path: Path, mask: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, mask=mask)
    return path


def write_masks(lake: Path, *, mpp: str = "1_0mpp") -> dict[tuple[str, str, str], np.ndarray]:
    """Write a tissue mask, an instance mask and a task for every tissue; return them by dataset, kind and tissue."""
    masks = {}
    for base in sorted(path for path in lake.iterdir() if path.is_dir()):
        folder = base / "segmentations" / mpp
        for number, tissue in enumerate(tissues_of(base)):
            instances = instance_mask(number + 10 * (base.name == "beta"))
            r, c = np.ogrid[:SIZE, :SIZE]
            found = {
                "tissue": (r - 40) ** 2 + (c - 50) ** 2 < (30 + number) ** 2,
                "instances": instances,
                "kind": np.where(instances > 0, instances % 5, 0).astype(np.int64),
            }
            write_mask(folder / "tissue_masks" / f"{tissue}.npz", found["tissue"])
            for kind in ("instances", "kind"):
                write_mask(folder / "cell_masks" / kind / f"{tissue}.npz", found[kind])
            masks |= {(base.name, kind, tissue): mask for kind, mask in found.items()}
    return masks


def tissues_of(base: Path) -> list[str]:
    table = pd.read_parquet(base / "metadata/tissues.parquet")
    return sorted(set(table["tissue_id"]))


def centroids(mask: np.ndarray) -> pd.DataFrame:
    """Return label, row and col of every cell, in float64 by numpy: the oracle."""
    count = np.bincount(mask.ravel())
    rows = np.bincount(mask.ravel(), weights=np.indices(mask.shape)[0].ravel())
    cols = np.bincount(mask.ravel(), weights=np.indices(mask.shape)[1].ravel())
    labels = np.flatnonzero(count)
    labels = labels[labels > 0]
    return pd.DataFrame({"cell_id": labels, "row": rows[labels] / count[labels], "col": cols[labels] / count[labels]})


def write_cells(
    base: Path, masks: dict[tuple[str, str, str], np.ndarray], *, names: tuple[str, str] | None = None
) -> pd.DataFrame:
    """Write a cells table of a dataset, with centroid columns of these `names`; return it with the true places."""
    frames = []
    for tissue in tissues_of(base):
        frame = centroids(masks[base.name, "instances", tissue]).sample(frac=1, random_state=0, ignore_index=True)
        frame.insert(0, "tissue_id", tissue)
        frame["cell_type"] = np.array(["B cell", "T cell", "tumour", None], object)[frame["cell_id"] // 3 % 4]
        frame["area"] = frame["cell_id"] * 1.5
        frame["count"] = frame["cell_id"].where(frame["cell_id"] % 2 == 0)
        frame["age"] = -1  # tissues have such a column too
        frames.append(frame)
    cells = pd.concat(frames, ignore_index=True)
    written = cells.drop(columns=["row", "col"])
    if names:
        written[names[0]], written[names[1]] = cells["row"] + 0.25, cells["col"] - 0.25  # not those of the mask
    written.to_parquet(base / "metadata/cells.parquet")
    return cells.assign(dataset=base.name)
