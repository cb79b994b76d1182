"""Features with samples: the vectors of the very tiles, cells and tissues, in plans, batches and workers."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from feature_lakes import EMBEDDING, SCORE, write_features
from spora_db import SporaQuery, collate_list, collate_packed, collate_padded
from spora_db.errors import (
    ArgumentError,
    FileFormatError,
    LockError,
    OtherPixelsWarning,
    TableError,
    UnknownNameError,
)
from spora_db.feature_sets import FeatureSet
from spora_db.layout import feature_folder, feature_part

SIZE = {"tile": 128, "cell": 16, "tissue": None}
Made = tuple[list[Path], dict[str, pd.DataFrame]]


def query(layers: list[Path], unit: str) -> SporaQuery:
    asked = SporaQuery(layers).modality("imc")
    if unit == "cell":
        return asked.cells(size=16, mpp=1.0)
    return asked.tiles(size=128, mpp=1.0) if unit == "tile" else asked.tissues(mpp=1.0)


def features(unit: str, *, columns: tuple[object, ...] = (EMBEDDING,), expected: int) -> FeatureSet:
    return FeatureSet(
        name=f"own-{unit}", dataset="lung_imc", grain=unit, columns=columns, expected=expected, state="complete",
        modalities=("imc",), mpp=1.0, strategy="default" if unit == "tile" else None, tile_size=SIZE[unit],
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(lake_of_examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Return the layers of a lake, and the features of it by what they are of: in shuffled order, in small parts."""
    above = tmp_path_factory.mktemp("with") / "above"
    tables = {}
    for unit in SIZE:
        rows = query([lake_of_examples], unit).df().sample(frac=1, random_state=0)
        made, part = features(unit, expected=len(rows)), 500 if unit == "cell" else 7
        tables[unit] = write_features(above / "lung_imc", made, rows, part=part)
    half = replace(features("tile", columns=(EMBEDDING, SCORE), expected=35), name="half", state="running")
    rows = query([lake_of_examples], "tile").df().head(20)
    tables["half"] = write_features(above / "lung_imc", half, rows)
    return [lake_of_examples, above], tables


def keyed(table: pd.DataFrame, unit: str) -> dict[tuple[object, ...], np.ndarray]:
    names = ["tissue_id", *([f"{unit}_id"] if unit != "tissue" else [])]
    return dict(zip(table[names].itertuples(index=False, name=None), table["embedding"], strict=True))


@pytest.mark.some(2)
@pytest.mark.parametrize("unit", SIZE)
def test_every_row_has_its_own_vector(made: Made, unit: str) -> None:
    layers, tables = made
    expected = keyed(tables[unit], unit)
    dataset = query(layers, unit).with_features(f"own-{unit}").to_torch()
    for row in {0, len(dataset) // 2, len(dataset) - 1}:
        sample = dataset[row]
        found = sample["features"][f"own-{unit}"]
        key = (sample["tissue_id"], *([sample[f"{unit}_id"]] if unit != "tissue" else []))
        assert found.dtype == torch.float16
        assert np.array_equal(found.numpy(), expected[key])
    values = dataset.plan.features.values[0]
    assert sorted(map(bytes, values)) == sorted(bytes(vector.astype(np.float16)) for vector in expected.values())


@pytest.mark.some(3)
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("collate", [collate_padded, collate_packed, collate_list])
def test_batches_have_them(made: Made, workers: int, collate: object) -> None:
    layers, tables = made
    if workers and collate is not collate_padded:
        pytest.skip("what collates do is the same in a worker")
    expected = keyed(tables["tile"], "tile")
    dataset = query(layers, "tile").with_features("own-tile", "own-tissue").to_torch()
    batch = next(iter(dataset.loader(5, num_workers=workers, collate=collate)))
    if isinstance(batch, list):
        vectors = [sample["features"]["own-tile"] for sample in batch]
        keys = [(sample["tissue_id"], sample["tile_id"]) for sample in batch]
    else:
        vectors = batch["features"]["own-tile"]
        keys = list(zip(batch["tissue_id"], batch["tile_id"].tolist(), strict=True))
        assert vectors.shape == batch["features"]["own-tissue"].shape == (5, 4)
    for key, vector in zip(keys, vectors, strict=True):
        assert np.array_equal(vector.numpy(), expected[key])


def test_rows_without_features_are_an_error_left_out_or_nan(made: Made) -> None:
    layers, _ = made
    asked = query(layers, "tile")
    with pytest.raises(TableError, match=r"15 of 35 rows have no features.*lung_imc: 20 of 35 rows, running.*'nan'"):
        asked.with_features("half").plan()
    dropped = asked.with_features("half", missing="drop")
    assert len(dropped) == len(dropped.df()) == 20
    sample = dropped.to_torch()[0]
    assert set(sample["features"]) == {"half.embedding", "half.score"}
    assert sample["features"]["half.score"] == sample["features"]["half.embedding"][0]
    plan = asked.with_features("half", missing="nan").plan()
    assert len(plan) == 35
    assert int(np.isnan(plan.features.values[0]).all(axis=1).sum()) == 15


def test_what_was_predicted_is_a_column(made: Made, tmp_path: Path) -> None:
    """A set is joined as a table of one's own is, against pandas' left merge; conditions, labels and locks know it."""
    layers, tables = made
    asked, keys = query(layers, "tile").join("half").join("own-tissue"), ["tissue_id", "tile_id"]
    half, tissue = tables["half"][[*keys, "score"]], tables["tissue"][["tissue_id", "embedding"]]
    frame = asked.select("score", "own-tissue_embedding").df()
    expected = frame[keys].merge(half, on=keys, how="left").merge(tissue, on="tissue_id", how="left")
    assert np.array_equal(frame["score"], expected["score"], equal_nan=True)
    assert np.array_equal(np.stack(frame["own-tissue_embedding"]), np.stack(expected["embedding"]))
    positive = asked.where("half.score > 0").label("score")
    assert positive.count() == int((half["score"] > 0).sum()) > 0
    assert positive.to_torch().targets().min() > 0
    path = positive.lock(tmp_path / "a.lock.json")
    assert any("features/half/part-" in name for name in json.loads(path.read_text())["files"])
    assert SporaQuery.from_lock(path).plan().hash == positive.plan().hash
    assert query(layers, "cell").join("own-cell").where("embedding IS NOT NULL").count() == len(tables["cell"])
    with pytest.raises(ArgumentError, match=r"its rows are about cells.*rows of the query are tiles"):
        query(layers, "tile").join("own-cell").count()
    with pytest.raises(UnknownNameError, match=r"table of your own or feature set 'haf'.*Did you mean 'half'"):
        query(layers, "tile").join("haf").count()


def test_a_set_may_be_the_rows(made: Made) -> None:
    layers, tables = made
    asked = SporaQuery(layers).features("half")
    assert (
        asked.df()[["tissue_id", "tile_id"]].values.tolist()
        == tables["half"].sort_values(["tissue_id", "tile_id"])[["tissue_id", "tile_id"]].values.tolist()
    )
    assert asked.plan().tile_size == 128
    cells = SporaQuery(layers).features("own-cell").where("cell_type = 'B cell'").limit(3)
    assert cells.plan().features.values[0].shape == (3, 4)


def test_own_rows_may_name_a_place_twice(made: Made) -> None:
    layers, _ = made
    rows = query(layers, "tile").df().head(3)
    twice = SporaQuery.from_arrow(layers, pd.concat([rows, rows])).modality("imc").tiles(size=128, mpp=1.0)
    found = twice.with_features("own-tile").plan().features.values[0]
    assert np.array_equal(found[0::2], found[1::2])


def test_hashes_and_locks_know_them(made: Made, tmp_path: Path) -> None:
    layers, _ = made
    plain, asked = query(layers, "tile"), query(layers, "tile").with_features("half", missing="nan")
    assert plain.plan().rows_hash == asked.plan().rows_hash
    assert plain.plan().hash != asked.plan().hash
    above = tmp_path / "above"
    write_features(above / "lung_imc", features("tile", expected=35), plain.df())
    own = query([*layers[:1], above], "tile").with_features("own-tile")
    path = own.lock(tmp_path / "a.lock.json")
    assert SporaQuery.from_lock(path).plan().hash == own.plan().hash
    part = feature_folder(above / "lung_imc", "own-tile") / feature_part(0, 34)
    part.unlink()
    write_features(above / "lung_imc", replace(features("tile", expected=35), name="other"), plain.df().iloc[::-1])
    (feature_folder(above / "lung_imc", "other") / part.name).rename(part)
    with pytest.raises(LockError, match=r"part-000000000-000000034\.parquet"):
        SporaQuery.from_lock(path)


def test_other_pixels_are_told(made: Made, tmp_path: Path) -> None:
    """Features of pixels that were standardized otherwise, or of cells that were cut out otherwise: a warning."""
    layers, _ = made
    above = tmp_path / "above"
    rows = query(layers, "tile").df()
    spec = "quantile_clipping_log1p/uq_0.99_image"
    write_features(above / "lung_imc", replace(features("tile", expected=len(rows)), name="raw", spec="identity"), rows)
    asked = query([*layers, above], "tile")
    told = (
        r"'raw' were made of other pixels: pixels of imc were standardized by 'identity', those of the query are by 'q"
    )
    with pytest.warns(OtherPixelsWarning, match=told):
        asked.standardize(spec).with_features("raw").count()
    with pytest.warns(OtherPixelsWarning, match=told):
        asked.standardize(spec).nearest(np.ones(4), name="raw", k=1)
    with pytest.warns(OtherPixelsWarning, match=told):
        asked.standardize(spec).bags(by="tissue_id", features="raw")
    asked.with_features("raw").count()  # no warning: the query says nothing of pixels
    asked.standardize(spec).with_features("own-tile").count()  # nor does the set
    cells = SporaQuery(layers).modality("imc").cells(size=32, mpp=1.0)
    with pytest.warns(OtherPixelsWarning, match="it has tile_size 16, the query 32"):
        cells.with_features("own-cell").count()


def test_what_does_not_fit_is_told(made: Made) -> None:
    layers, _ = made
    with pytest.raises(UnknownNameError, match=r"'own-tlie'.*Did you mean 'own-tile'"):
        query(layers, "tile").with_features("own-tlie").count()
    with pytest.raises(ArgumentError, match="it is of cells, the rows of the query are tiles"):
        query(layers, "tile").with_features("own-cell").count()
    with pytest.raises(ArgumentError, match="at least one name"):
        query(layers, "tile").with_features()
    with pytest.raises(ArgumentError, match=r"with_features\(\) has no counterpart"):
        query(layers, "tile").with_features("own-tile").to_spora_dataset()


def one_part(lake: Path, layer: Path) -> tuple[list[Path], Path, pd.DataFrame]:
    """Write features of all tiles into a layer; return the layers, the one part that they are in, and its rows."""
    layers = [lake, layer]
    rows = query(layers[:1], "tile").df()
    table = write_features(layer / "lung_imc", features("tile", expected=len(rows)), rows)
    return layers, feature_folder(layer / "lung_imc", "own-tile") / feature_part(0, len(rows) - 1), table


@pytest.mark.some(2)
@pytest.mark.parametrize("fault", ["twice", "nulls", "float32"])
def test_a_part_that_is_not_as_told_is_refused(lake_of_examples: Path, tmp_path: Path, fault: str) -> None:
    layers, part, _ = one_part(lake_of_examples, tmp_path)
    table = pq.read_table(part)
    if fault == "twice":
        table = pa.concat_tables([table, table.slice(0, 1)])
    else:
        vector = table.column("embedding").combine_chunks()
        without, floats = [None, *vector.to_pylist()[1:]], pa.list_(pa.float32(), 4)
        other = pa.array(without, vector.type) if fault == "nulls" else vector.cast(floats)
        table = table.set_column(table.column_names.index("embedding"), "embedding", other)
    pq.write_table(table, part)
    with pytest.raises((FileFormatError, TableError), match="own-tile"):
        query(layers, "tile").with_features("own-tile").plan()
    if fault != "twice":
        with pytest.raises(FileFormatError, match="'embedding' is "):
            query(layers, "tile").nearest(np.ones(4), name="own-tile")


def recast(part: Path, kinds: dict[str, pa.DataType]) -> None:
    """Write a part anew with keys of other types, as polars and DuckDB choose them."""
    table = pq.read_table(part)
    for name, kind in kinds.items():
        own = table.column(name)
        own = own.dictionary_encode() if pa.types.is_dictionary(kind) else own.cast(kind)
        table = table.set_column(table.column_names.index(name), name, own)
    pq.write_table(table, part)


LETTERS = pa.dictionary(pa.int32(), pa.string())


@pytest.mark.parametrize(
    "kinds",
    [
        {"tissue_id": pa.large_string(), "strategy": pa.large_string()},
        {"tissue_id": LETTERS, "strategy": LETTERS, "tile_id": pa.int16(), "tile_size": pa.uint8()},
        {"mpp": pa.float32(), "tile_size": pa.float64(), "tile_id": pa.uint64()},
    ],
    ids=["large texts", "dictionaries", "numbers"],
)
def test_keys_of_other_writers(lake_of_examples: Path, tmp_path: Path, kinds: dict[str, pa.DataType]) -> None:
    layers, part, table = one_part(lake_of_examples, tmp_path)
    expected = keyed(table, "tile")
    recast(part, kinds)
    plan = query(layers, "tile").with_features("own-tile").plan()
    for row, vector in enumerate(plan.features.values[0]):
        place = plan.identity(row)
        assert np.array_equal(vector, expected[place["tissue_id"], place["tile_id"]])
    found = query(layers, "tile").nearest(np.ones(4), name="own-tile", k=len(expected)).df()
    near = {
        key: float(vector.sum(dtype=np.float64)) / 2 / np.linalg.norm(vector.astype(np.float64))
        for key, vector in expected.items()
    }
    assert [near[key] for key in zip(found["tissue_id"], found["tile_id"], strict=True)] == pytest.approx(
        list(found["similarity"])
    )


@pytest.mark.parametrize("name", ["tissue_id", "tile_id", "strategy"])
def test_a_key_that_says_nothing_is_refused(lake_of_examples: Path, tmp_path: Path, name: str) -> None:
    layers, part, _ = one_part(lake_of_examples, tmp_path)
    table = pq.read_table(part)
    own = pa.array([None, *table.column(name).to_pylist()[1:]], table.column(name).type)
    pq.write_table(table.set_column(table.column_names.index(name), name, own), part)
    with pytest.raises(FileFormatError, match=f"'{name}' says nothing in 1 row"):
        query(layers, "tile").with_features("own-tile").plan()
    with pytest.raises(FileFormatError, match=f"'{name}' says nothing in 1 row"):
        query(layers, "tile").nearest(np.ones(4), name="own-tile")
