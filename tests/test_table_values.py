"""Values in tables that are easily taken for others: times, truth values, tiles, long numbers, NaN, spellings."""

import base64
import datetime
import itertools
import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest

from spora_db import Catalog, SporaQuery
from spora_db.catalog.sql_files import sql_text
from spora_db.errors import FileFormatError, TableError
from spora_db.validation import validate

NAN = float("nan")


def write(path: Path, table: pa.Table | dict | pd.DataFrame) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = pa.Table.from_pandas(table) if isinstance(table, pd.DataFrame) else pa.table(table)
    pq.write_table(whole, path)
    return path


def tissues(lake: Path, **cohorts: pa.Table | dict | pd.DataFrame) -> Path:
    for name, table in cohorts.items():
        write(lake / name / "metadata/tissues.parquet", table)
    return lake


def ask(lake: Path, text: str) -> list[tuple]:
    with Catalog(lake) as catalog:
        return catalog.sql(text).fetchall()


# --- times ----------------------------------------------------------------------------------------------------------

ZONES = ("UTC", "America/New_York", "Asia/Kathmandu")
CHILD = """
import json, sys
from spora_db import Catalog, SporaQuery
lake = sys.argv[1]
query = SporaQuery(lake).modality("he").tiles(size=64, mpp=1.0).select("scanned_at")
query = query.where("scanned_at >= '2020-07-01' AND scanned_at < '2020-07-02'")
with Catalog(lake, threads=int(sys.argv[2])) as catalog:
    rows = catalog.sql('''
        SELECT tissue_id, CAST(scanned_at AS DATE)::VARCHAR AS day, scanned_at::VARCHAR AS text, naive, zoned,
            date_trunc('day', scanned_at)::VARCHAR AS start, strftime(scanned_at, '%c %z') AS said,
            hour(scanned_at) AS hour
        FROM tissues ORDER BY ALL
    ''')
    table = rows.arrow()
    answers = [repr(rows.fetchall()), str(table.to_pydict()), str(table.schema), rows.df().to_csv(), repr(rows)]
    answers.append(catalog.ddl().split("CREATE")[0])
answers += [query.count(), query.plan().hash, query.df().to_csv(), str(query.to_arrow()["scanned_at"]), query.sql()]
json.dump(answers, sys.stdout)
"""


@pytest.fixture(scope="module")
def timed(tmp_path_factory):
    lake = tmp_path_factory.mktemp("times") / "lake"
    moments = [datetime.datetime(2020, 7, 1, 1), datetime.datetime(2020, 7, 1, 22), datetime.datetime(2020, 7, 2, 1)]
    zoned = pa.array(moments, pa.timestamp("us", "Asia/Tokyo"))
    for cohort, naive in (("a", pa.array(moments, pa.timestamp("us"))), ("b", pa.array([m.date() for m in moments]))):
        both = zoned if cohort == "a" else pa.array(moments, pa.timestamp("us"))
        tissues(lake, **{cohort: {"tissue_id": list("xyz"), "scanned_at": zoned, "naive": naive, "zoned": both}})
        (lake / cohort / "he/1_0mpp/images").mkdir(parents=True)
        for tissue in "xyz":
            (lake / cohort / f"he/1_0mpp/images/{tissue}.ome.tiff").write_bytes(b"")
        tiles = {"tissue_id": list("xyz"), "tile_id": [0] * 3, "row": [0] * 3, "col": [0] * 3}
        write(lake / cohort / "tiling/1_0mpp/default/64_tile_coordinates.parquet", tiles)
    return lake


@pytest.mark.slow
def test_one_answer_under_every_time_zone_hash_seed_and_number_of_threads(timed):
    answers = []
    for zone, seed, threads in zip(ZONES, ("0", "1", "2"), ("1", "2", "3"), strict=True):
        settings = {**os.environ, "TZ": zone, "PYTHONHASHSEED": seed, "LC_ALL": "C.UTF-8"}
        settings["PYTHONPATH"] = str(Path(__file__).parents[1])
        command = [sys.executable, "-c", CHILD, str(timed), threads]
        done = subprocess.run(command, env=settings, capture_output=True, text=True, check=True)
        answers.append(json.loads(done.stdout))
    for answer in answers[1:]:
        assert answer == answers[0]
    assert answers[0][6] == 4
    assert "2020-07-01 22:00:00+00" in answers[0][0]


def test_the_script_for_spark_sets_the_same_zone_and_knows_every_word_of_a_source(tmp_path):
    flags = {"channel_name": ["A", "B"], "qc_pass": [1.0, NAN], "is_nuclear_marker": ["true", "no"]}
    lake = tiled(tmp_path, row=["0", "1"], tile_id=[0.0, 1.0])
    write(lake / "a/imc/channels.parquet", flags)
    write(lake / "a/imc/channels_per_tissue.parquet", {"A": [1], "B": [0.0], "tissue_id": ["t"]})
    tissues(lake, b={"tissue_id": ["t"], "x": [[1.5]], "m": [datetime.date(2020, 1, 1)], "long": [LONG]})
    moment = pa.array([datetime.datetime(2020, 1, 1)], pa.timestamp("ns"))
    tissues(lake, c={"tissue_id": ["t"], "x": [[2]], "m": moment, "long": [1.5]})
    with Catalog(lake) as catalog:
        script = catalog.ddl(dialect="spark")
    assert "SET spark.sql.session.timeZone = UTC" in script
    assert "RAISE_ERROR" in script.upper()
    assert "TRY(" not in script.upper()


def test_the_script_of_a_lake_sets_the_same_zone(timed):
    with Catalog(timed) as catalog, duckdb.connect() as bare:
        bare.execute("SET TimeZone = 'Asia/Tokyo'")
        bare.execute(catalog.ddl())
        text = "SELECT scanned_at::VARCHAR, CAST(scanned_at AS DATE) FROM tissues ORDER BY ALL"
        assert bare.execute(text).fetchall() == catalog.sql(text).fetchall()


def test_a_time_that_another_cohorts_type_does_not_reach_is_an_error(tmp_path):
    far = pa.array([datetime.date(2020, 1, 1), datetime.date(9999, 12, 31)])
    near = pa.array([datetime.datetime(2020, 1, 1)], pa.timestamp("ns"))
    lake = tissues(tmp_path, a={"tissue_id": ["s", "t"], "until": far}, b={"tissue_id": ["s"], "until": near})
    message = r"The column 'until' of a/metadata/tissues\.parquet holds 9999-12-31; expected 1677 to 2262"
    with pytest.raises(TableError, match=message):
        ask(lake, "SELECT until FROM tissues")


@pytest.mark.parametrize(("unit", "kind"), [("us", "BIGINT"), ("ns", "VARCHAR")])
def test_durations_of_two_units_are_no_numbers_to_compare(tmp_path, unit, kind):
    hour = datetime.timedelta(hours=1)
    first, second = (pa.array([hour], pa.duration(unit)) for unit in ("us", unit))
    lake = tissues(tmp_path, a={"tissue_id": ["s"], "took": first}, b={"tissue_id": ["s"], "took": second})
    with Catalog(lake) as catalog:
        assert catalog.column_types("tissues")["took"] == kind
    assert [item.rule for item in validate(lake) if "duration[us], b: duration[ns]" in item.reason] == [
        "column_kinds"
    ] * (kind == "VARCHAR")


# --- truth values ---------------------------------------------------------------------------------------------------

TRUTHS = {
    "float with NaN": (pa.array([1.0, NAN, 0.0, None]), [True, None, False, None]),
    "half floats": (pa.array(np.array([1, np.nan], np.float16)), [True, None]),
    "bytes": (pa.array([1, 0], pa.uint8()), [True, False]),
    "decimal": (pa.array([Decimal(1), Decimal(0), None]), [True, False, None]),
    "text": (pa.array(["True", "false", "yes", "0", None]), [True, False, True, False, None]),
    "nothing": (pa.nulls(2), [None, None]),
}
NO_TRUTHS = {
    "two": ([1, 2], "2"),
    "negative": ([-1], "-1"),
    "between": ([0.5], "0.5"),
    "infinite": ([float("inf")], "inf"),
    "PASS": (["PASS", "FAIL"], "'PASS'"),
    "categories": (pa.array(["PASS"]).dictionary_encode(), "'PASS'"),
    "empty": ([""], "''"),
    "nan as text": (["nan"], "'nan'"),
    "decimal": ([Decimal("0.5")], r"0?\.5"),
    "bytes": ([b"1"], "BLOB"),
    "list": ([[True]], r"BOOLEAN\[\]"),
    "date": ([datetime.date(2020, 1, 1)], "DATE"),
}


def panel(lake: Path, flags: pa.Array | list, *, column: str = "qc_pass", measured: pa.Array | None = None) -> Path:
    names = [f"c{number}" for number in range(len(flags))]
    other = {name: [True] * len(flags) for name in ("qc_pass", "is_nuclear_marker")}
    columns = {"channel_name": names, "uniprot_id": ["P07766"] * len(flags)}
    write(lake / "a/imc/channels.parquet", {**columns, **other, column: flags})
    row = {name: [True] if measured is None else measured.slice(at, 1) for at, name in enumerate(names)}
    write(lake / "a/imc/channels_per_tissue.parquet", {**row, "tissue_id": ["t"]})
    (lake / "a/imc/1_0mpp/images").mkdir(parents=True, exist_ok=True)
    (lake / "a/imc/1_0mpp/images/t.ome.tiff").write_bytes(b"")
    return tissues(lake, a={"tissue_id": ["t"], "modality": ["imc"]})


@pytest.mark.some(3)
@pytest.mark.parametrize("column", ["qc_pass", "is_nuclear_marker"])
@pytest.mark.parametrize(("flags", "expected"), TRUTHS.values(), ids=TRUTHS)
def test_what_is_not_known_is_no_truth_value(tmp_path, column, flags, expected):
    lake = panel(tmp_path, flags, column=column)
    for relation in ("channels", "tissue_channels"):
        assert ask(lake, f"SELECT {column} FROM {relation} ORDER BY channel_index") == [(flag,) for flag in expected]
    if column == "qc_pass":
        chosen = ask(lake, "SELECT channel_name FROM tissue_channels WHERE in_qc_filtered ORDER BY channel_index")
        assert chosen == [(f"c{at}",) for at, flag in enumerate(expected) if flag]


@pytest.mark.some(4)
@pytest.mark.parametrize("column", ["qc_pass", "is_nuclear_marker"])
@pytest.mark.parametrize(("flags", "said"), NO_TRUTHS.values(), ids=NO_TRUTHS)
def test_what_is_no_truth_value_is_an_error_that_names_it(tmp_path, column, flags, said):
    lake = panel(tmp_path, flags, column=column)
    message = rf"The column '{column}' of a/imc/channels\.parquet (holds|is) {said}; expected true or false .* Write"
    with pytest.raises(TableError, match=message):
        ask(lake, "SELECT * FROM tissue_channels")


@pytest.mark.parametrize(
    "values", [[1, 2, 0], [1, -1, 0], [1.0, 0.5, 0.0], [1.0, float("inf"), NAN]], ids=["two", "negative", "half", "inf"]
)
def test_measured_is_no_other_number_either(tmp_path, values):
    lake = panel(tmp_path, [True] * 3, measured=pa.array(values))
    message = r"The column 'c1' of .*channels_per_tissue\.parquet holds \S+; expected true or false"
    for text in ("SELECT * FROM channels_per_tissue", "SELECT * FROM tissue_channels", "SELECT * FROM markers"):
        with pytest.raises(TableError, match=message):
            ask(lake, text)


@pytest.mark.parametrize(
    ("values", "kind"), [(["true"] * 2, "VARCHAR"), ([Decimal("1.0"), Decimal("0.5")], r"DECIMAL\(2, 1\)")]
)
def test_a_channel_of_another_type_says_what_is_expected(tmp_path, values, kind):
    lake = panel(tmp_path, [True] * 2, measured=pa.array(values))
    message = rf"channels_per_tissue\.parquet: channel 'c0' is {kind}; expected truth values .*Write the column as such"
    with pytest.raises(TableError, match=message):
        ask(lake, "FROM channels_per_tissue")


# --- tiles ----------------------------------------------------------------------------------------------------------

ODD_TILES = {
    "fraction": ({"col": [0.0, 64.6]}, "'col' of .* holds 64.6; expected whole numbers"),
    "fractional id": ({"tile_id": [0.0, 0.4]}, "'tile_id' of .* holds 0.4"),
    "NaN": ({"tile_id": [0.0, NAN]}, r"'t' has 1 rows without tile_id \(null or NaN\)"),
    "null": ({"row": pa.array([0, None])}, "'t' has 1 tiles without row or col"),
    "infinite": ({"row": [0.0, float("inf")]}, "'row' of .* holds inf"),
    "text": ({"row": ["0", "1.6"]}, "'row' of .* holds '1.6'"),
    "underscores": ({"tile_id": ["0", "1_1"]}, "'tile_id' of .* holds '1_1'"),
    "truth values": ({"tile_id": [False, True]}, "'tile_id' of .* holds false"),
    "beyond 64 bits": ({"tile_id": pa.array([0, 2**63], pa.uint64())}, "'tile_id' of .* holds 9223372036854775808"),
    "negative": ({"row": [0, -64]}, "'t' has tile_id 1 at row -64, col 64"),
    "an id twice": ({"tile_id": [3, 3]}, "'t' has 2 rows with tile_id 3"),
    "a place twice": ({"col": [64, 64]}, "'t' has 2 tiles at row 0, col 64"),
    "no tissue": ({"tissue_id": pa.array(["t", None])}, "is a missing tissue_id of 1 tiles"),
}


def tiled(lake: Path, **columns: list | pa.Array) -> Path:
    table = {"tissue_id": ["t", "t"], "tile_id": [0, 1], "row": [0, 0], "col": [0, 64]} | columns
    write(lake / "a/tiling/1_0mpp/default/64_tile_coordinates.parquet", table)
    (lake / "a/he/1_0mpp/images").mkdir(parents=True, exist_ok=True)
    (lake / "a/he/1_0mpp/images/t.ome.tiff").write_bytes(b"")
    return tissues(lake, a={"tissue_id": ["t"]})


@pytest.mark.some(4)
@pytest.mark.parametrize(("columns", "message"), ODD_TILES.values(), ids=ODD_TILES)
def test_a_wrong_tile_is_an_error_at_first_use(tmp_path, columns, message):
    lake = tiled(tmp_path, **columns)
    query = SporaQuery(lake).modality("he").tiles(size=64, mpp=1.0)
    for use in (query.count, query.plan, lambda: ask(lake, 'SELECT tile_id, "row", col FROM tiles')):
        with pytest.raises(TableError, match=rf"(?s){message}.*64_tile_coordinates\.parquet|{message}"):
            use()


@pytest.mark.some(3)
@pytest.mark.parametrize(
    "kind", [pa.int8(), pa.uint64(), pa.float32(), pa.float64(), pa.string(), pa.decimal128(21, 2)]
)
def test_whole_numbers_of_tiles_may_be_stored_as_any_numbers(tmp_path, kind):
    numbers = {name: pa.array([0, 1]).cast(kind) for name in ("tile_id", "row", "col")}
    assert ask(tiled(tmp_path, **numbers), 'SELECT tile_id, "row", col FROM tiles ORDER BY 1') == [(0, 0, 0), (1, 1, 1)]


@pytest.mark.parametrize("spread", [1, 3], ids=["ids that count from 0", "ids with gaps"])
@pytest.mark.parametrize("again", [(), ("tile_id",), ("row", "col")], ids=["right", "an id twice", "a place twice"])
def test_tiles_are_checked_as_pandas_finds_repetitions(spread, again):
    rng = np.random.default_rng(spread)
    counts = rng.integers(1, 40, 12)
    tiles = pd.DataFrame(
        {
            "tissue_id": np.repeat([f"t{i}" for i in range(12)], counts),
            "tile_id": np.concatenate(list(map(np.arange, counts))),
        }
    )
    tiles = tiles.assign(tile_id=tiles.tile_id * spread, row=tiles.tile_id // 5, col=tiles.tile_id % 5)
    tiles = tiles.sample(frac=1, random_state=1).reset_index(drop=True)
    big = tiles.index[tiles.tissue_id == f"t{counts.argmax()}"]
    for column in again:
        tiles.loc[big[0], column] = tiles.loc[big[1], column]
    tiles = tiles.assign(dataset="a", mpp=1.0, strategy="default", tile_size=64)
    with duckdb.connect() as connection:
        connection.from_arrow(pa.Table.from_pandas(tiles)).create("source_tile_coordinates")
        found = connection.sql(sql_text("checks", "tile_rows").rstrip().removesuffix(";")).fetchall()
    repeated = {
        name
        for keys in (["tile_id"], ["row", "col"])
        for name in tiles.tissue_id[tiles.duplicated(["tissue_id", *keys])]
    }
    assert {row[2] for row in found} == repeated
    assert bool(repeated) == bool(again)


def test_one_place_in_two_tissues_and_two_tilings_is_no_repetition(tmp_path):
    lake = tiled(tmp_path, tissue_id=["t", "u"], tile_id=[0, 0], col=[0, 0])
    path = lake / "a/tiling/1_0mpp/default/64_tile_coordinates.parquet"
    write(lake / "a/tiling/1_0mpp/grid/64_tile_coordinates.parquet", pq.read_table(path))
    write(lake / "a/tiling/1_0mpp/default/32_tile_coordinates.parquet", pq.read_table(path))
    assert ask(lake, "SELECT count(*) FROM tile_coordinates") == [(6,)]


def test_a_tile_id_beyond_32_bits_has_no_place_in_a_plan(tmp_path):
    lake = tiled(tmp_path, tile_id=[0, 2**40])
    assert ask(lake, "SELECT max(tile_id) FROM tiles") == [(2**40,)]
    with pytest.raises(TableError, match="no tile_id, or one beyond 32 bits"):
        SporaQuery(lake).modality("he").tiles(size=64, mpp=1.0).plan()


# --- spellings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(itertools.permutations(["tissue_id", "Tissue_ID", "TISSUE_ID"])), ids="-".join)
def test_the_exact_spelling_of_a_key_wins_wherever_it_stands(tmp_path, order):
    values = {"tissue_id": ["a", "b"], "Tissue_ID": ["Block 1", "Block 2"], "TISSUE_ID": [1, 2]}
    lake = tissues(tmp_path, d={name: values[name] for name in order})
    assert ask(lake, "SELECT tissue_id FROM tissues ORDER BY 1") == [("a",), ("b",)]


@pytest.mark.parametrize("name", ["patient_id", "split", "modality", "specimen_id"])
def test_so_does_that_of_every_column_of_the_layout(tmp_path, name):
    table = {"tissue_id": ["t"], name.upper(): ["other"], name: ["right"], name.title(): ["third"]}
    lake = tissues(tmp_path, d=table)
    assert ask(lake, f"SELECT {name}, {name}_2, {name}_3 FROM tissues") == [("right", "other", "third")]


def test_so_does_that_of_tiles_channels_and_wide_tables(tmp_path):
    lake = tiled(tmp_path, Row=[7.5, 7.5], row=[0, 0], COL=["x", "y"], Tile_ID=[NAN, NAN])
    assert ask(lake, 'SELECT tile_id, "row", col FROM tiles ORDER BY 1') == [(0, 0, 0), (1, 0, 64)]
    channels = {"QC_pass": ["?"], "Channel_Name": ["label"], "channel_name": ["A"], "qc_pass": [True]}
    write(lake / "a/imc/channels.parquet", channels)
    write(lake / "a/imc/channels_per_tissue.parquet", {"A": [True], "tissue_id": ["t"]})
    assert ask(lake, "SELECT channel_name, qc_pass FROM channels") == [("A", True)]


def test_two_columns_of_which_neither_is_spelled_exactly_are_an_error(tmp_path):
    lake = tissues(tmp_path, d={"Tissue_ID": ["a"], "TISSUE_ID": ["b"]})
    with pytest.raises(
        TableError, match=r"tissues\.parquet has several columns that may be 'tissue_id': 'Tissue_ID', "
    ):
        ask(lake, "SELECT * FROM tissues")


# --- numbers --------------------------------------------------------------------------------------------------------

LONG = 2**53 + 1


@pytest.mark.some(4)
@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize(
    ("first", "second", "kind", "answers"),
    [
        ([7], [1.5], "DOUBLE", [7.0, 1.5]),
        ([2**53], [1.5], "DOUBLE", [2.0**53, 1.5]),
        ([LONG], [1.5], "VARCHAR", [str(LONG), "1.5"]),
        ([-LONG], [170.0], "VARCHAR", [str(-LONG), "170"]),
        ([LONG], [NAN], "VARCHAR", [str(LONG), None]),
        (pa.array([2**64 - 1], pa.uint64()), [1.0], "VARCHAR", [str(2**64 - 1), "1"]),
        (pa.array([2**64 - 1], pa.uint64()), [-1], "HUGEINT", [2**64 - 1, -1]),
        (pa.array([2**64 - 1], pa.uint64()), pa.array([1], pa.uint8()), "UBIGINT", [2**64 - 1, 1]),
        ([LONG], [Decimal("1.25")], "DECIMAL(21,2)", [Decimal(LONG), Decimal("1.25")]),
        ([Decimal("1.25")], [0.5], "DOUBLE", [1.25, 0.5]),
        ([Decimal("12345678901234567.25")], [0.5], "VARCHAR", ["12345678901234567.25", "0.5"]),
        ([[LONG]], [[1.5]], "VARCHAR[]", [[str(LONG)], ["1.5"]]),
        ([[7]], [[1.5]], "DOUBLE[]", [[7.0], [1.5]]),
        ([{"k": LONG}], [{"k": 1.5}], "STRUCT(k VARCHAR)", [{"k": str(LONG)}, {"k": "1.5"}]),
    ],
)
def test_no_digit_of_a_long_number_is_lost(tmp_path, statistics, first, second, kind, answers):
    for cohort, values in (("a", first), ("b", second)):
        path = tmp_path / cohort / "metadata/tissues.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.table({"tissue_id": ["t"], "x": values}), path, write_statistics=statistics)
    with Catalog(tmp_path) as catalog:
        found = catalog.sql("SELECT x FROM tissues ORDER BY dataset")
        assert (found.types, found.fetchall()) == ([kind], [(answer,) for answer in answers])
    told = [item for item in validate(tmp_path) if item.rule == "column_kinds"]
    assert len(told) == ("VARCHAR" in kind)
    assert all("'x' of tissues is a: " in item.reason for item in told)


def test_a_dataframe_keeps_the_digits_of_long_numbers(tmp_path):
    numbers = {"a": pa.array([2**64 - 1, None], pa.uint64()), "b": pa.array([-1, LONG])}
    decimals = {"a": [Decimal("12345678901234567.25"), None], "b": [Decimal("0.50"), None]}
    lake = tissues(
        tmp_path, **{name: {"tissue_id": ["s", "t"], "x": numbers[name], "y": decimals[name]} for name in "ab"}
    )
    with Catalog(lake) as catalog:
        frame = catalog.sql("SELECT x, y, tissue_id FROM tissues ORDER BY dataset, tissue_id").df()
        short = catalog.sql("SELECT sum(1) AS n, 1.5::DECIMAL(20, 2) AS d FROM tissues").df()
    assert frame["x"].tolist() == [2**64 - 1, None, -1, LONG]
    assert frame["y"].tolist() == [Decimal("12345678901234567.25"), None, Decimal("0.50"), None]
    assert short.dtypes.tolist() == ["float64", "float64"]
    assert short.iloc[0].tolist() == [4.0, 1.5]


def test_identifiers_of_databases_are_text_without_a_point(tmp_path):
    ids = [Decimal("170.00"), Decimal("170.50"), None]
    lake = tissues(tmp_path, a={"tissue_id": list("stu"), "patient_id": ids})
    assert ask(lake, "SELECT patient_id FROM tissues ORDER BY tissue_id") == [("170",), ("170.50",), (None,)]


VALUES = [1.0, NAN, 2.0, None]


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("values", "place"),
    [
        ([{"k": value} for value in VALUES], "x.k"),
        ([{"a": {"k": value}} for value in VALUES], "x.a.k"),
        ([[value] for value in VALUES], "x[1]"),
        ([[[value]] for value in VALUES], "x[1][1]"),
        ([[{"k": value}] for value in VALUES], "x[1].k"),
        ([{"k": [value]} for value in VALUES], "x.k[1]"),
        (pa.array([[("k", value)] for value in VALUES], pa.map_(pa.string(), pa.float64())), "x['k']"),
        (pa.array([{"k": value} for value in VALUES], pa.struct({"k": pa.float32()})), "x.k"),
    ],
)
def test_nan_within_compares_as_on_its_own(tmp_path, values, place):
    lake = tissues(tmp_path, a={"tissue_id": list("abcn"), "x": values, "plain": pa.array(VALUES, from_pandas=False)})
    for condition in (
        "isnan({})",
        "NOT isnan({})",
        "{} > 2",
        "{} <= 2",
        "{} <> 1.5",
        "{} BETWEEN 0 AND 5",
        "{} IS NULL",
    ):
        own, within = (
            ask(lake, f"SELECT tissue_id FROM tissues WHERE {condition.format(name)} ORDER BY 1")
            for name in ("plain", place)
        )
        assert own == within, condition
    assert repr(ask(lake, f"SELECT max({place}) FROM tissues")) == "[(nan,)]"


# --- encryption -----------------------------------------------------------------------------------------------------


class Keys(pe.KmsClient):
    """Keys that are wrapped in a letter."""

    def __init__(self, _: object) -> None:
        super().__init__()

    def wrap_key(self, key: bytes, _: str) -> bytes:
        return base64.b64encode(b"x" + key)

    def unwrap_key(self, key: bytes, _: str) -> bytes:
        return base64.b64decode(key)[1:]


@pytest.mark.parametrize("plaintext_footer", [False, True])
def test_an_encrypted_file_is_not_sent_for_again(tmp_path, plaintext_footer):
    path = tmp_path / "d/metadata/tissues.parquet"
    path.parent.mkdir(parents=True)
    wanted = pe.EncryptionConfiguration(
        footer_key="f", column_keys={"k": ["secret"]}, plaintext_footer=plaintext_footer
    )
    keys = pe.CryptoFactory(Keys).file_encryption_properties(pe.KmsConnectionConfig(), wanted)
    table = pa.table({"tissue_id": ["t"], "secret": [1]})
    with pq.ParquetWriter(path, table.schema, encryption_properties=keys) as writer:
        writer.write_table(table)
    with pytest.raises(FileFormatError, match=r"tissues\.parquet is encrypted, .* Write it again without encryption\."):
        ask(tmp_path, "SELECT * FROM tissues")
    if not plaintext_footer:
        assert next(item.rule for item in validate(tmp_path) if "is encrypted" in item.reason) == "encrypted"
