"""The cosine of many vectors with one of them, kept where it is the largest so far: what greedy k-center asks."""

import numpy as np

from spora_db.arrays import Float32, Float64
from spora_db.kernels.compile import kernel


@kernel
def closer(vectors: Float32, lengths: Float64, center: Float32, length: float, closest: Float64) -> None:
    """Raise to the cosine with a center whatever is less: arrays (N, D), (N,), (D,), its length, (N,).

    Products of float32 are exact in float64. Eight sums run beside each other, so that the loop vectorizes without
    changing the order of additions: equal vectors have equal cosines, on every processor.
    """
    size = center.size
    whole = size - size % 8
    sums = np.empty(8, np.float64)
    for i in range(vectors.shape[0]):
        row = vectors[i]
        for lane in range(8):
            sums[lane] = 0.0
        for first in range(0, whole, 8):
            for lane in range(8):
                sums[lane] += np.float64(row[first + lane]) * np.float64(center[first + lane])
        total = 0.0
        for lane in range(8):
            total += sums[lane]
        for place in range(whole, size):
            total += np.float64(row[place]) * np.float64(center[place])
        cosine = total / (lengths[i] * length)
        if cosine > closest[i]:
            closest[i] = cosine
