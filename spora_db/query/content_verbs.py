"""Verbs that choose what a row brings along: channels, standardization, masks and cells."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Self

from spora_db.catalog.aliases import read_aliases
from spora_db.errors import ArgumentError
from spora_db.query.question import Question
from spora_db.selection import (
    MISSING_STATISTICS,
    PANEL_RULES,
    Accessions,
    CellChoice,
    CellSource,
    ChannelChoice,
    ChannelKind,
    StandardizationChoice,
    StatsLevel,
)
from spora_db.selection.arguments import (
    checked_choice,
    checked_each,
    checked_flag,
    checked_names,
    checked_whole,
    own_number,
    own_text,
    wrong,
)
from spora_db.selection.cells import checked_source
from spora_db.standardization.filters import FilterFactory
from spora_db.standardization.specs import parse_spec

if TYPE_CHECKING:
    from spora_db.catalog.aliases import AliasTable


class ContentVerbs(Question):
    """What `SporaQuery` delivers of a row; every verb returns a new query."""

    __slots__ = ()

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
            Select only tissues that offer all of these markers, in the images that a row shows.
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

        Raises
        ------
        UnknownNameError
            A kind that does not exist; markers are looked for when an answer is asked for.
        ArgumentError
            Markers that are no list of names, or an `at_least` that nothing can reach.

        See Also
        --------
        SporaQuery.panel_overlap, SporaQuery.standardize

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0)
        >>> sample = query.channels(kind="qc_filtered", names=["CD8", "P11836"]).to_torch()[0]
        >>> sample["channel_names"], sample["uniprot_ids"]
        (['CD8a', 'CD20'], ['P01732', 'P11836'])
        """
        listed = {"names": names, "require": require, "any_of": any_of, "exclude": exclude}
        markers = {
            argument: checked_names(value, at=f"channels({argument}=", example=("CD3e", "P01732"))
            for argument, value in listed.items()
        }
        if at_least is not None:
            at_least, most = checked_whole(at_least, at="channels(at_least=", of="markers"), len(set(markers["any_of"]))
            if 0 < most < at_least:
                raise ArgumentError(f"channels(at_least={at_least}): expected at most {most}, the markers of any_of.")
        nuclear = checked_flag(replace_nuclear_uniprot_ids, at="channels(replace_nuclear_uniprot_ids=")
        return self._with(
            channels=ChannelChoice(
                **markers,
                kind=checked_choice(kind, options=tuple(PANEL_RULES), kind="kind of channels"),
                at_least=at_least,
                aliases=read_aliases(aliases),
                replace_nuclear=nuclear,
                accessions=checked_choice(accessions, options=("published", "uniprot"), kind="accession pattern"),
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

        Raises
        ------
        UnknownNameError
            A method or a filter that does not exist; statistics are looked for when an answer is asked for.
        ArgumentError
            No spec, or a parameter that cannot be.

        See Also
        --------
        standardize_lake, SporaQuery.coverage, register_standardizer

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0)
        >>> sample = query.standardize("quantile_clipping_log1p/uq_0.99_image").to_torch()[0]
        >>> sample["image"].dtype, sample["spec"]
        (torch.float32, 'quantile_clipping_log1p/uq_0.99_image')
        """
        specs = _specs(spec)
        stats_level = None if stats_level is None else _level(stats_level, "stats_level")
        quantile_level = None if quantile_level is None else _level(quantile_level, "quantile level")
        for _, text in specs:
            parse_spec(text, quantile_level=quantile_level)
        names = checked_names(filters, at="standardize(filters=", example=("gaussian_blur",))
        given = dict(zip(names, filters.values(), strict=True)) if isinstance(filters, Mapping) else {}
        parameters = {name: _parameters(given.get(name, {}), name) for name in names}
        FilterFactory(names, parameters)
        return self._with(
            standardization=StandardizationChoice(
                specs=specs,
                stats_level=stats_level,
                use_mean_std=checked_flag(use_mean_std, at="standardize(use_mean_std="),
                disable_quantile_mask=checked_flag(disable_quantile_mask, at="standardize(disable_quantile_mask="),
                quantile_level=quantile_level,
                filters=tuple((name, tuple(sorted(parameters[name].items()))) for name in names),
                halo=checked_flag(halo, at="standardize(halo="),
                missing_statistics=checked_choice(missing, options=MISSING_STATISTICS, kind="choice of missing="),
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

        See Also
        --------
        SporaQuery.with_cells, load_label_mask

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0)
        >>> masks = query.with_masks("tissue", "instances").to_torch()[0]["masks"]
        >>> {kind: (mask.dtype, tuple(mask.shape)) for kind, mask in masks.items()}
        {'tissue': (torch.bool, (128, 128)), 'instances': (torch.int32, (128, 128))}
        """
        if not kinds:
            raise ArgumentError("with_masks() needs at least one kind, such as .with_masks('tissue').")
        names = checked_each(kinds, verb="with_masks", example=("tissue", "instances"))
        return self._with(masks=tuple(dict.fromkeys(names)))

    def with_cells(self, *columns: str, source: CellSource | None = None) -> Self:
        """Deliver the cells whose centroid lies in the region of a sample.

        Samples get ``cells``: tensors ``cell_id`` (int32), ``row`` and ``col`` (float32, the centroid in pixels from
        the sample's corner), one of every column asked for, each of shape (n,), ascending by row; and ``categories``,
        by column the texts that its codes (int32, -1 for null) stand for. Centroids are found as for `cells`.

        Parameters
        ----------
        *columns
            Columns of the cells table, such as ``"cell_type"``: numbers come as they are (float64 with NaN where some
            are null), texts and times as codes. What would not arrive whole is refused, such as lists.
        source
            What says which cells there are, as in `cells`.

        See Also
        --------
        SporaQuery.with_masks, SporaQuery.cells

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0)
        >>> cells = query.with_cells("cell_type", "area").to_torch()[0]["cells"]
        >>> sorted(cells), len(cells["row"]) == len(cells["area"]) > 0
        (['area', 'categories', 'cell_id', 'cell_type', 'col', 'row'], True)
        """
        names = checked_each(columns, verb="with_cells", example=("cell_type", "area"))
        if given := {"cell_id", "row", "col", "categories"} & set(names):
            raise ArgumentError(f"with_cells(): {', '.join(sorted(given))} is there already; name other columns.")
        choice = CellChoice(columns=tuple(dict.fromkeys(names)), source=checked_source(source))
        return self._with(cells=choice)


def _specs(spec: object) -> tuple[tuple[str | None, str], ...]:
    """Return pairs of a modality, None for all of them, and its spec."""
    if (alone := own_text(spec)) is not None:
        return ((None, alone),)
    items = tuple(spec.items()) if isinstance(spec, Mapping) else ()
    pairs = ((own_text(modality), own_text(text)) for modality, text in items)
    specs = tuple((modality, text) for modality, text in pairs if modality is not None and text is not None)
    if not specs or len(specs) < len(items):
        expected = "a spec, such as 'identity', or a mapping from modality to spec, such as {'imc': 'identity'}"
        raise wrong(spec, at="standardize(", expected=expected)
    return specs


def _level(value: object, kind: str) -> StatsLevel:
    return checked_choice(value, options=("image", "global"), kind=kind)


def _parameters(given: object, name: str) -> dict[str, float | str]:
    """Return the parameters of a filter, by name."""
    if not isinstance(given, Mapping):
        raise wrong(given, at=f"standardize(filters[{name!r}]=", expected="parameters, such as {'kernel_size': 5}")
    parameters: dict[str, float | str] = {}
    for parameter, value in given.items():
        number, text = own_number(value), own_text(value)
        plain = text if number is None else number
        if plain is None or (text is not None and parameter in ("kernel_size", "sigma")):
            expected = "a number of pixels; only padding is a text"
            raise wrong(value, at=f"standardize(filters[{name!r}][{parameter!r}]=", expected=expected)
        parameters[parameter] = plain
    return parameters
