"""What memory a run may use of this machine, also inside containers and Slurm jobs."""

import os
from pathlib import Path

SHARE = 0.8  # of the free memory; the rest is for the parent and for estimates that are too low
CGROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")


def memory_budget() -> int:
    """Return the bytes of memory that units at work may take together.

    Examples
    --------
    >>> memory_budget() > 0
    True
    """
    return int(SHARE * min(_free_memory(), _container_memory()))


def _free_memory() -> int:
    try:
        for line in MEMINFO.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:  # not Linux
        pass
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) // 2


def _container_memory() -> int:
    """Return what is left below the limit of the control group; a huge number where there is none."""
    try:
        most = (CGROUP / "memory.max").read_text(encoding="ascii").strip()
        if most == "max":
            return 2**62
        used = int((CGROUP / "memory.current").read_text(encoding="ascii"))
        stat = dict(line.split() for line in (CGROUP / "memory.stat").read_text(encoding="ascii").splitlines())
        return max(int(most) - used + int(stat.get("inactive_file", 0)), 2**28)  # cached files make room when asked
    except (OSError, ValueError):
        return 2**62
