"""The published cohort and the real lake, asked as a user would ask them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
import zarr

from spora_db import Catalog, SporaQuery
from spora_db.errors import UnknownNameError

SPEC = "quantile_clipping_log1p/uq_0.99_image"


@pytest.fixture(scope="module")
def cords(released_cohort: Path) -> Path:
    return released_cohort


@pytest.fixture(scope="module")
def real_lake(tiff_lake: Path) -> Path:
    return tiff_lake


def test_the_released_cohort_counts_27_tiles_of_40_channels(cords):
    query = SporaQuery(cords).modality("imc").tiles(size=128).channels(kind="uniprot_filtered").standardize(SPEC)
    assert query.count() == 27
    dataset = query.to_torch()
    assert len(dataset) == 27
    for sample in (dataset[0], dataset[26]):
        assert sample["image"].shape == (40, 128, 128)
        assert sample["image"].dtype == torch.float32
        assert torch.isfinite(sample["image"]).all()


def test_the_released_cohort_against_the_formula_in_float64(cords):
    sample = SporaQuery(cords).modality("imc").tiles(size=128).standardize(SPEC).to_torch()[5]
    panel = pd.read_parquet(cords / "imc/channels.parquet")["channel_name"].tolist()
    folder = cords / "imc/1_0mpp/standardization" / SPEC
    upper = pd.read_parquet(folder / "image_level_upper_quantiles.parquet").loc[sample["tissue_id"]]
    mean, std = (pd.read_parquet(folder / f"global_level_{name}.parquet").iloc[0] for name in ("means", "stds"))
    image = zarr.open(cords / f"imc/1_0mpp/images/{sample['tissue_id']}.ome.zarr")["0"]
    pages = [panel.index(name) for name in sample["channel_names"]]
    row, col = sample["row"], sample["col"]
    raw = np.asarray(image[:, row : row + 128, col : col + 128])[pages].astype(np.float64)
    bounds = [table[sample["channel_names"]].to_numpy(np.float64)[:, None, None] for table in (upper, mean, std)]
    expected = (np.log1p(np.clip(raw, 0, bounds[0])) - bounds[1]) / (bounds[2] + 1e-8)
    assert np.abs(sample["image"].numpy() - expected).max() < 1e-5


def test_a_modality_that_is_not_there_is_an_error_that_says_which_are(cords):
    with pytest.raises(UnknownNameError, match=r"'he'.*imc"):
        SporaQuery(cords).modality("he").tiles(size=128).count()


def test_three_cohorts_in_one_catalog(real_lake):
    with Catalog(real_lake) as catalog:
        rows = catalog.sql("SELECT dataset, grade FROM tissues ORDER BY ALL").fetchall()
        schema = catalog.schema().df().query("relation == 'tissues' and column == 'grade'").iloc[0]
    expected = []
    for name in ("breast_imc", "lymph_codex", "skin_he"):
        grades = pd.read_parquet(real_lake / name / "metadata/tissues.parquet")["grade"]
        expected += [(name, None if pd.isna(grade) else str(grade)) for grade in grades]
    assert sorted(rows, key=str) == sorted(expected, key=str)
    assert schema["type"] == "VARCHAR"
    assert "DOUBLE" in schema["cohorts"]


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("modality", "mpp", "dataset"),
    [
        ("imc", 1.0, "breast_imc"),
        ("codex", 0.5, "lymph_codex"),
        ("he", 0.5, "skin_he"),
        ("ihc_Ki67", 0.5, "skin_he"),
        ("ihc_kidney", 0.5, "skin_he"),
    ],
)
def test_tissues_and_tiles_of_every_modality(real_lake, modality, mpp, dataset):
    whole = SporaQuery(real_lake).modality(modality).tissues(mpp=mpp).to_torch()[0]
    folder = f"ihc/{modality}" if modality.startswith("ihc") else modality
    (file,) = (real_lake / dataset / folder).rglob("*.ome.tiff")
    image = tifffile.imread(file)
    image = np.moveaxis(image, -1, 0) / 255.0 if image.dtype == np.uint8 else image
    assert whole["dataset"] == dataset
    assert np.abs(whole["image"].numpy() - image.astype(np.float32)).max() < 1e-6
    corner = f"""
        SELECT dataset, tissue_id, 0 AS tile_id, 100 AS "row", 37 AS col FROM images WHERE modality = '{modality}'
    """
    tile = SporaQuery.from_sql(real_lake, corner).modality(modality).tiles(size=224, mpp=str(mpp)).to_torch()[0]
    assert torch.equal(tile["image"], whole["image"][:, 100:324, 37:261])
