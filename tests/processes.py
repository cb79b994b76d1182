"""Which processes still run; one that has ended but that nobody waited for does not."""

from pathlib import Path


def _status(pid: int) -> tuple[str, int]:
    """Return state and process group of a process, as Linux tells them; ``X`` for one that is not there."""
    try:
        state, _, group = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[:3]
    except (FileNotFoundError, ProcessLookupError):
        return "X", 0
    return state, int(group)


def runs(pid: int) -> bool:
    return _status(pid)[0] not in "XZ"


def group_runs(group: int) -> bool:
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return any(state not in "XZ" and of == group for state, of in map(_status, pids))
