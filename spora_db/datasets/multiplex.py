"""Multiplex images: channels chosen by kind, standardized by the statistics of their spec."""

import copy
import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

from spora_db.arrays import Bools, Objects
from spora_db.catalog import Catalog
from spora_db.datasets._types import MultiplexTissue, texts, to_mode
from spora_db.datasets.base import BaseImagingDataset
from spora_db.datasets.delivery import Delivery, deliver
from spora_db.datasets.frames import read_panel
from spora_db.datasets.live_panel import LivePanel
from spora_db.datasets.modalities import ModKey, modality_name
from spora_db.datasets.panel_access import PanelAccess
from spora_db.datasets.queries import measured
from spora_db.datasets.standardization_choices import choice_of
from spora_db.datasets.tissue_access import Region
from spora_db.errors import ArgumentError, unknown
from spora_db.images.base import MissingChunks
from spora_db.layout import MULTIPLEX_MODALITIES, beneath
from spora_db.samples.materialize import REMEMBERED
from spora_db.selection import ChannelChoice, ChannelKind, Selection, StatsLevel
from spora_db.standardization.filters import FilterFactory
from spora_db.standardization.specs import parse_spec
from spora_db.standardization.standardizer import Standardizer, build_standardizer


class MultiplexImagingDataset(PanelAccess):
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
        bool arrays of shape (panel,): channels that pass quality control; channels that have a UniProt accession,
        quality control or not. Each follows `channel_list` where that was edited.
    standardizer
        Applies the spec to planes that are loaded already. Any object whose ``apply(x, tissue_id, measured_mask,
        selected_mask)`` returns an image and a mask may take its place.

    Raises
    ------
    StatisticsNotFoundError
        If the spec has no folder; one that lacks a tissue is an error when that tissue is read.
    DatasetNotFoundError, UnknownNameError, TableError
        As :class:`BaseImagingDataset`.

    See Also
    --------
    HEImagingDataset, SporaDataset, SporaQuery

    Examples
    --------
    >>> MultiplexImagingDataset("cohort", path="no/such/folder", modality="imc", resolution=1.0)
    Traceback (most recent call last):
    spora_db.errors.DatasetNotFoundError: Dataset 'cohort': no folder no/such/folder. ...
    """

    VALID_MODALITIES = frozenset(MULTIPLEX_MODALITIES)
    default_kind = "uniprot_filtered"
    _settled: ClassVar = {
        **BaseImagingDataset._settled,
        "standardization": "Assign a `standardizer`, or make another dataset with it.",
        "replace_nuclear_uniprot_ids": "Edit channel_list['uniprot_id'], or make another dataset with it.",
    }

    def __init__(
        self,
        name: str,
        modality: ModKey,
        standardization: str = "identity",
        resolution: float | str | None = None,
        path: str | os.PathLike[str] | None = None,
        tile_size: int | None = None,
        verbose: bool = True,  # noqa: FBT001, FBT002 - the published order
        load_cell_metadata: bool = False,  # noqa: FBT001, FBT002
        disable_quantile_mask: bool = False,  # noqa: FBT001, FBT002
        filter_list: Sequence[str] | None = None,
        use_mean_std: bool = True,  # noqa: FBT001, FBT002
        return_uniprot_ids: bool = True,  # noqa: FBT001, FBT002
        replace_nuclear_uniprot_ids: bool = False,  # noqa: FBT001, FBT002
        tile_strategy: str | None = None,
        split: str | None = None,
        *,
        filter_params: Mapping[str, Mapping[str, Any]] | None = None,
        halo: bool = False,
        quantile_level: StatsLevel | None = None,
        stats_level: StatsLevel | None = None,
        label: str | None = None,
        labels_to_keep: Sequence[Any] | None = None,
        label_modifying_fn: Callable[[Any], Any] | None = None,
        label_type: Literal["classification", "regression"] = "classification",
        seed: int | None = None,
        missing_chunks: MissingChunks = "error",
        catalog: Catalog | None = None,
    ) -> None:
        if resolution is None:
            message = f"MultiplexImagingDataset({name!r}) needs resolution=, in microns per pixel."
            raise ArgumentError(message)
        if modality_name(modality) not in self.VALID_MODALITIES:
            raise unknown("multiplex modality", modality_name(modality), self.VALID_MODALITIES)
        self.standardization, self.return_uniprot_ids = standardization, return_uniprot_ids
        self.replace_nuclear_uniprot_ids, self.halo = replace_nuclear_uniprot_ids, halo
        filters = FilterFactory(() if filter_list is None else list(filter_list), filter_params)
        self._options: dict[str, Any] = {
            "standardization": parse_spec(standardization, quantile_level=quantile_level),
            "disable_quantile_mask": disable_quantile_mask, "stats_level": stats_level, "use_mean_std": use_mean_std,
            "filter_factory": filters,
        }  # fmt: skip
        super().__init__(
            name, modality, resolution, path=path, tile_size=tile_size, tile_strategy=tile_strategy, split=split,
            load_cell_metadata=load_cell_metadata, verbose=verbose, label=label, labels_to_keep=labels_to_keep,
            label_modifying_fn=label_modifying_fn, label_type=label_type, seed=seed, missing_chunks=missing_chunks,
            catalog=catalog,
        )  # fmt: skip

    def _read_panel(self, catalog: Catalog) -> None:
        folder = beneath(self.path, self.modality.canonical_dir)
        nuclear = self.replace_nuclear_uniprot_ids
        self._panel = LivePanel(*read_panel(catalog, self.modality.name, folder, replace_nuclear=nuclear))
        self._remembered: dict[Hashable, tuple[tuple[object, ...], Delivery]] = {}
        self._standardizer: Any = build_standardizer(
            modality_dir=beneath(folder, self.resolution), channels_per_image=self._panel.measured,
            verbose=self.verbose, **self._options,
        )  # fmt: skip

    def _standardized(self, selection: Selection, kind: ChannelKind) -> Selection:
        channels = ChannelChoice(kind=kind, replace_nuclear=self.replace_nuclear_uniprot_ids)
        return replace(selection, channels=channels, standardization=choice_of(self._standardizer, halo=self.halo))

    def _facts(self) -> dict[str, object]:
        standardizer, own = self._standardizer, f"{self.modality.canonical_dir}/{self.resolution}/standardization"
        known = type(standardizer) is Standardizer and standardizer.folder == beneath(self.path, own)
        return {**super()._facts(), **self._panel.facts(), "standardizer": known and not standardizer.edited}

    def _whole_images(self) -> Selection:
        return replace(super()._whole_images(), conditions=(measured(self.modality.name),))

    def _deliver(
        self, tissue_id: str, *, kind: str | None, preprocess: bool, image_mode: str, region: Region | None = None
    ) -> MultiplexTissue:
        found = self._delivery(tissue_id, self._kind(kind), preprocess=preprocess)
        image, loading = found.finished(self._read(found.plan, region))
        kept = loading[found.loading]
        return MultiplexTissue(
            image=to_mode(image, image_mode),
            tissue_id=tissue_id,
            kind="tissue" if region is None else "tile",
            measured_mask=found.measured.copy(),
            image_loading_mask=loading,
            channel_names=texts(found.plan.channel_names)[kept],
            uniprot_ids=texts(found.plan.uniprot_ids)[kept] if self.return_uniprot_ids else None,
        )

    def _delivery(self, tissue_id: str, kind: ChannelKind, *, preprocess: bool) -> Delivery:
        """Return what is read for a tissue: remembered as long as nothing that a client may edit has changed."""
        number = self._number(tissue_id)
        key, reader = (number, kind, preprocess, self.halo), self._images.reader(number)
        then, known = self._remembered.get(key, (None, None))
        if known is not None and known.plan.reader is reader and then == self._state(tissue_id):
            return known
        known = deliver(
            self._panel, self._images, self._standardizer, tissue_id=tissue_id, number=number, kind=kind,
            preprocess=preprocess, halo=self.halo,
        )  # fmt: skip
        self._remembered.pop(key, None)
        if (state := self._state(tissue_id)) is not None:  # after the masks have followed the table
            while len(self._remembered) >= REMEMBERED:
                self._remembered.pop(next(iter(self._remembered)))
            self._remembered[key] = state, known
        return known

    def _state(self, tissue_id: str) -> tuple[object, ...] | None:
        """Return what says whether something remembered holds; None where nothing may be remembered."""
        panel, standardizer = self._panel.state(tissue_id), self._standardizer
        if "standardizer" not in self._panel.lent:
            return panel
        choices = standardizer.choices if type(standardizer) is Standardizer else ()
        return None if choices is None else (*panel, id(standardizer), choices)

    def __getstate__(self) -> dict[str, Any]:
        """Hand over a panel and a standardizer of their own, and leave to others what they find themselves."""
        standardizer = self._standardizer
        own = {
            "_panel": copy.deepcopy(self._panel),  # its tables too: what is remembered knows of no edit by a copy
            "_standardizer": copy.copy(standardizer) if type(standardizer) is Standardizer else standardizer,
        }
        return {**super().__getstate__(), **own, "_remembered": {}}

    def _refine_channel_metadata(
        self, image_loading_mask: Bools, channel_names: Objects, uniprot_ids: Objects | None, refined_mask: Bools
    ) -> tuple[Bools, Objects, Objects | None]:
        """Return names and accessions that stay after `standardizer.apply` narrowed a loading mask."""
        kept = refined_mask[image_loading_mask]
        return refined_mask, channel_names[kept], None if uniprot_ids is None else uniprot_ids[kept]
