"""Cells against images, masks and each other: what contradicts is told the same way, whoever asks."""

import datetime
import re
import shutil
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cell_lakes import SIZE, centroids, write_mask
from diagonal import pairs
from lakes import write_lake
from spora_db import Catalog, MultiplexImagingDataset, SporaQuery
from spora_db.datasets.labels import LabelChoice, apply_labels
from spora_db.errors import QueryError, TableError, UnknownNameError
from spora_db.masks.centroids import mask_centroids
from spora_db.plan.cell_checks import ListedCells
from spora_db.validation import validate

TISSUE = "alpha_0000"
CELLS = "alpha/metadata/cells.parquet"
MASKS = "alpha/segmentations/1_0mpp/cell_masks"


def grid(shift: int = 0) -> np.ndarray:
    """Cells of 5 x 5 pixels every 16, labels 1, 2, ...; the first one's centroid is (3, 3), the next one's (3, 19)."""
    mask = np.zeros((SIZE, SIZE), np.int32)
    for label, (row, col) in enumerate(np.ndindex(SIZE // 16, SIZE // 16), start=1):
        mask[16 * row + 1 : 16 * row + 6, 16 * col + 1 : 16 * col + 6] = label
    return np.roll(mask, shift, axis=0)


TRUE = centroids(grid())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cohort of two tissues with instance masks and no cells table."""
    lake = write_lake(tmp_path_factory.mktemp("fit") / "lake", names=("alpha",), tissues=2)
    for tissue in (TISSUE, "alpha_0001"):
        write_mask(lake / MASKS / "instances" / f"{tissue}.npz", grid())
    return lake


@pytest.fixture
def lake(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "lake")


def write_table(lake: Path, table: pd.DataFrame, *, tissue: str | list[str] = TISSUE) -> None:
    table.assign(tissue_id=tissue).to_parquet(lake / CELLS, index=False)


def placed(row: str = "centroid_row", col: str = "centroid_col", **columns: object) -> pd.DataFrame:
    """Return the true table of one tissue."""
    return TRUE.rename(columns={"row": row, "col": col}).assign(**columns)


def query(lake: Path) -> SporaQuery:
    return SporaQuery(lake).modality("imc")


def cells(lake: Path, **options: object) -> SporaQuery:
    return query(lake).cells(size=8, mpp=1.0, **options)


def corners(found: pd.DataFrame) -> list[tuple[int, int, int]]:
    places = (np.floor(found[["row", "col"]].to_numpy() + 0.5) - 4).astype(int)
    return [(int(label), *place) for label, place in zip(found["cell_id"], places.tolist(), strict=True)]


def rows_of(plan) -> list[tuple[int, int, int]]:
    return list(zip(plan.tile_id.tolist(), plan.row.tolist(), plan.col.tolist(), strict=True))


# Conditions on places that are not known yet --------------------------------------------------------------------------

TABLES = {
    "no places": (TRUE[["cell_id"]], None),
    "one place": (
        TRUE.assign(Pos_Y=TRUE["row"].where(TRUE["cell_id"] == 36), Pos_X=TRUE["col"]).drop(columns="row"),
        None,
    ),
    "masks": (TRUE[["cell_id"]], "masks"),
}


@pytest.fixture(params=TABLES)
def unplaced(request, lake) -> SporaQuery:
    table, source = TABLES[request.param]
    write_table(lake, table.drop(columns="col", errors="ignore"))
    return cells(lake, source=source).where(f"tissue_id = '{TISSUE}'")


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("condition", "mask"),
    [
        ("row > 10", lambda f: f["row"] - 4 > 10),
        ('"row" > 10 AND col < 40', lambda f: (f["row"] - 4 > 10) & (f["col"] - 4 < 40)),
        ("cells.cell_id > 3 AND ROW > 10", lambda f: (f["cell_id"] > 3) & (f["row"] - 4 > 10)),
        ("row IS NOT NULL", lambda f: f["cell_id"] > 0),
        ("coalesce(row, -1) = -1", lambda f: f["row"] - 4 == -1),
    ],
)
def test_conditions_on_places_hold_on_those_that_are_measured(unplaced, condition, mask):
    assert rows_of(unplaced.where(condition).plan()) == corners(TRUE[mask(TRUE)])


@pytest.mark.some(2)
def test_answers_that_read_no_mask_say_so(unplaced):
    asked = unplaced.where("row > 10")
    for answer in (asked.count, asked.df, asked.sql, asked.to_arrow, asked.audit, asked.panel_overlap):
        with pytest.raises(QueryError, match=r"instance masks are read.*\.plan\(\)"):
            answer()


@pytest.mark.some(2)
def test_weights_and_groups_see_measured_places(unplaced):
    heavy = unplaced.sample(1, weights="CASE WHEN row = 79 AND col = 79 THEN 1 ELSE 0 END").plan()
    assert rows_of(heavy) == corners(TRUE[TRUE["cell_id"] == 36])
    assert sorted(unplaced.sample(6, by="row").plan().row.tolist()) == [-1, 15, 31, 47, 63, 79]
    with pytest.raises(QueryError, match=r"quota.*masks"):
        unplaced.sample(quota={"15": 1}, by="row").plan()


def test_a_condition_that_leaves_placed_cells_only_needs_no_mask(lake):
    write_table(lake, placed().assign(centroid_row=lambda f: f["centroid_row"].where(f["cell_id"] < 10)))
    asked = cells(lake).where("cell_id < 10 AND row > 10")
    assert asked.count() == len(asked.plan()) == 3


@pytest.mark.parametrize(
    "condition",
    [
        "tissue_id IN (SELECT tissue_id FROM tiles WHERE row = 0)",
        "EXISTS (SELECT 1 FROM tiles AS t WHERE t.tissue_id = cells.tissue_id AND col = 32 AND t.row = 0)",
        'tissue_id IN (SELECT t.tissue_id FROM tissues AS t JOIN tiles USING (tissue_id) WHERE "row" = 0)',
    ],
)
def test_places_of_tiles_are_not_awaited(lake, condition):
    write_table(lake, TRUE[["cell_id"]])
    assert cells(lake).where(condition).count() == 36


@pytest.mark.some(2)
@pytest.mark.parametrize(
    "condition",
    [
        "tissue_id IN (SELECT tissue_id FROM tissues WHERE row > 10)",
        "EXISTS (SELECT 1 FROM tiles AS t WHERE t.row < cells.row AND cells.row > 10)",
        "cell_id > 0 AND tissues.row > 10",
    ],
)
def test_places_of_the_row_are_awaited_in_a_sub_select_too(lake, condition):
    write_table(lake, TRUE[["cell_id"]])
    with pytest.raises(QueryError, match="masks are read"):
        cells(lake).where(condition).count()
    assert rows_of(cells(lake).where(condition).plan()) == corners(TRUE[TRUE["row"] - 4 > 10])


def test_a_cell_without_a_place_anywhere_is_told_whatever_the_condition(lake):
    write_table(lake, pd.concat([TRUE[["cell_id"]], pd.DataFrame({"cell_id": [77]})]))
    with pytest.raises(TableError, match=r"Cell 77 .*no pixel"):
        cells(lake).where("row > 10").plan()


# Exclusions -----------------------------------------------------------------------------------------------------------


@pytest.mark.some(5)
@pytest.mark.parametrize(
    ("excluded", "left"),
    [
        ({"cell_id": [3]}, 71),
        ({"cell_id": [3, 4, 3]}, 70),
        ({"tile_id": [0]}, 72),
        ({"cell_id": [3], "modality": ["imc"], "mpp": [1.0]}, 71),
        ({"cell_id": [3], "modality": ["he"]}, 72),
        ({}, 36),
        ({"cell_id": [None]}, 36),
        ({"Cell_ID": [3]}, 71),
        ({"cell_id": [3], "CELL_ID": [4]}, 71),
    ],
)
@pytest.mark.parametrize("source", ["masks", "table"])
def test_an_excluded_cell_takes_no_other_with_it(lake, source, excluded, left):
    write_table(
        lake,
        pd.concat([placed(tissue_id=t) for t in (TISSUE, "alpha_0001")]),
        tissue=[TISSUE] * 36 + ["alpha_0001"] * 36,
    )
    count = len(next(iter(excluded.values()), [0]))
    rows = pa.table({"dataset": ["alpha"] * count, "tissue_id": [TISSUE] * count, **excluded})
    assert len(cells(lake, source=source).exclude(rows).plan()) == left


def test_excluded_rows_name_each_column_once(lake):
    rows = pa.table({"Dataset": ["alpha"], "TISSUE_ID": [TISSUE], "Cell_ID": [3], "CELL_ID": [4]})
    with pytest.raises(TableError, match="Cell_ID and CELL_ID may both be the column cell_id"):
        cells(lake).exclude(rows)
    assert len(cells(lake, source="masks").exclude(rows.select([0, 1, 2])).plan()) == 71


# Pairs of centroid columns --------------------------------------------------------------------------------------------


def test_the_grid_of_a_core_places_no_cell(lake):
    write_table(lake, placed("Y_centroid", "X_centroid").assign(row=4, col=7))
    assert rows_of(cells(lake).plan()) == corners(TRUE)
    warned = [finding for finding in validate(lake) if finding.rule == "cell_places"]
    assert [finding.severity for finding in warned] == ["warning"]
    assert "row 3, col 3 by Y_centroid, X_centroid and at row 4, col 7" in warned[0].reason.replace(".0", "")


def test_row_and_col_place_cells_where_nothing_else_does(lake):
    write_table(lake, placed("row", "col", Pos_Y=np.nan, Pos_X=np.nan))
    assert rows_of(cells(lake).plan()) == corners(TRUE)


def test_pairs_that_contradict_each_other_are_an_error(lake):
    write_table(lake, placed(Pos_Y=2 * TRUE["row"], Pos_X=2 * TRUE["col"]))
    for asked in (cells(lake), query(lake).tissues().with_cells()):
        with pytest.raises(TableError, match=r"35 cells|36 cells.*centroid_row, centroid_col and at .*Pos_Y, Pos_X"):
            asked.plan()
    assert len(cells(lake, source="masks").plan()) == 72
    assert {finding.severity for finding in validate(lake) if finding.rule == "cell_places"} == {"error"}


def test_pairs_of_one_origin_are_none(lake):
    write_table(lake, placed(Pos_Y=TRUE["row"] + 1, Pos_X=TRUE["col"] + 0.5))
    assert rows_of(cells(lake).plan()) == corners(TRUE)


def test_a_pair_is_chosen_for_each_dataset(lake):
    shutil.copytree(lake / "alpha", lake / "beta")
    shifted = TRUE.assign(row=TRUE["row"] + 1)
    write_table(lake, placed(Pos_Y=np.nan, Pos_X=np.nan))
    table = shifted.rename(columns={"row": "Pos_Y", "col": "Pos_X"}).assign(tissue_id=TISSUE)
    table.to_parquet(lake / "beta/metadata/cells.parquet")
    plan = cells(lake).plan()
    assert rows_of(plan) == corners(TRUE) + corners(shifted)


@pytest.mark.some(3)
@pytest.mark.parametrize("odd", ["1_1", "0x2", "A", "", " 3", "nan", "inf"])
def test_texts_place_cells_where_they_are_plain_numbers(lake, odd):
    texts = placed().assign(centroid_row=lambda f: f["centroid_row"].astype(str).where(f["cell_id"] != 2, odd))
    write_table(lake, texts.assign(centroid_col=lambda f: "+" + f["centroid_col"].astype(str)))
    assert rows_of(cells(lake).plan()) == corners(TRUE)


def test_truth_values_and_dates_are_no_places(lake):
    write_table(lake, placed(row=True, col=pd.Timestamp("2020-01-01")))
    assert rows_of(cells(lake).plan()) == corners(TRUE)


def test_a_centroid_is_compared_in_float64(lake):
    table = placed().assign(centroid_row=lambda f: f["centroid_row"].where(f["cell_id"] != 8, np.nextafter(32, 0)))
    write_table(lake, table)
    (lake / MASKS / "instances" / f"{TISSUE}.npz").unlink()
    samples = query(lake).tiles(size=32).where(f"tissue_id = '{TISSUE}'").with_cells().to_torch()
    inside = {sample["tile_id"]: sample["cells"]["cell_id"].tolist() for sample in samples}
    rows = {sample["tile_id"]: sample["row"] for sample in samples}
    assert [rows[tile] for tile, labels in inside.items() if 8 in labels] == [0]


# Images and masks -----------------------------------------------------------------------------------------------------


def outside(table: pd.DataFrame) -> pd.DataFrame:
    table.loc[table["cell_id"] == 5, "centroid_row"] = SIZE + 1.0
    return table


def no_label(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, pd.DataFrame({"cell_id": [999], "centroid_row": [40.0], "centroid_col": [40.0]})])


def elsewhere(table: pd.DataFrame) -> pd.DataFrame:
    table.loc[table["cell_id"] == 5, "centroid_row"] = 30.0
    return table


WRONG = {
    "outside": (
        outside,
        rf"1 cell of 3[67] of tissue '{TISSUE}' lies \(cell 5, .*row 97.* outside the image .* of 96 x 96",
    ),
    "no label": (no_label, rf"Cell 999 of tissue '{TISSUE}' .*no pixel .*\(1 such cells\)"),
    "elsewhere": (elsewhere, rf"1 cell of 36 of tissue '{TISSUE}' lies \(cell 5, .*row 30.* elsewhere .*rows 1 to 5"),
}
ASK = {
    "cells": lambda q: [*q.cells(size=8).to_torch()],
    "beside tiles": lambda q: [*q.tiles(size=32).with_cells().to_torch()],
    "beside tissues": lambda q: [*q.tissues().with_cells().to_torch()],
    "beside cells": lambda q: [*q.cells(size=8).where("cell_id = 7").with_cells().to_torch()],
    "cells with masks": lambda q: [*q.cells(size=8).with_masks("instances").to_torch()],
    "beside tiles with masks": lambda q: [*q.tiles(size=32).with_masks("instances").with_cells().to_torch()],
    "beside tissues with masks": lambda q: [*q.tissues().with_cells().with_masks("instances").to_torch()],
    "anndata of cells": lambda q: q.cells(size=8).to_anndata(),
    "anndata of tissues": lambda q: q.tissues().with_cells().to_anndata(),
    "anndata of tiles": lambda q: q.tiles(size=32).with_cells().to_anndata(),
}


@pytest.mark.some(3)
@pytest.mark.parametrize(("ask", "wrong"), pairs(ASK, WRONG))
def test_cells_that_do_not_fit_are_told_the_same_way(lake, ask, wrong):
    damage, words = wrong
    write_table(lake, damage(placed()))
    with pytest.raises(TableError, match=words):
        ask(query(lake).where(f"tissue_id = '{TISSUE}'"))


@pytest.mark.some(2)
@pytest.mark.parametrize(("damage", "words"), WRONG.values(), ids=WRONG)
def test_validate_tells_it_too(lake, damage, words):
    write_table(lake, damage(placed()))
    found = {finding.rule: finding.reason for finding in validate(lake, deep=True)}
    rule = "cells_outside_images" if damage is outside else "cells_in_masks"
    assert re.search(words, found[rule])
    if damage is outside:
        assert rule in {finding.rule for finding in validate(lake)}


@pytest.mark.some(2)
@pytest.mark.parametrize("tissue", [TISSUE, "alpha_0001"])
def test_plans_compare_cells_with_masks_within_a_budget_and_say_where_it_ends(lake, tissue, monkeypatch, caplog):
    wrong = pd.concat([placed(), elsewhere(placed())] if tissue != TISSUE else [elsewhere(placed()), placed()])
    write_table(lake, wrong, tissue=[TISSUE] * 36 + ["alpha_0001"] * 36)
    asked = (cells(lake), query(lake).tissues().with_cells())
    for one in asked:
        with pytest.raises(TableError, match=f"tissue '{tissue}' lies .cell 5, .* elsewhere in the instance mask"):
            one.plan()
        assert one.where("cell_id <> 5" if one is asked[0] else f"tissue_id <> '{tissue}'").plan() is not None
    monkeypatch.setattr("spora_db.plan.compared_cells.PIXELS", SIZE * SIZE)
    with caplog.at_level("INFO"):
        if tissue == TISSUE:
            with pytest.raises(TableError, match="elsewhere"):
                asked[0].plan()
        else:
            assert len(asked[0].plan()) == 72
    assert "Compared the cells table with 1 of 2 instance masks" in caplog.text


def test_rows_that_place_themselves_are_not_compared(lake):
    write_table(lake, elsewhere(placed()))
    rows = cells(lake).where("cell_id = 5").to_arrow()
    assert len(SporaQuery.from_arrow(lake, rows).modality("imc").cells(size=8, mpp=1.0).plan()) == 1


def test_cells_that_fit_are_told_of_by_none(lake):
    write_table(lake, placed().assign(centroid_row=lambda f: f["centroid_row"] + 2.9))
    for ask in ASK.values():
        ask(query(lake).where(f"tissue_id = '{TISSUE}'"))
    rules = {finding.rule for finding in validate(lake, deep=True)}
    assert not {"cell_places", "cells_outside_images", "cells_in_masks"} & rules


def test_labels_that_the_table_does_not_list_are_a_note(lake):
    write_table(lake, placed().query("cell_id <= 30"))
    (found,) = [finding for finding in validate(lake, deep=True) if finding.rule.startswith("cell")]
    assert (found.rule, found.severity) == ("cells_listed", "note")
    assert found.reason == "The table lists 30 of its 36 cells."
    assert TISSUE in found.file


@pytest.mark.some(2)
@pytest.mark.parametrize(("row", "col"), [(-0.5, 19), (-0.25, 3), (3, -0.5), (-0.1, -0.1)])
def test_a_cell_on_the_first_half_pixel_is_in_the_first_tiles(lake, row, col):
    write_table(lake, placed().query("cell_id == 1").assign(centroid_row=row, centroid_col=col))
    shutil.rmtree(lake / MASKS)
    asked = query(lake).where(f"tissue_id = '{TISSUE}'")
    for samples in (asked.tissues().with_cells().to_torch(), asked.tiles(size=32).with_cells().to_torch()):
        (found,) = [sample["cells"] for sample in samples if len(sample["cells"]["cell_id"])]
        assert (found["row"].item(), found["col"].item()) == pytest.approx((row, col))


@pytest.mark.some(2)
@pytest.mark.parametrize(("row", "fits"), [(-0.5, True), (-0.51, False), (95.49, True), (95.5, False)])
def test_a_cell_lies_in_the_image_if_a_pixel_of_it_holds_its_centroid(lake, row, fits):
    write_table(lake, placed().query("cell_id == 3").assign(centroid_row=row))
    shutil.rmtree(lake / MASKS)
    for asked in (cells(lake), query(lake).tissues().where(f"tissue_id = '{TISSUE}'").with_cells()):
        dataset = asked.to_torch()
        if fits:
            assert len([*dataset]) == 1
        else:
            with pytest.raises(TableError, match="outside the image"):
                dataset[0]


def test_measuring_compares_the_places_that_the_table_has(lake):
    table = elsewhere(placed())
    table.loc[table["cell_id"] == 9, "centroid_row"] = np.nan
    write_table(lake, table)
    for asked in (cells(lake), query(lake).tissues().with_cells()):
        with pytest.raises(TableError, match=r"cell 5, .* elsewhere in the instance mask"):
            asked.plan()
    assert len(cells(lake, source="masks").plan()) == 72


@pytest.mark.parametrize(
    ("row", "col", "mpp", "hint"),
    [
        ([200.0, 20.0], [30.0, 100.0], 2.5, "microns: divided by 2.5"),
        ([150.0, 10.0], [50.0, 20.0], 1.0, "Rows and columns look exchanged"),
        ([500.0, 10.0], [20.0, 150.0], 1.0, "96 x 200 pixels. Correct"),
    ],
)
def test_what_coordinates_look_like_is_said(row, col, mpp, hint):
    listed = ListedCells(
        record={"dataset": "alpha", "tissue_id": "t", "mpp": mpp},
        cell_id=np.array([1, 2]), row=np.array(row), col=np.array(col),
    )  # fmt: skip
    with pytest.raises(TableError, match=hint):
        listed.check_image((96, 200), image=Path("t.ome.zarr"))


@pytest.mark.parametrize("mpp", [0.5, 2.0])
def test_microns_are_recognized_in_a_mask_too(mpp):
    listed = ListedCells(
        record={"dataset": "alpha", "tissue_id": "t", "mpp": mpp},
        cell_id=TRUE["cell_id"].to_numpy(), row=TRUE["row"].to_numpy() * mpp, col=TRUE["col"].to_numpy() * mpp,
    )  # fmt: skip
    with pytest.raises(TableError, match=rf"microns: divided by {mpp}"):
        listed.check_mask(mask_centroids(grid()), mask=Path("t.npz"))


# Cells listed twice ---------------------------------------------------------------------------------------------------


@pytest.mark.some(2)
@pytest.mark.parametrize("ids", [[5, 5], ["5", "05"], [5.0, 5.0]])
def test_a_cell_listed_twice_is_an_error_of_every_answer(lake, ids):
    write_table(lake, pd.DataFrame({"cell_id": ids, "centroid_row": 3.0, "centroid_col": 67.0}))
    for answer in (cells(lake).count, cells(lake).df, cells(lake).plan, query(lake).tissues().with_cells().plan):
        with pytest.raises(TableError, match=r"cell_id 5 \(it stands several times in metadata/cells\.parquet\)"):
            answer()
    with Catalog(lake) as catalog, pytest.raises(TableError, match="cell_id 5"):
        catalog.check("cells")


@pytest.mark.some(2)
@pytest.mark.parametrize(
    ("ids", "words"), [([0, 1], "cell_id 0 .*background"), ([2**31], "2147483648"), ([1, None], "without")]
)
def test_ids_that_no_mask_can_have_are_refused_where_cells_are_asked_for(lake, ids, words):
    write_table(lake, pd.DataFrame({"cell_id": pd.array(ids, "Int64"), "centroid_row": 3.0, "centroid_col": 3.0}))
    for answer in (cells(lake).count, cells(lake, source="masks").plan, query(lake).tissues().with_cells().plan):
        with pytest.raises(TableError, match=words):
            answer()
    assert "cell_rows" in {finding.rule for finding in validate(lake)}
    with Catalog(lake) as catalog:
        assert catalog.sql("SELECT cell_id FROM cells").fetchall() == [(value,) for value in ids]


# Kinds of masks -------------------------------------------------------------------------------------------------------


@pytest.fixture
def clashing(lake: Path) -> Path:
    """Tissue masks that tell tissues apart, and a cell task whose folder is called tissue."""
    for number, tissue in enumerate((TISSUE, "alpha_0001")):
        write_mask(lake / "alpha/segmentations/1_0mpp/tissue_masks" / f"{tissue}.npz", grid() % 2 == number)
        write_mask(lake / MASKS / "tissue" / f"{tissue}.npz", np.full((SIZE, SIZE), 3, np.uint8))
    pd.DataFrame({"id": [3], "name": ["x"]}).to_parquet(lake / MASKS / "tissue/label_encoder.parquet")
    return lake


def test_a_task_called_tissue_is_passed_over_with_a_word(clashing, caplog):
    for number, sample in enumerate(query(clashing).tissues().with_masks("tissue").to_torch()):
        assert np.array_equal(sample["masks"]["tissue"].numpy(), grid() % 2 == number)
    assert "cell_masks/tissue" in caplog.text
    with Catalog(clashing) as catalog:
        found = catalog.sql("SELECT kind, count(*) FROM masks GROUP BY kind ORDER BY kind").fetchall()
    assert found == [("instances", 2), ("tissue", 2)]
    told = [finding for finding in validate(clashing) if finding.rule == "mask_kinds"]
    assert [(finding.severity, finding.file) for finding in told] == [("error", f"{MASKS}/tissue")]


def test_the_classes_pass_it_over_too(clashing):
    dataset = MultiplexImagingDataset("alpha", path=clashing / "alpha", modality="imc", resolution=1)
    assert dataset.get_cell_task_mask_types() == []
    assert np.array_equal(dataset.get_tissue_mask(TISSUE).mask, grid() % 2 == 0)
    with pytest.raises(UnknownNameError, match="Rename the folder 'tissue'"):
        dataset.get_cell_task_mask(TISSUE, "tissue")


@pytest.mark.some(2)
@pytest.mark.parametrize(
    ("name", "severity", "listed"),
    [
        ("Tissue", "warning", True),
        ("TISSUE", "warning", True),
        ("Instances", "warning", True),
        ("a\\b", "error", False),
        ("tissue ", None, True),
        ('it\'s "odd" [*] ?', None, True),
        ("größe", None, True),
        ("image", None, True),
        (".hidden", None, False),
    ],
)
def test_other_names_of_tasks_are_their_own(lake, name, severity, listed):
    write_mask(lake / "alpha/segmentations/1_0mpp/tissue_masks" / f"{TISSUE}.npz", grid() > 0)
    write_mask(lake / MASKS / name / f"{TISSUE}.npz", grid() % 3)
    pd.DataFrame({"id": [1, 2], "name": ["x", "y"]}).to_parquet(lake / MASKS / name / "label_encoder.parquet")
    dataset = MultiplexImagingDataset("alpha", path=lake / "alpha", modality="imc", resolution=1)
    assert dataset.get_cell_task_mask_types() == ([name] if listed else [])
    found = [finding.severity for finding in validate(lake) if finding.rule == "mask_kinds"]
    assert found == ([severity] if severity else [])
    if listed:
        asked = query(lake).tissues().where(f"tissue_id = '{TISSUE}'").with_masks(name, "tissue", "instances")
        masks = asked.to_torch()[0]["masks"]
        assert np.array_equal(masks[name].numpy(), grid() % 3)
        assert np.array_equal(masks["tissue"].numpy(), grid() > 0)
        assert np.array_equal(dataset.get_cell_task_mask(TISSUE, name).mask.numpy(), grid() % 3)


def test_instances_with_an_encoder_are_told(lake):
    pd.DataFrame({"id": [1], "name": ["x"]}).to_parquet(lake / MASKS / "instances/label_encoder.parquet")
    assert "mask_kinds" in {finding.rule for finding in validate(lake)}


@pytest.mark.parametrize("what", ["segmentations/1_0mpp/cell_masks/instances", "imc/1_0mpp/images"])
def test_two_folders_of_one_resolution_are_not_paired_by_chance(lake, what):
    shutil.copytree(lake / "alpha" / what, lake / "alpha" / what.replace("1_0mpp", "1_00mpp"))
    with pytest.raises(TableError, match=r"1_00mpp.*1_0mpp.*both hold tissue 'alpha_0000'"):
        query(lake).tissues(mpp=1.0).with_masks("instances").plan()


# Columns of cells -----------------------------------------------------------------------------------------------------

BIG = 2**53 + 1
COLUMNS = {
    "large whole numbers": (pa.array([BIG, 5]), [BIG, 5]),
    "unsigned": (pa.array([2**64 - 1, 5], pa.uint64()), [2**64 - 1, 5]),
    "with a gap": (pa.array([5, None]), [5.0, np.nan]),
    "truth values": (pa.array([True, False]), [True, False]),
    "truth values with a gap": (pa.array([True, None]), [1.0, np.nan]),
    "decimals": (pa.array([Decimal("1.10"), None]), [1.1, np.nan]),
    "dates": (pa.array([datetime.date(2020, 1, 2), None]), ["2020-01-02", None]),
    "times": (pa.array([datetime.datetime(2020, 1, 2, 3, 4, 5)] * 2), ["2020-01-02 03:04:05.000000"] * 2),
    "large with a gap": (pa.array([BIG, None]), "beyond 2\\*\\*53"),
    "unsigned with a gap": (pa.array([2**64 - 1, None], pa.uint64()), "beyond 2\\*\\*53"),
    "many digits": (pa.array([Decimal("1.12345678901234567890"), None]), "float64 rounds"),
    "lists": (pa.array([[0.5], [0.25]]), "neither a number nor a text"),
    "structs": (pa.array([{"a": 1}, None]), "neither a number nor a text"),
    "maps": (pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())), "neither a number nor a text"),
    "bytes": (pa.array([b"\xff", None]), "neither a number nor a text"),
}


@pytest.mark.some(4)
@pytest.mark.parametrize(("column", "expected"), COLUMNS.values(), ids=COLUMNS)
def test_columns_arrive_whole_or_are_refused_by_name(lake, column, expected):
    places = {"centroid_row": [3.0, 3.0], "centroid_col": [3.0, 19.0]}
    table = pa.table({"tissue_id": [TISSUE] * 2, "cell_id": [1, 2], **places, "own": column})
    pq.write_table(table, lake / CELLS)
    asked = query(lake).tissues().where(f"tissue_id = '{TISSUE}'").with_cells("own")
    selected = cells(lake).select("own").plan().columns.column("own").to_pylist()
    assert selected == column.to_pylist()
    if isinstance(expected, str):
        with pytest.raises(TableError, match=f"'own'.*{expected}"):
            asked.plan()
        return
    found = asked.to_torch()[0]["cells"]
    values = found["own"].tolist()
    if "own" in found["categories"]:
        values = [found["categories"]["own"][code] if code >= 0 else None for code in values]
    assert [str(value) for value in values] == [str(value) for value in expected]


def test_frames_keep_large_whole_numbers_beside_gaps(lake):
    table = {"tissue_id": [TISSUE] * 2, "cell_id": [1, 2], "big": pa.array([BIG, None]), "small": pa.array([1, None])}
    pq.write_table(pa.table({**table, "centroid_row": [3.0] * 2, "centroid_col": [3.0, 19.0]}), lake / CELLS)
    frame = cells(lake).select("big", "small").df()
    assert frame["big"].tolist() == [BIG, pd.NA]
    assert frame["small"].dtype == np.float64


def test_an_anndata_keeps_large_whole_numbers_beside_gaps(lake):
    places = {"centroid_row": [3.0, 3.0], "centroid_col": [3.0, 19.0]}
    columns = {"big": pa.array([-BIG, BIG]), "flag": [False, True], "small": [6, 5], "kind": ["y", "x"]}
    pq.write_table(pa.table({"tissue_id": [TISSUE] * 2, "cell_id": [1, 2], **places, **columns}), lake / CELLS)
    chosen = query(lake).tissues().where(f"tissue_id = '{TISSUE}'")
    obs = chosen.with_cells(*columns).to_anndata().obs.set_index("cell_id")
    assert obs.loc[[1, 2], "big"].tolist() == [-BIG, BIG]
    assert obs["big"].isna().sum() == len(obs) - 2
    assert obs.loc[[1, 2], "flag"].tolist() == [0.0, 1.0]
    assert obs.loc[[1, 2], "small"].tolist() == [6.0, 5.0]
    assert obs.loc[[1, 2], "kind"].tolist() == ["y", "x"]
    own = cells(lake).select("big").to_anndata().obs.set_index("cell_id")
    assert own.loc[[1, 2], "big"].tolist() == [-BIG, BIG]


# Label encoders -------------------------------------------------------------------------------------------------------

ENCODERS = {
    "fraction": ([1.5, 2.0], ["x", "y"], "found 1.5"),
    "boolean": ([True, False], ["x", "y"], "found True"),
    "text": (["1_1", "2"], ["x", "y"], "found '1_1'"),
    "hexadecimal": (["0x1", "2"], ["x", "y"], "found '0x1'"),
    "negative": ([-1, 2], ["x", "y"], "0 or more; found -1"),
    "no id": ([1.0, np.nan], ["x", "y"], "1 row has no id"),
    "null id": (pa.array([None, None], pa.int64()), ["x", "y"], "2 rows have no id"),
    "id twice": ([1, 1], ["x", "y"], "repeats an id"),
    "id twice as text": (["1", "01"], ["x", "y"], "repeats an id"),
    "no name": ([1, 2], ["x", None], "1 row has no name"),
    "empty name": ([1, 2], ["x", " "], "1 row has no name"),
    "NaN as a name": ([1, 2], [np.nan, 2.0], "1 row has no name"),
    "name twice": ([1, 2], ["x", "x"], "repeats a name"),
    "list": ([1, 2], [["x"], ["y"]], "A name is a text"),
}


def write_task(lake: Path, name: str, ids: object, names: list[object]) -> None:
    write_mask(lake / MASKS / name / f"{TISSUE}.npz", grid() % 3)
    pq.write_table(pa.table({"id": ids, "name": names}), lake / MASKS / name / "label_encoder.parquet")


@pytest.mark.some(2)
@pytest.mark.parametrize("half", [0, 1])  # validate names ten findings of a rule
def test_a_label_encoder_names_each_class_once(lake, half):
    encoders = dict(list(ENCODERS.items())[half::2])
    for name, (ids, names, _) in encoders.items():
        write_task(lake, name, ids, names)
    dataset = MultiplexImagingDataset("alpha", path=lake / "alpha", modality="imc", resolution=1)
    found = {Path(told.file).parent.name: told.reason for told in validate(lake) if told.rule == "label_encoders"}
    assert found.keys() == encoders.keys()
    for name, (_, _, words) in encoders.items():
        with pytest.raises(TableError, match=rf"label_encoder\.parquet: .*{words}"):
            dataset.get_cell_task_mask(TISSUE, name)
        assert re.search(words, found[name])


@pytest.mark.some(3)
@pytest.mark.parametrize(
    "ids", [[1, 2], [1.0, 2.0], ["1", "2"], pa.array([1, 2], pa.uint8()), [Decimal("1.0"), Decimal(2)]]
)
def test_ids_of_classes_may_be_of_any_type_that_holds_whole_numbers(lake, ids):
    write_task(lake, "kind", ids, ["x", "y"])
    dataset = MultiplexImagingDataset("alpha", path=lake / "alpha", modality="imc", resolution=1)
    assert dataset.get_cell_task_mask(TISSUE, "kind").mapping == {1: "x", 2: "y"}
    assert "mask_labels" not in {finding.rule for finding in validate(lake, deep=True)}


# Labels of tissues ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind", "words"),
    [
        ([["a"], ["b"]], "classification", r"holds \['a'\]"),
        ([{"a": 1}, None], "regression", r"holds \{'a': 1\}"),
        (["1_1", "2"], "regression", r"not numeric .*'1_1'"),
    ],
)
def test_labels_are_single_values(values, kind, words):
    table = pd.DataFrame({"grade": pd.Series(values, dtype=object)})
    with pytest.raises(TableError, match=words):
        apply_labels(table, LabelChoice(column="grade", kind=kind), None, where="tissues.parquet")
