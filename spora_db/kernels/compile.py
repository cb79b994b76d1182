"""The one way kernels are compiled: without the GIL, cached on disk where a folder can be written."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy.ma  # noqa: F401 - numba and np.unique import it at first use, which a fork must not meet: spora_db.files.forks
from numba.core.compiler_lock import global_compiler_lock

from spora_db.files.forks import fork_only_with
from spora_db.kernels.linear_algebra import look_for_scipy_later

Function = TypeVar("Function", bound=Callable[..., Any])

fork_only_with(global_compiler_lock)
look_for_scipy_later()


def kernel(function: Function) -> Function:
    """Compile ``function`` with numba: ``nogil``, numpy's division rules, cached between processes.

    numba keeps the cache beside the source, else in the user's cache folder (``NUMBA_CACHE_DIR`` overrides both); where
    neither can be written (a read-only image without a home), the kernel still compiles, once per process.
    """
    try:
        return cast(Function, numba.njit(nogil=True, error_model="numpy", cache=True)(function))
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        return cast(Function, numba.njit(nogil=True, error_model="numpy")(function))
