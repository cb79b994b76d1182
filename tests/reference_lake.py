"""The lake of `published_figures`: two cohorts, five modalities, the quirks of published data; and masks to tile."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lakes import write_zarr

PANELS = {
    "imc": [
        ("MPO", True, "P05164", False),
        ("CD45", True, "P08575-8", False),
        ("DNA1", True, None, True),
        ("CD3e", True, "P07766", False),
        ("BadQC", False, "P62736", False),
        ("panCK", True, "not-an-id", False),
        ("Flat", True, "P01730", False),
        ("CD8", True, "P01732", False),
        ("LongAcc", True, "A0A024R161", False),
    ],
    "codex": [
        ("CD8", True, "P01732", False),
        ("DAPI", True, None, True),
        ("CD20", True, "P11836", False),
        ("CD3e", True, "P07766", False),
    ],
}
MODALITY = {"cohort_a": "imc", "cohort_b": "codex"}
LABELS, SCORES = ("x", "y", "x", None, "y"), (0.5, np.nan, 2.0, 3.5, 4.0)


def enlarged(coarse: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return a small square field drawn out to an image, linearly along both axes."""
    places = (np.linspace(0, len(coarse) - 1.001, length) for length in (height, width))
    (row, down), (col, right) = ((at.astype(int), at - at.astype(int)) for at in places)
    down, right = down[:, None], right[None]
    upper = coarse[row][:, col] * (1 - right) + coarse[row][:, col + 1] * right
    lower = coarse[row + 1][:, col] * (1 - right) + coarse[row + 1][:, col + 1] * right
    return upper * (1 - down) + lower * down


def tissue(rng: np.random.Generator, height: int, width: int, *, grid: int, share: float) -> np.ndarray:
    """Return a mask of smooth pieces that cover a share of the image."""
    field = enlarged(rng.random((grid, grid)), height, width)
    return field > np.quantile(field, 1 - share)


def greedy_cases() -> Iterator[tuple[str, np.ndarray, dict[str, Any]]]:
    """Yield the names, masks and arguments of the published greedy tilings."""
    rng = np.random.default_rng(1)

    def options(tile: int, stride: int, tolerance: float, goal: float, gain: float, **more: object) -> dict[str, Any]:
        bounds = {"tolerance": tolerance, "coverage_goal": goal, "min_gain_ratio": gain}
        return {"tile_size": tile, "stride": stride, **bounds, **more}

    yield "full", np.ones((700, 900), bool), options(128, 64, 0.2, 0.99, 0.05)
    yield "empty", np.zeros((300, 300), bool), {"tile_size": 64, "stride": 32}
    yield "small", np.ones((40, 300), bool), options(64, 32, 0.5, 1.0, 0.0)
    yield "noise", rng.random((611, 577)) < 0.4, options(64, 16, 0.7, 0.9, 0.1)
    squares = (rng.random((20, 22)) < 0.6).repeat(32, 0).repeat(32, 1)
    yield "ties", squares, options(64, 32, 0.85, 1.0, 0.05)
    for number, (shape, share, arguments) in enumerate(
        [
            ((1500, 1300), 0.5, (224, 112, 0.85, 1.0, 0.05)),
            ((1500, 1300), 0.3, (224, 224, 0.95, 0.95, 0.1)),
            ((2100, 1900), 0.6, (128, 64, 0.85, 1.0, 0.05)),
            ((997, 1203), 0.4, (256, 50, 0.5, 0.98, 0.0)),
            ((1024, 1024), 0.2, (224, 37, 0.9, 0.8, 0.3)),
            ((3000, 800), 0.7, (224, 112, 0.2, 0.99, 0.05)),
        ]
    ):
        yield f"blobs{number}", tissue(rng, *shape, grid=5 + 2 * number, share=share), options(*arguments)
    yield "capped", tissue(rng, 900, 900, grid=9, share=0.6), options(96, 48, 0.85, 1.0, 0.05, max_tiles=17)
    yield "disjoint", tissue(rng, 900, 950, grid=9, share=0.6), options(96, 31, 0.85, 1.0, 0.05, allow_overlap=False)


def grid_cases() -> Iterator[tuple[str, np.ndarray, dict[str, Any]]]:
    """Yield the names, masks and arguments of the published grid tilings."""
    rng = np.random.default_rng(2)
    for number, (shape, tile, stride, tolerance) in enumerate(
        [
            ((700, 900), 224, 224, 0.85),
            ((500, 333), 128, 64, 0.5),
            ((100, 90), 128, 128, 0.9),
            ((1001, 999), 224, 112, 0.0),
            ((640, 640), 64, 64, 0.99),
        ]
    ):
        mask = tissue(rng, *shape, grid=6 + number, share=0.5)
        yield f"grid{number}", mask, {"tile_size": tile, "stride": stride, "tolerance": tolerance}


def write_reference_lake(root: Path) -> Path:
    """Write the lake: the third tissues lack two channels, the fourth H&E; the first two have IHC; no tiling yet."""
    rng = np.random.default_rng(1)
    for cohort, modality in MODALITY.items():
        write_cohort(root / cohort, modality, rng)
    return root


def write_cohort(base: Path, modality: str, rng: np.random.Generator) -> None:
    panel = pd.DataFrame(PANELS[modality], columns=["channel_name", "qc_pass", "uniprot_id", "is_nuclear_marker"])
    masks, rows, measured = base / "segmentations/1_0mpp", [], {}
    for folder in (base / "metadata", masks / "tissue_masks", masks / "cell_masks/instances"):
        folder.mkdir(parents=True)

    def image(folder: str, name: str, pixels: np.ndarray) -> None:
        images = base / folder / "1_0mpp/images"
        images.mkdir(parents=True, exist_ok=True)
        write_zarr(images / f"{name}.ome.zarr", pixels, chunk=64, shard=128)
        rows.append({**record, "modality": folder.rsplit("/", 1)[-1]})

    for number in range(5):
        name = f"{base.name}_{number:04d}"
        record = {
            "tissue_id": name,
            "dataset": base.name,
            "patient_id": f"{base.name}_p{number // 2}",
            "specimen_id": str(number),
            "split": ("train", "test")[number % 2],
            "label": LABELS[number],
            "score": SCORES[number],
        }
        height, width = rng.integers(150, 260, 2)
        measured[name] = np.array([number != 2 or channel not in (1, 3) for channel in range(len(panel))])
        image(modality, name, signal(rng, modality, height, width)[measured[name]])
        for folder, has in (("he", number != 3), ("ihc/ihc_CD3", number < 2)):
            if has:
                image(folder, name, rng.integers(0, 256, (3, height, width)).astype(np.uint8))
        np.savez_compressed(masks / f"tissue_masks/{name}.npz", mask=tissue(rng, height, width, grid=5, share=0.6))
        cells = rng.integers(0, 50, (height, width)).astype(np.uint16)
        np.savez_compressed(masks / f"cell_masks/instances/{name}.npz", mask=cells)
    tissues = pd.DataFrame(rows)
    tissues.insert(0, "index", np.arange(len(tissues)) + 1000)  # reset_index left it, as in published tables
    tissues.to_parquet(base / "metadata/tissues.parquet")
    panel.to_parquet(base / modality / "channels.parquet")
    table = pd.DataFrame.from_dict(measured, orient="index", columns=panel["channel_name"].tolist())
    table.rename_axis("tissue_id").to_parquet(base / modality / "channels_per_tissue.parquet")


def signal(rng: np.random.Generator, modality: str, height: int, width: int) -> np.ndarray:
    """Return all channels of a tissue: float32 IMC whose channel Flat is empty, uint16 CODEX."""
    channels = len(PANELS[modality])
    scale = rng.lognormal(1.5, 0.7, channels)
    pixels = rng.gamma(0.6, scale[:, None, None], (channels, height, width))
    if modality == "codex":
        return (pixels * 200).clip(0, 60_000).astype(np.uint16)
    pixels[6] = 0
    return pixels.clip(0, 60_000).astype(np.float32)
