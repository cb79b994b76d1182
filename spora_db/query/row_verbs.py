"""Verbs that choose rows: which tiles, tissues or cells of which modality."""

from collections.abc import Mapping
from typing import Self

import pyarrow as pa

from spora_db.errors import ArgumentError
from spora_db.query.question import Question
from spora_db.remembered.quarantine import excluded_rows
from spora_db.selection import MissingModality, SplitChoice
from spora_db.selection.arguments import (
    checked_choice,
    checked_each,
    checked_flag,
    checked_mpp,
    checked_names,
    checked_seed,
    checked_shares,
    checked_table,
    checked_text,
    checked_whole,
)


class RowVerbs(Question):
    """What `SporaQuery` selects; every verb returns a new query."""

    __slots__ = ()

    def modality(self, *names: str | tuple[str, ...], missing: MissingModality = "drop") -> Self:
        """Choose the modality; several give, per row, one image each at the same place of the tissue.

        Parameters
        ----------
        *names
            Modalities such as ``"he"``, ``"imc"``, ``"ihc_Ki67"``; letter case does not matter, unless the lake has two
            that differ in nothing else. A tuple names alternatives: ``modality(("imc", "codex"))`` selects the tiles of
            both, one image each, and ``modality(("imc", "codex"), "he")`` those of either with the H&E beside. Of
            alternatives beside, ``modality("imc", ("he", "ihc_Ki67"))``, a row shows the first that the tissue has.
        missing
            Whether places that lack one of several modalities are dropped or kept (with what is there; a row's columns,
            and so its conditions, are those of the first modality that the tissue has).

        Raises
        ------
        ArgumentError
            No name, or one twice; one that the lake does not have is told when an answer is asked for.

        See Also
        --------
        SporaQuery.tiles, SporaQuery.channels

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality(("imc", "codex"), "he").tissues(mpp=1.0)
        >>> query.df()["modality"].unique().tolist()
        ['imc', 'codex']
        """
        modalities = tuple(checked_names(name, at="modality(", example=("imc", "codex"), alone=True) for name in names)
        flat = [name for alternatives in modalities for name in alternatives]
        if not flat or not all(modalities):
            raise ArgumentError("modality() needs at least one name, such as .modality('imc').")
        if len(set(flat)) != len(flat):
            raise ArgumentError(f"modality{names} names a modality twice.")
        chosen = checked_choice(missing, options=("drop", "keep"), kind="choice of missing=")
        return self._with(modalities=modalities, missing_modality=chosen)

    def tiles(self, *, size: int | None = None, mpp: float | str | None = None, strategy: str | None = None) -> Self:
        """Ask for tiles.

        Parameters
        ----------
        size
            Height and width in pixels; may be left out where the lake has one size only.
        mpp
            Resolution in microns per pixel, as a number or a folder name (``"1_0mpp"``); may be left out likewise.
        strategy
            Name of the tiling, ``"default"`` unless given.

        Raises
        ------
        ArgumentError
            A size or a resolution that cannot be; a tiling that is absent is told when an answer is asked for.

        See Also
        --------
        SporaQuery.tissues, SporaQuery.cells, SporaQuery.windows, tile_lake

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0)
        >>> query.columns
        ('dataset', 'modality', 'mpp', 'strategy', 'tile_size', 'tissue_id', 'tile_id', 'row', 'col')
        """
        return self._with(
            unit="tile",
            tile_size=None if size is None else checked_whole(size, at="tiles(size=", of="pixels"),
            mpp=checked_mpp(mpp),
            strategy=None if strategy is None else checked_text(strategy, at="tiles(strategy=", example="default"),
            windows=None,
        )

    def tissues(self, *, mpp: float | str | None = None) -> Self:
        """Ask for whole tissues instead of tiles, at resolution `mpp` (microns per pixel).

        Raises
        ------
        ArgumentError
            A resolution that cannot be.

        See Also
        --------
        SporaQuery.tiles, SporaQuery.cells

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> SporaQuery("lake").modality("imc").tissues(mpp=1.0).df()["tissue_id"][0]
        'lung_imc_l001_0001'
        """
        return self._with(unit="tissue", tile_size=None, mpp=checked_mpp(mpp), windows=None)

    def where(self, condition: str) -> Self:
        """Keep rows for which an SQL condition over columns of `tiles` (`tissues`, `cells`) holds; conditions add up.

        Parameters
        ----------
        condition
            Such as ``"cancer_type = 'LUAD' AND age > 60"``; names with other characters in double quotes. In a
            sub-select, ``tiles.tissue_id`` (``tissues.``, ``cells.``) is that of the row, unless the sub-select reads a
            relation of that name itself: ``"EXISTS (SELECT 1 FROM cells AS c WHERE c.tissue_id = tiles.tissue_id)"``.
            What gives other rows at every run (``random()``, sample clauses) is refused; `sample` draws. As everywhere
            in DuckDB, NULL satisfies no comparison, and NaN is greater than any number:
            ``"age > 60 AND NOT isnan(age)"``. Tiles know the regions that they lie in:
            ``"region_class = 'tumor' AND region_fraction >= 0.5"`` are those of which tumor covers most, and at least
            half; ``"region_fractions['stroma'] > 0.1"`` asks for one class, whatever else is there.

        Raises
        ------
        ArgumentError
            No text; what is wrong in its SQL is told when an answer is asked for, by a `QueryError`.

        See Also
        --------
        SporaQuery.split, SporaQuery.exclude, SporaQuery.from_sql

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0)
        >>> older = query.where("cancer_type = 'LUAD' AND age > 60")
        >>> 0 < older.count() < query.count()
        True
        """
        text = checked_text(condition, at="where(", example="cancer_type = 'LUAD'")
        return self._with(conditions=(*self.selection.conditions, text))

    def split(
        self,
        *names: str,
        by: str | None = None,
        fractions: Mapping[str, float] | None = None,
        seed: int = 0,
        replace: bool = False,
    ) -> Self:
        """Keep rows of the named splits; with `fractions`, first divide whole groups into splits.

        Calls add up as those of `where` do: names filter the division that was chosen before, or else the cohorts' own
        splits, and narrow the names of earlier calls. A call with `fractions` starts anew: its division and its names
        replace the earlier ones.

        Parameters
        ----------
        *names
            Splits to keep, such as ``"train"``; all if none is named.
        by
            The group that never falls into two splits: ``"patient"``, ``"specimen"``, ``"tissue"`` or a column. Without
            `fractions`, the cohorts' own splits are checked for it. Checked are the rows that all other conditions
            select, of every split; rows whose group is unknown are an error.
        fractions
            Shares that add up to 1, such as ``{"train": 0.8, "val": 0.1, "test": 0.1}``. A group's split depends on its
            name, its dataset and the seed only, so that adding cohorts moves nobody.
        seed
            Another seed divides differently.
        replace
            Whether splits that a cohort brings along may be replaced.

        Raises
        ------
        ArgumentError
            If a name was left out by an earlier call, or the arguments contradict each other.

        See Also
        --------
        SporaQuery.where, SporaQuery.audit

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0)
        >>> divided = query.split(by="patient", fractions={"train": 0.8, "test": 0.2}, seed=3, replace=True)
        >>> train, test = divided.split("train"), divided.split("test")
        >>> len(train) + len(test) == len(query)
        True
        """
        names = checked_each(names, verb="split", example=("train", "val"))
        if not names and by is None:
            raise ArgumentError("split() needs at least one name, such as .split('train').")
        by = None if by is None else checked_text(by, at="split(by=", example="patient")
        seed, replace = checked_seed(seed, at="split(seed="), checked_flag(replace, at="split(replace=")
        if fractions is not None:
            if by is None:
                raise ArgumentError("split(fractions=) needs by=, the group that stays together, such as by='patient'.")
            shares = checked_shares(fractions, at="split(fractions=")
            choice = SplitChoice(by=by, fractions=shares, seed=seed, replace=replace)
            return self._with(splits=names, split_choice=choice)
        if seed or replace:
            raise ArgumentError("split(seed=, replace=) say how rows are divided anew; give fractions= too.")
        kept, divided = self.selection.splits, self.selection.split_choice
        if kept and (gone := [name for name in names if name not in kept]):
            raise ArgumentError(
                f"split({', '.join(map(repr, names))}): an earlier split({', '.join(map(repr, kept))}) has left out "
                f"{', '.join(gone)}. Calls narrow the rows, as those of where() do; ask the query from before it."
            )
        if by is not None and (divided is None or by != divided.by):
            if divided is not None and divided.fractions:
                raise ArgumentError(
                    f"split(by={by!r}) checks splits, but the rows are divided by {divided.by!r} already. Give "
                    f"fractions= too, to divide them by {by!r} instead."
                )
            divided = SplitChoice(by=by)
        return self._with(splits=names or kept, split_choice=divided)

    def select(self, *columns: str) -> Self:
        """Carry further `columns`, such as a label, into the answer and into every sample.

        Raises
        ------
        ArgumentError
            No names; a column that is absent is told when an answer is asked for.

        See Also
        --------
        SporaQuery.label, SporaQuery.where

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tissues(mpp=1.0).select("cancer_type", "age")
        >>> query.head(1)[["cancer_type", "age"]].values.tolist()
        [['LUAD', 71]]
        """
        names = checked_each(columns, verb="select", example=("age", "split"))
        return self._with(columns=tuple(dict.fromkeys((*self.selection.columns, *names))))

    def exclude(self, rows: object) -> Self:
        """Leave out the rows that a table names, such as those that could not be read; several add up.

        Parameters
        ----------
        rows
            ``catalog.quarantine()``, a pyarrow Table or a DataFrame with ``dataset, tissue_id`` and ``tile_id`` (for
            cells ``cell_id``). A row without either stands for its whole tissue; in a query for tissues, every row
            does. Where the table has ``modality``, ``mpp``, ``tile_size``, ``row`` and ``col``, these must agree too:
            a tile of one tiling does not exclude another's of the same number. Further columns are ignored.

        Raises
        ------
        ArgumentError
            If it is no table, or one of these columns is in it twice.
        TableError
            If ``dataset`` or ``tissue_id`` is missing or null.

        See Also
        --------
        SporaQuery.where, Catalog.quarantine

        Examples
        --------
        >>> import pyarrow as pa
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0)
        >>> broken = pa.table({"dataset": ["lung_imc"], "tissue_id": ["lung_imc_l001_0001"], "tile_id": [0]})
        >>> len(query) - len(query.exclude(broken))
        1
        """
        expected = "a table with dataset and tissue_id, such as catalog.quarantine(), a pyarrow Table or a DataFrame"
        tables = [excluded_rows(checked_table(rows, at="exclude(", expected=expected))]
        if self.selection.excluded is not None:
            tables.insert(0, self.selection.excluded)
        return self._with(excluded=pa.concat_tables(tables))
