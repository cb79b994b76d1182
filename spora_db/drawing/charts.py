"""Charts on white: the style of labelled axes, and the colours that all forms of colour blindness tell apart."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg

from spora_db.drawing.canvas import Picture

COLOURS: Mapping[str, str] = {
    "blue": "#0072b2",
    "vermilion": "#d55e00",
    "green": "#009e73",
    "purple": "#cc79a7",
    "orange": "#e69f00",
    "sky": "#56b4e9",
    "black": "#222222",
}
"""The palette of Okabe and Ito (2008) without its yellow, which is lost on white."""

GREY = "#e9ecef"
TEXT = "#222222"
SOFT = "#5c6670"

STYLE: Mapping[str, Any] = {
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.constrained_layout.use": True,
    "font.size": 9.5,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.labelsize": 9.5,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": "#9aa3ab",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.axisbelow": True,
    "grid.color": "#e3e6e9",
    "grid.linewidth": 0.8,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": TEXT,
    "ytick.labelcolor": TEXT,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "image.cmap": "cividis",
    "axes.prop_cycle": "cycler('color', ['0072b2', 'd55e00', '009e73', 'cc79a7', 'e69f00', '56b4e9', '222222'])",
}
"""Settings for matplotlib in notebooks: ``plt.rcParams.update(spora_db.plot.STYLE)``."""


def chart(
    *, width: float, height: float, rows: int = 1, ratios: list[float] | None = None
) -> tuple[Picture, list[Axes]]:
    """Return a white figure that shows itself in a notebook, and its axes from top to bottom.

    Parameters
    ----------
    width, height
        In inches.
    rows
        Number of axes.
    ratios
        Their heights in proportion.

    Examples
    --------
    >>> figure, (axes,) = chart(width=4, height=3)
    """
    figure = Picture(figsize=(width, height), dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, 1, squeeze=False, height_ratios=ratios)
    axes = [row[0] for row in grid]
    for one in axes:
        one.tick_params(length=0, labelsize=8, labelcolor=TEXT)
        for spine in one.spines.values():
            spine.set_visible(False)
    return figure, axes
