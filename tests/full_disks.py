"""A disk without room, for files that are mapped: to fill a real one takes rights that not everybody has."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def no_room() -> Iterator[None]:
    """Let no file keep room meanwhile."""

    def refuse(_descriptor: int, _offset: int, _length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "posix_fallocate", refuse)
        yield
