"""The queries of `sql/queries`: each says what it is, runs on any lake, and answers as pandas does."""

from pathlib import Path

import pandas as pd
import pytest

from lakes import write_lake
from spora_db.catalog import Catalog
from spora_db.catalog.sql_files import sql_names, sql_text


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_lake(tmp_path_factory.mktemp("queries") / "lake", tissues=5)
    cells = {
        "tissue_id": ["alpha_0000"] * 3 + ["alpha_0001"],
        "cell_id": [1, 2, 3, 1],
        "cell_type": ["T", "T", "B", "T"],
    }
    pd.DataFrame(cells).to_parquet(root / "alpha/metadata/cells.parquet")
    spec = root / "beta/imc/1_0mpp/standardization/quantile_clipping/uq_0.99_image/image_level_upper_quantiles.parquet"
    known = pd.read_parquet(spec)
    known.drop(index=known.index[1:3]).to_parquet(spec)
    return root


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("empty")
    (root / "cohort/imc/1_0mpp/images").mkdir(parents=True)
    return root


def ask(lake: Path, name: str) -> pd.DataFrame:
    with Catalog(lake) as catalog:
        return catalog.sql(sql_text("queries", name)).df()


@pytest.mark.some(3)
@pytest.mark.parametrize("name", sql_names("queries"))
def test_every_query_says_what_it_is_and_runs_on_an_empty_lake(lake, empty, name):
    lines = sql_text("queries", name).splitlines()
    assert [line[:11] for line in lines[:3]] == ["-- purpose:", "-- grain:  ", "-- source: "]
    answer, none = ask(lake, name), ask(empty, name)
    assert list(answer.columns) == list(none.columns)
    assert len(none) == (1 if name == "cohorts" else 0)
    grain = [
        column for column in answer.columns if column in lines[1].replace("pair of cohorts", "dataset other_dataset")
    ]
    assert grain
    assert not answer.duplicated(grain).any()


def tissues(lake: Path) -> pd.DataFrame:
    return pd.concat(
        pd.read_parquet(base / "metadata/tissues.parquet").assign(dataset=base.name) for base in sorted(lake.iterdir())
    )


def test_tissues_by_diagnosis(lake):
    answer = ask(lake, "tissues_by_diagnosis").set_index(["dataset", "diagnosis"])
    groups = tissues(lake).groupby(["dataset", "cancer_type"])
    assert answer["n_tissues"].sort_index().tolist() == groups["tissue_id"].nunique().tolist()
    assert answer["n_patients"].sort_index().tolist() == groups["patient_id"].nunique().tolist()


def test_tiles_per_split(lake):
    answer = ask(lake, "tiles_per_split")
    expected = tissues(lake).query("modality == 'imc'").groupby(["dataset", "split"])["tissue_id"].count()
    assert answer.set_index(["dataset", "split"])["n_tissues"].sort_index().tolist() == expected.tolist()
    assert (answer["n_tiles"] == answer["n_tissues"] * 9).all()


def test_missing_statistics(lake):
    answer = ask(lake, "missing_statistics")
    assert answer.to_dict("records") == [
        {
            "dataset": "beta",
            "modality": "imc",
            "mpp": 1.0,
            "spec": "quantile_clipping/uq_0.99_image",
            "n_tissues": 2,
            "first_tissue": "beta_0001",
        }
    ]


def test_marker_coverage(lake):
    answer = ask(lake, "marker_coverage").set_index(["uniprot_id", "dataset"])
    assert answer.loc[("P07766", "alpha")].to_dict() == {
        "modality": "imc",
        "channel_name": "CD3e",
        "n_measured": 4,
        "n_tissues": 5,
        "measured_fraction": 0.8,
    }
    assert (answer.drop(index="P07766")["measured_fraction"] == 1).all()


def test_cells_per_type(lake):
    answer = ask(lake, "cells_per_type")
    assert answer.to_dict("list") == {
        "dataset": ["alpha", "alpha"],
        "cell_type": ["T", "B"],
        "n_tissues": [2, 1],
        "n_cells": [3, 1],
        "cell_fraction": [0.75, 0.25],
    }
