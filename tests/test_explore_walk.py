"""A walk through the page in a real browser that can reach this machine only; skipped where there is no Chromium.

What is seen is compared with the lake: pixels of the canvas with `plot.composite`, rows with SQL.
"""

import re
import shutil

import numpy as np
import pytest
from matplotlib.image import imread

from browsing import compare, expected, needs_chromium, path_of, visit
from exploring import serving
from lakes import write_lake
from spora_db import Catalog
from spora_db.drawing.composite import brightfield
from spora_db.images import open_image, read_region, write_ometiff, write_omezarr
from spora_db.masks import load_label_mask

pytestmark = needs_chromium

POINT = """([x, y]) => import("/main.js").then(({ page: { scatter: { gl, canvas } } }) => {
  const found = new Uint8Array(4);
  gl.readPixels(x, canvas.height - 1 - y, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, found);
  return [...found];
})"""

STATE = "import('/state.js').then((module) => module.state)"
BAR = """import("/main.js").then(({ page }) => {
  const { over, found, view } = page.viewer.first;
  const { data: row } = over.getContext("2d").getImageData(0, over.height - 14, over.width, 1);
  let [longest, run] = [0, 0];
  for (let k = 0; k < over.width; k += 1) {
    run = row[4 * k] === 255 && row[4 * k + 1] === 255 && row[4 * k + 3] === 255 ? run + 1 : 0;
    longest = Math.max(longest, run);
  }
  return [longest / view.zoom * found.mpp, view.zoom / found.mpp];
})"""
MIDDLES = """import("/main.js").then(({ page }) => [...page.viewer.panes.values()].map(
  ({ view: { left, top, zoom }, canvas, found: { mpp } }) => [
    (canvas.width / 2 - left) / zoom * mpp, (canvas.height / 2 - top) / zoom * mpp]))"""
OUTLINED = """import("/main.js").then(({ page }) => {
  const { over, view } = page.viewer.first;
  const copy = new OffscreenCanvas(over.width, over.height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(over, 0, 0);
  const { data } = copy.getImageData(0, 0, over.width, over.height);
  const places = [];
  for (let k = 0; k < data.length; k += 4) {
    if (data[k] === 247 && data[k + 1] === 224 && data[k + 2] === 30 && data[k + 3] === 255) places.push(k / 4);
  }
  return { places, height: over.height, width: over.width, left: view.left, top: view.top, zoom: view.zoom };
})"""
INKS = """() => ["--ink", "--faint", "--bad", "--picked", "--paper", "--raised"].map(
  (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim())"""


def contrast(ink, paper):
    """Return the contrast of two colours, 1 to 21, as WCAG 2 defines it."""
    light = []
    for text in (ink, paper):
        parts = [int(text[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        light.append(np.dot(linear, (0.2126, 0.7152, 0.0722)))
    return (max(light) + 0.05) / (min(light) + 0.05)


def test_a_walk(browser, client, lake_of_examples):
    walk = visit(browser, client).open()
    page = walk.page
    # the editor: completion, an error and its place, a filter by a click
    page.fill("textarea", "")
    page.click("textarea")
    page.keyboard.type("SELECT dataset, canc")
    page.locator(".choices li", has_text="cancer_type").wait_for()
    page.keyboard.press("Tab")
    assert page.input_value("textarea") == "SELECT dataset, cancer_type"
    page.keyboard.type(", nope\nFROM tissues")
    page.keyboard.press("Control+Enter")
    walk.answered("Unknown column 'nope'")
    assert page.locator(".sql-wrong").inner_text() == "nope"
    page.fill("textarea", "SELECT dataset, tissue_id, modality, mpp, strategy, tile_size, tile_id, row, col\n"
              "FROM tiles WHERE modality = 'imc' ORDER BY tissue_id, tile_id")  # fmt: skip
    page.click("#run")
    walk.answered("rows in")
    total = page.evaluate("import('/main.js').then(({ page }) => page.rows.total)")
    with Catalog(lake_of_examples) as catalog:
        assert total == catalog.sql("SELECT count(*) FROM tiles WHERE modality = 'imc'").fetchall()[0][0]
    # the gallery: pictures come, one is selected and opened
    walk.view("gallery")
    page.locator("#channels .channel").first.wait_for()
    page.locator("canvas.strip").first.wait_for()
    page.locator("canvas.strip").first.click(position={"x": 40, "y": 40})
    page.locator("#selection", has_text="1 row selected").wait_for()
    # the viewer: pixel on pixel it is what plot.composite draws
    page.locator("canvas.strip").first.dblclick(position={"x": 40, "y": 40})
    page.locator(".pane").wait_for()
    page.click("text=Fit")
    page.click("text=1:1")
    seen, told = walk.canvas()
    tissue = page.evaluate("import('/main.js').then(({ page }) => page.viewer.first.found.tissue_id)")
    compare(seen, told, expected(path_of(lake_of_examples, "imc", tissue), told))
    # contrast is changed without a request, and the picture with it
    before = walk.settled()
    slider = page.locator("#channels input[type=range]").first
    slider.focus()
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    other, told = walk.canvas()
    compare(other, told, expected(path_of(lake_of_examples, "imc", tissue), told))
    assert not np.array_equal(seen, other)
    assert walk.settled() == before
    # eight channels at most
    boxes = page.locator("#channels .channel input[type=checkbox]:not(:checked)")
    while page.locator("#channels .channel input[type=checkbox]:checked").count() < 8:
        boxes.first.click()
    boxes.first.click()
    walk.answered("8 channels are shown")
    assert page.locator("#channels .channel input[type=checkbox]:checked").count() == 8
    # a lasso selects the rows in it, the address gives the same picture elsewhere
    page.click("text=Fit")
    box = page.locator(".pane").bounding_box()
    middle = box["x"] + box["width"] / 2
    page.click("#tools >> text=Lasso")
    page.mouse.move(middle - 200, box["y"] + 60)
    page.mouse.down()
    for x, y in ((200, 60), (200, 500), (-200, 500)):
        page.mouse.move(middle + x, box["y"] + y, steps=3)
    page.mouse.up()
    walk.answered("inside the lasso")
    page.click("#selection >> text=Code")
    assert "SporaQuery.from_arrow" in page.locator("#selection pre").inner_text()
    seen, _ = walk.canvas()
    state = walk.state()
    assert "token" not in page.url
    assert client.server.token not in page.url
    again = visit(browser, client).open(state)
    same, _ = again.canvas()
    np.testing.assert_array_equal(seen, same)
    for one in (walk, again):
        one.well()


def test_points_are_drawn_and_select_their_rows(browser, client, lake_of_examples):
    sql = (
        "SELECT dataset, tissue_id, 'imc' AS modality, mpp, strategy, tile_size, tile_id, row, col, "
        'row AS n, "row" * 2.0 AS umap_1, col + tile_id / 100 AS umap_2\nFROM tile_coordinates '
        "WHERE dataset = 'lung_imc' ORDER BY ALL"
    )
    walk = visit(browser, client).open({"sql": sql, "view": "scatter"})
    page = walk.page
    page.locator("#scatter[data-drawn*='points']").wait_for()
    assert [page.locator(f"#scatter .bar select >> nth={k}").input_value() for k in range(2)] == ["umap_1", "umap_2"]
    with Catalog(lake_of_examples) as catalog:
        rows = catalog.sql(sql).df()
    # what is drawn where the first row should be is a point, and a line around the lower rows selects them
    place = "import('/main.js').then(({ page }) => page.scatter.toPlot([%s, %s]))"
    shares = [(rows[name] - rows[name].min()) / np.ptp(rows[name]) for name in ("umap_1", "umap_2")]
    x, y = page.evaluate(place % (shares[0][0], shares[1][0]))
    seen = page.evaluate(POINT, [x, y])
    assert seen[3] == 255
    box = page.locator("#scatter .plot").bounding_box()

    def lasso(right, end):
        corners = ((-0.01, -0.01), (right, -0.01), (right, end), (-0.01, end))
        first, *others = [page.evaluate(place % corner) for corner in corners]
        page.mouse.move(box["x"] + first[0], box["y"] + first[1])
        page.mouse.down()
        for across, down in others:
            page.mouse.move(box["x"] + across, box["y"] + down, steps=2)
        page.mouse.up()

    lasso(0.4, 1.01)
    inside = np.flatnonzero(shares[0] < 0.4).tolist()
    walk.answered(f"{len(inside)} rows inside the line")
    assert walk.state()["picked"] == inside
    page.click("#selection >> text=Show only")
    page.locator("#selection", has_text=f"{len(inside)} rows shown of {len(rows)}").wait_for()
    page.keyboard.press("Alt+1")
    page.locator("#table .row").nth(len(inside) - 1).wait_for()
    assert page.locator("#table .row").count() == len(inside)
    page.keyboard.press("Alt+4")  # by keys alone: all points that are seen
    page.locator("#scatter canvas").last.focus()
    page.keyboard.press("s")
    walk.answered(f"{len(rows)} rows inside the line")
    # rows of pixels count downwards, as in images
    for name in ("col", "row"):
        page.locator("#scatter .bar select").nth(("col", "row").index(name)).select_option(name)
    page.locator(f"#scatter[data-drawn*='x={rows.columns.get_loc('col')}&y={rows.columns.get_loc('row')}']").wait_for()
    above, below = (page.evaluate(place % (0.0, share))[1] for share in (0.0, 1.0))
    assert above < below
    lasso(1.01, 0.4)
    walk.answered(f"{len(inside)} rows inside the line")
    assert walk.state()["picked"] == inside
    walk.well()


def test_a_scatter_begins_with_columns_that_have_values(browser, client):
    sql = (
        "SELECT dataset, NULL::DOUBLE AS region_fraction, NULL::VARCHAR AS region_class, NULL::DOUBLE AS umap_1, "
        "NULL::DOUBLE AS umap_2, row AS down, col AS across FROM tile_coordinates"
    )
    walk = visit(browser, client).open({"sql": sql, "view": "scatter"})
    walk.page.locator("#scatter[data-drawn*='points']").wait_for()
    chosen = [walk.page.locator(f"#scatter .bar select >> nth={k}").input_value() for k in range(3)]
    assert chosen == ["down", "across", "dataset"]
    walk.well()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "suffix"), [("f4", ".ome.zarr"), ("u2", ".ome.zarr"), ("u2", ".ome.tiff"), ("u1", ".ome.tiff")]
)
def test_every_kind_of_image_is_shown_as_pictures_are(browser, tmp_path, monkeypatch, dtype, suffix):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    lake = write_lake(tmp_path / "lake", tissues=2)
    with Catalog(lake) as catalog:
        modality, tissue, name, count = catalog.sql(
            "SELECT modality, tissue_id, path, count(*) FROM images "
            "JOIN tissue_channels USING (dataset, modality, tissue_id) WHERE measured GROUP BY ALL ORDER BY ALL LIMIT 1"
        ).fetchall()[0]  # fmt: skip
    rng = np.random.default_rng(5)
    image = (
        rng.gamma(1.5, 30, (count, 400, 380)) if dtype != "u1" else rng.integers(0, 255, (count, 400, 380))
    ).astype(dtype)
    if dtype == "f4":
        image[:, 50:90, 60:120] = np.nan
    old = lake / name
    shutil.rmtree(old) if old.is_dir() else old.unlink()
    path = old.with_name(f"{tissue}{suffix}")
    (write_omezarr if suffix == ".ome.zarr" else write_ometiff)(path, image, mpp=1.0)
    with serving(lake) as client:
        walk = visit(browser, client).open()
        walk.view("viewer")
        walk.page.locator("#images button", has_text=f"{tissue} · {modality}").click()
        walk.page.locator(".pane").wait_for()
        walk.page.click("text=1:1")
        seen, told = walk.canvas()
        compare(seen, told, expected(path, told))
        walk.well()


@pytest.mark.slow
def test_natural_colours_are_those_of_the_file(browser, client, lake_of_examples):
    walk = visit(browser, client).open()
    walk.view("viewer")
    walk.page.locator("#images button", has_text="· he").first.click()
    walk.page.locator(".pane").wait_for()
    walk.page.click("text=1:1")
    seen, told = walk.canvas()
    tissue = walk.page.evaluate("import('/main.js').then(({ page }) => page.viewer.first.found.tissue_id)")
    compare(seen, told, brightfield(read_region(open_image(path_of(lake_of_examples, "he", tissue)))))
    walk.well()


def test_everything_is_reached_by_keys(browser, client):
    walk = visit(browser, client).open()
    page = walk.page
    walk.tab_to("textarea")
    page.keyboard.press("Control+a")
    page.keyboard.type(
        "SELECT dataset, tissue_id, modality, mpp, tile_size, tile_id, row, col, 1 AS mine FROM tiles "
        "WHERE modality = 'imc' ORDER BY ALL"
    )
    page.keyboard.press("Control+Enter")
    page.locator(".head button", has_text="mine").wait_for()  # not the rows that the page began with
    page.keyboard.press("Escape")
    page.keyboard.press("Alt+2")
    page.locator("canvas.strip").first.wait_for()
    walk.tab_to("#gallery .scroll")
    for key in ("ArrowRight", "ArrowRight", "Space", "ArrowLeft", "Space"):
        page.keyboard.press(key)
    page.locator("#selection", has_text="2 rows selected").wait_for()
    page.keyboard.press("Enter")
    walk.complete()
    assert walk.state()["picked"] == [1]
    # the legend has what is shown, in its colours; keys hide and show it
    legend = page.locator(".pane .legend span")
    legend.first.wait_for()
    names = legend.all_inner_texts()
    shown = [marker for marker in page.evaluate(STATE)["markers"].values() if marker["on"]]
    assert sorted(names) == sorted(marker["name"] for marker in shown)
    page.keyboard.press("2")
    page.wait_for_function("(n) => document.querySelectorAll('.pane .legend span').length === n", arg=len(names) - 1)
    assert legend.all_inner_texts() == [names[0], *names[2:]]
    # outlines, moves, zoom; the scale bar is as long as a round number of microns
    for key in ("t", "m", "o", "ArrowDown", "+"):
        page.keyboard.press(key)
    walk.complete()
    told = page.evaluate(STATE)
    assert (told["tiles"], told["mask"], told["regions"]) == (True, True, False)
    page.keyboard.press("f")
    page.keyboard.press("-")
    walk.complete()
    page.wait_for_timeout(200)
    microns, zoom = page.evaluate(BAR)
    assert min(abs(microns - length) for length in (1, 2, 5, 10, 20, 50, 100, 200, 500)) <= 2.5 / zoom
    with page.expect_download():
        page.keyboard.press("p")
    page.keyboard.press("?")
    page.locator("#keys[open]").wait_for()
    page.keyboard.press("Escape")
    # both themes can be read
    themes = set()
    for _ in range(2):
        *inks, paper, raised = page.evaluate(INKS)
        assert min(contrast(ink, back) for ink in inks for back in (paper, raised)) >= 4.5
        themes.add((paper, page.evaluate(STATE)["theme"]))
        page.click("#theme")
    assert len(themes) == 2
    walk.well()


@pytest.mark.slow
def test_images_side_by_side_are_moved_together_and_a_marker_has_one_colour(browser, client, lake_of_examples):
    walk = visit(browser, client).open()
    page = walk.page
    walk.view("viewer")
    page.locator("#images button", has_text="· imc").first.click()
    walk.complete()
    page.locator("#channels input[type=color]:not(:disabled)").first.fill("#12ab9f")
    colours = {name: marker["colour"] for name, marker in page.evaluate(STATE)["markers"].items() if marker["on"]}
    assert "#12ab9f" in colours.values()
    page.keyboard.press("b")
    page.locator("#images button", has_text="· codex").first.click(modifiers=["Shift"])
    page.locator(".pane").nth(2).wait_for()
    for k in range(3):
        page.locator(".pane").nth(k).and_(page.locator('[data-complete="true"]')).wait_for()
    told = page.evaluate(
        "import('/main.js').then(({ page }) => [...page.viewer.panes.values()].map(({ found }) => "
        "found.channels.filter(({ marker }) => marker).map(({ marker, name, uniprot }) => [marker, name, uniprot])))"
    )
    own = {marker for marker, _, accession in told[0] if accession}
    both = own & {marker for marker, _, accession in told[2] if accession} & colours.keys()
    assert both
    texts = page.locator(".pane >> nth=2").locator(".legend span")
    painted = {
        texts.nth(k).inner_text(): texts.nth(k).evaluate("(span) => span.style.color") for k in range(texts.count())
    }
    for marker, name, _ in told[2]:
        if marker in both:
            red, green, blue = (int(colours[marker][k : k + 2], 16) for k in (1, 3, 5))
            assert painted[name] == f"rgb({red}, {green}, {blue})"
    # a drag on one moves all, by the same microns
    box = page.locator(".pane").nth(1).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    before = page.evaluate("import('/main.js').then(({ page }) => page.viewer.at)")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 30, y + 20, steps=4)
    page.mouse.up()
    at = page.evaluate(STATE)["at"]
    assert (at["x"] - before["x"]) * at["scale"] == pytest.approx(30)
    assert (at["y"] - before["y"]) * at["scale"] == pytest.approx(-20)
    middles = page.evaluate(MIDDLES)
    np.testing.assert_allclose(middles, [[at["x"], at["y"]]] * 3, atol=1)
    # the values of the cell under the pointer are those of the lake
    tissue = page.evaluate("import('/main.js').then(({ page }) => page.viewer.first.found.tissue_id)")
    with Catalog(lake_of_examples) as catalog:
        text = "SELECT cell_id, cell_type, row, col FROM cells WHERE tissue_id = ? ORDER BY area DESC LIMIT 1"
        cell, kind, row, col = catalog.sql(text, [tissue]).fetchall()[0]
    page.keyboard.press("f")
    view = page.evaluate("import('/main.js').then(({ page }) => page.viewer.first.view)")
    left, top, zoom = (view[name] for name in ("left", "top", "zoom"))
    x, y = left + (col + 0.5) * zoom, top + (row + 0.5) * zoom
    box = page.locator(".pane").first.bounding_box()
    page.mouse.move(box["x"] + x, box["y"] + y)
    page.locator("#cell dd", has_text=str(cell)).first.wait_for()
    page.locator("#cell dd", has_text=kind).first.wait_for()
    walk.well()


def test_the_cell_under_the_pointer_is_outlined_where_its_mask_ends(browser, client, lake_of_examples):
    image = next(
        one for one in client.ask("GET", "/api/images?q=imc%20l001_0001")[1]["images"] if one["modality"] == "imc"
    )
    where = f"dataset = '{image['dataset']}' AND tissue_id = '{image['tissue_id']}'"
    with Catalog(lake_of_examples) as catalog:
        path = catalog.sql(f"SELECT path FROM masks WHERE {where} AND kind = 'instances'").fetchall()[0][0]
        text = f"SELECT cell_id, CAST(row AS INT), CAST(col AS INT) FROM cells WHERE {where} ORDER BY area DESC LIMIT 1"
        cell, row, col = catalog.sql(text).fetchall()[0]
    labels = load_label_mask(lake_of_examples / path)
    scale = 8 / image["mpp"]
    at = {"y": row * image["mpp"], "x": col * image["mpp"], "scale": scale}
    walk = visit(browser, client).open({"view": "viewer", "images": [image["key"]], "at": at, "sql": "SELECT 1 AS one"})
    walk.complete()
    told = walk.page.evaluate(OUTLINED)
    assert (told["places"], told["zoom"]) == ([], 8)
    box = walk.page.locator(".pane").bounding_box()
    left, top = told["left"], told["top"]
    walk.page.mouse.move(box["x"] + left + 8 * col + 4, box["y"] + top + 8 * row + 4)
    walk.page.locator("#cell dd", has_text=str(cell)).first.wait_for()
    walk.complete()
    told = walk.page.evaluate(OUTLINED)
    # the oracle: two pixels of the screen wherever the mask of this cell, eight times as large, changes
    mask = np.pad(labels == cell, 1).repeat(8, axis=0).repeat(8, axis=1)
    change = np.zeros(mask.shape, bool)
    change[1:] |= (down := mask[1:] != mask[:-1])
    change[:-1] |= down
    change[:, 1:] |= (across := mask[:, 1:] != mask[:, :-1])
    change[:, :-1] |= across
    expected = np.zeros((told["height"], told["width"]), bool)
    rows, cols = np.nonzero(change)
    rows, cols = rows - 8 + round(top), cols - 8 + round(left)
    expected[rows, cols] = True
    seen = np.zeros(expected.shape, bool)
    seen.flat[told["places"]] = True
    assert np.array_equal(seen, expected)
    # where no cell is, none is told or outlined
    rows, cols = np.nonzero(labels[row - 20 : row + 20, col - 20 : col + 20] == 0)
    x, y = left + 8 * (col - 20 + int(cols[0])) + 4, top + 8 * (row - 20 + int(rows[0])) + 4
    walk.page.mouse.move(box["x"] + x, box["y"] + y)
    walk.page.locator("#cell", has_text="No cell is here.").wait_for()
    walk.complete()
    assert walk.page.evaluate(OUTLINED)["places"] == []
    walk.well()


BENEATH = """async () => {
  const { page } = await import('/main.js');
  while (!page.viewer.first.beneath?.complete) await new Promise(requestAnimationFrame);
}"""
"""Waits until the image beneath is there, which no promise within a ``wait_for_function`` does."""


def test_natural_colours_lie_beneath_channels(browser, client, lake_of_examples):
    image = client.ask("GET", "/api/images?q=imc%20l001_0001")[1]["images"]
    key = next(one["key"] for one in image if one["modality"] == "imc")
    state = {"view": "viewer", "images": [key], "beneath": True, "opacity": 0.6, "sql": "SELECT 1 AS one"}
    walk = visit(browser, client).open(state)
    walk.complete()
    walk.page.click("text=1:1")
    walk.page.evaluate(BENEATH)
    seen, told = walk.canvas()
    tissue = walk.page.evaluate("import('/main.js').then(({ page }) => page.viewer.first.found.tissue_id)")
    channels = expected(path_of(lake_of_examples, "imc", tissue), told)
    below = brightfield(read_region(open_image(path_of(lake_of_examples, "he", tissue))))
    cover = 0.6 * channels.max(axis=2, keepdims=True)
    compare(seen, told, below * (1 - cover) + 0.6 * channels)
    walk.page.keyboard.press("u")
    seen, told = walk.canvas()
    compare(seen, told, channels)
    walk.well()


@pytest.mark.slow
def test_a_click_filters_and_what_is_seen_is_saved(browser, client, lake_of_examples, tmp_path):
    walk = visit(browser, client).open()
    modalities = walk.page.locator(".head", has_text="modality").locator(".values button")
    modalities.get_by_text("codex", exact=True).click()  # the dataset tonsil_codex has H&E, too
    modalities.nth(1).wait_for(state="detached")
    text = walk.page.input_value("textarea")
    total = walk.page.evaluate("import('/main.js').then(({ page }) => page.rows.total)")
    with Catalog(lake_of_examples) as catalog:
        assert total == len(catalog.sql(text)) > 0
    walk.page.locator("#table .row").first.dblclick()
    walk.complete()
    walk.page.click("text=Fit")
    for name, times in (("PNG", 1), ("PNG \u00d74", 4)):
        with walk.page.expect_download() as download:
            walk.page.get_by_role("button", name=name, exact=True).click()
        download.value.save_as(tmp_path / "seen.png")
        box = walk.page.locator(".pane").bounding_box()
        picture = imread(tmp_path / "seen.png")
        assert picture.shape[:2] == pytest.approx((box["height"] * times, box["width"] * times), abs=times)
        assert picture[..., :3].max() > 0.5
    walk.well()


def test_two_million_rows_are_scrolled_with_few_elements_and_layouts(browser, client):
    walk = visit(browser, client).open({"sql": "SELECT i AS n, i % 7 AS k FROM range(2000000) AS r(i)"})
    walk.answered("2,000,000 rows")
    page, grid = walk.page, walk.page.locator("[role=grid]")
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def counts():
        told = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
        return told["LayoutCount"], page.locator("#table .row").count()

    for key, seen in (("End", "1999999"), ("PageUp", "19999"), ("Home", "0"), ("End", "1999999")):
        before, _ = counts()
        grid.press(key)
        page.locator("#table .row", has_text=seen).first.wait_for()
        after, rows = counts()
        assert 10 < rows < 60
        assert after - before < rows  # a row that is moved costs no layout of its own
    page.locator(".head button", has_text="n").first.click()
    page.locator(".head button", has_text="n \u2191").click()
    page.locator("#table .row", has_text="1999999").wait_for()
    walk.well()


def test_an_answer_without_rows_says_so_in_every_view_and_long_numbers_have_room(browser, client):
    walk = visit(browser, client).open({"sql": "SELECT dataset, tissue_id FROM tissues", "view": "gallery"})
    page = walk.page
    page.locator("canvas.strip").first.hover(position={"x": 40, "y": 40})
    page.locator("#gallery .caption", has_text="lung_imc").wait_for()
    page.fill("textarea", "SELECT dataset, tissue_id, row, col FROM tiles WHERE false")
    page.keyboard.press("Control+Enter")  # the pointer stays where the picture was
    walk.answered("0 rows in")
    assert page.locator("#gallery .caption").inner_text() == ""
    for view in ("table", "gallery", "scatter"):
        walk.view(view)
        page.locator(f"#{view} .empty", has_text="The answer has no rows.").wait_for()
    page.locator("#selection", has_text="The answer has no rows.").wait_for()
    assert page.get_by_role("button", name="Code").is_disabled()
    walk.view("table")
    page.fill("textarea", "SELECT pi() * 100 AS x, 1234567890123456789 AS n, 1.25e-30 AS low, 'a.b' AS t")
    page.click("#run")
    walk.answered("1 row in")
    cells = page.locator("#table .row span")
    cells.filter(has_text="a.b").wait_for()  # cells are there before their texts
    assert cells.all_inner_texts() == ["314.1593", "1234567890123456789", "1.25e-30", "a.b"]
    cells.first.hover()
    assert float(cells.first.get_attribute("title")) == np.pi * 100
    walk.well()


def test_a_lake_without_tiles_begins_with_its_images(browser, lake_of_examples, tmp_path):
    for folder in ("metadata", "imc/1_0mpp/images"):
        shutil.copytree(lake_of_examples / "lung_imc" / folder, tmp_path / "lake/lung_imc" / folder)
    for path in (lake_of_examples / "lung_imc/imc").glob("*.parquet"):
        shutil.copy(path, tmp_path / "lake/lung_imc/imc")
    with serving(tmp_path / "lake") as client:
        walk = visit(browser, client).open()
        walk.answered("4 rows in")
        walk.page.locator("#table .row").nth(3).wait_for()
        walk.well()


TWICE = """import("/rows.js").then(({ rows }) => Promise.all(
  ["sum(hash(r.range)) FROM range(20000000000) r", "2 AS b"].map((sql) => rows.run(`SELECT ${sql}`, null))
).then((told) => [told.map(({ state }) => state), rows.columns.map(({ name }) => name)]))"""
CLOSED = """async () => {
  const { page } = await import("/main.js");
  window.let_go = new WeakRef(page.viewer.first);
  page.viewer.close(page.viewer.first.key);
}"""


def test_choices_for_what_was_typed_earlier_are_not_taken(browser, client):
    page = visit(browser, client).open().page
    page.fill("textarea", "")
    page.click("textarea")
    page.keyboard.type("SELECT canc")
    page.locator(".choices li", has_text="cancer_type").wait_for()
    page.route("**/api/complete", lambda route: route.abort())  # as if it were late
    page.keyboard.type("an")
    page.keyboard.press("Enter")
    assert page.input_value("textarea") == "SELECT cancan\n"


def test_what_goes_wrong_is_told_and_what_is_over_is_let_go(browser, client):
    walk = visit(browser, client).open()
    page = walk.page
    # of two queries asked at once the last is answered, and the first ended
    assert page.evaluate(TWICE) == [["stopped", "done"], ["b"]]
    known = client.server._explorer.queries._known
    for _ in range(100):
        if all(query.state != "running" for query in known.values()):
            break
        page.wait_for_timeout(50)
    else:
        raise AssertionError("the first query still runs")
    # a refusal that nobody waits for
    page.evaluate("import('/main.js').then(({ page }) => void page.tags.select('nope'))")
    walk.answered("its rows cannot be tagged")
    assert "bad" in page.locator("#status").get_attribute("class")
    # an image that cannot be opened says why in its place; others of a tissue are opened as long as there is room
    (image, *_) = client.ask("GET", "/api/images?q=imc")[1]["images"]
    walk.view("viewer")
    page.evaluate("import('/main.js').then(({ page }) => page.viewer.open('0000'))")
    page.locator(".pane .fault", has_text="Unknown image '0000'").wait_for()
    page.evaluate("(key) => import('/main.js').then(({ page }) => page.viewer.open(key))", image["key"])
    walk.complete()
    others = [image | {"key": f"000{k}", "dataset": image["dataset"] + "x" * (k == 1)} for k in range(6)]
    page.route(lambda url: "/api/images?q=" in url, lambda route: route.fulfill(json={"images": [image, *others]}))
    page.evaluate("import('/main.js').then(({ page }) => page.viewer.beside())")
    assert page.evaluate(STATE)["images"] == [image["key"], "0000", "0002", "0003"]
    # what is closed holds nothing
    page.evaluate(CLOSED)
    session = page.context.new_cdp_session(page)
    for _ in range(100):
        session.send("HeapProfiler.collectGarbage")
        if page.evaluate("window.let_go.deref() === undefined"):
            break
        page.wait_for_timeout(50)
    else:
        raise AssertionError("a pane that was closed is still held")
    assert [fault for fault in walk.faults if not re.search("40[04]|ERR_ABORTED", fault)] == []


@pytest.mark.slow
def test_an_endless_query_is_stopped_from_the_page(browser, client):
    walk = visit(browser, client).open()
    walk.page.fill("textarea", "SELECT sum(hash(a.range)) FROM range(20000000000) a")
    walk.page.click("#run")
    walk.answered("Running")
    walk.page.click("textarea")
    walk.page.keyboard.press("End")
    walk.page.keyboard.type(" WHERE canc")
    walk.page.locator(".choices li", has_text="cancer_type").wait_for()
    walk.page.click("#stop")
    walk.answered("Stopped")
    walk.page.fill("textarea", "SELECT 41 + 1 AS answer")
    walk.page.click("#run")
    walk.answered("1 row in")
    walk.well()


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(700, 900), (3840, 2160)])
def test_nothing_stands_outside_of_a_window(browser, client, width, height):
    walk = visit(browser, client, width=width, height=height).open()
    for view in ("table", "gallery", "viewer", "scatter"):
        walk.view(view)
        wide = walk.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
        assert wide == [width, height]
    walk.well()
