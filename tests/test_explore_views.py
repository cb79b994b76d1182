"""What the page shows and says while much happens at once, in a real browser; skipped where there is no Chromium."""

import shutil

import numpy as np
import pytest

from browsing import needs_chromium, visit
from exploring import serving_anew
from lakes import write_lake
from spora_db import Catalog
from spora_db.images import write_omezarr

pytestmark = needs_chromium

SEEN = """import("/main.js").then(({ page: { viewer: { first, at } } }) => (
  { ...first.view, height: first.found.height, width: first.found.width, at,
    tall: first.box.clientHeight, wide: first.box.clientWidth }))"""
DRAWN = """import("/main.js").then(({ page: { viewer: { first: { canvas, box } } } }) => [
  document.documentElement.clientWidth, document.documentElement.clientHeight, box.dataset.complete,
  canvas.width - box.clientWidth, canvas.height - box.clientHeight])"""
TOLD = """() => {
  window.told = [];
  const status = document.querySelector("#status");
  new MutationObserver(() => window.told.push(status.textContent)).observe(status, { childList: true });
}"""


RUNNING = """async () => {
  const { rows } = await import("/rows.js");
  while (!rows.running) await new Promise(requestAnimationFrame);
}"""
FAILING = """(what) => {
  const { fetch } = window;
  let failed = false;
  window.fetch = (path, options) => {
    if (failed || !path.includes(what)) return fetch(path, options);
    failed = true;
    return Promise.resolve(new Response('{"error": "not now"}', { status: 503 }));
  };
}"""
ONE_FAILS = """async () => {
  const { Pieces } = await import("/pieces.js");
  const told = [];
  const headers = { "X-Shape": "1,1,1", "X-Dtype": "float32" };
  window.fetch = (path) => Promise.resolve(path.includes("/0/0/0?")
    ? new Response('{"error": "not now"}', { status: 503 }) : new Response(new Float32Array(1), { headers }));
  const heard = { changed() {}, failed: (message) => told.push(message) };
  const pieces = new Pieces({ key: "k", signature: "s" }, { texture: () => ({}) }, heard);
  for (const col of [0, 1]) await pieces.take({ level: 0, row: 0, col, pages: [0] });
  const first = [...told];
  while (told.length < 2) await new Promise(requestAnimationFrame);
  return [first, told, [...pieces.pieces.keys()]];
}"""
STRIP = """() => {
  const strip = document.querySelector("canvas.strip");
  const copy = new OffscreenCanvas(300, 96).getContext("2d", { willReadFrequently: true });
  if (strip) copy.drawImage(strip, 0, 0);
  return [...copy.getImageData(0, 0, 300, 96).data];
}"""
POINTS = """import("/main.js").then(({ page: { scatter: { gl, canvas } } }) => {
  const found = new Uint8Array(4 * canvas.width * canvas.height);
  gl.readPixels(0, 0, canvas.width, canvas.height, gl.RGBA, gl.UNSIGNED_BYTE, found);
  return found.filter((value, k) => k % 4 === 3 && value).length;
})"""
CARD = """(of) => import("/main.js").then(({ page }) => {
  const { gl } = of.split(".").reduce((value, name) => value[name], page);
  window.card = gl.getExtension("WEBGL_lose_context");
  window.card.loseContext();
})"""


def is_drop(request):
    return request.method == "DELETE"


def images(client, modality):
    return [one for one in client.ask("GET", "/api/images")[1]["images"] if one["modality"] == modality]


def test_a_picture_waits_for_nothing_that_it_does_not_need(browser, tmp_path):
    lake = write_lake(tmp_path / "lake", tissues=2)
    with Catalog(lake) as catalog:
        tissue, name, count = catalog.sql(
            "SELECT tissue_id, path, count(*) FROM images JOIN tissue_channels USING (dataset, modality, tissue_id) "
            "WHERE measured AND modality = 'imc' GROUP BY ALL ORDER BY ALL LIMIT 1"
        ).fetchall()[0]
    shutil.rmtree(lake / name)
    write_omezarr(lake / name, np.random.default_rng(5).gamma(1.5, 30, (count, 1100, 700)).astype("f4"), mpp=1.0)
    with serving_anew(lake, tmp_path / "cache") as client:
        walk = visit(browser, client).open({"view": "viewer"})
        held, limits, early = [], [], []
        walk.page.route(
            "**/tiles/1/**", lambda route: held.append(route)
        )  # the coarse level, for which all of the image is read
        walk.page.on("requestfinished", lambda request: "/limits" in request.url and limits.append(request))
        walk.page.on("request", lambda request: "/histogram" in request.url and not limits and early.append(request))
        walk.page.locator("#images button", has_text=f"{tissue} · imc").click()
        walk.complete()
        assert early == []
        while not held:
            walk.page.wait_for_timeout(50)
        for route in held:
            route.continue_()
        walk.settled()
        walk.complete()
        assert any("/histogram" in url for url in walk.requests)
        assert len(held) == len([url for url in walk.requests if "/tiles/1/" in url]) == 1
        walk.well()


def test_images_that_share_their_names_are_told_apart(browser, tmp_path):
    lake = write_lake(tmp_path / "lake", tissues=2)
    study = min(path.parent.parent.name for path in lake.glob("*/imc/channels.parquet"))
    shutil.copytree(lake / study / "imc", lake / "zz_again" / "imc")
    with serving_anew(lake, tmp_path / "cache") as client:
        tissue = min(one["tissue_id"] for one in images(client, "imc") if one["dataset"] == "zz_again")
        walk = visit(browser, client).open({"view": "viewer", "sql": "SELECT 1 AS one"})
        listed = walk.page.locator("#images button")
        listed.first.wait_for()
        names = listed.all_inner_texts()
        assert len(set(names)) == len(names)
        assert {f"{tissue} · imc · {own}, 1 µm per pixel" for own in (study, "zz_again")} < set(names)
        listed.filter(has_text=f"{tissue} · imc · zz_again").click()
        title = walk.page.locator(".pane .title", has_text="zz_again")
        title.wait_for()
        assert title.inner_text().startswith(f"{tissue} · imc")
        listed.filter(has_text=f"{tissue} · imc · {study}").click(modifiers=["Shift"])
        walk.page.locator('.pane[data-complete="true"]').nth(1).wait_for()
        walk.page.route("**/outlines/regions", lambda route: route.fulfill(json={"regions": []}))
        walk.page.keyboard.press("r")
        walk.answered("2 of 2 images have no regions")
        told = walk.page.locator("#status").inner_text()
        assert all(f"{tissue} · imc · {own}, 1 µm per pixel" in told for own in (study, "zz_again"))


@pytest.mark.slow
def test_histograms_come_although_limits_failed(browser, client):
    (image, *_) = images(client, "imc")
    walk = visit(browser, client).open({"view": "viewer", "sql": "SELECT 1 AS one"})
    walk.page.route("**/limits?*", lambda route: route.fulfill(status=503, body="not now"), times=1)
    walk.page.locator("#images button", has_text=f"{image['tissue_id']} · imc").click()
    walk.page.locator(".fault:not(:empty)").first.wait_for()
    assert any("/histogram" in url for url in walk.settled())


@pytest.mark.some(2)
@pytest.mark.parametrize("what", ["/limits?", "/tiles/"])
def test_what_failed_once_is_asked_for_again(browser, client, what):
    (image, *_) = images(client, "imc")
    walk = visit(browser, client).open({"view": "viewer", "sql": "SELECT 1 AS one"})
    walk.page.evaluate(FAILING, what)
    walk.page.locator("#images button", has_text=f"{image['tissue_id']} · imc").click()
    walk.page.locator(".fault:not(:empty)").first.wait_for()
    assert walk.page.locator(".fault").inner_text() == "not now"
    walk.complete()
    assert walk.page.locator(".fault").inner_text() == ""
    seen, _ = walk.canvas()
    assert seen.max() > 60
    limits = [url.split("?")[1] for url in walk.settled() if "/limits?" in url]
    assert len(limits) == len(set(limits)) == 1  # all at once; the first that failed never left the page
    walk.well()


def test_what_failed_is_told_until_it_is_asked_for_again_though_other_pieces_come(browser, client):
    walk = visit(browser, client).open({"sql": "SELECT 1 AS one"})
    assert walk.page.evaluate(ONE_FAILS) == [["not now"], ["not now", ""], ["0/0/1/0"]]


@pytest.mark.parametrize("taken", [True, False], ids=["taken", "come"])
def test_a_picture_comes_back_with_the_graphics_card(browser, client, taken):
    (image, *_) = images(client, "imc")
    walk = visit(browser, client).open({"view": "viewer", "images": [image["key"]], "sql": "SELECT 1 AS one"})
    page = walk.page
    if taken:
        before, _ = walk.canvas()
    page.evaluate(CARD, "viewer.first.compositor")
    page.locator(".fault", has_text="The browser took the graphics card away").wait_for()
    page.evaluate("window.card.restoreContext()")
    walk.complete()
    seen, _ = walk.canvas()
    assert seen.max() > 60
    if taken:
        np.testing.assert_array_equal(seen, before)
    assert page.locator(".fault").inner_text() == ""
    walk.well()


@pytest.mark.slow
def test_pictures_and_points_come_back_with_the_graphics_card(browser, client):
    sql = "SELECT dataset, tissue_id, modality, mpp, 1 AS a, 2 AS b FROM images ORDER BY ALL LIMIT 3"
    walk = visit(browser, client).open({"view": "gallery", "sql": sql})
    page = walk.page

    def pictures(count):
        """Return the pixels of the first strip once so many pictures are drawn and remain so."""
        found = before = None
        while before is None or not np.array_equal(found, before):
            page.wait_for_timeout(300)
            found, before = np.array(page.evaluate(STRIP)).reshape(96, -1, 4), found
            if np.count_nonzero(found[48, 48::100, 3] == 255) != count:  # what waits is half transparent
                found = None
        return found

    pictures(3)
    walk.settled()
    before = pictures(3)
    page.evaluate(CARD, "gallery.compositor")
    pictures(0)
    page.evaluate("window.card.restoreContext()")
    pictures(3)
    walk.settled()
    np.testing.assert_array_equal(pictures(3), before)

    walk.view("scatter")
    page.locator("#scatter[data-drawn*='points']").wait_for()
    count = page.evaluate(POINTS)
    assert count > 0
    page.evaluate(CARD, "scatter")
    walk.answered("The browser took the graphics card away")
    assert page.evaluate(POINTS) == 0
    page.evaluate("window.card.restoreContext()")
    while page.evaluate(POINTS) != count:
        page.wait_for_timeout(50)
    walk.well()


@pytest.mark.slow
def test_pictures_of_rows_that_failed_once_are_asked_for_again(browser, client):
    walk = visit(browser, client).open({"sql": "SELECT dataset, tissue_id, modality, mpp FROM images LIMIT 3"})
    walk.page.route("**/thumbs", lambda route: route.fulfill(status=503, body="not now"), times=1)
    walk.view("gallery")
    drawn = "page.gallery.thumbs.values()].filter(({ textures }) => textures).length"
    while walk.page.evaluate(f"import('/main.js').then(({{ page }}) => [...{drawn})") < 3:
        walk.page.wait_for_timeout(100)


def test_channels_of_the_gallery_can_be_chosen_though_its_first_row_is_brightfield(browser, client):
    text = """
        SELECT dataset, tissue_id, modality, mpp FROM images
        WHERE modality IN ('he', 'imc') ORDER BY modality, dataset, tissue_id
    """
    walk = visit(browser, client).open({"view": "gallery", "sql": text})
    walk.page.locator("#channels .channel").first.wait_for()
    assert walk.page.locator("#channels .channel:not(.off)").count() > 0
    walk.well()
    walk = visit(browser, client).open({"view": "gallery", "sql": text.replace(", 'imc'", "")})
    walk.page.locator("#channels", has_text="An image in natural colours.").wait_for()


def test_an_image_that_fits_its_window_fits_it_again_until_it_is_moved(browser, client):
    (image, *_) = images(client, "imc")
    walk = visit(browser, client).open({"view": "viewer", "images": [image["key"]], "sql": "SELECT 1 AS one"})
    page = walk.page

    def seen(width, height):
        page.set_viewport_size({"width": width, "height": height})
        while page.evaluate(DRAWN) != [width, height, "true", 0, 0]:
            page.wait_for_timeout(50)
        return page.evaluate(SEEN)

    zooms = set()
    for size in ((1280, 800), (900, 800), (1700, 420), (1280, 800)):
        told = seen(*size)
        sides = [(told["height"], told["tall"], told["top"]), (told["width"], told["wide"], told["left"])]
        assert max(side * told["zoom"] / room for side, room, _ in sides) == pytest.approx(0.96)
        for side, room, start in sides:
            assert start + side * told["zoom"] / 2 == pytest.approx(room / 2, abs=1)
        zooms.add(round(told["zoom"], 6))
    assert len(zooms) == 3
    assert walk.state()["at"] is None  # so the address shows it as a whole in any window
    page.keyboard.press("+")
    moved = seen(1280, 800)["at"]
    assert seen(900, 600)["at"] == moved == walk.state()["at"]
    page.keyboard.press("f")
    told = seen(1280, 800)
    assert max(told["height"] * told["zoom"] / told["tall"], told["width"] * told["zoom"] / told["wide"]) == (
        pytest.approx(0.96)
    )
    walk.well()


@pytest.mark.slow
def test_rows_of_the_query_before_are_not_taken_for_an_answer(browser, client):
    walk = visit(browser, client).open({"sql": "SELECT i AS n FROM range(7) AS r(i)"})
    page, note = walk.page, walk.page.locator("#before")
    assert note.is_hidden()
    page.fill("textarea", "SELECT nope FROM tissues")
    page.click("#run")
    walk.answered("Unknown column 'nope'")
    assert note.inner_text() == "The rows below are those of the query before."
    assert page.locator("#table").evaluate("(table) => getComputedStyle(table).opacity") == "0.5"
    assert page.locator("#table .row").count() == 7
    page.fill("textarea", "SELECT i AS n FROM range(3) AS r(i)")
    page.click("#run")
    walk.answered("3 rows in")
    assert note.is_hidden()
    assert page.locator("#table").evaluate("(table) => getComputedStyle(table).opacity") == "1"
    page.fill("textarea", "SELECT sum(hash(r.range)) FROM range(20000000000) r")
    page.click("#run")
    walk.answered("Running")
    page.click("#stop")
    walk.answered("Stopped.")
    assert note.is_visible()
    # of a query that runs it is said what takes long
    page.route(
        "**/api/queries/*",
        lambda route: route.fulfill(json={"state": "running", "doing": "Comparing 7 vectors."}),
        times=8,
    )
    page.fill("textarea", "SELECT 1 AS a")
    page.click("#run")
    walk.answered("s: Comparing 7 vectors.")
    walk.answered("1 row in")
    page.fill("textarea", "SELECT sum(hash(r.range)) FROM range(20000000000) r")
    # a query that another took the place of says nothing any more
    page.click("#run")
    walk.answered("Running")
    page.wait_for_timeout(700)  # it is asked for now and then
    page.evaluate(TOLD)
    page.fill("textarea", "SELECT 2 AS b")
    page.click("#run")
    walk.answered("1 row in")
    page.wait_for_timeout(700)
    assert note.is_hidden()
    assert "Stopped." not in page.evaluate("window.told")
    walk.well()


def test_what_several_images_lack_is_said_once(browser, client):
    shown = [images(client, modality)[0] for modality in ("imc", "he", "codex")]
    keys = [one["key"] for one in shown]
    walk = visit(browser, client).open({"view": "viewer", "images": keys, "sql": "SELECT 1 AS one"})
    for k in range(3):
        walk.page.locator(".pane").nth(k).and_(walk.page.locator('[data-complete="true"]')).wait_for()
    walk.page.evaluate(TOLD)
    walk.page.route("**/outlines/regions", lambda route: route.fulfill(json={"regions": []}))
    walk.page.keyboard.press("r")
    walk.answered("have no regions")
    walk.settled()
    names = ", ".join(f"{one['tissue_id']} · {one['modality']}" for one in shown)
    assert walk.page.evaluate("window.told") == [f"3 of 3 images have no regions: {names}."]
    walk.well()


def test_a_row_that_says_no_tissue_opens_no_image(browser, client):
    text = "SELECT dataset, nullif(tissue_id, tissue_id) AS tissue_id FROM images LIMIT 1"
    for sql in ("SELECT 1 AS one", text):
        walk = visit(browser, client).open({"sql": sql})
        walk.page.locator("#table .row").first.dblclick()
        walk.answered("The row says no dataset and tissue_id")
        assert (walk.state()["view"], walk.state()["images"]) == ("table", [])
        walk.well()


@pytest.mark.parametrize(("made", "words"), [(False, "Reading the image"), (True, "no coarse levels, so one is made")])
def test_a_picture_that_is_long_in_coming_is_said_to_be(browser, client, made, words):
    (image, *_) = images(client, "imc")
    found = client.ask("GET", f"/api/images/{image['key']}")[1]
    found["levels"] = [{**level, "made": made} for level in found["levels"]]
    walk = visit(browser, client)
    walk.page.route(f"**/api/images/{image['key']}", lambda route: route.fulfill(json=found))
    held = []
    walk.page.route("**/tiles/**", lambda route: held.append(route))
    walk.open({"view": "viewer", "images": [image["key"]], "sql": "SELECT 1 AS one"})
    note = "getComputedStyle(document.querySelector('.pane'), '::after')"
    walk.page.wait_for_function(f"() => {note}.opacity === '1'")
    assert words in walk.page.evaluate(f"{note}.content")
    while walk.page.locator(".pane").get_attribute("data-complete") != "true":
        while held:
            held.pop().continue_()
        walk.page.wait_for_timeout(50)
    assert walk.page.evaluate(f"{note}.content") == "none"
    walk.well()


@pytest.mark.slow
def test_what_stops_a_query_ends_no_other(browser, client):
    walk = visit(browser, client).open()
    page = walk.page
    page.fill("textarea", "SELECT sum(hash(a.range)) FROM range(20000000000) a")
    page.click("#run")
    walk.answered("Running")
    held = []
    page.route("**/api/queries/*", lambda route: held.append(route) if is_drop(route.request) else route.continue_())
    page.click("#stop")
    while not held:
        page.wait_for_timeout(20)
    page.fill("textarea", "SELECT sum(hash(b.range)) FROM range(20000000000) b")
    page.click("#run")
    page.evaluate(RUNNING)
    page.evaluate(TOLD)
    with page.expect_event("requestfinished", is_drop):
        held[0].continue_()
    page.wait_for_timeout(100)
    assert page.evaluate("window.told.filter((text) => !text.startsWith('Running'))") == []
    assert page.is_enabled("#stop")
    # what the server has forgotten is told once, and holds up no other query
    page.unroute("**/api/queries/*")
    for query in client.server._explorer.queries._known.values():
        if query.asker is not None:
            query.asker.end()
    client.server._explorer.queries._known.clear()
    walk.answered("Ask it again")
    page.fill("textarea", "SELECT 41 + 1 AS answer")
    page.click("#run")
    walk.answered("1 row in")
