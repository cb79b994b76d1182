"""The files of a remote lake that are read by ranges: what each is, learnt once, and what of its bytes is here.

What a file is comes with its first bytes. It is noted beside them, with the time: every process that began before takes
the note for it, and so all workers of a loader read the same file.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import lru_cache, partial
from typing import NamedTuple

from spora_db.errors import AbsentObjectError, FileFormatError, SporaError, StoreError
from spora_db.files.descriptors import open_at_once
from spora_db.files.recent import Recent
from spora_db.files.stores.crew import Settling
from spora_db.files.stores.granules import GRANULE, Granules
from spora_db.files.stores.http import BODY, NETWORK
from spora_db.files.stores.kept import kept_bytes_limit, trim
from spora_db.files.stores.manifest import is_by_time, may_be
from spora_db.files.stores.placeholders import Placeholders
from spora_db.files.stores.ranges import FileRange, requests
from spora_db.files.stores.store import ObjectState, ObjectStore, Span, changed

logger = logging.getLogger(__name__)

KNOWN = 2**16
"""Files of which a process knows what they are, about 450 bytes each; of others it reads the notes again."""
TRIMMED = 64 * 2**20
"""Bytes of images that a process fetches before it looks whether all copies take too much."""
FULL = 60.0
"""Seconds for which nothing more is kept after the disk was full."""
SINCE: dict[str, float] = {}
"""When this process, or the one that it was forked from, first used each copy."""


class Claimed(NamedTuple):
    """What of a file somebody is to fetch: runs of bytes, as offset and size."""

    name: str
    state: ObjectState
    granules: Granules
    runs: Sequence[tuple[int, int]]


class RangedFiles:
    """The files of one copy, from any thread of a process.

    Parameters
    ----------
    places
        Where they lie.
    address
        The remote lake.
    store
        Gives the store, when it is first needed.
    listed
        Gives what the lake's listing, or its manifest, says of a file; `whole` tells whether it says all.
    """

    def __init__(
        self,
        places: Placeholders,
        *,
        address: str,
        store: Callable[[], ObjectStore],
        listed: Callable[[str], ObjectState | None],
        whole: Callable[[], bool],
    ) -> None:
        self._places, self._address = places, address
        self._store, self._listed, self._whole = store, listed, whole
        self.since = SINCE.setdefault(str(places.folder), time.time())
        self._lock = threading.Lock()
        self._known = Recent[str, tuple[ObjectState | None]](KNOWN)
        self._asked: dict[str, Future[ObjectState | None]] = {}
        self._open = Recent[str, Granules](open_at_once())  # two descriptors each
        self._fetched = 0
        self._full_since = -FULL

    def known(self, name: str) -> bool:
        """Tell whether it is known what a file is, or that there is none."""
        return name in self._known or self._told(name) is not None

    def find(self, name: str, first: FileRange | None = None) -> ObjectState | None:
        """Return what a file is, and give it its place in the tree; None where there is none.

        The lake is asked once, for a range of the file, which is kept; what it says is noted for all processes.

        Raises
        ------
        StoreError
            It does not answer, or refuses.
        """
        if (state := (self._known.get(name) or (None,))[0] or self._told(name)) is not None:
            return state
        with self._lock:
            if (known := self._known.get(name)) is not None:
                return known[0]
            mine = name not in self._asked
            future = self._asked.setdefault(name, Future())
        if mine:
            with Settling(future):
                found = self._ask(name, first or FileRange(name, 0, GRANULE))
                self._known.put(name, (found,))
                future.set_result(found)
            with self._lock:
                del self._asked[name]
        return future.result()

    def read(self, name: str, offset: int, size: int) -> bytes:
        """Return bytes of a file, from the copy as far as it has them.

        Raises
        ------
        StoreError, FileFormatError
            As `ObjectStore.read`.
        """
        state = self.find(name)
        if state is None:
            raise StoreError(f"There is no file {self._address}/{name}.")

        def fetch(ranges: Sequence[tuple[int, int]]) -> list[bytes]:
            self._fetched += sum(length for _, length in ranges)
            return self._store().read_many([Span(name, state, start, length) for start, length in ranges])

        try:
            granules = self._granules(name, state)
            if self._full and not granules.has(offset, size):
                return fetch([(offset, size)])[0]
            data = granules.read(offset, size, fetch=fetch)
        except SporaError as error:
            if isinstance(error, FileFormatError):
                self.forget(name)
            raise
        except OSError as error:
            self._not_kept(error)
            return fetch([(offset, size)])[0]
        self._trim()
        return data

    def bring(self, ranges: Sequence[FileRange]) -> list[SporaError | None]:
        """Fetch ranges of files as far as they are not here, over all connections; near ones in one request.

        What is on its way already, for whoever it may be, is waited for, not fetched again. Once a request has failed,
        those that are not under way are given up: a network that is gone is waited for once.

        Parameters
        ----------
        ranges
            Whose `path` is the name of a file in the lake.

        Returns
        -------
        list of SporaError or None
            Why each range could not be fetched. Of a file that does not exist there is nothing to fetch.
        """
        faults = self._find_all(ranges)
        wanted: dict[str, list[int]] = {}
        try:
            for number, one in enumerate(ranges):
                state = None if number in faults or self._full else self.find(one.path)
                if state is not None and not self._granules(one.path, state).has(*one.within(state.size)):
                    wanted.setdefault(one.path, []).append(number)
            while wanted and not self._full:
                claimed = [self._claim(name, [ranges[number] for number in own]) for name, own in wanted.items()]
                failed = self._fetch(claimed)
                lacking = dict[str, list[int]]()
                for name, state, granules, _ in claimed:
                    for number in wanted[name]:
                        place = ranges[number].within(state.size)
                        granules.wait(*place)
                        if not granules.has(*place) and name in failed:
                            faults[number] = failed[name]
                        elif not granules.has(*place):
                            lacking.setdefault(name, []).append(number)
                wanted = lacking
        except OSError as error:
            self._not_kept(error)
        self._trim()
        return [faults.get(number) for number in range(len(ranges))]

    def close(self, name: str) -> None:
        """Let go of what is open of a file."""
        self._open.forget(lambda key: key == name)

    def forget(self, name: str) -> None:
        """Drop what was kept of a file that is another one now."""
        self.close(name)
        self._places.forget(name)

    def _find_all(self, ranges: Sequence[FileRange]) -> dict[int, SporaError]:
        """Learn what files are, each with the first range that is wanted of it, and return what failed, by range."""
        firsts: dict[str, FileRange] = {}
        for one in ranges:
            if one.path not in firsts and not self.known(one.path):
                firsts[one.path] = one
        asked = [NETWORK.threads().submit(partial(self.find, name, first)) for name, first in firsts.items()]
        failed = dict[str, SporaError]()
        for name, future in zip(firsts, asked, strict=True):
            try:
                future.result()
            except SporaError as error:
                failed[name] = error
        return {number: failed[one.path] for number, one in enumerate(ranges) if one.path in failed}

    def _claim(self, name: str, ranges: Sequence[FileRange]) -> Claimed:
        state = self.find(name)
        assert state is not None
        granules = self._granules(name, state)
        return Claimed(name, state, granules, granules.claim(one.within(state.size) for one in ranges))

    def _fetch(self, claimed: Sequence[Claimed]) -> dict[str, SporaError]:
        """Fetch and keep what was claimed, and return what failed, by file."""
        granules_of = {one.name: one.granules for one in claimed}
        asked = requests([Span(one.name, one.state, *run) for one in claimed for run in one.runs])
        futures = [NETWORK.threads().submit(partial(self._keep, granules_of[one.span.key], one.span)) for one in asked]
        failed = dict[str, SporaError]()
        try:
            for one, future in zip(asked, futures, strict=True):
                name = one.span.key
                if failed and future.cancel():
                    failed.setdefault(name, next(iter(failed.values())))
                    continue
                try:
                    future.result()
                except SporaError as error:
                    failed[name] = error
                    if isinstance(error, FileFormatError):
                        self.forget(name)
        finally:
            for _, _, granules, runs in claimed:
                granules.release(runs)
        return failed

    def _keep(self, granules: Granules, span: Span) -> None:
        self._fetched += span.size
        data = self._store().read(span.key, offset=span.offset, size=span.size, state=span.state)
        granules.keep(span.offset, data)

    def _ask(self, name: str, first: FileRange) -> ObjectState | None:
        """Return what a file is now, by a note that is new enough or from the lake, and give it its place."""
        listed, before = self._listed(name), self._places.noted(name)
        if listed is None and self._whole():
            return None
        if before is not None and is_by_time(before):
            before = None
        elif (noted := self._places.noted(name, since=self.since)) is not None:
            return noted
        at_end = first.offset < 0 and before is None
        size = GRANULE - first.offset if at_end else 1 if before is not None else first.offset + first.size
        edge = self._store().read_edge(name, size=min(size, BODY), at="end" if at_end else "start", known=before)
        if edge is None:
            if listed is not None:
                raise AbsentObjectError(f"There is no file {self._address}/{name}.")
            self._places.remove(name)
            return None
        if listed is not None and not may_be(listed, edge.state):
            raise changed(f"{self._address}/{name}", listed, f"of {edge.state.size:,} bytes")
        self._places.place(name, edge.state)
        self._places.seen(name)
        if edge.data and not self._full:
            try:
                self._granules(name, edge.state).keep(edge.offset, edge.data)
            except OSError as error:
                self._not_kept(error)
        return edge.state

    def _told(self, name: str) -> ObjectState | None:
        """Return what a file is where a listing says it, so that nothing is asked; a time is not enough."""
        state = self._listed(name)
        return None if state is None or is_by_time(state) else state

    def _granules(self, name: str, state: ObjectState) -> Granules:
        if (granules := self._open.get(name)) is None:
            with self._lock:  # two would not know of each other what is on its way
                if (granules := self._open.get(name)) is None:
                    granules = self._places.granules(name, state)
                    self._open.put(name, granules)
        return granules

    @property
    def _full(self) -> bool:
        return time.monotonic() < self._full_since + FULL

    def _not_kept(self, error: OSError) -> None:
        self._full_since = time.monotonic()
        _say_once(f"What is read of {self._address} is not kept in {self._places.folder}: {error.strerror or error}.")

    def _trim(self) -> None:
        if self._fetched > TRIMMED:
            self._fetched = 0
            trim(self._places.folder.parent, kept_bytes_limit())


@lru_cache(maxsize=32)
def _say_once(text: str) -> None:
    logger.warning(text)
