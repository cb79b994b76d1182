"""A running server of a lake's page, as tests ask it: over HTTP, as its own page would or as others might."""

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from spora_db.explore.serving import PageServer


class Client:
    """Asks a server with its token; anything of a request can be another thing."""

    def __init__(self, server: PageServer) -> None:
        self.server = server

    def raw(self, method, path, body=None, **headers):
        given = {"Host": f"127.0.0.1:{self.server.port}", "Authorization": f"Bearer {self.server.token}"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=300)
        try:
            content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            sent = {name: value for name, value in given.items() if value is not None}
            connection.putrequest(method, path, skip_host=True)
            for name, value in sent.items():
                connection.putheader(name, value)
            if content is not None and "Content-Length" not in sent:
                connection.putheader("Content-Length", str(len(content)))
            connection.endheaders(content)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def ask(self, method, path, body=None):
        status, _, content = self.raw(method, path, body)
        return status, json.loads(content) if content else None

    def query(self, sql, **more):
        status, told = self.ask("POST", "/api/queries", {"sql": sql} | more)
        assert status == 201, told
        return told["id"]

    def answered(self, sql, **more):
        name = self.query(sql, **more)
        while (told := self.ask("GET", f"/api/queries/{name}")[1])["state"] == "running":
            time.sleep(0.02)
        return name, told

    def planes(self, path):
        status, headers, content = self.raw("GET", path)
        assert status == 200, content
        kind = np.dtype(headers["X-Dtype"]).newbyteorder("<")
        return np.frombuffer(content, kind).reshape(tuple(map(int, headers["X-Shape"].split(","))))


@contextlib.contextmanager
def serving(lake: Path, *, write: Path | None = None) -> Iterator[Client]:
    """Serve the page of a lake, with whatever cache folder the environment names."""
    server = PageServer(lake, write=write)
    begun = threading.Event()
    thread = threading.Thread(target=server.run, kwargs={"before": begun.set})
    thread.start()
    try:
        assert begun.wait(60)
        yield Client(server)
    finally:
        server.stop()
        thread.join()


@contextlib.contextmanager
def serving_anew(lake: Path, cache: Path) -> Iterator[Client]:
    """Serve the page of a lake of which nothing is kept yet: what is kept goes to a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        with serving(lake) as client:
            yield client
