"""A batch taken apart for drawing: what belongs to one place, which channels are shown, and their shared contrast."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from spora_db.arrays import AnyArray, Bools, Float32, Int64
from spora_db.drawing.arguments import wrong_kind
from spora_db.drawing.canvas import scale_bar, show
from spora_db.drawing.composite import as_planes, brightfield, composite, contrast_limits
from spora_db.drawing.contrast import Limits, set_limits
from spora_db.drawing.markers import MarkerNames, PanelNames, Shown, choose_channels
from spora_db.drawing.overview import TissueView
from spora_db.errors import ArgumentError, unknown
from spora_db.layout import INSTANCES
from spora_db.layout.names import is_rgb

SampleLike = Mapping[str, Any]
TissueKey = tuple[str, str, str]
NEEDED = {"image", "dataset", "tissue_id", "modality"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One place of the sheet: the samples of one tile, marker images first, and what is shown of each."""

    samples: tuple[SampleLike, ...]
    shown: tuple[tuple[Shown, ...], ...]

    @property
    def place(self) -> tuple[str, str, int, int] | None:
        """Dataset, tissue, row and col; None for a whole tissue."""
        sample = self.samples[0]
        if sample.get("row") is None:
            return None
        return str(sample["dataset"]), str(sample["tissue_id"]), int(sample["row"]), int(sample["col"])


def split_samples(samples: Sequence[SampleLike]) -> list[list[SampleLike]]:
    """Return for every item its samples of one modality each, marker images first."""
    places = []
    for sample in samples:
        if not isinstance(sample, Mapping):
            raise wrong_kind(
                sample,
                expected="one sample",
                write="plot.tile(query.to_torch()[0]), or plot.contact_sheet(query) for several",
            )
        parts = [sample] if "image" in sample else [part for part in sample.values() if isinstance(part, Mapping)]
        for part in parts or [sample]:
            _check_sample(part)
        parts.sort(key=lambda part: is_rgb(str(part["modality"])))
        places.append(parts)
    if not places:
        raise ArgumentError("There are no samples to draw; the batch is empty.")
    return places


def _check_sample(sample: SampleLike) -> None:
    """Refuse a mapping that is no sample of one modality."""
    needed = NEEDED if is_rgb(str(sample.get("modality"))) else NEEDED | {"channel_names"}
    if not needed <= sample.keys():
        raise ArgumentError(
            f"A sample has keys {sorted(map(str, sample))}; expected {', '.join(sorted(needed))}, or one such sample "
            "per modality, as query.to_torch()[0] gives them."
        )
    if isinstance(sample["tissue_id"], list | tuple):
        raise ArgumentError(
            f"Received a batch of {len(sample['tissue_id'])} samples; expected one sample. "
            "Write plot.contact_sheet(batch)."
        )


def panels_of(places: Sequence[Sequence[SampleLike]], views: Sequence[TissueView] = ()) -> list[PanelNames]:
    """Return the panels of all marker images drawn."""
    parts = [part for place in places for part in place if not is_rgb(str(part["modality"]))]
    panels: list[PanelNames] = [(part["channel_names"], part.get("uniprot_ids")) for part in parts]
    return panels + [(view.channel_names, view.uniprot_ids) for view in views if not view.brightfield]


def make_entries(places: Sequence[Sequence[SampleLike]], markers: MarkerNames | None) -> list[Entry]:
    """Return the places of the sheet, with the channels shown of each."""

    def shown(part: SampleLike) -> tuple[Shown, ...]:
        if is_rgb(str(part["modality"])):
            return ()
        return choose_channels(part["channel_names"], part.get("uniprot_ids"), markers=markers)

    return [Entry(samples=tuple(parts), shown=tuple(map(shown, parts))) for parts in places]


def shared_limits(entries: Sequence[Entry], limits: Limits | None = None) -> dict[TissueKey, Float32]:
    """Return contrast limits per dataset, modality and channel name, so that tiles can be compared by eye.

    Parameters
    ----------
    entries
        All places of the sheet.
    limits
        Levels set by the user, which go before those of the pixels.
    """
    parts = [part for entry in entries for part in zip(entry.samples, entry.shown, strict=True)]
    planes: dict[TissueKey, list[Float32]] = {}
    for sample, shown in parts:
        for key, channel in zip(_keys(sample, shown), shown, strict=True):
            planes.setdefault(key, []).append(as_planes(sample["image"])[channel.index][None])
    found = {key: contrast_limits(images)[0] for key, images in planes.items()}
    for sample, shown in parts if limits else ():
        keys, panel = _keys(sample, shown), (sample["channel_names"], sample.get("uniprot_ids"))
        levels = np.array([found[key] for key in keys], dtype=np.float32)
        found.update(zip(keys, set_limits(levels, shown, panel, limits), strict=True))
    return found


def _keys(sample: SampleLike, shown: Sequence[Shown]) -> list[TissueKey]:
    return [(str(sample["dataset"]), str(sample["modality"]), channel.name) for channel in shown]


def legend_of(shown: Sequence[tuple[Shown, ...]]) -> list[tuple[str, str]]:
    """Return one chip per colour, with the names it has in the panels drawn."""
    names: dict[str, list[str]] = {}
    for channels in shown:
        for channel in channels:
            known = names.setdefault(channel.colour, [])
            if channel.name not in known:
                known.append(channel.name)
    return [(" / ".join(known), colour) for colour, known in names.items()]


def draw_sample(
    axes: Axes,
    sample: SampleLike,
    shown: Sequence[Shown],
    limits: Mapping[TissueKey, Float32],
    *,
    mpp: float | None,
    mask: str | None = None,
) -> tuple[int, int]:
    """Draw one sample, a composite of the channels shown or brightfield; return its height and width.

    Parameters
    ----------
    axes
        Where.
    sample, shown, limits
        What, its channels, and their contrast as `shared_limits` found it.
    mpp
        Microns per pixel, for a scale bar; None for none.
    mask
        The kind of mask to outline; None for none.
    """
    dark = not is_rgb(str(sample["modality"]))
    if dark:
        planes = as_planes(sample["image"])[[channel.index for channel in shown]]
        bounds = np.array([limits[key] for key in _keys(sample, shown)]).reshape(-1, 3)
        picture = composite(planes, [channel.colour for channel in shown], limits=bounds)
    else:
        picture = brightfield(sample["image"], spec=sample.get("spec"))
    show(axes, picture)
    height, width = picture.shape[:2]
    if mask is not None:
        _outline(axes, sample, mask)
    if mpp is not None:
        scale_bar(axes, width=width, height=height, mpp=float(mpp), dark=dark)
    return height, width


def _outline(axes: Axes, sample: Mapping[str, Any], mask: str) -> None:
    """Draw the edges of a mask's labels over a sample, fainter than those of the cell that it is of."""
    kinds = sample.get("masks", {})
    if mask not in kinds:
        raise unknown("mask", mask, kinds, where="the sample; ask for it with query.with_masks(...)")
    labels = np.asarray(kinds[mask])
    cell = sample.get("cell_id") if mask in INSTANCES else None
    meant = np.zeros(labels.shape, np.bool_) if cell is None else labels == cell
    ink = 0.0 if is_rgb(str(sample["modality"])) else 1.0
    overlay = np.full((*labels.shape, 4), ink, dtype=np.float32)
    overlay[..., 3] = (0.3 if meant.any() else 0.75) * (_edges(labels) & ~meant)
    axes.imshow(overlay, extent=(0, labels.shape[1], labels.shape[0], 0), interpolation="nearest")
    lines = LineCollection(list(_sides(meant)), colors=[(ink, ink, ink)], linewidths=1.2, capstyle="projecting")
    axes.add_collection(lines, autolim=False)


def _edges(labels: AnyArray) -> Bools:
    """Return the pixels of a label whose right or lower neighbour has another one.

    Examples
    --------
    >>> _edges(np.array([[1, 1, 2]])).tolist()
    [[False, True, False]]
    """
    edges = np.zeros(labels.shape, dtype=np.bool_)
    edges[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edges[:-1] |= labels[:-1] != labels[1:]
    return edges


def _sides(inside: Bools) -> Int64:
    """Return the sides of pixels between inside and outside: array of shape (n, 2, 2), of two ends, as col and row.

    Examples
    --------
    >>> _sides(np.array([[False, True]])).tolist()
    [[[1, 0], [2, 0]], [[1, 1], [2, 1]], [[1, 0], [1, 1]], [[2, 0], [2, 1]]]
    """
    padded = np.pad(inside, 1)
    above, beside = padded[1:, 1:-1] != padded[:-1, 1:-1], padded[1:-1, 1:] != padded[1:-1, :-1]
    ends = np.array([[[0, 0], [1, 0]], [[0, 0], [0, 1]]])
    return np.concatenate([np.argwhere(at)[:, None, ::-1] + to for at, to in zip((above, beside), ends, strict=True)])
