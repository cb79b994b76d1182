"""The sources of a lake as far as statements named them: files that may be written anew, columns that become more."""

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

import duckdb

from spora_db.catalog.names_in import brings, listed
from spora_db.files.stamps import stamps
from spora_db.layout import Lake
from spora_db.remembered.answers import LastingAnswer, lasting_answer
from spora_db.sources import SOURCES, SourceFiles, SourceQuery
from spora_db.sources.duckdb_types import is_known
from spora_db.sqltext.named import Named

Written = Callable[[str, SourceQuery], SourceQuery]
"""What becomes of the SELECT of a source, by its name."""


class KnownSources:
    """The sources that were named, each with those of the cohorts' own columns that statements named so far.

    A source has no fewer columns again: an answer may wait to be fetched, is then bound anew, and must find all that it
    named.

    Parameters
    ----------
    folders
        The lake.
    builders
        What reads the footers of each source, by its name.
    written
        See `Written`.
    """

    def __init__(
        self, folders: Lake, *, builders: Mapping[str, Callable[[Lake], SourceFiles]], written: Written
    ) -> None:
        self._folders = folders
        self._builders = builders
        self._written = written
        self._sources: dict[str, SourceFiles] = {}
        self._queries: dict[str, SourceQuery] = {}
        self._texts: dict[str, str] = {}
        self._stamps: dict[str, object] = {}
        self._own: dict[str, frozenset[str]] = {}

    def is_stale(self, name: str) -> bool:
        """Tell whether a file of a source was written since: its columns are known by position."""
        return name in self._sources and self._stamps[name] != stamps(self._sources[name].files)

    def forget(self, name: str) -> None:
        """Forget a source, but not what was named of it."""
        self._queries.pop(name, None)
        self._texts.pop(name, None)
        self._sources.pop(name, None)

    def name(self, name: str, named: Named) -> bool:
        """Let a source have what a statement names of it; tell whether its SELECT is another now."""
        if name not in self._sources:
            built = self._builders[name](self._folders)
            self._sources[name], self._stamps[name] = built, stamps(built.files)
        source, before = self._sources[name], self._own.get(name, frozenset())
        own = named.among(source.own) | before.intersection(source.own)
        if name in self._queries and own == before:
            return False
        self._queries[name], self._own[name] = self._written(name, source.query(own)), own
        self._texts.pop(name, None)
        return True

    def query(self, name: str) -> SourceQuery:
        """Return the SELECT of a source."""
        return self._queries[name]

    def text(self, name: str) -> str:
        """Return the text of this SELECT."""
        if name not in self._texts:
            self._texts[name] = self._queries[name].sql()
        return self._texts[name]

    def lasting(self, asked: str, names: Collection[str]) -> LastingAnswer | None:
        """Return where the answer to a text over relations is kept; None where it follows from more than large files.

        What folders list, what users say and views are no files.
        """
        if not SOURCES.keys() >= set(names) or any(self._queries[name].listings for name in names):
            return None
        return lasting_answer([duckdb.__version__, asked, *map(self.text, sorted(names))], self.files(names))

    def among(self, names: Iterable[str]) -> list[SourceFiles]:
        """Return the sources among names."""
        wanted = set(names)
        return [self._sources[name] for name in self._builders if name in wanted and name in self._sources]

    def files(self, names: Iterable[str]) -> list[Path]:
        """Return the files of the sources among names."""
        return [path for source in self.among(names) for path in source.files]

    def own(self, relation: str) -> dict[str, str]:
        """Return the cohorts' own columns in a relation, spelled by folded name, in order: those it does not list."""
        found = {key: name for source in self.among(brings(relation)) for key, name in source.own.items()}
        return {key: name for key, name in found.items() if key not in listed(relation)}

    def alike(self, relation: str) -> dict[str, str]:
        """Return for each of these columns the first of the same type, so that DuckDB is asked for each type once."""
        first: dict[str, str] = {}
        own, sources = self.own(relation), self.among(brings(relation))
        kinds = {key: source.kind(key) for source in sources for key in source.own if key in own}
        return {key: first.setdefault(kind, key) if is_known(kind) else key for key, kind in kinds.items()}
