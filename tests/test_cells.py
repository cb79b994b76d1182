import logging
import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch.utils.data import DataLoader

from cell_lakes import SIZE, centroids, instance_mask, write_cells, write_mask, write_masks
from lakes import PANEL, coordinates_image, write_lake, write_zarr
from spora_db import Catalog, SporaQuery, collate_list
from spora_db.errors import (
    ArgumentError,
    FileFormatError,
    MaskNotFoundError,
    OrphanRowsWarning,
    QueryError,
    TableError,
    UnknownNameError,
)
from spora_db.masks.centroids import mask_centroids
from spora_db.selection.centroid_columns import CENTROID_COLUMNS

SPEC = "quantile_clipping/uq_0.99_image"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cohorts: alpha's cells table has centroids, beta's has none."""
    lake = write_lake(tmp_path_factory.mktemp("cells") / "lake")
    masks = write_masks(lake)
    frames = [
        write_cells(lake / "alpha", masks, names=("Pos_Y", "Pos_X")).assign(shift=0.25),
        write_cells(lake / "beta", masks).assign(shift=0.0),
    ]
    pd.concat(frames, ignore_index=True).to_pickle(lake.parent / "cells.pkl")
    return lake


@pytest.fixture(scope="module")
def cells(lake: Path) -> pd.DataFrame:
    """All cells with their true place and their tissue's columns, joined by pandas: the oracle."""
    cells = pd.read_pickle(lake.parent / "cells.pkl")
    cells["row"] += cells["shift"]
    cells["col"] -= cells["shift"]
    tissues = [
        pd.read_parquet(base / "metadata/tissues.parquet").query("modality == 'imc'").assign(dataset=base.name)
        for base in sorted(lake.iterdir())
    ]
    tissues = pd.concat(tissues).rename(columns={"age": "tissue_age"})
    joined = cells.merge(tissues, on=["dataset", "tissue_id"])
    return joined.sort_values(["dataset", "tissue_id", "cell_id"], ignore_index=True)


@pytest.fixture
def query(lake: Path) -> SporaQuery:
    return SporaQuery(lake).modality("imc").cells(size=24)


@pytest.fixture
def own(lake: Path, tmp_path: Path) -> Path:
    """A lake of one's own, to break: alpha only."""
    shutil.copytree(lake / "alpha", tmp_path / "lake/alpha")
    return tmp_path / "lake"


def mask_file(lake: Path, tissue: str, dataset: str = "alpha") -> Path:
    return lake / dataset / "segmentations/1_0mpp/cell_masks/instances" / f"{tissue}.npz"


def key(frame: pd.DataFrame) -> list[tuple[str, str, int]]:
    return list(zip(frame["dataset"], frame["tissue_id"], frame["cell_id"].astype(int), strict=True))


def corners(places: pd.Series, size: int = 24) -> list[int]:
    return (np.floor(places + 0.5) - size // 2).astype(int).tolist()


# Centroids -----------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(arrays(np.int32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 6)))
def test_centroids_are_those_of_numpy(mask):
    found, expected = mask_centroids(mask), centroids(mask)
    assert found.cell_id.tolist() == expected["cell_id"].tolist()
    assert np.array_equal(found.row, expected["row"])
    assert np.array_equal(found.col, expected["col"])
    assert found.size.tolist() == np.bincount(mask.ravel())[found.cell_id].tolist()


@pytest.mark.parametrize("background", [0, 2**30])
def test_sparse_labels_take_no_memory(background):
    mask = np.full((20, 30), background, np.int32)
    mask[2:4, 5:8], mask[10, 10] = 2**31 - 1, 7
    found = mask_centroids(mask)
    assert found.cell_id.tolist() == [7, *([background] if background else []), 2**31 - 1]
    assert (found.row[-1], found.col[-1], found.size[-1]) == (2.5, 6.0, 6)


@pytest.mark.parametrize("mask", [np.zeros((2, 2)), np.zeros(4, np.int32), np.array([[0, -1]], np.int32)])
def test_what_is_no_instance_mask_is_refused(mask):
    with pytest.raises(ArgumentError):
        mask_centroids(mask)


def test_an_empty_mask_has_no_cells():
    assert len(mask_centroids(np.zeros((4, 4), np.int32))) == 0


# Cells as rows -------------------------------------------------------------------------------------------------------


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("condition", "mask"),
    [
        ("cell_type = 'B cell'", lambda f: f.cell_type == "B cell"),
        ("cell_type IS NULL AND cancer_type = 'LUAD'", lambda f: f.cell_type.isna() & (f.cancer_type == "LUAD")),
        ("cells.area > 100 AND tissues.split = 'train'", lambda f: (f.area > 100) & (f.split == "train")),
        ("tissues.age > 50", lambda f: f.tissue_age > 50),
        ("tissue_age > 50 AND age = -1", lambda f: f.tissue_age > 50),
        ("age > 50", lambda f: f.age > 50),
        ("cell_id % 2 = 0", lambda f: f.cell_id % 2 == 0),
        ("tissue_id IN (SELECT tissue_id FROM tissues WHERE age = 40)", lambda f: f.tissue_age == 40),
    ],
)
def test_where_selects_what_pandas_selects(query, cells, condition, mask):
    found, expected = query.where(condition), cells[mask(cells)]
    assert found.count() == len(expected)
    assert key(found.df()) == key(expected)


def test_rows_carry_identity_and_selected_columns(query, cells):
    frame = query.select("cell_type", "cancer_type", "tissue_age").df()
    assert list(frame) == [
        "dataset", "modality", "mpp", "tissue_id", "cell_id", "row", "col", "cell_type", "cancer_type", "tissue_age",
    ]  # fmt: skip
    assert frame["cell_type"].fillna("").tolist() == cells["cell_type"].fillna("").tolist()
    assert frame["tissue_age"].tolist() == cells["tissue_age"].tolist()
    alpha, beta = (frame["dataset"] == name for name in ("alpha", "beta"))
    assert frame.loc[alpha, "row"].tolist() == corners(cells.loc[alpha, "row"])
    assert frame.loc[alpha, "col"].tolist() == corners(cells.loc[alpha, "col"])
    assert frame.loc[beta, ["row", "col"]].isna().all(axis=None)


def test_the_plan_places_every_cell(query, cells, caplog):
    with caplog.at_level(logging.INFO, logger="spora_db"):
        plan = query.plan()
    assert "Measuring cells in 4 instance masks" in caplog.text
    assert plan.unit == "cell"
    assert plan.tile_id.tolist() == cells["cell_id"].tolist()
    assert plan.row.tolist() == corners(cells["row"])
    assert plan.col.tolist() == corners(cells["col"])
    assert plan.row.min() < 0


def test_only_masks_that_are_needed_are_read(query, caplog):
    with caplog.at_level(logging.INFO, logger="spora_db"):
        query.where("dataset = 'alpha'").plan()
        assert "Measuring" not in caplog.text
        query.where("tissue_id = 'beta_0001' AND cell_type = 'B cell'").plan()
        assert "in 1 instance masks" in caplog.text


def test_sample_split_and_sql(lake, query, cells):
    asked = query.split("train").sample(20, by="cell_type", seed=3)
    frame = asked.df()
    assert len(frame) == 20
    assert set(asked.select("split").df()["split"]) == {"train"}
    plan = asked.plan()
    assert plan.tile_id.tolist() == frame["cell_id"].tolist()
    expected = cells.set_index(["dataset", "tissue_id", "cell_id"]).loc[key(frame)]
    assert plan.row.tolist() == corners(expected["row"])
    assert query.sample(per_tissue=2).count() == 16
    with Catalog(lake) as catalog:
        shown = asked.where("dataset = 'alpha'")
        assert catalog.sql(shown.sql()).df().equals(shown.df())


@pytest.mark.some(3)
@pytest.mark.parametrize("names", CENTROID_COLUMNS)
def test_every_known_pair_of_centroid_columns_is_used(own, names):
    masks = {("alpha", "instances", f"alpha_{i:04d}"): instance_mask(i) for i in range(4)}
    cells = write_cells(own / "alpha", masks, names=(names[0].lower(), names[1].upper()))
    shutil.rmtree(own / "alpha/segmentations")
    frame = SporaQuery(own).modality("imc").cells(size=9).df()
    cells = cells.sort_values(["tissue_id", "cell_id"])
    assert frame["row"].tolist() == corners(cells["row"] + 0.25, 9)
    assert frame["col"].tolist() == corners(cells["col"] - 0.25, 9)


def test_cells_that_the_table_does_not_place_are_measured(own):
    file = own / "alpha/metadata/cells.parquet"
    table = pd.read_parquet(file)
    table.loc[table["cell_id"] % 2 == 0, "Pos_X"] = np.nan
    table.to_parquet(file)
    plan = SporaQuery(own).modality("imc").cells(size=24).where("tissue_id = 'alpha_0001'").plan()
    true = centroids(instance_mask(1))
    shift = np.where(true["cell_id"] % 2, 0.25, 0)
    assert plan.row.tolist() == corners(true["row"] + shift)
    assert plan.col.tolist() == corners(true["col"] - shift)


def test_where_images_have_several_resolutions_masks_are_believed(own):
    write_zarr(own / "alpha/he/0_5mpp/images/alpha_0000.ome.zarr", np.zeros((3, 192, 192), np.uint8))
    query = SporaQuery(own).modality("imc").cells(size=24, mpp=1.0).where("tissue_id = 'alpha_0000'")
    assert query.df()["row"].isna().all()
    assert query.plan().row.tolist() == corners(centroids(instance_mask(0))["row"])


# Cells from masks ----------------------------------------------------------------------------------------------------


def test_without_a_table_the_plan_reads_masks_and_counting_says_so(own, caplog):
    (own / "alpha/metadata/cells.parquet").unlink()
    query = SporaQuery(own).modality("imc").cells(size=24)
    for answer in (query.count, query.sql, query.df):
        with pytest.raises(QueryError, match=r"cells\.parquet.*instance masks.*to_torch"):
            answer()
    with caplog.at_level(logging.INFO, logger="spora_db"):
        plan = query.where("tissues.age > 40 AND tissue_id <> 'alpha_0003'").where("cell_id < 100").plan()
    assert "in 2 instance masks" in caplog.text
    expected = [centroids(instance_mask(i)).query("cell_id < 100") for i in (1, 2)]
    assert plan.row.tolist() == corners(pd.concat(expected)["row"])
    assert len(query.sample(50, seed=1).plan()) == 50
    with pytest.raises(QueryError, match="source='masks'"):
        SporaQuery(own).modality("imc").cells(size=24, source="table").plan()


def test_cells_of_masks_know_the_columns_of_the_table(own):
    file = own / "alpha/metadata/cells.parquet"
    pd.read_parquet(file).query("tissue_id != 'alpha_0001'").to_parquet(file)
    query = SporaQuery(own).modality("imc").cells(size=24, source="masks").select("cell_type")
    plan = query.plan()
    assert len(plan) == sum(len(centroids(instance_mask(i))) for i in range(4))
    types = plan.columns.column("cell_type").to_pylist()
    listed = [str(plan.identity(i)["tissue_id"]) for i in range(len(plan))]
    assert {kind for kind, tissue in zip(types, listed, strict=True) if tissue == "alpha_0001"} == {None}
    assert len(query.where("cell_type = 'B cell'").plan()) == types.count("B cell") > 0
    with pytest.raises(QueryError, match="source='masks'"):
        query.count()
    mask_file(own, "alpha_0002").unlink()
    assert len(query.plan()) == len(plan) - len(centroids(instance_mask(2)))
    for i in range(4):
        mask_file(own, f"alpha_{i:04d}").unlink(missing_ok=True)
    with pytest.raises(MaskNotFoundError, match="alpha_0000"):
        query.plan()


# Pixels --------------------------------------------------------------------------------------------------------------


def raw(sample: dict, size: int = 24) -> np.ndarray:
    cohort, number = sample["dataset"], int(sample["tissue_id"][-4:])
    image = coordinates_image(len(PANEL), SIZE, SIZE, offset=17 * number + 5 * (cohort == "beta"))
    image = np.pad(image, ((0, 0), (64, 64), (64, 64)))
    row, col = sample["row"] + 64, sample["col"] + 64
    names = [channel[0] for channel in PANEL]
    return image[[names.index(name) for name in sample["channel_names"]], row : row + size, col : col + size]


def test_a_cell_is_the_pixels_around_it_and_zeros_beyond_the_edge(query):
    dataset = query.where("cell_id < 60").select("cell_type").with_masks("instances").to_torch()
    negative = 0
    for sample in (dataset[i] for i in range(len(dataset))):
        assert np.array_equal(sample["image"].numpy(), raw(sample))
        assert sample["cell_id"] in sample["masks"]["instances"]
        assert sample["tile_id"] == -1
        assert sample["cell_type"] in ("B cell", "T cell", "tumour", None)
        negative += sample["row"] < 0 or sample["col"] < 0
    assert negative > 10


def test_beyond_the_edge_lies_a_transformed_zero(query):
    sample = query.where("dataset = 'alpha' AND cell_id < 10").standardize(SPEC).to_torch()[0]
    assert sample["row"] < 0
    assert torch.allclose(sample["image"][:, : -sample["row"]], torch.tensor(-2.0))
    alone = query.where("dataset = 'alpha' AND cell_id < 10").to_torch()[0]
    upper = (1_000.0 + 1_000 * np.arange(5))[:, None, None]
    expected = (np.clip(alone["image"].numpy(), 0, upper) / upper - 0.5) / 0.25
    assert np.abs(sample["image"].numpy() - expected).max() < 1e-5


def test_raw_pixels_for_the_device_are_padded_alike(query):
    from spora_db.loading.dataset import PlanDataset

    plan = query.sample(30, seed=1).plan()
    dataset = PlanDataset(plan, standardize_on="device")
    samples = [*(dataset[i] for i in range(30)), *dataset.__getitems__(list(range(30)))]
    assert all(np.array_equal(sample["image"].numpy(), raw(sample)) for sample in samples)


def test_workers_load_cells(query):
    dataset = query.sample(12, seed=2).with_cells("cell_type", "area").to_torch()
    alone = [dataset[i] for i in range(12)]
    loader = DataLoader(
        dataset, batch_size=5, num_workers=2, collate_fn=collate_list, multiprocessing_context="fork", timeout=120
    )
    for one, other in zip([sample for batch in loader for sample in batch], alone, strict=True):
        assert torch.equal(one["image"], other["image"])
        assert torch.equal(one["cells"]["cell_type"], other["cells"]["cell_type"])
        assert one["cells"]["categories"] == other["cells"]["categories"]


def test_several_modalities_around_a_cell(lake):
    dataset = SporaQuery(lake).modality("imc", "he", missing="keep").cells(size=24).where("cell_id < 30").to_torch()
    both = [sample for sample in (dataset[i] for i in range(len(dataset))) if len(sample) == 2]
    assert 0 < len(both) < len(dataset)
    assert all(sample["imc"]["row"] == sample["he"]["row"] for sample in both)
    assert both[0]["he"]["image"].shape == (3, 24, 24)


# Cells with a sample -------------------------------------------------------------------------------------------------


def within(cells: pd.DataFrame, sample: dict) -> pd.DataFrame:
    height, width = sample["image"].shape[1:]
    row, col = cells["row"].astype(np.float32), cells["col"].astype(np.float32)
    inside = (row >= sample["row"]) & (row < sample["row"] + height)
    inside &= (col >= sample["col"]) & (col < sample["col"] + width)
    inside &= (cells["dataset"] == sample["dataset"]) & (cells["tissue_id"] == sample["tissue_id"])
    return cells[inside].sort_values("row")


@pytest.mark.some(2)
@pytest.mark.parametrize(
    "build",
    [
        lambda q: q.modality("imc").tiles(size=32),
        lambda q: q.modality("imc").tissues(),
        lambda q: q.modality("imc").cells(size=24).sample(40, seed=1),
    ],
    ids=["tiles", "tissues", "cells"],
)
def test_a_sample_has_the_cells_whose_centroid_lies_in_it(lake, cells, build):
    dataset = build(SporaQuery(lake)).with_cells("cell_type", "area", "count").to_torch()
    total = 0
    for sample in (dataset[i] for i in range(len(dataset))):
        found, expected = sample["cells"], within(cells, sample)
        assert list(found) == ["cell_id", "row", "col", "cell_type", "area", "count", "categories"]
        order = np.argsort(found["cell_id"].numpy())
        expected = expected.sort_values("cell_id")
        assert found["cell_id"].numpy()[order].tolist() == expected["cell_id"].tolist()
        assert (found["row"].diff() >= 0).all()
        for axis in ("row", "col"):
            assert found[axis].dtype == torch.float32
            places = expected[axis].to_numpy() - sample[axis]
            assert np.abs(found[axis].numpy()[order] - places).max(initial=0) < 1e-4
        texts = found["categories"]["cell_type"]
        assert texts == ("B cell", "T cell", "tumour")
        types = [None if code < 0 else texts[code] for code in found["cell_type"].numpy()[order]]
        assert types == [text if isinstance(text, str) else None for text in expected["cell_type"]]
        assert found["area"].numpy()[order].tolist() == expected["area"].tolist()
        assert np.array_equal(found["count"].numpy()[order], expected["count"].to_numpy(), equal_nan=True)
        total += len(order)
    if dataset.plan.unit != "cell":
        assert total == len(cells)  # every cell lies in exactly one tile of a grid


def test_modalities_of_a_tissue_share_its_cells(lake):
    plan = SporaQuery(lake).modality("imc", "he", missing="keep").tiles(size=32).with_cells().plan()
    assert len(plan.images) == 8 + 6
    assert len(plan.cells.offsets) == 8 + 1
    sample = SporaQuery(lake).modality("imc", "he").tiles(size=32).with_cells().to_torch()[4]
    assert torch.equal(sample["imc"]["cells"]["cell_id"], sample["he"]["cells"]["cell_id"])


def test_cells_of_masks_come_with_null_columns_where_no_table_knows_them(own):
    file = own / "alpha/metadata/cells.parquet"
    pd.read_parquet(file).query("cell_id < 100 and tissue_id != 'alpha_0001'").to_parquet(file)
    dataset = SporaQuery(own).modality("imc").tissues().with_cells("cell_type", source="masks").to_torch()
    found = dataset[0]["cells"]
    assert set(found["cell_id"].tolist()) == set(centroids(instance_mask(0))["cell_id"])
    assert (found["cell_type"][found["cell_id"] >= 100] == -1).all()
    assert len(dataset[1]["cells"]["cell_id"]) == len(centroids(instance_mask(1)))
    assert len(SporaQuery(own).modality("imc").tissues().with_cells().to_torch()[1]["cells"]["cell_id"]) == 0
    file.unlink()
    plain = SporaQuery(own).modality("imc").tissues().with_cells().to_torch()
    assert plain[2]["cells"]["cell_id"].tolist() != []


def test_the_hash_depends_on_the_cells_asked_for(query, own):
    asked = query.sample(10)
    plans = [asked.plan(), asked.with_cells().plan(), asked.with_cells("area").plan(), asked.with_cells("age").plan()]
    assert len({plan.hash for plan in plans}) == 4
    copy = pickle.loads(pickle.dumps(plans[2]))
    assert copy.hash == copy.hashed().hash == plans[2].hash
    one = SporaQuery(own).modality("imc").cells(size=24).plan()
    assert one.hash != SporaQuery(own).modality("imc").cells(size=26).plan().hash


# Errors --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda q: q.cells(size=0), ArgumentError, ["size=0"]),
        (lambda q: q.cells(size=8, source="mask"), UnknownNameError, ["table", "masks"]),
        (lambda q: q.with_cells("cell_typ"), UnknownNameError, ["Did you mean 'cell_type'"]),
        (lambda q: q.with_cells("row"), ArgumentError, ["row"]),
        (lambda q: q.with_cells(source="both"), UnknownNameError, ["table", "masks"]),
        (lambda q: q.where("cell_tpye = 'x'"), UnknownNameError, ["cell_type"]),
        (lambda q: q.select("area_"), UnknownNameError, ["area"]),
        (lambda q: q.cells(size=8, mpp=0.25), UnknownNameError, ["1.0"]),
    ],
)
def test_mistakes_are_named_with_what_exists(query, build, error, words):
    with pytest.raises(error) as caught:
        build(query).count()
    assert all(word in str(caught.value) for word in words), str(caught.value)


def break_nothing(lake: Path, table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns=["Pos_Y", "Pos_X"])


def break_mask(lake: Path, table: pd.DataFrame) -> pd.DataFrame:
    mask_file(lake, "alpha_0001").unlink()
    return break_nothing(lake, table)


def break_size(lake: Path, table: pd.DataFrame) -> pd.DataFrame:
    write_mask(mask_file(lake, "alpha_0001"), np.zeros((40, 50), np.uint16))
    return break_nothing(lake, table)


def break_labels(lake: Path, table: pd.DataFrame) -> pd.DataFrame:
    write_mask(mask_file(lake, "alpha_0001"), np.full((SIZE, SIZE), -3, np.int16))
    return break_nothing(lake, table)


def break_cell(lake: Path, table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([break_nothing(lake, table), pd.DataFrame({"tissue_id": ["alpha_0001"], "cell_id": [77_777]})])


def break_number(lake: Path, table: pd.DataFrame) -> pd.DataFrame:
    table["cell_id"] = table["cell_id"].astype(str).replace("60", "sixty")
    return table


@pytest.mark.some(3)
@pytest.mark.parametrize("ask", ["rows", "beside"])
@pytest.mark.parametrize(
    ("damage", "error", "words"),
    [
        (break_mask, MaskNotFoundError, ["alpha_0001", "instances/alpha_0001.npz", "centroid_row"]),
        (break_size, FileFormatError, ["alpha_0001.npz", "40 x 50", "alpha_0001.ome.zarr", "96 x 96"]),
        (break_labels, FileFormatError, ["alpha_0001.npz", "-3"]),
        (break_cell, TableError, ["77777", "alpha_0001", "source='masks'"]),
        (break_number, TableError, ["cells.parquet"]),
    ],
)
def test_contradictions_name_the_file_and_the_cell(own, ask, damage, error, words):
    file = own / "alpha/metadata/cells.parquet"
    damage(own, pd.read_parquet(file)).to_parquet(file)
    query = SporaQuery(own).modality("imc")
    query = query.cells(size=24) if ask == "rows" else query.tissues().with_cells()
    with pytest.raises(error) as caught:
        query.plan()
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_cell_that_is_listed_twice_is_an_error(own):
    file = own / "alpha/metadata/cells.parquet"
    table = pd.read_parquet(file)
    pd.concat([table, table[table["cell_id"] == 60]]).to_parquet(file)
    query = SporaQuery(own).modality("imc")
    for asked in (query.cells(size=24), query.tissues().with_cells()):
        with pytest.raises(TableError, match=r"60 .*several times.*cells\.parquet"):
            asked.plan()


def test_a_centroid_outside_its_image_is_an_error(own):
    file = own / "alpha/metadata/cells.parquet"
    table = pd.read_parquet(file)
    table.loc[table["cell_id"] == 60, "Pos_Y"] = 1_000.0
    table.to_parquet(file)
    dataset = SporaQuery(own).modality("imc").cells(size=24).where("cell_id = 60").to_torch()
    with pytest.raises(TableError, match=r"alpha_0000.*outside.*centroids"):
        dataset[0]


def test_a_dataset_without_cells_is_named(own, lake):
    shutil.copytree(lake / "beta", own / "beta")
    (own / "beta/metadata/cells.parquet").unlink()
    query = SporaQuery(own).modality("imc")
    assert set(query.cells(size=24).df()["dataset"]) == {"alpha"}
    assert set(query.cells(size=24, source="masks").plan().images.column("dataset").to_pylist()) == {"alpha", "beta"}
    with pytest.raises(QueryError, match=r"beta.*source='masks'"):
        query.tissues().with_cells("cell_type").plan()


def test_rows_of_another_engine_may_be_cells(lake, query):
    plan = query.where("cell_type = 'tumour'").plan()
    table = pa.table(
        {
            "dataset": [plan.identity(i)["dataset"] for i in range(len(plan))],
            "tissue_id": [plan.identity(i)["tissue_id"] for i in range(len(plan))],
            "cell_id": plan.tile_id,
            "row": plan.row,
            "col": plan.col,
        }
    )
    again = SporaQuery.from_arrow(lake, table).modality("imc").cells(size=24)
    assert again.plan().hash == plan.hash
    assert again.count() == len(plan)
    with pytest.raises(QueryError, match="row, col is missing"):
        SporaQuery.from_sql(lake, "SELECT dataset, tissue_id, cell_id FROM cells").modality("imc").cells(
            size=24
        ).count()


@pytest.mark.some(2)
@pytest.mark.parametrize("source", ["table", "masks"])
def test_cells_that_a_table_names_without_places_are_those_of_the_lake(lake, cells, source):
    """Predictions come with ids alone: places, and what the lake says of the cells, are the lake's."""
    mine = cells[["dataset", "tissue_id", "cell_id"]].iloc[::3].reset_index(drop=True)
    mine = mine.assign(score=np.arange(len(mine)) / 8, cell_type="predicted")
    query = SporaQuery.from_arrow(lake, mine).modality("imc").cells(size=24, source=source)
    query = query.select("score", "cell_type", "given_cell_type").where("score >= 0.5")
    plan = query.plan()
    expected = mine.merge(cells, on=["dataset", "tissue_id", "cell_id"], suffixes=("_mine", "")).iloc[4:]
    expected = expected.sort_values(["dataset", "tissue_id", "cell_id"], ignore_index=True)
    assert plan.columns.column("score").to_pylist() == expected["score"].tolist()
    assert plan.columns.column("cell_type").to_pylist() == [
        name if isinstance(name, str) else None for name in expected["cell_type"]
    ]
    assert set(plan.columns.column("given_cell_type").to_pylist()) == {"predicted"}
    whole = SporaQuery(lake).modality("imc").cells(size=24, source=source).plan()
    places = {identity_of(whole, at): (whole.row[at], whole.col[at]) for at in range(len(whole))}
    assert [identity_of(plan, at) for at in range(len(plan))] == key(expected)
    assert [(plan.row[at], plan.col[at]) for at in range(len(plan))] == [places[name] for name in key(expected)]


def identity_of(plan, at):
    return tuple(plan.identity(at)[name] for name in ("dataset", "tissue_id", "tile_id"))


@pytest.mark.parametrize("source", ["table", "masks"])
def test_cells_that_a_table_names_twice_or_wrongly_are_told(lake, cells, source):
    mine = cells[["dataset", "tissue_id", "cell_id"]].iloc[:3]
    strange = pd.concat([mine, mine.iloc[:1].assign(cell_id=999_999)])
    with pytest.warns(OrphanRowsWarning, match=r"1 row .* about a cell that .*cell_id 999999"):
        plan = SporaQuery.from_arrow(lake, strange).modality("imc").cells(size=24, source=source).plan()
    assert len(plan) == 3
    twice = SporaQuery.from_arrow(lake, pd.concat([mine, mine])).modality("imc").cells(size=24, source=source)
    with pytest.raises(TableError, match="2 rows of one cell"):
        twice.plan()


# Published data ------------------------------------------------------------------------------------------------------


def test_published_cells(released_cohort):
    query = SporaQuery(released_cohort).modality("imc").cells(size=64)
    assert query.count() == 2185
    dataset = query.with_masks("instances").with_cells("cell_type").to_torch()
    assert len(dataset) == 2185
    chosen = range(0, 2185, 23)
    samples = [dataset[i] for i in chosen]
    assert all(sample["cell_id"] in sample["masks"]["instances"] for sample in samples)
    assert all(sample["cell_id"] in sample["cells"]["cell_id"] for sample in samples)
    centre = [int(sample["masks"]["instances"][32, 32]) == sample["cell_id"] for sample in samples]
    assert np.mean(centre) > 0.95  # not of every cell: some are hollow or bent
    assert len(query.where("cell_type = 'Bcell'").plan()) == query.where("cell_type = 'Bcell'").count() > 0
    masks = SporaQuery(released_cohort).modality("imc").cells(size=64, source="masks").plan()
    assert masks.hash == query.plan().hash
