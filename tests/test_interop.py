"""AnnData and SpatialData: means against numpy, cells of tiles and tissues, pixels, places; extras that are absent."""

import importlib.util
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakes import write_lake
from spora_db import Catalog, SporaQuery, open_image
from spora_db.demo import write_demo_lake
from spora_db.errors import ArgumentError, MissingExtraError, QueryError, UnknownNameError
from spora_db.images import read_region
from spora_db.interop import intensities
from spora_db.interop.intensities import MeasuredCells, image_intensities
from spora_db.interop.to_spatialdata import annotate, element_names
from spora_db.masks import load_label_mask

# anndata 0.12 sets an option of pandas that pandas 3 ignores, whenever a view is taken
pytestmark = [
    pytest.mark.filterwarnings("ignore:The 'mode.chained_assignment' option"),
    pytest.mark.filterwarnings("ignore:Call to deprecated class Scaler"),  # ome-zarr 0.15 warns of its own default
    pytest.mark.filterwarnings("ignore:The inplace keyword"),  # dask 2026.1 under pandas 3.1
    pytest.mark.filterwarnings("ignore:zarr v3 autosharding"),  # anndata 0.12.19
]
needs_anndata = pytest.mark.skipif(importlib.util.find_spec("anndata") is None, reason="needs the extra 'anndata'")
needs_spatialdata = pytest.mark.skipif(
    importlib.util.find_spec("spatialdata") is None, reason="needs the extra 'spatialdata'"
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo_lake(tmp_path_factory.mktemp("interop") / "demo", tissues=2, size=160)


@pytest.fixture(scope="module")
def tissues(demo: Path) -> SporaQuery:
    return SporaQuery(demo).modality(("imc", "codex")).tissues(mpp=1.0)


def mean_intensities(planes: np.ndarray, mask: np.ndarray) -> MeasuredCells:
    """Measure an image that lies in memory."""

    def read(*, row: int, col: int, height: int, width: int) -> np.ndarray:
        return planes[:, row : row + height, col : col + width]

    image = SimpleNamespace(reader=SimpleNamespace(shape=planes.shape), pages=range(len(planes)), read=read)
    return image_intensities(image, mask, path=Path("mask.npz"))


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
    with pytest.raises(UnknownNameError, match=r"kind of mask 'instances'.*import --add --cell-masks"):
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


@needs_spatialdata
def test_spatialdata_has_the_pixels_masks_and_places_of_every_tissue(demo: Path, tissues: SporaQuery) -> None:
    from spatialdata import get_centroids
    from spatialdata.transformations import get_transformation

    data = tissues.with_cells("cell_type").select("cancer_type").to_spatialdata()
    samples = tissues.to_torch()
    table = data.tables["cells"]
    names = []
    for sample in (samples[i] for i in range(len(samples))):
        tissue = f"{sample['dataset']}_{sample['tissue_id']}"
        names.append(f"{tissue}_{sample['modality']}")
        image, labels = data.images[f"{names[-1]}_image"], data.labels[f"{names[-1]}_cells"]
        assert image.dims == ("c", "y", "x")
        assert image.coords["c"].to_numpy().tolist() == list(sample["channel_names"])
        np.testing.assert_array_equal(image.to_numpy(), raw_planes(demo, sample))
        masks = demo / sample["dataset"] / "segmentations/1_0mpp/cell_masks/instances"
        mask = load_label_mask(masks / f"{sample['tissue_id']}.npz")
        np.testing.assert_array_equal(labels.to_numpy(), mask)
        for element in (image, labels):
            systems = get_transformation(element, get_all=True)
            assert set(systems) == {"microns", tissue}
            for scale in systems.values():
                matrix = scale.to_affine_matrix(("y", "x"), ("y", "x"))
                np.testing.assert_array_equal(matrix, np.diag([1.0, 1.0, 1.0]))
        part = table[(table.obs["region"] == f"{names[-1]}_cells").to_numpy()]
        assert sorted(part.obs["cell_id"]) == np.unique(mask[mask > 0]).tolist()
        centres = get_centroids(labels, coordinate_system="microns").compute().loc[part.obs["cell_id"]]
        np.testing.assert_allclose(part.obsm["spatial"], centres[["x", "y"]], atol=1e-4)
    assert sorted(data.images) == sorted(f"{name}_image" for name in names)
    assert sorted(data.labels) == sorted(f"{name}_cells" for name in names)
    np.testing.assert_array_equal(table.X, tissues.to_anndata().X)
    assert table.obs["cell_type"].notna().all()
    assert set(table.obs["cancer_type"]) == {"LUAD", "Tonsillitis"}


def raw_planes(demo: Path, sample: dict[str, Any]) -> np.ndarray:
    """Return the planes of a sample's channels as `open_image` reads them: of the measured ones, or of the panel."""
    with Catalog(demo) as catalog:
        rows = catalog.sql(
            "SELECT channel_name, page, channel_index FROM tissue_channels "
            "WHERE dataset = ? AND modality = ? AND tissue_id = ?",
            [sample[name] for name in ("dataset", "modality", "tissue_id")],
        ).fetchall()
    [path] = (demo / sample["dataset"] / sample["modality"] / "1_0mpp/images").glob(f"{sample['tissue_id']}.*")
    planes = read_region(open_image(path))
    pages = {name: index if len(planes) == len(rows) else page for name, page, index in rows}
    return planes[[pages[name] for name in sample["channel_names"]]]


@needs_spatialdata
def test_spatialdata_scales_pixels_to_microns(tmp_path: Path) -> None:
    from spatialdata import get_centroids

    lake = write_demo_lake(tmp_path / "demo", tissues=1, size=160)
    for folder in list(lake.glob("lung_imc/*/1_0mpp")):
        folder.rename(folder.with_name("0_5mpp"))
    data = SporaQuery(lake).modality("imc").tissues(mpp=0.5).to_spatialdata()
    [labels] = data.labels.values()
    table = data.tables["cells"]
    centres = get_centroids(labels, coordinate_system="microns").compute().loc[table.obs["cell_id"]]
    np.testing.assert_allclose(table.obsm["spatial"], centres[["x", "y"]], atol=1e-4)
    np.testing.assert_allclose(table.obsm["spatial"], (table.obs[["col", "row"]].to_numpy() + 0.5) * 0.5)


@needs_spatialdata
@pytest.mark.parametrize("unit", ["tissue", "tile", "cell"])
def test_spatialdata_is_written_and_read_again(tmp_path: Path, demo: Path, tissues: SporaQuery, unit: str) -> None:
    import pyarrow as pa
    import spatialdata

    identity = {"dataset": ["lung_imc"] * 2, "tissue_id": ["lung_imc_l001_0001"] * 2}
    tiles = pa.table({**identity, "tile_id": [0, 1], "row": [40, 60], "col": [40, 40]})
    query = {
        "tissue": tissues.with_cells("cell_type"),
        "tile": SporaQuery.from_arrow(demo, tiles).modality("imc", "he").tiles(size=48, mpp=1.0),
        "cell": SporaQuery(demo).modality("imc").cells(size=32, mpp=1.0).sample(5),
    }[unit]
    data = query.to_spatialdata()
    assert len(data.images) == len(data.labels) == {"tissue": 4, "tile": 1, "cell": 2}[unit]
    data.write(tmp_path / "cohort.zarr")
    again = spatialdata.read_zarr(tmp_path / "cohort.zarr")
    assert sorted(again.coordinate_systems) == sorted(data.coordinate_systems)
    for name, image in data.images.items():
        np.testing.assert_array_equal(again.images[name].to_numpy(), image.to_numpy())
        assert again.images[name].coords["c"].to_numpy().tolist() == image.coords["c"].to_numpy().tolist()
    for name, labels in data.labels.items():
        np.testing.assert_array_equal(again.labels[name].to_numpy(), labels.to_numpy())
    before, after = data.tables["cells"], again.tables["cells"]
    np.testing.assert_array_equal(after.X, before.X)
    assert after.obs["cell_id"].tolist() == before.obs["cell_id"].tolist()
    assert after.obs["region"].tolist() == before.obs["region"].tolist()
    assert set(after.uns["spatialdata_attrs"]["region"]) == set(before.obs["region"])
    one = min(before.obs["region"])
    near = again.filter_by_coordinate_system(re.sub("_(imc|codex)_cells$", "", one))
    assert set(near.tables["cells"].obs["region"]) == {one}


@needs_spatialdata
def test_spatialdata_without_cells_in_the_tiles_has_an_empty_table(tmp_path: Path, demo: Path) -> None:
    import pyarrow as pa
    import spatialdata

    place = {"dataset": ["lung_imc"], "tissue_id": ["lung_imc_l001_0001"], "tile_id": [0], "row": [0], "col": [0]}
    data = SporaQuery.from_arrow(demo, pa.table(place)).modality("imc").tiles(size=1, mpp=1.0).to_spatialdata()
    assert data.tables["cells"].n_obs == 0
    data.write(tmp_path / "empty.zarr")
    assert len(spatialdata.read_zarr(tmp_path / "empty.zarr").images) == 1


def test_names_are_those_that_spatialdata_accepts() -> None:
    assert element_names(["a b", "a-b", "__c"]) == ["a_b", "a-b", "_c"]
    with pytest.raises(ArgumentError, match="'t/1' and 'T 1' would have the same name"):
        element_names(["t/1", "T 1"])


@needs_anndata
def test_columns_get_accepted_names_and_a_cohorts_own_region_stays() -> None:
    import anndata
    import pandas as pd

    obs = pd.DataFrame({"Region": ["core", "rim"], "cell type": ["a", "b"], "cell_id": [1, 2]}, index=["x", "y"])
    table = anndata.AnnData(X=np.zeros((2, 1), np.float32), obs=obs)
    assert annotate(table, ["one", "none", "two"], [1, 0, 1]) == "mask_region"
    assert table.obs.columns.tolist() == ["Region", "cell_type", "cell_id", "mask_region"]
    assert table.obs["mask_region"].tolist() == ["one", "two"]
    assert table.obs["mask_region"].cat.categories.dtype == object
