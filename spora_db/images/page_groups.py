"""Which decoded planes answer which requested pages: worked out once per list of pages, not once per chunk."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from spora_db.arrays import Int64

Runs: TypeAlias = tuple[tuple[slice, Int64], ...]
WHOLE: Final = b"all planes"


class Filling(NamedTuple):
    """Which planes of an array fill which slots: int64 arrays `planes` and `slots`; the same as `runs` of slices."""

    planes: Int64
    slots: Int64
    runs: Runs


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
    >>> group.planes, group.from_wanted.runs
    (array([2, 3, 7]), ((slice(0, 3, None), array([1, 2, 0])),))
    >>> [(source.start, source.stop, slots.tolist()) for source, slots in group.from_whole.runs]
    [(2, 4, [1, 2]), (7, 8, [0])]
    """
    return _grouped(pages.astype(np.int64, copy=False).tobytes(), depth)


@lru_cache(maxsize=512)  # a plan has as many lists of pages as its tissues have panels
def _grouped(pages: bytes, depth: int) -> tuple[PageGroup, ...]:
    wanted = np.frombuffer(pages, np.int64)
    chunk_of = wanted // depth
    groups = []
    for chunk in np.unique(chunk_of).tolist():
        slots = np.flatnonzero(chunk_of == chunk)
        planes, inverse = np.unique(wanted[slots] % depth, return_inverse=True)
        order = np.argsort(inverse, kind="stable")
        positions, slots = inverse[order], slots[order]
        groups.append(
            PageGroup(
                chunk=chunk,
                planes=planes,
                key=planes.tobytes() if len(planes) < depth else WHOLE,
                from_wanted=_filling(positions, slots),
                from_whole=_filling(planes[positions], slots),
            )
        )
    return tuple(groups)


def _filling(planes: Int64, slots: Int64) -> Filling:
    """Split sorted planes where they are not consecutive, and where one repeats."""
    cuts = np.flatnonzero(np.diff(planes) != 1) + 1
    parts = zip(np.split(planes, cuts), np.split(slots, cuts), strict=True)
    return Filling(planes, slots, tuple((slice(int(own[0]), int(own[-1]) + 1), filled) for own, filled in parts))
