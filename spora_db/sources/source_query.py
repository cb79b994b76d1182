"""What a source is: SELECTs over files, joined by name below a typed empty one; and where its columns come from."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

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


class SourceFiles(Protocol):
    """The files of a source as far as their footers tell, and the SELECT over them."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that is read."""

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Where its columns come from."""

    @property
    def own(self) -> Mapping[str, str]:
        """The cohorts' own columns, which a SELECT may do without: their spelling by folded name, in order."""

    def kind(self, own: str) -> str:
        """Return the type of one of them, by its folded name."""

    def query(self, own: Collection[str] | None = None) -> "SourceQuery":
        """Return the SELECT over all files, with these of the cohorts' own columns (folded); None is all of them."""


class WithoutOwnColumns:
    """A source whose columns are known without its files: there are none that a SELECT may do without."""

    __slots__ = ()

    @property
    def origins(self) -> tuple[Origin, ...]:
        """None: what the columns are is said elsewhere."""
        return ()

    @property
    def own(self) -> Mapping[str, str]:
        """None."""
        return {}

    def kind(self, own: str) -> NoReturn:
        """Refuse: there are none."""
        raise KeyError(own)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceQuery(WithoutOwnColumns):
    """A typed empty SELECT, one SELECT per file, and the listings they stand on.

    Where all columns are the layout's, it is the `SourceFiles` itself.
    """

    empty: exp.Select
    branches: tuple[Branch, ...]
    listings: frozenset[str] = frozenset()

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that is read."""
        return tuple(path for branch in self.branches for path in branch.files)

    def query(self, own: Collection[str] | None = None) -> "SourceQuery":
        """Return itself."""
        return self

    def sql(self) -> str:
        """Return the text of one SELECT over all files."""
        whole = union([self.empty, *(branch.select for branch in self.branches)])
        return whole.sql("duckdb", copy=False)  # of 900 files, a copy takes longer than the text
