"""Byte ranges as HTTP asks for them, and whether an answer is the range that was asked for."""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from spora_db.files.stores.http import Answer, Unusable
from spora_db.files.stores.store import ObjectState, Span, changed

TO_THE_END = 2**62
"""The size of a range that goes to the end of its file, whatever that is."""
MERGED = 2**21
"""Bytes of ranges that become one request, at most: a connection carries them in about the time of a request."""
CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
GAP = 2**16
"""Bytes between two ranges that are read along: less than what a line carries in the time of a request."""


def state_of_answer(answer: Answer) -> ObjectState:
    """Return the state of a file that an answer's headers tell: its ETag, else the time of its last change, and size.

    Raises
    ------
    Unusable
        They tell no size.
    """
    found = CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
    length = found[3] if found else answer.headers.get("x-linked-size") or answer.headers.get("content-length", "")
    if not length.isdigit():
        raise Unusable("its answer does not tell how many bytes the file has")
    return ObjectState(size=int(length), version=version_of(answer))


def version_of(answer: Answer) -> str:
    """Return the ETag of an answer, else the time of the last change; empty where the server tells neither."""
    names = ("x-linked-etag", "etag", "last-modified")
    return next((answer.headers[name] for name in names if answer.headers.get(name)), "")


def is_strong(version: str) -> bool:
    """Tell whether a version is an ETag that a server compares byte for byte.

    Examples
    --------
    >>> is_strong('"d41d8"'), is_strong('W/"d41d8"'), is_strong("Sun, 29 Nov 2026 00:00:00 GMT")
    (True, False, False)
    """
    return version.startswith('"')


def check_range(answer: Answer, *, offset: int, size: int, state: ObjectState, here: bool = True) -> None:
    """Refuse an answer of status 200 or 206 that is not the range that was asked for.

    What another address sends that the first has named (not `here`) has a version of its own, which tells nothing.

    Raises
    ------
    FileFormatError
        The file is another one now.
    Unusable
        The server has answered something else.
    """
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise Unusable(f"its answer is encoded ({answer.headers['content-encoding']}), which was not asked for")
    version = version_of(answer)
    if here and version and state.version and version != state.version:
        raise changed(answer.url, state, version)
    if answer.status == 200:
        if offset or size != state.size or len(answer.body) != size:
            raise Unusable(f"it sent the whole file where bytes {offset} to {offset + size - 1} were asked for")
        return
    found = CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
    if found is None:
        raise Unusable("status 206 without a Content-Range that tells which bytes it sent")
    first, last, whole = map(int, found.groups())
    if whole != state.size:
        raise changed(answer.url, state, f"{version} of {whole:,} bytes")
    if (first, last) != (offset, offset + size - 1) or len(answer.body) != size:
        raise Unusable(f"it sent bytes {first} to {last} where {offset} to {offset + size - 1} were asked for")


def check_edge(answer: Answer, *, size: int, at: Literal["start", "end"]) -> None:
    """Refuse an answer that is not the start or the end that was asked for, or as much of it as there is.

    Raises
    ------
    Unusable
        The server has answered something else.
    """
    if answer.status == 206:
        whole = state_of_answer(answer)
        size = min(size, whole.size)
        offset = whole.size - size if at == "end" else 0
        check_range(answer, offset=offset, size=size, state=whole, here=False)
    elif answer.status == 200 and len(answer.body) != state_of_answer(answer).size:
        raise Unusable("it sent a part of the file, and does not say which")


class Request(NamedTuple):
    """One request, and the ranges that it answers, by their positions in what was asked."""

    span: Span
    parts: tuple[int, ...]


def requests(spans: Sequence[Span], *, gap: int = GAP, longest: int = MERGED) -> list[Request]:
    """Merge ranges of one file that lie close together, so that few requests bring all; none twice.

    Parameters
    ----------
    spans
        Ranges of any files, in any order; empty ones are in no request.
    gap
        Bytes between two ranges that are read along rather than asked for apart.
    longest
        Bytes of a request at most, but for a single range, which is never cut.

    Examples
    --------
    >>> state = ObjectState(size=10**6, version="a")
    >>> spans = [Span("x", state, 60_000, 10), Span("x", state, 0, 100), Span("x", state, 400_000, 10)]
    >>> [(request.span.offset, request.span.size, request.parts) for request in requests(spans)]
    [(0, 60010, (1, 0)), (400000, 10, (2,))]
    """
    wanted = [number for number, span in enumerate(spans) if span.size]
    order = sorted(wanted, key=lambda number: (spans[number].key, spans[number].state.version, spans[number].offset))
    merged: list[Request] = []
    for number in order:
        span = spans[number]
        if merged:
            last, parts = merged[-1]
            end = max(last.offset + last.size, span.offset + span.size)
            near = span.offset <= last.offset + last.size + gap and end - last.offset <= longest
            within = end == last.offset + last.size
            if last[:2] == span[:2] and (near or within):
                merged[-1] = Request(last._replace(size=end - last.offset), (*parts, number))
                continue
        merged.append(Request(span, (number,)))
    return merged


class FileRange(NamedTuple):
    """Bytes of a file of a copy; a negative offset counts from its end, and what lies beyond the end is left out."""

    path: str
    offset: int
    size: int

    def within(self, size: int) -> tuple[int, int]:
        """Return offset and size in a file of so many bytes.

        Examples
        --------
        >>> FileRange("a", -4, 10).within(100), FileRange("a", 90, 20).within(100)
        ((96, 4), (90, 10))
        """
        start = max(0, self.offset + size) if self.offset < 0 else min(self.offset, size)
        return start, min(self.size, size - start)
