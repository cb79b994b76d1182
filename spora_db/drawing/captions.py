"""Words around pictures: the caption of a tile, and the title of a sheet, each within its room."""

from dataclasses import dataclass
from typing import Self

from spora_db.drawing.batch import Entry
from spora_db.drawing.canvas import FAINT, MARGIN, Canvas, wrap_text
from spora_db.drawing.overview import modality_name

DOT = "  ·  "
TITLE_SIZE, TITLE_LINE = 14, 0.27  # points, inches
SUBTITLE_SIZE, SUBTITLE_LINE = 9, 0.18


def write_caption(
    page: Canvas, entry: Entry, *, left: float, tops: tuple[float, float], sizes: tuple[float, float], room: float
) -> None:
    """Write two lines: dataset and tissue; modalities, number and position.

    Parameters
    ----------
    page
        The page.
    entry
        The place of the sheet that is described.
    left, tops, sizes
        Where the lines begin in inches, and their sizes in points.
    room
        Inches for a line. Where they are few, the position is left out first; the number is never cut.
    """
    dataset, tissue = (str(entry.samples[0][name]) for name in ("dataset", "tissue_id"))
    name = tissue if tissue.startswith(dataset) else f"{dataset}{DOT}{tissue}"
    page.text(left, tops[0], text=name, size=sizes[0], weight="bold", room=room)
    modalities = " + ".join(modality_name(str(part["modality"])) for part in entry.samples)
    facts = _facts(entry)
    if page.measure(DOT.join([modalities, *facts]), size=sizes[1]) > room:
        facts = facts[:1]
    end = DOT + DOT.join(facts)
    page.text(left, tops[1], text=modalities, end=end, size=sizes[1], colour=FAINT, room=room)


def _facts(entry: Entry) -> list[str]:
    """Return what tells a place from the others of its tissue, the most telling first."""
    if entry.place is None:
        return ["whole tissue"]
    known = [(kind, entry.samples[0].get(f"{kind}_id")) for kind in ("tile", "cell")]
    numbers = [f"{kind} {number}" for kind, number in known if number is not None and number != -1]
    return [*numbers, f"row {entry.place[2]}, col {entry.place[3]}"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """The lines above a sheet."""

    title: tuple[str, ...]
    subtitle: tuple[str, ...]

    @classmethod
    def of(cls, title: str | None, subtitle: str | None, *, room: float) -> Self:
        """Break title and subtitle into lines of at most `room` inches."""
        return cls(
            title=tuple(wrap_text(title or "", size=TITLE_SIZE, weight="bold", room=room)),
            subtitle=tuple(wrap_text(subtitle or "", size=SUBTITLE_SIZE, room=room)),
        )

    @property
    def height(self) -> float:
        """Inches from the top of the page to the pictures."""
        return self._below_title + (0.1 + SUBTITLE_LINE * len(self.subtitle) if self.subtitle else 0)

    @property
    def _below_title(self) -> float:
        return MARGIN + (0.05 + TITLE_LINE * len(self.title) if self.title else 0)

    def draw(self, page: Canvas) -> None:
        """Write the lines; a word wider than the page loses its middle."""
        room = page.width - 2 * MARGIN
        for number, line in enumerate(self.title):
            page.text(MARGIN, 0.26 + TITLE_LINE * number, text=line, size=TITLE_SIZE, weight="bold", room=room)
        top = self._below_title - (0.11 if self.title else 0.05)
        for number, line in enumerate(self.subtitle):
            page.text(MARGIN, top + SUBTITLE_LINE * number, text=line, size=SUBTITLE_SIZE, colour=FAINT, room=room)
