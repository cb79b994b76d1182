"""What an import decided: a sentence each for whoever reads it, and the same as data for ``metadata/import.json``."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

Topic: TypeAlias = Literal[
    "images", "resolution", "channels", "accessions", "metadata", "cells", "masks", "regions", "checks"
]

LISTED: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One thing that was decided.

    Attributes
    ----------
    about
        What it is about.
    says
        What was decided, and of a warning what to do, as sentences.
    warning
        Whether someone should look at it.
    details
        The same as data, of what JSON can hold.
    """

    about: Topic
    says: str
    warning: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the line of a report."""
        return f"{'warning: ' if self.warning else ''}{self.about}: {self.says}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """All that an import decided, in the order of its steps.

    Examples
    --------
    >>> found = Decisions() + [Decision(about="channels", says="Matched by name.")]
    >>> print(found)
    channels: Matched by name.
    """

    rows: tuple[Decision, ...] = ()

    def __add__(self, more: Iterable[Decision]) -> "Decisions":
        """Return these and more."""
        return Decisions(rows=(*self.rows, *more))

    def __str__(self) -> str:
        """Return a line for each, warnings last, where they are read."""
        return "\n".join(map(str, sorted(self.rows, key=lambda row: row.warning)))

    @property
    def warnings(self) -> tuple[str, ...]:
        """The sentences that someone should look at."""
        return tuple(row.says for row in self.rows if row.warning)

    def to_json(self, options: Mapping[str, Any], *, version: str, earlier: Sequence[Any] = ()) -> str:
        """Return the text of ``metadata/import.json``: how each import was asked for, and what it decided."""
        rows = [
            {"about": row.about, "warning": row.warning, "says": row.says, "details": dict(row.details)}
            for row in self.rows
        ]
        made = {"generator": f"spora-db {version}", "options": options, "decisions": rows}
        return json.dumps({"imports": [*earlier, made]}, indent=2, ensure_ascii=False) + "\n"


def listed(names: Sequence[object], *, most: int = LISTED) -> str:
    """Return names for a sentence, of many the first and how many there are.

    Examples
    --------
    >>> listed(["a", "b"]), listed(range(4), most=2)
    ("'a', 'b'", '0, 1, ... (4 in all)')
    """
    return ", ".join(map(repr, names[:most])) + (f", ... ({len(names)} in all)" if len(names) > most else "")
