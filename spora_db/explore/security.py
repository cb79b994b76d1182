"""What every request passes: the right host, the right page, the token, and a body of bounded size.

The page is reached at 127.0.0.1 only, which any page of the same browser can call, too. So a request must name the host
that the server was opened as (a name of another site that was made to point here is refused: DNS rebinding), must not
come from another site (``Sec-Fetch-Site``, ``Origin``), and must carry the token, which the browser never sends of
itself: it came in the fragment of the address, which no server and no other page sees.
"""

import json
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from starlette.exceptions import HTTPException

from spora_db.explore.limits import BODY_BYTES

HttpScope: TypeAlias = MutableMapping[str, Any]
HttpMessage: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[HttpMessage]]
Send: TypeAlias = Callable[[HttpMessage], Awaitable[None]]
Application: TypeAlias = Callable[[HttpScope, Receive, Send], Awaitable[None]]

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TOO_LARGE: Final = f"A request has at most {BODY_BYTES:,} bytes."
HEADERS: Final = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Gate:
    """Lets through what comes from the page itself, and adds the headers of its policy.

    Parameters
    ----------
    application
        What is behind.
    port
        Of the server.
    token
        What requests to the routes below ``/api`` carry.
    """

    def __init__(self, application: Application, *, port: int, token: str) -> None:
        self._application = application
        self._token = token.encode()
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}

    async def __call__(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        refusal = self._refusal(scope)
        taken = 0

        async def bounded() -> HttpMessage:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > BODY_BYTES:
                raise HTTPException(413, TOO_LARGE)
            return message

        async def marked(message: HttpMessage) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *HEADERS]
                if b"cache-control" not in names:
                    message["headers"].append((b"cache-control", b"no-store"))
            await send(message)

        if refusal is None:
            await self._application(scope, bounded, marked)
        else:
            body = json.dumps({"error": refusal[1]}).encode()
            length = str(len(body)).encode()
            headers = [(b"content-type", b"application/json"), (b"content-length", length)]
            await marked({"type": "http.response.start", "status": refusal[0], "headers": headers})
            await marked({"type": "http.response.body", "body": body})

    def _refusal(self, scope: HttpScope) -> tuple[int, str] | None:
        """Return the status and the reason why a request is refused, None where it is not."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if host not in self._hosts:
            return 421, (
                "The request names another host or port than this server's. Open the address that spora-db explore "
                "printed; through a tunnel, forward the same port, which --port chooses."
            )
        site, origin = headers.get("sec-fetch-site", "none"), headers.get("origin")
        # a link to the page may stand anywhere, such as in a terminal that is itself a page: it has no data yet
        if scope["path"] == "/" and scope["method"] == "GET" and headers.get("sec-fetch-dest") == "document":
            site = "none"
        if site not in ("none", "same-origin") or origin not in (None, f"http://{host}"):
            return 403, "The request comes from another site."
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > BODY_BYTES:
            return 413, TOO_LARGE
        if scope["path"].startswith("/api/"):
            kind, _, given = headers.get("authorization", "").partition(" ")
            if kind != "Bearer" or not secrets.compare_digest(given.encode(), self._token):
                return 401, "The token is not that of this server. Open the address that spora-db explore printed."
        return None
