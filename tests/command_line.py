"""`spora-db` in this process: what it writes and its exit code, as those of a process whose output is a pipe."""

import sys
from io import BytesIO, TextIOWrapper
from typing import NamedTuple

import pytest


class Done(NamedTuple):
    """How the program ended."""

    returncode: int
    stdout: str
    stderr: str


def call(*arguments: object, text: str = "", code: int = 0, **environment: str) -> Done:
    """Run the program with a text on its standard input; `SPORA_DATASETS_DIR` is unset unless it is given.

    Starting Python, torch aside, takes a second: tests that are not about a process call this.
    """
    from spora_db.cli import main

    streams = [TextIOWrapper(BytesIO(part), "utf-8") for part in (text.encode(), b"", b"")]
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SPORA_DATASETS_DIR", raising=False)
        for name, value in {"COLUMNS": "200", **environment}.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["spora-db", *map(str, arguments)])
        for name, stream in zip(("stdin", "stdout", "stderr"), streams, strict=True):
            patch.setattr(sys, name, stream)
        try:
            main()
            ended: object = 0
        except SystemExit as end:
            ended = end.code or 0
    told = []
    for stream in streams[1:]:
        stream.flush()
        told.append(stream.buffer.getvalue().decode())  # type: ignore[attr-defined]
    assert ended == code, "".join(told)
    return Done(code, *told)
