r"""Regular expressions that all engines read alike: DuckDB's are RE2, others have POSIX's, Java's or their own.

What is let through is read piece by piece and written in words that mean the same everywhere: ``\d`` as ``[0-9]`` (in
PostgreSQL it takes any script's digits), ``.`` as ``[^\n]`` (there it takes line breaks too), ``(?:`` as ``(``, ``\.``
as ``[.]``. Whether a text matches depends neither on greediness nor on the order of alternatives; what was matched
does, so nothing is translated that asks for it.
"""

import re

_CLASSES = {"d": "0-9", "w": "0-9A-Za-z_", "s": r" \t\n\f\r"}
_SPECIAL = set(".*+?(){}|$")
_MOST = 255  # PostgreSQL counts no further
_RANGES = ("0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_PIECE = re.compile(
    r"(?P<opens>\((?:\?:)?)(?!\?) | (?P<closes>\)) | (?P<bar>\|) | (?P<anchor>[\^$])"
    r"| (?P<count>[*+?]|\{(?P<least>[0-9]{1,3})(?:,(?P<most>[0-9]{0,3}))?\})\??"  # how much is taken changes no match
    r"| \\(?P<escaped>.) | \[(?P<negated>\^?)(?P<items>(?:\\.|[^\]\\])+)\] | (?P<letter>[^\\\[*+?{(])",
    re.VERBOSE | re.DOTALL,
)
_ITEM = re.compile(r"\\(?P<escaped>.)|(?P<first>[^\\-])-(?P<last>[^\\])|(?P<letter>.)", re.DOTALL)


def portable(pattern: str, *, end: str = "$") -> str:
    r"""Return a pattern of RE2 as every engine reads it.

    Parameters
    ----------
    pattern
        What DuckDB gets.
    end
        What the engine calls the end of a text.

    Raises
    ------
    ValueError
        If it has a piece that engines read in different ways; the message names it.

    Examples
    --------
    >>> print(portable(r"(?:L|\d+)\.x?"))
    (L|[0-9]+)[.]x?
    >>> portable(r"\bword")
    Traceback (most recent call last):
    ...
    ValueError: \b
    """
    written: list[str] = []
    before, depth, at = "bar", 0, 0
    while at < len(pattern):
        found = _PIECE.match(pattern, at)
        if found is None:
            raise ValueError(pattern[at : at + 3])
        kind = next(name for name in found.re.groupindex if found[name] is not None)
        depth += {"opens": 1, "closes": -1}.get(kind, 0)
        nothing_before = before in ("bar", "opens")
        counts_nothing = kind == "count" and (nothing_before or before in ("anchor", "count"))
        too_many = max(int(found["least"] or 0), int(found["most"] or 0)) > _MOST
        if depth < 0 or counts_nothing or too_many or (kind in ("closes", "bar") and nothing_before):
            raise ValueError(found[0] if kind == "count" else "an empty alternative")
        written.append(_piece(found, kind, end))
        before, at = kind, found.end()
    if depth or before in ("bar", "opens"):
        raise ValueError("an empty alternative" if not depth else "(")
    return "".join(written)


def _piece(found: re.Match[str], kind: str, end: str) -> str:
    if kind == "negated":
        return f"[{found['negated']}{_items(found['items'])}]"
    if kind == "escaped":
        letter = found["escaped"]
        if letter.lower() in _CLASSES:
            return f"[{'^' * letter.isupper()}{_CLASSES[letter.lower()]}]"
        return f"[{letter}]" if letter in _SPECIAL else _escaped(letter, r"^[]\\")
    if not found[0].isprintable():
        raise ValueError(repr(found[0])[1:-1])
    if kind == "letter":
        return {".": r"[^\n]", "]": r"\]", "}": "[}]"}.get(found[0], found[0])
    return {"opens": "(", "count": found["count"]}.get(kind, end if found[0] == "$" else found[0])


def _escaped(letter: str, kept: str) -> str:
    """Return a letter after a backslash, which stays before some."""
    if letter in "nt":
        return f"\\{letter}"
    if letter.isalnum() or not letter.isascii() or not letter.isprintable():
        raise ValueError(f"\\{letter}")
    return f"\\{letter}" if letter in kept else letter


def _items(text: str) -> str:
    """Return what stands in a class; its dash goes to the end."""
    written, dash = [], ""
    for found in _ITEM.finditer(text):
        letter, first, last = found["letter"] or found["escaped"], found["first"], found["last"]
        if found["letter"] == "[" or "&&" in text or not found[0].isprintable():
            raise ValueError(f"[...{found[0]}")
        if first:
            if not any(first in letters and last in letters and first <= last for letters in _RANGES):
                raise ValueError(f"[{found[0]}]")
            written.append(found[0])
        elif letter == "-":
            if found["letter"] and 0 < found.start() < len(text) - 1:
                raise ValueError("[...-")
            dash = "-"
        elif found["escaped"]:
            written.append(_CLASSES.get(letter) or _escaped(letter, r"^[]\\"))
        else:
            written.append(r"\^" if letter == "^" else letter)
    return f"{''.join(written)}{dash}"
