"""A tile through the published classes against the same tile through the query: both read and transform by one code."""

import gc
import time
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks.history import MEASURES, record
from lakes import write_zarr
from spora_db import MultiplexImagingDataset, SporaQuery
from spora_db.catalog import close_kept_catalog
from spora_db.images.cache import clear_cache

SPEC = "quantile_clipping/uq_0.99_image"
CHANNELS, SIZE, TILE = 40, 512, 224


MANY, EACH = (2_000, 50) if MEASURES else (20, 5)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root = tmp_path_factory.mktemp("speed") / "lake"
    base, names = root / "cohort", [f"m{i}" for i in range(CHANNELS)]
    tissues = ["t0", "t1"]
    spec = base / "imc/1_0mpp/standardization" / SPEC
    for folder in (base / "metadata", base / "imc/1_0mpp/images", base / "tiling/1_0mpp/default", spec):
        folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for tissue in tissues:
        image = rng.poisson(3.0, (CHANNELS, SIZE, SIZE)).astype(np.float32)
        write_zarr(base / f"imc/1_0mpp/images/{tissue}.ome.zarr", image, chunk=256, shard=1024)
    pd.DataFrame({"tissue_id": tissues, "modality": "imc"}).to_parquet(base / "metadata/tissues.parquet")
    pd.DataFrame(
        {"channel_name": names, "qc_pass": True, "uniprot_id": "P01730", "is_nuclear_marker": False}
    ).to_parquet(base / "imc/channels.parquet")
    index = pd.Index(tissues, name="tissue_id")
    pd.DataFrame(True, index=index, columns=names).to_parquet(base / "imc/channels_per_tissue.parquet")
    pd.DataFrame(20.0, index=index, columns=names).to_parquet(spec / "image_level_upper_quantiles.parquet")
    for kind in ("means", "stds"):
        pd.DataFrame([[0.5] * CHANNELS], columns=names).to_parquet(spec / f"global_level_{kind}.parquet")
    corners = rng.integers(0, SIZE - TILE, (12, 2))
    tiles = [(tissue, i, *corner) for tissue in tissues for i, corner in enumerate(corners.tolist())]
    pd.DataFrame(tiles, columns=["tissue_id", "tile_id", "row", "col"]).to_parquet(
        base / f"tiling/1_0mpp/default/{TILE}_tile_coordinates.parquet"
    )
    return root


def test_tiles_through_the_classes_against_the_query(lake, benchmark):
    options = {"resolution": 1, "tile_size": TILE, "verbose": False}
    classes = MultiplexImagingDataset("cohort", path=lake / "cohort", modality="imc", standardization=SPEC, **options)
    query = SporaQuery(lake).modality("imc").tiles(size=TILE).standardize(SPEC).to_torch()
    places = [(t, *corner) for t, corners in classes.tile_coordinates.items() for corner in corners]
    order = np.random.default_rng(1).permutation(len(places)).tolist()

    def by_class(position):
        tissue_id, row, col = places[position]
        return classes.get_tile_by_coordinates(tissue_id=tissue_id, row=row, col=col).image

    def by_query(position):
        return query[position]["image"]

    def seconds(read):
        clear_cache()
        start = time.perf_counter()
        for position in order:
            read(position)
        return time.perf_counter() - start

    assert all(torch.equal(by_class(position), by_query(position)) for position in order[:4])
    pairs = [(seconds(by_query), seconds(by_class)) for _ in range(5)]
    through_query, through_class = (min(column) for column in zip(*pairs, strict=True))
    print(
        f"\n{TILE} tile, {CHANNELS} channels: query {len(order) / through_query:.1f} tiles/s, "
        f"published classes {len(order) / through_class:.1f} tiles/s, ratio {through_query / through_class:.2f}"
    )
    benchmark.pedantic(by_class, args=(order[0],), rounds=3)


def kept_bytes(make):
    """Return what is made and how many bytes of Python and numpy it keeps."""
    gc.collect()
    tracemalloc.start()
    made = make()
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return made, kept


def test_constructor(tmp_path):
    """The published class of many tissues with statistics: one image, which all of them link to.

    What it keeps is held against the coordinates of all tiles as the published loader keeps them: tuples by tissue.
    """
    base, names = tmp_path / "cohort", [f"m{i}" for i in range(CHANNELS)]
    tissues = [f"t{i:04d}" for i in range(MANY)]
    images, spec = base / "imc/1_0mpp/images", base / "imc/1_0mpp/standardization" / SPEC
    for folder in (base / "metadata", images, base / "tiling/1_0mpp/default", spec):
        folder.mkdir(parents=True)
    write_zarr(images / "t0000.ome.zarr", np.ones((CHANNELS, 64, 64), np.float32), chunk=64, shard=64)
    for tissue in tissues[1:]:
        (images / f"{tissue}.ome.zarr").symlink_to(images / "t0000.ome.zarr")
    pd.DataFrame({"tissue_id": tissues, "modality": "imc"}).to_parquet(base / "metadata/tissues.parquet")
    panel = {"channel_name": names, "qc_pass": True, "uniprot_id": "P01730", "is_nuclear_marker": False}
    pd.DataFrame(panel).to_parquet(base / "imc/channels.parquet")
    index = pd.Index(tissues, name="tissue_id")
    pd.DataFrame(True, index=index, columns=names).to_parquet(base / "imc/channels_per_tissue.parquet")
    pd.DataFrame(20.0, index=index, columns=names).to_parquet(spec / "image_level_upper_quantiles.parquet")
    for kind in ("means", "stds"):
        pd.DataFrame([[0.5] * CHANNELS], columns=names).to_parquet(spec / f"global_level_{kind}.parquet")
    tiles = {"tissue_id": np.repeat(tissues, EACH), "tile_id": np.tile(np.arange(EACH), MANY), "col": 0}
    pd.DataFrame(tiles).assign(row=tiles["tile_id"]).to_parquet(
        base / f"tiling/1_0mpp/default/{TILE}_tile_coordinates.parquet"
    )
    options = {"modality": "imc", "standardization": SPEC, "resolution": 1, "tile_size": TILE, "verbose": False}
    taken = []
    for _ in range(5 if MEASURES else 1):
        close_kept_catalog()
        start = time.process_time()
        made = MultiplexImagingDataset("cohort", path=base, **options)
        taken.append(time.process_time() - start)
    record("published class of many tissues with statistics, processor time", min(taken), "s")
    made, kept = kept_bytes(lambda: MultiplexImagingDataset("cohort", path=base, **options))
    coordinates, plain = kept_bytes(lambda: {t: [(row + 300, 300) for row in range(EACH)] for t in tissues})
    assert made.tile_coordinates.keys() == coordinates.keys()
    print(f"\n{MANY} tissues of {EACH} tiles: {kept / 1e6:.1f} MB are kept, as tuples {plain / 1e6:.1f} MB")
    record("published class of many tissues, memory against coordinates as tuples", kept / plain)
