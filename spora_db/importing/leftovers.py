"""What killed imports leave in a lake: hidden folders, which the next import of the dataset clears away and names."""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from spora_db.files.locks import held_alone, lock_file
from spora_db.importing.decisions import Decision

LOCK: Final = "lock"
REPLACED: Final = "replaced"
"""Where the dataset lies that is replaced, from when it is taken away until the new one is in its place."""


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder that is made for it, by a lock that the system releases with the process."""
    folder.mkdir(parents=True)
    with lock_file(folder / LOCK):
        yield


def clear_leftovers(target: Path) -> list[Decision]:
    """Clear away what killed imports of a dataset left beside it, and put back a dataset that one was replacing.

    Examples
    --------
    >>> clear_leftovers(Path("no/such/lake/cohort"))
    []
    """
    made_by_import = re.compile(rf"\.{re.escape(target.name)}\.\d+-[0-9a-f]{{8}}\.tmp")
    lake = target.parent
    inside = sorted(lake.iterdir()) if lake.is_dir() else []
    found = []
    for folder in (path for path in inside if made_by_import.fullmatch(path.name)):
        if not folder.is_dir() or not _is_abandoned(folder):
            continue
        says = f"Cleared away {folder.name}, which an import that was killed had left in {lake}."
        old = folder / REPLACED
        if old.is_dir() and not os.path.lexists(target):
            old.rename(target)
            says += f" The dataset {target.name!r} that it was about to replace was put back."
        shutil.rmtree(folder, ignore_errors=True)
        found.append(Decision(about="checks", says=says))
    return found


def _is_abandoned(folder: Path) -> bool:
    """Tell whether no import is at work in a folder; one whose lock cannot be asked is left alone."""
    try:
        with held_alone(folder / LOCK):
            return True
    except FileNotFoundError:
        return not any(folder.iterdir())  # killed before it had a lock
    except OSError:
        return False
