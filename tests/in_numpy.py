"""What numpy makes of whole images in float64, and how far the types of batches may be from it."""

import numpy as np

CLOSE = {name: {"rtol": by, "atol": by} for name, by in (("float32", 2e-5), ("float16", 2e-3), ("bfloat16", 1e-2))}
"""How far rounding may take a pixel."""


def unrounded(pixels):
    """Return pixels as numbers: bfloat16 comes as its bits."""
    return (pixels.astype(np.uint32) << 16).view(np.float32) if pixels.dtype == np.uint16 else pixels


def in_float64(pixels, transform):
    """Return what numpy makes of pixels, (C, h, w)."""
    low, up, mean, std = (
        getattr(transform, name).astype(np.float64)[:, None, None] for name in ("lower", "upper", "mean", "std")
    )
    pixels = pixels.astype(np.float64)
    if transform.method == "identity":
        return pixels
    if transform.method == "rgb":
        return (np.maximum(pixels, 0) / transform.scale - mean) / std  # colours are no less than 0
    clipped = np.clip(pixels, low, up)
    clipped = np.log1p(clipped) if transform.method.endswith("log1p") else (clipped - low) / (up - low + 1e-8)
    return (clipped - mean) / (std + 1e-8)


def region_of(pixels, row, col, height, width):
    """Return a region of whole planes, with zeros around them."""
    padded = np.pad(pixels, ((0, 0), (100, 100), (100, 100)))
    return padded[:, row + 100 : row + 100 + height, col + 100 : col + 100 + width]
