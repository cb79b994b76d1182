"""Completes words in the shell: its commands, relations, their columns, keywords, functions and file names."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum
from pathlib import Path

from spora_db.asking.definitions import definitions, query_of
from spora_db.asking.statements import statements
from spora_db.catalog import Catalog
from spora_db.errors import SporaError
from spora_db.guard.functions import FUNCTIONS, WORDS

DELIMITERS = " \t\n,()=<>+-*/;|"
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = frozenset({"row", "order", "group", "table", "select", "from", "where"})
_CLAUSES = ("ASC", "BY", "DESC", "FROM", "GROUP", "ORDER", "SELECT", "WHERE")
_KEYWORDS = tuple(sorted({*_CLAUSES, *(word.upper() for word in WORDS)}))
_CTE = re.compile(
    r"(?:\bWITH\s+(?:RECURSIVE\s+)?|,\s*)([A-Za-z_]\w*)\s*(?:\([^()]*\)\s*)?AS\s*(?:NOT\s+)?(?:MATERIALIZED\s*)?\(",
    re.IGNORECASE,
)
_BEFORE_RELATION = re.compile(r"\b(?:FROM|JOIN)\s+$", re.IGNORECASE)


class After(Enum):
    """What may follow a command of the shell, other than words of a list."""

    STATEMENT = "statement"
    FILE = "file"


class Completer:
    """What may stand where the cursor is.

    Parameters
    ----------
    catalog
        The lake.
    commands
        The shell's own commands, each with what may follow it.
    """

    def __init__(self, catalog: Catalog, commands: Callable[[], Mapping[str, Sequence[str] | After]]) -> None:
        self._catalog = catalog
        self._commands = commands
        self._columns: dict[str, tuple[str, ...]] = {}

    def candidates(self, buffer: str, word: str, *, after: str = "") -> list[str]:
        """Return the completions of a word, sorted.

        Parameters
        ----------
        buffer
            Everything typed so far up to the cursor: the lines before, and this one.
        word
            The word before the cursor.
        after
            What stands behind the cursor.
        """
        line = buffer.lstrip()
        if not line.startswith("."):
            return self._in_statement(buffer, word, after)
        commands = self._commands()
        name, space, argument = line.partition(" ")
        offered = commands.get(name, ()) if space else tuple(commands)
        if offered is After.STATEMENT:
            return self._in_statement(argument, word, after)
        if offered is After.FILE:
            return _files(argument, word)
        assert not isinstance(offered, After)
        return sorted(item for item in offered if item.startswith(word))

    def _in_statement(self, buffer: str, word: str, after: str) -> list[str]:
        statement = _around(buffer, after)
        known = self._known(statement)
        if "." in word and not word.startswith('"'):
            owner, _, start = word.rpartition(".")
            relation = _stands_for(owner, statement, known)
            names = self._columns_of(known[relation]) if relation else ()
            return sorted(f"{owner}.{spelled(name)}" for name in names if _starts(name, start))
        relations = {name for name in (*self._catalog.relations, *_CTE.findall(statement)) if _starts(name, word)}
        if _BEFORE_RELATION.search(buffer.removesuffix(word)):
            return sorted(relations)
        named = [name for name in self._catalog.relations if re.search(rf"\b{name}\b", statement, re.IGNORECASE)]
        if not named and word:
            named = list(self._catalog.relations)
        named += [name for name in known if name not in named and name not in self._catalog.relations]
        columns = {spelled(n) for relation in named for n in self._columns_of(known[relation]) if _starts(n, word)}
        words: set[str] = set()
        if word:
            words = {item for item in _KEYWORDS if item.startswith(word.upper())}
            words |= {f"{item}(" for item in FUNCTIONS if item.startswith(word.lower())}
        return sorted(columns) + sorted(relations - columns) + sorted(words)

    def _known(self, statement: str) -> dict[str, str]:
        """Return the query of every relation of the lake, and of every one that the statement defines itself."""
        defined = definitions(statement)
        recursive = bool(re.search(r"\bRECURSIVE\b", statement, re.IGNORECASE))
        known = {name: f"SELECT * FROM {name}" for name in self._catalog.relations}
        return known | {name: query_of(name, defined, recursive=recursive) for name in defined}

    def _columns_of(self, query: str) -> tuple[str, ...]:
        """Return the columns of a query, which is not run; none where it fails, which its answer will say."""
        if query not in self._columns:
            try:
                self._columns[query] = tuple(self._catalog.sql(query).columns)
            except SporaError:
                self._columns[query] = ()
        return self._columns[query]


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


def _around(buffer: str, after: str) -> str:
    """Return the whole statement that the cursor is in, what stands behind the cursor included."""
    _, begun = statements(buffer)
    complete, rest = statements(begun + after)
    return complete[0] if complete else rest


def _files(typed: str, word: str) -> list[str]:
    """Return how a word goes on to name a file: it is the end of the path, as far as a delimiter reaches."""
    folder, slash, start = typed.rpartition("/")
    try:
        found = sorted(Path(f"{folder}{slash}" or ".").expanduser().iterdir())
    except OSError:  # no such folder: there is nothing to offer
        return []
    names = [path.name + "/" * path.is_dir() for path in found if path.name.startswith(start)]
    return [word + name[len(start) :] for name in names if start or not name.startswith(".")]


def _starts(name: str, word: str) -> bool:
    return name.lower().startswith(word.lstrip('"').lower())


def _stands_for(owner: str, statement: str, known: Collection[str]) -> str | None:
    """Return the relation that a name before a dot stands for: itself, or one of which it is the alias."""
    for name in known:
        if name.lower() == owner.lower():
            return name
    for name in known:
        if re.search(rf"\b{name}\s+(?:as\s+)?{re.escape(owner)}\b", statement, re.IGNORECASE):
            return name
    return None
