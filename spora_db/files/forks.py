"""Forks wait for what must not be half done in a child: a thread that held a lock then stays in the parent for ever.

Python's import locks are such locks, and numba's compiler lock: a child that needs a module or a kernel which another
thread of its parent was just loading would wait for it without end.
"""

import os
import threading
from typing import Protocol


class LockLike(Protocol):
    """What a lock can do."""

    def acquire(self) -> object:
        """Wait for the lock."""

    def release(self) -> object:
        """Let go of it."""


def fork_only_with(lock: LockLike) -> None:
    """Let every fork of this process wait for a reentrant lock, which is then free in the child too."""
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)


unforked = threading.RLock()
"""While a thread holds it (``with unforked:``), no other thread of this process forks."""
fork_only_with(unforked)
