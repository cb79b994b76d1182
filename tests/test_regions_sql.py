"""Tiles and cells by the regions that they lie in, against shapely: in `where`, in free SQL, as labels."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import shapely

from cell_lakes import centroids, write_cells, write_masks
from lakes import write_lake
from region_lakes import blob, box, region_table, write_regions
from spora_db import Catalog, SporaQuery
from spora_db.errors import MissingExtraError, QueryError, TableError
from spora_db.files.parquet import write_parquet

REGIONS = [
    ("alpha_0000", "1", "tumor", blob(1, at=(40, 40), radius=45)),
    ("alpha_0000", "2", "tumor", box(0, 0, 48, 40)),  # overlaps the first: one area
    ("alpha_0000", "3", "necrosis", box(32, 32, 64, 60)),  # within the tumor, over the border of a tile
    ("alpha_0000", "4", None, box(0, 0, 96, 96)),  # of no class
    ("alpha_0001", "1", "stroma", box(-50, -50, 32, 500)),  # beyond the image
    ("alpha_0002", "1", None, box(0, 0, 96, 96)),
    ("beta_0001", "1", "tumor", box(64, 64, 96, 96)),
]
"""beta_0000, alpha_0003 and others have none."""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a lake of 32-pixel tiles, two datasets with regions. Do not change it."""
    root = write_lake(tmp_path_factory.mktemp("regions") / "lake")
    for name in ("alpha", "beta"):
        write_regions(root / name, [region for region in REGIONS if region[0].startswith(name)])
    return root


def fractions(tissue: str, row: float, col: float, size: float) -> dict[str, float] | None:
    """Return the share of a square in each class, by shapely; None of a tissue without regions."""
    own = [(name, shape) for other, _, name, shape in REGIONS if other == tissue]
    if not own:
        return None
    found = {}
    for name in sorted({name for name, _ in own if name}):
        covered = shapely.union_all([shape for other, shape in own if other == name])
        share = shapely.intersection(covered, box(row, col, row + size, col + size)).area / size**2
        if share > 5e-10:
            found[name] = share
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def tiles_of(lake: Path) -> pd.DataFrame:
    with Catalog(lake) as catalog:
        return catalog.sql("SELECT * FROM tiles WHERE modality = 'imc' ORDER BY tissue_id, tile_id").df()


def test_tiles_have_the_shares_of_shapely(lake):
    frame = tiles_of(lake)
    assert len(frame) == 72
    for tile in frame.itertuples():
        want = fractions(tile.tissue_id, tile.row, tile.col, 32)
        if want is None:
            assert pd.isna(tile.region_fractions)
            assert pd.isna(tile.region_class)
            assert pd.isna(tile.region_fraction)
            continue
        found = dict(tile.region_fractions)
        assert found == pytest.approx(want, abs=1e-9)
        assert list(found) == sorted(found, key=lambda name: (-found[name], name))
        assert tile.region_class == next(iter(found), None) or (not found and pd.isna(tile.region_class))
        assert tile.region_fraction == next(iter(found.values()), 0)


def test_a_tile_within_a_region_is_covered_by_one_exactly(lake):
    frame = tiles_of(lake)
    inside = frame[(frame["tissue_id"] == "alpha_0001") & (frame["row"] == 0)]
    assert inside["region_fraction"].tolist() == [1.0] * 3
    outside = frame[(frame["tissue_id"] == "alpha_0001") & (frame["row"] == 64)]
    assert outside["region_fraction"].tolist() == [0.0] * 3  # no regions there, but regions elsewhere


def main(shares: dict[str, float] | None) -> str | None:
    return next(iter(shares or {}), None)


CONDITIONS = [
    ("region_class = 'tumor' AND region_fraction >= 0.5", lambda s: main(s) == "tumor" and s["tumor"] >= 0.5),
    ("region_fractions['necrosis'] > 0", lambda s: s.get("necrosis", 0) > 0),
    ("region_fractions['tumor'] > 0.1 AND region_fractions['necrosis'] > 0.1",
     lambda s: s.get("tumor", 0) > 0.1 and s.get("necrosis", 0) > 0.1),
    ("region_fraction = 0", lambda s: not s),
    ("NOT (region_fraction > 0)", lambda s: not s),
    ("region_class IN ('tumor', 'stroma') OR region_fraction < 0.2",
     lambda s: main(s) in ("tumor", "stroma") or max(s.values(), default=0) < 0.2),
]  # fmt: skip


@pytest.mark.some(3)
@pytest.mark.parametrize(("condition", "holds"), CONDITIONS)
def test_where_and_free_sql_select_the_same_tiles(lake, condition, holds):
    frame = tiles_of(lake)
    shares = [fractions(tile.tissue_id, tile.row, tile.col, 32) for tile in frame.itertuples()]
    wanted = frame[[share is not None and holds(share) for share in shares]]
    places = list(wanted[["tissue_id", "tile_id"]].itertuples(index=False, name=None))
    query = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0).where(condition)
    found = query.df()
    assert list(found[["tissue_id", "tile_id"]].itertuples(index=False, name=None)) == places
    assert len(query.plan()) == query.count() == len(places) > 0
    with Catalog(lake) as catalog:
        free = catalog.sql(
            f"SELECT tissue_id, tile_id FROM tiles WHERE modality = 'imc' AND ({condition}) ORDER BY ALL"
        )
        assert free.fetchall() == places


def test_rows_of_several_modalities_samples_and_columns_know_regions(lake):
    query = SporaQuery(lake).modality("imc", "he").tiles(size=32, mpp=1.0).select("region_class", "region_fraction")
    both = query.where("region_class = 'tumor'").df()
    assert set(both["region_class"]) == {"tumor"}
    drawn = query.where("region_class IS NOT NULL").sample(4, by="region_class", seed=0).df()
    assert drawn.groupby("region_class").size().to_dict() == {"stroma": 2, "tumor": 2}
    assert query.to_torch()[0]["imc"]["region_fraction"] is not None
    own = SporaQuery.from_sql(lake, "SELECT * FROM tiles WHERE region_class = 'tumor' AND modality = 'imc'")
    shares = [fractions(tile.tissue_id, tile.row, tile.col, 32) for tile in tiles_of(lake).itertuples()]
    assert own.count() == list(map(main, shares)).count("tumor")


def test_a_lake_without_regions_has_none(tmp_path):
    root = write_lake(tmp_path / "plain", tissues=2, size=64)
    with Catalog(root) as catalog:
        assert catalog.sql("SELECT count(region_class), count(region_fraction), count(*) FROM tiles").fetchall() == [
            (0, 0, 32)
        ]
        assert catalog.sql("SELECT regions_at('alpha', 'alpha_0000', 1.0, 3, 3)").fetchall() == [(None,)]
    with pytest.warns(UserWarning, match="region_class is NULL in all of them"):
        assert SporaQuery(root).modality("imc").tiles(size=32, mpp=1.0).where("region_class = 'x'").count() == 0


def test_regions_of_another_resolution_are_scaled(tmp_path):
    root = write_lake(tmp_path / "lake", names=("alpha",), tissues=2)
    half = [(t, i, c, shapely.affinity.scale(s, 2, 2, origin=(0, 0))) for t, i, c, s in REGIONS if t == "alpha_0000"]
    tables = [region_table(half[:2], mpp=0.5), region_table([r for r in REGIONS if r[0] == "alpha_0000"][2:])]
    write_parquet(pa.concat_tables(tables), root / "alpha/metadata/regions.parquet")
    for tile in tiles_of(root).query("tissue_id == 'alpha_0000'").itertuples():
        assert dict(tile.region_fractions) == pytest.approx(fractions("alpha_0000", tile.row, tile.col, 32), abs=1e-9)


def test_regions_that_are_written_again_are_read_again(tmp_path):
    root = write_lake(tmp_path / "lake", names=("alpha",), tissues=1)
    asked = "SELECT region_class, count(*) FROM tiles WHERE modality = 'imc' GROUP BY ALL ORDER BY ALL"
    write_regions(root / "alpha", [("alpha_0000", "1", "tumor", box(0, 0, 96, 96))])
    with Catalog(root) as catalog:
        assert catalog.sql(asked).fetchall() == [("tumor", 9)]
        write_regions(root / "alpha", [("alpha_0000", "1", "stroma", box(0, 0, 32, 96))])
        assert catalog.sql(asked).fetchall() == [("stroma", 3), (None, 6)]


def test_broken_regions_are_an_error_that_names_the_tissue(tmp_path):
    root = write_lake(tmp_path / "lake", names=("alpha",), tissues=1)
    table = region_table([("alpha_0000", "1", "tumor", box(0, 0, 9, 9))])
    write_parquet(pa.concat_tables([table, table]), root / "alpha/metadata/regions.parquet")
    with Catalog(root) as catalog:
        assert catalog.sql("SELECT count(*) FROM tiles").fetchall() == [(18,)]  # nobody asked for them
        with pytest.raises(TableError, match=r"alpha: 'alpha_0000' has 2 regions with region_id 1"):
            catalog.sql("SELECT region_class FROM tiles").fetchall()
        assert catalog.sql("SELECT count(*) FROM tiles").fetchall() == [(18,)]


def test_without_shapely_only_columns_of_regions_are_refused(lake, monkeypatch):
    monkeypatch.setitem(sys.modules, "shapely", None)
    with Catalog(lake) as catalog:
        assert catalog.sql("SELECT count(*) FROM tiles").fetchall()[0][0] > 0
        assert catalog.sql("SELECT count(area) FROM regions").fetchall() == [(7,)]
        with pytest.raises(MissingExtraError, match=r"spora-db\[annotations\]"):
            catalog.sql("SELECT region_class FROM tiles").fetchall()


def test_the_interpreter_ends_in_silence(lake):
    """DuckDB tells on standard error of functions in Python that are known to open connections at the end."""
    code = (
        "import sys; from spora_db import Catalog; kept = Catalog(sys.argv[1])\n"
        "kept.sql('SELECT region_class FROM tiles').df()"
    )
    done = subprocess.run([sys.executable, "-c", code, str(lake)], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_other_engines_are_told(lake):
    with Catalog(lake) as catalog:
        script = catalog.ddl(dialect="postgres")
        assert "region_class" not in script
        star = catalog.translate("SELECT * FROM tiles", dialect="postgres")
        assert "region" not in star
        with pytest.raises(QueryError, match="region_class"):
            catalog.translate("SELECT region_class FROM tiles", dialect="spark")


def test_the_script_for_duckdbs_shell_runs_there(lake):
    import duckdb

    with Catalog(lake) as catalog, duckdb.connect() as shell:
        shell.execute(catalog.ddl())
        assert shell.sql("SELECT count(*), count(region_class) FROM tiles").fetchall()[0][1] == 0
        assert shell.sql("SELECT round(sum(area)) FROM regions").fetchall()[0][0] > 0


# ------------------------------------------------------------------------------------------------------- functions


def test_places_on_a_grid_are_held_as_shapely_says(lake):
    rows, cols = (axis.ravel() for axis in np.mgrid[0:96:2.0, 0:96:2.0])
    own = [(name, shape) for tissue, _, name, shape in REGIONS if tissue == "alpha_0000" and name]
    own.sort(key=lambda pair: pair[1].area)
    with Catalog(lake) as catalog:
        places = pa.table({"r": rows, "c": cols})
        with catalog._registered("query_rows", places):
            found = catalog._run("SELECT r, c, regions_at('alpha', 'alpha_0000', 1.0, r, c) FROM query_rows").fetchall()
    for row, col, classes in found:
        held = [name for name, shape in own if shapely.contains_xy(shape, col + 0.5, row + 0.5)]
        assert classes == list(dict.fromkeys(held))


@pytest.mark.some(4)
@pytest.mark.parametrize(
    ("call", "want"),
    [
        ("regions_of_tile('alpha', 'alpha_0001', 1.0, 0, 0, 32)", {"stroma": 1.0}),
        ("regions_of_tile('alpha', 'alpha_0001', 2.0, 0, 0, 32)", {"stroma": 0.5}),
        ("regions_of_tile('alpha', 'alpha_0001', 1.0, 90, 90, 32)", {}),
        ("regions_of_tile('alpha', 'alpha_0003', 1.0, 0, 0, 32)", None),
        ("regions_of_tile('nowhere', 'alpha_0001', 1.0, 0, 0, 32)", None),
        ("regions_of_tile('alpha', NULL, 1.0, 0, 0, 32)", None),
        ("regions_of_tile('alpha', 'alpha_0001', 1.0, NULL, 0, 32)", None),
        ("regions_of_tile('alpha', 'alpha_0001', 0, 0, 0, 32)", None),
        ("regions_of_tile('alpha', 'alpha_0001', 1.0, 'nan'::DOUBLE, 0, 32)", None),
        ("regions_at('alpha', 'alpha_0001', 1.0, 31, 95)", ["stroma"]),
        ("regions_at('alpha', 'alpha_0001', 1.0, 32, 95)", []),
        ("regions_at('alpha', 'alpha_0002', 1.0, 32, 95)", []),
        ("regions_at('alpha', 'alpha_0003', 1.0, 32, 95)", None),
        ("regions_at('alpha', 'alpha_0001', 1.0, 'inf'::DOUBLE, 95)", None),
    ],
)
def test_what_the_functions_return(lake, call, want):
    with Catalog(lake) as catalog:
        assert catalog.sql(f"SELECT {call}").fetchall() == [(want,)]
        assert catalog.sql(f"SELECT {call} FROM range(0)").fetchall() == []


# ----------------------------------------------------------------------------------------------------------- cells

OF_CELLS = [
    ("alpha_0000", "1", "tumor", blob(1, at=(40, 40), radius=45)),
    ("alpha_0000", "2", "necrosis", box(20, 20, 50, 50)),
    ("alpha_0000", "3", None, box(0, 0, 40, 40)),
    ("alpha_0001", "1", "stroma", box(0, 0, 96, 96)),
]


@pytest.fixture(scope="module", params=["table", "masks"])
def cells(request, tmp_path_factory):
    """Return a lake with cells that the table places, or the masks; and the classes of each cell, by shapely."""
    root = write_lake(tmp_path_factory.mktemp("cells") / "lake", names=("alpha",), tissues=3)
    masks = write_masks(root)
    names = ("centroid_row", "centroid_col") if request.param == "table" else None
    write_cells(root / "alpha", masks, names=names)
    write_regions(root / "alpha", OF_CELLS)
    shift = 0.25 if names else 0.0
    held = {}
    for (_, kind, tissue), mask in masks.items():
        if kind == "instances":
            own = [(name, shape) for other, _, name, shape in OF_CELLS if other == tissue and name]
            own.sort(key=lambda pair: pair[1].area)
            for cell in centroids(mask).itertuples():
                point = (cell.col - shift + 0.5, cell.row + shift + 0.5)
                held[tissue, cell.cell_id] = [name for name, shape in own if shapely.contains_xy(shape, *point)]
    return root, held


@pytest.mark.some(2)
def test_cells_lie_in_the_regions_that_hold_their_centroid(cells):
    root, held = cells
    query = SporaQuery(root).modality("imc").cells(size=16, mpp=1.0)
    for name, wanted in (
        ("region_class = 'tumor'", lambda classes: classes[:1] == ["tumor"]),
        ("list_contains(region_classes, 'tumor')", lambda classes: "tumor" in classes),
        ("cells.region_class = 'necrosis'", lambda classes: classes[:1] == ["necrosis"]),
        ("region_class = 'stroma' AND cell_type = 'B cell'", None),
    ):
        plan = query.where(name).plan()
        found = {(plan.identity(at)["tissue_id"], plan.identity(at)["tile_id"]) for at in range(len(plan))}
        if wanted is None:
            assert found == {key for key, classes in held.items() if classes == ["stroma"] and key[1] // 3 % 4 == 0}
        else:
            assert found == {key for key, classes in held.items() if wanted(classes)}
        assert found


@pytest.mark.some(2)
def test_classes_of_cells_are_labels(cells):
    root, held = cells
    dataset = (
        SporaQuery(root).modality("imc").cells(size=16, mpp=1.0).channels(kind="complete")
        .label("region_class", missing="drop")
    ).to_torch()  # fmt: skip
    assert dataset.classes["region_class"] == ("necrosis", "stroma", "tumor")
    assert len(dataset) == sum(bool(classes) for classes in held.values())
    targets = dataset.targets("region_class")
    for at in range(0, len(dataset), 37):
        identity = dataset.plan.identity(at)
        assert dataset.classes["region_class"][targets[at]] == held[identity["tissue_id"], identity["tile_id"]][0]


def test_queries_of_cells_that_ask_for_no_regions_are_as_before(cells):
    query = SporaQuery(cells[0]).modality("imc").cells(size=16, mpp=1.0)
    assert "regions_at" not in query.sql().lower()
    assert "regions_at" in query.select("region_class").sql().lower()


# ---------------------------------------------------------------------------------------------------------- labels


def test_classes_of_tiles_are_labels_of_the_whole_lake(lake):
    query = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0)
    dataset = query.where("dataset = 'beta'").label("region_class", missing=-1).to_torch()
    assert dataset.classes["region_class"] == ("necrosis", "stroma", "tumor")
    targets = dataset.targets("region_class").tolist()
    assert sorted(set(targets)) == [-1, 2]
    assert targets.count(2) == 1
    thorough = query.where("region_fraction >= 0.5").label("region_class").label("region_fraction").to_torch()
    assert thorough[0]["region_fraction"] >= 0.5
    with pytest.raises(TableError, match="missing="):
        query.label("region_class").to_torch()


def test_a_threshold_makes_labels_of_what_covers_enough(lake):
    """One's own rule is SQL: tumor where half of the tile is, else whatever else."""
    rows = (
        "SELECT *, CASE WHEN region_fractions['tumor'] >= 0.5 THEN 'tumor' ELSE 'other' END AS has_tumor FROM tiles "
        "WHERE modality = 'imc' AND region_fractions IS NOT NULL"
    )
    dataset = SporaQuery.from_sql(lake, rows).label("has_tumor", classes=["other", "tumor"]).to_torch()
    wanted = [fractions(t.tissue_id, t.row, t.col, 32) for t in tiles_of(lake).itertuples()]
    assert dataset.class_counts("has_tumor")["tumor"] == sum((s or {}).get("tumor", 0) >= 0.5 for s in wanted)
