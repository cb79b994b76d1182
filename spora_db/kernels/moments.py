"""Mean and sum of squared deviations of transformed pixels, in float64, in an order that blocks do not change."""

from typing import Any, Final

import numpy as np

from spora_db.arrays import AnyArray, Float64
from spora_db.kernels.compile import kernel
from spora_db.kernels.fused import row_kernel
from spora_db.kernels.logarithms import any_log1p, log1p, precise_log1p

PLAIN: Final = 0
CLIP: Final = 1
LOG1P: Final = 2
BUFFER: Final = 1024
FILLED, COUNT, MEAN, M2, FIRST, OTHERS = 0, 1, 2, 3, 4, 5
STATE: Final = 6
LOG1P_LOWEST, LOG1P_HIGHEST = -0.99, 1e300
TABLED: Final = 1024
TABLE: Final = log1p(np.arange(float(TABLED)))
"""Logarithms of counts, of which mass cytometry has nothing else: looked up they take 1.0 ns a pixel, computed 3.0."""
WHOLE: Final = 2.0**52  # what is added to it is rounded to a whole number, which are its last bits


@row_kernel
def clipped(pixel: Any, lower: np.float64, upper: np.float64) -> np.float64:  # noqa: ANN401
    """Clip a pixel in float64; comparisons are ordered so that NaN passes."""
    value = np.float64(pixel)
    value = lower if value < lower else value
    return upper if value > upper else value


@row_kernel
def transform_run(
    mode: int, source: AnyArray, out: Float64, lower: np.float64, upper: np.float64, width: np.float64
) -> None:
    """Clip and transform pixels in float64."""
    if mode == PLAIN:
        for i in range(out.size):
            out[i] = np.float64(source[i])
    elif mode == CLIP and width == 1.0:
        for i in range(out.size):
            out[i] = clipped(source[i], lower, upper) - lower
    elif mode == CLIP:
        for i in range(out.size):
            out[i] = (clipped(source[i], lower, upper) - lower) / width
    else:
        counts = 0
        for i in range(out.size):
            out[i] = clipped(source[i], lower, upper)
            counts += (out[i] >= 0.0) & (out[i] < TABLED) & ((out[i] + WHOLE) - WHOLE == out[i])
        if counts == out.size:
            for i in range(out.size):
                out[i] = TABLE[np.int64(np.float64(out[i] + WHOLE).view(np.int64) & (TABLED - 1))]
        elif min(lower, upper) > LOG1P_LOWEST and upper < LOG1P_HIGHEST:  # an upper bound below the lower one wins
            for i in range(out.size):
                out[i] = precise_log1p(out[i])
        else:
            for i in range(out.size):
                out[i] = any_log1p(out[i])


@row_kernel
def folded_sum(values: Float64) -> Any:  # noqa: ANN401
    """Sum a power-of-two number of values by folding halves: it vectorizes, errs by log n roundings, destroys them."""
    half = values.size // 2
    while half > 0:
        for i in range(half):
            values[i] += values[half + i]
        half //= 2
    return values[0]


@kernel
def flush(buffer: Float64, scratch: Float64, state: Float64) -> None:
    """Merge the buffered values into the state (Chan, Golub, LeVeque 1979) and empty the buffer."""
    filled = int(state[FILLED])
    if filled == 0:
        return
    state[FIRST] = state[FIRST] if state[COUNT] else buffer[0]
    first, others, half = state[FIRST], 0, BUFFER // 2
    for i in range(filled):  # the least and the greatest would take 0.6 ns a pixel, three times all that follows
        others += buffer[i] != first
    state[OTHERS] += others
    for i in range(filled, BUFFER):
        buffer[i] = 0.0
    for i in range(half):
        scratch[i] = buffer[i] + buffer[half + i]
    mean = folded_sum(scratch) / filled
    for i in range(filled, BUFFER):
        buffer[i] = mean
    for i in range(half):
        one, two = buffer[i] - mean, buffer[half + i] - mean
        scratch[i] = one * one + two * two
    squares = folded_sum(scratch)
    delta, total = mean - state[MEAN], state[COUNT] + filled
    state[M2] += squares + delta * delta * (state[COUNT] * filled / total)
    state[MEAN] += delta * (filled / total)
    state[COUNT] = total
    state[FILLED] = 0


@kernel
def add_values(
    mode: int, values: AnyArray, lower: np.float64, upper: np.float64, width: np.float64, buffer: Float64,
    scratch: Float64, state: Float64,
) -> None:  # fmt: skip
    """Transform one channel's pixels and add them to its state, 1024 at a time, whatever the cuts between calls."""
    start = 0
    while start < values.size:
        filled = int(state[FILLED])
        take = min(BUFFER - filled, values.size - start)
        transform_run(mode, values[start : start + take], buffer[filled : filled + take], lower, upper, width)
        start += take
        state[FILLED] = filled + take
        if filled + take == BUFFER:
            flush(buffer, scratch, state)
