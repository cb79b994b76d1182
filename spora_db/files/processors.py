"""How many processors a process may use, also inside containers and Slurm jobs: what pools of threads go by."""

import os


def usable_cpus() -> int:
    """Return the number of processors that this process may run on.

    Examples
    --------
    >>> usable_cpus() >= 1
    True
    """
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1
