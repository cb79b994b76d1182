"""Servers for tests of stores: the slow bucket of the agreed benchmarks, and one that answers by a script."""

import contextlib
import http.server
import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agreed import MISSING, SHARED

SCRIPT = SHARED / "bench/slow_s3.py"


@dataclass(slots=True)
class Bucket:
    """A running server of a folder: bucket ``b`` is the folder ``b`` in it."""

    folder: Path
    address: str

    def set(self, **settings: object) -> dict[str, int]:
        """Change settings, such as ``fault="503x2"``; return what was counted since the last call."""
        query = "&".join(f"{name}={value}" for name, value in settings.items())
        with urllib.request.urlopen(urllib.request.Request(f"{self.address}/?{query}", method="POST")) as answer:
            return dict(json.load(answer))


@contextlib.contextmanager
def slow_bucket(folder: Path, port: int | None = None, **settings: object) -> Iterator[Bucket]:
    """Serve a folder as a bucket store would, on a port of its own or a given one; skip where the server is absent."""
    if not SCRIPT.is_file():
        pytest.skip(MISSING)
    port = port or free_port()
    command = [sys.executable, str(SCRIPT), str(folder), str(port), *(f"{k}={v}" for k, v in settings.items())]
    server = subprocess.Popen(command)
    try:
        bucket = Bucket(folder, f"http://127.0.0.1:{port}")
        until_it_answers(bucket, server)
        yield bucket
    finally:
        server.kill()
        server.wait()


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        return int(server.server_address[1])


def until_it_answers(bucket: Bucket, server: "subprocess.Popen[bytes]") -> None:
    """Wait until a server listens."""
    waiting = threading.Event()
    for _ in range(600):
        with contextlib.suppress(OSError):
            bucket.set()
            return
        assert server.poll() is None, "the server ended"
        waiting.wait(0.05)
    raise AssertionError("the server does not answer")


@dataclass(slots=True)
class Asked:
    """One request that a scripted server got."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass(slots=True)
class Scripted:
    """A server whose answers are what a function makes of each request: status, headers, body."""

    answer: Callable[[Asked], tuple[int, dict[str, str], bytes]]
    asked: list[Asked] = field(default_factory=list)
    address: str = ""


@contextlib.contextmanager
def scripted(answer: Callable[[Asked], tuple[int, dict[str, str], bytes]]) -> Iterator[Scripted]:
    """Serve what a function answers, on a thread of this process."""
    known = Scripted(answer)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def reply(self) -> None:
            asked = Asked(self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
            known.asked.append(asked)
            status, headers, body = known.answer(asked)
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                with contextlib.suppress(OSError):
                    self.wfile.write(body)
            self.close_connection = headers.get("Content-Length", str(len(body))) != str(len(body))

        do_GET = do_HEAD = reply

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        known.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield known
        server.shutdown()
        thread.join()


def relayed(bucket: Bucket) -> contextlib.AbstractContextManager[Scripted]:
    """Serve a bucket as it is, and keep every request that was made of it."""

    def answer(asked: Asked) -> tuple[int, dict[str, str], bytes]:
        given = {name: value for name, value in asked.headers.items() if name in ("range", "if-match")}
        request = urllib.request.Request(bucket.address + asked.path, method=asked.method, headers=given)
        try:
            with urllib.request.urlopen(request) as found:
                return found.status, dict(found.headers), found.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read()

    return scripted(answer)
