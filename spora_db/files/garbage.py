"""When Python looks for garbage: not while modules, parsed SQL and kernels are made, which stay."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

_off = False
"""Whether it is off for now, by `collected_later`."""


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
    global _off
    if not gc.isenabled():
        yield
        return
    gc.disable()
    _off = True
    try:
        yield
    finally:
        _off = False
        gc.enable()


def _on_again() -> None:
    """Look for garbage in a child that was forked meanwhile: the thread that would turn it on again is not there."""
    global _off
    if _off:
        _off = False
        gc.enable()


os.register_at_fork(after_in_child=_on_again)
