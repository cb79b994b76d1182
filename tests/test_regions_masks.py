"""Regions as masks, against a loop over the centres of pixels; delivered with samples, validated, named."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from typer.testing import CliRunner

from lakes import write_lake
from region_lakes import blob, box, write_regions
from spora_db import SporaQuery
from spora_db.cli import app
from spora_db.errors import ArgumentError, MaskNotFoundError, WriteError
from spora_db.jobs.region_masks import write_region_masks
from spora_db.masks import load_label_mask
from spora_db.validation import validate

REGIONS = {
    "alpha": [
        ("alpha_0000", "1", "tumor", blob(1, at=(40, 40), radius=45)),
        ("alpha_0000", "2", "tumor", box(60, 60, 96, 200)),
        ("alpha_0000", "3", "necrosis", box(32, 32, 64.5, 59.5)),
        ("alpha_0000", "4", None, box(0, 0, 20, 20)),
        ("alpha_0002", "1", None, box(0, 0, 20, 20)),
    ],
    "beta": [("beta_0001", "1", "stroma", shapely.box(0, 0, 96, 96).difference(blob(2, at=(50, 50), radius=30)))],
}
NUMBERS = {"necrosis": 1, "stroma": 2, "tumor": 3}


@pytest.fixture
def lake(tmp_path):
    root = write_lake(tmp_path / "lake")
    for name, regions in REGIONS.items():
        write_regions(root / name, regions)
    return root


def centres(tissue: str, size: int = 96, scale: float = 1.0) -> np.ndarray:
    """Ask every pixel's centre: the class of the smallest region that holds it."""
    own = [
        (name, shape) for regions in REGIONS.values() for other, _, name, shape in regions if other == tissue and name
    ]
    own.sort(key=lambda pair: pair[1].area)
    out = np.zeros((size, size), np.int32)
    for row in range(size):
        for col in range(size):
            point = ((col + 0.5) * scale, (row + 0.5) * scale)
            out[row, col] = next((NUMBERS[name] for name, shape in own if shapely.contains_xy(shape, *point)), 0)
    return out


def test_masks_hold_the_class_at_the_centre_of_each_pixel(lake, monkeypatch):
    monkeypatch.setattr("spora_db.regions.tissue.ROWS", 37)  # bands that end within regions
    report = write_region_masks(lake, mpp=1.0)
    assert report.numbers == NUMBERS
    assert [path.name for path in report.masks] == ["alpha_0000.npz", "beta_0001.npz"]
    for path in report.masks:
        np.testing.assert_array_equal(load_label_mask(path), centres(path.stem))
        encoder = pq.read_table(path.parent / "label_encoder.parquet").to_pydict()
        assert dict(zip(encoder["name"], encoder["id"], strict=True)) == NUMBERS


def test_samples_come_with_them(lake):
    write_region_masks(lake, mpp=1.0, kind="annotated")
    query = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0).with_masks("annotated")
    dataset = query.where("tissue_id = 'alpha_0000'").to_torch()
    whole = centres("alpha_0000")
    for sample in (dataset[0], dataset[4], dataset[8]):
        row, col = int(sample["row"]), int(sample["col"])
        assert (sample["masks"]["annotated"].numpy() == whole[row : row + 32, col : col + 32]).all()
    with pytest.raises(MaskNotFoundError, match="no annotated mask"):
        query.to_torch()


def test_masks_of_another_resolution_are_scaled(tmp_path):
    root = write_lake(tmp_path / "lake", names=("alpha",), tissues=1)
    (root / "alpha/imc/1_0mpp").rename(root / "alpha/imc/2_0mpp")
    write_regions(root / "alpha", REGIONS["alpha"][:4])
    (path,) = write_region_masks(root, mpp=2.0, dataset="alpha").masks
    found = load_label_mask(path)
    found[found == 2] = 3  # without stroma, tumor is the second class
    np.testing.assert_array_equal(found, centres("alpha_0000", scale=2.0))


def test_they_are_valid_and_not_replaced_unasked(lake):
    done = CliRunner().invoke(app, ["rasterize", str(lake), "--mpp", "1.0"])
    assert done.exit_code == 0, done.output
    assert "2 masks of 1 necrosis, 2 stroma, 3 tumor" in done.output
    bad = [item for name in REGIONS for item in validate(lake / name, deep=True) if "cell_masks/regions" in item.file]
    assert bad == []
    with pytest.raises(WriteError, match="overwrite"):
        write_region_masks(lake, mpp=1.0)
    assert len(write_region_masks(lake, mpp=1.0, overwrite=True).masks) == 2


def test_what_cannot_be_written_is_refused(lake):
    with pytest.raises(ArgumentError, match="other masks"):
        write_region_masks(lake, mpp=1.0, kind="tissue")
    with pytest.raises(ArgumentError, match=r"an image at 3 mpp\. Images are at these resolutions: 1"):
        write_region_masks(lake, mpp=3.0)
