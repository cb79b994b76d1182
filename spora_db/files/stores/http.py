"""Requests over HTTP that are checked and tried again: what comes back is what was asked for, or an error.

A connection belongs to the process that opened it: a forked child that read from an inherited one would take bytes
of its parent's answers. So every process has a pool of its own, made when it first asks.
"""

import atexit
import email.utils
import itertools
import logging
import math
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from spora_db.errors import MissingExtraError, StoreError, reason
from spora_db.files.forks import unforked
from spora_db.files.stores.crew import Crew

logger = logging.getLogger(__name__)

CONNECTIONS = 32
"""Connections that the processes of a loader keep open at most, together."""
RETRIED = (408, 429, 500, 502, 503, 504)
"""What a server says that may be otherwise a moment later."""
TRIES = 10
"""Where every second answer is bad and 32 requests are under way, five tries are bad for one request in 32."""
STALL = 10.0
"""Seconds without a byte after which a try has failed."""
PATIENCE = 60.0
"""Seconds after which a request has failed, whatever tries are left."""
OUTAGE = 180.0
"""The same where a host cannot be reached that has answered before: a network that is gone for a minute comes back."""
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 8.0
PIECE = 2**18
BODY = 2**23
"""Bytes of one request at most: at PATIENCE that is a line of 1.1 Mbit/s."""
HEADERS = 8 * 2**20
"""Bytes of an answer of unknown length at most, such as a listing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server answered; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


class Unusable(Exception):
    """An answer that another try may mend: the message says what is wrong with it."""


class Unreachable(Unusable):
    """No answer at all, as nobody is there, or nothing comes."""


Check = Callable[[Answer], None]
"""Raises `Unusable` for an answer that is not what was asked for."""
Prepare = Callable[[], Mapping[str, str]]
"""Gives the headers of a try: a signature carries its time."""


class Network:
    """What this process reads from the network with; a forked child begins with none of it.

    The child's copies of connections are closed without a word on the line, which is the parent's.
    """

    def __init__(self) -> None:
        self.connections = CONNECTIONS
        self.answered = set[str]()
        self._start()
        os.register_at_fork(after_in_child=self._start)
        atexit.register(self._end)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._pool: Any = None
        self._crews: dict[str, Crew[Any]] = {}

    def _end(self) -> None:
        """Stop what goes on as the process ends; what does not stop within a second ends with it."""
        for crew in self._crews.values():
            crew.end(seconds=1.0)

    def share(self, processes: int) -> None:
        """Keep this process's share of the connections, so many of which read side by side; before any is open."""
        self.connections = max(1, CONNECTIONS // processes)

    def pool(self) -> Any:  # noqa: ANN401 - urllib3 is an extra
        """Return the connections, made when they are first needed.

        Raises
        ------
        MissingExtraError
            If urllib3 is absent.
        """
        if self._pool is not None:
            return self._pool
        try:
            with unforked:  # a child that is forked meanwhile could never import it
                import urllib3
        except ImportError as error:
            raise MissingExtraError(
                "Reading a lake over the network needs urllib3: pip install 'spora-db[remote]'."
            ) from error
        with self._lock:  # not around the import: who forks holds `unforked`, and may wait for this lock
            if self._pool is None:
                wait = urllib3.Timeout(connect=STALL, read=STALL)
                self._pool = urllib3.PoolManager(16, maxsize=self.connections, block=True, retries=False, timeout=wait)
            return self._pool

    def threads(self) -> Crew[Any]:
        """Return the threads that ask side by side, as many as there are connections."""
        return self.crew("read", self.connections)

    def crew(self, name: str, number: int) -> Crew[Any]:
        """Return threads for some work that waits for `threads`, and so cannot be done by these."""
        with self._lock:
            if name not in self._crews:
                self._crews[name] = Crew(number, f"spora-db-{name}")
            return self._crews[name]


NETWORK = Network()


def send(method: str, url: str, *, prepare: Prepare, check: Check, longest: int = HEADERS) -> Answer:
    """Send a request until an answer passes its check.

    Parameters
    ----------
    method, url
        What is asked for; the URL carries no secret.
    prepare
        Gives the headers, once per try.
    check
        Raises `Unusable` for answers to ask for anew. Answers of `RETRIED` do not reach it.
    longest
        Bytes that the body may have.

    Returns
    -------
    Answer
        Of any status that is not in `RETRIED`: who asks knows what 404 means.

    Raises
    ------
    StoreError
        After `TRIES` tries or `PATIENCE` seconds, of a host that is gone after `OUTAGE`: with the URL, what the last
        try found, and how many there were.
    """
    began, said, host = time.monotonic(), "", urlsplit(url).netloc
    last: Unusable | None = None
    tries, patience = float(TRIES), PATIENCE
    for number in itertools.count(1):
        wait, last = 0.0, None
        try:
            answer = _once(method, url, headers=prepare(), longest=longest, until=time.monotonic() + PATIENCE)
            NETWORK.answered.add(host)
            if answer.status not in RETRIED:
                check(answer)
                return answer
            said, wait = f"status {answer.status}", _asked_to_wait(answer)
        except Unusable as error:
            said, last = str(error), error
            if isinstance(error, Unreachable) and host in NETWORK.answered:
                tries, patience = math.inf, OUTAGE  # from now on: what comes back may be busy at first
        pause = max(wait, random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(number, TRIES))))
        if number >= tries or time.monotonic() + pause > began + patience:
            break
        level = logging.WARNING if number == TRIES else logging.DEBUG
        logger.log(level, "%s %s: %s; try %d follows in %.1f s", method, url, said, number + 1, pause)
        time.sleep(pause)
    raise StoreError(
        f"{method} {url} failed: {said}, after {number} {'try' if number == 1 else 'tries'} in "
        f"{time.monotonic() - began:.0f} s. Check the network and the address, and try again: what was read is kept."
    ) from last


def out_of_reach(error: BaseException) -> bool:
    """Tell whether an error is that nobody answers: the fault of the network, and of no file.

    Examples
    --------
    >>> out_of_reach(StoreError("There is no lake at s3://b/lake."))
    False
    """
    return isinstance(error, StoreError) and isinstance(error.__cause__, Unreachable)


def _once(method: str, url: str, *, headers: Mapping[str, str], longest: int, until: float) -> Answer:
    """Send a request once, and read all of its answer."""
    pool = NETWORK.pool()
    import urllib3

    response = None
    whole = False
    try:
        response = pool.request(
            method,
            url,
            headers={"Accept-Encoding": "identity", **headers},
            preload_content=False,
            decode_content=False,
            redirect=False,
        )
        pieces, length = [], 0
        while piece := response.read1(PIECE, decode_content=False):
            pieces.append(piece)
            length += len(piece)
            if length > longest:
                raise Unusable(f"its answer has more than {longest:,} bytes")
            if time.monotonic() > until:
                raise Unusable(f"it was not done after {PATIENCE:.0f} s ({length:,} bytes came)")
        found = {name.lower(): value for name, value in response.headers.items()}
        told = found.get("content-length")
        if method != "HEAD" and told is not None and told.isdigit() and int(told) != length:
            raise Unusable(f"{length:,} bytes came of {int(told):,}")
        whole = True
        return Answer(status=response.status, headers=found, body=b"".join(pieces), url=url)
    except (urllib3.exceptions.TimeoutError, urllib3.exceptions.NewConnectionError) as error:
        raise Unreachable(_words(error)) from error
    except urllib3.exceptions.HTTPError as error:
        raise Unusable(_words(error)) from error
    except OSError as error:
        raise Unusable(reason(error)) from error
    finally:
        if response is not None:
            if not whole:
                response.close()  # what is left of this answer would be taken for the next one's
            response.release_conn()


def _words(error: Exception) -> str:
    """Return what urllib3 found, without its addresses of objects."""
    import urllib3.exceptions as kinds

    if isinstance(error, kinds.ReadTimeoutError):
        return f"no byte came for {STALL:.0f} s"
    if isinstance(error, kinds.NameResolutionError):
        return "its host has no address here"
    if isinstance(error, kinds.NewConnectionError):  # in some versions a ConnectTimeoutError, too
        return "no connection: " + str(error).rpartition(": ")[2]
    if isinstance(error, kinds.ConnectTimeoutError):
        return f"no connection in {STALL:.0f} s"
    return f"{type(error).__name__}: {error}"


def _asked_to_wait(answer: Answer) -> float:
    """Return the seconds that Retry-After asks for, given as seconds or as a date; 0 for none."""
    text = answer.headers.get("retry-after", "")
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return 0.0
