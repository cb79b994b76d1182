r"""Regular expressions that all engines read alike: DuckDB's are RE2, others have POSIX's, Java's or their own.

What is let through is read piece by piece and written in words that mean the same everywhere: ``\d`` as ``[0-9]`` (in
PostgreSQL it takes any script's digits), ``.`` as ``[^\n]`` (there it takes line breaks too), ``(?:`` as ``(``, ``\.``
as ``[.]``. Whether a text matches depends neither on greediness nor on the order of alternatives; what was matched
does, so nothing is translated that asks for it.
"""

import re

END = "$"
"""The end of the text; Java's ``$`` also stands before a last line break, its ``\\z`` does not."""

_CLASSES = {"d": "0-9", "w": "0-9A-Za-z_", "s": r" \t\n\f\r"}
_SPECIAL = set(".*+?(){}|$")
_QUANTIFIER = re.compile(r"[*+?]|[{]([0-9]{1,3})(,([0-9]{0,3}))?[}]")
_MOST = 255  # PostgreSQL counts no further
_RANGES = ("0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def portable(pattern: str, *, end: str = END) -> str:
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
    reader = _Reader(pattern, end)
    written = reader.alternatives()
    if reader.rest:
        raise ValueError(reader.rest[0])
    return written


class _Reader:
    """Reads a pattern from left to right."""

    def __init__(self, pattern: str, end: str) -> None:
        self.rest = pattern
        self._end = end

    def alternatives(self) -> str:
        branches = [self._branch()]
        while self.rest.startswith("|"):
            self._take(1)
            branches.append(self._branch())
        return "|".join(branches)

    def _take(self, number: int) -> str:
        taken, self.rest = self.rest[:number], self.rest[number:]
        return taken

    def _branch(self) -> str:
        pieces = []
        while self.rest and self.rest[0] not in "|)":
            anchor = self.rest[0] in "^$"
            pieces.append(self._atom())
            found = _QUANTIFIER.match(self.rest)
            if found is None:
                continue
            if anchor:
                raise ValueError(f"{found[0]} after ^ or $")
            if found[1] and max(int(found[1]), int(found[3] or 0)) > _MOST:
                raise ValueError(found[0])
            pieces.append(self._take(len(found[0])))
            if self.rest.startswith("?"):
                self._take(1)  # how much is taken does not change whether anything matches
            if _QUANTIFIER.match(self.rest):
                raise ValueError(found[0] + self.rest[0])
        if not pieces:
            raise ValueError("an empty alternative")
        return "".join(pieces)

    def _atom(self) -> str:
        letter = self._take(1)
        if letter == "(":
            return self._group()
        if letter == "[":
            return self._class()
        if letter == "\\":
            return self._escape()
        if letter in "*+?{" or not letter.isprintable():
            raise ValueError(repr(letter)[1:-1])
        return {".": r"[^\n]", "$": self._end, "]": r"\]", "}": "[}]"}.get(letter, letter)

    def _group(self) -> str:
        if self.rest.startswith("?:"):
            self._take(2)
        elif self.rest.startswith("?"):
            raise ValueError("(" + self.rest[:2])
        inner = self.alternatives()
        if self._take(1) != ")":
            raise ValueError("(")
        return f"({inner})"

    def _escape(self) -> str:
        letter = self._take(1)
        if letter in _CLASSES:
            return f"[{_CLASSES[letter]}]"
        if letter.lower() in _CLASSES:
            return f"[^{_CLASSES[letter.lower()]}]"
        if letter in "nt" and letter:
            return f"\\{letter}"
        if not letter or letter.isalnum() or not letter.isascii() or not letter.isprintable():
            raise ValueError(f"\\{letter}")
        if letter in r"^[]\ ".strip():
            return f"\\{letter}"
        return f"[{letter}]" if letter in _SPECIAL else letter

    def _class(self) -> str:
        negated = self._take(1) if self.rest.startswith("^") else ""
        items: list[str] = []
        dash = ""
        while self.rest and not self.rest.startswith("]"):
            item = self._take(1)
            if item == "[" or (item == "&" and self.rest.startswith("&")) or not item.isprintable():
                raise ValueError(f"[...{item}")
            if item == "\\":
                escaped = self._escape_in_class()
                if escaped == "-":
                    dash = escaped
                else:
                    items.append(escaped)
            elif item == "-":
                if items and not self.rest.startswith("]"):
                    raise ValueError("[...-")
                dash = "-"
            elif self.rest.startswith("-") and self.rest[1:2] not in ("]", ""):
                items.append(self._range(item))
            else:
                items.append(r"\^" if item == "^" else item)
        if self._take(1) != "]" or not (items or dash):
            raise ValueError("[")
        return f"[{negated}{''.join(items)}{dash}]"

    def _escape_in_class(self) -> str:
        letter = self._take(1)
        if letter in _CLASSES:
            return _CLASSES[letter]
        if letter in "nt" and letter:
            return f"\\{letter}"
        if not letter or letter.isalnum() or not letter.isascii() or not letter.isprintable():
            raise ValueError(f"[...\\{letter}")
        return f"\\{letter}" if letter in "^[]\\" else letter

    def _range(self, first: str) -> str:
        self._take(1)
        last = self._take(1)
        if not any(first in letters and last in letters and first <= last for letters in _RANGES):
            raise ValueError(f"[{first}-{last}]")
        return f"{first}-{last}"
