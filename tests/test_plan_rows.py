"""The rows of a plan: images as numbers, in one order, whichever way the rows were asked for."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lakes import write_lake
from spora_db import SporaQuery

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


@pytest.mark.parametrize("name", ["image", "number", "NUMBER"])
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
