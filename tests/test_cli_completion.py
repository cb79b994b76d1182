"""What Tab offers in the shell, as tables: what stands before the cursor, what behind it, what is offered."""

from pathlib import Path

import pytest

from lakes import write_lake
from spora_db.asking.completion import After, Completer
from spora_db.catalog import VIEWS, Catalog


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("completion") / "lake", tissues=3)


@pytest.mark.some(4)
@pytest.mark.parametrize(
    ("buffer", "word", "expected"),
    [
        (".ta", ".ta", [".tables"]),
        (".schema ima", "ima", ["images"]),
        (".timing o", "o", ["off", "on"]),
        (".tables x", "x", []),
        ("SELECT * FROM tile_", "tile_", ["tile_coordinates", "tile_stats"]),
        ("SELECT canc", "canc", ["cancer_type"]),
        ("SELECT * FROM canc", "canc", []),
        (".explain SELECT canc", "canc", ["cancer_type"]),
        (".explain SELECT * FROM tissues WHERE canc", "canc", ["cancer_type"]),
        (
            "WITH big AS (SELECT 1), bigger(a, b) AS MATERIALIZED (SELECT 2, 3) SELECT * FROM bi",
            "bi",
            ["big", "bigger"],
        ),
        ("WITH RECURSIVE big AS (SELECT 1) SELECT * FROM bi", "bi", ["big"]),
        ("SELECT * FROM tissues\nWHERE canc", "canc", ["cancer_type"]),
        ("SELECT * FROM tissues WHERE x", "x", ['"X..spots"', "xor("]),
        ("SELECT * FROM tissues AS t WHERE t.X", "t.X", ['t."X..spots"']),
        ("SELECT * FROM tissues t WHERE t.pat", "t.pat", ["t.patient_id"]),
        ("SELECT tiles.ro", "tiles.ro", ['tiles."row"']),
        ("SELECT u.ro", "u.ro", []),
        ("SELECT regexp_f", "regexp_f", ["regexp_full_match("]),
        ("SELEC", "SELEC", ["SELECT"]),
        ("select 1 from", "whe", ["WHEN", "WHERE"]),
        ("WITH c AS (SELECT dataset AS dd FROM tiles) SELECT c.d", "c.d", ["c.dd"]),
        ("WITH c AS (SELECT age AS \"a)b\", ')' FROM tissues) SELECT c.a", "c.a", ['c."a)b"']),
        ("WITH c AS (SELECT 1 AS qq), d(rr) AS (SELECT qq FROM c) SELECT k.r", "k.r", []),
        ("WITH c AS (SELECT 1 AS qq), d(rr) AS (SELECT qq FROM c) SELECT * FROM d AS k WHERE k.r", "k.r", ["k.rr"]),
        ("WITH RECURSIVE r AS (SELECT 1 AS nn UNION ALL SELECT nn + 1 FROM r) SELECT r.", "r.", ["r.nn"]),
        ("WITH tiles AS (SELECT 1 AS qq FROM tiles) SELECT tiles.", "tiles.", ["tiles.qq"]),
        ("WITH b AS (SELECT nope FROM tiles), c AS (SELECT 1 AS qq) SELECT c.", "c.", ["c.qq"]),
        ("WITH b AS (SELECT nope FROM tiles) SELECT b.", "b.", []),
        ("SELECT * FROM (SELECT * FROM tiles) x WHERE x.ti", "x.ti", ["x.tile_id", "x.tile_size", "x.tissue_id"]),
        ("SELECT * FROM tiles JOIN (SELECT 1 AS qq) AS x(zz) ON x.", "x.", ["x.zz"]),
        ("WITH c AS (SELECT 1 AS quux) SELECT quu", "quu", ["quux"]),
        ("SELECT ))((.", "((.", []),
    ],
)
def test_completion(lake, buffer, word, expected):
    with Catalog(lake) as catalog:
        after = {".tables": (), ".schema": catalog.relations, ".timing": ("on", "off"), ".explain": After.STATEMENT}
        assert Completer(catalog, lambda: after).candidates(buffer, word) == expected


@pytest.mark.parametrize(
    ("before", "word", "after", "expected"),
    [
        ("SELECT pat", "pat", " FROM tissues", ["patient_id"]),
        ("SELECT path", "path", " FROM tissues", []),
        ("SELECT path", "path", " FROM tissues; SELECT * FROM images", []),
        ("SELECT * FROM images; SELECT path", "path", " FROM tissues", []),
        ("SELECT path", "path", " FROM images", ["path"]),
        ("SELECT t.can", "t.can", " FROM tissues AS t", ["t.cancer_type"]),
        (".explain SELECT t.can", "t.can", " FROM tissues AS t", ["t.cancer_type"]),
        ("SELECT x.tile", "x.tile", " FROM (SELECT * FROM tiles) x", ["x.tile_id", "x.tile_size"]),
        ("WITH a AS (SELECT 1) SELECT * FROM ", "", " WHERE 1 = 1", [*sorted([*VIEWS, "a"])]),
    ],
)
def test_completion_reads_on_behind_the_cursor(lake, before, word, after, expected):
    with Catalog(lake) as catalog:
        completer = Completer(catalog, lambda: {".explain": After.STATEMENT})
        assert completer.candidates(before, word, after=after) == expected


@pytest.mark.parametrize(
    ("typed", "word", "expected"),
    [
        ("FOLDER/ti", "ti", ["tiles.csv", "tissues/"]),
        ("FOLDER/", "", ["my-answer.csv", "tiles.csv", "tissues/"]),
        ("FOLDER/my-an", "an", ["answer.csv"]),
        ("FOLDER/.h", ".h", [".hidden"]),
        ("FOLDER/absent/x", "x", []),
    ],
)
def test_save_completes_files(tmp_path, typed, word, expected):
    (tmp_path / "tissues").mkdir()
    for name in ("tiles.csv", "my-answer.csv", ".hidden"):
        (tmp_path / name).touch()
    (tmp_path / "lake/alpha/imc/1_0mpp/images").mkdir(parents=True)
    with Catalog(tmp_path / "lake") as catalog:
        (tmp_path / "lake").rename(tmp_path / ".lake")
        completer = Completer(catalog, lambda: {".save": After.FILE})
        assert completer.candidates(f".save {typed.replace('FOLDER', str(tmp_path))}", word) == expected


def test_completion_survives_a_broken_file(tmp_path):
    lake = write_lake(tmp_path / "lake", names=("alpha",), tissues=1)
    (lake / "alpha/metadata/tissues.parquet").write_bytes(b"broken")
    with Catalog(lake) as catalog:
        assert Completer(catalog, dict).candidates("SELECT * FROM tissues WHERE canc", "canc") == []
