"""Forks wait for what must not be half done in a child: a thread that held a lock then stays in the parent for ever.

Python's import locks are such locks: a child that needs a module which another thread of its parent was just importing
would wait for it without end. (`spora_db.kernels.compile` does the same with numba's compiler lock.)
"""

import os
import threading

unforked = threading.RLock()
"""While a thread holds it (``with unforked:``), no thread of this process forks."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=unforked.acquire, after_in_parent=unforked.release, after_in_child=unforked.release)
