"""Numba looks for scipy's linear algebra when a kernel uses it: before its first kernel of any kind it imports it all.

That is 0.3 s of a second of starting, in every process that has scipy, and no kernel of ours multiplies matrices.
"""

import importlib
import importlib.util
import sys
from typing import Any

ARRAYS = "numba.np.arraymath"


def look_for_scipy_later() -> None:
    """Import what of numba asks whether scipy is there, and let it be told so without an import.

    What it concludes is what it would: a user's kernel that multiplies matrices imports scipy as it is compiled.
    """
    if ARRAYS in sys.modules or "scipy.linalg" in sys.modules:
        return
    linalg: Any = importlib.import_module("numba.np.linalg")
    asks = getattr(linalg, "ensure_blas", None)
    if asks is None:  # a numba that asks otherwise
        return
    linalg.ensure_blas = _told
    try:
        arrays: Any = importlib.import_module(ARRAYS)
    finally:
        linalg.ensure_blas = asks
    if hasattr(arrays, "ensure_blas"):
        arrays.ensure_blas = asks


def _told() -> None:
    if importlib.util.find_spec("scipy") is None:
        raise ImportError("scipy is not installed")
