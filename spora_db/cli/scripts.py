"""Statements from a file or from standard input, each knowing its place there."""

import sys
from dataclasses import dataclass
from pathlib import Path

from spora_db.asking.statements import ScriptStatement, dot_command, pieces
from spora_db.errors import ArgumentError, SporaError

STANDARD_INPUT = Path("-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """Statements and where they come from.

    Attributes
    ----------
    statements
        The statements, at least one.
    origin
        The file, or standard input; empty for a statement that was given as it is.
    """

    statements: tuple[ScriptStatement, ...]
    origin: str = ""

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands among them."""
        return tuple(command for statement in self.statements if (command := dot_command(statement.text)))

    def failure(self, statement: ScriptStatement, error: SporaError) -> str:
        """Return the message of an error that says which statement failed, and where it is."""
        if not self.origin:
            return str(error)
        return f"{self.origin}, statement {self.statements.index(statement) + 1} (line {statement.line}): {error}"


def read_script(file: Path, *, hint: str = "") -> Script:
    """Read the statements of a file; ``-`` is standard input.

    Parameters
    ----------
    file
        UTF-8, with or without a byte order mark.
    hint
        What to do where there is no statement in it.

    Raises
    ------
    ArgumentError
        If there is no such file, it is not UTF-8, or no statement is in it.
    """
    origin = "standard input" if file == STANDARD_INPUT else f"--file {file}"
    text = _decoded(_read(file), origin)
    found = tuple(pieces(text))
    if not found:
        raise ArgumentError(f"No query given in {origin}.{hint}")
    return Script(statements=found, origin=origin)


def _read(file: Path) -> bytes:
    if file == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except FileNotFoundError as error:
        raise ArgumentError(f"--file {file}: no such file.") from error
    except OSError as error:
        raise ArgumentError(f"--file {file} cannot be read: {error.strerror}.") from error


def _decoded(content: bytes, origin: str) -> str:
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        bad, line = content[error.start], content.count(b"\n", 0, error.start) + 1
        message = (
            f"{origin} is not UTF-8: byte 0x{bad:02X} in line {line}. "
            "Save it as UTF-8, for example with: iconv -f latin1 -t utf-8 old.sql > new.sql"
        )
        raise ArgumentError(message) from error
