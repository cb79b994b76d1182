import dataclasses
import json
import multiprocessing
import pickle
import random

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from published_figures import TABLES, published_table
from spora_db.errors import FileFormatError, MaskNotFoundError, TableError, WriteError
from spora_db.files.parquet import read_provenance
from spora_db.tiling.parameters import TilingParameters
from spora_db.tiling.tables import merge_tilings, tile_unit, write_tiles

PARAMETERS = TilingParameters(tile_size=16, stride=8, tolerance=0.6)


def tile_tissues(masks, *, parameters):
    return merge_tilings(tile_unit(tissue, path, parameters=parameters) for tissue, path in masks)


@pytest.fixture(scope="module")
def masks(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("masks"), np.random.default_rng(0)
    found = [("b", rng.random((40, 55)) < 0.7), ("a", rng.random((33, 70)) < 0.7), ("c", np.zeros((20, 20), bool))]
    for tissue_id, mask in found:
        np.savez_compressed(folder / f"{tissue_id}.npz", mask=mask)
    return [(tissue_id, folder / f"{tissue_id}.npz") for tissue_id, _ in found]


def test_tables_are_sorted_typed_and_complete(masks):
    coordinates, stats = tile_tissues(masks, parameters=PARAMETERS)
    assert coordinates.schema.equals(
        pa.schema({"tissue_id": "string", "tile_id": "int64", "row": "int64", "col": "int64"})
    )
    assert stats["tissue_id"].to_pylist() == ["a", "b", "c"]
    for tissue_id, path in masks:
        rows = [row for row in coordinates.to_pylist() if row["tissue_id"] == tissue_id]
        tiling = tile_unit(tissue_id, path, parameters=PARAMETERS).tiling
        assert [[row["tile_id"], row["row"], row["col"]] for row in rows] == [
            [i, *at] for i, at in enumerate(tiling.tiles.tolist())
        ]
        (row,) = [row for row in stats.to_pylist() if row.pop("tissue_id") == tissue_id]
        assert row == tiling.stats
    assert stats.to_pylist()[2]["stop_reason"] == "empty_mask"


def test_the_order_of_the_units_and_the_process_do_not_matter(masks):
    units = [tile_unit(*mask, parameters=PARAMETERS) for mask in masks]
    merged = merge_tilings(units)
    for seed in range(3):
        random.Random(seed).shuffle(units)
        assert all(a.equals(b) for a, b in zip(merge_tilings(units), merged, strict=True))
    assert all(a.equals(b) for a, b in zip(merge_tilings(pickle.loads(pickle.dumps(units))), merged, strict=True))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        far = [pool.apply(tile_unit, mask, {"parameters": PARAMETERS}) for mask in masks]
    assert all(a.equals(b) for a, b in zip(merge_tilings(far), merged, strict=True))


def test_files_equal_the_golden_ones(untiled_lake, tmp_path):
    """The published program tiled this lake with 64 greedily and as grid_64."""
    for name in [name for name in TABLES if name.endswith("64_tile_stats.parquet")]:
        cohort, _, _, strategy, _ = name.split("/")
        parameters = TilingParameters(
            tile_size=64,
            stride=32 if strategy == "default" else 64,
            tolerance=0.85,
            coverage_goal=1.0,
            strategy=strategy,
        )
        paths = sorted((untiled_lake / cohort / "segmentations/1_0mpp/tissue_masks").glob("*.npz"), reverse=True)
        coordinates, stats = tile_tissues([(path.stem, path) for path in paths], parameters=parameters)
        files = write_tiles((tmp_path / name).parent, 64, coordinates=coordinates, stats=stats, provenance=parameters)
        for file in files:
            frame, expected = pd.read_parquet(file), published_table(file.relative_to(tmp_path).as_posix())
            assert frame.columns.tolist() == expected.columns.tolist()
            assert frame.index.tolist() == expected.index.tolist()
            pd.testing.assert_frame_equal(frame, expected, check_names=False, rtol=1e-9)


def test_types_are_those_of_the_released_file(released_cohort, masks):
    released = pq.read_schema(released_cohort / "tiling/1_0mpp/default/128_tile_stats.parquet")
    _, stats = tile_tissues(masks, parameters=PARAMETERS)
    assert [field for field in stats.schema.remove_metadata() if field.name != "tiling_method"] == list(released)
    assert json.loads(stats.schema.metadata[b"pandas"])["index_columns"] == ["tissue_id"]


@pytest.mark.parametrize("strategy", ["default", "grid"])
def test_a_lake_without_tissues_gives_typed_empty_files(tmp_path, strategy):
    parameters = dataclasses.replace(PARAMETERS, strategy=strategy)
    coordinates, stats = tile_tissues([], parameters=parameters)
    for path in write_tiles(tmp_path, 16, coordinates=coordinates, stats=stats, provenance=parameters):
        assert pq.read_metadata(path).num_rows == 0
        assert not any(pa.types.is_null(field.type) for field in pq.read_schema(path))


def test_parameters_are_recorded_in_both_files(tmp_path, masks):
    coordinates, stats = tile_tissues(masks, parameters=PARAMETERS)
    files = write_tiles(tmp_path / "new", 16, coordinates=coordinates, stats=stats, provenance=PARAMETERS)
    assert [read_provenance(path) for path in files] == [dataclasses.asdict(PARAMETERS)] * 2
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(path.name for path in files)


def test_the_same_rows_in_any_order_are_the_same_bytes(tmp_path, masks):
    coordinates, stats = tile_tissues(masks, parameters=PARAMETERS)
    turned = [table.take(list(range(table.num_rows))[::-1]) for table in (coordinates, stats)]
    one = write_tiles(tmp_path / "1", 16, coordinates=coordinates, stats=stats, provenance={})
    two = write_tiles(tmp_path / "2", 16, coordinates=turned[0], stats=turned[1], provenance={})
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_tables_that_do_not_belong_together_are_refused(tmp_path, masks):
    coordinates, stats = tile_tissues(masks, parameters=PARAMETERS)
    for change, message in [
        ({"coordinates": coordinates.slice(1)}, "Tissue 'a' has .* tile coordinates, but its statistics say"),
        ({"stats": stats.slice(1)}, "its statistics say nothing"),
        ({"coordinates": coordinates.drop(["col"])}, "tile coordinates lacks col"),
        ({"stats": stats.drop(["stride", "tile_size"])}, "tile statistics lacks tile_size, stride"),
    ]:
        with pytest.raises(TableError, match=message):
            write_tiles(tmp_path, 16, **{"coordinates": coordinates, "stats": stats, "provenance": {}} | change)
    with pytest.raises(TableError, match=r"tiles of \[16\] pixels, but are to be written as 32"):
        write_tiles(tmp_path, 32, coordinates=coordinates, stats=stats, provenance={})
    assert list(tmp_path.iterdir()) == []


def test_a_tissue_twice_or_two_strategies_are_refused(masks):
    with pytest.raises(TableError, match="'b' was tiled more than once"):
        tile_tissues([*masks, masks[0]], parameters=PARAMETERS)
    grid = tile_unit("d", masks[0][1], parameters=dataclasses.replace(PARAMETERS, strategy="grid"))
    with pytest.raises(TableError, match="several strategies \\(default, grid\\)"):
        merge_tilings([tile_unit(*masks[0], parameters=PARAMETERS), grid])


def test_bad_masks_are_named(tmp_path, masks):
    with pytest.raises(MaskNotFoundError, match=r"absent\.npz"):
        tile_tissues([*masks, ("absent", tmp_path / "absent.npz")], parameters=PARAMETERS)
    with pytest.raises(FileFormatError, match=r"is 40 x 55, but image\.ome\.tiff is 10 x 10"):
        tile_unit(*masks[0], parameters=PARAMETERS, shape=(10, 10), image="image.ome.tiff")


def test_a_folder_that_cannot_be_written(tmp_path, masks):
    (tmp_path / "default").write_text("a file")
    coordinates, stats = tile_tissues(masks, parameters=PARAMETERS)
    with pytest.raises(WriteError, match=r"Could not write .*16_tile_stats\.parquet"):
        write_tiles(tmp_path / "default", 16, coordinates=coordinates, stats=stats, provenance={})
