"""Which decoded planes answer which requested pages: worked out once per list of pages, not once per chunk."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from spora_db.arrays import Int64

WHOLE: Final = b"all planes"


class Filling(NamedTuple):
    """Which planes of an array fill which slots: int64 arrays, `planes` sorted."""

    planes: Int64
    slots: Int64

    @property
    def runs(self) -> Iterator[tuple[slice, Int64]]:
        """The same as slices, cut where planes are not consecutive, and where one repeats; and the slots of each."""
        cuts = np.flatnonzero(self.planes[1:] != self.planes[:-1] + 1) + 1
        for first, end in pairwise([0, *cuts.tolist(), len(self.planes)]):
            yield slice(int(self.planes[first]), int(self.planes[end - 1]) + 1), self.slots[first:end]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageGroup:
    """The requested pages that lie in one chunk along the channel axis.

    Attributes
    ----------
    chunk
        Position of the chunk along the channel axis.
    planes
        Sorted positions within the chunk of the planes to decode, each once.
    key
        The same as bytes, for cache keys; `WHOLE` for all planes of the chunk.
    from_wanted, from_whole
        How an array of just those planes, or of all planes of the chunk, fills the slots.
    """

    chunk: int
    planes: Int64
    key: bytes
    from_wanted: Filling
    from_whole: Filling


def group_pages(pages: Int64, depth: int) -> tuple[PageGroup, ...]:
    """Split ``pages`` into groups by chunks of ``depth`` planes.

    Examples
    --------
    >>> [group] = group_pages(np.array([7, 2, 3]), 43)
    >>> group.planes, *group.from_wanted.runs
    (array([2, 3, 7]), (slice(0, 3, None), array([1, 2, 0])))
    >>> [(source.start, source.stop, slots.tolist()) for source, slots in group.from_whole.runs]
    [(2, 4, [1, 2]), (7, 8, [0])]
    """
    return _grouped(pages.astype(np.int64, copy=False).tobytes(), depth)


@lru_cache(maxsize=512)  # a plan has as many lists of pages as its tissues have panels
def _grouped(pages: bytes, depth: int) -> tuple[PageGroup, ...]:
    wanted = np.frombuffer(pages, np.int64)
    by_page = np.argsort(wanted, kind="stable")
    chunk_of = wanted[by_page] // depth
    groups = []
    for chunk in np.unique(chunk_of).tolist():
        slots = by_page[chunk_of == chunk]
        planes, positions = np.unique(wanted[slots] % depth, return_inverse=True)
        groups.append(
            PageGroup(
                chunk=chunk,
                planes=planes,
                key=planes.tobytes() if len(planes) < depth else WHOLE,
                from_wanted=Filling(positions, slots),
                from_whole=Filling(planes[positions], slots),
            )
        )
    return tuple(groups)
