"""Shows how far a run is: a bar on a terminal, plain lines elsewhere, nothing when asked for quiet."""

import time
from collections.abc import Callable
from typing import Any, TextIO

from spora_db.jobs.units import Outcome

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Told what a run does, and shows nothing of it; all methods return at once."""

    def start(self, title: str, *, units: int, called: str = "tissues") -> None:
        """Begin a stage of so many units, which are called tissues or otherwise."""

    def advance(self, outcome: Outcome) -> None:
        """Take note of one more unit."""

    def stop(self) -> None:
        """End the stage."""


class Quiet(Progress):
    """Shows nothing."""


class Lines(Progress):
    """Writes a line now and then, for logs: never more than one in ten seconds, besides failures and the last one.

    Parameters
    ----------
    stream
        Where to.
    clock
        Gives seconds.

    Examples
    --------
    >>> import sys
    >>> lines = Lines(sys.stdout, clock=iter([0.0, 2.0, 2.0]).__next__)
    >>> lines.start("tile cohort", units=2)
    >>> lines.advance(Outcome(tissue_id="a", failure="No mask."))
    tile cohort: a failed: No mask.
    >>> lines.advance(Outcome(tissue_id="b", seconds=1.0, pixels=3_000_000))
    tile cohort: 2 of 2 tissues, 1.5 Mpixel/s, 0 s left
    """

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._speed = Speed()
        self._title = ""
        self._called = "tissues"
        self._last = 0.0

    def start(self, title: str, *, units: int, called: str = "tissues") -> None:
        """Begin a stage of so many units."""
        self._title, self._called = title, called
        self._last = self._clock()
        self._speed = Speed(units=units, started=self._last)

    def advance(self, outcome: Outcome) -> None:
        """Write failures at once, and the state every ten seconds."""
        self._speed.add(outcome)
        now = self._clock()
        if outcome.failure is not None:
            self._write(f"{outcome.tissue_id} failed: {outcome.failure}")
        if self._speed.done == self._speed.units or now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            speed = self._speed
            self._write(f"{speed.done} of {speed.units} {self._called}, {speed.rate(now)}, {speed.left(now)} left")

    def _write(self, text: str) -> None:
        self._stream.write(f"{self._title}: {text}\n")
        self._stream.flush()


class Bar(Progress):
    """Draws a bar on a terminal: tissues done, pixels per second, time left; failures are written above it.

    Parameters
    ----------
    console
        A ``rich.console.Console``.
    """

    def __init__(self, console: Any) -> None:  # noqa: ANN401
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._rich = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[called]} · {task.fields[rate]} · {task.fields[left]} left"),
            console=console,
            transient=True,
        )
        self._speed = Speed()
        self._task: Any = None

    def start(self, title: str, *, units: int, called: str = "tissues") -> None:
        """Draw an empty bar."""
        from rich.markup import escape

        self._speed = Speed(units=units, started=time.monotonic())
        self._rich.start()
        self._task = self._rich.add_task(escape(title), total=units, rate="-", left="-", called=called)

    def advance(self, outcome: Outcome) -> None:
        """Let the bar grow."""
        from rich.markup import escape

        self._speed.add(outcome)
        now = time.monotonic()
        if outcome.failure is not None:
            self._rich.console.print(f"[red]{escape(outcome.tissue_id)} failed:[/red] {escape(outcome.failure)}")
        self._rich.update(self._task, advance=1, rate=self._speed.rate(now), left=self._speed.left(now))

    def stop(self) -> None:
        """Take the bar away."""
        if self._task is not None:
            self._rich.refresh()  # the bar is drawn ten times a second; a short run ends before
            self._rich.remove_task(self._task)
            self._task = None
        self._rich.stop()


class Speed:
    """Pixels per second and time left, from the units that were really computed.

    Examples
    --------
    >>> speed = Speed(units=4, started=0.0)
    >>> speed.add(Outcome(tissue_id="a", pixels=8_000_000))
    >>> speed.rate(2.0), speed.left(2.0)
    ('4.0 Mpixel/s', '6 s')
    """

    def __init__(self, *, units: int = 0, started: float = 0.0) -> None:
        self.units = units
        self.done = 0
        self._computed = 0
        self._pixels = 0
        self._started = started

    def add(self, outcome: Outcome) -> None:
        """Count a unit."""
        self.done += 1
        self._pixels += outcome.pixels
        self._computed += not outcome.reused

    def rate(self, now: float) -> str:
        """Return the speed so far."""
        return f"{self._pixels / max(now - self._started, 1e-9) / 1e6:.1f} Mpixel/s"

    def left(self, now: float) -> str:
        """Return how long the rest will take at that speed."""
        if not self._computed:
            return "?" if self.done < self.units else "0 s"
        seconds = (now - self._started) / self._computed * (self.units - self.done)
        return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
