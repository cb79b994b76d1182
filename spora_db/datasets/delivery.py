"""From the panel as it is now to the planes of one tissue: which are read, from which page, and what they become."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from spora_db.arrays import Bools
from spora_db.datasets.live_panel import LivePanel
from spora_db.datasets.reading import PlanImages
from spora_db.errors import ArgumentError
from spora_db.samples.image_plan import ImagePlan
from spora_db.selection import ChannelKind
from spora_db.standardization.standardizer import Standardizer
from spora_db.standardization.transform import Transform, identity_transform


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Delivery:
    """What is read of the image of one tissue.

    Attributes
    ----------
    tissue_id
        The tissue.
    plan
        Pages, and their transform: that of a standardizer of ours is fused with reading.
    measured
        bool array of shape (panel,).
    loading
        bool array of shape (measured,): the C channels that are read.
    standardizer
        One of a client, which is applied to planes that are loaded already; None where there is none.
    """

    tissue_id: str
    plan: ImagePlan
    measured: Bools
    loading: Bools
    standardizer: Any

    def finished(self, planes: torch.Tensor) -> tuple[torch.Tensor, Bools]:
        """Return the planes as a standardizer of a client makes them, and which of the measured channels they are."""
        if self.standardizer is None:
            return planes, self.loading.copy()
        image, refined = self.standardizer.apply(planes, self.tissue_id, self.measured.copy(), self.loading.copy())
        loading = np.asarray(refined, np.bool_)
        if loading.shape != self.loading.shape or image.shape[0] != loading.sum() or (loading & ~self.loading).any():
            message = (
                f"standardizer.apply of tissue {self.tissue_id!r} returned planes of shape {tuple(image.shape)} and a "
                f"mask of {int(loading.sum())} of {loading.size} channels; expected a plane per true entry, of those "
                f"that were asked for."
            )
            raise ArgumentError(message)
        return torch.as_tensor(image, dtype=torch.float32), loading.copy()


def deliver(
    panel: LivePanel,
    images: PlanImages,
    standardizer: Any,  # noqa: ANN401 - ours, or any object with its method apply
    *,
    tissue_id: str,
    number: int,
    kind: ChannelKind,
    preprocess: bool,
    halo: bool,
) -> Delivery:
    """Return what is read of a tissue's image, of that number, with the panel and the standardizer as they are now."""
    reader, measured = images.reader(number), panel.measured_in(tissue_id)
    stored = images.plan.channels.of(number).channel_index.astype(np.int64)
    pages = panel.pages(measured, count=reader.shape[0], stored=stored, image=reader.path)
    loading = panel.kind(kind)[measured]
    ours = type(standardizer) is Standardizer and "apply" not in vars(standardizer)
    fused = preprocess and ours
    if fused:
        transform, loading = _standardized(standardizer, tissue_id, measured, loading)
    else:
        transform = identity_transform(int(loading.sum()))
    places = np.flatnonzero(measured)[loading].tolist()
    names, ids = panel.names(), panel.accessions()
    factory = standardizer.filter_factory if fused else None
    plan = ImagePlan(
        reader=reader,
        pages=pages[measured][loading],
        transform=transform,
        record={"tissue_id": tissue_id, "modality": images.plan.images.column("modality")[number].as_py()},
        channel_names=[names[place] for place in places],
        uniprot_ids=[ids[place] for place in places],
        uniprot=np.zeros(len(places), np.int32),
        spec="",
        filters=factory if factory is not None and factory.filters else None,
        halo=halo,
    )
    return Delivery(
        tissue_id=tissue_id, plan=plan, measured=measured, loading=loading,
        standardizer=standardizer if preprocess and not ours else None,
    )  # fmt: skip


def _standardized(
    standardizer: Standardizer, tissue_id: str, measured: Bools, loading: Bools
) -> tuple[Transform, Bools]:
    """Return the transform of the channels asked for that have usable statistics, and which these are."""
    chosen = measured.copy()
    chosen[measured] = loading
    statistics = standardizer.statistics(tissue_id, chosen)
    kept = standardizer.keep(statistics, np.ones(int(loading.sum()), np.bool_), tissue_id=tissue_id)
    refined = loading.copy()
    refined[loading] = kept
    return statistics.transform().take(kept), refined
