"""Cuts SQL text into statements at the semicolons that stand outside of literals, names and comments."""

import re

_PIECE = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]*(?:\n|$) | /\*.*?\*/ | \$\$.*?\$\$ | ; | '|"|/\*|\$\$""",
    re.VERBOSE | re.DOTALL,
)
_OPEN = ("'", '"', "/*", "$$")


def statements(text: str) -> tuple[list[str], str]:
    r"""Return the statements that end with a semicolon, without it, and what remains after the last of them.

    Comments stay where they are; a statement of comments alone is left out. The rest is empty where nothing but
    comments and spaces remains.

    Examples
    --------
    >>> statements("SELECT ';' AS a; -- one; two\n SELECT 2; SELECT 'open; ")
    (["SELECT ';' AS a", '-- one; two\n SELECT 2'], "SELECT 'open;")
    """
    found: list[str] = []
    start, holds = 0, False
    end = 0
    for piece in _PIECE.finditer(text):
        holds |= bool(text[end : piece.start()].strip())
        end = piece.end()
        if piece[0] == ";":
            if holds:
                found.append(text[start : piece.start()].strip())
            start, holds = end, False
        elif piece[0] in _OPEN:
            holds = True
            break
        elif not piece[0].startswith(("--", "/*")):
            holds = True
    holds |= bool(text[end:].strip())
    return found, text[start:].strip() if holds else ""
