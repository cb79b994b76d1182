"""A dark page measured in inches: axes, text, legend chips, scale bars and outlines; nothing of pyplot."""

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextPath

from spora_db.arrays import Bools, Float32, Int64
from spora_db.errors import ArgumentError
from spora_db.files.writing import atomic_path, named_file

PAPER = "#0d1117"
INK = "#e6edf3"
FAINT = "#8b98a5"
LINE = "#2b333d"
DPI = 140
MARGIN = 0.35
CHIP = 0.13
LEGEND_ROW = 0.25
LEGEND_SIZE = 8.5  # points
FORMATS: Mapping[str, Mapping[str, str]] = {
    ".png": {"Software": "spora-db"},
    ".pdf": {"Creator": "spora-db"},
    ".svg": {"Creator": "spora-db"},
}
"""What pictures are written as, and what each file says of who wrote it."""
ROUND_LENGTHS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000)  # microns


class Picture(Figure):
    """A matplotlib figure that shows itself in a notebook without pyplot."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=110, facecolor=self.get_facecolor())
        return buffer.getvalue()


def picture_format(path: str | Path | None) -> str | None:
    """Return the suffix of a picture's file, one of `FORMATS`; None without a file.

    Raises
    ------
    ArgumentError
        It is another one, or there is none.
    WriteError
        The file's folder is not there.

    Examples
    --------
    >>> picture_format("Tissue.PDF")
    '.pdf'
    """
    if path is None:
        return None
    if not isinstance(path, str | os.PathLike):
        raise ArgumentError(
            f"path is of type {type(path).__name__}; expected the name of a file, such as 'tissue.png'."
        )
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        found = f"ends in {suffix!r}" if suffix else "has no suffix"
        raise ArgumentError(
            f"path {str(path)!r} {found}; pictures are written as {', '.join(FORMATS)}. "
            f"Name it {(Path(path).stem or 'picture') + '.png'!r}."
        )
    named_file(path)
    return suffix


def save_picture(figure: Picture, path: str | Path | None) -> Picture:
    """Write a picture in the format of its suffix, whole or not at all, where a path is given; return it."""
    suffix = picture_format(path)
    if path is not None and suffix is not None:
        with atomic_path(path) as temporary:
            figure.savefig(
                temporary, format=suffix[1:], dpi=DPI, facecolor=figure.get_facecolor(), metadata=FORMATS[suffix]
            )
    return figure


class Canvas:
    """A figure of fixed size on which things are put at (left, top) in inches from its upper left corner."""

    def __init__(self, *, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Picture(figsize=(width, height), dpi=DPI, facecolor=PAPER)
        self.figure.set_layout_engine("none")  # also where matplotlib's settings say otherwise
        FigureCanvasAgg(self.figure)
        # Notebooks cut figures to what is drawn: the page itself is drawn, so that its margins stay.
        paper = Rectangle((0, 0), 1, 1, facecolor=PAPER, transform=self.figure.transFigure, zorder=-1)
        self.figure.add_artist(paper)

    def axes(self, left: float, top: float, *, width: float, height: float) -> Axes:
        """Add bare axes whose upper left corner is at (left, top)."""
        box = (
            left / self.width,
            1 - (top + height) / self.height,
            width / self.width,
            height / self.height,
        )
        axes = self.figure.add_axes(box)
        axes.set_axis_off()
        return axes

    def text(
        self,
        left: float,
        top: float,
        *,
        text: str,
        size: float = 8,
        colour: str = INK,
        weight: Literal["normal", "bold"] = "normal",
        room: float | None = None,
        end: str = "",
    ) -> None:
        """Write one line whose top is at `top`; where it is wider than `room` inches, the text before `end` is cut."""
        if room is not None:
            kept, whole = len(text), text
            while kept > 3 and self.measure(text + end, size=size, weight=weight) > room:
                kept -= 1
                text = f"{whole[: (kept + 1) // 2]}…{whole[-(kept // 2) :]}"
        place = (left / self.width, 1 - top / self.height)
        self.figure.text(*place, text + end, fontsize=size, color=colour, weight=weight, ha="left", va="top")

    def measure(self, text: str, *, size: float, weight: Literal["normal", "bold"] = "normal") -> float:
        """Return the width of a line of text in inches."""
        drawn = self.figure.text(0, 0, text, fontsize=size, weight=weight)
        width = drawn.get_window_extent().width / self.figure.dpi
        drawn.remove()
        return float(width)

    def legend(self, left: float, top: float, *, rows: Sequence[Sequence[tuple[str, str]]]) -> None:
        """Draw rows, as :func:`wrap_legend` makes them, of chips with their labels."""
        for number, row in enumerate(rows):
            at, upper = left, top + number * LEGEND_ROW
            for label, colour in row:
                corner = (at / self.width, 1 - (upper + CHIP) / self.height)
                chip = Rectangle(
                    corner, CHIP / self.width, CHIP / self.height, facecolor=colour, transform=self.figure.transFigure
                )
                self.figure.add_artist(chip)
                self.text(at + CHIP + 0.08, upper - 0.005, text=label, size=LEGEND_SIZE)
                at += _chip_width(label)

    def save(self, path: str | Path | None) -> Picture:
        """Write the page as `save_picture` does; return the figure."""
        return save_picture(self.figure, path)


def _chip_width(label: str) -> float:
    """Return the inches that a chip, its label and the space behind it take."""
    return CHIP + 0.36 + float(TextPath((0, 0), label, size=LEGEND_SIZE).get_extents().width) / 72


def wrap_text(text: str, *, size: float, weight: Literal["normal", "bold"] = "normal", room: float) -> list[str]:
    """Break a text between words into lines of at most `room` inches; a wider word has a line of its own.

    Examples
    --------
    >>> wrap_text("tiles of two cohorts", size=14, room=1.3)
    ['tiles of two', 'cohorts']
    """
    lines: list[str] = []
    page = Canvas(width=1, height=1)  # to measure on
    for paragraph in text.splitlines():
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and page.measure(longer, size=size, weight=weight) > room:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines


def wrap_legend(entries: Sequence[tuple[str, str]], *, room: float) -> list[list[tuple[str, str]]]:
    """Break (label, colour) entries into rows of at most `room` inches.

    Examples
    --------
    >>> [[label for label, _ in row] for row in wrap_legend([("DAPI", "blue"), ("CD3e", "red")], room=1.0)]
    [['DAPI'], ['CD3e']]
    """
    rows: list[list[tuple[str, str]]] = []
    taken = room
    for entry in entries:
        width = _chip_width(entry[0])
        if taken + width > room and taken > 0:
            rows.append([])
            taken = 0.0
        rows[-1].append(entry)
        taken += width
    return rows


def show(axes: Axes, picture: Float32, *, step: int = 1) -> None:
    """Draw an RGB picture of shape (H, W, 3), thinned by `step`, with its upper left corner at (0, 0), undistorted."""
    height, width = (size * step for size in picture.shape[:2])
    axes.imshow(picture, extent=(0, width, height, 0), interpolation="antialiased", aspect="equal")
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)


def scale_bar(axes: Axes, *, width: float, height: float, mpp: float, dark: bool = True) -> None:
    """Draw a bar of a round number of microns into the lower right corner of a picture of the given size in pixels."""
    goal = width * mpp / 4
    microns = max((length for length in ROUND_LENGTHS if length <= goal), default=ROUND_LENGTHS[0])
    length = microns / mpp
    figure = axes.get_figure()
    inch = width / (axes.get_position().width * (figure.get_figwidth() if isinstance(figure, Figure) else 1.0))
    pad, thick, text = 0.07 * inch, 0.028 * inch, 0.115 * inch
    ink, backdrop = ("white", PAPER) if dark else ("black", "white")
    left, top = width - 2 * pad - length, height - 2 * pad - thick
    box = (left - pad, top - text - pad)
    axes.add_patch(Rectangle(box, length + 2 * pad, height - pad - box[1], facecolor=backdrop, alpha=0.62, zorder=5))
    axes.add_patch(Rectangle((left, top), length, thick, facecolor=ink, zorder=6))
    label = f"{microns:g} µm" if microns < 1000 else f"{microns / 1000:g} mm"
    place = (left + length / 2, top - 0.02 * inch)
    axes.text(*place, label, color=ink, fontsize=6.5, ha="center", va="bottom", zorder=6)


def mask_outline(axes: Axes, mask: Bools, *, step: int, colour: str = "#ffffff") -> None:
    """Draw the outline of a mask that was thinned by `step` pixels, in full-resolution coordinates."""
    padded = np.pad(mask.astype(np.float32), 1)
    rows, cols = ((np.arange(size) - 0.5) * step for size in padded.shape)
    axes.contour(cols, rows, padded, levels=[0.5], colors=[colour], linewidths=0.9, linestyles="dashed", alpha=0.75)


def tile_outlines(
    axes: Axes,
    tiles: Int64,
    *,
    size: int,
    colour: str = "#ffffff",
    line_width: float = 0.6,
    alpha: float = 0.5,
    inset: float = 0.0,
) -> None:
    """Draw squares of `size` pixels at (n, 2) upper left corners of row, col, each side `inset` pixels further in."""
    side = size - 2 * inset
    squares = [Rectangle((float(col) + inset, float(row) + inset), side, side) for row, col in tiles]
    collection = PatchCollection(squares, facecolor="none", edgecolor=colour, linewidth=line_width, alpha=alpha)
    axes.add_collection(collection)


def badge(axes: Axes, *, row: float, col: float, text: str, fill: str = PAPER) -> None:
    """Write a small label into the corner at (row, col)."""
    box = {"boxstyle": "round,pad=0.22", "facecolor": fill, "edgecolor": "none", "alpha": 0.85}
    axes.text(col, row, text, color="white", fontsize=7, weight="bold", ha="left", va="top", bbox=box, zorder=6)
