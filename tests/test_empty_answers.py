"""A query that selects nothing says what in it can match nothing."""

import warnings
from pathlib import Path

import pytest

from command_line import call
from lakes import write_lake
from spora_db import SporaQuery


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("empty") / "lake")


HINTS = {
    "modality = 'IMC'": r"modality = 'IMC' holds for no tissue\. Did you mean 'imc'\?",
    "'alhpa' = dataset": r"'alhpa' = dataset holds for no tissue\. Did you mean 'alpha'",
    "tissues.dataset IN ('Alpha', 'BETA')": r"dataset IN \('Alpha', 'BETA'\) holds .*'alpha'",
    "tissue_id LIKE 'ALPHA%'": r"LIKE 'ALPHA%' holds for no tissue",
    "split = 'training' AND mpp = 1.0": r"split = 'training' holds for no tissue\. Did you mean 'train'",
    "modality ~ 'IMC'": r"Did you mean 'imc'\?",
    "starts_with(dataset, 'Alp')": r"holds for no tissue\. .*'alpha'",
    "contains(dataset, 'Alpha')": r"Did you mean 'alpha'",
    "regexp_matches(split, '^T')": r"holds for no tissue\. Available: test, train",
    "split IS NOT DISTINCT FROM 'Train'": r"Did you mean 'train'",
    "list_contains(['IMC', 'CODEX'], modality)": r"Did you mean 'imc'",
    "dataset SIMILAR TO 'A.*' OR dataset GLOB 'B*'": r"holds for no tissue",
    "mpp > 2": r"mpp > 2 holds for no tissue: mpp is 1\.0",
    "modality = 'he'": r"modality = 'he' holds for no tissue\. Available: imc",
}


@pytest.mark.some(4)
@pytest.mark.parametrize("condition", HINTS)
@pytest.mark.parametrize("ask", ["count", "df", "plan"])
def test_a_condition_that_no_row_satisfies_is_named(lake, condition, ask):
    query = SporaQuery(lake).modality("imc").tissues(mpp=1.0).where(condition)
    with pytest.warns(UserWarning, match=r"selects no rows: .*" + HINTS[condition]):
        assert not (query.count() if ask == "count" else len(getattr(query, ask)()))


@pytest.mark.parametrize(
    "condition",
    ["dataset = 'alpha' AND tissue_id = 'beta_0001'", "NOT dataset <> 'alpha' AND dataset = 'beta'", "mpp < 5"],
)
def test_conditions_that_some_row_satisfies_are_not_named(lake, condition):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SporaQuery(lake).modality("imc").tissues(mpp=1.0).where(condition).count()


def test_several_modalities_without_a_tissue_of_each_are_told(tmp_path):
    root = write_lake(tmp_path / "lake", names=("alpha",))
    (root / "alpha/imc").rename(root / "alpha/codex")
    other = write_lake(tmp_path / "other", names=("beta",))
    (other / "beta").rename(root / "beta")
    pair = SporaQuery(root).modality("imc", "codex").tissues(mpp=1.0)
    either = SporaQuery(root).modality(("imc", "codex")).tissues(mpp=1.0)
    rows = either.count()
    with pytest.warns(
        UserWarning, match=rf"an image of each of imc, codex.*\({rows} rows\).*modality\(\('imc', 'codex'\)\)"
    ):
        assert pair.count() == 0


STATEMENTS = {
    "SELECT dataset FROM tiles WHERE modality = 'IMC'": "= 'IMC' holds for no row of tiles. Did you mean 'imc'?",
    "FROM tiles WHERE modality = 'Imc' AND mpp = 1": "modality = 'Imc' holds for no row of tiles. Did you mean 'imc'?",
    "SELECT count(*) FROM images WHERE images.modality IN ('IMC')": "modality IN ('IMC') holds for no row of images.",
    "SELECT t.row FROM tiles AS t JOIN tissues AS s USING (dataset, tissue_id) WHERE s.split = 'Train'":
        "split = 'Train' holds for no row of tissues. Did you mean 'train'?",
    "WITH a AS (FROM tissues) SELECT * FROM a WHERE dataset = 'Alpha'": "holds for no row of a. Did you mean 'alpha'",
    "SELECT name FROM (SELECT dataset AS name FROM tissues) WHERE name LIKE 'ALPHA%'": "no row. Did you mean 'al",
    "SELECT (SELECT max(tile_id) FROM tiles WHERE dataset = 'BETA')": "holds for no row of tiles. Did you mean 'beta'",
    "FROM tiles WHERE mpp > 2": "mpp > 2 holds for no row of tiles: mpp is 1.0.",
}  # fmt: skip


@pytest.mark.parametrize("statement", STATEMENTS)
@pytest.mark.parametrize("shell", [False, True], ids=["command", "shell"])
def test_sql_names_a_condition_that_no_row_satisfies_beside_its_answer(lake, statement, shell):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        asked = (lake, statement) if not shell else (lake,)
        done = call("sql", *asked, text=f".mode csv\n{statement};" if shell else "")
    assert done.stderr.startswith("spora-db: The query selects no rows: ")
    assert STATEMENTS[statement] in done.stderr
    assert done.stderr.count("\n") == 1
    assert "holds for" not in done.stdout


def test_where_warnings_are_errors_that_of_an_empty_answer_is_no_fault_of_a_value(lake):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="The query selects no rows: modality"):
            call("sql", lake, "SELECT dataset FROM tiles WHERE modality = 'IMC'")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT dataset FROM tiles WHERE dataset = 'alpha' AND tissue_id = 'beta_0001'",
        "SELECT count(*) FROM tiles WHERE modality = 'imc' OR modality = 'IMC'",
        "SELECT dataset FROM tiles WHERE modality <> 'imc' AND NOT modality = 'IMC'",
        "SELECT * FROM (FROM tiles LIMIT 0) WHERE modality = 'IMC'",
        "SELECT 0 AS dataset FROM tiles WHERE row < 0",
        "SELECT dataset FROM tissues AS t WHERE EXISTS (FROM tiles WHERE t.dataset = 'alpha' AND row < 0)",
        "DESCRIBE tiles",
        "VALUES (0)",
    ],
)
def test_sql_says_nothing_beside_other_answers(lake, statement):
    assert call("sql", lake, statement).stderr == ""
