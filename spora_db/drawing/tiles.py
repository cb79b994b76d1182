"""One sample, large: its channels as a composite, H&E or IHC beside, masks outlined, legend and scale bar."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spora_db.drawing.batch import draw_sample, legend_of, make_entries, panels_of, shared_limits, split_samples
from spora_db.drawing.canvas import FAINT, LEGEND_ROW, MARGIN, Canvas, Picture, wrap_legend
from spora_db.drawing.captions import write_caption
from spora_db.drawing.contrast import Limits, check_limits
from spora_db.drawing.markers import spell_markers
from spora_db.drawing.overview import modality_name

GAP = 0.12  # inches between the modalities
HEAD = 0.9  # inches above the pictures


def tile(
    sample: Mapping[str, Any],
    *,
    channels: Sequence[str] | None = None,
    limits: Limits | None = None,
    mask: str | None = None,
    mpp: float | None = None,
    panel: float = 3.6,
    path: str | Path | None = None,
) -> Picture:
    """Draw one sample with its legend and a scale bar in microns.

    Parameters
    ----------
    sample
        What a dataset yields: a sample, or a mapping from modality to sample, which are drawn side by side.
    channels
        Names or accessions of at most six channels; default: well-known markers in fixed colours.
    limits
        By channel, name or accession, the levels shown black and in full colour, such as ``{"CD8a": (0, 4)}``; default:
        percentiles of the sample's pixels.
    mask
        The kind of mask to outline, one of those that `SporaQuery.with_masks` asked for. Of ``"instances"`` of a sample
        around a cell, the others are fainter than the cell.
    mpp
        Microns per pixel, for a sample without the key ``mpp``; without either no scale bar is drawn.
    panel
        Side of one picture in inches.
    path
        Where to write it, as .png, .pdf or .svg; not written by default.

    Returns
    -------
    Picture
        A matplotlib figure, which notebooks show.

    Raises
    ------
    ArgumentError
        It is no sample, or the path has another suffix.
    UnknownNameError
        A channel that the sample does not have, or a mask that it was not given.

    Examples
    --------
    >>> import numpy as np
    >>> sample = {"image": np.eye(32, dtype="float32")[None], "channel_names": ["DAPI"], "dataset": "cohort",
    ...           "tissue_id": "cohort_0001", "modality": "codex", "tile_id": 0, "row": 0, "col": 0}
    >>> figure = tile(sample, limits={"DAPI": (0, 1)}, mpp=1.0)
    """
    places = split_samples([sample])
    panels = panels_of(places)
    check_limits(limits, panels)
    entry = make_entries(places, spell_markers(channels, panels))[0]
    bounds = shared_limits([entry], limits)
    width = len(entry.samples) * (panel + GAP) - GAP
    chips = wrap_legend(legend_of(list(entry.shown)), room=width)
    page = Canvas(
        width=width + 2 * MARGIN, height=HEAD + panel + MARGIN + (0.05 + LEGEND_ROW * len(chips) if chips else 0)
    )
    write_caption(page, entry, left=MARGIN, tops=(0.25, 0.5), sizes=(11, 8.5), room=width)
    for number, (part, shown) in enumerate(zip(entry.samples, entry.shown, strict=True)):
        left = MARGIN + number * (panel + GAP)
        axes = page.axes(left, HEAD, width=panel, height=panel)
        draw_sample(axes, part, shown, bounds, mpp=part.get("mpp", mpp), mask=mask)
        if len(entry.samples) > 1:
            page.text(left, HEAD - 0.17, text=modality_name(str(part["modality"])), size=7.5, colour=FAINT)
    page.legend(MARGIN, HEAD + panel + 0.14, rows=chips)
    return page.save(path)


def sample_png(sample: Mapping[str, Any]) -> bytes | None:
    """Return a small PNG of a sample, or None of a mapping that is none, such as a batch."""
    parts = [sample] if "image" in sample else list(sample.values())
    if not parts or not all(
        isinstance(part, Mapping)
        and {"dataset", "tissue_id", "modality", "channel_names"} <= set(part)
        and len(getattr(part.get("image"), "shape", ())) == 3
        for part in parts
    ):
        return None
    return tile(sample, panel=2.6)._repr_png_()
