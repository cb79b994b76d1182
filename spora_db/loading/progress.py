"""`EpochProgress`: the one epoch that a loader, its samplers and whoever iterates over them share."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from spora_db.loading.position import Cut, Position
from spora_db.selection.arguments import checked_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where an iteration begins.

    Attributes
    ----------
    epoch
        Its epoch.
    stretches
        What was taken of it before, as `Position.stretches` gives it.
    """

    epoch: int
    stretches: tuple[dict[str, Any], ...] = ()

    def position(self, cut: Cut) -> Position:
        """Return what is left of the epoch, cut as said."""
        return Position(cut=cut).resumed(self.stretches) if self.stretches else Position(cut=cut)


@dataclass(slots=True, kw_only=True)
class Run:
    """One iteration over an epoch, or over what was left of it.

    Attributes
    ----------
    epoch, position
        The epoch, and where it began.
    left
        Items that this rank gets in it.
    taken
        Items that were delivered.
    done
        Whether the last batch was delivered.
    ahead
        See `Partition`.
    led
        Whether a loader counts what it delivers; else the sampler counts what it yields.
    aside
        Where a loaded state stood that `EpochProgress.set_epoch` put aside.
    """

    epoch: int
    position: Position
    left: int
    taken: int = 0
    done: bool = False
    ahead: int = 0
    led: bool = False
    aside: Start | None = None

    def finish(self) -> None:
        """Note that the last batch was delivered."""
        self.taken, self.done = self.left, True


class EpochProgress:
    """Which epoch comes next or is under way, and what was delivered of it.

    Every iteration takes an epoch: the one that `set_epoch` chose or a state left off in, else the one after the last
    iteration's, whether that was finished or not.
    """

    def __init__(self) -> None:
        self.start: Start | None = Start(epoch=0)
        self.run: Run | None = None
        self._aside: Start | None = None
        self.led = False

    @property
    def following(self) -> Start:
        """Where the next iteration begins."""
        if self.start is not None:
            return self.start
        assert self.run is not None
        return Start(epoch=self.run.epoch + 1)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration; one that a loaded state left off in goes on there."""
        epoch = checked_whole(epoch, at="set_epoch(epoch=", of="epochs", least=0)  # 1.0 would have another order than 1
        if self.start is not None and self.start.stretches:
            if self.start.epoch == epoch:
                return
            self._aside = self.start
        self.start = Start(epoch=epoch)

    def resume(self, start: Start) -> None:
        """Continue where a state stands."""
        self.start, self.run = start, None

    def begin(self, run: Run) -> Run:
        """Note that an iteration begins."""
        run.led, run.aside = self.led, self._aside
        self.run, self.start, self._aside = run, None, None
        return run

    @contextmanager
    def leading(self) -> Iterator[None]:
        """Count what is delivered of the iteration that begins meanwhile."""
        self.led = True
        try:
            yield
        finally:
            self.led = False

    @property
    def current(self) -> Run | None:
        """The iteration whose epoch is the one at hand: neither finished nor put aside by `set_epoch`."""
        run = self.run
        aside = run is None or run.done or (self.start is not None and self.start.epoch != run.epoch)
        return None if aside else run


class OneEpoch:
    """What loaders and samplers have in common: an epoch, which may be that of others too."""

    progress: EpochProgress

    @property
    def epoch(self) -> int:
        """The epoch that is under way, else the one that the next iteration yields."""
        run = self.progress.current
        return self.progress.following.epoch if run is None else run.epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration.

        Parameters
        ----------
        epoch
            A whole number from 0 on; each has its own order. One in which a loaded state stands goes on from there, any
            other, and one of which this process has already begun an iteration, starts at its beginning.

        Raises
        ------
        ArgumentError
            If it is no such number.

        See Also
        --------
        TileSampler.state_dict

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> dataset = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).to_torch()
        >>> from spora_db import TileSampler
        >>> sampler = TileSampler(dataset, seed=0)
        >>> sampler.set_epoch(3)
        >>> sampler.epoch
        3
        """
        self.progress.set_epoch(epoch)
