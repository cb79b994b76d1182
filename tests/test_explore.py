"""The server behind `spora-db explore`, asked over HTTP: what it gives, compared with the lake; what it refuses."""

import errno
import json
import os
import shutil
import socket
import threading
import time
from collections import Counter
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from exploring import serving, serving_anew
from http_servers import relayed, slow_bucket
from lakes import write_lake
from spora_db import Catalog, SporaQuery
from spora_db.drawing.composite import contrast_limits
from spora_db.errors import ArgumentError
from spora_db.explore.limits import BODY_BYTES, CHANNELS
from spora_db.explore.near import Near
from spora_db.explore.opened import ListedImage, OpenedImage, shown_as
from spora_db.explore.queries import Asker, Queries
from spora_db.explore.serving import PageServer
from spora_db.files.shared_folder import SharedFolder
from spora_db.images import open_image, open_levels, read_region, write_omezarr
from spora_db.images.overviews import OverviewChoice
from spora_db.layout import lake_path
from spora_db.masks import load_label_mask

TILES = "SELECT dataset, tissue_id, modality, mpp, strategy, tile_size, tile_id, row, col FROM tiles"


@pytest.fixture(scope="module")
def lake(lake_of_examples):
    return lake_of_examples


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def client(lake, cache):
    with serving(lake) as found:
        yield found


@pytest.fixture(scope="module")
def images(client):
    return {
        (one["dataset"], one["modality"], one["tissue_id"]): one
        for one in client.ask("GET", "/api/images")[1]["images"]
    }


def own(lake, sql):
    with Catalog(lake) as catalog:
        return catalog.sql(sql).to_arrow_table()


def test_an_answer_is_that_of_the_catalog_page_by_page(client, lake):
    name, told = client.answered(f"{TILES} WHERE modality = 'imc' ORDER BY tissue_id, tile_id")
    expected = own(lake, f"{TILES} WHERE modality = 'imc' ORDER BY tissue_id, tile_id")
    assert (told["state"], told["rows"], told["more"]) == ("done", len(expected), False)
    assert [column["name"] for column in told["columns"]] == expected.column_names
    found = []
    for offset in range(0, len(expected), 7):
        found += client.ask("GET", f"/api/queries/{name}/rows?offset={offset}&rows=7")[1]["rows"]
    assert [row[6] for row in found] == [str(value) for value in expected["tile_id"].to_pylist()]
    col = expected["col"].to_numpy()
    page = client.ask("GET", f"/api/queries/{name}/rows?offset=0&rows=500&sort=8&descending=1")[1]
    assert [int(row[8]) for row in page["rows"]] == sorted(col.tolist(), reverse=True)[:500]
    assert [int(col[number]) for number in page["numbers"]] == [int(row[8]) for row in page["rows"]]


def test_an_empty_answer_says_what_can_match_nothing(client):
    hints = [client.answered(f"{TILES} WHERE modality = '{name}'")[1]["hint"] for name in ("IMC", "imc")]
    assert hints == ["modality = 'IMC' holds for no row of tiles. Did you mean 'imc'? Available: codex, he, imc.", ""]


def test_a_column_is_summed_up(client):
    name, _ = client.answered(
        "SELECT i * 1.5 AS x, i % 3 AS k, chr(CAST(65 + i % 2 AS INTEGER)) AS t, [i] AS l FROM range(1000) AS r(i)"
    )
    numbers = client.ask("GET", f"/api/queries/{name}/columns/0")[1]
    assert (numbers["low"], numbers["high"], sum(numbers["counts"])) == (0, 1498.5, 1000)
    assert client.ask("GET", f"/api/queries/{name}/columns/1")[1]["values"] == [["0", 334], ["1", 333], ["2", 333]]
    assert client.ask("GET", f"/api/queries/{name}/columns/2")[1]["values"] == [["A", 500], ["B", 500]]
    assert client.ask("GET", f"/api/queries/{name}/columns/3")[1] == {"nulls": 0, "rows": 1000}
    assert client.ask("GET", f"/api/queries/{name}/columns/4")[0] == 400


@pytest.mark.parametrize(
    ("sql", "said", "place"),
    [
        ("SELECT tissue_idd FROM tiles", "Did you mean 'tissue_id'", None),
        ("SELECT 1;\nCOPY tiles TO 'x.csv'", "a second statement", (1, 9)),
        ("SELECT *\nFROM 'secret.parquet'", "the file name", (2, 6)),
        ("SELECT range(1000000000)", "100,000", None),
        ("SELECT list(repeat('x', 10000)) FROM range(500000)", "memory", None),
    ],
)
def test_what_is_refused_says_why_and_where(client, sql, said, place):
    _, told = client.answered(sql)
    assert told["state"] == "failed"
    assert said.lower() in told["error"].lower()
    if place:
        assert (told["place"]["line"], told["place"]["column"]) == place
    assert client.answered("SELECT 1 AS one")[1]["rows"] == 1


def test_an_endless_query_is_stopped_and_holds_up_nobody(client):
    endless = [client.query("SELECT sum(hash(a.range)) FROM range(20000000000) a") for _ in range(3)]
    status, told = client.ask("POST", "/api/queries", {"sql": "SELECT 1"})
    assert (status, "3 queries run already" in told["error"]) == (400, True)
    asked = {"before": "SELECT canc", "after": " FROM tissues"}
    assert "cancer_type" in client.ask("POST", "/api/complete", asked)[1]["completions"]
    for name in endless:
        assert client.ask("GET", f"/api/queries/{name}")[1]["state"] == "running"
        assert client.ask("DELETE", f"/api/queries/{name}")[0] == 204
        assert client.ask("GET", f"/api/queries/{name}")[1]["state"] == "stopped"
    assert client.answered("SELECT 1")[1]["state"] == "done"


@pytest.mark.parametrize("modality", ["imc", "he", "codex"])
def test_pieces_are_the_pixels_of_the_file(client, lake, images, modality):
    image = next(one for (_, kind, _), one in images.items() if kind == modality)
    told = client.ask("GET", f"/api/images/{image['key']}")[1]
    path = own(lake, f"SELECT path FROM images WHERE modality = '{modality}' AND tissue_id = '{image['tissue_id']}'")
    pages = [channel["page"] for channel in told["channels"]][:3]
    expected = read_region(open_image(lake / path["path"][0].as_py()), pages)
    found = client.planes(f"/api/images/{image['key']}/tiles/0/0/0?pages={','.join(map(str, pages))}")
    np.testing.assert_array_equal(found, expected)
    assert (told["height"], told["width"]) == expected.shape[1:]


def test_contrast_is_that_of_pictures(client, lake, images):
    image = next(one for (_, kind, _), one in images.items() if kind == "imc")
    path = own(lake, f"SELECT path FROM images WHERE modality = 'imc' AND tissue_id = '{image['tissue_id']}'")
    pixels = read_region(open_image(lake / path["path"][0].as_py()))
    found = client.ask("GET", f"/api/images/{image['key']}/limits")[1]["limits"]
    for row in found:
        low, high, gamma = contrast_limits([pixels[row["page"]][None]])[0]
        if high > low:
            np.testing.assert_allclose([row["low"], row["high"], row["gamma"]], [low, high, gamma], rtol=1e-6)
    counts = client.ask("GET", f"/api/images/{image['key']}/histogram?page=0")[1]
    assert sum(counts["counts"]) == pixels[0].size


def test_what_a_full_disk_cannot_keep_is_shown(tmp_path, monkeypatch):
    def full(*_given, **_named):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    lake = write_lake(tmp_path / "lake", names=("alpha",), tissues=1)
    path = lake / "alpha/imc/1_0mpp/images/alpha_0000.ome.zarr"
    shutil.rmtree(path)
    pixels = np.random.default_rng(5).integers(0, 900, (5, 1100, 700)).astype("f4")
    write_omezarr(path, pixels, mpp=1)
    monkeypatch.setattr(SharedFolder, "write", full)
    with serving_anew(lake, tmp_path / "cache") as client:
        image = next(one for one in client.ask("GET", "/api/images")[1]["images"] if one["modality"] == "imc")
        told = client.ask("GET", f"/api/images/{image['key']}")[1]
        assert [level["made"] for level in told["levels"]] == [False, True]
        for _ in range(2):
            status, found = client.ask("GET", f"/api/images/{image['key']}/limits?pages=2")
            assert status == 200
            assert (found["limits"][0]["least"], found["limits"][0]["most"]) == (pixels[2].min(), pixels[2].max())
            coarse = client.planes(f"/api/images/{image['key']}/tiles/1/0/0?pages=2")[0]
            np.testing.assert_allclose(coarse, pixels[2].reshape(275, 4, 175, 4).mean((1, 3)), rtol=1e-6)


@pytest.mark.parametrize("turned", [False, True])
def test_contrast_of_a_narrow_image_is_of_pixels_that_are_read_once(tmp_path, turned):
    tall = np.random.default_rng(3).gamma(2, 90, (33_000, 200)).astype("u2")
    path = write_omezarr(tmp_path / "a.ome.zarr", (tall.T if turned else tall)[None].copy(), mpp=1)
    listed = ListedImage(key="", dataset="", modality="imc", tissue_id="a", mpp=1.0, path=str(path))
    levels = OverviewChoice.of(open_levels(path))
    told = shown_as(OpenedImage(listed=listed, signature="", levels=levels, channels=(), shown=()), 0)
    places = np.linspace(0, 33_000 - 256, 8).astype(int)
    sampled = np.concatenate([tall[row : row + 256] for row in places])
    assert (sum(told["counts"]), told["most"]) == (sampled.size, sampled.max())
    expected = contrast_limits([sampled[None].astype("f4")])[0]
    np.testing.assert_allclose([told["low"], told["high"], told["gamma"]], expected, rtol=1e-6)


def test_a_piece_may_be_kept_only_by_its_signature(client, images):
    key = next(iter(images.values()))["key"]
    signature = client.ask("GET", f"/api/images/{key}")[1]["signature"]
    _, kept, _ = client.raw("GET", f"/api/images/{key}/tiles/0/0/0?pages=0&v={signature}")
    assert "immutable" in kept["Cache-Control"]
    assert "private" in kept["Cache-Control"]
    _, other, _ = client.raw("GET", f"/api/images/{key}/tiles/0/0/0?pages=0&v=1")
    assert other["Cache-Control"] == "no-store"
    _, mark, _ = client.raw("GET", "/mark.svg")  # asked for whenever the state in the address changes
    assert "max-age" in mark["Cache-Control"]


def test_outlines_and_cells_are_those_of_the_lake(client, lake, images):
    (dataset, _, tissue), image = next((names, one) for names, one in images.items() if names[1] == "imc")
    where = f"dataset = '{dataset}' AND tissue_id = '{tissue}'"
    tilings = client.ask("GET", f"/api/images/{image['key']}/outlines/tiles")[1]["tilings"]
    expected = own(lake, f"SELECT row, col, tile_id FROM tile_coordinates WHERE {where} ORDER BY tile_id")
    assert tilings[0]["tiles"] == [list(row.values()) for row in expected.to_pylist()]
    assert client.ask("GET", f"/api/images/{image['key']}/outlines/mask")[1]["lines"]
    path = own(lake, f"SELECT path FROM masks WHERE {where} AND kind = 'instances'")["path"][0].as_py()
    labels = load_label_mask(lake / path)
    row, col = (int(axis[len(axis) // 2]) for axis in np.nonzero(labels))
    cell = client.ask("GET", f"/api/images/{image['key']}/cells/at?row={row}&col={col}")[1]
    assert cell["cell_id"] == labels[row, col]
    kind = own(lake, f"SELECT cell_type FROM cells WHERE {where} AND cell_id = {cell['cell_id']}")
    assert cell["values"]["cell_type"] == kind["cell_type"][0].as_py()
    inside = labels == cell["cell_id"]
    steps = (
        np.abs(np.diff(np.pad(inside, 1).astype(int), axis=0)).sum()
        + np.abs(np.diff(np.pad(inside, 1).astype(int))).sum()
    )
    assert sum(abs(a - c) + abs(b - d) for a, b, c, d in cell["lines"]) == steps


def test_thumbs_are_means_of_tiles(client, lake):
    name, _ = client.answered(f"{TILES} WHERE modality = 'imc' ORDER BY tissue_id, tile_id")
    asked = {"query": name, "rows": [0, 5], "markers": ["DNA1", "no such"], "size": 64}
    status, _, content = client.raw("POST", "/api/thumbs", asked)
    assert status == 200
    length = int.from_bytes(content[:4], "little")
    head = json.loads(content[4 : 4 + length])
    planes = np.frombuffer(content[4 + length :], "<f2").reshape(head["shape"])
    tile = own(lake, "SELECT row, col, path FROM tiles WHERE modality = 'imc' ORDER BY tissue_id, tile_id").to_pylist()[
        5
    ]
    pixels = read_region(open_image(lake / tile["path"]), [0], row=tile["row"], col=tile["col"], height=128, width=128)
    expected = pixels[0].astype(np.float64).reshape(64, 2, 64, 2).mean(axis=(1, 3)) / head["rows"][1]["scale"]
    np.testing.assert_allclose(planes[1, 0], expected, rtol=2e-3, atol=1e-3)
    assert np.isnan(planes[:, 1]).all()


WITHIN = """
WITH places AS (
    SELECT row_number() OVER () - 1 AS number, "row" + {half} AS down, col + {half} AS across,
        dataset = $dataset AND tissue_id = $tissue AS shown
    FROM answer
), edges AS (SELECT unnest($down) AS y, unnest($across) AS x, unnest($next_down) AS v, unnest($next_across) AS u)
SELECT number FROM places JOIN edges
    ON shown AND (y > down) <> (v > down) AND across < x + (down - y) * (u - x) / (v - y)
GROUP BY number HAVING count(*) % 2 = 1 ORDER BY number"""
CELLS = "SELECT dataset, tissue_id, cell_id, row, col FROM cells"


@pytest.mark.parametrize(
    ("text", "half"),
    [(f"{TILES} WHERE modality = 'imc' ORDER BY ALL", "tile_size / 2"), (f"{CELLS} ORDER BY ALL", "0")],
)
def test_a_lasso_selects_what_a_polygon_in_sql_does(client, lake, images, text, half):
    (dataset, _, tissue), image = next((names, one) for names, one in images.items() if names[1] == "imc")
    name, _ = client.answered(text)
    # a star, which is not convex, and crosses itself
    turns = np.arange(5) * 4 * np.pi / 5 + 0.1
    star = np.stack([160.3 + 150 * np.sin(turns), 159.7 + 140 * np.cos(turns)], axis=1)
    asked = {"query": name, "key": image["key"], "polygon": star.tolist()}
    found = client.ask("POST", "/api/selections", asked | {"code": half != "0"})[1]
    answer = own(lake, text)
    with duckdb.connect() as other:
        other.register("answer", answer)
        (down, across), (next_down, next_across) = star.T.tolist(), np.roll(star, -1, axis=0).T.tolist()
        given = {"dataset": dataset, "tissue": tissue, "down": down, "across": across}
        given |= {"next_down": next_down, "next_across": next_across}
        inside = [number for (number,) in other.execute(WITHIN.format(half=half), given).fetchall()]
    assert found["rows"] == inside
    assert 0 < len(inside) < sum(one == tissue for one in answer["tissue_id"].to_pylist())
    if half != "0":
        scope = {}
        exec(found["code"], scope)
        assert scope["query"].plan().rows_hash == SporaQuery.from_arrow(lake, answer.take(inside)).plan().rows_hash


def points_of(client, name, rest):
    status, _, content = client.raw("GET", f"/api/queries/{name}/points?{rest}")
    assert status == 200, content
    length = int.from_bytes(content[:4], "little")
    head, rest = json.loads(content[4 : 4 + length]), content[4 + length :]
    count = head["count"]
    kinds = zip(("<u4", "<f4", "<f4", "u1"), (0, 4, 8, 12), strict=True)
    return head, *(np.frombuffer(rest, kind, count, start * count) for kind, start in kinds)


def test_points_are_two_columns_and_a_line_around_them_selects_their_rows(client, monkeypatch):
    text = (
        "SELECT i, CASE WHEN i % 50 = 0 THEN NULL WHEN i % 50 = 1 THEN 'nan'::DOUBLE ELSE 1e9 + sin(i) END AS x, "
        "CAST(i % 17 AS DECIMAL(9, 2)) AS y, 'k' || (i % 13 % 11) AS k, i % 3 AS few FROM range(1000) AS r(i)"
    )
    name, _ = client.answered(text)
    i = np.arange(1000)
    x, y = 1e9 + np.sin(i), i % 17.0
    wanted = np.flatnonzero(i % 50 > 1)
    head, numbers, across, up, colours = points_of(client, name, "x=1&y=2&by=3")
    assert numbers.tolist() == wanted.tolist()
    np.testing.assert_allclose(head["x"][0] + across * np.ptp(head["x"]), x[wanted], atol=2e-7)
    np.testing.assert_allclose(up, y[wanted] / 16, atol=1e-7)
    kinds = np.array([f"k{value}" for value in i % 13 % 11])
    values = head["by"]["values"]
    assert len(values) == 10
    assert values[:2] == ["k0", "k1"]  # twice as often as the others
    assert [values[c] if c != 255 else None for c in colours] == [k if k in values else None for k in kinds[wanted]]
    assert points_of(client, name, "x=1&y=2&by=4")[0]["by"] == {"values": ["0", "1", "2"]}
    head, *_, steps = points_of(client, name, "x=1&y=2&by=0")
    assert head["by"] == {"ends": [0, 999]}
    assert np.abs(steps - wanted / 999 * 254).max() <= 1
    corners = [[1e9 - 0.5, 2.5], [1e9 + 0.5, 2.5], [1e9 + 0.5, 9.5], [1e9 - 0.5, 9.5]]
    told = client.ask("POST", "/api/selections", {"query": name, "columns": [1, 2], "polygon": corners})[1]
    assert told["rows"] == [k for k in wanted if abs(x[k] - 1e9) < 0.5 and 2.5 < y[k] < 9.5]
    chosen = client.ask("POST", f"/api/queries/{name}/rows", {"rows": [7, 3]})[1]
    assert [row[0] for row in chosen["rows"]] == ["7", "3"]
    monkeypatch.setattr("spora_db.explore.points.POINTS", 300)
    head, numbers, *_ = points_of(client, name, "x=1&y=2")
    assert (head["of"], numbers.tolist()) == (len(wanted), wanted[::4].tolist())
    for bad in ("x=3&y=2", "x=1", "x=9&y=1", "x=1&y=2&by=99", "x=1&y=x"):
        assert client.ask("GET", f"/api/queries/{name}/points?{bad}")[0] == 400
    for bad in ({"columns": [1]}, {"columns": [1, 3]}, {"columns": [1, 2], "polygon": [[0, 0]]}, {"polygon": "x"}):
        asked = {"query": name, "columns": [1, 2], "polygon": corners} | bad
        assert client.ask("POST", "/api/selections", asked)[0] == 400, bad
    assert client.ask("POST", f"/api/queries/{name}/rows", {"rows": [1000]})[0] == 400
    assert client.ask("POST", f"/api/queries/{name}/rows", {"rows": [0] * 501})[0] == 400


@pytest.fixture(scope="module")
def featured(lake, cache, tmp_path_factory):
    """Return the lake and a layer over it with the mean colours of H&E tiles as features."""
    layer = tmp_path_factory.mktemp("layer")
    tiles = SporaQuery(lake).modality("he").tiles(size=128, mpp=1.0).where("dataset = 'lung_imc'")
    tiles.extract(lambda batch: {"colour": batch["image"].mean(dim=(2, 3))}, name="colour", into=layer)
    return [lake, layer]


def test_the_rows_most_like_one_are_those_of_numpy_and_a_query_again(featured):
    text = "SELECT *, 'he' AS modality, tile_id * 2 AS mine FROM feature('colour') WHERE tile_id <> 3 ORDER BY ALL"
    rows = own(featured, text)
    vectors = np.array(rows["colour"].to_pylist(), np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = vectors @ vectors[5]
    order = np.argsort(-cosine, kind="stable")[:7]
    row = {name: str(rows[name][5]) for name in ("dataset", "tissue_id", "tile_id")}
    near = {"row": row, "name": "colour", "column": None, "k": 7}
    with serving(lake_path(featured)) as client:
        name, told = client.answered(text, near=near)
        assert [column["name"] for column in told["columns"]] == [*rows.column_names, "similarity"]
        page = client.ask("GET", f"/api/queries/{name}/rows?offset=0&rows=50")[1]["rows"]
        keys = [rows.column_names.index(one) for one in ("tissue_id", "tile_id", "mine")]
        found = rows.take(order).select(["tissue_id", "tile_id", "mine"]).to_pylist()
        assert [[line[key] for key in keys] for line in page] == [[str(v) for v in one.values()] for one in found]
        np.testing.assert_allclose([float(line[-1]) for line in page], cosine[order], atol=1e-9)
        code = client.ask("POST", "/api/selections", {"query": name, "code": True})[1]["code"]
        for bad in ({"k": 0}, {"k": 1001}, {"k": True}, {"row": 5}, {"row": {"tile_id": "x"}}, {"column": 5}):
            assert client.ask("POST", "/api/queries", {"sql": text, "near": near | bad})[0] == 400, bad
        for other, said in (({"name": "none"}, "Unknown feature set"), ({"row": {"dataset": "x"}}, "tissue_id")):
            assert said in client.answered(text, near=near | other)[1]["error"]
        assert client.ask("GET", "/api/lake")[1]["features"] == [
            {"name": "colour", "grain": "tile", "modalities": ["he"], "columns": ["colour[3]"]}
        ]
    scope = {}
    exec(code, scope)
    assert {tuple(one) for one in scope["query"].df()[["tissue_id", "tile_id"]].to_numpy()} == {
        (one["tissue_id"], one["tile_id"]) for one in found
    }


def test_a_query_says_what_takes_long(featured, tmp_path):
    text = "SELECT *, 'he' AS modality FROM feature('colour') ORDER BY ALL"
    rows = own(featured, text)
    row = {name: str(rows[name][5]) for name in ("dataset", "tissue_id", "tile_id")}
    near = Near.of({"row": row, "name": "colour", "column": None, "k": 3})
    asker, heard = Asker(lake_path(featured)), []
    try:
        assert asker.ask(text, tmp_path / "a.arrow", near=None, heard=heard.append) == {
            "rows": len(rows),
            "more": False,
            "hint": "",
        }
        assert heard == []
        assert asker.ask(text, tmp_path / "b.arrow", near=near, heard=heard.append)["rows"] == 3
    finally:
        asker.end()
    assert heard[-1] == f"Comparing {len(rows)} vectors of colour."


def test_tags_last_from_query_to_query_and_become_a_table_that_queries_know(lake, cache, tmp_path):
    folder = tmp_path / "layer"
    folder.mkdir()
    text = f"{TILES} WHERE modality = 'imc' ORDER BY tissue_id, tile_id"
    rows = own(lake, text).select(["tissue_id", "tile_id"]).to_pylist()
    key = [(row["tissue_id"], row["tile_id"]) for row in rows]
    with serving(lake, write=folder) as client:
        name, _ = client.answered(text)

        def change(tag, numbers, kind="give", query=name):
            return client.ask("POST", "/api/tags", {"query": query, "rows": numbers, "tag": tag, "change": kind})

        assert change("Tumor center", [0, 1, 2]) == (200, {"tags": [{"tag": "Tumor center", "rows": 3}], "saved": None})
        assert change("fold", [2, 9])[0] == 200
        assert change("fold", [9, 5])[1]["tags"][1] == {"tag": "fold", "rows": 3}
        assert change("Tumor center", [0, 7], "take")[1]["tags"][0]["rows"] == 2
        tagged = {"Tumor center": {key[1], key[2]}, "fold": {key[2], key[5], key[9]}}
        # the same tiles in another modality and order
        other, _ = client.answered(f"{TILES} WHERE modality = 'he' ORDER BY tissue_id DESC, tile_id DESC")
        asked = {"query": other, "of_tag": "Tumor center", "code": True}
        found = client.ask("POST", "/api/selections", asked)[1]
        page = client.ask("POST", f"/api/queries/{other}/rows", {"rows": found["rows"]})[1]["rows"]
        assert {(row[1], int(row[6])) for row in page} == tagged["Tumor center"]
        for bad in ("", " x", "tile_id", "FOLD", "a\nb", "x" * 61):
            assert change(bad, [0])[0] == 400, bad
        cells, _ = client.answered("SELECT dataset, tissue_id, cell_id FROM cells LIMIT 3")
        assert "told apart by" in change("fold", [0], query=cells)[1]["error"]
        assert client.ask("POST", "/api/selections", asked | {"of_tag": "none"})[0] == 404
        for bad in ("../x", "tiles", "A b", ""):
            assert client.ask("POST", "/api/tags/table", {"name": bad})[0] == 400, bad
        assert client.ask("POST", "/api/tags/table", {"name": "mine"}) == (201, {"file": "tables/mine.parquet"})
        assert client.ask("POST", "/api/tags/table", {"name": "mine"})[0] == 400
        assert [path.relative_to(folder).as_posix() for path in folder.rglob("*.*")] == ["tables/mine.parquet"]
        saved = client.ask("POST", "/api/selections", asked)[1]["code"]
        assert ".join('mine').where('mine.\"Tumor center\"')" in saved
        told = change("fold", [0], "forget")[1]
        assert told == {"tags": [{"tag": "Tumor center", "rows": 2}], "saved": None}
    table = own([lake, folder], "SELECT * FROM mine").to_pylist()
    for tag, wanted in tagged.items():
        assert {(row["tissue_id"], row["tile_id"]) for row in table if row[tag]} == wanted
    assert len(table) == len(tagged["Tumor center"] | tagged["fold"])
    for code in (found["code"], saved):
        scope = {}
        exec(code, scope)
        asked_for = scope["query"].df()[["tissue_id", "tile_id", "modality"]].to_numpy().tolist()
        assert sorted(asked_for) == sorted([*pair, "he"] for pair in tagged["Tumor center"])


def test_a_click_selects_the_tile_that_is_under_it(client, lake, images):
    (_, _, tissue), image = next((names, one) for names, one in images.items() if names[1] == "imc")
    text = f"{TILES} WHERE modality = 'imc' ORDER BY tissue_id DESC, tile_id"
    rows = own(lake, text).to_pylist()
    name, _ = client.answered(text)
    for at in ([150, 140], [10, 300], [0, 0], [250, 20]):
        asked = {"query": name, "key": image["key"], "at": at}
        found = client.ask("POST", "/api/selections", asked)[1]["rows"]
        holds = {
            number: max(abs(row["row"] + 64 - at[0]), abs(row["col"] + 64 - at[1]))
            for number, row in enumerate(rows)
            if row["tissue_id"] == tissue
        }
        least = min(holds.values())
        assert found == ([min(number for number, away in holds.items() if away == least)] if least <= 64 else [])


def test_selected_rows_are_marked_on_their_image_whether_they_were_paged_or_not(client, lake, images):
    (_, _, tissue), image = next((names, one) for names, one in images.items() if names[1] == "he")
    name, told = client.answered(f"{TILES} WHERE modality = 'imc' ORDER BY tissue_id DESC, tile_id")
    asked = {"query": name, "rows": list(range(told["rows"])), "key": image["key"]}
    expected = own(lake, f"SELECT DISTINCT row, col, tile_size FROM tiles WHERE tissue_id = '{tissue}'").to_pylist()
    found = client.ask("POST", "/api/marks", asked)[1]["marks"]
    assert sorted(found) == sorted(list(row.values()) for row in expected)
    assert found
    name, _ = client.answered("SELECT dataset, tissue_id FROM tissues")
    assert client.ask("POST", "/api/marks", asked | {"query": name, "rows": [0]})[1] == {"marks": []}


@pytest.mark.parametrize(
    "sql",
    [
        f"{TILES} WHERE modality = 'imc'",
        f"{TILES} WHERE dataset = 'lung_imc'",  # H&E, too
        "SELECT dataset, tissue_id, 'imc' AS modality FROM tissues WHERE dataset = 'lung_imc'",
        "SELECT dataset, tissue_id, cell_id, row, col, 'imc' AS modality FROM cells "
        "WHERE dataset = 'lung_imc' AND cell_id < 9",
    ],
)
def test_the_code_of_all_rows_asks_for_them(client, sql):
    name, told = client.answered(sql)
    code = client.ask("POST", "/api/selections", {"query": name, "code": True})[1]["code"]
    scope = {}
    exec(code, scope)
    assert len(scope["query"]) == told["rows"]
    scope["query"].plan()


KINDS = (
    "'b'::ENUM('a', 'b')", "'ab'::BLOB", "uuid()", "TIME '10:00:00'", "TIMESTAMPTZ '2020-01-01'", "true", "NULL",
    "1.5::DECIMAL(9, 2)", "'101'::BIT", "INTERVAL 1 DAY", "[1]", "{'a': 1}", "MAP {'a': 1}", "union_value(a := 1)",
    "'nan'::DOUBLE", "18446744073709551615::UBIGINT", "[1, 2]::INT[2]",
    "170141183460469231731687303715884105727::HUGEINT",
)  # fmt: skip


def test_values_of_any_kind_are_given_or_refused_by_the_name_of_their_column(client):
    columns = ", ".join(f"{value} AS v{k}" for k, value in enumerate(KINDS))
    name, told = client.answered(f"SELECT i AS x, {columns} FROM range(3) t(i)")
    assert told["state"] == "done", told
    for k in range(1, 1 + len(KINDS)):
        for path in (f"rows?offset=0&rows=3&sort={k}", f"columns/{k}", f"points?x=0&y=0&by={k}", f"points?x=0&y={k}"):
            status, _, content = client.raw("GET", f"/api/queries/{name}/{path}")
            assert status == 200 or (status == 400 and f"v{k - 1}" in json.loads(content)["error"]), (path, content)
    assert client.ask("GET", f"/api/queries/{name}/rows?offset=0&rows=1&sort=1")[1]["rows"][0][1] == "b"
    assert points_of(client, name, "x=0&y=0&by=1")[0]["by"] == {"values": ["b"]}


def test_rows_that_do_not_say_where_or_which_they_are_keep_no_others_back(client, images):
    (dataset, _, tissue), image = next(item for item in images.items() if item[1]["modality"] == "imc")
    which = f"'{dataset}' AS dataset, '{tissue}' AS tissue_id"
    name, _ = client.answered(
        f"SELECT {which}, 8 AS tile_size, 1.0 AS mpp, u AS tile_id, u AS row, 2 AS col FROM (VALUES (NULL), (16)) t(u)"
    )
    asked = {"query": name, "key": image["key"]}
    scale = 1 / image["mpp"]
    assert client.ask("POST", "/api/marks", asked | {"rows": [0, 1]})[1] == {
        "marks": [[16 * scale, 2 * scale, 8 * scale]]
    }
    assert client.ask("POST", "/api/selections", asked | {"at": [int(18 * scale), int(4 * scale)]})[1]["rows"] == [1]
    status, told = client.ask("POST", "/api/tags", {"query": name, "tag": "half", "change": "give"})
    assert (status, "1 of the rows have no tile_id" in told["error"]) == (400, True)
    name, _ = client.answered(f"SELECT {which}, 'a' AS row, 2 AS col")
    status, told = client.ask("POST", "/api/marks", {"query": name, "key": image["key"], "rows": [0]})
    assert (status, "'row'" in told["error"]) == (400, True)
    content = client.raw("POST", "/api/thumbs", {"query": name, "rows": [0], "markers": ["DNA1"], "size": 32})[2]
    head = json.loads(content[4 : 4 + int.from_bytes(content[:4], "little")])
    assert "'a'" in head["rows"][0]["error"]
    name, _ = client.answered("SELECT 1 AS dataset, 2 AS tissue_id, 1 AS row, 2 AS col")
    assert client.ask("POST", "/api/marks", {"query": name, "key": image["key"], "rows": [0]}) == (200, {"marks": []})


def test_numbers_that_are_none_are_refused(client):
    assert client.ask("GET", "/api/images?tissue_id=t&mpp=fine")[0] == 400
    row = {"dataset": "d", "tissue_id": "t", "tile_id": float("inf")}
    assert client.ask("POST", "/api/queries", {"sql": TILES, "near": {"row": row, "name": "x", "k": 3}})[0] == 400


def test_files_are_written_only_with_leave_and_only_inside(client, lake, cache, tmp_path):
    name, _ = client.answered(f"{TILES} LIMIT 5")
    asked = {"query": name, "rows": [1, 3], "name": "mine", "form": "parquet"}
    for path in ("/api/exports", "/api/tags/table"):
        client.ask("POST", "/api/tags", asked | {"tag": "one", "change": "give"})
        status, told = client.ask("POST", path, asked)
        assert (status, "--write" in told["error"]) == (400, True)
    folder = tmp_path / "out"
    folder.mkdir()
    with serving(lake, write=folder) as writer:
        name, _ = writer.answered(f"{TILES} WHERE modality = 'imc' ORDER BY tissue_id, tile_id")
        asked["query"] = name
        assert writer.ask("POST", "/api/exports", asked) == (201, {"file": "mine.parquet"})
        assert len(pq.read_table(folder / "mine.parquet")) == 2
        assert writer.ask("POST", "/api/exports", asked)[0] == 400
        assert writer.ask("POST", "/api/exports", asked | {"form": "lock"})[0] == 201
        assert len(SporaQuery.from_lock(folder / "mine.lock.json")) == 2
        for bad in ("../x", "/tmp/x", ".x", "a/b", "", "x\0y"):
            assert writer.ask("POST", "/api/exports", asked | {"name": bad})[0] == 400
        assert sorted(path.name for path in folder.iterdir()) == ["mine.lock.json", "mine.parquet"]


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (421, {"Host": "evil.example"}),
        (421, {"Host": "evil.example:80"}),
        (421, {"Host": "127.0.0.1"}),
        (401, {"Authorization": None}),
        (401, {"Authorization": "Bearer wrong"}),
        (401, {"Authorization": "Bearer w\xf6rong"}),
        (401, {"Authorization": "Basic x"}),
        (403, {"Sec_Fetch_Site": "cross-site"}),
        (403, {"Sec_Fetch_Site": "same-site"}),
        (403, {"Origin": "http://evil.example"}),
        (403, {"Origin": "null"}),
        (403, {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Dest": "document"}),
        (200, {"Sec_Fetch_Site": "same-origin"}),
    ],
)
def test_only_its_own_page_is_answered(client, status, headers):
    assert client.raw("GET", "/api/lake", **headers)[0] == status
    if status in (403, 421):  # the page itself is not given either, but to who follows a link to it
        assert client.raw("GET", "/main.js", **headers)[0] == status
        assert client.raw("GET", "/", **headers)[0] == (200 if "Sec_Fetch_Dest" in headers else status)


@pytest.mark.parametrize(
    "path",
    ["/../pyproject.toml", "/..%2f..%2fpyproject.toml", "/static/../../errors.py", "/%2e%2e/routes.py", "/routes.py",
     "/api/images/..%2f..%2fetc%2fpasswd", "/api/images/lung_imc", "//etc/passwd",
     "/api/images/x/tiles/0/0/-1?pages=0"],
)  # fmt: skip
def test_no_path_leads_to_a_file(client, path):
    status, _, content = client.raw("GET", path)
    assert status in (400, 404)
    assert b"root:" not in content


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/queries", b"{"), ("/api/queries", b"[1]"), ("/api/queries", {"sql": 5}),
        ("/api/queries", b"[" * 200_000),
        ("/api/thumbs", {"query": "x", "rows": [0], "markers": "a", "size": 64}),
        ("/api/complete", {"before": "SELECT"}),
    ],
)  # fmt: skip
def test_a_body_of_another_form_is_refused(client, path, body):
    status, told = client.ask("POST", path, body)
    assert status == 400
    assert told["error"]


def test_limits_hold(client, images):
    key = next(one["key"] for one in images.values() if one["modality"] == "imc")
    pages = ",".join(map(str, range(CHANNELS + 1)))
    status, told = client.ask("GET", f"/api/images/{key}/tiles/0/0/0?pages={pages}")
    assert (status, told["error"]) == (400, f"9 pages asked for; expected 1 to {CHANNELS}.")
    tiles = ("9/0/0?pages=0", "0/7/0?pages=0", "0/0/0?pages=99", "0/0/0", "0/0/0?pages=x")
    others = ("histogram?page=77", "cells/at?row=99999&col=0", "cells/at?row=x&col=0")
    for bad in (*(f"tiles/{piece}" for piece in tiles), *others):
        assert client.ask("GET", f"/api/images/{key}/{bad}")[0] == 400, bad
    assert client.ask("GET", f"/api/images/{key}/outlines/x")[0] == 404
    name, _ = client.answered("SELECT 1 AS a")
    for bad in (
        "offset=2&rows=1",
        "offset=0&rows=501",
        "offset=0&rows=0",
        "offset=-1&rows=1",
        "offset=0&rows=1&sort=4",
    ):
        assert client.ask("GET", f"/api/queries/{name}/rows?{bad}")[0] == 400, bad
    thumbs = {"query": name, "markers": ["DNA1"], "size": 64}
    for bad in (
        {"rows": [0] * 25},
        {"rows": [5]},
        {"rows": [-1]},
        {"rows": [0], "markers": ["x"] * 9},
        {"rows": [0], "size": 999},
    ):
        assert client.ask("POST", "/api/thumbs", thumbs | bad)[0] == 400, bad


@pytest.mark.parametrize("chunked", [False, True])
def test_an_oversized_body_is_refused_before_it_is_held(client, chunked):
    with socket.create_connection(("127.0.0.1", client.server.port), timeout=60) as sent:
        head = f"POST /api/queries HTTP/1.1\r\nHost: 127.0.0.1:{client.server.port}\r\n"
        head += f"Authorization: Bearer {client.server.token}\r\n"
        if chunked:
            sent.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
            piece = b"%x\r\n" % 65_536 + b"x" * 65_536 + b"\r\n"
            for _ in range(BODY_BYTES // 65_536 + 1):
                sent.sendall(piece)
        else:
            sent.sendall(f"{head}Content-Length: {BODY_BYTES + 1}\r\n\r\n".encode())
        assert b" 413 " in sent.recv(100)
    assert client.ask("GET", "/api/lake")[0] == 200


def test_every_answer_has_the_policy(client):
    for path in ("/", "/api/lake", "/api/none", "/main.js"):
        _, headers, _ = client.raw("GET", path)
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in headers
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_port_that_is_taken_is_said(lake, cache):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ArgumentError, match="cannot be opened"):
            PageServer(lake, port=taken.getsockname()[1])


@pytest.mark.slow
def test_a_long_query_prints_no_progress_into_the_terminal(lake, capfd):
    queries = Queries(lake)
    name = queries.start("SELECT sum(hash(a.range)) FROM range(20000000000) a")
    time.sleep(5)  # DuckDB would begin after two seconds
    assert queries.get(name).state == "running"
    queries.close()
    assert capfd.readouterr() == ("", "")


def test_nothing_is_left_after_the_end(lake, cache):
    with serving(lake) as client:
        client.query("SELECT sum(hash(a.range)) FROM range(20000000000) a")
        folder = client.server._explorer.queries._folder
        assert folder.is_dir()
    assert not folder.exists()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("uvicorn")]
    assert not Path(folder).exists()


@pytest.mark.slow
def test_a_bucket_is_looked_at_as_a_folder_is_and_no_range_is_asked_for_twice(tmp_path, monkeypatch):
    lake = write_lake(tmp_path / "buckets/b/lake")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with slow_bucket(tmp_path / "buckets", latency=20) as slow, relayed(slow) as bucket:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "access")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.address)
        monkeypatch.setenv("SPORA_CACHE_DIR", str(tmp_path / "mirror"))
        with serving(lake) as local, serving(Path("s3://b/lake")) as remote:
            image = next(one for one in local.ask("GET", "/api/images")[1]["images"] if one["modality"] == "imc")
            words = f"{image['dataset']} {image['modality']} {image['tissue_id']}".replace(" ", "%20")
            other = remote.ask("GET", f"/api/images?q={words}")[1]["images"][0]
            ways = [f"/api/images/{one['key']}" for one in (image, other)]
            paths = ("/limits", "/histogram?page=0", "/outlines/tiles", "/outlines/mask")
            for path in paths:
                assert local.ask("GET", ways[0] + path) == remote.ask("GET", ways[1] + path)
            piece = "/tiles/0/0/0?pages=0,1"
            np.testing.assert_array_equal(local.planes(ways[0] + piece), remote.planes(ways[1] + piece))
            text = "SELECT dataset, count(*) AS n FROM tiles GROUP BY ALL ORDER BY ALL"
            pages = [
                one.ask("GET", f"/api/queries/{one.answered(text)[0]}/rows?offset=0&rows=9") for one in (local, remote)
            ]
            assert pages[0] == pages[1]
            asked = Counter((one.path, one.headers.get("range")) for one in bucket.asked if one.method == "GET")
            assert {one: count for one, count in asked.items() if count > 1 and "list-type" not in one[0]} == {}
            slow.set()
            remote.planes(ways[1] + piece)
            remote.ask("GET", ways[1] + "/limits")
            assert slow.set()["get"] == 0
