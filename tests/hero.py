"""Pictures of the README: that of `make demo`, smaller, and outputs of the notebooks.

``python tests/hero.py [demo/cohort.png]`` makes those of the notebooks anew, and the first with the demo's picture.
"""

import base64
import io
import sys
from pathlib import Path

import nbformat
import numpy as np
from PIL import Image

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
HERO = NOTEBOOKS / "figures/cohort.webp"
WIDTH = 1400
IDEAS = {
    "panels": ("01_explore_a_lake", 0),
    "tissue": ("01_explore_a_lake", 3),
    "selection": ("02_select_a_cohort", 1),
    "predicted": ("03_train", 3),
}
"""The pictures of the README's ideas: a notebook, and which of its figures it is."""


def smaller(path: Path) -> Image.Image:
    """Return the demo's picture as wide as README shows it, in all its colours."""
    picture = Image.open(path).convert("RGB")
    return picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)


def figure(name: str) -> Image.Image:
    """Return the picture of an idea, as its notebook has it."""
    stem, number = IDEAS[name]
    cells = nbformat.read(NOTEBOOKS / f"{stem}.ipynb", as_version=4).cells
    found = [
        out.data["image/png"] for cell in cells for out in cell.get("outputs", []) if "image/png" in out.get("data", {})
    ]
    return Image.open(io.BytesIO(base64.b64decode(found[number]))).convert("RGB")


def difference(now: Image.Image, then: Image.Image) -> float:
    """Return by how many of 255 levels two pictures differ, in the mean over all pixels.

    Both are compared at a fifth of the size, where most of the noise that a codec leaves has gone: the same picture
    differs by 1.3.
    """
    if now.size != then.size:
        return 255.0
    now, then = now.reduce(5), then.convert("RGB").reduce(5)
    return float(np.abs(np.asarray(now, np.float32) - np.asarray(then, np.float32)).mean())


if __name__ == "__main__":
    for path in sys.argv[1:]:
        smaller(Path(path)).save(HERO, quality=88, method=6)
    for name in IDEAS:
        figure(name).save(HERO.with_name(f"{name}.webp"), quality=88, method=6)
