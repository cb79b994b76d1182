"""An audit on one page: totals, cohorts by split, markers they share, composition, findings."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import FancyBboxPatch, Rectangle

from spora_db.audit.findings import Verdict
from spora_db.drawing.canvas import FAINT, INK, LEGEND_ROW, LINE, MARGIN, PAPER, Canvas, Picture, wrap_legend

if TYPE_CHECKING:
    import pandas as pd
WIDTH = 11.0
GAP = 0.4
CARD = 0.78
BAR = 0.27
NAME = 1.45
"""Inches for the name before a bar, and before a row of the matrix."""
SHOWN = 12
"""Cohorts and values drawn; the others are counted."""
RAISED = "#161b22"
LEVELS = {"error": "#ff6b6b", "warning": "#f2b84b", "ok": "#4cc38a"}
SPLITS = ("#5b8def", "#f2b84b", "#e86aa6", "#4cc38a", "#b08cff")
FIRST = ("train", "training", "val", "valid", "validation", "test")
SHARED = LinearSegmentedColormap.from_list("shared", [RAISED, "#155e63", "#00d5a8"])


def audit_sheet(
    sections: Mapping[str, "pd.DataFrame"],
    *,
    title: str,
    totals: Mapping[str, int],
    columns: Sequence[str],
    path: str | Path | None = None,
) -> Picture:
    """Draw an audit.

    Parameters
    ----------
    sections, title, totals, columns
        Of the `Audit`.
    path
        Where to write it, as .png, .pdf or .svg; not written by default.
    """
    half = (WIDTH - 2 * MARGIN - GAP) / 2
    bars = _Bars.of(sections["splits"])
    whole = sections["overlap"]
    overlap = whole.iloc[:SHOWN, :SHOWN] if len(whole) > 1 else whole.iloc[:0, :0]  # a cohort alone shares nothing
    room = half if len(overlap) else WIDTH - 2 * MARGIN
    cell = min(0.55, (half - NAME) / max(1, len(overlap)))
    charts = [name for name in columns if name not in ("dataset", "split")][:4]
    values = [_counts(sections["composition"], name) for name in charts]
    lines = [(level, textwrap.wrap(text, 140)) for level, text in sections["findings"].itertuples(index=False)]
    middle = max(bars.height(room), 0.35 + (0.22 + cell * len(overlap) if len(overlap) else 0))
    third = 0.45 + BAR * max((len(counts) for counts in values), default=0) if values else 0.0
    tops = np.cumsum([1.05 + CARD + 0.35, middle + 0.25, third + (0.25 if values else 0)])
    height = tops[2] + 0.35 + sum(0.21 * len(texts) + 0.07 for _, texts in lines) + MARGIN - 0.1
    page = Canvas(width=WIDTH, height=float(height))
    page.text(MARGIN, 0.28, text=title, size=15, weight="bold", room=WIDTH - 2 * MARGIN)
    page.text(MARGIN, 0.66, text=_verdict(sections["findings"]), size=9, colour=FAINT)
    _cards(page, totals)
    bars.draw(page, MARGIN, float(tops[0]), width=room)
    if len(overlap):
        part = f" ({len(overlap)} of {len(whole)})" if len(whole) > len(overlap) else ""
        page.text(
            MARGIN + half + GAP, float(tops[0]), text=f"Markers that cohorts share{part}", size=9.5, weight="bold"
        )
        _matrix(page, MARGIN + half + GAP, float(tops[0]), overlap=overlap, cell=cell)
    width = (WIDTH - 2 * MARGIN - GAP * (len(charts) - 1)) / max(1, len(charts))
    for number, (name, counts) in enumerate(zip(charts, values, strict=True)):
        left = MARGIN + number * (width + GAP)
        page.text(left, float(tops[1]), text=f"Rows by {name}", size=9.5, weight="bold", room=width)
        _plain_bars(page, left, float(tops[1]) + 0.35, counts=counts, width=min(width, half))
    _findings(page, float(tops[2]), lines=lines)
    return page.save(path)


def _verdict(findings: "pd.DataFrame") -> str:
    counts = findings["level"].value_counts()
    parts = [
        f"{counts[level]} {name}"
        for level, name in (("error", "to correct"), ("warning", "to know"))
        if level in counts
    ]
    return "Audit: " + (", ".join(parts) or "nothing to correct")


def _cards(page: Canvas, totals: Mapping[str, int]) -> None:
    width = (WIDTH - 2 * MARGIN - 0.14 * (len(totals) - 1)) / len(totals)
    for number, (name, total) in enumerate(totals.items()):
        left = MARGIN + number * (width + 0.14)
        axes = _canvas(page, left, 1.05, width=width, height=CARD)
        box = FancyBboxPatch(
            (0, 0),
            width,
            CARD,
            boxstyle="round,pad=0,rounding_size=0.06",
            facecolor=RAISED,
            edgecolor=LINE,
            linewidth=0.8,
            clip_on=False,
        )
        axes.add_patch(box)
        page.text(left + 0.15, 1.19, text=f"{total:,}", size=15, weight="bold", room=width - 0.2)
        page.text(left + 0.15, 1.56, text=name, size=8.5, colour=FAINT)


class _Bars:
    """Rows by cohort, a piece per split."""

    def __init__(self, cohorts: list[str], pieces: dict[str, "pd.Series[Any]"], more: int) -> None:
        self.cohorts, self.pieces, self.more = cohorts, pieces, more

    @classmethod
    def of(cls, splits: "pd.DataFrame") -> "_Bars":
        table = splits.assign(split=splits["split"].astype("object").where(splits["split"].notna(), "no split"))
        names = sorted(set(table["split"]), key=lambda name: (_place(str(name)), str(name)))
        wide = table.pivot_table(index="dataset", columns="split", values="rows", aggfunc="sum", fill_value=0)
        wide = wide.loc[wide.sum(axis=1).sort_values(ascending=False, kind="stable").index]
        shown = wide.iloc[:SHOWN]
        return cls([str(name) for name in shown.index], {str(n): shown[n] for n in names}, len(wide) - len(shown))

    @property
    def colours(self) -> dict[str, str]:
        named = [name for name in self.pieces if name != "no split"]
        return {name: SPLITS[i % len(SPLITS)] for i, name in enumerate(named)} | {"no split": "#6b87a3"}

    def legend(self, width: float) -> list[list[tuple[str, str]]]:
        return wrap_legend([(name, self.colours[name]) for name in self.pieces], room=width)

    def height(self, width: float) -> float:
        return 0.45 + BAR * (len(self.cohorts) + (self.more > 0)) + LEGEND_ROW * len(self.legend(width))

    def draw(self, page: Canvas, left: float, top: float, *, width: float) -> None:
        page.text(left, top, text="Rows by cohort and split", size=9.5, weight="bold")
        totals = [sum(int(rows.iloc[i]) for rows in self.pieces.values()) for i in range(len(self.cohorts))]
        most = max(totals, default=1)
        room = width - NAME - 0.75
        for number, cohort in enumerate(self.cohorts):
            at = top + 0.35 + number * BAR
            page.text(left, at + 0.07, text=cohort, size=8.5, room=NAME - 0.12)
            axes = _canvas(page, left + NAME, at, width=room, height=BAR)
            start = 0.0
            for name, rows in self.pieces.items():
                length = float(rows.iloc[number]) / most * room
                axes.add_patch(Rectangle((start, 0.045), length, BAR - 0.09, facecolor=self.colours[name], linewidth=0))
                start += length
            page.text(left + NAME + start + 0.08, at + 0.075, text=f"{totals[number]:,}", size=8, colour=FAINT)
        end = top + 0.35 + BAR * len(self.cohorts)
        if self.more:
            page.text(left, end + 0.04, text=f"and {self.more:,} more cohorts", size=8.5, colour=FAINT)
            end += BAR
        page.legend(left + NAME, end + 0.08, rows=self.legend(width - NAME))


def _place(split: str) -> int:
    if split == "no split":
        return len(FIRST) + 1
    return FIRST.index(split.lower()) if split.lower() in FIRST else len(FIRST)


def _matrix(page: Canvas, left: float, top: float, *, overlap: "pd.DataFrame", cell: float) -> None:
    names, values = [str(name) for name in overlap.index], overlap.to_numpy()
    upper = top + 0.35 + 0.22
    size = cell * len(names)
    axes = _canvas(page, left + NAME, upper, width=size, height=size)
    most = max(1, int(values.max()))
    for row, col in np.ndindex(*values.shape):
        share = float(values[row, col]) / most
        box = (col * cell + 0.015, (len(names) - 1 - row) * cell + 0.015)
        axes.add_patch(Rectangle(box, cell - 0.03, cell - 0.03, facecolor=SHARED(share), linewidth=0))
        colour, weight = (PAPER if share > 0.6 else INK), ("bold" if row == col else "normal")
        place = (col * cell + cell / 2, (len(names) - 0.5 - row) * cell)
        axes.text(*place, str(values[row, col]), color=colour, fontsize=8, weight=weight, ha="center", va="center")
    for number, name in enumerate(names):
        row = upper + number * cell + cell / 2 - 0.06
        page.text(left, row, text=str(number + 1), size=8, colour=FAINT)
        page.text(left + 0.2, row, text=name, size=8.5, room=NAME - 0.32)
        place = (number * cell + cell / 2, size + 0.06)
        axes.text(*place, str(number + 1), color=FAINT, fontsize=8, ha="center", va="bottom")


def _counts(composition: "pd.DataFrame", name: str) -> list[tuple[str, int]]:
    """Return the most frequent values of a column with their rows; then the others as one, and rows without a value."""
    valued = composition[composition[name].notna()]
    rows = valued.groupby(valued[name].astype("object").map(str))["rows"].sum()
    rows = rows.sort_values(ascending=False, kind="stable")
    listed = [(str(value), int(number)) for value, number in rows.iloc[: SHOWN // 2].items()]
    rest = rows.iloc[SHOWN // 2 :]
    listed += [(f"{len(rest):,} others", int(rest.sum()))] if len(rest) else []
    lacking = int(composition["rows"].sum() - rows.sum())
    return [*listed, ("no value", lacking)] if lacking else listed


def _plain_bars(page: Canvas, left: float, top: float, *, counts: Sequence[tuple[str, int]], width: float) -> None:
    most = max((number for _, number in counts), default=1)
    label = min(NAME, 0.42 * width)
    room = width - label - 0.75
    for position, (value, number) in enumerate(counts):
        at = top + position * BAR
        page.text(left, at + 0.07, text=value, size=8.5, room=label - 0.12)
        axes = _canvas(page, left + label, at, width=room, height=BAR)
        length = number / most * room
        axes.add_patch(Rectangle((0, 0.045), length, BAR - 0.09, facecolor="#6b87a3", linewidth=0))
        page.text(left + label + length + 0.08, at + 0.075, text=f"{number:,}", size=8, colour=FAINT)


def _findings(page: Canvas, top: float, *, lines: Sequence[tuple[Verdict, list[str]]]) -> None:
    page.text(MARGIN, top, text="Findings", size=9.5, weight="bold")
    at = top + 0.33
    for level, texts in lines:
        axes = _canvas(page, MARGIN, at, width=0.2, height=0.2)
        axes.plot([0.045], [0.11], marker="o", markersize=6, color=LEVELS[level])
        for text in texts:
            page.text(MARGIN + 0.24, at + 0.035, text=text, size=8.5, colour=INK if level != "ok" else FAINT)
            at += 0.21
        at += 0.07


def _canvas(page: Canvas, left: float, top: float, *, width: float, height: float) -> Axes:
    """Return axes that are measured in inches from their lower left corner."""
    axes = page.axes(left, top, width=width, height=height)
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    return axes
