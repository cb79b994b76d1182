"""Tissue masks that are tissue: fields and slides whose tissue is known, and where none or all of it is."""

import re

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from spora_db import errors
from spora_db.cli import app
from spora_db.images import write_ometiff
from spora_db.images.resampling import Held
from spora_db.importing.slides import made_mask, write_enlarged
from spora_db.importing.tissue_masks import COARSE, drop_islands, smooth, tissue_mask
from spora_db.jobs.preview import draw_tissue_masks
from spora_db.masks import load_tissue_mask


def overlap(found, truth):
    return (found & truth).sum() / (found | truth).sum()


def outline(size, *, mpp, seed):
    """A lobed piece of tissue of about half a field, with a lumen of 200 microns."""
    rng = np.random.default_rng(seed)
    rows, cols = np.ogrid[:size, :size]
    angle = np.arctan2(rows - size / 2, cols - size / 2)
    edge = 0.36 * size * (1 + sum(0.1 / k * np.cos(k * angle + rng.uniform(0, 6)) for k in (2, 3, 5)))
    tissue = np.hypot(rows - size / 2, cols - size / 2) < edge
    return tissue & (np.hypot(rows - 0.45 * size, cols - 0.55 * size) > 100 / mpp)


def cells(size, *, mpp, rng):
    """Nuclei of 8 microns, 14 apart: the share of each pixel that is nucleus."""
    picture = np.zeros((size, size))
    step = 14 / mpp
    for row in np.arange(0, size, step):
        for col in np.arange(0, size, step):
            at = (int(row + rng.uniform(0, step / 2)), int(col + rng.uniform(0, step / 2)))
            half = max(1, round(4 / mpp))
            picture[max(0, at[0] - half) : at[0] + half, max(0, at[1] - half) : at[1] + half] = 1
    return picture


def counts(truth, *, mpp, rng, channels=12, offset=0.0):
    """Ions as mass cytometry counts them: markers of few cells, a background of almost none; or light on an offset."""
    size = len(truth)
    nuclei = cells(size, mpp=mpp, rng=rng)
    planes = []
    for channel in range(channels):
        positive = np.kron(rng.random((size // 20 + 1, size // 20 + 1)) < rng.uniform(0.05, 0.6), np.ones((20, 20)))
        level = nuclei * 6 + 0.5 if channel == 0 else positive[:size, :size] * rng.uniform(0.3, 5)
        planes.append(rng.poisson(truth * (level + 0.15) * (10 if offset else 1) + 0.02 + offset).astype(np.float32))
    image = np.stack(planes)
    image[-1, 5:8, 5:8] = 5_000  # a hot spot
    return image


@pytest.mark.some(3)
@pytest.mark.parametrize("offset", [0.0, 40.0], ids=["ions", "light on an offset"])
@pytest.mark.parametrize(("mpp", "size"), [(1.0, 1000), (2.0, 600), (0.5, 1600)])
def test_tissue_of_a_field_of_channels(mpp, size, offset):
    rng = np.random.default_rng(int(size))
    truth = outline(size, mpp=mpp, seed=size)
    image = counts(truth, mpp=mpp, rng=rng, channels=6, offset=offset)
    coarse, factor = made_mask([Held(image=image)], method="tissue", mpp=mpp, is_rgb=False)
    assert factor == COARSE[False] / mpp
    found = np.kron(coarse, np.ones((round(factor),) * 2, bool))[:size, :size]
    assert overlap(found, truth) >= 0.9
    assert drop_islands(found, least=1e9 / mpp**2).sum() == 0
    nuclei = cells(size, mpp=mpp, rng=np.random.default_rng(0)).astype(bool) & truth
    assert (nuclei & ~found).sum() <= 0.02 * nuclei.sum()


@pytest.mark.parametrize("channels", [1, 3, 12])
def test_a_field_that_is_tissue_from_edge_to_edge_is_that(channels):
    rng = np.random.default_rng(channels)
    dense = 0.4 + 0.6 * np.kron(rng.random((8, 8)), np.ones((50, 50)))
    image = counts(np.ones((400, 400), bool), mpp=1.0, rng=rng, channels=channels) * dense
    assert tissue_mask(image, method="tissue", mpp=1.0, is_rgb=False).all()


@pytest.mark.parametrize(
    "image", [np.zeros((2, 50, 50), np.uint8), np.full((2, 50, 50), 7.0), np.full((2, 50, 50), np.nan)]
)
def test_a_field_without_any_contrast_is_tissue(image):
    assert tissue_mask(image, method="tissue", mpp=1.0, is_rgb=False).all()


def slide(truth, *, rng, stain, glass=(244, 243, 241)):
    """A slide: stain on glass, with dust, a shadow of the cover glass and grain."""
    height, width = truth.shape
    density = np.zeros((3, height, width))
    strength = 0.25 + 0.75 * np.kron(rng.random((height // 20 + 1, width // 20 + 1)), np.ones((20, 20)))
    density += np.asarray(stain)[:, None, None] * (truth * strength[:height, :width])
    density[:, :, 10:16] += 0.08  # the shadow, grey
    picture = np.asarray(glass)[:, None, None] * 10**-density + rng.normal(0, 2, density.shape)
    dust = (rng.integers(0, height - 4, 30), rng.integers(0, width - 4, 30))
    for row, col in zip(*dust, strict=True):
        picture[:, row : row + 3, col : col + 3] -= 60
    return picture.clip(0, 255).astype(np.uint8)


STAINS = {
    "haematoxylin and eosin": (0.25, 0.45, 0.22),
    "pale eosin": (0.06, 0.22, 0.1),
    "DAB": (0.3, 0.5, 0.8),
    "haematoxylin": (0.4, 0.3, 0.15),
}


@pytest.mark.some(3)
@pytest.mark.parametrize("stain", STAINS)
@pytest.mark.parametrize(("mpp", "size"), [(2.0, 1200), (8.0, 400)])
def test_tissue_of_a_stained_slide(stain, mpp, size):
    truth = outline(size, mpp=mpp, seed=size)
    image = slide(truth, rng=np.random.default_rng(size), stain=STAINS[stain])
    coarse, factor = made_mask([Held(image=image)], method="tissue", mpp=mpp, is_rgb=True)
    found = np.kron(coarse, np.ones((round(factor),) * 2, bool))[:size, :size]
    assert overlap(found, truth) >= 0.9


def test_glass_is_no_tissue():
    image = slide(np.zeros((300, 300), bool), rng=np.random.default_rng(0), stain=(0, 0, 0))
    assert not tissue_mask(image, method="tissue", mpp=4.0, is_rgb=True).any()


def test_colours_of_16_bits_give_the_same_tissue():
    truth = outline(300, mpp=8.0, seed=3)
    image = slide(truth, rng=np.random.default_rng(0), stain=STAINS["DAB"])
    deep = image.astype(np.uint16) * 257
    masks = [tissue_mask(pixels, method="tissue", mpp=8.0, is_rgb=True) for pixels in (image, deep)]
    assert overlap(*masks) > 0.98


def test_holes_are_closed_and_islands_dropped_by_their_size():
    image = np.full((3, 400, 400), 255, np.uint8)
    image[1, 50:300, 50:300] = 120  # 1,000 microns
    image[1, 100:115, 100:115] = 255  # a hole of 60
    image[1, 200:250, 200:250] = 255  # a hole of 200
    image[1, 350:362, 350:362] = 120  # an island of 48
    image[1, 20:45, 320:380] = 120  # an island of 100 x 240
    mask = tissue_mask(image, method="tissue", mpp=4.0, is_rgb=True)
    assert mask[107, 107]
    assert not mask[225, 225]
    assert not mask[356, 356]
    assert mask[32, 350]


def test_islands_are_those_of_scipy():
    label = pytest.importorskip("scipy.ndimage").label
    rng = np.random.default_rng(0)
    for share in (0.3, 0.55, 0.6, 0.9):
        mask = rng.random((80, 70)) < share
        labels, _ = label(mask)
        sizes = np.bincount(labels.ravel())
        for least in (1, 2, 5, 40):
            np.testing.assert_array_equal(drop_islands(mask, least=least), mask & (sizes[labels] >= least))


@pytest.mark.parametrize("factor", [1.0, 2.0, 3.7, 32.0])
def test_an_enlarged_mask_is_written_row_by_row(tmp_path, factor):
    mask = np.random.default_rng(0).random((9, 11)) < 0.5
    height, width = round(9 * factor), round(11 * factor) - (1 if factor > 2 else 0)
    write_enlarged(tmp_path / "a.npz", mask, factor=factor, height=height, width=width)
    found = load_tissue_mask(tmp_path / "a.npz", shape=(height, width))
    for row in range(height):
        for col in range(width):
            assert found[row, col] == mask[min(int((row + 0.5) / factor), 8), min(int((col + 0.5) / factor), 10)]


def test_an_enlarged_mask_takes_little_room(tmp_path):
    write_enlarged(tmp_path / "a.npz", np.eye(40, dtype=bool), factor=50.0, height=2000, width=2000)
    assert (tmp_path / "a.npz").stat().st_size < 2000 * 2000 / 40


@pytest.mark.some(2)
@pytest.mark.parametrize("modality", ["he", "imc"])
def test_a_preview_shows_the_outline_of_the_mask(tmp_path, modality):
    truth = outline(400, mpp=4.0, seed=1)
    rng = np.random.default_rng(0)
    if modality == "he":
        write_ometiff(tmp_path / "raw/a.ome.tiff", slide(truth, rng=rng, stain=STAINS["DAB"]), mpp=4, photometric="rgb")
    else:
        image = counts(truth, mpp=4.0, rng=rng, channels=3)
        write_ometiff(tmp_path / "raw/a.ome.tiff", image, mpp=4, channel_names=["DNA", "CD3", "CD8"])
    command = ["import", str(tmp_path / "raw"), "--dataset", "mine", "--into", str(tmp_path / "lake"), "--mpp", "4"]
    command += ["--modality", modality, "--preview"]
    result = CliRunner().invoke(app, [*command, str(tmp_path / "masks.png")])
    assert result.exit_code == 0, result.output
    assert re.search(r"masks: Tissue is \d+ % of the images", result.stdout)
    drawn = np.asarray(Image.open(tmp_path / "masks.png").convert("RGB")).astype(int)
    assert drawn.std() > 10
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 100
    again = draw_tissue_masks(tmp_path / "lake", tmp_path / "again.png", dataset="mine", mpp=4)
    assert again.read_bytes() == (tmp_path / "masks.png").read_bytes()
    refused = CliRunner().invoke(app, [*command, str(tmp_path / "masks.txt"), "--overwrite"])
    assert isinstance(refused.exception, errors.ArgumentError)
    with pytest.raises(errors.SporaError, match="mine"):
        draw_tissue_masks(tmp_path / "lake", tmp_path / "other.png", dataset="mine", mpp=2)


def test_smoothing_is_that_of_a_gaussian():
    point = np.zeros((81, 81))
    point[40, 40] = 1
    spread = smooth(point, radius=4)
    assert np.sqrt((spread.sum(axis=1) * (np.arange(81) - 40) ** 2).sum()) == pytest.approx(np.sqrt(3 * 80 / 12))
