"""Multiplex images: channels chosen by kind, standardized by the statistics of their spec."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from spora_db.catalog import Catalog
from spora_db.datasets import selecting
from spora_db.datasets._types import (
    MULTIPLEX_MODALITIES,
    BoolMask,
    ModKey,
    MultiplexTissue,
    Texts,
    modality_name,
    texts,
    to_mode,
)
from spora_db.datasets.access import Place
from spora_db.datasets.base import BaseImagingDataset
from spora_db.datasets.frames import read_panel
from spora_db.errors import unknown
from spora_db.images.base import MissingChunks
from spora_db.query import SporaQuery
from spora_db.samples.materialize import ImagePlan
from spora_db.selection import ChannelKind, StandardizationChoice, StatsLevel
from spora_db.standardization.filters import PARAMETERS, FilterFactory
from spora_db.standardization.specs import parse_spec
from spora_db.standardization.standardize import usable_channels
from spora_db.standardization.standardizer import Standardizer, build_standardizer
from spora_db.standardization.tables import statistics_folder


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Recipe:
    """What is read for one tissue and kind: the chosen channels, and where they are in panel and image."""

    image: ImagePlan
    measured: BoolMask
    loading: BoolMask


class MultiplexImagingDataset(BaseImagingDataset):
    """The multiplex images of a cohort.

    Parameters
    ----------
    modality
        ``"imc"``, ``"codex"`` (or ``"phenocycler"``), ``"cycif"`` or ``"mibi"``.
    standardization
        ``"identity"``, ``"quantile_clipping/uq_0.99_image"``, ``"quantile_clipping_log1p/..."`` or a registered one.
    disable_quantile_mask
        Keep channels without usable statistics; a warning names them.
    filter_list, filter_params
        Filters run after standardization, and their parameters by name; see :class:`FilterFactory`.
    halo
        Whether filters see the pixels around a tile.
    use_mean_std
        Whether clipped values are then centred and scaled.
    quantile_level
        Level of the quantiles, for a `standardization` that does not say it.
    stats_level
        Level of means and standard deviations; by default global where they exist, else per image.
    return_uniprot_ids
        Whether tissues carry UniProt accessions.
    replace_nuclear_uniprot_ids
        Give nuclear markers the accession of histone H3 (P68431) first.
    name, path, resolution, tile_size, tile_strategy, split, label, labels_to_keep, label_modifying_fn, label_type, \
load_cell_metadata, verbose, seed, missing_chunks, catalog
        As :class:`BaseImagingDataset`.

    Attributes
    ----------
    channel_list
        DataFrame in panel order: channel_name, uniprot_id (as delivered), qc_pass, is_nuclear_marker, own columns.
    image_channel_map
        bool DataFrame: a row per tissue, a column per channel, in the order of `channel_list`.
    quality_control_mask, uniprot_mask
        bool arrays of shape (panel,): channels that pass quality control; of these, those with a UniProt accession.
    standardizer
        Applies the spec to planes that are loaded already.

    Raises
    ------
    StatisticsNotFoundError
        If the spec has no folder; one that lacks a tissue is an error when that tissue is read.
    DatasetNotFoundError, UnknownNameError, TableError
        As :class:`BaseImagingDataset`.

    Examples
    --------
    >>> MultiplexImagingDataset("cohort", path="no/such/folder", modality="imc", resolution=1.0)
    Traceback (most recent call last):
    spora_db.errors.DatasetNotFoundError: Dataset 'cohort': no folder no/such/folder. ...
    """

    VALID_MODALITIES = frozenset(MULTIPLEX_MODALITIES)
    default_kind = "uniprot_filtered"

    def __init__(
        self,
        name: str,
        *,
        modality: ModKey,
        resolution: float | str,
        standardization: str = "identity",
        path: str | os.PathLike[str] | None = None,
        tile_size: int | None = None,
        tile_strategy: str | None = None,
        disable_quantile_mask: bool = False,
        filter_list: Sequence[str] | None = None,
        filter_params: Mapping[str, Mapping[str, Any]] | None = None,
        halo: bool = False,
        use_mean_std: bool = True,
        quantile_level: StatsLevel | None = None,
        stats_level: StatsLevel | None = None,
        return_uniprot_ids: bool = True,
        replace_nuclear_uniprot_ids: bool = False,
        split: str | None = None,
        label: str | None = None,
        labels_to_keep: Sequence[Any] | None = None,
        label_modifying_fn: Callable[[Any], Any] | None = None,
        label_type: Literal["classification", "regression"] = "classification",
        load_cell_metadata: bool = False,
        verbose: bool = True,
        seed: int | None = None,
        missing_chunks: MissingChunks = "error",
        catalog: Catalog | None = None,
    ) -> None:
        if modality_name(modality) not in self.VALID_MODALITIES:
            raise unknown("multiplex modality", modality_name(modality), self.VALID_MODALITIES)
        spec = parse_spec(standardization, quantile_level=quantile_level)
        self.standardization = standardization
        self.filter_factory = FilterFactory(() if filter_list is None else list(filter_list), filter_params)
        names = [item.name for item in self.filter_factory.filters]
        parameters = [
            tuple((key, getattr(item, key)) for key in PARAMETERS[item.name]) for item in self.filter_factory.filters
        ]
        self._choice = StandardizationChoice(
            specs=((None, str(spec)),),
            stats_level=stats_level,
            use_mean_std=use_mean_std,
            disable_quantile_mask=disable_quantile_mask,
            filters=tuple(zip(names, parameters, strict=True)),
            halo=halo,
            quantile_level=spec.quantile_level,
        )
        self.return_uniprot_ids = return_uniprot_ids
        self.replace_nuclear_uniprot_ids = replace_nuclear_uniprot_ids
        super().__init__(
            name, modality=modality, resolution=resolution, path=path, tile_size=tile_size,
            tile_strategy=tile_strategy, split=split, label=label, labels_to_keep=labels_to_keep,
            label_modifying_fn=label_modifying_fn, label_type=label_type, load_cell_metadata=load_cell_metadata,
            verbose=verbose, seed=seed, missing_chunks=missing_chunks, catalog=catalog,
        )  # fmt: skip

    def get_channel_names(self, tissue_id: str, kind: str | None = None) -> Texts:
        """Return the names of a tissue's channels of a kind, before standardization drops any.

        Returns
        -------
        object array of shape (C,), in panel order
        """
        return texts(self.channel_list["channel_name"][self._chosen(tissue_id, kind)].tolist())

    def get_uniprot_ids(self, tissue_id: str, kind: str | None = None) -> Texts | None:
        """Return the accessions of a tissue's channels of a kind, None where a channel has none.

        Returns
        -------
        object array of shape (C,), in panel order; None with ``return_uniprot_ids=False``
        """
        chosen = self.channel_list["uniprot_id"][self._chosen(tissue_id, kind)]
        return texts(chosen.tolist()) if self.return_uniprot_ids else None

    def _chosen(self, tissue_id: str, kind: str | None) -> BoolMask:
        """Return the measured channels of a kind, bool of shape (panel,)."""
        tissue_id = str(tissue_id)
        if tissue_id not in self.image_channel_map.index:
            raise unknown("tissue", tissue_id, self.image_channel_map.index, where="channels_per_tissue.parquet")
        return self._kinds[self._kind(kind)] & self.image_channel_map.loc[tissue_id].to_numpy(np.bool_)

    def _read_panel(self, catalog: Catalog) -> StandardizationChoice:
        folder = self.path / self.modality.canonical_dir
        panel = read_panel(catalog, self.modality.name, folder, replace_nuclear=self.replace_nuclear_uniprot_ids)
        self.channel_list, self.image_channel_map, self._kinds = panel.channels, panel.measured, panel.kinds
        self.quality_control_mask = panel.kinds["qc_filtered"]
        self.uniprot_mask = panel.kinds["uniprot_filtered"]
        choice = self._choice
        self.standardizer: Standardizer = build_standardizer(
            standardization=choice.parsed(self.modality.name),
            modality_dir=folder / self.resolution,
            channels_per_image=self.image_channel_map,
            disable_quantile_mask=choice.disable_quantile_mask,
            filter_factory=self.filter_factory if self.filter_factory.filters else None,
            stats_level=choice.stats_level,
            use_mean_std=choice.use_mean_std,
            verbose=self.verbose,
        )
        if self.standardizer.spec.needs_statistics:
            place = statistics_folder(self.standardizer.folder, self.standardizer.spec)
            self._choice = replace(choice, specs=((None, f"{place.parent.name}/{place.name}"),))
        return self._choice

    def _standardized(self, query: SporaQuery, kind: ChannelKind) -> SporaQuery:
        query = query.channels(kind=kind, replace_nuclear_uniprot_ids=self.replace_nuclear_uniprot_ids)
        return replace(query, selection=replace(query.selection, standardization=self._choice))

    def _plan_query(self) -> SporaQuery:
        measured = selecting.listed_in("channels_per_tissue", modality=self.modality.name)
        return self._standardized(super()._plan_query().where(measured), "complete")

    def _deliver(
        self, tissue_id: str, *, kind: str | None, preprocess: bool, image_mode: str, place: Place | None = None
    ) -> MultiplexTissue:
        recipe = self._recipe(tissue_id, self._kind(kind), preprocess=preprocess)
        return MultiplexTissue(
            image=to_mode(self._read(recipe.image, place), image_mode),
            tissue_id=tissue_id,
            kind="tissue" if place is None else "tile",
            measured_mask=recipe.measured.copy(),
            image_loading_mask=recipe.loading.copy(),
            channel_names=texts(recipe.image.channel_names),
            uniprot_ids=texts(recipe.image.uniprot_ids) if self.return_uniprot_ids else None,
        )

    def _recipe(self, tissue_id: str, kind: ChannelKind, *, preprocess: bool) -> _Recipe:
        """Return what is read for a tissue, made once per kind and version of its file."""
        number, source = self._image(tissue_id)
        key = (number, kind, preprocess)
        known = self._recipes.get(key)
        if known is None or known[0] is not source:
            measured = self.image_channel_map.loc[tissue_id].to_numpy(np.bool_)
            loading = self._kinds[kind][measured]
            if preprocess:
                loading = self._standardizable(number, tissue_id, measured, loading)
            image = source.take(loading)
            recipe = _Recipe(image=image if preprocess else image.raw(), measured=measured, loading=loading)
            known = self._remember(key, source, recipe)
        found: _Recipe = known[1]
        return found

    def _standardizable(self, number: int, tissue_id: str, measured: BoolMask, loading: BoolMask) -> BoolMask:
        """Return `loading` without the channels whose statistics cannot standardize them; unknown ones are an error."""
        spec, plan = self.standardizer.spec, self._images.plan
        if not spec.needs_statistics:
            return loading
        channels = plan.channels.of(number)
        usable = usable_channels(
            None if spec.lower is None else channels.lower,
            channels.upper,
            channels.mean,
            channels.std,
            use_mean_std=self.standardizer.use_mean_std,
            method=spec.method,
        )
        if (loading & ~usable).any():
            chosen = measured.copy()
            chosen[measured] = loading
            statistics = self.standardizer.statistics(tissue_id, chosen)  # an error where no table knows them
            self.standardizer.keep(statistics, np.ones(int(loading.sum()), np.bool_), tissue_id=tissue_id)
        return loading if self.standardizer.disable_quantile_mask else loading & usable

    def _refine_channel_metadata(
        self, image_loading_mask: BoolMask, channel_names: Texts, uniprot_ids: Texts | None, refined_mask: BoolMask
    ) -> tuple[BoolMask, Texts, Texts | None]:
        """Return names and accessions that stay after `standardizer.apply` narrowed a loading mask."""
        kept = refined_mask[image_loading_mask]
        return refined_mask, channel_names[kept], None if uniprot_ids is None else uniprot_ids[kept]
