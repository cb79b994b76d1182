"""The made lake of the golden figures is, byte for byte, the one that the published loader answered about."""

import json

import numpy as np
import pytest

from agreed import SHARED, load_module
from published_figures import SAMPLES, TABLES, THINNED, TILINGS
from reference_lake import MODALITY, greedy_cases, grid_cases

REFERENCE = SHARED / "reference"
pytestmark = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="only the program that made the figures shows that the lake here is theirs"
)


def test_the_lake_has_the_same_bytes(untiled_lake, tmp_path):
    load_module(REFERENCE / "masks.py")
    module = load_module(REFERENCE / "dataset.py")
    module.build(tmp_path, 1)
    made = {path.relative_to(untiled_lake): path for path in untiled_lake.rglob("*") if path.is_file()}
    theirs = {path.relative_to(tmp_path): path for path in tmp_path.rglob("*") if path.is_file()}
    assert made.keys() == theirs.keys()
    assert [name for name, path in made.items() if path.read_bytes() != theirs[name].read_bytes()] == []
    assert module.MODALITY == MODALITY


def test_the_masks_are_the_same():
    masks = load_module(REFERENCE / "masks.py")
    for made, theirs in ((greedy_cases(), masks.cases(1)), (grid_cases(), masks.grid_cases(1))):
        for (name, mask, options), (name_there, mask_there, options_there) in zip(made, theirs, strict=True):
            assert (name, options) == (name_there, options_there)
            np.testing.assert_array_equal(mask, mask_there)


def test_the_figures_are_the_same():
    golden = json.loads((REFERENCE / "loading.json").read_text())
    assert golden["meta"] == SAMPLES
    assert golden["stats"] == TABLES
    assert json.loads((REFERENCE / "tilings.json").read_text()) == TILINGS
    (further, few), (one, all_of_them) = THINNED
    assert one == 1
    assert few.keys() == all_of_them.keys()
    for key, pixels in few.items():
        np.testing.assert_array_equal(pixels, all_of_them[key][:, ::further, ::further])
