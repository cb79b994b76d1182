"""The channels of a plan: per panel a list of channels, per image a row that says which of them it delivers, and how.

As one entry per image and channel, 35,000 images of 143 channels took 160 MB; as rows of a panel they take 10 MB, and
20 MB more for each statistic that the spec uses.
"""

from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from spora_db.arrays import AnyArray, Bools, Float32, Int32, Int64, IntP, SignedInts

NOT_DELIVERED = -1
STATISTICS = ("lower", "upper", "mean", "std")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelEntries:
    """Delivered channels, in the order of the panel: those of one image, or of all images one after the other.

    Attributes
    ----------
    image
        int32 array: number of the image.
    name, uniprot
        int32 arrays: codes into ``Plan.channel_names`` and ``Plan.uniprot_ids`` (-1 for none).
    page
        int32 array: the plane, if the image holds exactly the measured channels.
    channel_index
        int32 array: the plane, if the image holds the full panel.
    lower, upper, mean, std
        float32 arrays: the statistics of the spec; NaN where it uses none.
    """

    image: Int32
    name: Int32
    uniprot: Int32
    page: Int32
    channel_index: Int32
    lower: Float32
    upper: Float32
    mean: Float32
    std: Float32


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPanel:
    """The images of one panel, which are consecutive in the plan, and the channels that any of them delivers.

    Attributes
    ----------
    first
        Number of the first image; the images of a panel are `first` to ``first + len(panel)``.
    channel_index
        int32 array of shape (channels,): position in the full panel.
    name, uniprot
        int32 arrays of shape (channels,): codes into ``Plan.channel_names`` and ``Plan.uniprot_ids`` (-1 for none).
    page
        Integer array of shape (images, channels): position among the measured channels; -1 where not delivered.
    lower, upper, mean, std
        float32 arrays of shape (images, channels), NaN where not delivered; None where the spec uses none.
    """

    first: int
    channel_index: Int32
    name: Int32
    uniprot: Int32
    page: SignedInts
    lower: Float32 | None = None
    upper: Float32 | None = None
    mean: Float32 | None = None
    std: Float32 | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.page)

    @property
    def delivered(self) -> Bools:
        """Which image delivers which channel: bool array of shape (images, channels)."""
        return cast(Bools, self.page != NOT_DELIVERED)

    @property
    def used(self) -> tuple[str, ...]:
        """Names of the statistics that the spec uses."""
        return tuple(name for name in STATISTICS if getattr(self, name) is not None)

    @property
    def arrays(self) -> tuple[AnyArray, ...]:
        """Every array that there is, in a fixed order."""
        return tuple(getattr(self, name) for name in ("channel_index", "name", "uniprot", "page", *self.used))

    def narrowed(self, delivered: Bools) -> "PlanPanel":
        """Return the panel with only what is `delivered` (images, channels); channels that no image delivers go."""
        kept = np.flatnonzero(delivered.any(axis=0))

        def taken(array: Float32 | None) -> Float32 | None:
            return None if array is None else np.where(delivered[:, kept], array[:, kept], np.float32(np.nan))

        return replace(
            self,
            channel_index=self.channel_index[kept],
            name=self.name[kept],
            uniprot=self.uniprot[kept],
            page=np.where(delivered[:, kept], self.page[:, kept], self.page.dtype.type(NOT_DELIVERED)),
            lower=taken(self.lower),
            upper=taken(self.upper),
            mean=taken(self.mean),
            std=taken(self.std),
        )

    def entries(self, rows: IntP, channels: IntP) -> ChannelEntries:
        """Return the entries at places of the table, as `numpy.nonzero` gives them."""
        values = {name: getattr(self, name) for name in STATISTICS}
        nothing = np.full(len(channels), np.nan, np.float32)
        return ChannelEntries(
            image=(rows + self.first).astype(np.int32),
            name=self.name[channels],
            uniprot=self.uniprot[channels],
            page=self.page[rows, channels].astype(np.int32),
            channel_index=self.channel_index[channels],
            **{name: nothing if array is None else array[rows, channels] for name, array in values.items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanChannels:
    """The delivered channels of every image.

    Attributes
    ----------
    panels
        The panels, in the order of their images; every image belongs to one.
    offsets
        int64 array of shape (images + 1,): image ``i`` delivers ``offsets[i + 1] - offsets[i]`` channels.
    """

    panels: tuple[PlanPanel, ...]
    offsets: Int64

    @classmethod
    def of_panels(cls, panels: tuple[PlanPanel, ...]) -> "PlanChannels":
        """Return the channels of panels, counted."""
        counts = [panel.delivered.sum(axis=1, dtype=np.int64) for panel in panels]
        return cls(panels=panels, offsets=np.cumsum(np.concatenate([np.zeros(1, np.int64), *counts])))

    def panel(self, image: int) -> PlanPanel:
        """Return the panel that an image belongs to."""
        return self.panels[bisect_right(self.panels, image, key=lambda panel: panel.first) - 1]

    def of(self, image: int) -> ChannelEntries:
        """Return the channels of one image, in the order in which they are delivered."""
        panel = self.panel(image)
        channels = np.flatnonzero(panel.page[image - panel.first] != NOT_DELIVERED)
        return panel.entries(np.full(len(channels), image - panel.first), channels)

    def entries(self) -> ChannelEntries:
        """Return the channels of all images: 36 bytes for each that is delivered."""
        parts = [panel.entries(*np.nonzero(panel.delivered)) for panel in self.panels]
        arrays = {
            name: np.concatenate([getattr(part, name) for part in parts] or [np.empty(0, dtype)])
            for name, dtype in _DTYPES.items()
        }
        return ChannelEntries(**arrays)


_INTEGERS = ("image", "name", "uniprot", "page", "channel_index")
_DTYPES = dict.fromkeys(_INTEGERS, np.int32) | dict.fromkeys(STATISTICS, np.float32)
