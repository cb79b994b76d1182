"""README's picture is that of `make demo`, smaller; ``python tests/hero.py demo/cohort.png`` makes it anew."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

HERO = Path(__file__).resolve().parents[1] / "notebooks/figures/cohort.webp"
WIDTH = 1400


def smaller(path: Path) -> Image.Image:
    """Return the demo's picture as wide as README shows it, in all its colours."""
    picture = Image.open(path).convert("RGB")
    return picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)


def difference(path: Path) -> float:
    """Return by how many of 255 levels the demo's picture and README's differ, in the mean over all pixels.

    Both are compared at a fifth of the size, where most of the noise that a codec leaves has gone: the same picture
    differs by 1.3.
    """
    now, then = smaller(path), Image.open(HERO).convert("RGB")
    if now.size != then.size:
        return 255.0
    now, then = now.reduce(5), then.reduce(5)
    return float(np.abs(np.asarray(now, np.float32) - np.asarray(then, np.float32)).mean())


if __name__ == "__main__":
    smaller(Path(sys.argv[1])).save(HERO, quality=88, method=6)
