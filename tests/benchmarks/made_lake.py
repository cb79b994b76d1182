"""The lake that the loader is measured on: IMC and H&E in the published format, drawn to compress like real ones."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks.history import MEASURES
from spora_db import SporaQuery, tile_mask
from spora_db.images import open_image, write_omezarr

KEPT = Path(__file__).resolve().parents[2] / ".benchmarks"
"""Where lakes are kept from run to run; `make clean` removes them."""

SPEC, CLIP = "quantile_clipping_log1p/uq_0.99_global", "quantile_clipping/uq_0.99_global"
UPPER, MEAN, STD = 20.0, 0.5, 0.6
CHANNELS = 43
FULL, SMALL = (1000, 1100), (500, 560)
"""Height and width of a tissue, where figures are wanted and where they are not."""


def cells(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Return labels of cells of 8 x 8 pixels, four of ten places empty."""
    seeds = rng.random((-(-height // 8), -(-width // 8))) < 0.6
    labels = np.where(seeds, np.arange(1, seeds.size + 1).reshape(seeds.shape), 0)
    return labels.repeat(8, 0).repeat(8, 1)[:height, :width]


def counts(labels: np.ndarray, channels: int, rng: np.random.Generator) -> np.ndarray:
    """Return counts per channel: a third of the cells have it, the background nearly nothing."""
    image = np.empty((channels, *labels.shape), np.float32)
    number = int(labels.max()) + 1
    for plane in image:
        level = rng.lognormal(0.5, 1.0, number) * (rng.random(number) < 0.35)
        level[0] = 0.05
        plane[:] = rng.poisson(level[labels])
    return image


def made_lake(folder: Path, tissues: int, counted: str = "float32") -> Path:
    """Return the lake of so many tissues: kept in `KEPT` where figures are wanted, a small one in ``folder`` else."""
    if not MEASURES:
        return write_lake(folder / "lake", tissues=2, shape=SMALL, counted=counted)
    kept = KEPT / (f"tissues-{tissues}" if counted == "float32" else f"tissues-{tissues}-{counted}")
    if not kept.is_dir():
        shutil.rmtree(kept.with_suffix(".part"), ignore_errors=True)
        write_lake(kept.with_suffix(".part"), tissues=tissues, shape=FULL, counted=counted).rename(kept)
    return kept


def write_lake(root: Path, *, tissues: int, shape: tuple[int, int], seed: int = 0, counted: str = "float32") -> Path:
    """Write tissues, a panel of 40 proteins and 3 others, masks, a greedy tiling of 224 pixels, two specifications."""
    rng, base, (height, width) = np.random.default_rng(seed), root / "synth", shape
    images = {modality: base / modality / "1_0mpp/images" for modality in ("imc", "he")}
    masks, specs = base / "segmentations/1_0mpp/tissue_masks", base / "imc/1_0mpp/standardization"
    for folder in (
        base / "metadata",
        *images.values(),
        masks,
        base / "tiling/1_0mpp/default",
        specs / SPEC,
        specs / CLIP,
    ):
        folder.mkdir(parents=True)
    names, records, tiles = [f"marker {number}" for number in range(CHANNELS)], [], []
    row, col = np.ogrid[:height, :width]
    for number in range(tissues):
        tissue, labels = f"synth_{number:04d}", cells(height, width, rng)
        write_omezarr(images["imc"] / f"{tissue}.ome.zarr", counts(labels, CHANNELS, rng).astype(counted), mpp=1.0)
        colours = rng.integers(150, 255, (3, height, width)).astype(np.uint8)
        colours[:, labels > 0] -= 60
        write_omezarr(images["he"] / f"{tissue}.ome.zarr", colours, mpp=1.0)
        centre, radius = rng.uniform(0.4, 0.6, 2), rng.uniform(0.15, 0.3, 2)
        mask = (row / height - centre[0]) ** 2 / radius[0] + (col / width - centre[1]) ** 2 / radius[1] < 1
        np.savez_compressed(masks / f"{tissue}.npz", mask=mask)
        corners = tile_mask(mask, tile_size=224, stride=112, tolerance=0.85, coverage_goal=1.0).tiles.tolist()
        tiles += [{"tissue_id": tissue, "tile_id": i, "row": r, "col": c} for i, (r, c) in enumerate(corners)]
        records += [{"tissue_id": tissue, "modality": modality, "split": "train"} for modality in images]
    pd.DataFrame(records).to_parquet(base / "metadata/tissues.parquet")
    pd.DataFrame(tiles).to_parquet(base / "tiling/1_0mpp/default/224_tile_coordinates.parquet")
    panel = pd.DataFrame({"channel_name": names, "qc_pass": True, "uniprot_id": [f"P{10_000 + i}" for i in range(43)]})
    panel.loc[40:, "uniprot_id"] = None
    panel.assign(is_nuclear_marker=False).to_parquet(base / "imc/channels.parquet")
    ids = pd.Index(sorted({record["tissue_id"] for record in records}), name="tissue_id")
    pd.DataFrame(True, ids, names).to_parquet(base / "imc/channels_per_tissue.parquet")
    for kind, value in (("upper_quantiles", UPPER), ("means", MEAN), ("stds", STD)):
        for spec in (SPEC, CLIP):
            pd.DataFrame([[value] * CHANNELS], columns=names).to_parquet(specs / spec / f"global_level_{kind}.parquet")
    return root


def places(lake: Path, modality: str, size: int, spec: str, count: int) -> SporaQuery:
    """Ask for so many tiles of a size at random places of all tissues."""
    images = sorted((lake / f"synth/{modality}/1_0mpp/images").iterdir())
    rng = np.random.default_rng(0)
    number = rng.integers(len(images), size=count)
    _, height, width = open_image(images[0]).shape
    table = pa.table(
        {
            "dataset": ["synth"] * count,
            "tissue_id": [images[i].name.removesuffix(".ome.zarr") for i in number],
            "tile_id": np.arange(count),
            "row": rng.integers(height - size, size=count),
            "col": rng.integers(width - size, size=count),
        }
    )
    return SporaQuery.from_arrow(lake, table).modality(modality).tiles(size=size, mpp=1.0).standardize(spec)
