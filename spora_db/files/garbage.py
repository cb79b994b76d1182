"""When Python looks for garbage: not while modules, parsed SQL and kernels are made, which stay."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collected_later() -> Iterator[None]:
    """Look for no circles of garbage meanwhile.

    Each time a process has grown by a quarter, Python walks through all that it holds, and torch alone is 170,000
    objects. From a new process to its first batch these walks were a quarter of the CPU.

    Examples
    --------
    >>> with collected_later():
    ...     print(gc.isenabled())
    False
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
