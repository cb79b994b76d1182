"""From the panel as it is now to the planes of one tissue: which are read, from which page, and what they become."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from spora_db.arrays import Bools, Int64, Objects
from spora_db.datasets._types import texts
from spora_db.datasets.live_panel import LivePanel
from spora_db.datasets.reading import PlanImages
from spora_db.errors import ArgumentError
from spora_db.images.base import ImageReader
from spora_db.samples.materialize import ImagePlan
from spora_db.selection import ChannelKind
from spora_db.standardization.standardizer import Standardizer
from spora_db.standardization.transform import Transform


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChannelImages:
    """The images of a multiplex dataset, with the panel and the standardizer that it has now.

    Attributes
    ----------
    panel, images, standardizer, halo
        Those of the dataset.
    """

    panel: LivePanel
    images: PlanImages
    standardizer: Any
    halo: bool

    def of(self, tissue_id: str, number: int, kind: ChannelKind) -> "ChannelImage":
        """Return the image of a tissue, with the channels of a kind."""
        reader = self.images.reader(number)
        measured = self.panel.measured_in(tissue_id)
        stored = self.images.plan.channels.of(number).channel_index.astype(np.int64)
        pages = self.panel.pages(measured, count=reader.shape[0], stored=stored, image=reader.path)
        return ChannelImage(
            tissue_id=tissue_id,
            reader=reader,
            record={"tissue_id": tissue_id, "modality": self.images.plan.images.column("modality")[number].as_py()},
            pages=pages[measured],
            measured=measured,
            loading=self.panel.kind(kind)[measured],
            names=texts(self.panel.names())[measured],
            ids=texts(self.panel.accessions())[measured],
            standardizer=self.standardizer,
            halo=self.halo,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChannelImage:
    """The image of one tissue.

    Attributes
    ----------
    tissue_id, reader, record
        Which image it is.
    pages
        int64 array of shape (measured,): the page of each measured channel.
    measured
        bool array of shape (panel,).
    loading
        bool array of shape (measured,): the channels asked for.
    names, ids
        object arrays of shape (measured,): names and accessions.
    standardizer, halo
        What the planes become.
    """

    tissue_id: str
    reader: ImageReader
    record: dict[str, Any]
    pages: Int64
    measured: Bools
    loading: Bools
    names: Objects
    ids: Objects
    standardizer: Any
    halo: bool

    def named(self, loading: Bools) -> tuple[Objects, Objects]:
        """Return names and accessions of some of the measured channels."""
        return self.names[loading], self.ids[loading]

    def delivery(self, *, preprocess: bool) -> "Delivery":
        """Return what is read: planes as they are stored, or standardized on the way by a standardizer of ours."""
        if not (preprocess and self.ours):
            zero, one = np.zeros(len(self.pages), np.float32), np.ones(len(self.pages), np.float32)
            identity = Transform(method="identity", lower=zero, upper=one, mean=zero, std=one, use_mean_std=False)
            return Delivery(
                image=self, plan=self._plan(identity.take(self.loading), self.loading), loading=self.loading
            )
        standardizer: Standardizer = self.standardizer
        chosen = self.measured.copy()
        chosen[self.measured] = self.loading
        statistics = standardizer.statistics(self.tissue_id, chosen)
        kept = np.ones(int(self.loading.sum()), np.bool_)
        if standardizer.spec.needs_statistics:
            kept = standardizer.keep(statistics, kept, tissue_id=self.tissue_id)
        loading = self.loading.copy()
        loading[self.loading] = kept
        plan = self._plan(statistics.transform().take(kept), loading, filtered=True)
        return Delivery(image=self, plan=plan, loading=loading)

    @property
    def ours(self) -> bool:
        """Whether the standardizer is one of ours, which is fused with reading; others are applied afterwards."""
        return type(self.standardizer) is Standardizer and "apply" not in vars(self.standardizer)

    def applied(self, planes: torch.Tensor) -> tuple[torch.Tensor, Bools]:
        """Return the planes as a standardizer of a client makes them, and which of the measured channels they are."""
        image, refined = self.standardizer.apply(planes, self.tissue_id, self.measured.copy(), self.loading.copy())
        loading = np.asarray(refined, np.bool_)
        if loading.shape != self.loading.shape or image.shape[0] != loading.sum() or (loading & ~self.loading).any():
            message = (
                f"standardizer.apply of tissue {self.tissue_id!r} returned planes of shape {tuple(image.shape)} and a "
                f"mask of {int(loading.sum())} of {loading.size} channels; expected a plane per true entry, of those "
                f"that were asked for."
            )
            raise ArgumentError(message)
        return torch.as_tensor(image, dtype=torch.float32), loading

    def _plan(self, transform: Transform, loading: Bools, *, filtered: bool = False) -> ImagePlan:
        factory = self.standardizer.filter_factory if filtered else None
        names, ids = self.named(loading)
        return ImagePlan(
            reader=self.reader,
            pages=self.pages[loading],
            transform=transform,
            record=self.record,
            channel_names=names.tolist(),
            uniprot_ids=ids.tolist(),
            uniprot=np.zeros(len(names), np.int32),
            spec="",
            filters=factory if factory is not None and factory.filters else None,
            halo=self.halo,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Delivery:
    """What is read of one image.

    Attributes
    ----------
    image
        The image it is of.
    plan
        Pages and transform.
    loading
        bool array of shape (measured,): the channels that are read.
    """

    image: ChannelImage
    plan: ImagePlan
    loading: Bools
