"""Queries that run in processes of their own: asked, stopped, and their answers kept as Arrow files for paging."""

import contextlib
import json
import re
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from spora_db.errors import ArgumentError, QueryError, unknown
from spora_db.explore.limits import KEPT, QUERY_BYTES, QUERY_SECONDS, RUNNING
from spora_db.explore.near import Near
from spora_db.explore.results import KeptAnswer

QueryState: TypeAlias = Literal["running", "done", "failed", "stopped"]
_PLACE: Final = re.compile(r"\bline (\d+), column (\d+)\b")
CHILD: Final = "spora_db.explore.child"


class Asker:
    """A process that answers one query after another; killing it is how a query is stopped.

    Parameters
    ----------
    lake
        The lake.
    """

    def __init__(self, lake: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", CHILD, str(lake)],  # of -c DuckDB believes that somebody reads its progress bar
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )  # Ctrl-C is for the server, which ends its processes
        self._ready = False

    def ask(self, sql: str, path: Path, *, near: Near | None, heard: Callable[[str], None]) -> Mapping[str, Any] | None:
        """Return what the process says of a query, None where it ended; what it says on the way is heard."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            if not self._ready:
                first = self._process.stdout.readline()
                if not first or "error" in json.loads(first):
                    return json.loads(first) if first else None
                self._ready = True
            asked = {"sql": sql, "path": str(path), "near": None if near is None else near.told()}
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            while line := self._process.stdout.readline():
                said: Mapping[str, Any] = json.loads(line)
                if "doing" not in said:
                    return said
                heard(str(said["doing"]))
        except (OSError, ValueError):  # it was killed meanwhile
            return None
        return None

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(OSError):
                stream.close()


class AskedQuery:
    """One query of the page, and its answer once it is there."""

    def __init__(self, sql: str, path: Path, *, near: Near | None) -> None:
        self.sql = sql
        self.near = near
        self.path = path
        self.state: QueryState = "running"
        self.doing = ""
        self.error = ""
        self.more = False
        self.hint = ""
        self.answer: KeptAnswer | None = None
        self.asker: Asker | None = None
        self.lock = threading.Lock()

    def told(self) -> dict[str, Any]:
        """Return what the page is told of it."""
        told: dict[str, Any] = {"state": self.state}
        if self.state == "running":
            told["doing"] = self.doing
        if self.answer is not None:
            told |= {"rows": self.answer.rows, "more": self.more, "hint": self.hint, "columns": self.answer.columns}
        if self.error:
            place = _PLACE.search(self.error)
            told["error"] = self.error
            told["place"] = {"line": int(place[1]), "column": int(place[2])} if place else None
        return told


class Queries:
    """The queries of one server.

    Parameters
    ----------
    lake
        The lake.
    """

    def __init__(self, lake: Path) -> None:
        self._lake = lake
        self._temporary = tempfile.TemporaryDirectory(prefix="spora-db-explore-", ignore_cleanup_errors=True)
        self._folder = Path(self._temporary.name)
        self._known: dict[str, AskedQuery] = {}
        self._idle = [Asker(lake)]  # it opens the lake while the page is being loaded
        self._lock = threading.Lock()
        self._closed = False

    def start(self, sql: str, *, near: Near | None = None) -> str:
        """Begin to answer a query, or to find the rows of its answer that are most like one; return its name.

        Raises
        ------
        QueryError
            Too many run already.
        """
        with self._lock:
            if sum(query.state == "running" for query in self._known.values()) >= RUNNING:
                raise QueryError(f"{RUNNING} queries run already. Stop one, or wait for it.")
            name = secrets.token_hex(8)
            query = self._known[name] = AskedQuery(sql, self._folder / f"{name}.arrow", near=near)
            query.asker = self._idle.pop() if self._idle else Asker(self._lake)
            ended = [old for old, item in self._known.items() if item.state != "running"]
            for old in ended[: max(0, len(self._known) - KEPT)]:
                self._forget(old)
        threading.Thread(target=self._run, args=(query,), daemon=True).start()
        return name

    def get(self, name: str) -> AskedQuery:
        """Return a query by its name.

        Raises
        ------
        UnknownNameError
            It was forgotten, or never asked.
        """
        with self._lock:
            if name not in self._known:
                raise unknown("query", name, (), remedy="Ask it again.")
            return self._known[name]

    def answer(self, name: str) -> KeptAnswer:
        """Return the answer to a query.

        Raises
        ------
        ArgumentError
            It has none (yet).
        UnknownNameError
            As `get`.
        """
        query = self.get(name)
        if query.answer is None:
            raise ArgumentError(f"The query is {query.state}; it has no rows to show.")
        return query.answer

    def stop(self, name: str) -> None:
        """End a query that runs; forget the answer of one that does not."""
        query = self.get(name)
        with query.lock:
            running = query.state == "running"
            if running:
                query.state = "stopped"
                if query.asker is not None:
                    query.asker.end()
        if not running:
            with self._lock:
                self._forget(name)

    def close(self) -> None:
        """End all processes and remove all files."""
        with self._lock:
            self._closed = True
            known = list(self._known.values())
            for asker in self._idle:
                asker.end()
        for query in known:
            with query.lock:
                if query.state == "running" and query.asker is not None:
                    query.state = "stopped"
                    query.asker.end()
        self._temporary.cleanup()

    def _forget(self, name: str) -> None:
        query = self._known.pop(name, None)
        if query is not None:
            query.path.unlink(missing_ok=True)

    def _run(self, query: AskedQuery) -> None:
        """Wait for the answer, at most as long as a query may run."""
        asker = query.asker
        assert asker is not None
        late = threading.Timer(QUERY_SECONDS, self._end_late, args=(query,))
        late.daemon = True
        late.start()
        said = asker.ask(query.sql, query.path, near=query.near, heard=partial(setattr, query, "doing"))
        late.cancel()
        with query.lock:
            query.asker = None
            if query.state != "running":
                query.path.unlink(missing_ok=True)
                return
            if said is None:
                query.error = (
                    f"The query took more than {2 * QUERY_BYTES / 2**30:.0f} GB of memory, or its process was ended "
                    "from outside. Ask for less at a time."
                )
            elif "error" in said:
                query.error = str(said["error"])
            else:
                query.more, query.hint = bool(said["more"]), str(said["hint"])
                query.answer = KeptAnswer.opened(query.path)
            query.state = "failed" if query.error else "done"
        with self._lock:
            again = said is not None and not self._closed and len(self._idle) < RUNNING
            if again:
                self._idle.append(asker)
        if not again:
            asker.end()

    def _end_late(self, query: AskedQuery) -> None:
        with query.lock:
            if query.state == "running":
                query.state, query.error = "failed", f"The query was stopped after {QUERY_SECONDS:.0f} s."
                if query.asker is not None:
                    query.asker.end()
