"""A page in a real browser that can reach this machine only, and what goes wrong on it; skipped without Chromium."""

import base64
import contextlib
import json
import shutil
from collections.abc import Iterator
from urllib.parse import quote

import numpy as np
import pytest

from spora_db import Catalog
from spora_db.drawing.composite import composite
from spora_db.images import open_image, read_region

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="needs Chromium, which is not installed (apt-get install chromium)"
)

ARGUMENTS = [
    "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip
PIXELS = """async () => {
  const { page } = await import("/main.js");
  const pane = page.viewer.first;
  pane.draw();
  const pixels = pane.compositor.pixels();
  let text = "";
  for (let k = 0; k < pixels.length; k += 32768) text += String.fromCharCode(...pixels.subarray(k, k + 32768));
  const { left, top, zoom } = pane.view;
  const limits = (await import("/images.js")).shown(pane.found);
  return { pixels: btoa(text), width: pane.canvas.width, height: pane.canvas.height, left, top, zoom, shown: limits };
}"""


class Visit:
    """A page of the browser, and all that went wrong on it."""

    def __init__(self, context, client) -> None:
        self.client = client
        self.page = context.new_page()
        self.requests = []
        self.faults = []
        self.open_requests = set()
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("request", lambda request: self.open_requests.add(request))
        for event in ("requestfinished", "requestfailed"):
            self.page.on(event, lambda request: self.open_requests.discard(request))
        self.page.on(
            "console", lambda message: message.type in ("error", "warning") and self.faults.append(message.text)
        )
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("requestfailed", lambda request: self.faults.append(f"{request.url}: {request.failure}"))

    def open(self, state=None):
        rest = "" if state is None else f"&s={quote(json.dumps(state))}"
        self.page.goto(self.client.server.address + rest)
        self.answered("row")
        return self

    def answered(self, text):
        self.page.locator("#status", has_text=text).wait_for()

    def view(self, name):
        self.page.click(f"[data-view={name}][role=tab]")

    def complete(self):
        self.page.locator('.pane[data-complete="true"]').first.wait_for()

    def tab_to(self, selector):
        """Press Tab until an element has the focus."""
        for _ in range(80):
            self.page.keyboard.press("Tab")
            if self.page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"Tab does not lead to {selector}")

    def state(self):
        self.page.evaluate("import('/state.js').then((module) => module.write())")
        return json.loads(self.page.evaluate("new URLSearchParams(location.hash.slice(1)).get('s')"))

    def canvas(self):
        """Return the picture of the canvas, (height, width, 3), and what the page says of it."""
        self.complete()
        told = self.page.evaluate(PIXELS)
        raw = np.frombuffer(base64.b64decode(told["pixels"]), np.uint8).reshape(told["height"], told["width"], 4)
        return raw[..., :3].astype(int), told

    def settled(self):
        """Return what was asked of the server, once all is answered and nothing more is asked for a while."""
        asked = -1
        while self.open_requests or asked != len(self.requests):
            asked = len(self.requests)
            self.page.wait_for_timeout(300)
        return [url for url in self.requests if "/api/" in url]

    def well(self):
        assert self.faults == []
        address = f"http://127.0.0.1:{self.client.server.port}/"
        assert [url for url in self.requests if not url.startswith((address, "blob:"))] == []


@contextlib.contextmanager
def chromium() -> Iterator:
    """Start a browser."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra dev)")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


def visit(browser, client, *, width=1280, height=800):
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme="dark")
    context.set_default_timeout(90_000)
    return Visit(context, client)


def compare(seen, told, picture):
    """Compare a canvas on which a pixel of the image is a pixel, with the picture that is expected there."""
    assert told["zoom"] == pytest.approx(1)
    left, top = round(told["left"]), round(told["top"])
    rows = slice(max(0, -top), min(picture.shape[0], seen.shape[0] - top))
    cols = slice(max(0, -left), min(picture.shape[1], seen.shape[1] - left))
    part = seen[rows.start + top : rows.stop + top, cols.start + left : cols.stop + left]
    assert part.size > 50_000
    assert part.max() > 60
    assert np.abs(part - picture[rows, cols] * 255).max() <= 2


def expected(path, told):
    """The oracle: what `plot.composite` draws of the file with the page's own limits and colours."""
    pages = [channel["page"] for channel in told["shown"]]
    limits = [channel["limits"] for channel in told["shown"]]
    return composite(
        read_region(open_image(path), pages), [channel["colour"] for channel in told["shown"]], limits=limits
    )


def path_of(lake, modality, tissue):
    with Catalog(lake) as catalog:
        text = "SELECT path FROM images WHERE modality = ? AND tissue_id = ?"
        return lake / catalog.sql(text, [modality, tissue]).fetchall()[0][0]
