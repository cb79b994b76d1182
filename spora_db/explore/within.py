"""Asking the server's application without a server: a request goes in as a message, its answer comes back, no port."""

import asyncio
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenAnswer:
    """What the application answered: the status of HTTP, its headers, and its bytes."""

    status: int
    headers: Mapping[str, str]
    content: bytes


def asked_within(application: Starlette, method: str, address: str, body: bytes = b"") -> GivenAnswer:
    """Return what an application answers to a request; waits for it, in the thread of whoever calls.

    Parameters
    ----------
    application
        The application.
    method, address
        Such as ``"GET"`` and ``"api/images?q=lung"``; the address is one of the application's own.
    body
        Of a ``POST``.
    """
    parts = urlsplit(address)
    path = "/" + parts.path.lstrip("/")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "root_path": "", "query_string": parts.query.encode(), "headers": [],
    }  # fmt: skip
    sent: list[MutableMapping[str, Any]] = []
    asked: list[MutableMapping[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> MutableMapping[str, Any]:
        if not asked:
            await asyncio.Event().wait()  # whoever asked stays until all is said
        return asked.pop()

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    asyncio.run(application(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    content = b"".join(message.get("body", b"") for message in sent[1:])
    return GivenAnswer(status=sent[0]["status"], headers=headers, content=content)
