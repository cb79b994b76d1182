"""Opening the page: a free port of this machine, a new token, a server until Ctrl-C."""

import secrets
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from spora_db.errors import ArgumentError, reason
from spora_db.explore.explorer import Explorer
from spora_db.explore.routes import application
from spora_db.explore.security import Gate

HOST = "127.0.0.1"


class PageServer:
    """A server for the page of one lake.

    Parameters
    ----------
    lake
        The lake.
    port
        The port, 0 for any that is free.
    write
        A folder that selections may be saved into, None to only read.

    Raises
    ------
    ArgumentError
        The port is taken, or is none.
    """

    def __init__(self, lake: Path, *, port: int = 0, write: Path | None = None) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((HOST, port))
        except (OSError, OverflowError) as error:
            self._socket.close()
            raise ArgumentError(f"Port {port} cannot be opened: {reason(error)}. Pass --port 0 for any.") from error
        try:
            self._explorer = Explorer(lake, write=write)
        except BaseException:
            self._socket.close()
            raise
        self.port: int = self._socket.getsockname()[1]
        self.token = secrets.token_urlsafe(24)
        gate = Gate(application(self._explorer), port=self.port, token=self.token)
        settings = uvicorn.Config(
            gate, log_level="warning", access_log=False, ws="none", lifespan="off",
            server_header=False, proxy_headers=False, timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = uvicorn.Server(settings)

    @property
    def address(self) -> str:
        """The address to open, with the token in its fragment, which browsers do not send."""
        return f"http://{HOST}:{self.port}/#token={self.token}"

    def run(self, *, before: Callable[[], None] = lambda: None) -> None:
        """Answer until Ctrl-C, or `stop`; `before` is called once requests would be accepted."""
        self._socket.listen(128)
        before()
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._explorer.close()
            self._socket.close()

    def stop(self) -> None:
        """Let `run` return, from another thread."""
        self._server.should_exit = True
