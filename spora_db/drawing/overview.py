"""A whole tissue in one picture: its pixels, the outline of its mask and of its tiles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from spora_db.arrays import AnyArray, Float32
from spora_db.drawing.arguments import wrong_kind
from spora_db.drawing.canvas import (
    FAINT,
    LEGEND_ROW,
    MARGIN,
    PAPER,
    Canvas,
    Picture,
    badge,
    mask_outline,
    scale_bar,
    show,
    tile_outlines,
    wrap_legend,
)
from spora_db.drawing.composite import as_array, brightfield, composite, contrast_limits
from spora_db.drawing.contrast import Limits, check_limits, set_limits
from spora_db.drawing.markers import MarkerNames, PanelNames, Shown, choose_channels, spell_markers
from spora_db.drawing.outlined import DrawnRegion, draw_regions, region_legend
from spora_db.errors import ArgumentError, counted
from spora_db.layout.names import is_rgb, modality_row

BAND = 1024  # rows of a tissue that are read at a time
INSET = 0.04  # of a tile's side, between its border and its outline
LARGEST = 900  # a tissue is thinned to at most this many pixels a side before it is drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class TissueView:
    """One tissue to be drawn.

    Parameters
    ----------
    image
        The whole tissue, raw or standardized, numpy or torch, of shape (C, H, W); three planes for H&E and IHC.
    dataset, tissue_id, modality
        What it is; they make its caption, and its modality tells brightfield from marker images.
    channel_names, uniprot_ids
        The panel of a marker image, in the order of the planes.
    spec
        The preset that standardized a brightfield image; not needed for raw pixels.
    mask
        Tissue mask of shape (H, W).
    tiles, tile_size
        Upper left corners (row, col) of shape (n, 2), and the side of the tiles, in pixels of the image.
    regions
        What was outlined in it.
    mpp
        Microns per pixel; without it no scale bar is drawn.
    thinned, size
        Where image and mask were already thinned, for memory: by how many pixels, and the whole tissue's height and
        width. Tiles are in pixels of the whole tissue.
    """

    image: Any
    dataset: str
    tissue_id: str
    modality: str
    channel_names: tuple[str, ...] = ()
    uniprot_ids: tuple[str | None, ...] | None = None
    spec: str | None = None
    mask: Any = None
    tiles: Any = None
    tile_size: int | None = None
    regions: tuple[DrawnRegion, ...] = ()
    mpp: float | None = None
    thinned: int = 1
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Refuse a view whose parts contradict each other."""
        if len(self.image.shape) != 3:
            raise ArgumentError(
                f"The image of {self.tissue_id} has shape {tuple(self.image.shape)}; expected (C, H, W)."
            )
        if self.mask is not None and tuple(self.mask.shape) != tuple(self.image.shape[1:]):
            raise ArgumentError(
                f"The mask of {self.tissue_id} has shape {tuple(self.mask.shape)}; "
                f"expected that of the image, {tuple(self.image.shape[1:])}."
            )
        if self.tiles is not None and self.tile_size is None:
            raise ArgumentError(f"tiles of {self.tissue_id} were given without tile_size.")
        if not is_rgb(self.modality) and len(self.channel_names) != self.image.shape[0]:
            raise ArgumentError(
                f"{len(self.channel_names)} channel_names for the {self.image.shape[0]} planes of {self.tissue_id}."
            )

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return int(self.image.shape[1]) if self.size is None else self.size[0]

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return int(self.image.shape[2]) if self.size is None else self.size[1]

    @property
    def panel(self) -> PanelNames:
        """The channels of a marker image and their accessions."""
        return self.channel_names, self.uniprot_ids

    @property
    def brightfield(self) -> bool:
        """Whether the image is in natural colours."""
        return is_rgb(self.modality)

    def shown(self, markers: MarkerNames | None = None) -> tuple[Shown, ...]:
        """Return the channels drawn and their colours; none for brightfield."""
        return () if self.brightfield else choose_channels(self.channel_names, self.uniprot_ids, markers=markers)


def thin_step(height: int, width: int) -> int:
    """Return by how many pixels an image of some size is thinned before it is drawn.

    Examples
    --------
    >>> thin_step(1_900, 1_000)
    3
    """
    return max(1, -(-max(height, width) // LARGEST))


def thin(planes: AnyArray, step: int) -> Float32:
    """Average squares of `step` pixels; the last squares repeat the rim."""
    if step == 1:
        return np.asarray(planes, dtype=np.float32)
    height, width = (-(-size // step) for size in planes.shape[1:])
    margins = ((0, 0), (0, height * step - planes.shape[1]), (0, width * step - planes.shape[2]))
    squares = np.pad(planes, margins, mode="edge").reshape(len(planes), height, step, width, step)
    return np.asarray(squares.mean(axis=(2, 4), dtype=np.float32))


def read_thinned(read: Callable[[int, int], AnyArray], *, height: int, step: int) -> Float32:
    """Read an image band by band, each thinned before the next is read.

    Parameters
    ----------
    read
        Returns planes of shape (C, rows, W), asked by the band's first row and its number of rows.
    height
        Of the image, in pixels.
    step
        Of `thin`.

    Examples
    --------
    >>> planes = np.arange(60, dtype=np.float32).reshape(1, 12, 5)
    >>> np.array_equal(read_thinned(lambda row, rows: planes[:, row : row + rows], height=12, step=3), thin(planes, 3))
    True
    """
    band = max(BAND // step, 1) * step
    parts = [thin(read(row, min(band, height - row)), step) for row in range(0, height, band)]
    return np.concatenate(parts, axis=1)


def draw_tissue(
    axes: Axes,
    view: TissueView,
    *,
    markers: MarkerNames | None = None,
    marked: dict[tuple[int, int], str] | None = None,
    limits: Limits | None = None,
) -> None:
    """Draw a tissue with its outlines; `marked` labels the tiles, by (row, col), to be drawn strongly."""
    image = as_array(view.image)
    step = thin_step(*image.shape[1:])
    shown = view.shown(markers)
    if not view.brightfield:
        planes = thin(image[[channel.index for channel in shown]], step)
        bounds = set_limits(contrast_limits([planes]), shown, view.panel, limits)
        picture = composite(planes, [channel.colour for channel in shown], limits=bounds)
    else:
        thinned = thin(image, step)
        picture = brightfield(thinned.astype(image.dtype) if image.dtype.kind == "u" else thinned, spec=view.spec)
    show(axes, picture, step=step * view.thinned)
    axes.set(xlim=(0, view.width), ylim=(view.height, 0))
    outline, strong, fill = ("#ffffff", "#ffffff", PAPER) if not view.brightfield else ("#20242a", "#0b3d91", "#0b3d91")
    if view.mask is not None:
        mask_outline(axes, np.asarray(view.mask)[::step, ::step] > 0, step=step * view.thinned, colour=outline)
    if view.tiles is not None and view.tile_size is not None:
        corners = np.asarray(view.tiles, dtype=np.int64).reshape(-1, 2)
        # Within the tiles: borders of tiles that overlap by half would fall on each other and look like a finer grid.
        tile_outlines(axes, corners, size=view.tile_size, colour=outline, alpha=0.55, inset=INSET * view.tile_size)
        inset = 0.016 * max(view.height, view.width)
        for (row, col), label in (marked or {}).items():
            tile_outlines(axes, np.array([[row, col]]), size=view.tile_size, colour=strong, line_width=1.7, alpha=1.0)
            badge(axes, row=row + inset, col=col + inset, text=label, fill=fill)
    draw_regions(axes, view.regions, edge="#ffffff" if view.brightfield else "#000000")
    if view.mpp is not None:
        scale_bar(axes, width=view.width, height=view.height, mpp=view.mpp, dark=not view.brightfield)


def overview(
    view: TissueView,
    *,
    channels: Sequence[str] | None = None,
    limits: Limits | None = None,
    width: float = 6.5,
    path: str | Path | None = None,
) -> Picture:
    """Draw one tissue with the outlines of its mask (dashed), tiles and regions, legend and scale bar.

    Parameters
    ----------
    view
        The tissue.
    channels
        Names or accessions of at most six channels; default: well-known markers.
    limits
        By channel, name or accession, the levels shown black and in full colour; default: percentiles of the tissue.
    width
        Of the picture in inches.
    path
        Where to write it, as .png, .pdf or .svg; not written by default.

    Returns
    -------
    Picture
        A matplotlib figure, which notebooks show.

    Examples
    --------
    >>> disc = np.hypot(*np.mgrid[-1:1:64j, -1:1:64j]) < 0.8
    >>> view = TissueView(image=disc[None].astype("float32"), dataset="cohort", tissue_id="cohort_0001",
    ...                   modality="imc", channel_names=("DAPI",), mask=disc, tiles=[[16, 16]], tile_size=32, mpp=1.0)
    >>> figure = overview(view)
    """
    check_view(view)
    panels = [] if view.brightfield else [view.panel]
    check_limits(limits, panels)
    markers = spell_markers(channels, panels)
    inner = width - 2 * MARGIN
    chips = wrap_legend([(channel.name, channel.colour) for channel in view.shown(markers)], room=inner)
    chips += wrap_legend(region_legend(view.regions), room=inner)
    height = inner * view.height / view.width
    head, foot = 0.85, MARGIN + (0.08 + LEGEND_ROW * len(chips) if chips else 0)
    page = Canvas(width=width, height=head + height + foot)
    page.text(MARGIN, 0.25, text=view.tissue_id, size=12, weight="bold", room=inner)
    page.text(MARGIN, 0.52, text=describe(view), size=8.5, colour=FAINT, room=inner)
    draw_tissue(page.axes(MARGIN, head, width=inner, height=height), view, markers=markers, limits=limits)
    page.legend(MARGIN, head + height + 0.2, rows=chips)
    return page.save(path)


def check_view(view: TissueView) -> None:
    """Refuse what is no view of a tissue."""
    if not isinstance(view, TissueView):
        raise wrong_kind(
            view, expected="a TissueView", write="plot.tissue(query), or plot.tissue_view(query) for a view"
        )


def describe(view: TissueView) -> str:
    """Return the second line of a tissue's caption."""
    parts = [view.dataset, modality_name(view.modality), f"{view.height} by {view.width} pixels"]
    if view.mpp is not None:
        parts.append(f"{view.mpp:g} µm per pixel")
    if view.tiles is not None:
        parts.append(f"{counted(len(view.tiles), 'tile')} of {view.tile_size}")
    return "  ·  ".join(parts)


def modality_name(modality: str) -> str:
    """Return how a modality is written in captions.

    Examples
    --------
    >>> modality_name("he"), modality_name("ihc_Ki67"), modality_name("imc")
    ('H&E', 'IHC Ki67', 'IMC')
    """
    row = modality_row(modality)
    head, _, tail = modality.partition("_")
    return f"{row.title if row else head.upper()} {tail}".strip()
