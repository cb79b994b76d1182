"""A question to a lake: what every verb and every answer of `SporaQuery` stands on, declared once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from spora_db.catalog import Catalog, lent_catalog
from spora_db.errors import ArgumentError
from spora_db.layout import LakePath, lake_path
from spora_db.plan.resolution import resolve
from spora_db.selection import Selection
from spora_db.selection.arguments import check_path, checked_whole, wrong
from spora_db.selection.compilation import compile_rows
from spora_db.selection.resolved import Resolved
from spora_db.sqltext.binding import Compiled
from spora_db.sqltext.names import fold

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Question:
    """A lake and what is asked of it.

    A verb is one method that checks its arguments and returns ``self._with(choice=...)``, the same question with
    another choice in its `Selection`: in `RowVerbs` where it says which rows, in `AmountVerbs` how many of them, in
    `ContentVerbs` what a row brings, in `LabelVerbs` what is learnt of it, in `TableVerbs` what users know of it.
    An answer is one method of `RowAnswers` or `Answers`; `_compiled` lends it the catalog. Whoever wants more
    without changing spora-db adds methods to a subclass of `SporaQuery`: verbs keep the class.

    Attributes
    ----------
    lake, selection
        As `SporaQuery` takes them.
    """

    lake: LakePath
    selection: Selection = field(default_factory=Selection)

    def __post_init__(self) -> None:
        """Refuse what is no folder's path."""
        if not isinstance(self.lake, list | tuple):
            check_path(self.lake, at="SporaQuery(", example="lake")
        else:
            for root in self.lake:
                check_path(root, at="SporaQuery([", example="lake")
            object.__setattr__(self, "lake", lake_path(self.lake))
        if not isinstance(self.selection, Selection):
            raise wrong(self.selection, at="SporaQuery(lake, ", expected="a Selection; the verbs build one")

    def _with(self, **changes: object) -> Self:
        """Return the same question with other choices."""
        return replace(self, selection=replace(self.selection, **changes))  # type: ignore[arg-type]

    def _of_rows(self, rows: "pa.Table", *, also: tuple[str, ...]) -> Self:
        """Return the query of rows that were found, which have these further columns.

        Raises
        ------
        ArgumentError
            If the query asks for columns of such a name that are others: they would be taken for what was found.
        """
        known = () if self.selection.rows_table is None else self.selection.rows_table.column_names  # found before
        if others := [name for name in self.selection.carried if fold(name) in also and name not in known]:
            raise ArgumentError(
                f"The query asks for a column {others[0]!r}, and the rows that were found have one of that name, which "
                f"says what was found ({', '.join(also)}). Leave yours out, or give it another name in its table."
            )
        return self._with(
            rows_table=rows, rows_sql=None, conditions=(), splits=(), split_choice=None, sampling=None, limit=None,
            excluded=None, columns=tuple(dict.fromkeys((*self.selection.columns, *also))),
        )  # fmt: skip

    def _first(self, n: object, *, at: str) -> Self:
        """Return the same question for the first `n` of its rows; `at` is the call that was given it."""
        n, before = checked_whole(n, at=at, of="rows", least=0), self.selection.limit
        return self._with(limit=n if before is None else min(n, before))

    @contextmanager
    def _compiled(self) -> Iterator[tuple[Resolved, Compiled, Catalog]]:
        """Lend the catalog, with the question as the lake resolves it and its one SELECT."""
        with lent_catalog(self.lake) as catalog:
            resolved = resolve(self.selection, catalog)
            yield resolved, compile_rows(resolved), catalog
