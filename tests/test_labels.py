"""Labels against pandas: the same codes for every selection of a lake, and no missing one passes in silence."""

import pickle
import shutil
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

from cell_lakes import write_cells, write_masks
from lakes import write_lake
from spora_db import SporaQuery, TileSampler, collate_list, collate_packed, collate_padded
from spora_db.errors import ArgumentError, SporaError, TableError, UnknownNameError
from spora_db.lock.json_values import from_json, to_json
from spora_db.selection import Label, Selection
from spora_db.selection.label import SAMPLE_FIELDS

TEXTS = ['it\'s "odd"', "β-zelle", "NaN", "null", "10", "2", " ", 'it\'s "odd"', "z", "a, b", "%s", "\\N"]
"""One per tissue, of six in each cohort; the third tissue of alpha and the last one of beta have none besides."""


def extend(frame: pd.DataFrame, cohort: int) -> pd.DataFrame:
    """Add the columns that labels are made of; beta's grades have a gap, and are stored as floats."""
    at = frame["tissue_id"].str[-4:].astype(int)
    frame["odd"] = [TEXTS[6 * cohort + i] for i in at]
    frame["gap"] = frame["odd"].where(at % 3 > 0, None).where(at != 4, "")
    frame["flag"] = [bool(i % 2) for i in at]
    frame["flag_gap"] = pd.array([bool(i % 2) if i else None for i in at], dtype="boolean")
    frame["grade"] = (at % 3 + 1).where(at != 5, np.nan) if cohort else at % 3 + 1
    frame["whole"] = at.astype(np.int8)
    frame["few"] = ["only alpha", "only beta"][cohort]
    frame["price"] = [Decimal(f"{i}.25") for i in at]
    frame["half"] = at + 0.5
    frame["large"] = np.where(at == 1, 1e39, 1.0)
    frame["stamp"] = 2**24 + at
    frame["born"] = pd.Timestamp("1950-03-04").date()
    frame["nodes"] = [[1, 2]] * len(frame)
    frame["image"] = "red"
    frame["nothing"] = pd.Series([None] * len(frame), dtype=object)
    return frame


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_lake(tmp_path_factory.mktemp("labels") / "lake", tissues=6)
    for cohort, name in enumerate(("alpha", "beta")):
        file = root / name / "metadata/tissues.parquet"
        extend(pd.read_parquet(file), cohort).to_parquet(file)
    masks = write_masks(root)
    write_cells(root / "alpha", masks, names=("Pos_Y", "Pos_X"))
    write_cells(root / "beta", masks)
    return root


@pytest.fixture(scope="module")
def tissues(lake: Path) -> pd.DataFrame:
    """All tissues of the lake, read by pandas: the oracle."""
    parts = [pd.read_parquet(base / "metadata/tissues.parquet").assign(dataset=base.name) for base in lake.iterdir()]
    return pd.concat(parts).query("modality == 'imc'").set_index(["dataset", "tissue_id"]).sort_index()


@pytest.fixture
def query(lake: Path) -> SporaQuery:
    return SporaQuery(lake).modality("imc").tiles(size=32, mpp=1.0)


def keys(plan) -> list[tuple[str, str]]:
    """Return dataset and tissue of every row."""
    images = plan.images.to_pylist()
    return [(images[i]["dataset"], images[i]["tissue_id"]) for i in plan.image[:, 0]]


def values(tissues: pd.DataFrame, plan, column: str) -> list:
    """Return the value of every row in the oracle; None where it is missing."""
    found = [tissues.loc[key, column] for key in keys(plan)]
    return [None if pd.isna(value) or value == "" else value for value in found]


def known(tissues: pd.DataFrame, column: str) -> list:
    return sorted({value for value in tissues[column] if not pd.isna(value) and value != ""})


def decoded(dataset, name: str) -> list:
    classes = dataset.classes[name]
    return [None if code < 0 else classes[code] for code in dataset.targets(name).tolist()]


# Codes and numbers ---------------------------------------------------------------------------------------------------


CLASSES: dict[str, dict] = {
    "cancer_type": {},
    "odd": {},
    "gap": {"missing": -1},
    "flag": {},
    "flag_gap": {"missing": -1},
    "whole": {"label_type": "classification"},
    "grade": {"label_type": "classification", "missing": -1},
    "few": {},
    "specimen_id": {},
}


@pytest.mark.some(2)
@pytest.mark.parametrize("rows", ["tiles", "tissues", "cells"])
def test_classes_are_those_of_the_whole_lake(lake, tissues, rows):
    query = SporaQuery(lake).modality("imc")
    query = {"tiles": query.tiles(size=32), "tissues": query.tissues(), "cells": query.cells(size=24)}[rows]
    query = query.where("cell_id < 30") if rows == "cells" else query
    for column, options in CLASSES.items():
        query = query.label(column, **options)
    for part in (query, query.where("dataset = 'beta' AND tissue_id <> 'beta_0000'"), query.split("test")):
        dataset = part.to_torch()
        for column in CLASSES:
            expected = tuple(known(tissues, column))
            assert dataset.classes[column] == expected
            assert {type(name) for name in dataset.classes[column]} <= {str, bool, int}
            assert decoded(dataset, column) == values(tissues, dataset.plan, column)
    for position in (0, len(dataset) // 2, -1):
        for column in CLASSES:
            label = dataset[position][column]
            assert (label.dtype, label.shape) == (torch.int64, ())
            assert label == dataset.targets(column)[position]


NUMBERS: dict[str, dict] = {
    "age": {},
    "whole": {},
    "half": {},
    "price": {},
    "X..spots": {},
    "grade": {"missing": -1},
    "flag": {"label_type": "regression"},
    "flag_gap": {"label_type": "regression", "missing": -1},
}


def test_numbers_are_float32(query, tissues):
    for column, options in NUMBERS.items():
        query = query.label(column, **options)
    dataset = query.to_torch()
    samples = [dataset[position] for position in (0, 40, 100)]
    for column in NUMBERS:
        expected = [np.nan if value is None else float(value) for value in values(tissues, dataset.plan, column)]
        expected = np.array(expected, np.float32)
        assert dataset.targets(column).dtype == samples[0][column].dtype == torch.float32
        assert np.array_equal(dataset.targets(column).numpy(), expected, equal_nan=True)
        assert np.array_equal([sample[column].item() for sample in samples], expected[[0, 40, 100]], equal_nan=True)
    assert dataset.classes == {}


def test_classes_of_cells_are_those_of_all_cells(lake):
    cells = pd.concat(
        pd.read_parquet(lake / name / "metadata/cells.parquet").assign(dataset=name) for name in ("alpha", "beta")
    )
    cells = cells.set_index(["dataset", "tissue_id", "cell_id"])
    query = SporaQuery(lake).modality("imc").cells(size=24).where("cell_id < 12 AND dataset = 'beta'")
    dataset = query.label("cell_type", missing=-1).label("area").label("tissue_age", name="years").to_torch()
    assert dataset.classes == {"cell_type": ("B cell", "T cell", "tumour")}
    rows = [(*key, cell) for key, cell in zip(keys(dataset.plan), dataset.plan.tile_id.tolist(), strict=True)]
    expected = [None if pd.isna(value) else value for value in cells.loc[rows, "cell_type"]]
    assert decoded(dataset, "cell_type") == expected
    assert set(expected) == {"T cell", "tumour", None}
    assert dataset.targets("area").tolist() == cells.loc[rows, "area"].tolist()
    assert dataset.targets("years").tolist() == [40 + 10 * int(tissue[-4:]) for _, tissue, _ in rows]
    kept = query.label("cell_type", missing="drop").to_torch()
    assert decoded(kept, "cell_type") == [value for value in expected if value]


def test_cells_that_only_masks_know_have_labels(lake, tmp_path):
    own = Path(shutil.copytree(lake, tmp_path / "lake"))
    cells = pd.read_parquet(own / "alpha/metadata/cells.parquet")
    cells[cells["cell_id"] != 3].to_parquet(own / "alpha/metadata/cells.parquet")
    query = SporaQuery(own).modality("imc").cells(size=24, source="masks").where("cell_id < 9 AND dataset = 'alpha'")
    assert set(decoded(query.label("cell_type", missing=-1).to_torch(), "cell_type")) == {None, "tumour"}
    assert set(query.label("cell_type", missing="drop").plan().tile_id) == {6}
    assert set(decoded(query.label("cancer_type", missing="drop").to_torch(), "cancer_type")) == {"LUAD", "BRCA"}


def test_batches_stack_labels(query):
    dataset = query.label("cancer_type", "age").label("odd", name="labels").to_torch()
    for collate in (collate_padded, collate_packed):
        batch = next(iter(dataset.loader(4, shuffle="none", collate=collate)))
        assert torch.equal(batch["cancer_type"], dataset.targets("cancer_type")[:4])
        assert torch.equal(batch["age"], dataset.targets("age")[:4])
        assert torch.equal(batch["labels"], dataset.targets("labels")[:4])
        assert "odd" not in batch
    plain = next(iter(DataLoader(dataset, 4, collate_fn=collate_list)))
    assert [sample["cancer_type"].item() for sample in plain] == batch["cancer_type"].tolist()
    loss = torch.nn.CrossEntropyLoss(weight=dataset.class_weights("cancer_type"))
    assert loss(torch.zeros(4, 2), batch["cancer_type"]).item() == pytest.approx(np.log(2))


@pytest.mark.parametrize("missing", ["drop", "keep"])
def test_labels_stand_in_the_sample_of_every_modality(lake, tissues, missing):
    query = SporaQuery(lake).modality("imc", "he", missing=missing).tiles(size=32)
    dataset = query.label("odd").with_masks("tissue").with_cells("cell_type").to_torch()
    for position in range(0, len(dataset), 9):
        sample, code = dataset[position], dataset.targets()[position]
        assert all(part["odd"] == code for part in sample.values())
    assert decoded(dataset, "odd") == values(tissues, dataset.plan, "odd")
    assert {len(dataset[i]) for i in range(0, len(dataset), 9)} == ({2} if missing == "drop" else {1, 2})
    batch = next(iter(dataset.loader(8, shuffle="none")))
    assert torch.equal(batch["he"]["odd"], dataset.targets()[:8])


# Missing and strange values ------------------------------------------------------------------------------------------


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("column", "options"),
    [("gap", {}), ("flag_gap", {}), ("grade", {}), ("grade", {"label_type": "classification"}), ("nothing", {})],
)
def test_a_missing_label_is_an_error_that_counts_rows_and_names_the_choices(query, tissues, column, options):
    everything = query.plan()
    rows = [i for i, value in enumerate(values(tissues, everything, column)) if value is None]
    asked = query.label(column, **options)
    assert asked == query.label(column, **options, missing="error")
    with pytest.raises(TableError) as caught:
        asked.to_torch()
    words = [f"{len(rows)} of {len(everything)} rows", str(dict(everything.identity(rows[0]))), f"label({column!r})"]
    words += ["'drop'", "-1", "'error'"]
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert asked.count() == len(everything)


@pytest.mark.some(3)
@pytest.mark.parametrize("column", ["gap", "flag_gap", "grade", "nothing", "odd"])
def test_rows_without_a_label_are_left_out(query, tissues, column):
    everything = query.plan()
    there = [value is not None for value in values(tissues, everything, column)]
    asked = query.label(column, missing="drop")
    with pytest.warns(UserWarning, match="selects no rows") if not any(there) else _nothing():
        plan = asked.plan()
        assert asked.count() == len(asked.df()) == len(plan) == sum(there)
    assert keys(plan) == [key for key, is_there in zip(keys(everything), there, strict=True) if is_there]
    assert plan.tile_id.tolist() == everything.tile_id[there].tolist()
    if any(there):
        assert len(asked.sample(50, seed=1).plan()) == 50  # drawn from those that have one
    for dialect in ("postgres", "spark"):
        assert "IS NULL" in asked.sql(dialect=dialect)


class _nothing:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


def test_an_empty_text_is_a_class_where_classes_say_so(query, tissues):
    names = ["", *known(tissues, "gap")]
    dataset = query.label("gap", classes=names, missing="drop").to_torch()
    assert dataset.classes == {"gap": tuple(names)}
    expected = [value for key in keys(query.plan()) if not pd.isna(value := tissues.loc[key, "gap"])]
    assert decoded(dataset, "gap") == expected
    assert "" in expected


@pytest.mark.parametrize(
    ("column", "classes"),
    [
        ("cancer_type", ["LUAD", "other", "BRCA"]),
        ("flag", [True, False]),
        ("whole", [5, 4, 3, 2, 1, 0]),
        ("whole", np.arange(7)[::-1]),
        ("grade", [3.0, 2.0, 1.0]),
    ],
)
def test_classes_that_are_given_keep_their_order(query, tissues, column, classes):
    dataset = query.label(column, classes=classes, missing=-1).to_torch()
    assert dataset.classes == {column: tuple(classes)}
    assert decoded(dataset, column) == values(tissues, dataset.plan, column)


@pytest.mark.some(3)
@pytest.mark.parametrize("missing", ["error", "drop", -1])
@pytest.mark.parametrize(
    ("column", "classes", "others"),
    [("cancer_type", ["LUAD", "luad"], ["BRCA"]), ("whole", [0, 1, 2, 4, 5], [3]), ("flag", [False], [True])],
)
def test_a_value_that_is_none_of_the_classes_is_an_error(query, tissues, column, classes, others, missing):
    everything = query.plan()
    rows = [i for i, value in enumerate(values(tissues, everything, column)) if value in others]
    with pytest.raises(TableError) as caught:
        query.label(column, classes=classes, missing=missing).plan()
    words = [f"{len(rows)} of {len(everything)} rows", str(dict(everything.identity(rows[0]))), repr(others[0])]
    assert all(word in str(caught.value) for word in [*words, ".where("]), str(caught.value)


@pytest.mark.some(4)
@pytest.mark.parametrize(
    ("column", "options", "error", "words"),
    [
        ("cancer_typ", {}, UnknownNameError, ["'cancer_type'"]),
        ("born", {}, ArgumentError, ["'born'", "DATE", "year("]),
        ("nodes", {"label_type": "classification"}, ArgumentError, ["'nodes'", "BIGINT[]"]),
        ("odd", {"label_type": "regression"}, ArgumentError, ["'odd'", "TRY_CAST"]),
        ("half", {"label_type": "classification"}, TableError, ["'half'", "0.5"]),
        ("price", {"label_type": "classification"}, TableError, ["'price'", "0.25"]),
        ("large", {}, TableError, ["'large'", "18 of 108 rows", "1e+39", "alpha_0001"]),
        ("stamp", {}, TableError, ["'stamp'", "54 of 108 rows", "16777217", "alpha_0001"]),
        ("nothing", {"missing": -1}, TableError, ["'nothing'", "no classes"]),
        ("large", {"label_type": "classification"}, TableError, ["'large'", "1e+39"]),
        ("odd", {"classes": [1, 2]}, ArgumentError, ["'odd'", "texts", "1, 2"]),
        ("whole", {"classes": ["1", "2"]}, ArgumentError, ["'whole'", "numbers", "'1', '2'"]),
        ("flag", {"classes": [0, 1]}, ArgumentError, ["'flag'", "truth values", "0, 1"]),
    ],
)
def test_columns_that_are_no_labels(query, column, options, error, words):
    with pytest.raises(error) as caught:
        query.label(column, **options).plan()
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("columns", "options", "words"),
    [
        ((), {}, ["at least one column"]),
        ((["age", "odd"],), {}, ["one by one"]),
        (("age", "odd"), {"classes": ["a"]}, ["age, odd", "each"]),
        (("age", "odd"), {"name": "y"}, ["age, odd"]),
        (("odd",), {"classes": "LUAD"}, ["'LUAD'", "['LUAD', 'LUSC']"]),
        (("odd",), {"classes": []}, ["[]"]),
        (("odd",), {"classes": ["a", None]}, ["None"]),
        (("odd",), {"classes": ["a", 1]}, ["['a', 1]"]),
        (("odd",), {"classes": [True, 1]}, ["[True, 1]"]),
        (("odd",), {"classes": [1, 2.5]}, ["2.5"]),
        (("odd",), {"classes": [2**63, 1]}, ["9223372036854775808"]),
        (("odd",), {"classes": ["a", "a"]}, ["twice"]),
        (("odd",), {"classes": ["a"], "label_type": "regression"}, ["regression"]),
        (("odd",), {"label_type": "class"}, ["'class'", "classification"]),
        (("odd",), {"missing": "dropp"}, ["'dropp'", "Did you mean 'drop'", "-1"]),
        (("odd",), {"missing": None}, ["'None'"]),
        (("odd",), {"missing": True}, ["'True'"]),
        (("odd",), {"name": 3}, ["name=3"]),
        (("odd",), {"name": ""}, ["name=''"]),
        (("odd",), {"name": "masks"}, ["'masks'", "name='odd_label'"]),
        (("image",), {}, ["'image'", "name='image_label'"]),
        (("dataset",), {}, ["label('dataset', name='dataset_label')"]),
    ],
)
def test_arguments_that_contradict_themselves(query, columns, options, words):
    with pytest.raises((ArgumentError, UnknownNameError)) as caught:
        query.label(*columns, **options)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_arguments_of_other_libraries_are_plain_values():
    query = SporaQuery("lake")
    given = query.label("grade", classes=np.array([1, 2], np.uint8), missing=np.int64(-1), name=np.str_("y"))
    assert given == query.label("grade", classes=(1, 2.0), missing=-1, name="y")
    assert query.label("odd", classes={"b", "a"}).selection.labels == (Label(column="odd", classes=("a", "b")),)
    assert from_json(Selection, to_json(given.selection), where="a lock") == given.selection
    assert {type(value) for value in given.selection.labels[0].classes or ()} == {int}


# Names ---------------------------------------------------------------------------------------------------------------


def test_labels_add_up_and_replace_those_of_their_name(query):
    asked = query.label("gap").label("age").label("gap", missing="drop")
    assert [(label.key, label.missing) for label in asked.selection.labels] == [("gap", "drop"), ("age", "error")]
    with pytest.raises(ArgumentError, match="the label of column 'age'"):
        asked.label("odd", name="age")
    two = query.label("whole").label("whole", name="stage", label_type="classification").to_torch()[50]
    assert (two["whole"].dtype, two["stage"].dtype) == (torch.float32, torch.int64)


def test_a_selected_column_and_a_label(query, tissues):
    both = query.select("odd", "age").label("odd").label("odd", name="code").to_torch()
    sample = both[40]
    assert torch.equal(sample["odd"], sample["code"])
    assert sample["age"] == values(tissues, both.plan, "age")[40]
    assert both.plan.columns.column_names == ["odd", "age"]
    beside = query.select("odd").label("odd", name="code").to_torch()[40]
    assert beside["odd"] == both.classes["code"][beside["code"]]
    for asked in (query.select("age").label("odd", name="age"), query.label("odd", name="age").select("age")):
        with pytest.raises(ArgumentError, match="'age'"):
            asked.plan()


def test_answers_show_values(query, tissues):
    asked = query.label("odd", name="y").label("age", missing="drop")
    frame = asked.df()
    assert list(frame.columns[-2:]) == ["odd", "age"]
    assert asked.columns == tuple(frame.columns)
    assert frame["odd"].tolist() == values(tissues, asked.plan(), "odd")
    assert frame["age"].tolist() == values(tissues, asked.plan(), "age")
    assert '"odd"' in asked.sql()
    assert '"odd"' in str(asked.explain())
    assert "Label(column='odd', name='y')" in repr(asked)
    assert '<td style="text-align:left">y, age</td>' in asked._repr_html_()
    assert "label y and age" in repr(asked.to_torch())


def test_identity_and_split_can_be_labels(query, tissues):
    asked = query.where("dataset = 'beta'").label("dataset", name="cohort").label("mpp", name="scale")
    dataset = asked.label("tissue_id", name="tissue").to_torch()
    assert dataset.classes["cohort"] == ("alpha", "beta")
    assert dataset.classes["tissue"] == tuple(sorted(tissue for _, tissue in tissues.index))
    assert set(dataset.targets("cohort").tolist()) == {1}
    assert set(dataset.targets("scale").tolist()) == {1.0}
    assert dataset[0]["dataset"] == "beta"
    divided = query.split(by="tissue", fractions={"learn": 0.5, "hold": 0.5}, replace=True).label("split")
    assert divided.to_torch().classes == {"split": ("hold", "learn")}
    assert set(decoded(divided.split("learn").to_torch(), "split")) == {"learn"}


def test_no_selected_column_takes_the_place_of_what_samples_have(query):
    asked = query.select("image", "row", "tissue_id")
    assert set(asked.df()["image"]) == {"red"}
    with pytest.raises(ArgumentError, match=r"select\('image'\)"):
        asked.to_torch()


def test_no_label_can_be_called_as_what_samples_have(lake):
    imc = SporaQuery(lake).modality("imc").standardize("quantile_clipping/uq_0.99_image")
    tiles, cells = imc.tiles(size=32).with_masks("tissue").with_cells("area"), imc.cells(size=24)
    found = set()
    for query in (tiles, cells.where("cell_id < 9")):
        dataset = query.to_torch(standardize_on="device", on_error="replace")
        samples = [dataset[0], dataset[1]]
        found |= samples[0].keys() | collate_padded(samples).keys() | collate_packed(samples).keys()
    both = imc.modality("imc", "he", missing="keep").standardize("identity").tiles(size=32).to_torch()
    found |= collate_padded([both[0], both[-1]])["he"].keys()
    assert sorted(found - SAMPLE_FIELDS) == [], "spora_db.selection.label.SAMPLE_FIELDS lacks fields of samples"
    assert sorted(SAMPLE_FIELDS - found) == ["features"]  # which this lake does not have


# Rows of the user's own ----------------------------------------------------------------------------------------------


def test_rows_of_sql_take_the_classes_of_the_lake(lake, tissues):
    text = """SELECT dataset, tissue_id, tile_id, "row", col, odd, whole::VARCHAR AS own, flag, upper(few) AS few
        FROM tiles WHERE modality = 'imc' AND split = 'test'"""
    query = SporaQuery.from_sql(lake, text).modality("imc").tiles(size=32, mpp=1.0)
    dataset = query.label("odd", "flag").label("own", classes=list("543210")).to_torch()
    assert dataset.classes == {"odd": tuple(known(tissues, "odd")), "flag": (False, True), "own": tuple("543210")}
    assert decoded(dataset, "odd") == values(tissues, dataset.plan, "odd")
    assert decoded(dataset, "own") == [str(value) for value in values(tissues, dataset.plan, "whole")]
    with pytest.raises(ArgumentError, match=r"classes=\['1', '3', '5'\]"):
        query.label("own").plan()
    with pytest.raises(TableError, match="the lake has: 'ONLY ALPHA', 'ONLY BETA'"):
        query.label("few").plan()
    with pytest.raises(UnknownNameError, match="age"):
        query.label("age").plan()


@pytest.mark.parametrize("make", [lambda frame: frame, lambda frame: frame.astype({"answer": "category"})])
def test_rows_of_a_table_of_another_engine(lake, query, make):
    rows = query.df().assign(answer=lambda f: np.array(["PD", "CR", None], object)[f["tile_id"] % 3])
    own = SporaQuery.from_arrow(lake, make(rows)).modality("imc")
    dataset = own.label("answer", classes=["CR", "PD", "PR"], missing="drop").label("col", name="place").to_torch()
    kept = rows.dropna(subset="answer")
    assert decoded(dataset, "answer") == kept["answer"].tolist()
    assert dataset.targets("place").tolist() == kept["col"].tolist()
    assert dataset.class_counts() == {"CR": 36, "PD": 36, "PR": 0}
    with pytest.raises(ArgumentError, match=r"classes=\['CR', 'PD'\]"):
        own.label("answer", missing=-1).plan()


# Plans, locks, orders ------------------------------------------------------------------------------------------------


def test_labels_change_the_plan_and_not_the_order(query):
    plain = query.select("odd").plan()
    asked = [
        query.label("cancer_type"),
        query.label("cancer_type", name="y"),
        query.label("cancer_type", classes=["LUAD", "BRCA"]),
        query.label("cancer_type", "age"),
        query.label("age"),
        query.label("flag"),
        query.label("flag", label_type="regression"),
        query.label("gap", missing=-1),
    ]
    plans = [part.plan() for part in asked]
    assert {plan.rows_hash for plan in plans} == {plain.rows_hash}
    assert len({plan.hash for plan in (plain, *plans)}) == len(plans) + 1
    assert plans[0].hash == query.label("cancer_type", classes=["BRCA", "LUAD"]).plan().hash
    orders = [TileSampler(part.to_torch(), seed=4, shuffle="global").order(2).tolist() for part in (query, asked[3])]
    assert orders[0] == orders[1]
    drawn = query.sample(20, by="cancer_type", seed=3)
    assert drawn.label("odd").plan().rows_hash == drawn.plan().rows_hash


def test_plans_and_datasets_pickle(query):
    dataset = query.label("odd", "age").to_torch()
    again = pickle.loads(pickle.dumps(dataset))
    assert again.plan.hashed().hash == dataset.plan.hash
    assert again.classes == dataset.classes
    assert torch.equal(again[7]["odd"], dataset[7]["odd"])


def test_a_lock_keeps_the_classes_that_a_model_was_trained_on(lake, tmp_path):
    own = Path(shutil.copytree(lake, tmp_path / "lake"))
    query = SporaQuery(own).modality("imc").tiles(size=32).where("dataset = 'alpha'").label("few").label("age")
    before = query.plan()
    path = query.lock(tmp_path / "a.lock.json")
    file = own / "beta/metadata/tissues.parquet"
    pd.read_parquet(file).assign(few="a new one").to_parquet(file)
    assert query.to_torch().classes == {"few": ("a new one", "only alpha")}
    assert query.plan().hash != before.hash
    locked = SporaQuery.from_lock(path)
    assert locked.to_torch().classes == {"few": ("only alpha", "only beta")}
    assert locked.plan().hash == before.hash
    file = own / "alpha/metadata/tissues.parquet"
    pd.read_parquet(file).assign(age=3).to_parquet(file)
    with pytest.raises(SporaError, match="columns changed in alpha"):
        SporaQuery.from_lock(path)


# Counts, weights, balance --------------------------------------------------------------------------------------------


def test_counts_and_balanced_weights(query, tissues):
    some = query.where("tissue_id NOT IN ('alpha_0000', 'beta_0005')").label("gap", missing=-1)
    dataset = some.label("few", "age").to_torch()
    found = pd.Series(values(tissues, dataset.plan, "gap")).value_counts()
    counts = dataset.class_counts("gap")
    assert list(counts) == known(tissues, "gap")
    assert counts == {name: found.get(name, 0) for name in known(tissues, "gap")}
    assert 0 < sum(counts.values()) < len(dataset)
    expected = [found.sum() / (len(found) * found[name]) if name in found else 0.0 for name in counts]
    weights = dataset.class_weights("gap")
    assert (weights.dtype, weights.tolist()) == (torch.float32, np.float32(expected).tolist())
    one = query.where("dataset = 'beta'").label("few").to_torch()
    assert (one.class_counts(), one.class_weights().tolist()) == ({"only alpha": 0, "only beta": 54}, [0.0, 1.0])


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda d: d.class_counts(), ["class_counts()", "odd, few"]),
        (lambda d: d.class_weights(), ["class_weights()", "odd, few"]),
        (lambda d: d.targets(), ["targets()", "odd, few, age"]),
        (lambda d: d.class_counts("odds"), ["'odds'", "mean 'odd'"]),
        (lambda d: d.class_weights("age"), ["'age'", "classification"]),
        (lambda d: d.targets("fe"), ["'fe'", "mean 'few'"]),
        (lambda d: d.loader(4, weights="odd"), ["'odd'", "balance_by='odd'"]),
        (lambda d: d.loader(4, balance_by="grade"), ["'grade'", "odd"]),
    ],
)
def test_what_is_asked_of_a_label_that_is_not_there(query, ask, words):
    with pytest.raises((ArgumentError, UnknownNameError)) as caught:
        ask(query.label("odd", "few", "age").to_torch())
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_query_without_labels_says_how_to_get_one(query):
    dataset = query.to_torch()
    assert dataset.classes == {}
    for ask in (dataset.targets, dataset.class_counts, dataset.class_weights):
        with pytest.raises(ArgumentError, match="no label"):
            ask()


def chi_square(drawn: np.ndarray, expected: np.ndarray) -> float:
    return float(((drawn - expected) ** 2 / expected).sum())


@pytest.mark.parametrize("missing", ["drop", -1])
def test_balance_draws_the_classes_of_a_label_equally_often(query, missing):
    dataset = query.where("tissue_id <> 'beta_0002'").label("gap", name="y", missing=missing).to_torch()
    codes = dataset.targets().numpy()
    assert len(set(np.bincount(codes + 1).tolist())) > 1
    rows = list(TileSampler(dataset, balance_by="y", num_samples=20_000, seed=1))
    _, drawn = np.unique(codes[rows], return_counts=True)
    groups = len(np.unique(codes))
    assert groups == len([count for count in dataset.class_counts().values() if count]) + (missing == -1)
    # chi-square of so many groups exceeds this once in 1e5 (Wilson and Hilferty 1931)
    free = groups - 1
    limit = free * (1 - 2 / (9 * free) + 4.265 * np.sqrt(2 / (9 * free))) ** 3
    assert chi_square(drawn, np.full(groups, 20_000 / groups)) < limit


def test_a_label_that_is_a_number_weighs_rows(query, tissues):
    dataset = query.label("whole").to_torch()
    weights = np.array(values(tissues, dataset.plan, "whole"), float)
    by_name = TileSampler(dataset, weights="whole", seed=3)
    assert list(by_name) == list(TileSampler(dataset, weights=weights, seed=3))
    assert not {i for i in by_name if weights[i] == 0}


# Other libraries -----------------------------------------------------------------------------------------------------


def test_anndata_has_values(lake, tissues):
    pytest.importorskip("anndata")
    query = SporaQuery(lake).modality("imc").tissues(mpp=1.0).label("odd").label("gap", missing=-1).label("age")
    obs = query.to_anndata().obs
    for name in ("odd", "gap", "age"):
        expected = [tissues.loc[key, name] for key in zip(obs["dataset"], obs["tissue_id"], strict=True)]
        found = [None if pd.isna(value) else value for value in obs[name]]
        assert found == [None if pd.isna(value) or value == "" else value for value in expected]


def test_the_published_class_has_labels_of_its_own(query):
    with pytest.raises(ArgumentError, match=r"label\(\)"):
        query.label("odd").to_spora_dataset()
