"""Takes the README's pictures of the page: ``python tests/explore_pictures.py DEMO_LAKE``, where Chromium is."""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from exploring import serving

FIGURES = Path(__file__).resolve().parents[1] / "notebooks/figures"
COLUMNS = "dataset, tissue_id, modality, mpp, strategy, tile_size, tile_id, row, col"
TILES = f"SELECT {COLUMNS}\nFROM tiles WHERE modality = 'imc'"


def pictures(page: Page, address: str) -> None:
    page.goto(address)
    page.locator("#status", has_text="rows in").wait_for()
    page.fill("textarea", TILES)
    page.click("#run")
    page.locator("#selection", has_text="219 rows").wait_for()
    page.click("[data-view=gallery][role=tab]")
    page.locator("#channels canvas").first.wait_for()
    page.wait_for_timeout(15_000)
    take(page, "explore_gallery.jpg")
    page.locator("canvas.strip").nth(2).dblclick(position={"x": 40, "y": 40})
    page.locator('.pane[data-complete="true"]').wait_for()
    page.get_by_role("button", name="Beside").click()
    page.locator(".pane").nth(1).wait_for()
    page.get_by_role("button", name="Fit").click()
    page.keyboard.press("t")
    page.keyboard.press("m")
    page.locator('.pane[data-complete="true"]').nth(1).wait_for()
    page.locator("#channels").scroll_into_view_if_needed()
    take(page, "explore_viewer.jpg")


def take(page: Page, name: str) -> None:
    page.screenshot(path=FIGURES / name, type="jpeg", quality=85)


def main(lake: Path) -> None:
    arguments = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with serving(lake) as client, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        page = browser.new_page(viewport={"width": 1180, "height": 720}, color_scheme="dark")
        page.set_default_timeout(90_000)
        pictures(page, client.server.address)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
