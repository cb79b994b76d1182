"""Cuts SQL text into statements at the semicolons that stand outside of literals, names and comments."""

import re
from dataclasses import dataclass, replace

_PIECE = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]*(?:\n|$) | /\*.*?\*/ | \$\$.*?\$\$ | ; | '|"|/\*|\$\$""",
    re.VERBOSE | re.DOTALL,
)
WORDS = ("help", "quit", "exit")
"""Commands that other shells know without a dot."""
_OPEN = ("'", '"', "/*", "$$")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptStatement:
    """One statement of a longer text, without its semicolon.

    Attributes
    ----------
    text
        The statement, comments included.
    line
        Line of the longer text in which it starts, from 1.
    column
        Its first column there, from 1.
    """

    text: str
    line: int = 1
    column: int = 1

    def in_place(self) -> str:
        r"""Return the text behind as many empty lines and spaces as stand before it: errors then count from there.

        Examples
        --------
        >>> ScriptStatement(text="SELECT 2", line=2, column=3).in_place()
        '\n  SELECT 2'
        """
        return "\n" * (self.line - 1) + " " * (self.column - 1) + self.text


def cut(text: str) -> tuple[list[ScriptStatement], ScriptStatement | None]:
    r"""Return the statements that end with a semicolon, and what remains after the last of them, None for nothing.

    Comments stay where they are; a statement of comments alone is left out. What remains keeps its last spaces: they
    may stand in a literal that is not closed yet.

    Examples
    --------
    >>> complete, rest = cut("SELECT 1;\n  SELECT 2; SELECT 'open; ")
    >>> [(found.text, found.line, found.column) for found in complete], rest.text
    ([('SELECT 1', 1, 1), ('SELECT 2', 2, 3)], "SELECT 'open; ")
    """
    found: list[ScriptStatement] = []
    start, holds = 0, False
    end = 0
    for piece in _PIECE.finditer(text):
        holds |= bool(text[end : piece.start()].strip())
        end = piece.end()
        if piece[0] == ";":
            if holds:
                found.append(_statement(text, start, piece.start()))
            start, holds = end, False
        elif piece[0] in _OPEN:
            holds = True
            break
        elif not piece[0].startswith(("--", "/*")):
            holds = True
    holds |= bool(text[end:].strip())
    return found, _statement(text, start, None) if holds else None


def dot_command(line: str) -> str:
    """Return the command that a line holds, with its dot and without a semicolon; an empty text where it is SQL.

    Examples
    --------
    >>> dot_command(".query splits; "), dot_command("exit();"), dot_command("SELECT 1;")
    ('.query splits', '.exit', '')
    """
    text = line.strip().rstrip("; \t")
    bare = text.lower().removesuffix("()")
    if bare in WORDS:
        return f".{bare}"
    return text if text.startswith(".") else ""


def pieces(text: str) -> list[ScriptStatement]:
    r"""Return the statements of a text and the commands between them: lines that start with a dot.

    Examples
    --------
    >>> [(found.text, found.line) for found in pieces(".tables\nSELECT 1\n.5;\n.schema tiles;\nSELECT 2")]
    [('.tables', 1), ('SELECT 1\n.5', 2), ('.schema tiles', 4), ('SELECT 2', 5)]
    """
    found: list[ScriptStatement] = []
    start = place = 0
    for line in (*text.splitlines(keepends=True), ""):
        command = dot_command(line)
        if command or not line:
            complete, rest = cut(text[start:place])
            if not command or rest is None:
                before = text.count("\n", 0, start)
                ends = [*complete, *([rest] if rest else [])]
                found += [replace(statement, line=statement.line + before) for statement in ends]
                start = place + len(line)
                if command:
                    found.append(ScriptStatement(text=command, line=text.count("\n", 0, place) + 1))
        place += len(line)
    return found


def statements(text: str) -> tuple[list[str], str]:
    r"""Return what `cut` returns, as plain text.

    Examples
    --------
    >>> statements("SELECT ';' AS a; -- one; two\n SELECT 2; SELECT 'open;")
    (["SELECT ';' AS a", '-- one; two\n SELECT 2'], "SELECT 'open;")
    """
    complete, rest = cut(text)
    return [statement.text for statement in complete], rest.text if rest else ""


def masked(text: str) -> str:
    r"""Return text of the same length with spaces in place of literals, quoted names, comments and semicolons.

    Examples
    --------
    >>> masked("SELECT ';' AS a -- b\nFROM t")
    'SELECT     AS a     \nFROM t'
    """
    return _PIECE.sub(lambda piece: re.sub(r"[^\n]", " ", piece[0]), text)


def _statement(text: str, start: int, end: int | None) -> ScriptStatement:
    part = text[start:end]
    start += len(part) - len(part.lstrip())
    return ScriptStatement(
        text=part.lstrip() if end is None else part.strip(),
        line=text.count("\n", 0, start) + 1,
        column=start - text.rfind("\n", 0, start),
    )
