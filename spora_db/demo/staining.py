"""From one tissue's anatomy to pixels: metal counts, fluorescence and H&E of the same cells, so they are registered."""

from dataclasses import dataclass

import numpy as np

from spora_db.arrays import Float32, UInt8, UInt16
from spora_db.demo import portable
from spora_db.demo.anatomy import Anatomy, smooth_noise
from spora_db.demo.panels import CELL_TYPES, LUMEN, MARKERS, TUMOUR, TYPE_NAMES, DemoChannel, Site
from spora_db.demo.portable import Rng

# Optical density of pure haematoxylin and eosin in red, green and blue (Ruifrok and Johnston 2001, normalised).
HAEMATOXYLIN = np.array([0.65, 0.70, 0.29], dtype=np.float32)
EOSIN = np.array([0.07, 0.99, 0.11], dtype=np.float32)


def blur(image: Float32, *, times: int = 1) -> Float32:
    """Convolve with the 3 x 3 binomial kernel (standard deviation 0.7 pixels) the given number of times."""
    quarter = np.float32(0.25)
    for _ in range(times):
        for _ in range(2):  # along the columns, then, transposed, along the rows
            side = image * quarter
            image = image * np.float32(0.5)
            image[:, 1:] += side[:, :-1]
            image[:, :-1] += side[:, 1:]
            image[:, 0] += side[:, 0]
            image[:, -1] += side[:, -1]
            image = image.T
    return image


@dataclass(frozen=True, slots=True, kw_only=True)
class Sites:
    """How much of a protein of each kind a pixel holds, float32 arrays of shape (H, W), and its owner."""

    weights: dict[Site, Float32]
    cells: UInt16


def find_sites(rng: Rng, anatomy: Anatomy) -> Sites:
    """Turn the instance mask into weights for nuclear, membrane, cytoplasmic and matrix proteins."""
    cells, nucleus = anatomy.cells, anatomy.nucleus
    border = np.zeros(cells.shape, dtype=np.float32)
    for axis in (0, 1):
        for step in (1, -1):
            border = np.maximum(border, np.roll(cells, step, axis) != cells)
    inside = (cells > 0).astype(np.float32)
    grain = 1 + 0.22 * portable.normal(rng, cells.shape)
    chromatin = 1 + 0.3 * blur(portable.normal(rng, cells.shape))
    cytoplasm = inside * (1 - 0.75 * nucleus)
    return Sites(
        weights={
            "nucleus": nucleus * chromatin,
            "membrane": inside * (0.85 * border + 0.25 * (1 - nucleus)),
            "cytoplasm": cytoplasm * grain,
            "matrix": anatomy.fibres,
        },
        cells=cells,
    )


def _signal(rng: Rng, anatomy: Anatomy, sites: Sites, channel: DemoChannel) -> Float32:
    """Return one channel's protein density, about 1 where a fully positive cell holds it."""
    marker = MARKERS[channel.marker]
    level = np.array([marker.expression.get(name, 0.0) for name in TYPE_NAMES])[anatomy.kinds]
    positive = np.array([marker.positive.get(name, 1.0) for name in TYPE_NAMES])[anatomy.kinds]
    level = np.where(rng.random(len(level)) < positive, level, 0.04 * level)
    level *= portable.varied(rng, 0.32, len(level), mean=-0.05)
    per_cell = np.concatenate([[0.0], level]).astype(np.float32)
    site: Site = "cytoplasm" if marker.site == "matrix" else marker.site
    density = per_cell[sites.cells] * sites.weights[site]
    if marker.matrix:
        density = density + np.float32(marker.matrix) * sites.weights["matrix"]
    return density


def stain_imc(rng: Rng, anatomy: Anatomy, sites: Sites, *, channels: tuple[DemoChannel, ...]) -> Float32:
    """Return ion counts, float32 of shape (C, H, W): Poisson, weak background, staining drift, hot pixels."""
    image = np.empty((len(channels), *anatomy.mask.shape), dtype=np.float32)
    drift = 1 + 0.12 * smooth_noise(rng, anatomy.mask.shape, scale=260)
    inside = anatomy.mask
    stripes = (0.6 + 0.6 * portable.sin(np.arange(inside.shape[0]) / 2)).astype(np.float32)[:, None]
    for channel, plane in zip(channels, image, strict=True):
        batch = np.float32(channel.gain) * portable.varied(rng, 0.18, 1)
        rate: Float32 = batch * blur(_signal(rng, anatomy, sites, channel)) * drift + np.float32(0.27)
        if not channel.qc_pass:
            rate += stripes
        plane[:] = 0
        plane[inside] = portable.poisson(rng, rate[inside])
        stray = rng.integers(0, plane.size, size=plane.size // 25)
        plane.ravel()[stray] += 1
        hot = rng.integers(0, plane.size, size=plane.size // 40_000)
        plane.ravel()[hot] += rng.integers(8, 60, size=hot.size)
    return image


def stain_codex(rng: Rng, anatomy: Anatomy, sites: Sites, *, channels: tuple[DemoChannel, ...]) -> UInt16:
    """Return camera units, uint16 of shape (C, H, W): autofluorescence, uneven illumination, shot and read noise."""
    shape = anatomy.mask.shape
    image = np.empty((len(channels), *shape), dtype=np.uint16)
    row, col = (np.linspace(-1, 1, size, dtype=np.float32) for size in shape)
    slope = portable.uniform(rng, -0.12, 0.12, 2).astype(np.float32)
    light = 1 + slope[0] * row[:, None] + slope[1] * col[None, :] - 0.16 * (row[:, None] ** 2 + col[None, :] ** 2)
    own = blur(0.55 * anatomy.fibres + 0.12 * anatomy.mask + 0.16 * (anatomy.cells > 0), times=2)
    for position, channel in enumerate(channels):
        batch = np.float32(channel.gain) * portable.varied(rng, 0.15, 1)
        signal = batch * blur(_signal(rng, anatomy, sites, channel), times=2)
        signal = (signal + portable.uniform(rng, 700, 1500) * own) * light + portable.uniform(rng, 180, 320)
        shot = portable.normal(rng, shape) * np.sqrt(signal * np.float32(3.0) + 400)
        image[position] = np.clip(signal + shot, 0, 65535)
    return image


def stain_he(rng: Rng, anatomy: Anatomy, sites: Sites) -> UInt8:
    """Return H&E, uint8 of shape (3, H, W), by the Beer-Lambert law from haematoxylin and eosin densities."""
    shape = anatomy.mask.shape
    dark = np.array([0.0] + [cell.haematoxylin for cell in CELL_TYPES], dtype=np.float32)
    pink = np.array([0.0] + [cell.eosin for cell in CELL_TYPES], dtype=np.float32)
    kinds = np.concatenate([[0], anatomy.kinds + 1])
    varied = portable.varied(rng, 0.14, len(kinds))
    owner = anatomy.cells
    blood = (anatomy.regions == LUMEN) * np.clip(smooth_noise(rng, shape, scale=4) - 0.3, 0, 0.8)
    ground = (
        np.where(anatomy.regions == TUMOUR, 0.2, 0.14).astype(np.float32) * anatomy.mask * (anatomy.regions != LUMEN)
    )
    haematoxylin = (dark[kinds] * varied)[owner] * (0.95 * sites.weights["nucleus"] + 0.1 * sites.weights["cytoplasm"])
    eosin = pink[kinds][owner] * 0.62 * sites.weights["cytoplasm"] + 0.55 * anatomy.fibres + ground + 0.9 * blood
    eosin = eosin + 0.1 * haematoxylin
    cast = portable.varied(rng, 0.08, 2)
    haematoxylin, eosin = blur(haematoxylin) * cast[0], blur(eosin) * cast[1]
    paper = np.array([243, 241, 244], dtype=np.float32)
    density = HAEMATOXYLIN[:, None, None] * haematoxylin + EOSIN[:, None, None] * (0.62 * eosin)
    light = paper[:, None, None] * portable.exp(-density) + 1.6 * portable.normal(rng, shape)
    rgb: UInt8 = np.clip(light, 0, 255).astype(np.uint8)
    return rgb
