"""`RemoteStore`: files behind HTTP, of whichever service; every answer is checked against what is known of the file."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal, Protocol

from spora_db.errors import AbsentObjectError, FileFormatError, RefusedError, StoreError
from spora_db.files.stores.http import BODY, NETWORK, Answer, Check, send
from spora_db.files.stores.ranges import check_edge, check_range, is_strong, requests, state_of_answer
from spora_db.files.stores.store import Edge, ObjectEntry, ObjectState, Span, changed, check_span

REDIRECTS = 5
"""Addresses that may each name another one."""
LINKED = ("x-linked-etag", "x-linked-size")
"""What the first of them says of the file: the version that another one tells is its own."""


class Service(Protocol):
    """What differs between the services that hold files."""

    def url(self, key: str) -> str:
        """Return the address of a file."""

    def headers(self, method: str, url: str, more: Mapping[str, str]) -> Mapping[str, str]:
        """Return the headers of a request, `more` among them, signed or not; called once per try."""

    def list_folder(self, prefix: str) -> list[ObjectEntry]:
        """Return the names in a folder."""

    def list_tree(self, prefix: str) -> list[ObjectEntry]:
        """Return all files below a folder."""

    def follow(self, answer: Answer, key: str) -> str | None:
        """Return the address that an answer sends one to instead, None where it is an answer."""

    def refusal(self, answer: Answer) -> str:
        """Say why an answer is none, and what to do."""


class RemoteStore:
    """Files behind HTTP. It pickles as its address: connections and credentials are found where it is used.

    Parameters
    ----------
    root
        The address that users know, such as ``s3://bucket/lake``.
    service
        What answers there.
    """

    def __init__(self, root: str, service: Service) -> None:
        self.root, self._service = root, service

    def list_folder(self, prefix: str = "") -> list[ObjectEntry]:
        """Return the names in a folder; see `ObjectStore`."""
        return self._service.list_folder(prefix)

    def list_tree(self, prefix: str) -> list[ObjectEntry]:
        """Return all files below a folder; see `ObjectStore`."""
        return self._service.list_tree(prefix)

    def state(self, key: str) -> ObjectState | None:
        """Return what a file is now; see `ObjectStore`."""
        answer = self._send("HEAD", key, {})
        if answer.status == 404:
            return None
        if answer.status != 200 and "x-linked-etag" not in answer.headers:
            raise RefusedError(self._refused(answer, key))
        return state_of_answer(answer)

    def read_edge(
        self, key: str, *, size: int, at: Literal["start", "end"] = "start", known: ObjectState | None = None
    ) -> Edge | None:
        """Return what a file is now, and bytes of its start or end; see `ObjectStore`."""
        more = {"Range": f"bytes=0-{size - 1}" if at == "start" else f"bytes=-{size}"}
        if known is not None and is_strong(known.version):
            more["If-None-Match"] = known.version
        answer = self._send("GET", key, more, check=partial(check_edge, size=size, at=at), longest=max(size, 2**16))
        if answer.status == 404:
            return None
        if answer.status == 304 and known is not None:
            return Edge(known, 0, b"")
        if answer.status == 416:  # an empty file has no first byte
            state = self.state(key)
            return None if state is None else Edge(state, 0, b"")
        if answer.status not in (200, 206):
            raise RefusedError(self._refused(answer, key))
        state = state_of_answer(answer)
        return Edge(state, state.size - len(answer.body) if at == "end" else 0, answer.body)

    def read(self, key: str, *, offset: int, size: int, state: ObjectState) -> bytes:
        """Return bytes of a file; see `ObjectStore`."""
        check_span(self._where(key), offset=offset, size=size, state=state)
        ends = range(offset, offset + size, BODY)
        pieces = [self._range(key, offset=at, size=min(BODY, offset + size - at), state=state) for at in ends]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read_many(self, spans: Sequence[Span]) -> list[bytes]:
        """Return the bytes of many ranges, near ones merged, over many connections; see `ObjectStore`."""
        found = [b""] * len(spans)
        asked = requests(spans)
        answers = NETWORK.threads().map(
            lambda one: self.read(one.span.key, offset=one.span.offset, size=one.span.size, state=one.span.state), asked
        )
        for request, data in zip(asked, answers, strict=True):
            view = memoryview(data)
            for part in request.parts:
                start = spans[part].offset - request.span.offset
                found[part] = bytes(view[start : start + spans[part].size])
        return found

    def read_whole(self, key: str) -> tuple[bytes, ObjectState]:
        """Return all bytes of a file; see `ObjectStore`. Of a small one in one request."""
        check_first = partial(check_edge, size=BODY, at="start")
        answer = self._send("GET", key, {"Range": f"bytes=0-{BODY - 1}"}, check=check_first, longest=BODY)
        if answer.status == 416 and (state := self.state(key)) is not None:  # an empty file has no first byte
            return self.read(key, offset=0, size=state.size, state=state), state
        if answer.status == 404:
            raise AbsentObjectError(f"There is no file {self._where(key)}. Check the address, or upload the file.")
        if answer.status not in (200, 206):
            raise RefusedError(self._refused(answer, key))
        state = state_of_answer(answer)
        starts = range(len(answer.body), state.size, BODY)
        pieces = NETWORK.threads().map(
            lambda at: self.read(key, offset=at, size=min(BODY, state.size - at), state=state), starts
        )
        return b"".join([answer.body, *pieces]), state

    def _range(self, key: str, *, offset: int, size: int, state: ObjectState) -> bytes:
        more = {"Range": f"bytes={offset}-{offset + size - 1}"}
        if is_strong(state.version):
            more["If-Match"] = state.version

        def check(answer: Answer) -> None:
            if answer.status in (200, 206):
                check_range(answer, offset=offset, size=size, state=state, here=answer.url == self._service.url(key))
            elif answer.headers.get("x-linked-etag", state.version) != state.version:
                raise changed(self._where(key), state, answer.headers["x-linked-etag"])

        answer = self._send("GET", key, more, check=check, longest=max(size, 2**16))
        if answer.status in (404, 412, 416):
            raise self._gone(answer, key, state)
        if answer.status not in (200, 206):
            raise RefusedError(self._refused(answer, key))
        return answer.body

    def _gone(self, answer: Answer, key: str, state: ObjectState) -> FileFormatError | StoreError:
        if answer.status == 404:
            return AbsentObjectError(f"The file {self._where(key)} was there when it was opened and is gone now.")
        return changed(self._where(key), state, "another one" if answer.status == 412 else "shorter")

    def _send(
        self, method: str, key: str, more: Mapping[str, str], *, check: Check = lambda _: None, longest: int = 2**16
    ) -> Answer:
        url, linked = self._service.url(key), dict[str, str]()
        for _ in range(REDIRECTS):
            answer = send(
                method, url, prepare=partial(self._service.headers, method, url, more), check=check, longest=longest
            )
            linked |= {name: value for name, value in answer.headers.items() if name in LINKED}
            further = (
                None if method == "HEAD" and "x-linked-etag" in answer.headers else self._service.follow(answer, key)
            )
            if further is None:
                return replace(answer, headers={**answer.headers, **linked})
            url = further
        raise StoreError(f"The file {self._where(key)} was not read: {REDIRECTS} addresses each named another one.")

    def _refused(self, answer: Answer, key: str) -> str:
        return f"The file {self._where(key)} was not read: {self._service.refusal(answer)}"

    def _where(self, key: str) -> str:
        return f"{self.root}/{key}"
