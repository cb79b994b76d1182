"""How long the page keeps its user waiting: rows under the wheel, a picture of a bucket, a query that is stopped."""

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from urllib.parse import quote

import numpy as np

from benchmarks.history import MEASURES, record
from benchmarks.made_lake import FULL, SMALL, write_lake
from browsing import needs_chromium, visit
from http_servers import slow_bucket

pytestmark = needs_chromium

ROWS = 2_000_000 if MEASURES else 20_000
SQL = f"""SELECT 'lung_imc' AS dataset, 'tissue_' || i % 900 AS tissue_id, 'imc' AS modality, 1.0 AS mpp,
'default' AS strategy, 224 AS tile_size, i AS tile_id, hash(i) % 9000 AS "row", hash(i + 1) % 9000 AS col
FROM range({ROWS}) AS r(i)"""
TURNS = 240 if MEASURES else 6
"""Turns of the wheel."""
SCRIPT = {"FunctionCall", "EvaluateScript", "FireAnimationFrame", "EventDispatch", "TimerFire", "RunMicrotasks"}
"""What the browser's trace calls the work of scripts."""


EXPLORE = "import sys; from spora_db.cli import main; sys.argv[1:] = ['explore', sys.argv[1], '--no-browser']; main()"


def scripts(events):
    """Return the processor time of scripts in every frame of a trace, in ms, each with all that they call."""
    threads = {event["tid"] for event in events if event["name"] == "FireAnimationFrame"}
    found = []
    for thread in threads:
        own = sorted((event for event in events if event.get("tid") == thread), key=lambda event: event["ts"])
        begun = [event["ts"] for event in own if (event["name"], event["ph"]) == ("AnimationFrame", "b")]
        frames, end = defaultdict(float), 0
        for event in own:
            if event["name"] in SCRIPT and event["ts"] >= end:
                end = event["ts"] + event.get("dur", 0)
                frames[np.searchsorted(begun, event["ts"])] += event.get("tdur", event.get("dur", 0)) / 1000
        found += frames.values()
    return found


def test_rows_under_the_wheel(browser, client):
    walk = visit(browser, client, width=1600, height=1000).open({"sql": SQL})
    walk.answered(f"{ROWS:,} rows")
    page, grid = walk.page, walk.page.locator("[role=grid]")
    grid.hover()
    browser.start_tracing(page=page, categories=["devtools.timeline"])
    for turn in range(TURNS):
        if turn % 4:
            page.mouse.wheel(0, 700)
        else:  # the bar is dragged: rows that are not here yet
            grid.evaluate("(grid, share) => void (grid.scrollTop = share * grid.scrollHeight)", turn * 0.37 % 1)
        page.wait_for_timeout(16)
    found = scripts(json.loads(browser.stop_tracing())["traceEvents"])
    assert len(found) > TURNS // 2
    middle, most = np.percentile(found, [50, 95])
    record(f"{ROWS:,} rows under the wheel, script in a frame, median", middle, "ms")
    record(f"{ROWS:,} rows under the wheel, script in a frame, 95 of 100", most, "ms")


def test_a_query_that_is_stopped(browser, client):
    walk = visit(browser, client).open()
    page = walk.page
    page.fill("textarea", "SELECT sum(hash(a.range)) FROM range(20000000000) a")
    page.click("#run")
    walk.answered("Running")
    page.click("textarea")
    page.keyboard.type(" WHERE can")
    begun = time.perf_counter()
    with page.expect_response("**/api/complete"):
        page.keyboard.type("c")
    record("completion while a query runs", 1000 * (time.perf_counter() - begun), "ms")
    begun = time.perf_counter()
    page.click("#stop")
    walk.answered("Stopped")
    record("stopping a query", 1000 * (time.perf_counter() - begun), "ms")


def test_the_first_picture_of_a_bucket(browser, tmp_path, monkeypatch):
    lake = write_lake(tmp_path / "buckets/b/lake", tissues=2, shape=FULL if MEASURES else SMALL)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with slow_bucket(tmp_path / "buckets", latency=20) as bucket:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_NO_SIGN_REQUEST", "YES")
        monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.address)
        monkeypatch.setenv("SPORA_CACHE_DIR", str(tmp_path / "mirror"))
        command = [sys.executable, "-c", EXPLORE, f"s3://b/{lake.name}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                address = server.stdout.readline().strip()
                bucket.set()
                page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
                begun = time.perf_counter()
                page.goto(f"{address}&s={quote(json.dumps({'view': 'viewer'}))}")
                page.locator("#status", has_text="rows in").wait_for()
                record("page of a bucket at 20 ms, from its address to rows", time.perf_counter() - begun, "s")
                begun = time.perf_counter()
                page.locator("#images button", has_text="· imc").first.click()
                page.wait_for_function("() => document.querySelector('.pane[data-complete=true]')")
                record("first picture of a bucket at 20 ms, from the click", time.perf_counter() - begun, "s")
            finally:
                server.kill()
