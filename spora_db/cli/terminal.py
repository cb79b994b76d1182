"""The console that commands write to: text appears as it is."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from rich.console import Console

ENDLESS = 100_000
"""Characters of a line that no terminal has: the width for files and for programs that read."""


def plain_console(file: TextIO | None = None) -> Console:
    """Return a console that reads no markup and no emoji out of what it is given, and wraps lines on a terminal only.

    Names of cohorts, paths and messages may hold brackets and colons: ``CD45 [clone 2B11]`` is no style.

    Parameters
    ----------
    file
        Where to; None for standard output.
    """
    console = Console(file=file, markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width, console.soft_wrap = ENDLESS, True
    return console


@contextlib.contextmanager
def told_of_waiting() -> Iterator[None]:
    """Write to standard error what the stores of remote lakes say of a long wait, such as how far a listing is."""
    logger, handler = logging.getLogger("spora_db.files.stores"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("spora-db: %(message)s"))
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def error_text(message: str) -> str:
    """Return an error as it is written to standard error: `fit_carets` where that is a terminal."""
    if not sys.stderr.isatty():
        return message
    return fit_carets(message, os.get_terminal_size(sys.stderr.fileno()).columns or 80)


def fit_carets(message: str, width: int) -> str:
    r"""Cut lines that have a caret below so that they fit: wrapped, the caret would stand under another place.

    Parameters
    ----------
    message
        An error, of the guard for example: a line of SQL, below it a line with a caret under the place.
    width
        In characters.

    Examples
    --------
    >>> print(fit_carets("Refused:\n  SELECT dataset, split, agee FROM tiles\n                         ^^^^", 22))
    Refused:
      , split, agee FROM t
               ^^^^
    """
    lines = message.split("\n")
    for number, caret in enumerate(lines[1:], start=1):
        above = lines[number - 1]
        if caret.strip().strip("^") or "^" not in caret or len(above) <= width:
            continue
        shift = max(0, min(caret.index("^") - width // 2, len(above) - width))
        if shift:
            lines[number - 1] = "  " + above[shift + 2 :]
            lines[number] = "  " + caret[shift + 2 :]
        lines[number - 1], lines[number] = lines[number - 1][:width].rstrip(), lines[number][:width]
    return "\n".join(lines)


def count_files(done: int, total: int) -> None:
    """Write how many files are done on one line of standard error."""
    if done == total or done % 20 == 0:
        sys.stderr.write(f"\r{done:,} of {total:,} files" + ("\n" if done == total else ""))
        sys.stderr.flush()
