"""What a source is: SELECTs over files, joined by name below a typed empty one; and where its columns come from."""

from dataclasses import dataclass
from pathlib import Path

from sqlglot import exp

from spora_db.sqltext.expressions import union


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a column of a source comes from in one dataset: the name and the type it has in the file."""

    column: str
    dataset: str
    file_name: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """The SELECT over one file, or over several of equal columns."""

    files: tuple[Path, ...]
    select: exp.Select

    def sql(self) -> str:
        """Return the text of the SELECT."""
        return self.select.sql("duckdb")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceQuery:
    """A typed empty SELECT, one SELECT per file, the origins of the columns, and the listings they stand on.

    ``texts`` are the columns that are text, or have text within, because their files have no common type.
    """

    empty: exp.Select
    branches: tuple[Branch, ...]
    origins: tuple[Origin, ...] = ()
    listings: frozenset[str] = frozenset()
    texts: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that is read."""
        return tuple(path for branch in self.branches for path in branch.files)

    def sql(self) -> str:
        """Return the text of one SELECT over all files."""
        whole = union([self.empty, *(branch.select for branch in self.branches)])
        return whole.sql("duckdb", copy=False)  # of 900 files, a copy takes longer than the text
