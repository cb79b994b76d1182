"""The stage between planning and decoding: what chunks need of files is fetched, of all of them at once.

Files of a folder are read as their chunks are decoded, as the system keeps and reads ahead what lies on its disks. Of a
remote lake each step of all chunks is one `Mirror.bring`: indexes of shards, heads of blocks, planes; after which
decoding finds every byte in the copy.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import wait
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from spora_db.arrays import Int64
from spora_db.errors import SporaError
from spora_db.files.stores.http import NETWORK
from spora_db.files.stores.mirror import Mirror, mirror_of
from spora_db.files.stores.ranges import FileRange
from spora_db.images.base import ChunkGrid, ImageReader
from spora_db.images.chunk_codecs import ChunkError

OPENED = 8
"""Images of which the metadata is fetched at once."""
AT_ONCE = 256
"""Chunks that are fetched together, before the first of them is decoded."""


class PlannedChunk(NamedTuple):
    """A chunk at a place of a grid, the rows and cols needed of it, and where they go, as who plans notes it."""

    reader: ImageReader
    grid: ChunkGrid
    down: int
    across: int
    rows: slice
    cols: slice
    pieces: Int64


def fetched(chunks: Sequence[PlannedChunk]) -> Iterator[tuple[PlannedChunk, SporaError | None]]:
    """Yield chunks whose bytes are there, each with the error if they could not be fetched."""
    for start in range(0, len(chunks), AT_ONCE):
        part = chunks[start : start + AT_ONCE]
        faults = fetch(part)
        for number, chunk in enumerate(part):
            yield chunk, faults.get(number)


def fetch(chunks: Sequence[PlannedChunk]) -> dict[int, SporaError]:
    """Fetch what chunks need of remote files, step by step, and return for each that failed the error."""
    readers = {id(chunk.reader): chunk.reader for chunk in chunks}
    lakes = {number: found for number, reader in readers.items() if (found := mirror_of(reader.path)) is not None}
    if not lakes:
        return {}
    waiting = [
        (number, lakes[id(chunk.reader)], chunk.reader.needs(
            group, chunk.down, chunk.across, rows=chunk.rows, cols=chunk.cols
        ))
        for number, chunk in enumerate(chunks)
        if id(chunk.reader) in lakes
        for group in chunk.grid.groups
    ]  # fmt: skip
    faults = dict[int, SporaError]()
    while waiting:
        asked: dict[Mirror, list[tuple[int, FileRange]]] = {}
        going: list[tuple[int, Mirror, Iterator[list[FileRange]]]] = []
        for number, lake, steps in waiting:
            if number in faults:
                continue
            with contextlib.suppress(SporaError, OSError, ChunkError):  # which decoding meets again, and tells
                if (step := next(steps, None)) is not None:
                    asked.setdefault(lake, []).extend((number, one) for one in step)
                    going.append((number, lake, steps))
        for lake, ranges in asked.items():
            for (number, _), error in zip(ranges, lake.bring([one for _, one in ranges]), strict=True):
                if error is not None:
                    faults.setdefault(number, error)
        waiting = going
    return faults


def prepare(paths: Iterable[Path]) -> None:
    """Fetch what tells images of remote lakes, of many at once; what fails is told when one is opened."""
    remote = [(found, path) for path in paths if (found := mirror_of(path)) is not None]
    if len(remote) > 1:
        futures = [NETWORK.crew("open", OPENED).submit(partial(found.prepare, path)) for found, path in remote]
        wait(futures)


def bring(ranges: Sequence[FileRange]) -> list[SporaError | None]:
    """Fetch ranges of files of any remote lakes; see `spora_db.files.stores.mirror.Mirror.bring`."""
    errors = list[SporaError | None]()
    for found, part in groupby(ranges, key=lambda one: mirror_of(one.path)):
        own = list(part)
        errors += [None] * len(own) if found is None else found.bring(own)
    return errors
