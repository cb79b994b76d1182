"""`SporaQuery`: ask a lake for tiles or tissues, see the SQL, count, and train on the answer."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import pyarrow as pa
from sqlglot import exp

from spora_db.binding import Compiled
from spora_db.catalog import Catalog, Explanation
from spora_db.cell_places import complete_cells
from spora_db.compilation import Resolved, compile_rows
from spora_db.dialects import Dialect
from spora_db.errors import ArgumentError, QueryError, unknown
from spora_db.filters import FilterFactory
from spora_db.guard_dialect import DIALECT
from spora_db.layout import parse_mpp
from spora_db.markers import read_aliases
from spora_db.plan import Plan
from spora_db.planning import freeze
from spora_db.quarantine import excluded_rows
from spora_db.resolution import resolve
from spora_db.selection import (
    CHANNEL_KINDS,
    MISSING_STATISTICS,
    Accessions,
    CellChoice,
    CellSource,
    ChannelChoice,
    ChannelKind,
    MissingModality,
    Sampling,
    Selection,
    SplitChoice,
    StandardizationChoice,
    StatsLevel,
)
from spora_db.specs import parse_spec

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd
    import polars as pl
    import spatialdata as sd

    from spora_db.audit import Audit
    from spora_db.datasets import SporaDataset
    from spora_db.loading.dataset import PlanDataset


@dataclass(frozen=True, slots=True)
class SporaQuery:
    """A question to a lake: which tiles (or tissues), which channels, standardized how.

    A query is a value: every verb returns a new one, and nothing is read before an answer is asked for. It goes

    1. verbs build a `Selection` (plain values),
    2. `resolve` checks it against the lake (`Catalog`) and fills in what only the lake knows,
    3. `compile_rows` makes one SELECT with bound parameters (`sql` shows it),
    4. `freeze` runs it and returns a `Plan` (arrays),
    5. `to_torch` closes the database and hands the plan to a torch dataset.

    Parameters
    ----------
    lake
        A lake's folder, or one dataset's.
    selection
        What to ask for; built by the verbs.

    Examples
    --------
    >>> query = (
    ...     SporaQuery("lake")
    ...     .modality("imc")
    ...     .tiles(size=224, mpp=1.0)
    ...     .where("cancer_type = 'LUAD'")
    ...     .channels(kind="uniprot_filtered", require=["CD3e", "P01732"])
    ...     .standardize("quantile_clipping/uq_0.99_image")
    ...     .sample(10_000, by="dataset", seed=0)
    ... )
    >>> query.selection.tile_size
    224
    """

    lake: str | Path
    selection: Selection = field(default_factory=Selection)

    # ---- verbs: each returns a new query ----

    def modality(self, *names: str | tuple[str, ...], missing: MissingModality = "drop") -> "SporaQuery":
        """Choose the modality; several give, per row, one image each at the same place of the tissue.

        Parameters
        ----------
        *names
            Modalities such as ``"he"``, ``"imc"``, ``"ihc_Ki67"``; letter case does not matter. A tuple names
            alternatives: ``modality(("imc", "codex"))`` selects the tiles of both, one image each, and
            ``modality(("imc", "codex"), "he")`` those of either with the H&E beside.
        missing
            Whether places that lack one of several modalities are dropped or kept (with what is there).
        """
        modalities = tuple((name,) if isinstance(name, str) else tuple(name) for name in names)
        flat = [name.casefold() for alternatives in modalities for name in alternatives]
        if not flat or not all(modalities):
            raise ArgumentError("modality() needs at least one name, such as .modality('imc').")
        if len(set(flat)) != len(flat):
            raise ArgumentError(f"modality{names} names a modality twice.")
        if missing not in ("drop", "keep"):
            raise unknown("choice of missing=", missing, ("drop", "keep"))
        return self._with(modalities=modalities, missing_modality=missing)

    def tiles(
        self, *, size: int | None = None, mpp: float | str | None = None, strategy: str | None = None
    ) -> "SporaQuery":
        """Ask for tiles.

        Parameters
        ----------
        size
            Height and width in pixels; may be left out where the lake has one size only.
        mpp
            Resolution in microns per pixel, as a number or a folder name (``"1_0mpp"``); may be left out likewise.
        strategy
            Name of the tiling, ``"default"`` unless given.
        """
        if size is not None and size < 1:
            raise ArgumentError(f"tiles(size={size}): expected a positive number of pixels.")
        return self._with(
            unit="tile",
            tile_size=size,
            mpp=None if mpp is None else parse_mpp(mpp),
            strategy=strategy,
        )

    def tissues(self, *, mpp: float | str | None = None) -> "SporaQuery":
        """Ask for whole tissues instead of tiles, at resolution `mpp` (microns per pixel)."""
        return self._with(unit="tissue", tile_size=None, mpp=None if mpp is None else parse_mpp(mpp))

    def cells(self, *, size: int, mpp: float | str | None = None, source: CellSource | None = None) -> "SporaQuery":
        """Ask for cells instead of tiles: one row per cell, a tile of `size` pixels around its centroid.

        Rows carry ``cell_id`` and the tile's top-left corner: ``row`` is the centroid, rounded (halves up), minus
        ``size // 2``. A tile that crosses the image's edge holds zeros there; ``row`` and ``col`` may be negative.
        Conditions and `select` know the columns of `cells` and `tissues`; of two of one name, the tissue's is called
        ``tissue_<name>`` (but ``split``, ``patient_id``, ``specimen_id`` are the tissue's).

        Centroids are pixels of the resolution asked for. They come from the cells table where it has the columns
        ``centroid_row, centroid_col`` (or ``centroid-0, centroid-1``; ``centroid_0, centroid_1``; ``row, col``;
        ``Pos_Y, Pos_X``; ``Y_centroid, X_centroid``; ``Location_Center_Y, Location_Center_X``) and the images of the
        dataset have one resolution. Else `plan` and `to_torch` measure them in the instance masks, which are read once
        for all selected tissues (progress is logged); until then, ``row`` and ``col`` are NULL in `sql` and `df`.

        Parameters
        ----------
        size
            Height and width of the tile in pixels.
        mpp
            Resolution in microns per pixel, as a number or a folder name; may be left out where there is one only.
        source
            What says which cells there are: the cells ``"table"``, or the labels of the instance ``"masks"``. By
            default the table where any dataset has one; a dataset without one then contributes no rows.
        """
        if size < 1:
            raise ArgumentError(f"cells(size={size}): expected a positive number of pixels.")
        return self._with(
            unit="cell",
            tile_size=size,
            mpp=None if mpp is None else parse_mpp(mpp),
            strategy=None,
            cell_source=_checked_source(source),
        )

    def with_masks(self, *kinds: str) -> "SporaQuery":
        """Deliver masks with every sample: the same region as its image, zero beyond the image's edge.

        Samples get ``masks``: by kind a tensor of shape (H, W), bool for ``"tissue"``, int32 for labels.

        Parameters
        ----------
        *kinds
            ``"tissue"``, ``"instances"`` (one label per cell), or the name of a cell task. What there is:
            ``SELECT DISTINCT kind FROM masks``.
        """
        if not kinds:
            raise ArgumentError("with_masks() needs at least one kind, such as .with_masks('tissue').")
        return self._with(masks=tuple(dict.fromkeys(kinds)))

    def with_cells(self, *columns: str, source: CellSource | None = None) -> "SporaQuery":
        """Deliver the cells whose centroid lies in the region of a sample.

        Samples get ``cells``: tensors ``cell_id`` (int32), ``row`` and ``col`` (float32, the centroid in pixels from
        the sample's corner), one of every column asked for, each of shape (n,), ascending by row; and ``categories``,
        by column the texts that its codes (int32, -1 for null) stand for. Centroids are found as for `cells`.

        Parameters
        ----------
        *columns
            Columns of the cells table, such as ``"cell_type"``: numbers come as they are, anything else as codes.
        source
            What says which cells there are, as in `cells`.
        """
        given = {"cell_id", "row", "col", "categories"} & set(columns)
        if given:
            raise ArgumentError(f"with_cells(): {', '.join(sorted(given))} is there already; name other columns.")
        choice = CellChoice(columns=tuple(dict.fromkeys(columns)), source=_checked_source(source))
        return self._with(cells=choice)

    def where(self, condition: str) -> "SporaQuery":
        """Keep rows for which an SQL condition over columns of `tiles` (`tissues`, `cells`) holds; conditions add up.

        Parameters
        ----------
        condition
            Such as ``"cancer_type = 'LUAD' AND age > 60"``; names with other characters in double quotes.
        """
        return self._with(conditions=(*self.selection.conditions, condition))

    def split(
        self,
        *names: str,
        by: str | None = None,
        fractions: Mapping[str, float] | None = None,
        seed: int = 0,
        replace: bool = False,
    ) -> "SporaQuery":
        """Keep rows of the named splits; with `fractions`, first divide whole groups into splits.

        Parameters
        ----------
        *names
            Splits to keep, such as ``"train"``; all if none is named.
        by
            The group that never falls into two splits: ``"patient"``, ``"specimen"``, ``"tissue"`` or a column. Without
            `fractions`, the cohorts' own splits are checked for it.
        fractions
            Shares that add up to 1, such as ``{"train": 0.8, "val": 0.1, "test": 0.1}``. A group's split depends on its
            name, its dataset and the seed only, so that adding cohorts moves nobody.
        seed
            Another seed divides differently.
        replace
            Whether splits that a cohort brings along may be replaced.
        """
        if not names and by is None:
            raise ArgumentError("split() needs at least one name, such as .split('train').")
        if fractions is not None:
            if by is None:
                raise ArgumentError("split(fractions=) needs by=, the group that stays together, such as by='patient'.")
            if any(share <= 0 for share in fractions.values()) or abs(sum(fractions.values()) - 1) > 1e-9:
                raise ArgumentError(f"split(fractions={dict(fractions)}): expected positive shares that add up to 1.")
        choice = None
        if by is not None:
            choice = SplitChoice(by=by, fractions=tuple((fractions or {}).items()), seed=seed, replace=replace)
        return self._with(splits=names, split_choice=choice)

    def exclude(self, rows: object) -> "SporaQuery":
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
            If it is no table.
        TableError
            If ``dataset`` or ``tissue_id`` is missing or null.

        Examples
        --------
        >>> broken = pa.table({"dataset": ["cohort"], "tissue_id": ["t1"], "tile_id": [3]})
        >>> query = SporaQuery("lake").tiles(size=224).exclude(broken)
        """
        tables = [excluded_rows(rows)]
        if self.selection.excluded is not None:
            tables.insert(0, self.selection.excluded)
        return self._with(excluded=pa.concat_tables(tables))

    def select(self, *columns: str) -> "SporaQuery":
        """Carry further columns, such as a label, into the answer and into every sample."""
        return self._with(columns=tuple(dict.fromkeys((*self.selection.columns, *columns))))

    def channels(
        self,
        *,
        kind: ChannelKind = "complete",
        names: Sequence[str] = (),
        require: Sequence[str] = (),
        any_of: Sequence[str] = (),
        at_least: int | None = None,
        exclude: Sequence[str] = (),
        aliases: Mapping[str, str | Sequence[str]] | str | Path | None = None,
        replace_nuclear_uniprot_ids: bool = False,
        accessions: Accessions = "published",
    ) -> "SporaQuery":
        """Choose the channels of multiplex images; they come in panel order.

        Markers are named by UniProt accession (of all its isoforms, unless it says one), by channel name, letter case
        aside where no channel is spelled so, or by an alias. A panel without a channel of the name offers the channels
        of the protein that the name stands for in other panels. A name that may mean several channels of a panel is an
        error.

        Parameters
        ----------
        kind
            ``"complete"`` (measured), ``"qc_filtered"`` (and passing quality control) or ``"uniprot_filtered"`` (and
            with a UniProt accession).
        names
            Deliver only these markers.
        require
            Select only tissues that offer all of these markers.
        any_of
            Select only tissues that offer any of these markers, or `at_least` so many of them.
        at_least
            Without `any_of`: select only tissues that offer at least so many of the channels chosen here (unusable
            statistics may drop some of them later).
        exclude
            Do not deliver these markers.
        aliases
            Further names for markers: a mapping from alias to name or accession, or to several in order of preference;
            or a parquet file with the columns ``alias`` and ``marker``.
        replace_nuclear_uniprot_ids
            First give nuclear markers the accession of histone H3 (P68431).
        accessions
            Which accessions count: as the published loader accepts them, or the official UniProt pattern.
        """
        if kind not in CHANNEL_KINDS:
            raise unknown("kind of channels", kind, CHANNEL_KINDS)
        if accessions not in ("published", "uniprot"):
            raise unknown("accession pattern", accessions, ("published", "uniprot"))
        listed = {"names": names, "require": require, "any_of": any_of, "exclude": exclude}
        for argument, value in listed.items():
            if isinstance(value, str):
                raise ArgumentError(f"channels({argument}={value!r}): expected a list, such as [{value!r}].")
        if at_least is not None and not 1 <= at_least <= (len(set(any_of)) or at_least):
            raise ArgumentError(f"channels(at_least={at_least}): expected at least 1, at most the number of any_of.")
        return self._with(
            channels=ChannelChoice(
                kind=kind,
                names=tuple(names),
                require=tuple(require),
                any_of=tuple(any_of),
                at_least=at_least,
                exclude=tuple(exclude),
                aliases=read_aliases(aliases),
                replace_nuclear=replace_nuclear_uniprot_ids,
                accessions=accessions,
            )
        )

    def standardize(
        self,
        spec: str | Mapping[str, str],
        *,
        stats_level: StatsLevel | None = None,
        use_mean_std: bool = True,
        disable_quantile_mask: bool = False,
        quantile_level: StatsLevel | None = None,
        filters: Sequence[str] | Mapping[str, Mapping[str, float | str]] = (),
        halo: bool = False,
        missing: Literal["error", "drop_channel", "drop_tissue", "global"] = "error",
    ) -> "SporaQuery":
        """Choose how pixel values are transformed.

        Parameters
        ----------
        spec
            ``"identity"``, ``"quantile_clipping/uq_0.99_image"``, ``"quantile_clipping_log1p/..."``, for brightfield
            ``"imagenet"`` or ``"hibou"``; several modalities take a mapping from modality to spec.
        stats_level
            Level of means and standard deviations; by default global ones where they exist, else those per image.
        use_mean_std
            Whether clipped values are then centred and scaled.
        disable_quantile_mask
            Keep channels whose statistics are unusable instead of dropping them; a warning names them.
        quantile_level
            Level of the quantiles, for specs of the older form that do not say it.
        filters
            Filters run last on multiplex images: names, or a mapping from name to parameters, such as
            ``{"gaussian_blur": {"kernel_size": 5, "sigma": 2.0}}``.
        halo
            Whether filters see the pixels around a tile, as if the whole tissue were filtered.
        missing
            What becomes of channels of a tissue whose statistics no table has (`coverage` lists them): an error; the
            channel is left out for this tissue; the rows of the tissue are left out; or the cohort's global statistics
            stand in, quantiles and moments together from the spec of the same name at global level.
        """
        if missing not in MISSING_STATISTICS:
            raise unknown("choice of missing=", missing, MISSING_STATISTICS)
        specs = tuple(spec.items()) if isinstance(spec, Mapping) else ((None, spec),)
        for _, text in specs:
            parse_spec(text, quantile_level=quantile_level)
        if isinstance(filters, str):
            raise ArgumentError(f"standardize(filters={filters!r}): expected a list, such as [{filters!r}].")
        parameters = filters if isinstance(filters, Mapping) else {}
        FilterFactory(list(filters), parameters)
        return self._with(
            standardization=StandardizationChoice(
                specs=specs,
                stats_level=stats_level,
                use_mean_std=use_mean_std,
                disable_quantile_mask=disable_quantile_mask,
                quantile_level=quantile_level,
                filters=tuple((name, tuple(sorted(parameters.get(name, {}).items()))) for name in filters),
                halo=halo,
                missing_statistics=missing,
            )
        )

    def sample(
        self,
        n: int | None = None,
        *,
        fraction: float | None = None,
        by: str | Sequence[str] = (),
        quota: Mapping[str, int] | None = None,
        per_tissue: int | None = None,
        per_patient: int | None = None,
        weights: str | None = None,
        seed: int = 0,
    ) -> "SporaQuery":
        """Draw rows, the same on every machine: by a hash of the row's identity and the seed.

        A cohort's own draw does not change when other cohorts are added. Caps come first, then one of `n`, `fraction`
        and `quota`, or none.

        Parameters
        ----------
        n
            Rows to keep; all rows if there are fewer.
        fraction
            Share of the rows to keep, in (0, 1]; each row is decided by its own hash, so the number is near the share.
        by
            Columns whose groups share the `n` rows equally (a group that runs out leaves its share to the others).
        quota
            Rows to keep of each value of the one column in `by`, such as ``{"LUAD": 500}``; other values are left out.
        per_tissue, per_patient
            At most so many rows of each tissue, of each patient.
        weights
            SQL expression, not negative: rows are drawn in proportion to it, such as ``"1.0 / n_tiles"``, where
            ``n_tiles`` is the number of selected rows of the same tissue.
        seed
            Another seed draws another sample.
        """
        by = (by,) if isinstance(by, str) else tuple(by)
        if sum(choice is not None for choice in (n, fraction, quota)) > 1:
            raise ArgumentError("sample() takes one of n, fraction and quota.")
        if all(choice is None for choice in (n, fraction, quota, per_tissue, per_patient)):
            raise ArgumentError(
                "sample() needs n, fraction, quota, per_tissue or per_patient, such as .sample(10_000)."
            )
        counts = {"n": n, "per_tissue": per_tissue, "per_patient": per_patient}
        counts |= {f"quota[{value!r}]": count for value, count in (quota or {}).items()}
        for name, count in counts.items():
            if count is not None and count < 1:
                raise ArgumentError(f"sample({name}={count}): expected at least one row.")
        if fraction is not None and not 0 < fraction <= 1:
            raise ArgumentError(f"sample(fraction={fraction}): expected a share in (0, 1].")
        if quota is not None and len(by) != 1:
            raise ArgumentError(
                f"sample(quota=) needs the one column that it refers to, such as by='cancer_type'; got {by}."
            )
        if weights is not None and n is None and quota is None and per_tissue is None and per_patient is None:
            raise ArgumentError(
                "sample(weights=) orders the draw of n, quota, per_tissue or per_patient rows; give one."
            )
        return self._with(
            sampling=Sampling(
                n=n,
                fraction=fraction,
                by=by,
                quota=tuple((quota or {}).items()),
                per_tissue=per_tissue,
                per_patient=per_patient,
                weights=weights,
                seed=seed,
            )
        )

    # ---- answers, named by what they return ----

    def sql(self, *, dialect: Dialect = "duckdb") -> str:
        """Return the one SELECT that answers the query, ready to paste into `spora-db sql` or the DuckDB shell.

        Parameters
        ----------
        dialect
            Another engine that has the same relations (``Catalog.ddl(dialect=...)`` makes them there): ``"postgres"``,
            ``"spark"``, ``"databricks"``, ``"bigquery"`` or ``"snowflake"``. It selects the same rows there, samples
            included; they come back with `from_arrow`.

        Raises
        ------
        QueryError
            If the query has no translation, such as one over rows of an Arrow table.
        """
        with self._compiled() as (selection, compiled, catalog):
            if dialect != "duckdb" and selection.rows_table is not None:
                raise QueryError("Rows from an Arrow table are in no other engine: this query has no translation.")
            return catalog.translate(compiled.text(inline=True), dialect=dialect)

    def count(self) -> int:
        """Return the number of rows."""
        with self._compiled() as (_, compiled, catalog):
            tree = compiled.tree.copy()
            tree.set("order", None)
            counted = exp.select("count(*)").from_(tree.subquery("rows"))
            return int(catalog.run(counted.sql(DIALECT), compiled.parameters).fetchall()[0][0])

    def to_arrow(self) -> pa.Table:
        """Return the rows as an Arrow table: the identity columns, then those of `select`, in order of the identity."""
        with self._compiled() as (_, compiled, catalog):
            return catalog.run(compiled.text(), compiled.parameters).to_arrow_table()

    def df(self) -> "pd.DataFrame":
        """Return the rows as a pandas DataFrame, with the columns of `to_arrow`."""
        return cast("pd.DataFrame", self.to_arrow().to_pandas())

    def pl(self) -> "pl.DataFrame":
        """Return the rows as a polars DataFrame, with the columns of `to_arrow`.

        Raises
        ------
        MissingExtraError
            If polars is not installed.
        """
        from spora_db.interop.frames import to_polars

        return to_polars(self.to_arrow())

    def explain(self) -> Explanation:
        """Return the SQL, DuckDB's plan, the files and row groups that it touches, and its estimate of the rows.

        Printed, it is a text; nothing is run.
        """
        with self._compiled() as (_, compiled, catalog):
            return catalog.explain(compiled.text(), compiled.parameters, shown=compiled.text(inline=True))

    def panel_overlap(self) -> "pd.DataFrame":
        """Return, for every two selected cohorts, the number of markers that both deliver.

        A cohort is a dataset (``dataset/modality`` where several modalities are selected). Proteins are counted by
        accession, isoforms aside; channels without one by name, letter case aside. The diagonal is each cohort's own.

        Examples
        --------
        >>> overlap = SporaQuery("lake").modality("imc").tissues(mpp=1.0).panel_overlap()  # doctest: +SKIP
        """
        from spora_db.coverage import panel_overlap

        with Catalog(self.lake) as catalog:
            return panel_overlap(self.selection, catalog)

    def coverage(self) -> "pd.DataFrame":
        """List the channels of the selected tissues whose statistics are missing, before training stumbles over them.

        Returns
        -------
        pandas.DataFrame
            One row per tissue and delivered channel without statistics: ``dataset, modality, mpp, tissue_id,
            channel_name, uniprot_id, spec, problem``. The problem is ``"no quantiles"``, ``"no moments"``, both, or
            ``"unusable values"``: the tables have them, but not finite or not positive, and the channel is dropped.
            No rows where all is there, or the spec needs none. Its choice of ``missing=`` is put aside.

        Examples
        --------
        >>> query = SporaQuery("lake").modality("imc").tissues(mpp=1.0).standardize("quantile_clipping/uq_0.99_image")
        >>> gaps = query.coverage()  # doctest: +SKIP
        """
        from spora_db.coverage import coverage

        with Catalog(self.lake) as catalog:
            return coverage(self.selection, catalog)

    def plan(self) -> Plan:
        """Return the frozen plan: what `to_torch` loads, without a connection or an open file."""
        with self._resolved() as (resolved, catalog):
            resolved = complete_cells(resolved, catalog)
            return freeze(resolved.selection, compile_rows(resolved), catalog)

    def to_torch(
        self,
        *,
        missing_chunks: Literal["error", "zeros"] = "error",
        vocabulary: Sequence[str] | None = None,
        standardize_on: Literal["cpu", "device"] = "cpu",
        on_error: Literal["raise", "replace"] = "raise",
    ) -> "PlanDataset":
        """Return a map-style torch dataset of the rows; no database handle goes with it.

        Parameters
        ----------
        missing_chunks
            Whether absent chunks of an image (a partial download) are errors or read as zeros.
        vocabulary
            UniProt accessions in the order that ``marker_index`` counts; by default all of the selection, sorted.
        standardize_on
            ``"cpu"`` standardizes pixels as they are decoded; ``"device"`` delivers them raw, for `standardize_batch`.
        on_error
            What becomes of a row that cannot be read: an error; or another row replaces it, the same on every rank, and
            it is recorded for `Catalog.quarantine` and `exclude` (see `PlanDataset`).

        Raises
        ------
        QueryError
            If the query selects no rows.
        WriteError
            If the quarantine cannot be written.
        """
        from spora_db.loading.dataset import PlanDataset

        return PlanDataset(
            self.plan(), missing_chunks=missing_chunks, vocabulary=vocabulary, standardize_on=standardize_on,
            on_error=on_error,
        )  # fmt: skip

    def to_spora_dataset(
        self, *, seed: int | None = None, balance: str | Sequence[str] | None = None
    ) -> "SporaDataset":
        """Return the rows as a `SporaDataset`, the published class, which serves the same tiles or tissues.

        Parameters
        ----------
        seed
            Seed of its random draws.
        balance
            Columns whose values are drawn equally often.

        Raises
        ------
        QueryError
            If the query selects no rows.
        ArgumentError
            If the query makes a choice that the published classes do not have.
        """
        from spora_db.datasets.from_query import spora_dataset

        return spora_dataset(self, seed=seed, balance=balance)

    def to_anndata(self, *, modality: str | None = None) -> "ad.AnnData":
        """Return the cells of the rows as an AnnData of mean marker intensities, from the instance masks.

        A query for tissues gives all cells of their instance masks; one for tiles those whose centroid lies in a tile,
        each once; one for cells just those. Every cell is measured over all its pixels, standardized as the query says
        (raw, unless it does), and images are read in bands, so that slides fit into memory.

        Parameters
        ----------
        modality
            Which of the query's modalities is measured; may be left out where only one of them has a panel.

        Returns
        -------
        anndata.AnnData
            ``X`` float32 of shape (cells, markers), NaN where a tissue does not have the marker. ``obs``: ``dataset,
            tissue_id, modality, cell_id, area`` (pixels), ``row, col`` (centroid, pixels), the columns of `select` and
            of `with_cells`. ``var``: ``uniprot_id, n_tissues, channel_names``; markers are matched by accession.
            ``obsm["spatial"]``: float64 of shape (cells, 2), the column, then the row, in microns, as scanpy and
            squidpy expect. ``uns["spora_db"]``: spec, mpp and plan hash.

        Raises
        ------
        MissingExtraError
            If anndata is not installed: ``pip install "spora-db[anndata]"``.
        MaskNotFoundError, UnknownNameError
            If a tissue has no instance mask, or no tissue has.
        QueryError
            If the query selects no rows.

        Examples
        --------
        >>> query = SporaQuery("lake").modality("imc").tissues(mpp=1.0).with_cells("cell_type")
        >>> cells = query.to_anndata()  # doctest: +SKIP
        """
        from spora_db.interop.to_anndata import to_anndata

        return to_anndata(self, modality=modality)

    def to_spatialdata(self, *, modality: str | None = None) -> "sd.SpatialData":
        """Return the tissues of the rows as a SpatialData: an image and a label mask each, and the cells' table.

        Parameters
        ----------
        modality
            As for `to_anndata`, whose table this annotates the masks with.

        Returns
        -------
        spatialdata.SpatialData
            ``images["<tissue>_image"]`` (c, y, x) as the query standardizes them, ``labels["<tissue>_cells"]``, both
            with a coordinate system ``"microns"``; ``tables["cells"]``. Whole images are held in memory.

        Raises
        ------
        MissingExtraError
            If spatialdata is not installed: ``pip install "spora-db[spatialdata]"``.

        Examples
        --------
        >>> tissues = SporaQuery("lake").modality("imc").tissues(mpp=1.0).to_spatialdata()  # doctest: +SKIP
        """
        from spora_db.interop.to_spatialdata import to_spatialdata

        return to_spatialdata(self, modality=modality)

    def audit(self, columns: Sequence[str] = (), *, fingerprints: bool = False) -> "Audit":
        """Look through the selection before training: what it holds, what leaks, what is missing, under which licence.

        Parameters
        ----------
        columns
            What the composition counts by, such as ``["cancer_type", "split"]``; dataset and split unless said.
        fingerprints
            Whether images are compared by their pixels, to find one tissue under two names; reads a little of every
            image, and all of those that look alike.

        Returns
        -------
        Audit
            Prints as text; ``.table(section)``, ``.to_dict()``, ``.save_png(path)``.

        Examples
        --------
        >>> query = SporaQuery("lake").modality("imc").tiles(size=224, mpp=1.0)
        >>> query.audit(columns=["cancer_type"]).save_png("audit.png")  # doctest: +SKIP
        """
        from spora_db.audit import make_audit

        return make_audit(self.lake, self.selection, columns=columns, fingerprints=fingerprints)

    def lock(self, path: str | Path, *, images: bool = False) -> Path:
        """Write a lock: the query, and the exact state of the lake that its plan was made from, as JSON.

        It holds the choices, the SQL, the versions, the plan's hash, a fingerprint of every parquet file that the plan
        depends on, and a digest of every tissue's rows, channels and statistics. `from_lock` checks all of it.

        Parameters
        ----------
        path
            The file, such as ``"cohort.lock.json"``; an existing one is replaced.
        images
            Whether the images and masks are fingerprinted too, by size and by both ends of their files.

        Examples
        --------
        >>> query = SporaQuery("lake").modality("imc").tiles(size=224, mpp=1.0)
        >>> path = query.lock("cohort.lock.json")  # doctest: +SKIP
        """
        from spora_db.lockfile import make_lock

        return make_lock(self.lake, self.selection, images=images).write(path)

    # ---- other sources of rows ----

    @classmethod
    def from_lock(cls, path: str | Path, lake: str | Path | None = None) -> "SporaQuery":
        """Return the query of a lock, whose plan is the same as then.

        Parameters
        ----------
        path
            The lock, as `lock` wrote it.
        lake
            Where the lake is now, if it was moved or renamed.

        Raises
        ------
        LockError
            If anything differs: files changed, added or missing, rows gained and lost, channels, statistics. Times of
            files are no difference. ``spora-db diff`` tells the same without an error.
        FileFormatError
            If the file is no lock.
        """
        from spora_db.lockfile import query_of_lock

        return cls(*query_of_lock(path, lake=lake))

    @classmethod
    def from_sql(cls, lake: str | Path, text: str) -> "SporaQuery":
        """Ask with a SELECT of your own that yields the identity columns.

        Parameters
        ----------
        lake
            A lake's folder, or one dataset's.
        text
            One SELECT over the catalog's relations, with ``dataset`` and ``tissue_id``, for tiles also ``tile_id``,
            ``row`` and ``col``, for cells ``cell_id``, ``row`` and ``col`` (corners of tiles). Columns ``modality``,
            ``mpp``, ``strategy`` and ``tile_size`` may be left out where
            `modality` and `tiles` say them, or the lake leaves no choice.
        """
        return cls(lake, Selection(rows_sql=text))

    @classmethod
    def from_arrow(cls, lake: str | Path, table: pa.Table) -> "SporaQuery":
        """Ask for rows that another engine selected: an Arrow table with the identity columns, as in `from_sql`."""
        return cls(lake, Selection(rows_table=table))

    def _repr_html_(self) -> str:
        from spora_db.html import query_html

        return query_html(self)

    def _with(self, **changes: object) -> "SporaQuery":
        return replace(self, selection=replace(self.selection, **changes))  # type: ignore[arg-type]

    @contextmanager
    def _resolved(self) -> Iterator[tuple[Resolved, Catalog]]:
        with Catalog(self.lake) as catalog:
            yield resolve(self.selection, catalog), catalog

    @contextmanager
    def _compiled(self) -> Iterator[tuple[Selection, Compiled, Catalog]]:
        with self._resolved() as (resolved, catalog):
            yield resolved.selection, compile_rows(resolved), catalog


def _checked_source(source: CellSource | None) -> CellSource | None:
    if source not in (None, "table", "masks"):
        raise unknown("choice of source=", source, ("table", "masks"))
    return source
