"""Completes words in the shell: its commands, relations, their columns, keywords and functions."""

import re
from collections.abc import Callable, Sequence

from spora_db.catalog import Catalog
from spora_db.errors import SporaError
from spora_db.guard.functions import FUNCTIONS, WORDS

DELIMITERS = " \t\n,()=<>+-*/;|"
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = frozenset({"row", "order", "group", "table", "select", "from", "where"})
_CLAUSES = ("ASC", "BY", "DESC", "FROM", "GROUP", "ORDER", "SELECT", "WHERE")
_KEYWORDS = tuple(sorted({*_CLAUSES, *(word.upper() for word in WORDS)}))


class Completer:
    """What may stand where the cursor is.

    Parameters
    ----------
    catalog
        The lake.
    commands
        The shell's own commands, each with the words that may follow it.
    """

    def __init__(self, catalog: Catalog, commands: Callable[[], dict[str, Sequence[str]]]) -> None:
        self._catalog = catalog
        self._commands = commands
        self._columns: dict[str, tuple[str, ...]] = {}

    def candidates(self, buffer: str, word: str) -> list[str]:
        """Return the completions of a word, sorted.

        Parameters
        ----------
        buffer
            Everything typed so far: the lines before, and this one.
        word
            The word before the cursor.
        """
        line = buffer.rpartition("\n")[2].lstrip()
        if line.startswith("."):
            commands = self._commands()
            name = line.split(maxsplit=1)[0]
            offered: Sequence[str] = list(commands) if line == name else commands.get(name, ())
            return sorted(item for item in offered if item.startswith(word))
        if "." in word and not word.startswith('"'):
            owner, _, start = word.rpartition(".")
            relation = self._relation(buffer, owner)
            names = self.columns(relation) if relation else ()
            return sorted(f"{owner}.{spelled(name)}" for name in names if _starts(name, start))
        named = [name for name in self._catalog.relations if re.search(rf"\b{name}\b", buffer, re.IGNORECASE)]
        columns = {spelled(name) for relation in named for name in self.columns(relation) if _starts(name, word)}
        relations = {name for name in self._catalog.relations if name.startswith(word.lower())}
        words: set[str] = set()
        if word:
            words = {item for item in _KEYWORDS if item.startswith(word.upper())}
            words |= {f"{item}(" for item in FUNCTIONS if item.startswith(word.lower())}
        return sorted(columns) + sorted(relations - columns) + sorted(words)

    def columns(self, relation: str) -> tuple[str, ...]:
        """Return the columns of a relation; none where its files cannot be read, which the query will say."""
        if relation not in self._columns:
            try:
                self._columns[relation] = self._catalog.columns(relation)
            except SporaError:
                self._columns[relation] = ()
        return self._columns[relation]

    def _relation(self, buffer: str, owner: str) -> str | None:
        """Return the relation that a name before a dot stands for: itself, or one of which it is the alias."""
        if owner.lower() in self._catalog.relations:
            return owner.lower()
        for name in self._catalog.relations:
            if re.search(rf"\b{name}\s+(?:as\s+)?{re.escape(owner)}\b", buffer, re.IGNORECASE):
                return name
        return None


def spelled(name: str) -> str:
    """Return a column as it is written in SQL: in double quotes where it has to be.

    Examples
    --------
    >>> spelled("split"), spelled("X..spots"), spelled("row")
    ('split', '"X..spots"', '"row"')
    """
    if _PLAIN.fullmatch(name) and name.lower() not in _RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'


def _starts(name: str, word: str) -> bool:
    return name.lower().startswith(word.lstrip('"').lower())
