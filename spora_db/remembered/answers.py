"""What was found in parquet files, kept in the user's cache folder from process to process until one of them changes.

An answer goes by the digest of what was asked and of the files as they were then; it is kept only if they were the same
before and after, and if so long ago that any later change shows. Where the folder cannot be written to, all is asked
anew.
"""

import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeVar

import spora_db
from spora_db.errors import WriteError
from spora_db.files.cache_folders import lasting_folder
from spora_db.files.folders import user_folder
from spora_db.files.shared_folder import SharedFolder
from spora_db.files.stamps import Stamp, settled_stamps

logger = logging.getLogger(__name__)
T = TypeVar("T")

KEPT_FROM: Final = 2**20
"""Bytes of files of which something is kept; of fewer it is found anew before it would be written."""
OPENED: Final = 2**16
"""Bytes that are read in the time that it takes to open a file."""
LIMIT: Final = 2**28
"""Bytes of all answers; those that were not used for longest go first."""
_DIGEST: Final = 16
NOTHING: Final = bytes(4096 - _DIGEST)
"""An answer of nothing: the block of the disk that it takes, so that the limit holds for many of them too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastingAnswer:
    """Where the answer to a question about some files is kept, and how the files were before it was asked."""

    folder: SharedFolder
    name: str
    files: tuple[Path, ...]
    stamps: tuple[Stamp, ...]

    def read(self) -> memoryview | None:
        """Return the answer; None where there is none, not the whole of it, or none that can be read."""
        try:
            return self._read()
        except OSError as error:
            logger.info("%s cannot be read: %s.", self.folder.path, error.strerror or error)
            return None

    def _read(self) -> memoryview | None:
        found = self.folder.read(self.name)
        if found is None:
            return None
        whole = memoryview(found).cast("B")
        if _digest(whole[_DIGEST:]) != whole[:_DIGEST]:
            logger.info("%s is broken and is made anew.", self.folder.path / self.name)
            self.folder.discard(self.name)
            return None
        self.folder.touch(self.name)
        return whole[_DIGEST:]

    def unless_nothing(self, ask: Callable[[], list[T]]) -> list[T]:
        """Return what is asked; that it is nothing is kept."""
        if self.read() is not None:
            return []
        found = ask()
        if not found:
            self.write(NOTHING)
        return found

    def write(self, answer: bytes | memoryview) -> None:
        """Keep the answer, unless a file has changed since the question."""
        if settled_stamps(self.files) != self.stamps:
            return

        def fill(descriptor: int) -> int:
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                return file.write(_digest(answer)) + file.write(answer)

        try:
            self.folder.write(self.name, fill, size=_DIGEST + memoryview(answer).nbytes)
        except OSError as error:
            logger.info("%s keeps nothing more: %s.", self.folder.path, error.strerror or error)


def lasting_answer(question: Sequence[str], files: Sequence[Path]) -> LastingAnswer | None:
    """Return where the answer to a question is kept; None where it is not: of few bytes, or of files just written.

    Parameters
    ----------
    question
        Texts that say all that is asked, the paths of the files among them.
    files
        All files that are read.
    """
    stamps = settled_stamps(files)
    if stamps is None or sum(size + OPENED for _, _, size, _ in stamps) < KEPT_FROM:
        return None
    folder = _folder(user_folder("cache") / "answers")
    if folder is None:
        return None
    facts = (spora_db.__version__, tuple(question), stamps)
    return LastingAnswer(folder=folder, name=_digest(repr(facts).encode()).hex(), files=tuple(files), stamps=stamps)


@lru_cache(maxsize=4)
def _folder(path: Path) -> SharedFolder | None:
    """Return the folder of answers, None where there can be none."""
    try:
        return lasting_folder(path, limit=LIMIT)
    except WriteError as error:
        logger.info("What is found in large tables is not kept: %s", error)
        return None


def _digest(data: bytes | memoryview) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST).digest()
