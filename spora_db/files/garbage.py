"""When Python looks for garbage: not while modules, parsed SQL and kernels are made, which stay."""

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_OFF: set[int] = set()
"""Threads that have turned it off."""


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
    _OFF.add(threading.get_ident())
    try:
        yield
    finally:
        _OFF.discard(threading.get_ident())
        gc.enable()


def _on_again() -> None:
    """Look for garbage in a child that was forked meanwhile: the thread that would turn it on again is not there."""
    if _OFF:
        _OFF.clear()
        gc.enable()


os.register_at_fork(after_in_child=_on_again)
