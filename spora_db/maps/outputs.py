"""What a model returns for a batch of windows, checked: vectors, or one for each of its tokens."""

from typing import Any

import numpy as np

from spora_db.arrays import Float32
from spora_db.errors import ArgumentError
from spora_db.plan import Plan


def checked_outputs(given: Any, *, plan: Plan, first: int, before: tuple[int, ...] | None) -> Float32:  # noqa: ANN401
    """Return the outputs of one batch as a float32 array of shape (n, h, w, D).

    Parameters
    ----------
    given
        An array or a tensor of shape (n,), (n, D) or (n, D, h, h).
    plan
        The windows.
    first
        The number of the batch's first row.
    before
        ``(h, w, D)`` of the batches before, which this one must have too.

    Raises
    ------
    ArgumentError
        If it is no such array, has another shape than before, more rows than are left, or a number that is none.
    """
    tensor = given.detach().cpu() if hasattr(given, "detach") else given
    if hasattr(tensor, "float") and hasattr(tensor, "is_floating_point"):
        tensor = tensor.float()  # bfloat16 is no type of numpy's
    array = np.asarray(tensor)
    what = f"The outputs of the windows from row {first} on"
    if array.dtype.kind not in "biuf" or array.ndim not in (1, 2, 4):
        raise ArgumentError(
            f"{what} are an array of shape {array.shape} and type {array.dtype}; expected numbers of shape (n, D), "
            "one vector per window, or (n, D, h, h), one per token."
        )
    whole = array.astype(np.float32, copy=False).reshape(*array.shape, *(1,) * (4 - array.ndim))
    whole = np.moveaxis(whole, 1, -1)
    height, width, depth = whole.shape[1:]
    if height != width or 0 in whole.shape[1:]:
        raise ArgumentError(f"{what} have {height} x {width} tokens of {depth} numbers; windows are square.")
    if before is not None and whole.shape[1:] != before:
        told = " x ".join(map(str, before)), " x ".join(map(str, whole.shape[1:]))
        raise ArgumentError(
            f"{what} are {told[1]} numbers per window (h x w x D); those before were {told[0]}. "
            "Where panels differ, choose channels that all tissues have, or return as many numbers for each."
        )
    if first + len(whole) > len(plan):
        raise ArgumentError(
            f"The model returned outputs for {first + len(whole):,} windows; the query has {len(plan):,}. "
            "Return one for every window of a batch, in its order."
        )
    unfit = ~np.isfinite(whole).reshape(len(whole), -1).all(axis=1)
    if unfit.any():
        place = first + int(np.flatnonzero(unfit)[0])
        raise ArgumentError(
            f"The model returned NaN or an infinite number for the window {dict(plan.identity(place))}; a map marks "
            "places without windows so. Correct the model, or leave the window out."
        )
    return whole
