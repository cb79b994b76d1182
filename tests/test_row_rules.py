"""Rules that rows obey whatever verbs meet: counts agree, caps hold, names of the lake's columns do no harm."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakes import coordinates_image, write_lake, write_zarr
from spora_db import Catalog, SporaQuery
from spora_db.errors import ArgumentError, LockError, QueryError, SporaError, UnknownNameError

SPEC = "quantile_clipping/uq_0.99_image"


def cohort(
    lake: Path,
    name: str,
    images: dict[str, tuple[str, ...]],
    *,
    tiles: int = 2,
    panels: dict[str, list[tuple[str, str | None]]] | None = None,
    **columns: list,
) -> Path:
    """Write a cohort: the modalities that each tissue has an image of, tiles of 32 pixels, columns of its tissues."""
    base = lake / name
    multiplex = {m for has in images.values() for m in has} - {"he", "ihc_Ki67", "ihc_KI67"}
    panels = {modality: [("DNA", None), ("CD3", "P07766")] for modality in multiplex} | (panels or {})
    (base / "metadata").mkdir(parents=True)
    (base / "tiling/1_0mpp/default").mkdir(parents=True)
    for tissue, modalities in images.items():
        for modality in modalities:
            folder = base / ("ihc" if modality.startswith("ihc") else "") / modality / "1_0mpp/images"
            folder.mkdir(parents=True, exist_ok=True)
            planes = len(panels[modality]) if modality in panels else 3
            write_zarr(folder / f"{tissue}.ome.zarr", coordinates_image(planes, 32, 32))
    for modality, panel in panels.items():
        frame = pd.DataFrame(panel, columns=["channel_name", "uniprot_id"])
        frame.assign(qc_pass=True, is_nuclear_marker=False).to_parquet(base / modality / "channels.parquet")
        tissues = [tissue for tissue, modalities in images.items() if modality in modalities]
        measured = pd.DataFrame(True, index=pd.Index(tissues, name="tissue_id"), columns=frame["channel_name"])
        measured.to_parquet(base / modality / "channels_per_tissue.parquet")
    rows = pd.DataFrame({"tissue_id": list(images), "patient_id": list(images)}).assign(**columns)
    rows.to_parquet(base / "metadata/tissues.parquet")
    places = [{"tissue_id": t, "tile_id": i, "row": 0, "col": 32 * i} for t in images for i in range(tiles)]
    pd.DataFrame(places).to_parquet(base / "tiling/1_0mpp/default/32_tile_coordinates.parquet")
    return lake


def tiles(lake: Path, *modalities, **choice) -> SporaQuery:
    return SporaQuery(lake).modality(*modalities, **choice).tiles(size=32, mpp=1.0)


MIXED = {"t1": ("imc", "he", "ihc_Ki67"), "t2": ("imc", "he"), "t3": ("he", "ihc_Ki67"), "t4": ("imc", "ihc_Ki67")}


@pytest.mark.some(3)
@pytest.mark.parametrize("missing", ["drop", "keep"])
@pytest.mark.parametrize(
    "modalities", [("imc", ("he", "ihc_Ki67")), ("imc", ("ihc_Ki67", "he")), (("he", "ihc_Ki67"), "imc")]
)
def test_a_place_with_alternatives_shows_one_of_them(tmp_path, modalities, missing):
    query = tiles(cohort(tmp_path, "a", MIXED), *modalities, missing=missing)
    named = [(names,) if isinstance(names, str) else names for names in modalities]
    expected = set()
    for tissue, has in MIXED.items():
        beside = [next((name for name in names if name in has), None) for names in named[1:]]
        firsts = [name for name in named[0] if name in has]
        if missing == "keep" and not firsts:
            firsts = [None]
        if missing == "drop" and None in beside:
            continue
        expected |= {(tissue, first, *beside, tile) for first in firsts for tile in range(2)}
    plan = query.plan()
    modality = [*plan.images.column("modality").to_pylist(), None]
    tissue = plan.images.column("tissue_id").to_pylist()
    found = [
        (tissue[max(images)], *(modality[image] for image in images), tile)
        for images, tile in zip(plan.image.tolist(), plan.tile_id.tolist(), strict=True)
    ]
    assert set(found) == expected
    assert len(found) == len(expected) == query.count() == len(query.df()) == len(plan)
    assert len(query.sample(2, seed=1).plan()) == query.sample(2, seed=1).count() == 2
    used = {(t, m) for row in expected for t, m in ((row[0], name) for name in row[1:-1]) if m}
    assert query.audit().totals["images"] == len(used) == len(plan.images)


@pytest.mark.parametrize("cap", ["per_tissue", "per_patient"])
def test_caps_hold_over_modalities(tmp_path, cap):
    images = {"t1": ("imc", "codex"), "t2": ("codex",), "t3": ("imc", "codex")}
    lake = cohort(tmp_path, "a", images, tiles=4, patient_id=["p", "p", "q"])
    column = {"per_tissue": "tissue_id", "per_patient": "patient_id"}[cap]
    found = tiles(lake, ("imc", "codex")).select("patient_id").sample(**{cap: 2}).df()
    assert found.groupby(column).size().tolist() == [2] * found[column].nunique() != []


def test_both_caps_keep_as_many_as_they_allow(tmp_path):
    lake = cohort(tmp_path, "a", {f"t{i}": ("imc",) for i in range(4)}, tiles=9, patient_id=["p"] * 4)
    for seed in range(8):
        found = tiles(lake, "imc").sample(per_tissue=1, per_patient=3, seed=seed).df()
        assert len(found) == found["tissue_id"].nunique() == 3
        weighted = tiles(lake, "imc").sample(per_tissue=2, per_patient=5, weights="tile_id + 1", seed=seed).df()
        assert len(weighted) == 5
        assert weighted.groupby("tissue_id").size().max() == 2


@pytest.mark.some(3)
@pytest.mark.parametrize("name", ["sample_key", "by_0", "sample_order", "sample_weight", "cap_patient", "Sample_Key"])
def test_columns_of_any_name_do_not_change_a_sample(tmp_path, name):
    lake = cohort(tmp_path, "a", {f"t{i}": ("imc",) for i in range(6)}, tiles=6, **{name: list(range(6))})
    query = tiles(lake, "imc")
    for sample in (
        {"n": 7},
        {"fraction": 0.4},
        {"n": 7, "by": "tissue_id"},
        {"n": 7, "weights": "1.0 / n_tiles"},
        {"per_patient": 2},
    ):
        plain, chosen = query.sample(seed=3, **sample), query.select(name).sample(seed=3, **sample)
        assert chosen.df().drop(columns=name).equals(plain.df()), sample
        assert (chosen.df()[name] == chosen.df()["tissue_id"].str[1:].astype(int)).all()


def test_an_added_cohort_does_not_move_groups_of_numbers(tmp_path):
    images = {f"t{i}": ("imc",) for i in range(40)}
    lake = cohort(tmp_path, "a", images, tiles=1, batch=list(range(40)))
    query = tiles(lake, "imc").split("train", by="batch", fractions={"train": 0.5, "test": 0.5}).where("dataset = 'a'")
    before = query.df()
    assert 10 < len(before) < 30
    cohort(lake, "b", images, tiles=1, batch=[0.5 + i for i in range(40)])
    assert query.df().equals(before)


@pytest.mark.parametrize("name", ["Modality", "MODALITY", "modality"])
def test_the_column_modality_is_known_in_any_case(tmp_path, name):
    lake = cohort(tmp_path, "a", {"t1": ("imc", "he"), "t2": ("imc", "he")}, **{name: ["imc", "HE"]})
    with Catalog(lake) as catalog:
        found = catalog.sql("SELECT tissue_id, modality FROM tissues ORDER BY ALL").fetchall()
    assert found == [("t1", "imc"), ("t2", "he")]


def test_modalities_that_cohorts_spell_in_two_ways(tmp_path):
    lake = cohort(tmp_path, "a", {"t1": ("ihc_Ki67",)})
    cohort(lake, "b", {"t2": ("ihc_KI67",)})
    assert set(tiles(lake, "ihc_Ki67").df()["dataset"]) == {"a"}
    assert set(tiles(lake, "ihc_KI67").df()["dataset"]) == {"b"}
    assert set(tiles(lake, ("ihc_KI67", "ihc_Ki67")).df()["dataset"]) == {"a", "b"}
    with pytest.raises(QueryError, match="ihc_KI67, ihc_Ki67"):
        tiles(lake, "ihc_ki67").count()
    with pytest.raises(ArgumentError, match="twice"):
        tiles(lake, ("ihc_KI67", "ihc_KI67")).count()


def test_specs_are_for_modalities_in_any_case_and_no_others(tmp_path):
    lake = cohort(tmp_path, "a", {"t1": ("imc", "he")})
    asked = tiles(lake, "HE").standardize({"HE": "imagenet"})
    assert asked.plan().standardization.spec("he") == "imagenet"
    assert asked.plan().hash == tiles(lake, "he").standardize({"he": "imagenet"}).plan().hash
    assert tiles(lake, "he").standardize({"he": "imagenet", "imc": SPEC}).count() == 2
    with pytest.raises(UnknownNameError, match=r"'hee' in standardize\(\).*'he'"):
        tiles(lake, "he").standardize({"hee": "imagenet"}).count()


ROWS = pa.table({"dataset": ["a", "a"], "tissue_id": ["t1", "t1"], "tile_id": [0, 1], "row": [0, 0], "col": [0, 32]})


def changed(**columns) -> pa.Table:
    table = ROWS
    for name, values in columns.items():
        table = table.drop_columns([name] if name in table.column_names else [])
        table = table.append_column(name, values if isinstance(values, pa.Array) else pa.array(values))
    return table


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("table", "words"),
    [
        (changed(modality=["IMC", "IMC"]), "Unknown modality 'IMC' in the column modality"),
        (changed(modality=["imc", "codex"]), "Unknown modality 'codex'"),
        (changed(modality=["imc", None]), "1 of the rows have no value as 'modality'"),
        (changed(mpp=pa.array([0.65, 0.65], pa.float32())), "None of the rows has mpp 1.0: they have 0.6499"),
        (changed(mpp=[1.0, None]), "1 of the rows have no value as 'mpp'"),
        (changed(mpp=["1.0", "1.0"]), "'mpp' of the rows is VARCHAR, not a number"),
        (changed(tile_size=["32", "32"]), "'tile_size' of the rows is VARCHAR"),
        (changed(tile_size=[64, 64]), "None of the rows has tile_size 32: they have 64"),
        (changed(tile_id=[0.0, 1.5]), "1 of the rows have no whole number as 'tile_id'"),
        (changed(row=[0.5, 0.5]), "2 of the rows have no whole number as 'row'"),
        (changed(col=[0, None]), "1 of the rows have no whole number as 'col'"),
        (changed(tissue_id=[1, 1]), "'tissue_id' of the rows is BIGINT, but ids are text"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_rows_that_do_not_say_where_they_are_are_refused(tmp_path, table, words):
    lake = cohort(tmp_path, "a", {"t1": ("imc",)})
    with pytest.raises(SporaError, match=words):
        SporaQuery.from_arrow(lake, table).modality("imc").tiles(size=32, mpp=1.0).count()


def test_rows_of_other_types_of_number_are_taken(tmp_path):
    lake = cohort(tmp_path, "a", {"t1": ("imc",)})
    mpp = pa.array([1, 1], pa.decimal128(20, 2))
    table = changed(tile_id=np.array([0.0, 1.0]), mpp=mpp, tile_size=np.array([32, 32], np.uint16))
    query = SporaQuery.from_arrow(lake, table)
    assert query.plan().tile_id.tolist() == [0, 1]
    assert query.plan().tile_size == 32
    assert query.plan().hash == SporaQuery.from_arrow(lake, ROWS).modality("imc").tiles(size=32, mpp=1.0).plan().hash


@pytest.mark.parametrize("text", ["SELECT * FROM tiles WHERE tile_id < ?", "SELECT * FROM tiles WHERE modality = $p0"])
def test_selects_of_rows_take_no_parameters(tmp_path, text):
    lake = cohort(tmp_path, "a", {"t1": ("imc",)})
    with pytest.raises(QueryError, match="takes no parameters"):
        SporaQuery.from_sql(lake, text).count()


def test_a_name_may_stand_for_a_protein_in_the_panel_of_another_modality(tmp_path):
    panels = {"imc": [("CD8", "P01732"), ("X", None)], "codex": [("CD8a", "P01732"), ("Y", None)]}
    lake = cohort(tmp_path, "a", {"t1": ("imc", "codex")}, panels=panels)
    query = tiles(lake, "imc")
    assert query.channels(require=["CD8a"]).count() == 2
    assert query.where("has_all_markers(dataset, modality, tissue_id, ['CD8a'])").count() == 2
    with pytest.raises(UnknownNameError, match="'Y'"):
        query.channels(require=["Y"]).count()


@pytest.mark.some(2)
@pytest.mark.parametrize("by_macro", [False, True])
def test_a_lock_holds_the_panels_that_tell_what_names_mean(tmp_path, by_macro):
    lake = cohort(tmp_path / "lake", "a", {"t1": ("imc",)}, panels={"imc": [("CD8", "P01732"), ("CD3", "P07766")]})
    cohort(lake, "b", {"t2": ("imc",)}, panels={"imc": [("T8", "P01732"), ("X", None)]})
    query = tiles(lake, "imc").where("dataset = 'a'")
    macro = "has_all_markers(dataset, modality, tissue_id, ['T8'])"
    query = query.where(macro) if by_macro else query.channels(require=["T8"])
    lock = query.lock(tmp_path / "cohort.lock.json")
    panel = lake / "b/imc/channels.parquet"
    frame = pd.read_parquet(panel)
    frame.assign(uniprot_id=["P0CG48", None]).to_parquet(panel)
    with pytest.raises(LockError, match=r"b/imc/channels\.parquet"):
        SporaQuery.from_lock(lock)


def test_decimals_that_are_too_wide_are_read_as_floats(tmp_path):
    lake = cohort(tmp_path, "a", {"t1": ("imc",)})
    path = lake / "a/metadata/tissues.parquet"
    wide = pa.array([1.5], pa.float64()).cast(pa.decimal128(20, 2)).cast(pa.decimal256(60, 2))
    pq.write_table(pq.read_table(path).append_column("wide", wide), path)
    with Catalog(lake) as catalog:
        assert catalog.sql("SELECT wide FROM tissues").fetchall() == [(1.5,)]
        assert catalog.column_types("tissues")["wide"] == "DOUBLE"


def test_plans_and_loaders_say_in_a_line_what_they_hold(tmp_path):
    lake = cohort(tmp_path, "a", {"t1": ("imc", "he"), "t2": ("imc",)})
    plan = tiles(lake, "imc").plan()
    text = f"4 tiles of 32 pixels, imc, 2 images, 2 channels, hash {plan.hash[:8]})"
    dataset = tiles(lake, "imc").to_torch()
    assert repr(plan) == f"Plan({text}"
    assert repr(dataset) == f"PlanDataset({text}"
    assert repr(dataset.loader(3)) == f"TileLoader(PlanDataset({text}, batch_size=3, num_workers=0, epoch=0)"
    pair = SporaQuery(lake).modality("imc", "he").tissues(mpp=1.0).plan()
    assert repr(pair) == f"Plan(1 tissue, imc with he, 2 images, 5 channels, hash {pair.hash[:8]})"


def test_bytes_are_no_column_to_count_by(tmp_path):
    lake = cohort(tmp_path, "a", {"t1": ("imc",)}, code=[b"1"])
    with pytest.raises(ArgumentError, match="'code' holds BLOB"):
        tiles(lake, "imc").audit(columns="code")


def test_a_condition_does_not_bring_a_tissue_back_without_its_image(tmp_path):
    """Which image a kept row stands on is decided by the images there are, not by what other conditions leave."""
    root = write_lake(tmp_path / "lake")
    kept = SporaQuery(root).modality("imc", "he", missing="keep").tissues(mpp=1.0)
    with pytest.warns(UserWarning, match="modality = 'he' holds for no tissue. Available: imc"):
        assert kept.where("modality = 'he'").count() == 0
    swapped = SporaQuery(root).modality("he", "imc", missing="keep").tissues(mpp=1.0).where("modality = 'imc'")
    assert swapped.df()["tissue_id"].tolist() == ["alpha_0002", "beta_0002"]
    plan = swapped.plan()
    assert (plan.image[:, 0] == -1).all()
    assert (plan.image[:, 1] >= 0).all()
