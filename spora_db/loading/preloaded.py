"""What a forkserver loads before it forks workers: the rooms that read, and numba with all that it looks through.

Importing this module is all that can be asked of a forkserver (``set_forkserver_preload``). It starts no thread and
opens no file that a fork would copy.
"""

import numpy as np

import spora_db.loading.dataset  # noqa: F401 - and all that it reads with
from spora_db.kernels.order import interleave_groups

NOTHING = np.zeros(0, np.int64)

interleave_groups(NOTHING, NOTHING, NOTHING, np.zeros(0, np.bool_), 1, 1, 1, NOTHING)  # for which numba looks
