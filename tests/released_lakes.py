"""Made twins of the shared data: a cohort as it was released, and three cohorts of real pixels in OME-TIFF.

They have the layout, the types, the stray columns, the encodings and the counts of the originals; pixels, cells and
statistics are drawn. Tests run on the twins always and on the originals where they are.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import tifffile

from spora_db.images import write_omezarr

COHORT, TISSUE = "cords2024cancer", "cords2024cancer_ocmzljpb_0001"
SPEC = "quantile_clipping_log1p/uq_0.99_image"
SIZE, CELLS, TISSUES = (330, 310), 2185, 2040
WITHOUT_PROTEIN = {"PNAd": 26, "Iridium": 38, "Iridium (V2)": 39}
"""Channels that have no accession, and where they stand."""
ODD_NAMES = {"HLA-DR": 5, "Collagen I+Fibronectin": 9, "TCF1/TCF7": 21, "CD31+vWF": 33, "Ki-67": 40}


def write_table(path: Path, frame: pd.DataFrame) -> None:
    """Write a table with plain strings, as pandas of its day did; the index as pandas keeps it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pandas(frame)
    plain = [field.with_type(pa.string()) if pa.types.is_large_string(field.type) else field for field in table.schema]
    pq.write_table(table.cast(pa.schema(plain, table.schema.metadata)), path)


def channel_names() -> list[str]:
    names = [f"marker {number}" for number in range(43)]
    for name, place in (WITHOUT_PROTEIN | ODD_NAMES).items():
        names[place] = name
    return names


def write_released_cohort(base: Path) -> Path:
    """Write the cohort: one tissue of 43 channels, 2,185 cells, 27 tiles, statistics of 2,040 tissues."""
    rng, names = np.random.default_rng(0), channel_names()
    write_tissues_and_cells(base)
    accessions = [None if name in WITHOUT_PROTEIN else f"P{10_000 + place}" for place, name in enumerate(names)]
    accessions[25] = f"{accessions[25]}-8"  # an isoform
    write_table(
        base / "imc/channels.parquet",
        pd.DataFrame(
            {
                "channel_name": names,
                "qc_pass": True,
                "uniprot_id": accessions,
                "is_nuclear_marker": [name.startswith("Iridium") for name in names],
                "description": [None if place % 3 else f"protein {place}" for place in range(len(names))],
                "original_channel_name": [f"{name} (clone)" for name in names],
            }
        ),
    )
    measured = pd.DataFrame(True, index=pd.Index([TISSUE], name="tissue_id"), columns=names)
    write_table(base / "imc/channels_per_tissue.parquet", measured)
    folder = base / "imc/1_0mpp/standardization" / SPEC
    tissues = [TISSUE, *(f"{COHORT}_aaubexco_{number:04d}" for number in range(TISSUES - 1))]
    upper = rng.lognormal(1, 1, (TISSUES, len(names))).astype(np.float32)
    write_table(folder / "image_level_upper_quantiles.parquet", pd.DataFrame(upper, tissues, names))
    for kind in ("means", "stds"):
        values = rng.uniform(0.1, 1, (1, len(names))).astype(np.float32)
        write_table(folder / f"global_level_{kind}.parquet", pd.DataFrame(values, columns=names))
    write_masks_and_tiles(base)
    images = base / "imc/1_0mpp/images"
    images.mkdir(parents=True)
    write_omezarr(images / f"{TISSUE}.ome.zarr", rng.poisson(2.0, (len(names), *SIZE)).astype(np.float32), mpp=1.0)
    return base


def write_tissues_and_cells(base: Path) -> None:
    tissue = {"index": 28_128, "tissue_id": TISSUE, "dataset": COHORT, "patient_id": "ocmzljpb", "specimen_id": "0001"}
    clinical = {"alignment": None, "Age": 48.0, "Chemo5": np.nan, "Patient_Nr": 170.0, "T.new": 2.0, "X..spots": 340.0}
    tissue |= {"modality": "imc", **clinical, "cancer_type": "Adenocarcinoma", "split": "test", "grade_merged": "1-2"}
    write_table(base / "metadata/tissues.parquet", pd.DataFrame([tissue]))
    numbers = np.arange(1, CELLS + 1)
    cells = pd.DataFrame({"index": numbers + 366_671, "tissue_id": TISSUE})
    cells["Unnamed: 0"] = [f"175_C_57_{number}" for number in numbers]
    cells["cell_type"] = np.array(["mCAF", "Bcell", "tumour"])[numbers % 3]
    cells["cell_id"] = numbers
    write_table(base / "metadata/cells.parquet", cells)


def write_masks_and_tiles(base: Path) -> None:
    """Write cells of 4 x 6 pixels in a square of tissue, and tiles that lie in it."""
    row, col = np.ogrid[: SIZE[0], : SIZE[1]]
    label = row // 6 * (SIZE[1] // 7) + col // 7 + 1
    cells = np.where((row % 6 < 4) & (col % 7 < 6) & (col < 308) & (label <= CELLS), label, 0).astype(np.uint16)
    for kind, mask in (("tissue_masks", (row < 320) & (col < 300)), ("cell_masks/instances", cells)):
        folder = base / "segmentations/1_0mpp" / kind
        folder.mkdir(parents=True)
        np.savez_compressed(folder / f"{TISSUE}.npz", mask=mask)
    corners = [(64 * down, 19 * across) for down in range(3) for across in range(9)]
    tiles = pd.DataFrame(corners, columns=["row", "col"]).assign(tissue_id=TISSUE, tile_id=range(27), index=range(27))
    folder = base / "tiling/1_0mpp/default"
    write_table(folder / "128_tile_coordinates.parquet", tiles[["index", "tissue_id", "tile_id", "row", "col"]])
    stats = {
        "mask_height": SIZE[0], "mask_width": SIZE[1], "tissue_mask_frac": 0.94, "num_tiles": 27,
        "coverage_ratio": 0.9, "covered_valid_pixels": 86_400, "total_valid_pixels": 96_000, "candidate_count": 30,
        "stop_reason": "coverage_goal_reached", "tile_size": 128, "stride": 64, "tolerance": 0.95,
        "coverage_goal": 0.95, "min_gain_ratio": 0.1,
    }  # fmt: skip
    write_table(folder / "128_tile_stats.parquet", pd.DataFrame(stats, pd.Index([TISSUE], name="tissue_id")))


IMAGES = (
    ("breast_imc", "imc", "1_0mpp", "float32", (4, 375, 441), {"compression": "zlib", "tile": (128, 128)}),
    (
        "lymph_codex", "codex", "0_5mpp", "uint16", (5, 400, 420),
        {"compression": "zstd", "tile": (256, 256), "byteorder": ">"},
    ),
    ("skin_he", "he", "0_5mpp", "uint8", (967, 720, 3), {"compression": "jpeg", "tile": (256, 256)}),
    ("skin_he", "ihc_kidney", "0_5mpp", "uint8", (901, 993, 3), {"compression": "lzw", "tile": (256, 256)}),
    ("skin_he", "ihc_Ki67", "0_5mpp", "uint8", (902, 902, 3), {"compression": "jpeg", "tile": (512, 512)}),
)  # fmt: skip
"""Dataset, modality, resolution, type, shape, encoding."""

GRADES = {"breast_imc": [2.0], "lymph_codex": [None], "skin_he": ["unknown", "II", "unknown"]}
"""Of another type in every cohort."""

PANELS = {
    "imc": [("H3", "P68431", True), ("191Ir", None, True), ("193Ir", None, True), ("SOX9", "P48436", False)],
    "codex": [
        ("DAPI", None, True),
        ("CD4", "P01730", False),
        ("CD8", "P01732", False),
        ("FOXP3", "Q9BZS1", False),
        ("BCL6", "P41182", False),
    ],
}


def draw(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Return an image of squares of one value: (H, W, 3) colours for uint8, else (C, H, W)."""
    if dtype == "uint8":
        coarse = rng.integers(0, 256, (shape[0] // 20 + 1, shape[1] // 20 + 1, 3), np.uint8)
        return coarse.repeat(20, 0).repeat(20, 1)[: shape[0], : shape[1]]
    coarse = rng.random((shape[0], *(side // 10 + 1 for side in shape[1:])))
    return (coarse.repeat(10, 1).repeat(10, 2)[:, : shape[1], : shape[2]] * 60_000).astype(dtype)


def write_tiff_lake(root: Path) -> Path:
    """Write IMC, CODEX, H&E and two stains as OME-TIFF: float32 deflate, uint16 big-endian zstd, JPEG, LZW."""
    rng, rows = np.random.default_rng(0), {name: [] for name in GRADES}
    for dataset, modality, mpp, dtype, shape, encoding in IMAGES:
        base, number = root / dataset, len(rows[dataset]) + 1
        patient = f"{modality.lower().replace('_', ''):a<8.8}"
        tissue = f"{dataset}_{patient}_{number:04d}"
        images = base / ("ihc" if modality.startswith("ihc") else "") / modality / mpp / "images"
        masks = base / "segmentations" / mpp / "tissue_masks"
        for folder in (images, masks):
            folder.mkdir(parents=True, exist_ok=True)
        colours, pixels = dtype == "uint8", draw(rng, shape, dtype)
        tifffile.imwrite(
            images / f"{tissue}.ome.tiff", pixels, photometric="rgb" if colours else "minisblack",
            metadata={"axes": "YXS" if colours else "CYX"}, **encoding,
        )  # fmt: skip
        np.savez_compressed(masks / f"{tissue}.npz", mask=np.ones(shape[:2] if colours else shape[1:], bool))
        record = {"tissue_id": tissue, "dataset": dataset, "patient_id": patient, "specimen_id": f"{number:04d}"}
        record |= {"modality": modality, "split": "test" if modality == "ihc_kidney" else "train"}
        rows[dataset].append(record | {"cancer_type": None if modality in ("he", "ihc_Ki67") else modality.upper()})
        if modality in PANELS:
            panel = pd.DataFrame(PANELS[modality], columns=["channel_name", "uniprot_id", "is_nuclear_marker"])
            panel.insert(1, "qc_pass", panel["channel_name"] != "BCL6")
            panel.to_parquet(base / modality / "channels.parquet")
            measured = pd.DataFrame(True, pd.Index([tissue], name="tissue_id"), panel["channel_name"].tolist())
            measured.to_parquet(base / modality / "channels_per_tissue.parquet")
    for dataset, found in rows.items():
        (root / dataset / "metadata").mkdir()
        pd.DataFrame(found).assign(grade=GRADES[dataset]).to_parquet(root / dataset / "metadata/tissues.parquet")
    return root
