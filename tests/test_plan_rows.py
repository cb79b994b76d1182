"""The rows of a plan: images as numbers, in one order, whichever way the rows were asked for."""

import datetime
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lakes import write_lake
from spora_db import SporaQuery
from spora_db.errors import UnknownNameError
from spora_db.plan.plan import Plan

OWN_ROWS = 'SELECT dataset, modality, mpp, strategy, tile_size, tissue_id, tile_id, "row", col FROM tiles'


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cohorts; in each, two of four tissues have no H&E image."""
    root = write_lake(tmp_path_factory.mktemp("rows") / "lake")
    for name in ("alpha", "beta"):
        shutil.rmtree(root / name / f"he/1_0mpp/images/{name}_0001.ome.zarr")
    return root


def expected_rows(lake: Path, modalities: tuple[tuple[str, ...], ...], *, drop: bool) -> list[tuple]:
    """Return (image path or None per modality, tile_id, row, col) of all rows, in order: the oracle."""
    images = sorted(
        (base.name, folder.name, path.name.removesuffix(".ome.zarr"), path.relative_to(lake).as_posix())
        for base in lake.iterdir()
        for folder in (base / "he", base / "imc")
        for path in folder.glob("1_0mpp/images/*")
    )
    rows = []
    for base in lake.iterdir():
        tiles = pd.read_parquet(base / "tiling/1_0mpp/default/32_tile_coordinates.parquet")
        for record in tiles.itertuples():
            found = []
            for alternatives in modalities:
                of_tissue = [
                    i
                    for i, (dataset, modality, tissue, _) in enumerate(images)
                    if (dataset, tissue) == (base.name, record.tissue_id) and modality in alternatives
                ]
                found.append(of_tissue[0] if of_tissue else -1)
            if max(found) >= 0 and not (drop and min(found) < 0):
                rows.append((*found, record.tile_id, record.row, record.col))
    paths = [path for *_, path in images] + [None]
    return [(*(paths[i] for i in row[:-3]), *row[-3:]) for row in sorted(rows)]


def rows_of(query: SporaQuery) -> list[tuple]:
    plan = query.plan()
    paths = [*plan.images.column("path").to_pylist(), None]
    named = [[paths[i] for i in column] for column in plan.image.T.tolist()]
    return list(zip(*named, plan.tile_id.tolist(), plan.row.tolist(), plan.col.tolist(), strict=True))


@pytest.mark.some(3)
@pytest.mark.parametrize("missing", ["keep", "drop"])
@pytest.mark.parametrize("modalities", [("imc",), ("he",), ("imc", "he"), ("he", "imc")])
def test_rows_are_ordered_by_their_images_and_tiles(lake, modalities, missing):
    choice = {"missing": missing} if len(modalities) > 1 else {}
    query = SporaQuery(lake).modality(*modalities, **choice).tiles(size=32, mpp=1.0)
    expected = expected_rows(lake, tuple((name,) for name in modalities), drop=missing == "drop")
    assert rows_of(query) == expected
    assert len({row[:-3] for row in expected}) > 2
    own = SporaQuery.from_sql(lake, OWN_ROWS).modality(*modalities, **choice).tiles(size=32, mpp=1.0)
    assert own.plan().hash == query.plan().hash
    everything = query.sample(fraction=1.0)
    assert everything.plan().hash == query.plan().hash


def test_tiles_that_share_their_number_are_ordered_by_their_corner(lake, tmp_path):
    root = shutil.copytree(lake, tmp_path / "lake")
    for base in root.iterdir():
        path = base / "tiling/1_0mpp/default/32_tile_coordinates.parquet"
        tiles = pd.read_parquet(path)
        (base / "tiling/1_0mpp/shifted").mkdir()
        shifted = tiles.assign(row=tiles.row // 2, col=tiles.col[::-1].to_numpy() // 2)
        shifted.to_parquet(base / "tiling/1_0mpp/shifted" / path.name)
    rows = SporaQuery(root).modality("imc").tiles(size=32, mpp=1.0, strategy="default").plan()
    both = SporaQuery.from_sql(root, f"{OWN_ROWS} WHERE modality = 'imc'").modality("imc").select("strategy").plan()
    keys = np.column_stack([both.image[:, 0], both.tile_id, both.row, both.col])
    assert len(both) == 2 * len(rows)
    assert keys.tolist() == sorted(keys.tolist())
    assert both.columns.column("strategy").to_pylist().count("shifted") == len(rows)
    of_default = [name == "default" for name in both.columns.column("strategy").to_pylist()]
    assert keys[of_default, 1:].tolist() == np.column_stack([rows.tile_id, rows.row, rows.col]).tolist()


@pytest.mark.some(2)
@pytest.mark.parametrize("name", ["image", "number", "spora-db: number of the image"])
def test_a_cohorts_own_column_keeps_its_name(lake, tmp_path, name):
    root = shutil.copytree(lake, tmp_path / "lake")
    for base in root.iterdir():
        tissues = pd.read_parquet(base / "metadata/tissues.parquet")
        tissues.assign(**{name: [f"of {tissue}" for tissue in tissues.tissue_id]}).to_parquet(
            base / "metadata/tissues.parquet"
        )
    query = SporaQuery(root).modality("imc").tiles(size=32, mpp=1.0).select(name)
    plan = query.where(f"\"{name}\" <> 'of alpha_0000'").plan()
    tissues = plan.images.column("tissue_id").to_pylist()
    assert plan.columns.column(name).to_pylist() == [f"of {tissues[i]}" for i in plan.image[:, 0]]
    assert "alpha_0000" not in tissues
    assert len(tissues) == 7


COLUMNS = {
    "flag": [True, False, None, True],
    "count": [1, 2, None, 4],
    "weight": [0.5, float("nan"), None, float("inf")],
    "text": ["a", None, "a", "b"],
    "date": [datetime.date(2020, 1, day) for day in (1, 2, 3, 4)],
    "several": [[1], [], None, [2, 3]],
    "level": pa.array(["lo", "hi", None, "lo"]).dictionary_encode(),
    "tile_size": [1, 2, 3, 4],
    "image_0": [4, 3, 2, 1],
}


def with_columns(lake: Path, root: Path, types: Mapping[str, pa.DataType] = MappingProxyType({})) -> Path:
    shutil.copytree(lake, root)
    for base in root.iterdir():
        path = base / "metadata/tissues.parquet"
        table = pq.read_table(path).filter(pc.field("modality") == "imc")
        for name, values in COLUMNS.items():
            column = values if isinstance(values, pa.Array) else pa.array(values, types.get(name))
            table = table.append_column(name, column)
        pq.write_table(table, path)
    return root


@pytest.mark.some(3)
@pytest.mark.parametrize("name", [*COLUMNS, "tile_id", "split"])
def test_columns_of_every_type_go_with_the_rows(lake, tmp_path, name):
    query = SporaQuery(with_columns(lake, tmp_path / "lake")).modality("imc").tiles(size=32, mpp=1.0)
    plan = query.select(name).plan()
    assert repr(plan.columns.column(0).to_pylist()) == repr(query.select(name).to_arrow().column(name).to_pylist())
    assert plan.columns.column_names == [name]
    assert query.select(name).where("tile_id < 0").plan().columns.column_names == [name]
    assert plan.hash != query.plan().hash
    if name in COLUMNS:
        assert plan.hash != query.select(name).where("tissue_id <> 'beta_0003'").plan().hash


@pytest.mark.some(3)
@pytest.mark.parametrize("kind", [pa.int8(), pa.int64(), pa.uint64(), pa.float32(), pa.float64()])
def test_numbers_have_one_hash_whatever_their_type(lake, tmp_path, kind):
    def hash_of(root: Path) -> str:
        return SporaQuery(root).modality("imc").tiles(size=32, mpp=1.0).select("count").plan().hash

    other = with_columns(lake, tmp_path / "other", {"count": kind})
    assert hash_of(with_columns(lake, tmp_path / "lake")) == hash_of(other)


def test_a_name_for_internal_use_is_not_the_users(lake):
    query = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0)
    with pytest.raises(UnknownNameError):
        query.where("EXISTS (SELECT 1 FROM tissues WHERE number = 3)").plan()


def test_rows_that_differ_in_a_column_only_have_one_order(lake):
    def plan(order: str) -> Plan:
        several = f"(SELECT unnest([3, 1, 2]) AS extra ORDER BY extra {order})"
        rows = f"SELECT t.*, extra FROM ({OWN_ROWS} WHERE modality = 'imc') AS t CROSS JOIN {several}"
        return SporaQuery.from_sql(lake, rows).modality("imc").select("extra").plan()

    assert plan("ASC").hash == plan("DESC").hash
    assert plan("ASC").columns.column("extra").to_pylist()[:4] == [1, 2, 3, 1]
