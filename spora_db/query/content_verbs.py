"""Verbs that choose what a row brings along: channels, standardization, masks and cells."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from spora_db.aliases import read_aliases
from spora_db.errors import ArgumentError, unknown
from spora_db.query.cells import checked_source
from spora_db.selection import (
    CHANNEL_KINDS,
    MISSING_STATISTICS,
    Accessions,
    CellChoice,
    CellSource,
    ChannelChoice,
    ChannelKind,
    Selection,
    StandardizationChoice,
    StatsLevel,
)
from spora_db.standardization.filters import FilterFactory
from spora_db.standardization.specs import parse_spec

if TYPE_CHECKING:
    from spora_db.aliases import AliasTable


class ContentVerbs:
    """What `SporaQuery` delivers of a row; every verb returns a new query."""

    __slots__ = ()

    if TYPE_CHECKING:
        lake: str | Path
        selection: Selection

        def _with(self, **changes: object) -> Self: ...

    def channels(
        self,
        *,
        kind: ChannelKind = "complete",
        names: Sequence[str] = (),
        require: Sequence[str] = (),
        any_of: Sequence[str] = (),
        at_least: int | None = None,
        exclude: Sequence[str] = (),
        aliases: "AliasTable" = None,
        replace_nuclear_uniprot_ids: bool = False,
        accessions: Accessions = "published",
    ) -> Self:
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
            or an Arrow table, a DataFrame, or a parquet or CSV file with the columns ``alias`` and ``marker``. Macros
            in conditions know them too.
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
    ) -> Self:
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

    def with_masks(self, *kinds: str) -> Self:
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

    def with_cells(self, *columns: str, source: CellSource | None = None) -> Self:
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
        choice = CellChoice(columns=tuple(dict.fromkeys(columns)), source=checked_source(source))
        return self._with(cells=choice)
