"""The panel of a multiplex dataset as attributes that may be edited, and the names that follow from it."""

from typing import Any, TypeAlias

import numpy.typing as npt
import pandas as pd

from spora_db.arrays import Bools, Objects
from spora_db.datasets._types import texts
from spora_db.datasets.base import BaseImagingDataset
from spora_db.datasets.live_panel import LivePanel
from spora_db.errors import ArgumentError
from spora_db.selection import ChannelKind
from spora_db.standardization.filters import FilterFactory

ChannelMask: TypeAlias = npt.ArrayLike | None

_KIND_MASKS: dict[str, ChannelKind] = {
    "measured_mask": "complete", "qc_mask": "qc_filtered", "filtered_mask": "uniprot_filtered",
}  # fmt: skip


class PanelAccess(BaseImagingDataset):
    """The attributes of the panel; part of :class:`MultiplexImagingDataset`, which reads it."""

    return_uniprot_ids: bool
    _panel: LivePanel
    _standardizer: Any

    @property
    def channel_list(self) -> pd.DataFrame:
        """The channels in panel order: channel_name, uniprot_id, qc_pass, ...; edits are delivered."""
        return self._lent("channels").channels

    @channel_list.setter
    def channel_list(self, channels: pd.DataFrame) -> None:
        if not isinstance(channels, pd.DataFrame):
            message = f"channel_list must be a DataFrame with a row per channel of the panel; got {channels!r}."
            raise ArgumentError(message)
        self._panel.names(channels)
        self._lent("channels").channels = channels

    @property
    def image_channel_map(self) -> pd.DataFrame:
        """Which channels were measured in which tissue; edits are delivered."""
        return self._lent("measured").measured

    @image_channel_map.setter
    def image_channel_map(self, measured: pd.DataFrame) -> None:
        if not isinstance(measured, pd.DataFrame):
            message = f"image_channel_map must be a DataFrame by tissue with a column per channel; got {measured!r}."
            raise ArgumentError(message)
        self._lent("measured").measured = measured

    @property
    def quality_control_mask(self) -> Bools:
        """Which channels of the panel pass quality control; edits are delivered."""
        return self._panel.qc_mask

    @quality_control_mask.setter
    def quality_control_mask(self, mask: npt.ArrayLike) -> None:
        self._panel.qc_mask = mask

    @property
    def uniprot_mask(self) -> Bools:
        """Which channels of the panel have a UniProt accession, quality control or not; edits are delivered."""
        return self._panel.uniprot_mask

    @uniprot_mask.setter
    def uniprot_mask(self, mask: npt.ArrayLike) -> None:
        self._panel.uniprot_mask = mask

    @property
    def standardizer(self) -> Any:  # noqa: ANN401 - ours, or any object with its method apply
        """Applies the spec to planes that are loaded already; an object of one's own may take its place."""
        self._lent("standardizer")
        return self._standardizer

    @standardizer.setter
    def standardizer(self, standardizer: Any) -> None:  # noqa: ANN401
        if not callable(getattr(standardizer, "apply", None)):
            message = (
                f"A standardizer has a method apply(x, tissue_id, measured_mask, selected_mask); got {standardizer!r}."
            )
            raise ArgumentError(message)
        self._lent("standardizer")
        self._standardizer = standardizer

    @property
    def filter_factory(self) -> FilterFactory:
        """The filters that `standardizer` runs afterwards."""
        found: FilterFactory | None = getattr(self._standardizer, "filter_factory", None)
        return FilterFactory(()) if found is None else found

    @filter_factory.setter
    def filter_factory(self, filters: FilterFactory | None) -> None:
        if not hasattr(self._standardizer, "filter_factory"):
            message = (
                f"The standardizer {type(self._standardizer).__name__} that was assigned has no filter_factory: it "
                "would run no filters. Run them in its method apply, or assign one of build_standardizer."
            )
            raise ArgumentError(message)
        self.standardizer.filter_factory = filters

    def _lent(self, what: str) -> LivePanel:
        """Return the panel, a part of which is looked at again from now on: a client holds it and may edit it."""
        self._panel.lent.add(what)
        return self._panel

    def get_channel_names(
        self, tissue_id: str, kind: str = "complete", measured_mask: ChannelMask = None, qc_mask: ChannelMask = None,
        filtered_mask: ChannelMask = None,
    ) -> Objects:  # fmt: skip
        """Return the names of a tissue's channels of a kind, before standardization drops any.

        Parameters
        ----------
        tissue_id
            The tissue.
        kind
            Which channels, as `get_tissue`.
        measured_mask, qc_mask, filtered_mask
            bool arrays of shape (panel,): the channels of ``"complete"``, ``"qc_filtered"`` and ``"uniprot_filtered"``
            where these are known already; the first is narrowed down for the other two.

        Returns
        -------
        object array of shape (C,), in panel order

        See Also
        --------
        MultiplexImagingDataset.get_uniprot_ids

        Examples
        --------
        >>> from spora_db import MultiplexImagingDataset
        >>> imc = MultiplexImagingDataset("lung_imc", path="lake/lung_imc", modality="imc", resolution=1, tile_size=128)
        >>> imc.get_channel_names("lung_imc_l001_0001")[:3].tolist()
        ['DNA1', 'DNA2', 'Histone H3']
        """
        chosen = self._chosen(tissue_id, kind, (measured_mask, qc_mask, filtered_mask))
        return texts(self._panel.names())[chosen]

    def get_uniprot_ids(
        self, tissue_id: str, kind: str = "complete", measured_mask: ChannelMask = None, qc_mask: ChannelMask = None,
        filtered_mask: ChannelMask = None,
    ) -> Objects | None:  # fmt: skip
        """Return the accessions of a tissue's channels of a kind, None where a channel has none.

        Parameters
        ----------
        tissue_id, kind, measured_mask, qc_mask, filtered_mask
            As `get_channel_names`.

        Returns
        -------
        object array of shape (C,), in panel order; None with ``return_uniprot_ids=False``

        See Also
        --------
        MultiplexImagingDataset.get_channel_names

        Examples
        --------
        >>> from spora_db import MultiplexImagingDataset
        >>> imc = MultiplexImagingDataset("lung_imc", path="lake/lung_imc", modality="imc", resolution=1, tile_size=128)
        >>> imc.get_uniprot_ids("lung_imc_l001_0001")[:3].tolist()
        [None, None, 'P68431']
        """
        chosen = self._chosen(tissue_id, kind, (measured_mask, qc_mask, filtered_mask))
        return texts(self._panel.accessions())[chosen] if self.return_uniprot_ids else None

    def _chosen(self, tissue_id: str, kind: str, known: tuple[ChannelMask, ChannelMask, ChannelMask]) -> Bools:
        """Return the measured channels of a kind, bool of shape (panel,)."""
        wanted = self._kind(kind or "complete")
        for mask, (name, of_kind) in zip(known, _KIND_MASKS.items(), strict=True):
            if mask is not None and wanted == of_kind:
                return self._panel.mask(mask, name)
        measured, passed, _ = known
        if wanted == "uniprot_filtered" and passed is not None:
            return self._panel.mask(passed, "qc_mask") & self._panel.uniprot_mask
        given = self._panel.measured_in(str(tissue_id)) if measured is None else self._panel.mask(measured, "measured")
        return self._panel.kind(wanted) & given
