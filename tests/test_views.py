import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from lakes import write_lake
from published_figures import SAMPLES
from spora_db.catalog import VIEWS, Catalog
from spora_db.catalog.sql_files import sql_folder, sql_text

ACCESSION = re.compile(r"[OPQ][0-9][A-Z0-9]{3}[0-9](-[0-9]+)?")


def rows(frame: pd.DataFrame, columns: list[str]) -> list[tuple]:
    """Rows as sorted tuples in which a missing value is None."""
    plain = frame[columns].astype(object).where(frame[columns].notna(), None)
    return sorted(plain.itertuples(index=False, name=None), key=repr)


def same(catalog: Catalog, relation: str, expected: pd.DataFrame) -> None:
    columns = list(expected.columns)
    found = catalog._run(f"SELECT * FROM {relation}").df()
    assert set(columns) <= set(found.columns)
    assert rows(found, columns) == rows(expected, columns)


@pytest.fixture(scope="module")
def cords(released_cohort):
    with Catalog(released_cohort) as catalog:
        yield catalog


@pytest.fixture(scope="module")
def cords_path(released_cohort):
    return released_cohort


@pytest.fixture(scope="module")
def real(tiff_lake):
    with Catalog(tiff_lake) as catalog:
        yield catalog


@pytest.fixture(scope="module")
def built_path(untiled_lake):
    return untiled_lake


@pytest.fixture(scope="module")
def built(built_path):
    with Catalog(built_path) as catalog:
        yield catalog


def by_tissue(path: Path) -> pd.DataFrame:
    """Read a wide file with tissue_id as index, wherever pandas left it."""
    frame = pq.read_table(path).to_pandas().reset_index()
    key = (
        "tissue_id"
        if "tissue_id" in frame
        else next(name for name in frame if str(name).startswith(("index", "level")))
    )
    table = frame.set_index(key).rename_axis("tissue_id")
    return table[[name for name in table if pd.api.types.is_numeric_dtype(table[name])]]  # truth values among them


# --- one published cohort -------------------------------------------------------------------------------------------


def test_cords_tissues(cords, cords_path):
    expected = pq.read_table(cords_path / "metadata/tissues.parquet").to_pandas().drop(columns="index")
    same(cords, "tissues", expected)
    assert cords.sql('SELECT "X..spots", "Patient_Nr" FROM tissues').fetchall() == [(340.0, 170.0)]
    assert "index" not in cords.columns("tissues")


def test_cords_cells(cords, cords_path):
    expected = pq.read_table(cords_path / "metadata/cells.parquet").to_pandas().drop(columns="index")
    same(cords, "cells", expected.assign(dataset="cords2024cancer"))
    assert cords.sql('SELECT count(DISTINCT "Unnamed: 0") FROM cells').fetchall() == [(2185,)]


def test_cords_natural_join_finds_rows(cords):
    assert cords.sql("SELECT count(*) FROM cells JOIN tissues USING (dataset, tissue_id)").fetchall() == [(2185,)]


def test_cords_channels(cords, cords_path):
    expected = pq.read_table(cords_path / "imc/channels.parquet").to_pandas()
    expected["channel_index"] = np.arange(len(expected))
    same(cords, "channels", expected.assign(dataset="cords2024cancer", modality="imc"))


def test_cords_channels_per_tissue(cords, cords_path):
    wide = by_tissue(cords_path / "imc/channels_per_tissue.parquet")
    long = wide.stack().rename_axis(["tissue_id", "channel_name"]).rename("measured").reset_index()
    same(cords, "channels_per_tissue", long)
    assert len(long) == 43


def test_cords_tilings(cords, cords_path):
    folder = cords_path / "tiling/1_0mpp/default"
    expected = pd.read_parquet(folder / "128_tile_coordinates.parquet").drop(columns="index")
    expected = expected.assign(dataset="cords2024cancer", mpp=1.0, strategy="default", tile_size=128)
    same(cords, "tile_coordinates", expected)
    stats = pd.read_parquet(folder / "128_tile_stats.parquet").reset_index()
    same(cords, "tile_stats", stats.assign(mpp=1.0, strategy="default"))
    tissues = pd.read_parquet(cords_path / "metadata/tissues.parquet").drop(columns=["index", "dataset"])
    same(cords, "tiles", expected.merge(tissues, on="tissue_id").assign(format="ome-zarr"))


def test_cords_statistics(cords, cords_path):
    spec = "quantile_clipping_log1p/uq_0.99_image"
    folder = cords_path / "imc/1_0mpp/standardization" / spec
    upper = by_tissue(folder / "image_level_upper_quantiles.parquet").astype(float)
    found = cords.sql("SELECT * FROM standardization_stats WHERE level = 'image'").df()
    assert (found.spec == spec).all()
    assert found.lower.isna().all()
    pivot = found.pivot(index="tissue_id", columns="channel_name", values="upper")
    pd.testing.assert_frame_equal(pivot, upper.loc[pivot.index, pivot.columns], check_names=False)
    assert pivot.shape == (2040, 43)
    means = pq.read_table(folder / "global_level_means.parquet").to_pandas().iloc[0].astype(float)
    stds = pq.read_table(folder / "global_level_stds.parquet").to_pandas().iloc[0].astype(float)
    expected = pd.DataFrame({"mean": means, "std": stds}).rename_axis("channel_name").reset_index()
    expected = expected.assign(level="global", tissue_id=None, upper=None)
    found = cords.sql("SELECT * FROM standardization_stats WHERE level = 'global'").df()
    assert rows(found, list(expected)) == rows(expected, list(expected))


def test_cords_folders(cords):
    assert cords.sql("SELECT * FROM datasets").fetchall() == [
        ("cords2024cancer", ["imc"], [1.0], 1, 1, 2, "cords2024cancer")
    ]
    image, mask = cords.sql("SELECT path FROM images").fetchall(), cords.sql("SELECT path, kind FROM masks").fetchall()
    assert len(image) == 1
    assert sorted(kind for _, kind in mask) == ["instances", "tissue"]
    assert all((cords.lake / path).exists() for path, *_ in image + mask)


def test_cords_uniprot_filtered(cords, cords_path):
    panel = pd.read_parquet(cords_path / "imc/channels.parquet")
    keep = panel.qc_pass & panel.uniprot_id.fillna("").map(lambda name: bool(ACCESSION.fullmatch(name)))
    found = cords.sql("SELECT channel_name FROM tissue_channels WHERE in_uniprot_filtered ORDER BY page").fetchall()
    assert [name for (name,) in found] == list(panel.channel_name[keep])
    assert len(found) == 40


# --- three cohorts of different modalities --------------------------------------------------------------------------


def test_real_lake_in_one_catalog(real, tiff_lake):
    frames = []
    for name in ("breast_imc", "lymph_codex", "skin_he"):
        frame = pd.read_parquet(tiff_lake / name / "metadata/tissues.parquet")
        frames.append(frame.assign(grade=frame.grade.map(lambda value: None if pd.isna(value) else str(value))))
    same(real, "tissues", pd.concat(frames))
    assert real.sql("SELECT DISTINCT modality FROM images ORDER BY 1").fetchall() == [
        ("codex",),
        ("he",),
        ("ihc_Ki67",),
        ("ihc_kidney",),
        ("imc",),
    ]
    joined = "SELECT count(*) FROM images JOIN tissues USING (dataset, modality, tissue_id)"
    assert real.sql(joined).fetchall() == [(5,)]
    assert real.sql("SELECT DISTINCT format FROM images").fetchall() == [("ome-tiff",)]
    assert real.sql("SELECT dataset FROM tissues WHERE grade = '2.0'").fetchall() == [("breast_imc",)]


@pytest.mark.some(4)
@pytest.mark.parametrize("name", VIEWS)
def test_a_lake_without_a_kind_of_file_has_the_relation_typed_and_empty(tmp_path, cords, name):
    (tmp_path / "bare/he/1_0mpp/images").mkdir(parents=True)
    with Catalog(tmp_path) as catalog:
        answer = catalog.sql(f"SELECT * FROM {name}")
        assert answer.fetchall() == ([("bare", ["he"], [1.0], 0, 0, 0, "bare")] if name == "datasets" else [])
        full = cords.sql(f"SELECT * FROM {name}")
        types = dict(zip(full.columns, full.types, strict=True))
        for column, kind in zip(answer.columns, answer.types, strict=True):
            assert kind == types[column] or column == "cell_id", column


# --- the lake of the reference figures ------------------------------------------------------------------------------


def oracle_tissue_channels(root: Path) -> pd.DataFrame:
    frames = []
    for dataset, modality in (("cohort_a", "imc"), ("cohort_b", "codex")):
        panel = pd.read_parquet(root / dataset / modality / "channels.parquet")
        panel["channel_index"] = range(len(panel))
        measured = by_tissue(root / dataset / modality / "channels_per_tissue.parquet")
        for tissue, flags in measured.iterrows():
            frame = panel.assign(dataset=dataset, modality=modality, tissue_id=tissue)
            frame["measured"] = [bool(flags[name]) for name in panel.channel_name]
            pages = np.cumsum(frame.measured) - 1
            frame["page"] = [page if here else None for page, here in zip(pages, frame.measured, strict=True)]
            valid = [isinstance(name, str) and bool(ACCESSION.fullmatch(name)) for name in panel.uniprot_id]
            frame["in_complete"] = frame.measured
            frame["in_qc_filtered"] = frame.measured & frame.qc_pass
            frame["in_uniprot_filtered"] = frame.in_qc_filtered & np.array(valid)
            frames.append(frame)
    return pd.concat(frames)


def test_built_tissue_channels(built, built_path):
    same(built, "tissue_channels", oracle_tissue_channels(built_path))


def test_built_markers(built, built_path):
    official = re.compile(r"([OPQ][0-9][A-Z0-9]{3}[0-9]|[A-NR-Z][0-9]([A-Z][A-Z0-9]{2}[0-9]){1,2})(-[0-9]+)?")
    long = oracle_tissue_channels(built_path)
    long = long[long.uniprot_id.map(lambda name: isinstance(name, str) and bool(official.fullmatch(name)))]
    expected = {
        accession: (
            sorted(set(group.channel_name)),
            sorted(set(group.dataset)),
            sorted(set(group.modality)),
            len(set(zip(group.dataset[group.measured], group.tissue_id[group.measured], strict=True))),
        )
        for accession, group in long.groupby("uniprot_id")
    }
    found = built.sql("SELECT * FROM markers").fetchall()
    assert {accession: tuple(rest) for accession, *rest in found} == expected
    assert expected["P01732"] == (["CD8"], ["cohort_a", "cohort_b"], ["codex", "imc"], 10)
    assert expected["P07766"] == (["CD3e"], ["cohort_a", "cohort_b"], ["codex", "imc"], 8)


def test_built_channel_sets_are_the_reference_ones(built):
    flags = {"complete": "in_complete", "qc_filtered": "in_qc_filtered", "uniprot_filtered": "in_uniprot_filtered"}
    checked = 0
    for key, record in SAMPLES.items():
        parts = key.split("|")
        if len(parts) != 5 or parts[1] != "identity" or parts[2] != "False":
            continue
        dataset, _, _, kind, tissue = parts
        text = f"SELECT channel_name FROM tissue_channels WHERE dataset = ? AND tissue_id = ? AND {flags[kind]}"
        found = built._run(f"{text} ORDER BY page", [dataset, tissue]).fetchall()
        assert [name for (name,) in found] == record["channels"], key
        checked += 1
    assert checked


def test_built_images_and_masks(built, built_path):
    images = [
        (path.parents[3].name if "ihc" not in path.parts else path.parents[4].name, path.parents[2].name, path)
        for path in sorted(built_path.glob("*/**/images/*.ome.zarr"))
    ]
    expected = pd.DataFrame(
        {
            "dataset": [dataset for dataset, _, _ in images],
            "modality": [modality for _, modality, _ in images],
            "tissue_id": [path.name.removesuffix(".ome.zarr") for _, _, path in images],
            "path": [path.relative_to(built_path).as_posix() for _, _, path in images],
        }
    )
    assert len(expected) == 2 * (5 + 4 + 2)
    same(built, "images", expected.assign(mpp=1.0, format="ome-zarr"))
    masks = sorted(built_path.glob("*/segmentations/1_0mpp/**/*.npz"))
    expected = pd.DataFrame(
        {
            "dataset": [path.relative_to(built_path).parts[0] for path in masks],
            "kind": ["tissue" if path.parent.name == "tissue_masks" else path.parent.name for path in masks],
            "tissue_id": [path.stem for path in masks],
            "path": [path.relative_to(built_path).as_posix() for path in masks],
        }
    )
    assert len(expected) == 20
    same(built, "masks", expected.assign(mpp=1.0))
    assert built.sql("SELECT dataset, modalities, n_tissues, n_images, n_masks FROM datasets").fetchall() == [
        ("cohort_a", ["he", "ihc_CD3", "imc"], 5, 11, 10),
        ("cohort_b", ["codex", "he", "ihc_CD3"], 5, 11, 10),
    ]


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        (["CD8"], 5),
        (["cd8", "P01732"], 5),
        (["CD3e", "P01732"], 4),
        (["MPO", "CD3e"], 4),
        (["P08575-8"], 4),
        (["not-an-id"], 5),
    ],
)
def test_marker_macros(built, built_path, wanted, number):
    long = oracle_tissue_channels(built_path)
    long = long[(long.dataset == "cohort_a") & long.measured]

    def has(group: pd.DataFrame, name: str) -> bool:
        return bool(((group.uniprot_id == name) | (group.channel_name.str.lower() == name.lower())).any())

    expected = {t: sum(has(group, name) for name in wanted) for t, group in long.groupby("tissue_id")}
    text = """
        SELECT tissue_id, n_markers(dataset, modality, tissue_id, $wanted),
            has_all_markers(dataset, t.modality, tissue_id, $wanted),
            has_any_marker(t.dataset, modality, t.tissue_id, $wanted)
        FROM tissues AS t WHERE dataset = 'cohort_a' AND modality = 'imc'
    """
    found = built._run(text, {"wanted": wanted}).fetchall()
    assert {tissue: n for tissue, n, _, _ in found} == expected
    assert sum(has_all for _, _, has_all, _ in found) == number
    assert all((n == len(wanted), n > 0) == (has_all, has_any) for _, n, has_all, has_any in found)


def test_views_do_not_depend_on_the_order_of_a_listing(built, built_path, backwards):
    backwards()
    with Catalog(built_path) as other:
        for name in VIEWS:
            text = f"SELECT * FROM {name}"
            assert other.sql(text).columns == built.sql(text).columns
            assert other.sql(f"{text} ORDER BY ALL").fetchall() == built.sql(f"{text} ORDER BY ALL").fetchall()


@pytest.mark.parametrize("name", sorted(path.stem for path in (sql_folder() / "queries").glob("*.sql")))
def test_named_queries_run_behind_the_guard(built, name):
    text = sql_text("queries", name)
    assert text.startswith("-- purpose: ")
    assert "\n-- grain:   " in text
    assert built.sql(text.rstrip().removesuffix(";")).columns


def test_what_the_named_queries_say(built):
    def ask(name: str) -> list[tuple]:
        return built.sql(sql_text("queries", name).rstrip().removesuffix(";")).fetchall()

    assert [row[0] for row in ask("cohorts")] == ["cohort_a", "cohort_b"]
    overlap = {(one, other): n for one, other, n in ask("panel_overlap")}
    assert overlap["cohort_a", "cohort_b"] == overlap["cohort_b", "cohort_a"] == 2
    assert overlap["cohort_b", "cohort_b"] == 3
    assert ask("common_markers")[0][:3] == ("P01732", ["CD8"], 2)
    assert {(row[0], row[1], row[3]) for row in ask("splits")} == {
        (cohort, split, n) for cohort in ("cohort_a", "cohort_b") for split, n in (("train", 3), ("test", 2))
    }
    assert all(row[5] == 2 for row in ask("splits"))
    assert ask("missing_files") == []


def test_a_panel_that_numbers_its_channels_itself_is_read_in_the_order_of_its_rows(tmp_path):
    lake = write_lake(tmp_path / "lake", tissues=1)
    asked = "SELECT * FROM channels ORDER BY ALL"
    with Catalog(lake) as catalog:
        expected = catalog.sql(asked).df()
    for path in lake.glob("*/*/channels.parquet"):
        panel = pd.read_parquet(path)
        panel.assign(Channel_Index=range(len(panel), 0, -1)).to_parquet(path)
    with Catalog(lake) as catalog:
        pd.testing.assert_frame_equal(catalog.sql(asked).df(), expected)
