"""Many tiles in one picture: the contact sheet of a batch, and the sheet that shows where its tiles come from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spora_db.drawing.arguments import wrong_kind
from spora_db.drawing.batch import (
    Entry,
    SampleLike,
    draw_sample,
    legend_of,
    make_entries,
    panels_of,
    shared_limits,
    split_samples,
)
from spora_db.drawing.canvas import FAINT, LEGEND_ROW, MARGIN, Canvas, Picture, badge, picture_format, wrap_legend
from spora_db.drawing.captions import Heading, write_caption
from spora_db.drawing.contrast import Limits, check_limits
from spora_db.drawing.markers import spell_markers
from spora_db.drawing.overview import TissueView, check_view, draw_tissue, modality_name
from spora_db.errors import ArgumentError, counted
from spora_db.plot.sources import samples_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from spora_db.loading.dataset import PlanDataset
    from spora_db.query import SporaQuery

GAP = 0.06  # inches between the modalities of one tile
SPACE = 0.24  # inches between tiles
CAPTION = 0.44  # inches below a tile
ROW_SPACE = 0.12  # inches between rows of tiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Sizes in inches of a block of tiles."""

    columns: int
    rows: int
    panels: int
    panel: float

    @property
    def entry(self) -> float:
        """Width of one tile with all its modalities."""
        return self.panels * self.panel + (self.panels - 1) * GAP

    @property
    def width(self) -> float:
        """Width of the block."""
        return self.columns * self.entry + (self.columns - 1) * SPACE

    @property
    def height(self) -> float:
        """Height of the block."""
        return self.rows * (self.panel + CAPTION) + (self.rows - 1) * ROW_SPACE


def _grid(entries: Sequence[Entry], *, columns: int | None, panel: float, aspect: float) -> Grid:
    """Choose the number of columns that comes near to the aspect (width by height) and leaves few places empty."""
    panels = max(len(entry.samples) for entry in entries)
    count = len(entries)

    def cost(candidate: int) -> float:
        rows = -(-count // candidate)
        wide, tall = candidate * (panels * panel + SPACE), rows * (panel + CAPTION + ROW_SPACE)
        return abs(math.log(wide / tall / aspect)) + 1.5 * (rows * candidate - count) / (rows * candidate)

    best = min(range(1, count + 1), key=cost) if columns is None else max(1, min(columns, count))
    return Grid(columns=best, rows=-(-count // best), panels=panels, panel=panel)


def _draw_entries(
    page: Canvas,
    entries: Sequence[Entry],
    grid: Grid,
    *,
    top: float,
    mpp: float | None,
    numbered: bool,
    limits: Limits | None,
    mask: str | None,
) -> None:
    found = shared_limits(entries, limits)
    for number, entry in enumerate(entries):
        row, column = divmod(number, grid.columns)
        left = MARGIN + column * (grid.entry + SPACE)
        upper = top + row * (grid.panel + CAPTION + ROW_SPACE)
        for position, (sample, shown) in enumerate(zip(entry.samples, entry.shown, strict=True)):
            axes = page.axes(left + position * (grid.panel + GAP), upper, width=grid.panel, height=grid.panel)
            scale = sample.get("mpp", mpp) if position == 0 else None
            height, width = draw_sample(axes, sample, shown, found, mpp=scale, mask=mask)
            if numbered and position == 0:
                badge(axes, row=0.035 * height, col=0.035 * width, text=str(number + 1))
        below = upper + grid.panel
        write_caption(page, entry, left=left, tops=(below + 0.06, below + 0.21), sizes=(7.5, 6.8), room=grid.entry)


def contact_sheet(
    samples: "SporaQuery | PlanDataset | Mapping[str, Any] | Sequence[SampleLike]",
    *,
    count: int | None = None,
    channels: Sequence[str] | None = None,
    limits: Limits | None = None,
    mask: str | None = None,
    columns: int | None = None,
    title: str | None = None,
    subtitle: str | None = None,
    mpp: float | None = None,
    panel: float = 1.75,
    path: str | Path | None = None,
) -> Picture:
    """Draw a batch: every tile as a marker composite with H&E or IHC beside it, captions and a legend.

    Parameters
    ----------
    samples
        A query, of which 12 rows are loaded, taken evenly from the first to the last; its dataset; a batch that a
        collate made; or items of a dataset, each a sample or a mapping from modality to sample.
    count
        How many to draw, where not all of a batch, or 12 of a query.
    channels
        Names or accessions of at most six channels; default: well-known markers in fixed colours.
    limits
        By channel, name or accession, the levels shown black and in full colour; default: percentiles over all tiles of
        a channel in its dataset, so that tiles of one cohort can be compared.
    mask
        The kind of mask to outline, as for :func:`tile`.
    columns
        Tiles per row; default: what makes a page of usual proportions.
    title, subtitle
        Lines above the tiles.
    mpp
        Microns per pixel, for samples without the key ``mpp``; without either no scale bar is drawn.
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
        The batch is empty, an item is not a sample, or the path has another suffix.
    UnknownNameError
        A channel or a mask that the samples do not have.
    QueryError
        The query selects no rows.

    Examples
    --------
    >>> import numpy as np
    >>> sample = {"image": np.eye(32, dtype="float32")[None], "channel_names": ["DAPI"], "dataset": "cohort",
    ...           "tissue_id": "cohort_0001", "modality": "codex", "tile_id": 0, "row": 0, "col": 0}
    >>> figure = contact_sheet([sample, sample], title="Two tiles", mpp=1.0)
    """
    picture_format(path)
    places = split_samples(samples_of(samples, count=count))
    check_limits(limits, panels_of(places))
    entries = make_entries(places, spell_markers(channels, panels_of(places)))
    grid = _grid(entries, columns=columns, panel=panel, aspect=1.5)
    width = max(grid.width, 3.6)
    heading = Heading.of(title, subtitle, room=width)
    head = heading.height
    chips = wrap_legend(legend_of([shown for entry in entries for shown in entry.shown]), room=width)
    foot = MARGIN + (0.05 + LEGEND_ROW * len(chips) if chips else 0)
    page = Canvas(width=width + 2 * MARGIN, height=head + grid.height + foot)
    heading.draw(page)
    _draw_entries(page, entries, grid, top=head, mpp=mpp, numbered=False, limits=limits, mask=mask)
    page.legend(MARGIN, head + grid.height + 0.1, rows=chips)
    return page.save(path)


def cohort_sheet(
    samples: "SporaQuery | PlanDataset | Mapping[str, Any] | Sequence[SampleLike]",
    tissues: Sequence[TissueView],
    *,
    channels: Sequence[str] | None = None,
    mask: str | None = None,
    columns: int | None = None,
    title: str | None = None,
    subtitle: str | None = None,
    mpp: float | None = None,
    panel: float = 1.75,
    path: str | Path | None = None,
) -> Picture:
    """Draw a batch below overviews of tissues, in which its tiles are outlined and numbered.

    Parameters
    ----------
    samples
        As for :func:`contact_sheet`; tiles are numbered from 1.
    tissues
        The tissues to draw. Those that hold tiles of the batch show where.
    channels, mask, columns, title, subtitle, mpp, panel, path
        As for :func:`contact_sheet`.

    Returns
    -------
    Picture
        A matplotlib figure, which notebooks show.

    Raises
    ------
    ArgumentError
        The batch or the list of tissues is empty, or an item is not a sample.
    """
    if not isinstance(tissues, Sequence):
        raise wrong_kind(
            tissues, expected="a list of TissueViews", write="plot.cohort_sheet(samples, [plot.tissue_view(query)])"
        )
    if not tissues:
        raise ArgumentError("There are no tissues to draw; use contact_sheet for tiles alone.")
    for view in tissues:
        check_view(view)
    places = split_samples(samples_of(samples))
    markers = spell_markers(channels, panels_of(places, tissues))
    entries = make_entries(places, markers)
    grid = _grid(entries, columns=columns, panel=panel, aspect=2.6)
    width = max(grid.width, 6.0)
    heading = Heading.of(title, subtitle, room=width)
    head = heading.height
    # All overviews of the row get the same height and fill the width together.
    ratios = [view.width / view.height for view in tissues]
    tall = min((width - SPACE * (len(tissues) - 1)) / sum(ratios), 4.2)
    drawn = [shown for entry in entries for shown in entry.shown] + [view.shown(markers) for view in tissues]
    chips = wrap_legend(legend_of(drawn), room=width)
    below = head + tall + CAPTION + 0.25 + LEGEND_ROW * len(chips)
    page = Canvas(width=width + 2 * MARGIN, height=below + grid.height + MARGIN)
    heading.draw(page)
    numbered = {entry.place: str(number) for number, entry in enumerate(entries, start=1) if entry.place}
    left = MARGIN
    for view, ratio in zip(tissues, ratios, strict=True):
        axes = page.axes(left, head, width=tall * ratio, height=tall)
        marked = {
            (row, col): label
            for (dataset, tissue, row, col), label in numbered.items()
            if (dataset, tissue) == (view.dataset, view.tissue_id)
        }
        draw_tissue(axes, view, markers=markers, marked=marked)
        count = f"  ·  {counted(len(view.tiles), 'tile')}" if view.tiles is not None else ""
        page.text(left, head + tall + 0.07, text=view.tissue_id, size=8.5, weight="bold")
        page.text(left, head + tall + 0.23, text=f"{modality_name(view.modality)}{count}", size=7.5, colour=FAINT)
        left += tall * ratio + SPACE
    page.legend(MARGIN, head + tall + CAPTION + 0.12, rows=chips)
    _draw_entries(page, entries, grid, top=below, mpp=mpp, numbered=True, limits=None, mask=mask)
    return page.save(path)
