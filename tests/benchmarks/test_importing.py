"""Import of a slide against decoding it, in turns in one run."""

import shutil
import time
from collections import deque
from itertools import product

import numpy as np
import tifffile

from benchmarks.history import MEASURES, record
from spora_db.images import open_image
from spora_db.images.cache import decoding_anew
from spora_db.images.regions import read_through
from spora_db.importing import import_dataset

SIDE, ROUNDS = (12_288, 3) if MEASURES else (1024, 1)


def write_slide(path):
    """Tissue on glass in JPEG tiles, as scanners write them."""
    rng, rows = np.random.default_rng(0), np.arange(1024)
    waves = np.sin(rows[:, None] / 7) * np.cos(rows / 11)
    inside = np.hypot(rows[:, None] / 1024 - 0.5, rows / 1024 - 0.5) < 0.45
    plane = np.where(inside, 150 + 40 * waves + rng.normal(0, 8, waves.shape), 243)
    picture = np.stack([plane, plane - 30 * inside, plane + 10 * inside], -1).clip(0, 255).astype(np.uint8)
    places = product(range(0, SIDE, 256), repeat=2)
    tiles = (picture[row % 1024 : row % 1024 + 256, col % 1024 : col % 1024 + 256] for row, col in places)
    jpeg = {"photometric": "ycbcr", "compression": "jpeg", "subsampling": (2, 2), "tile": (256, 256)}
    tifffile.imwrite(path, tiles, shape=(SIDE, SIDE, 3), dtype=np.uint8, metadata=None, **jpeg)


def test_a_slide_in_units_of_one_decode(tmp_path):
    """Wall clock and processor time of an import, with levels, mask and checks, by those of decoding on one thread."""
    write_slide(tmp_path / "slide.svs")

    def decode():
        with decoding_anew():
            deque(read_through(open_image(tmp_path / "slide.svs")), maxlen=0)

    works = {
        "decode": decode,
        "import": lambda: import_dataset(
            tmp_path / "slide.svs", into=tmp_path / "lake", dataset="a", modality="he", mpp=0.5
        ),
    }
    found = {name: [] for name in works}
    for _ in range(ROUNDS + 1):  # the first compiles
        for name, work in works.items():
            shutil.rmtree(tmp_path / "lake", ignore_errors=True)
            begun = time.perf_counter(), time.process_time()
            work()
            found[name].append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
    ratios = np.median(np.divide(found["import"][1:], found["decode"][1:]), axis=0)
    record("import of a slide, in decodes", ratios[0])
    record("import of a slide, in processor time of decodes", ratios[1])
    assert open_image(tmp_path / "lake/a/he/0_5mpp/images/slide.ome.zarr").shape == (3, SIDE, SIDE)
