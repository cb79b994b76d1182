"""How far an import is: in pieces of images, so that one slide shows how long it takes."""

from collections.abc import Sequence
from threading import Lock
from types import TracebackType

from spora_db.images.write_zarr import piece_count
from spora_db.importing.fields import Field
from spora_db.importing.options import ImageChoice
from spora_db.jobs import Progress
from spora_db.jobs.units import Outcome


class Pieces:
    """Tells a progress of every piece that is written, from whichever thread.

    Parameters
    ----------
    progress
        Who is told.
    title
        What is going on.
    units
        How many pieces there will be.

    Examples
    --------
    >>> import sys
    >>> from spora_db.jobs import Lines
    >>> with Pieces(Lines(sys.stdout, clock=iter([0.0, 2.0]).__next__), title="import slides", units=1) as pieces:
    ...     pieces.wrote(3_000_000)
    import slides: 1 of 1 pieces, 1.5 Mpixel/s, 0 s left
    """

    def __init__(self, progress: Progress, *, title: str, units: int) -> None:
        self._progress, self._title, self._units = progress, title, units
        self._lock = Lock()

    def __enter__(self) -> "Pieces":
        """Begin."""
        self._progress.start(self._title, units=self._units, called="pieces")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        self._progress.stop()

    def wrote(self, pixels: int) -> None:
        """Take note of one more piece of so many pixels."""
        with self._lock:
            self._progress.advance(Outcome(tissue_id="", pixels=pixels))


def pieces_of(fields: Sequence[Field], pages: Sequence[Sequence[int | None]], *, images: ImageChoice) -> int:
    """Return in how many pieces images are going to be written: OME-TIFF as one, linked and copied files as none."""
    if images != "zarr":
        return len(fields) if images == "tiff" else 0
    return sum(
        piece_count((sum(page is not None for page in chosen), field.height, field.width), field.dtype)
        for field, chosen in zip(fields, pages, strict=True)
    )
