"""One pass over a band of planes: the sum of every label's pixels."""

from spora_db.arrays import Float32, Float64, Int32
from spora_db.kernels.compile import kernel


@kernel
def label_intensities(planes: Float32, places: Int32, sums: Float64) -> None:
    """Add to ``sums`` (labels, C) the pixels of ``planes`` (C, H, W) at every place >= 0 of ``places`` (H, W).

    Sums are float64: float32 sums of 10,000 counts are off in the fourth digit.
    """
    channels, height, width = planes.shape
    for channel in range(channels):
        for row in range(height):
            for col in range(width):
                place = places[row, col]
                if place >= 0:
                    sums[place, channel] += planes[channel, row, col]
