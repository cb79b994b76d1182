"""Every parquet hazard seen in published files, as a small lake: right rows or a named error, never a wrong answer."""

import os
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agreed import SHARED
from diagonal import pairs
from odd_files import foreign_parquet
from spora_db import SporaQuery
from spora_db.catalog import Catalog
from spora_db.errors import FileFormatError, QueryError, SporaError, TableError, UnknownNameError
from spora_db.sources.reconcile import common_type
from spora_db.sqltext.expressions import literal_glob, path_list


def write(path: Path, table: pa.Table | dict | pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(table, pd.DataFrame):
        table.to_parquet(path)
    else:
        pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), path)


def tissues(lake: Path, **cohorts: pa.Table | dict | pd.DataFrame) -> Path:
    for name, table in cohorts.items():
        write(lake / name / "metadata/tissues.parquet", table)
    return lake


def ask(lake: Path, text: str) -> list[tuple]:
    with Catalog(lake) as catalog:
        return catalog.sql(text).fetchall()


FRAME = pd.DataFrame({"tissue_id": ["a", "b"], "x": [1, 2]})


@pytest.mark.some(4)
@pytest.mark.parametrize(
    "table",
    [
        FRAME,
        FRAME.set_index("tissue_id"),
        FRAME.set_index("tissue_id").rename_axis(None),
        FRAME.reset_index(),
        FRAME.reset_index().reset_index(),
        FRAME.set_index("x").reset_index().set_index(pd.Index([7, 9])),
        FRAME.set_index(pd.Index(["p", "q"])),
        FRAME.set_index([pd.Index([3, 4]), "tissue_id"]).rename_axis([None, "tissue_id"]),
        FRAME.set_index([pd.Index([3, 4]), "tissue_id"]).rename_axis([None, None]),
        FRAME.rename(columns={"tissue_id": "Tissue_ID"}),
        FRAME.assign(tissue_id=FRAME.tissue_id.astype("category")),
        pa.table({"tissue_id": pa.array(["a", "b"], pa.large_string()), "x": [1, 2]}),
        pa.table({"tissue_id": pa.array(["a", "b"]).dictionary_encode(), "x": [1, 2]}),
        pa.table(
            {"index": [5, 6], "level_0": [0, 1], "__index_level_0__": [0, 1], "x": [1, 2], "tissue_id": ["a", "b"]}
        ),
    ],
)
def test_tissue_id_is_found_and_index_columns_are_dropped(tmp_path, table):
    with Catalog(tissues(tmp_path, d=table)) as catalog:
        assert catalog.sql("SELECT tissue_id, x FROM tissues ORDER BY 1").fetchall() == [("a", 1), ("b", 2)]
        assert set(catalog.columns("tissues")) == {
            "dataset", "tissue_id", "modality", "patient_id", "specimen_id", "split", "x",
        }  # fmt: skip


def test_fractions_and_truth_values_are_no_index(tmp_path):
    lake = tissues(tmp_path, d={"tissue_id": ["a"], "index": [1.5], "level_0": [True], "level_1": [7]})
    assert ask(lake, 'SELECT "index", level_0 FROM tissues') == [(1.5, True)]


@pytest.mark.parametrize(
    "table",
    [{"x": [1]}, {"__index_level_0__": [0], "x": ["a"]}, {"index": ["a"]}, pa.table({})],
)
def test_no_tissue_id_is_an_error_that_names_the_file(tmp_path, table):
    with pytest.raises(TableError, match=r"tissues\.parquet has no column 'tissue_id'"):
        ask(tissues(tmp_path, d=table), "SELECT * FROM tissues")


def test_unnamed_0_is_a_column_of_its_own(tmp_path):
    lake = tissues(tmp_path, d={"tissue_id": ["a"], "Unnamed: 0": ["kept"], "X..spots": [1.5], "CD31+vWF": [2]})
    assert ask(lake, 'SELECT "Unnamed: 0", "X..spots", "CD31+vWF" FROM tissues') == [("kept", 1.5, 2)]


@pytest.mark.some(4)
@pytest.mark.parametrize(
    ("first", "second", "kind", "answers"),
    [
        (pa.nulls(1), pa.array(["x"]), "VARCHAR", [(None,), ("x",)]),
        (pa.nulls(1), pa.array([1.5]), "DOUBLE", [(None,), (1.5,)]),
        (pa.nulls(1), pa.nulls(1), "VARCHAR", [(None,), (None,)]),
        (pa.array([2.0]), pa.array(["II"]), "VARCHAR", [("2.0",), ("II",)]),
        (pa.array([2]), pa.array(["II"]), "VARCHAR", [("2",), ("II",)]),
        (pa.array([2]), pa.array([2.5]), "DOUBLE", [(2.0,), (2.5,)]),
        (pa.array([2], pa.int8()), pa.array([3], pa.int32()), "BIGINT", [(2,), (3,)]),
        (pa.array([2], pa.uint64()), pa.array([-3], pa.int32()), "HUGEINT", [(2,), (-3,)]),
        (pa.array([2.5], pa.float32()), pa.array([3.5]), "DOUBLE", [(2.5,), (3.5,)]),
        (pa.array([True]), pa.array([True]), "BOOLEAN", [(True,), (True,)]),
        (pa.array([True]), pa.array(["yes"]), "VARCHAR", [("true",), ("yes",)]),
        (pa.array([True]), pa.array([1.0]), "VARCHAR", [("true",), ("1.0",)]),
        (pa.array(["x"], pa.large_string()), pa.array(["y"]), "VARCHAR", [("x",), ("y",)]),
        (pa.array([b"x"]), pa.array([b"y"]), "BLOB", [(b"x",), (b"y",)]),
        (pa.array([[1]]), pa.array([[2, 3]]), "BIGINT[]", [([1],), ([2, 3],)]),
        (pa.array([[1]]), pa.array(["x"]), "VARCHAR", [("[1]",), ("x",)]),
    ],
)
def test_types_of_cohorts_are_reconciled(tmp_path, first, second, kind, answers):
    lake = tissues(
        tmp_path, a={"tissue_id": ["t"], "x": first}, b={"tissue_id": ["t"], "x": second}, c={"tissue_id": []}
    )
    with Catalog(tissues(lake, c={"tissue_id": pa.array([], pa.string())})) as catalog:
        answer = catalog.sql("SELECT x FROM tissues ORDER BY dataset")
        assert answer.types == [kind]
        assert answer.fetchall() == answers


@given(
    st.lists(
        st.sampled_from(["NULL", "BOOLEAN", "INTEGER", "BIGINT", "FLOAT", "DOUBLE", "VARCHAR", "DATE"]), min_size=1
    )
)
def test_reconciling_is_the_same_in_any_order(types):
    assert common_type(types) == common_type(reversed(types)) == common_type([*types, *types, "NULL"])
    assert common_type([*types, "VARCHAR"]) == "VARCHAR"


def test_ids_are_text_in_every_cohort(tmp_path):
    lake = tissues(
        tmp_path,
        a={"tissue_id": ["1"], "patient_id": [170.0]},
        b={"tissue_id": ["2"], "patient_id": [170]},
        c={"tissue_id": ["3"], "patient_id": ["170"]},
        d={"tissue_id": ["4"], "patient_id": pa.nulls(1)},
        e=pd.DataFrame({"tissue_id": [5, 6], "patient_id": [3.0, np.nan]}),
        f={"tissue_id": [7.0, 8.5], "patient_id": [float("nan"), 1e300]},
    )
    assert ask(lake, "SELECT tissue_id, patient_id FROM tissues ORDER BY dataset, tissue_id") == [
        ("1", "170"), ("2", "170"), ("3", "170"), ("4", None), ("5", "3"), ("6", None), ("7", None), ("8.5", "1e+300"),
    ]  # fmt: skip


def test_names_that_differ_in_case_stay_two_columns(tmp_path):
    lake = tissues(
        tmp_path,
        a={"tissue_id": ["1"], "SMA": [1], "sma": [2], "Sma": [3]},
        b={"tissue_id": ["2"], "sma": [4], "sma_2": [5]},
    )
    with Catalog(lake) as catalog:
        found = catalog.sql("SELECT * EXCLUDE (modality, patient_id, specimen_id, split) FROM tissues ORDER BY 1").df()
        schema = catalog.schema().df()
    assert list(found.columns) == ["dataset", "tissue_id", "SMA", "sma_3", "Sma_4", "sma_2"]
    assert found["SMA"].tolist() == [1, 4]
    assert found["sma_3"].dropna().tolist() == [2]
    assert found["Sma_4"].dropna().tolist() == [3]
    assert found["sma_2"].dropna().tolist() == [5]
    note = schema[(schema.relation == "tissues") & (schema.column == "sma_3")].cohorts.item()
    assert note == "a: BIGINT 'sma'"


def test_the_path_names_the_dataset(tmp_path):
    lake = tissues(tmp_path, real={"tissue_id": ["t"], "dataset": ["other"], "DATASET": [1]})
    assert ask(lake, "SELECT dataset FROM tissues") == [("real",)]
    with Catalog(lake) as catalog:
        assert [name for name in catalog.columns("tissues") if name.lower() == "dataset"] == ["dataset"]


def panel(lake: Path, columns: dict, *, channels: list | None = None, modality: str = "imc") -> Path:
    names = channels if channels is not None else [name for name in columns if name != "tissue_id"]
    n = len(names)
    write(
        lake / "d" / modality / "channels.parquet",
        pa.table({
            "channel_name": pa.array(names, pa.string()), "qc_pass": [True] * n,
            "uniprot_id": pa.nulls(n), "is_nuclear_marker": [False] * n,
        }),
    )  # fmt: skip
    write(lake / "d" / modality / "channels_per_tissue.parquet", columns)
    return lake


ODD = [
    "X..spots",
    "TCF1/TCF7",
    "CD31+vWF",
    "Iridium (V2)",
    "SMA",
    "sma",
    "Sma_1",
    "select",
    "a'b",
    'a"b',
    "é",
    "É",
    "c0",
    "a\nb",
    "",
]


def test_odd_channel_names_are_exact(tmp_path):
    flags = {name: [index % 3 > 0] for index, name in enumerate(ODD)}
    lake = panel(tmp_path, {**flags, "tissue_id": ["t"]})
    found = ask(lake, "SELECT channel_name, measured, page FROM tissue_channels ORDER BY channel_index")
    pages = iter(range(len(ODD)))
    assert found == [(name, flags[name][0], next(pages) if flags[name][0] else None) for name in ODD]
    with Catalog(lake) as catalog:
        told = catalog.explain_sql("SELECT * FROM channels_per_tissue")
    assert {file.path for file in told.files} == {"d/imc/channels_per_tissue.parquet"}


def test_the_panel_orders_the_pages_not_the_wide_file(tmp_path):
    lake = panel(tmp_path, {"c": [True], "tissue_id": ["t"], "a": [False], "b": [True]}, channels=["a", "b", "c"])
    found = ask(lake, "SELECT channel_name, page FROM tissue_channels ORDER BY channel_index")
    assert found == [("a", None), ("b", 0), ("c", 1)]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_pages_count_measured_channels_in_panel_order(tmp_path, data):
    n = data.draw(st.integers(1, 70))
    order = data.draw(st.permutations(range(n)))
    flags = data.draw(st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=1, max_size=4))
    columns = {f"m{channel}": [row[channel] for row in flags] for channel in order}
    names = [f"m{channel}" for channel in range(n)]
    shutil.rmtree(tmp_path / "d", ignore_errors=True)
    panel(tmp_path, {**columns, "tissue_id": [str(i) for i in range(len(flags))]}, channels=names)
    found = ask(tmp_path, "SELECT tissue_id, channel_index, page FROM tissue_channels")
    expected = [
        (str(i), channel, sum(row[:channel]) if row[channel] else None)
        for i, row in enumerate(flags)
        for channel in range(n)
    ]
    assert sorted(found, key=str) == sorted(expected, key=str)


@pytest.mark.parametrize(
    "values",
    [pa.array([1, 0]), pa.array([1.0, 0.0]), pa.array([True, False]), pa.array([1, 0], pa.uint8())],
)
def test_measured_may_be_numbers(tmp_path, values):
    lake = panel(tmp_path, {"a": values, "b": [True, True], "tissue_id": ["s", "t"]})
    found = ask(lake, "SELECT tissue_id, channel_name, measured FROM channels_per_tissue ORDER BY ALL")
    assert found == [("s", "a", True), ("s", "b", True), ("t", "a", False), ("t", "b", True)]


@pytest.mark.parametrize("count", [1, 49, 50, 51, 100, 101, 333])
def test_a_value_that_is_unknown_hides_the_row_of_its_tissue_only(tmp_path, count):
    flags = np.random.default_rng(count).random((40, count)) < 0.5
    flags[0], flags[1] = True, False
    unknown = np.arange(40) % 7 == 3
    holes = np.zeros_like(flags)
    holes[unknown, np.arange(unknown.sum()) % count] = True
    columns = {f"m{i}": pa.array(flags[:, i], mask=holes[:, i]) for i in range(count)}
    lake = panel(tmp_path, {**columns, "tissue_id": [str(i) for i in range(40)]})
    found = ask(lake, "SELECT CAST(tissue_id AS INTEGER), channel_name, measured FROM channels_per_tissue")
    expected = {(i, f"m{j}"): None if unknown[i] else bool(flags[i, j]) for i in range(40) for j in range(count)}
    assert len(found) == len(expected)
    assert {(tissue, name): measured for tissue, name, measured in found} == expected


def test_nan_is_found_though_footers_do_not_count_it(tmp_path):
    """DuckDB takes the least and greatest value of a footer for those of all values; NaN is not among them."""
    values = pa.array([0.0, float("nan"), 1.0, None], from_pandas=False)
    lake = panel(tmp_path, {"a": values, "tissue_id": list("xyzn")})
    tissues(lake, d={"tissue_id": list("xyzn"), "w": values, "patient_id": values, "small": values.cast(pa.float32())})
    measured = ask(lake, "SELECT tissue_id, measured FROM channels_per_tissue ORDER BY tissue_id")
    assert measured == [("n", None), ("x", False), ("y", None), ("z", True)]
    for name in ("w", "small"):
        for condition, found in {
            f"isnan({name})": ["y"],
            f"NOT isnan({name})": ["x", "z"],
            f"{name} BETWEEN 0 AND 1": ["x", "z"],
            f"{name} > 5": ["y"],  # in DuckDB, NaN is the greatest number
            f"{name} = 'nan'": ["y"],
            f"{name} <= 1": ["x", "z"],
            f"{name} IS NULL": ["n"],
        }.items():
            assert ask(lake, f"SELECT tissue_id FROM tissues WHERE {condition} ORDER BY ALL") == [(t,) for t in found]
        assert repr(ask(lake, f"SELECT min({name}), max({name}) FROM tissues")) == "[(0.0, nan)]"
    assert ask(lake, "SELECT patient_id FROM tissues ORDER BY tissue_id") == [(None,), ("0",), (None,), ("1",)]


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("columns", "channels", "message"),
    [
        ({"a": [True], "b": [True], "tissue_id": ["t"]}, ["a"], "'b' is in channels_per_tissue"),
        ({"a": [True], "tissue_id": ["t"]}, ["a", "b"], "'b' is in channels.parquet but not"),
        ({"SMA": [True], "tissue_id": ["t"]}, ["sma"], "contradictions"),
        ({"a": [True], "tissue_id": ["t"]}, ["a", "a"], "'a' is in channels.parquet 2 times"),
        ({"a": [True, False], "tissue_id": ["t", "t"]}, ["a"], "'t' has 2 rows"),
        ({"a": pa.array([None], pa.bool_()), "tissue_id": ["t"]}, ["a"], "'t' has nulls"),
        ({"a": [float("nan")], "tissue_id": ["t"]}, ["a"], "'t' has nulls"),
        ({"a": pa.nulls(1), "tissue_id": ["t"]}, ["a"], "'t' has nulls"),
        ({"a": ["yes"], "tissue_id": ["t"]}, ["a"], "channel 'a' is VARCHAR"),
        ({"a": [True], "tissue_id": pa.array([None], pa.string())}, ["a"], "missing tissue_id"),
    ],
)
def test_contradictions_of_panels_are_named_when_they_matter(tmp_path, columns, channels, message):
    lake = tissues(panel(tmp_path, columns, channels=channels), d={"tissue_id": ["t"], "x": [1]})
    with Catalog(lake) as catalog:
        assert catalog.sql("SELECT x FROM tissues").fetchall() == [(1,)]
        for _ in range(2):
            with pytest.raises(TableError, match=message):
                catalog.sql("SELECT * FROM tissue_channels")
        with pytest.raises(TableError, match=message):
            catalog.check_channels("imc")
        if "VARCHAR" not in message:
            catalog.check_channels("codex")


def test_a_panel_alone_contradicts_nothing(tmp_path):
    panel(tmp_path, {"a": [True], "tissue_id": ["t"]})
    (tmp_path / "d/imc/channels_per_tissue.parquet").unlink()
    assert ask(tmp_path, "SELECT * FROM tissue_channels") == []
    assert ask(tmp_path, "SELECT channel_name FROM channels") == [("a",)]


def test_modalities_are_spelled_as_their_folders(tmp_path):
    for name in ("cycif", "he", "ihc/ihc_Ki67"):
        (tmp_path / "d" / name / "1_0mpp/images").mkdir(parents=True)
    given_names = ["CYCIF", " he ", "IHC_KI67", "ihc_CD3", "Cycif"]
    tissues(tmp_path, d={"tissue_id": list("abcde"), "modality": given_names})
    found = ask(tmp_path, "SELECT modality FROM tissues ORDER BY tissue_id")
    assert found == [("cycif",), ("he",), ("ihc_Ki67",), ("ihc_cd3",), ("cycif",)]


def with_images(lake: Path, **of: list[str]) -> Path:
    for modality, ids in of.items():
        folder = lake / "d" / modality / "1_0mpp/images"
        folder.mkdir(parents=True)
        for tissue in ids:
            (folder / f"{tissue}.ome.tiff").touch()
    return lake


@pytest.mark.parametrize(
    "table",
    [
        {"tissue_id": ["a", "b", "c"], "x": [1, 2, 3]},
        {"tissue_id": ["a", "a", "b", "b", "c"], "x": [1, 1, 2, 2, 3]},
        {"tissue_id": ["a", "b", "c"], "x": [1, 2, 3], "modality": pa.nulls(3)},
    ],
)
def test_a_tissue_without_modality_stands_for_those_it_has_images_of(tmp_path, table):
    lake = tissues(with_images(tmp_path, he=["a", "b"], imc=["a"]), d=table)
    found = ask(lake, "SELECT tissue_id, modality, x FROM tissues ORDER BY ALL")
    assert found == [("a", "he", 1), ("a", "imc", 1), ("b", "he", 2), ("c", None, 3)]


def test_tissue_rows_repeated_per_modality_do_not_multiply_tiles(tmp_path):
    lake = tissues(
        with_images(tmp_path, he=["a"], imc=["a"]),
        d={"tissue_id": ["a", "a"], "modality": ["he", "IMC"], "x": [1, 2], "row": [7, 7], "path": ["p", "p"]},
    )
    write(
        lake / "d/tiling/1_0mpp/default/64_tile_coordinates.parquet",
        pd.DataFrame({"index": [4], "tissue_id": ["a"], "tile_id": [0], "row": [5], "col": [6]}),
    )
    found = ask(lake, 'SELECT modality, tile_id, "row", col, x, path FROM tiles ORDER BY 1')
    paths = [f"d/{name}/1_0mpp/images/a.ome.tiff" for name in ("he", "imc")]
    assert found == [("he", 0, 5, 6, 1, paths[0]), ("imc", 0, 5, 6, 2, paths[1])]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"tissue_id": ["a", "a"], "modality": ["he", "HE"]}, "'a' has 2 rows"),
        ({"tissue_id": ["../../x"], "modality": ["he"]}, "refused"),
        ({"tissue_id": ["/etc/passwd"], "modality": ["he"]}, "refused"),
        ({"tissue_id": ["a\\b"], "modality": ["he"]}, "refused"),
        ({"tissue_id": [""], "modality": ["he"]}, "refused"),
        ({"tissue_id": pa.array([None], pa.string()), "modality": ["he"]}, "missing tissue_id"),
    ],
)
def test_hostile_or_repeated_tissues_are_refused(tmp_path, table, message):
    with pytest.raises(TableError, match=message):
        ask(tissues(tmp_path, d=table), "SELECT * FROM tiles")


def test_a_tile_of_a_tissue_outside_finds_no_image(tmp_path):
    lake = with_images(tmp_path, he=["a"])
    (tmp_path / "x.ome.tiff").touch()
    table = {"tissue_id": ["../../../../x", "a"], "tile_id": [0, 0], "row": [0, 0], "col": [0, 0]}
    write(lake / "d/tiling/1_0mpp/default/64_tile_coordinates.parquet", table)
    assert ask(lake, "SELECT tissue_id FROM tiles") == [("a",)]


NAMES = [
    "key=value",
    "quo'te",
    'dou"ble',
    "sp ace",
    "ünï",
    "st*r",
    "qu?st",
    "br[a]cket",
    "semi;colon",
    "--dash",
    "b\\s",
    "a]b",
]


def test_folder_names_are_taken_literally(tmp_path):
    for name in [*NAMES, "star", "quest", "bracket", "b"]:
        tissues(tmp_path, **{name: {"tissue_id": ["t"], "of": [name]}})
    assert ask(tmp_path, "SELECT dataset, of FROM tissues") == sorted(
        (name, name) for name in [*NAMES, "star", "quest", "bracket", "b"]
    )
    for name in NAMES:
        with Catalog(tmp_path / name) as catalog:
            assert catalog.sql("SELECT dataset, of FROM tissues").fetchall() == [(name, name)]
            assert "key" not in catalog.columns("tissues")


def test_a_folder_that_duckdb_cannot_name_is_an_error(tmp_path):
    tissues(tmp_path, **{"b\\[*": {"tissue_id": ["t"]}, "b[*": {"tissue_id": ["t"]}})
    with Catalog(tmp_path) as catalog:
        with pytest.raises(FileFormatError, match="Rename the folder"):
            catalog.sql("SELECT * FROM tissues")
        assert len(catalog.sql("SELECT * FROM datasets")) == 2


def test_folder_names_around_the_lake_are_taken_literally(tmp_path):
    for name in ("la[k]e", "l*", "lake", "lk"):
        tissues(tmp_path / name, d={"tissue_id": [name]})
    (tmp_path / "other").symlink_to(tmp_path / "l*")
    for name in ("la[k]e", "l*", "lake", "lk"):
        assert ask(tmp_path / name, "SELECT tissue_id FROM tissues") == [(name,)]
    assert ask(tmp_path / "other", "SELECT tissue_id FROM tissues") == [("l*",)]


def test_symbolic_links_out_of_the_lake_are_followed(tmp_path):
    tissues(tmp_path / "elsewhere", real={"tissue_id": ["t"]})
    write(tmp_path / "store/c.parquet", {"tissue_id": ["t"], "cell_id": [1]})
    lake = tmp_path / "lake"
    lake.mkdir()
    (lake / "linked").symlink_to(tmp_path / "elsewhere/real")
    (tmp_path / "elsewhere/real/metadata/cells.parquet").symlink_to(tmp_path / "store/c.parquet")
    assert ask(lake, "SELECT dataset, tissue_id FROM tissues") == [("linked", "t")]
    assert ask(lake, "SELECT dataset, cell_id FROM cells") == [("linked", 1)]


def test_literal_glob():
    assert literal_glob("/a/b c/d.parquet") == "/a/b c/d.parquet"
    assert literal_glob("/[a]*/?") == "/[[]a][*]/[?]"


def test_the_allowed_paths_are_those_given_and_what_they_resolve_to(tmp_path, monkeypatch):
    real, linked = tmp_path / "real", tmp_path / "linked"
    for name in ("metadata/cells.parquet", "metadata/tissues.parquet", "imc/[1].parquet"):
        write(real / name, {"tissue_id": ["t"]})
    linked.symlink_to(real)
    (real / "metadata/link.parquet").symlink_to(real / "metadata/../imc/[1].parquet")
    (real / "metadata/absent.parquet").symlink_to(tmp_path / "absent.parquet")
    (real / "metadata/circle.parquet").symlink_to(real / "metadata/circle.parquet")
    monkeypatch.chdir(real)
    names = ("cells", "tissues", "link", "absent", "circle", "no")
    files = [
        folder / f"metadata/{name}.parquet" for folder in (real, linked, Path(), Path("../linked")) for name in names
    ]
    files += [linked / "metadata/.." / "imc/[1].parquet", Path("cells.parquet"), Path("metadata")]
    forms = {form for path in files for form in (str(path), os.path.realpath(path))}
    allowed = duckdb.sql(f"SELECT unnest({path_list(files)})").fetchall()
    assert [path for (path,) in allowed] == sorted(forms | {literal_glob(form) for form in forms})


def statistics(lake: Path, spec: str = "uq_0.99_image", **tables: pa.Table | dict | pd.DataFrame) -> Path:
    for name, table in tables.items():
        write(lake / "d/imc/1_0mpp/standardization/quantile_clipping" / spec / f"{name}.parquet", table)
    return lake


def test_statistics_of_different_columns_are_aligned_by_name(tmp_path):
    lake = statistics(
        tmp_path,
        image_level_upper_quantiles={"SMA": [1.0, 2.0], "sma": [3.0, 4.0], "tissue_id": ["s", "t"]},
        image_level_lower_quantiles=pd.DataFrame({"sma": [0.3], "X": [0.5], "SMA": [None]}, index=pd.Index(["s"])),
        global_level_means={"sma": [9.0], "SMA": [8.0]},
        global_level_stds=pd.DataFrame({"SMA": [7.0], "sma": [6.0]}, index=pd.Index(["all"])),
    )
    found = ask(lake, "SELECT level, tissue_id, channel_name, lower, upper, mean, std FROM standardization_stats")
    assert sorted(found, key=repr) == sorted(
        [
            ("image", "s", "SMA", None, 1.0, None, None),
            ("image", "s", "sma", 0.3, 3.0, None, None),
            ("image", "s", "X", 0.5, None, None, None),
            ("image", "t", "SMA", None, 2.0, None, None),
            ("image", "t", "sma", None, 4.0, None, None),
            ("image", "t", "X", None, None, None, None),
            ("global", None, "SMA", None, None, 8.0, 7.0),
            ("global", None, "sma", None, None, 9.0, 6.0),
        ],
        key=repr,
    )


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"global_level_means": {"a": [1.0, 2.0]}}, "2 rows"),
        ({"global_level_means": {"a": pa.array([], pa.float64())}}, "0 rows"),
        ({"image_level_means": {"a": [1.0]}}, "no column 'tissue_id'"),
        ({"image_level_means": {"a": ["x"], "tissue_id": ["t"]}}, "channel 'a' is VARCHAR"),
    ],
)
def test_statistics_of_the_wrong_shape_are_refused(tmp_path, tables, message):
    (tmp_path / "d/metadata").mkdir(parents=True)
    with pytest.raises(TableError, match=message):
        ask(statistics(tmp_path, **tables), "SELECT * FROM standardization_stats")


def test_names_and_tile_columns_of_other_types(tmp_path):
    lake = with_images(tmp_path, he=["7"])
    table = pd.DataFrame({"tissue_id": [7.0], "tile_id": [0.0], "row": [5.0], "col": [6], "extra": ["x"]})
    write(lake / "d/tiling/1_0mpp/grid/64_tile_coordinates.parquet", table)
    with Catalog(lake) as catalog:
        answer = catalog.sql("SELECT * FROM tile_coordinates")
        assert answer.fetchall() == [("d", 1.0, "grid", 64, "7", 0, 5, 6)]
        assert answer.types[-3:] == ["BIGINT", "BIGINT", "BIGINT"]


def test_a_missing_tile_column_is_an_error(tmp_path):
    write(
        with_images(tmp_path, he=[]) / "d/tiling/1_0mpp/g/64_tile_coordinates.parquet", {"tissue_id": ["a"], "row": [0]}
    )
    with pytest.raises(TableError, match=r"64_tile_coordinates\.parquet has no column 'tile_id'"):
        ask(tmp_path, "SELECT * FROM tiles")


# --- broken files ---------------------------------------------------------------------------------------------------

BAD = {f"made: {name}": content for name, content in foreign_parquet()}
BAD |= {path.name: path for path in sorted((SHARED / "data/bad/bad-parquet-apache").rglob("*.parquet"))}


PLACES = {name: name for name in ("metadata/tissues.parquet", "imc/channels.parquet", "metadata/cells.parquet")}


@pytest.mark.some(3)
@pytest.mark.parametrize(("bad", "place"), pairs(BAD, PLACES))
def test_bad_files_are_named_and_spoil_nothing_else(tmp_path, bad, place):
    tissues(tmp_path, good={"tissue_id": ["t"]})
    panel(tmp_path, {"a": [True], "tissue_id": ["t"]})
    (tmp_path / "d" / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "d" / place).write_bytes(bad if isinstance(bad, bytes) else bad.read_bytes())
    relation = Path(place).stem
    with Catalog(tmp_path, memory_limit="200MB") as catalog:
        with pytest.raises((FileFormatError, TableError), match=Path(place).name):
            catalog.sql(f"SELECT * FROM {relation}").fetchall()
        assert catalog.sql("SELECT count(*) FROM datasets").fetchall() == [(2,)]
        assert catalog.sql("SELECT count(*) FROM channels_per_tissue").fetchall() == [(1,)]
        schema = catalog.schema().df()
    assert schema[schema.relation == relation].problem.str.contains(Path(place).name).all()


def broken_pages(path: Path, *, checksum: bool) -> None:
    """Write a file whose footer is right and whose pages are not."""
    n = 5000
    table = pa.table({"tissue_id": [f"t{i:05d}" for i in range(n)], "x": np.arange(n, dtype=np.float64)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd", write_page_checksum=checksum, use_dictionary=False)
    data = bytearray(path.read_bytes())
    for place in range(2000, 4000, 7):
        data[place] ^= 0x5A
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("checksum", [False, True])
def test_broken_pages_name_their_file(tmp_path, checksum):
    tissues(tmp_path, good={"tissue_id": ["t"], "x": [1.0]})
    broken_pages(tmp_path / "bad/metadata/cells.parquet", checksum=checksum)
    with Catalog(tmp_path, memory_limit="200MB") as catalog:
        with pytest.raises(FileFormatError, match=r"bad/metadata/cells\.parquet"):
            catalog.sql("SELECT * FROM cells").fetchall()
        assert catalog.sql("SELECT count(*) FROM tissues").fetchall() == [(1,)]


def test_a_page_that_fails_its_checksum_is_found_by_check(tmp_path):
    path = tmp_path / "d/metadata/cells.parquet"
    write(path, {"tissue_id": ["t"]})
    table = pa.table({"tissue_id": ["t"] * 9, "x": [2.0**-i for i in range(9)]})
    pq.write_table(table, path, compression="none", use_dictionary=False, write_page_checksum=True)
    with Catalog(tmp_path) as catalog:
        catalog.check()
        data = bytearray(path.read_bytes())
        place = bytes(data).index(np.float64(2.0**-5).tobytes())
        data[place] ^= 1
        path.write_bytes(bytes(data))
        with pytest.raises(FileFormatError, match=r"cells\.parquet"):
            catalog.check("cells")
        catalog.check("tissues")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", None])
def test_files_that_are_no_parquet_are_named(tmp_path, content):
    path = tmp_path / "d/metadata/tissues.parquet"
    path.parent.mkdir(parents=True)
    if content is None:
        path.symlink_to(tmp_path / "gone")
    else:
        path.write_bytes(content)
    with Catalog(tmp_path) as catalog:
        with pytest.raises(FileFormatError, match=r"tissues\.parquet"):
            catalog.sql("SELECT * FROM tiles")
        assert catalog.sql("SELECT dataset FROM datasets").fetchall() == [("d",)]


def test_values_that_do_not_fit_name_their_file(tmp_path):
    table = {"channel_name": ["a"], "qc_pass": ["maybe"], "uniprot_id": ["P1"]}
    write(tmp_path / "d/imc/channels.parquet", table)
    with pytest.raises(SporaError, match=r"imc/channels\.parquet"):
        ask(tmp_path, "SELECT * FROM channels")


def test_a_column_without_a_name_is_called_by_its_position(tmp_path):
    table = {"tissue_id": ["a"], "modality": ["he"], "": [3], "column_3": [9]}
    lake = tissues(with_images(tmp_path, he=["a"]), d=table)
    assert ask(lake, "SELECT column_2, column_3 FROM tissues") == [(3, 9)]
    with Catalog(lake) as catalog:
        told = [row for row in catalog.schema().fetchall() if row[1] == "column_2"]
    assert told == [(name, "column_2", "BIGINT", "d: BIGINT ''", None, str(lake)) for name in ("tissues", "tiles")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SELECT 1 FROM tissues WHERE grade > 1", True),
        ("SELECT sum(Grade) FROM tissues", True),
        ("SELECT 1 FROM tissues WHERE tissue_id > 1", False),
        ("SELECT avg(tissue_id) AS grades FROM tissues", False),
    ],
)
def test_types_that_clash_because_cohorts_differ_are_explained(tmp_path, text, said):
    lake = tissues(
        tmp_path,
        a={"tissue_id": ["1"], "grade": [2.0]},
        b={"tissue_id": ["2"], "grade": ["G3"]},
        c={"tissue_id": ["3"], "grade": pa.nulls(1)},
    )
    with pytest.raises(QueryError, match="VARCHAR") as caught:
        ask(lake, text)
    told = (
        "Cohorts have 'grade' in different types (a: DOUBLE, b: VARCHAR, c: NULL): write TRY_CAST(\"grade\" AS DOUBLE)."
    )
    assert (told in str(caught.value)) == said
    assert "Candidate" not in str(caught.value)
    assert ".." not in str(caught.value)


def image_of(lake: Path, name: str) -> None:
    """Put a file into a cohort that is listed as an image and never opened."""
    (lake / name / "imc/1_0mpp/images").mkdir(parents=True)
    (lake / name / "imc/1_0mpp/images/1.ome.tiff").touch()


def test_a_condition_on_such_a_column_is_explained_too(tmp_path):
    lake = tissues(tmp_path, a={"tissue_id": ["1"], "grade": [2.0]}, b={"tissue_id": ["2"], "grade": ["G3"]})
    image_of(lake, "a")
    with pytest.raises(QueryError, match=r"write TRY_CAST\(\"grade\" AS DOUBLE\)"):
        SporaQuery(lake).modality("imc").tissues(mpp=1.0).where("grade > 1").count()


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ('SELECT 1 FROM tissues WHERE x = "LUAD"', UnknownNameError, "For text write 'LUAD' in single quotes."),
        ("SELECT 1 FROM tissues WHERE x = LUAD", UnknownNameError, "Available: .*x. For text write 'LUAD' in"),
        ("SELECT 1 FROM tissues WHERE x IN ('A', LUAD)", UnknownNameError, "For text write 'LUAD' in single quotes."),
        ("SELECT 1 FROM tissues WHERE xx > 1", UnknownNameError, "Available: .*x.$"),
        ("SELECT has_any_markers(dataset) FROM tissues", QueryError, "allowed. Did you mean 'has_any_marker' or"),
        ("SELEC x FROM tissues", QueryError, "Did you mean SELECT"),
        ("DELETE FROM tissues", QueryError, r"no SELECT \(delete\)(?s:.*)A query is one SELECT"),
        ("SELECT n_markers(dataset, modality, tissue_id, 'CD3') FROM images", QueryError, r"such as \['CD3e'\]"),
    ],
)
def test_common_slips_get_an_answer(tmp_path, caplog, text, error, words):
    with pytest.raises(error, match=words):
        ask(tissues(tmp_path, a=FRAME), text)
    assert not caplog.records


def test_quoted_text_in_a_condition_gets_an_answer(tmp_path):
    lake = tissues(tmp_path, a=FRAME)
    image_of(lake, "a")
    with pytest.raises(UnknownNameError, match="For text write 'LUAD' in single quotes"):
        SporaQuery(lake).modality("imc").tissues(mpp=1.0).where('x = "LUAD"').count()
    with pytest.raises(QueryError, match="Did you mean 'has_all_markers'"):
        SporaQuery(lake).modality("imc").tissues(mpp=1.0).where("has_all_marker(dataset)").count()
