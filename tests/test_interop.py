"""AnnData of cells: means against numpy, cells of tiles and tissues, markers over panels; extras that are absent."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakes import write_lake
from spora_db import SporaQuery
from spora_db.demo import write_demo_lake
from spora_db.errors import ArgumentError, MissingExtraError, QueryError, UnknownNameError
from spora_db.interop import intensities
from spora_db.interop.intensities import mean_intensities
from spora_db.masks import load_label_mask

# anndata 0.12 sets an option of pandas that pandas 3 ignores, whenever a view is taken
pytestmark = pytest.mark.filterwarnings("ignore:The 'mode.chained_assignment' option")
needs_anndata = pytest.mark.skipif(importlib.util.find_spec("anndata") is None, reason="needs the extra 'anndata'")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo_lake(tmp_path_factory.mktemp("interop") / "demo", tissues=2, size=160)


@pytest.fixture(scope="module")
def tissues(demo: Path) -> SporaQuery:
    return SporaQuery(demo).modality(("imc", "codex")).tissues(mpp=1.0)


@settings(deadline=None)  # the first example loads the kernel
@given(st.integers(0, 50), st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(0, 5))
def test_means_are_those_of_numpy(seed: int, channels: int, height: int, width: int, labels: int) -> None:
    rng = np.random.default_rng(seed)
    planes = rng.normal(size=(channels, height, width)).astype(np.float32)
    mask = (rng.integers(0, labels + 1, (height, width)) * 7).astype(np.int32)
    found = mean_intensities(planes, mask)
    names = [name for name in np.unique(mask) if name > 0]
    assert found.centroids.cell_id.tolist() == names
    expected = [planes[:, mask == name].astype(np.float64).mean(axis=1) for name in names]
    np.testing.assert_allclose(found.means, np.reshape(expected, (len(names), channels)), atol=1e-12)


def test_an_image_and_a_mask_of_other_sizes_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"\(1, 2, 2\) and a mask of shape \(2, 3\)"):
        mean_intensities(np.zeros((1, 2, 2), np.float32), np.zeros((2, 3), np.int32))


@needs_anndata
def test_tissues_give_all_cells_with_place_panel_and_columns(
    demo: Path, tissues: SporaQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intensities, "BAND", 50)
    adata = tissues.with_cells("cell_type", "area").select("cancer_type").to_anndata()
    dataset = tissues.to_torch()
    total = 0
    for sample in (dataset[i] for i in range(len(dataset))):
        folder = demo / sample["dataset"] / "segmentations/1_0mpp/cell_masks/instances"
        mask = load_label_mask(folder / f"{sample['tissue_id']}.npz")
        part = adata[(adata.obs["tissue_id"] == sample["tissue_id"]).to_numpy()]
        means = [sample["image"].numpy()[:, mask == label].mean(axis=1) for label in part.obs["cell_id"]]
        columns = [
            next(i for i, names in enumerate(adata.var["channel_names"]) if name in names.split(", "))
            for name in sample["channel_names"]
        ]
        np.testing.assert_allclose(part.X[:, columns], means, rtol=1e-4)
        others = np.setdiff1d(np.arange(adata.n_vars), columns)
        assert np.isnan(part.X[:, others]).all()
        total += len(part)
    assert total == adata.n_obs
    assert adata.obs_names.is_unique
    assert adata.var.loc["CD8a", ["uniprot_id", "channel_names", "n_tissues"]].tolist() == ["P01732", "CD8, CD8a", 4]
    np.testing.assert_array_equal(adata.obsm["spatial"], adata.obs[["col", "row"]].to_numpy())
    assert adata.obs["cell_type"].notna().all()
    assert set(adata.obs["cancer_type"]) == {"LUAD", "Tonsillitis"}
    assert adata.uns["spora_db"]["spec"] == "identity"


@needs_anndata
def test_tiles_give_their_cells_once_and_cells_just_themselves(tmp_path: Path, demo: Path) -> None:
    import pyarrow as pa

    identity = {"dataset": ["lung_imc"] * 3, "tissue_id": ["lung_imc_l001_0001"] * 3}
    places = {"tile_id": [0, 1, 2], "row": [40, 40, 60], "col": [40, 60, 40]}
    rows = pa.table({**identity, **places})
    tiles = SporaQuery.from_arrow(demo, rows).modality("imc").tiles(size=48, mpp=1.0)
    adata = tiles.to_anndata()
    row, col = adata.obs["row"], adata.obs["col"]
    inside = [(row >= r) & (row < r + 48) & (col >= c) & (col < c + 48) for r, c in ((40, 40), (40, 60), (60, 40))]
    assert np.logical_or.reduce(inside).all()
    whole = SporaQuery(demo).modality("imc").tissues(mpp=1.0).to_anndata()
    assert adata.obs_names.is_unique
    assert set(adata.obs_names) <= set(whole.obs_names)
    cells = SporaQuery(demo).modality("imc").cells(size=32, mpp=1.0).where("cell_type = 'Tumour cell'").sample(5)
    few = cells.select("cell_type").to_anndata()
    assert few.n_obs == 5
    assert set(few.obs["cell_type"]) == {"Tumour cell"}
    few.write_h5ad(tmp_path / "cells.h5ad")
    import anndata

    assert anndata.read_h5ad(tmp_path / "cells.h5ad").obs["cell_id"].tolist() == few.obs["cell_id"].tolist()


@needs_anndata
def test_what_cannot_be_measured_is_said(demo: Path, tmp_path: Path) -> None:
    he = SporaQuery(demo).modality("he").tissues(mpp=1.0)
    with pytest.raises(ArgumentError, match=r"he only, which have no markers.*modality='he'"):
        he.to_anndata()
    assert he.to_anndata(modality="he").var_names.tolist() == ["red", "green", "blue"]
    with pytest.raises(ArgumentError, match="none of the query's: he"):
        he.to_anndata(modality="imc")
    with pytest.raises(QueryError, match="selects no tissues"):
        he.where("age > 200").to_anndata()
    bare = write_lake(tmp_path / "lake", names=("alpha",), tissues=1)
    with pytest.raises(UnknownNameError, match="kind of mask 'instances'"):
        SporaQuery(bare).modality("imc").tissues(mpp=1.0).to_anndata()


@pytest.mark.parametrize(
    ("module", "call", "message"),
    [
        ("anndata", "to_anndata", r'pip install "spora-db\[anndata\]"'),
        ("spatialdata", "to_spatialdata", r'pip install "spora-db\[spatialdata\]"'),
        ("polars", "pl", "pip install polars"),
    ],
)
def test_an_absent_extra_is_named(
    tissues: SporaQuery, monkeypatch: pytest.MonkeyPatch, module: str, call: str, message: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=message):
        getattr(tissues, call)()


def test_polars_has_the_rows_of_arrow(tissues: SporaQuery) -> None:
    pytest.importorskip("polars")
    assert tissues.pl().to_dicts() == tissues.to_arrow().to_pylist()


def test_spatialdata_has_an_image_and_labels_per_tissue(tissues: SporaQuery) -> None:
    pytest.importorskip("spatialdata")
    data = tissues.where("dataset = 'lung_imc'").to_spatialdata()
    assert len(data.images) == len(data.labels) == 2
    assert data.tables["cells"].n_obs > 0
