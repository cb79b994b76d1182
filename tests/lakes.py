"""Small lakes for tests: a few tissues in the published layout, every pixel known."""

from pathlib import Path

import numpy as np
import pandas as pd
import zarr
from zarr.codecs import BloscCodec

PANEL = [
    ("DNA", True, None, True),
    ("CD3e", True, "P07766", False),
    ("CD8", True, "P01732-2", False),
    ("Bad", False, "P62736", False),
    ("Junk", True, "not-an-id", False),
]


def coordinates_image(channels: int, height: int, width: int, offset: int = 0) -> np.ndarray:
    """Return pixels that encode their own place: channel * 1e4 + row * 100 + col + offset, modulo 2**16, float32."""
    c, r, x = np.ogrid[:channels, :height, :width]
    return ((c * 10_000 + r * 100 + x + offset) % 65_536).astype(np.float32)


def write_zarr(path: Path, image: np.ndarray, chunk: int = 32, shard: int = 64) -> None:
    group = zarr.open_group(path, mode="w", zarr_format=3)
    array = group.create_array(
        "0",
        shape=image.shape,
        dtype=image.dtype,
        shards=(image.shape[0], shard, shard),
        chunks=(image.shape[0], chunk, chunk),
        compressors=BloscCodec(cname="lz4", clevel=3, shuffle="bitshuffle"),
        dimension_names=["c", "y", "x"],
        config={"write_empty_chunks": True},
    )
    array[:] = image


def write_lake(root: Path, *, names: tuple[str, ...] = ("alpha", "beta"), tissues: int = 4, size: int = 96) -> Path:
    """Write cohorts `names`: IMC and H&E, 32-pixel tiles on a grid, statistics; the third tissue lacks CD3e and H&E."""
    for d, name in enumerate(names):
        base, rows, tiles, measured = root / name, [], [], {}
        for folder in ("metadata", "imc/1_0mpp/images", "he/1_0mpp/images", "tiling/1_0mpp/default"):
            (base / folder).mkdir(parents=True)
        for i in range(tissues):
            tissue = f"{name}_{i:04d}"
            present = np.ones(len(PANEL), bool)
            present[1] = i != 2
            measured[tissue] = present
            image = coordinates_image(len(PANEL), size, size, offset=17 * i + 5 * d)
            write_zarr(base / "imc/1_0mpp/images" / f"{tissue}.ome.zarr", image[present])
            record = {
                "tissue_id": tissue,
                "patient_id": f"p{i // 2}",
                "specimen_id": str(i),
                "split": ["train", "test"][i % 2],
                "cancer_type": ["LUAD", "BRCA"][i // 2 % 2],
                "age": 40 + 10 * i,
                "X..spots": float(i),
            }
            rows.append({**record, "modality": "imc"})
            if i != 2:
                rgb = (coordinates_image(3, size, size, offset=i) % 251).astype(np.uint8)
                write_zarr(base / "he/1_0mpp/images" / f"{tissue}.ome.zarr", rgb)
                rows.append({**record, "modality": "he"})
            corners = [(r, c) for r in range(0, size, 32) for c in range(0, size, 32)]
            tiles += [{"tissue_id": tissue, "tile_id": t, "row": r, "col": c} for t, (r, c) in enumerate(corners)]
        pd.DataFrame(rows).to_parquet(base / "metadata/tissues.parquet")
        pd.DataFrame(tiles).to_parquet(base / "tiling/1_0mpp/default/32_tile_coordinates.parquet")
        columns = [channel[0] for channel in PANEL]
        pd.DataFrame(PANEL, columns=["channel_name", "qc_pass", "uniprot_id", "is_nuclear_marker"]).to_parquet(
            base / "imc/channels.parquet"
        )
        wide = pd.DataFrame.from_dict(measured, orient="index", columns=columns).rename_axis("tissue_id")
        wide.to_parquet(base / "imc/channels_per_tissue.parquet")
        folder = base / "imc/1_0mpp/standardization/quantile_clipping/uq_0.99_image"
        folder.mkdir(parents=True)
        quantiles = pd.DataFrame(1_000.0 + 1_000 * np.arange(len(PANEL)), index=columns).T
        quantiles = pd.concat([quantiles] * tissues).set_axis(pd.Index(list(measured)))
        quantiles.where(wide.to_numpy()).to_parquet(folder / "image_level_upper_quantiles.parquet")
        for kind, value in (("means", 0.5), ("stds", 0.25)):
            pd.DataFrame([[value] * len(columns)], columns=columns).to_parquet(folder / f"global_level_{kind}.parquet")
    return root
