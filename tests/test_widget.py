"""The viewer in a notebook: its messages give the pixels of the files, and its front end draws what pictures are."""

import base64
import json
import sys
import threading
import time

import numpy as np
import pytest

from browsing import chromium, compare, expected, needs_chromium
from notebook import viewed
from spora_db import Catalog, SporaQuery, plot
from spora_db.errors import ArgumentError, MissingExtraError, QueryError, UnknownNameError
from spora_db.explore.routes import STATIC
from spora_db.images import open_image, read_region

TISSUE = "lung_imc_l001_0001"


@pytest.fixture
def lake(lake_of_examples, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    return lake_of_examples


def image_path(lake, modality):
    with Catalog(lake) as catalog:
        asked = "SELECT path FROM images WHERE modality = ? AND tissue_id = ?"
        return lake / catalog.sql(asked, [modality, TISSUE]).fetchall()[0][0]


def test_planes_are_the_pixels_of_the_file(lake):
    with viewed(SporaQuery(lake).modality("imc").tiles(size=128, mpp=1.0), TISSUE) as talk:
        told, content = talk.get(f"api/images/{talk.viewer.first}")
        assert (told["status"], json.loads(content)["tissue_id"]) == (200, TISSUE)
        told, content = talk.get(f"api/images/{talk.viewer.first}/tiles/0/0/0?pages=3,0")
        shape = tuple(map(int, told["headers"]["x-shape"].split(",")))
        planes = np.frombuffer(content, told["headers"]["x-dtype"]).reshape(shape)
        np.testing.assert_array_equal(planes, read_region(open_image(image_path(lake, "imc")), [3, 0]))


def test_it_lists_the_images_and_outlines_the_tiles_of_the_query(lake):
    query = SporaQuery(lake).modality("imc", "he").tiles(size=128, mpp=1.0).where(f"tissue_id = '{TISSUE}'")
    rows = query.df()
    with viewed(query) as talk:
        images = json.loads(talk.get("api/images")[1])["images"]
        assert [(image["tissue_id"], image["modality"]) for image in images] == [(TISSUE, "imc"), (TISSUE, "he")]
        assert [image["modality"] for image in json.loads(talk.get("api/images?q=HE")[1])["images"]] == ["he"]
        (tiling,) = json.loads(talk.get(f"api/images/{images[1]['key']}/outlines/tiles")[1])["tilings"]
        assert tiling["size"] == 128
        assert sorted(tiling["tiles"]) == sorted(rows[["row", "col"]].to_numpy().tolist())


def test_a_tissue_is_shown_first_and_others_are_listed(lake):
    query = SporaQuery(lake).modality("imc").tissues(mpp=1.0)
    last = query.df()["tissue_id"].iloc[-1]
    with viewed(query, last) as talk:
        images = json.loads(talk.get("api/images")[1])["images"]
        assert (images[0]["key"], images[0]["tissue_id"]) == (talk.viewer.first, last)
        assert {image["tissue_id"] for image in images} == set(query.df()["tissue_id"])
        key = talk.viewer.first
        assert json.loads(talk.get(f"api/images/{key}/outlines/tiles")[1])["tilings"] == []


def test_a_tissue_is_looked_for_in_its_dataset_only(lake):
    query = SporaQuery(lake).modality(("imc", "codex")).tissues(mpp=1.0)
    rows = query.df()[["dataset", "tissue_id"]]
    other = next(name for name in rows["dataset"] if name != rows.set_index("tissue_id")["dataset"][TISSUE])
    with pytest.raises(UnknownNameError, match=TISSUE):
        query.view(TISSUE, dataset=other)
    with viewed(query, dataset=other) as talk:
        images = json.loads(talk.get("api/images")[1])["images"]
        assert [image["dataset"] for image in images] == sorted(rows["dataset"], key=lambda name: name != other)
    with pytest.raises(UnknownNameError, match="5"):
        query.view(5)


@pytest.mark.parametrize(
    ("path", "status"),
    [("api/images/0000", 404), ("api/lake", 404), ("api/images/KEY/tiles/0/0/0?pages=99", 400), ("../routes.py", 404)],
)
def test_what_is_wrong_is_answered_not_raised(lake, path, status):
    with viewed(SporaQuery(lake).modality("imc").tissues(mpp=1.0)) as talk:
        assert talk.get(path.replace("KEY", talk.viewer.first))[0]["status"] == status


def test_where_no_widget_is_shown_a_sentence_says_what_it_was(lake):
    with viewed(SporaQuery(lake).modality("imc").tissues(mpp=1.0)) as talk:
        text = talk.viewer._repr_mimebundle_()[0]["text/plain"]
        assert text == "Viewer of 4 images, lung_imc_l001_0001 first: run this cell to look at it."


def test_the_modules_come_as_messages(lake):
    with viewed(SporaQuery(lake).modality("imc").tissues(mpp=1.0)) as talk:
        for name in ("pane.js", "page.css"):
            assert talk.get(name)[1] == (STATIC / name).read_bytes()


def let_go():
    """Wait until no viewer has threads that answer."""
    for _ in range(200):
        if not any(thread.name.startswith("viewer") for thread in threading.enumerate()):
            return
        time.sleep(0.05)
    raise AssertionError("an output that is gone still holds threads and a catalog")


def test_an_output_that_is_gone_holds_nothing_and_another_asks_again(lake):
    with viewed(SporaQuery(lake).modality("imc").tissues(mpp=1.0)) as talk:
        path = f"api/images/{talk.viewer.first}"
        before = talk.get(path)[1]
        for _ in range(2):
            talk.viewer._handle_custom_msg({"gone": True}, [])
        let_go()
        assert talk.get(path)[1] == before
    let_go()


def test_what_cannot_be_looked_at_is_refused_by_name(lake, monkeypatch):
    query = SporaQuery(lake).modality("imc").tissues(mpp=1.0)
    with pytest.raises(UnknownNameError, match="lung_imc_l001_0001"):
        query.view("nope")
    with pytest.raises(QueryError, match="nothing to look at"):
        query.where("FALSE").view()
    with pytest.raises(ArgumentError, match="height"):
        query.view(height=20)
    with pytest.raises(ArgumentError, match=r"plot\.view"):
        plot.view(str(lake))
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(MissingExtraError, match=r'pip install "spora-db\[widget\]"'):
        query.view()


# a page that has no more than anywidget gives a front end: get, send, on, off, and an element
HOST = """<!doctype html><meta charset="utf-8"><div id="output"></div><script type="module">
const heard = new Set();
const model = {
  get: (name) => window.traits[name],
  on: (name, call) => name === "msg:custom" && heard.add(call),
  off: (name, call) => heard.delete(call),
  send: async (content) => {
    const answer = await window.kernel(JSON.stringify(content));
    if (!answer) return;
    const [told, text] = answer;
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    for (const call of [...heard]) call(told, [new DataView(bytes.buffer)]);
  },
};
window.heard = heard;
window.begin = async (esm) => {
  const address = URL.createObjectURL(new Blob([esm], { type: "text/javascript" }));
  const { default: front } = await import(address);
  window.end = await front.render({ model, el: document.getElementById("output") });
};
</script>"""
PIXELS = """async () => {
  const { viewer } = document.getElementById("output");
  const pane = viewer.first;
  const text = (pixels) => Array.from({ length: Math.ceil(pixels.length / 32768) },
    (_, k) => String.fromCharCode(...pixels.subarray(k * 32768, (k + 1) * 32768))).join("");
  pane.draw();
  const { width, height } = pane.canvas;
  return { pixels: btoa(text(pane.compositor.pixels())), width, height, ...pane.view, shown: pane.shown };
}"""


@needs_chromium
def test_an_output_without_its_kernel_says_so_until_it_answers():
    held = []
    with chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(90_000)
        page.route("**/*", lambda route: route.fulfill(body=HOST, content_type="text/html"))
        page.expose_function("kernel", lambda text: held.append(text))
        page.goto("http://127.0.0.1/")
        page.evaluate("(traits) => void (window.traits = traits)", {"first": "0000", "height": 500})
        page.evaluate("(esm) => void window.begin(esm)", (STATIC / "widget.js").read_text())
        note = page.locator("#output p", has_text="run the cell again")
        note.wait_for()
        told = {"id": json.loads(held[0])["id"], "status": 404, "headers": {}}
        page.evaluate("(told) => heard.forEach((call) => call(told, [new DataView(new ArrayBuffer(0))]))", told)
        note.wait_for(state="hidden")


@needs_chromium
def test_the_canvas_in_a_notebook_is_what_pictures_are(lake):
    query = SporaQuery(lake).modality("imc").tiles(size=128, mpp=1.0)
    faults, requests = [], []
    with viewed(query, TISSUE, height=500) as talk, chromium() as browser:

        def kernel(text):
            if "gone" in text:
                return talk.viewer._handle_custom_msg(json.loads(text), [])
            told, (content,) = talk.ask(json.loads(text))
            return [told, base64.b64encode(content).decode()]

        page = browser.new_page(viewport={"width": 1100, "height": 700})
        page.set_default_timeout(90_000)
        page.on("console", lambda message: message.type in ("error", "warning") and faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.route("**/*", lambda route: route.fulfill(body=HOST, content_type="text/html"))
        page.expose_function("kernel", kernel)
        page.goto("http://127.0.0.1/")
        page.evaluate("(traits) => void (window.traits = traits)", {"first": talk.viewer.first, "height": 500})
        page.evaluate("(esm) => window.begin(esm)", str(talk.viewer._esm))
        page.click("text=1:1")
        page.locator('.pane[data-complete="true"]').wait_for()
        told = page.evaluate(PIXELS)
        seen = np.frombuffer(base64.b64decode(told["pixels"]), np.uint8).reshape(told["height"], told["width"], 4)
        compare(seen[..., :3].astype(int), told, expected(image_path(lake, "imc"), told))
        # the page around keeps its address; its only requests are itself and modules in its memory
        assert [url for url in requests if not url.startswith(("http://127.0.0.1/", "blob:"))] == []
        assert requests.count("http://127.0.0.1/") == sum(not url.startswith("blob:") for url in requests) == 1
        assert page.url == "http://127.0.0.1/"
        theme = "document.querySelector('#output').shadowRoot.querySelector('main').dataset.theme"
        for light, name in (("true", "light"), ("false", "dark")):
            page.evaluate("(light) => void (document.body.dataset.jpThemeLight = light)", light)
            page.wait_for_function(f"{theme} === '{name}'")
        page.evaluate("window.end()")
        let_go()
        assert page.evaluate("window.heard.size") == page.locator(".pane").count() == 0
        assert faults == []
