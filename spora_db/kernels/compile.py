"""The one way kernels are compiled: without the GIL, cached on disk where a folder can be written."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile ``function`` with numba: ``nogil``, numpy's division rules, cached between processes.

    numba keeps the cache beside the source, else in the user's cache folder (``NUMBA_CACHE_DIR`` overrides both); where
    neither can be written (a read-only image without a home), the kernel still compiles, once per process.
    """
    try:
        return cast(Function, numba.njit(nogil=True, error_model="numpy", cache=True)(function))
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        return cast(Function, numba.njit(nogil=True, error_model="numpy")(function))
