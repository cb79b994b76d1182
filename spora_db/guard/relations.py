"""What may stand in FROM by name, and what a CTE may be called: the same words whichever parser read the query."""

import re
from collections.abc import Collection, Sequence
from typing import NoReturn

from spora_db.errors import unknown
from spora_db.guard.functions import TABLE_FUNCTIONS
from spora_db.guard.text import refuse, where
from spora_db.sqltext.names import fold

SCHEMA = "main"
"""The schema of all relations; a name may be qualified by it."""

_NAME = re.compile(r"\w[\w $-]*")
_OF_THE_ENGINE = re.compile(r"(source|duckdb|pg|sqlite|pragma)_.*|information_schema|query_rows", re.DOTALL)


def check_relation(
    parts: Sequence[str], *, text: str, place: tuple[int, int], relations: Collection[str], visible: Collection[str]
) -> None:
    """Check the name of a relation.

    Parameters
    ----------
    parts
        The name, each part without its quotes.
    text, place
        The text it is in, its first and last character (exclusive) there.
    relations
        Those of the catalog.
    visible
        The CTEs in scope, folded.

    Raises
    ------
    QueryError
        For a qualified name and for a file's.
    UnknownNameError
        For a relation that does not exist.
    """
    name = parts[-1]
    allowed = fold(name) in {fold(relation) for relation in relations}
    if len(parts) > 1 and not (len(parts) == 2 and fold(parts[0]) == SCHEMA and allowed):
        finding = f"the qualified relation {'.'.join(parts)!r}."
        remedy = f"Write the bare name; the relations are: {_known(relations)}."
        refuse(text, start=place[0], end=place[1], finding=finding, remedy=remedy)
    if not allowed and fold(name) not in visible:
        refuse_file(name, text=text, place=place, relations=relations)
        raise unknown("relation", name, relations, where=where(text, place[0]))


def refuse_file(name: str, *, text: str, place: tuple[int, int], relations: Collection[str]) -> None:
    """Refuse a name that is a file's, as `check_relation` does."""
    if not _NAME.fullmatch(name) or text[place[0] : place[0] + 1] == "'":
        finding = f"the file name {name!r} as a relation."
        remedy = f"Files are read through the catalog's relations only: {_known(relations)}."
        refuse(text, start=place[0], end=place[1], finding=finding, remedy=remedy)


def _known(relations: Collection[str]) -> str:
    return ", ".join(sorted(relations)) or "none here"


def check_cte_name(name: str, *, text: str, place: tuple[int, int]) -> None:
    """Refuse names that are none, and those of the engine's own relations: a reference could mean these.

    Raises
    ------
    QueryError
        For such a name.
    """
    if not _NAME.fullmatch(name) or _OF_THE_ENGINE.fullmatch(fold(name)):
        remedy = "Name it with letters, digits and underscores, and not like a table of DuckDB or spora-db."
        refuse(text, start=place[0], end=place[1], finding=f"the CTE name {name!r}.", remedy=remedy)


def refuse_in_from(written: str, *, text: str, place: tuple[int, int]) -> NoReturn:
    """Refuse what stands in FROM and is neither a relation nor a table function that makes rows from values."""
    remedy = f"In FROM may stand relations, CTEs and {', '.join(sorted(TABLE_FUNCTIONS))}."
    refuse(text, start=place[0], end=place[1], finding=f"{written[:60]} as a relation.", remedy=remedy)
