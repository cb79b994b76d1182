"""`ResumableSampler`: a sampler whose epoch, position and partition are apart, and whose state is plain values."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, TypeVar

from torch.utils.data.distributed import DistributedSampler

from spora_db.arrays import Int64
from spora_db.errors import ArgumentError
from spora_db.loading.partition import Partition, checkpoint_ranks
from spora_db.loading.position import VERSION, Cut, Position, check_state
from spora_db.loading.progress import EpochProgress, OneEpoch, Run, Start
from spora_db.selection.arguments import checked_whole

Item = TypeVar("Item", covariant=True)


class ResumableSampler(OneEpoch, DistributedSampler[Item]):  # type: ignore[override]  # torch keeps the epoch
    """An order of items, cut for ranks; a subclass says which items an epoch has, and what else its state holds.

    It is a `DistributedSampler` in that it shares an epoch out to ranks, so that frameworks do not do so again. Each
    iteration yields the next epoch, or the one that `set_epoch` chose, or what a loaded state left of one. The ranks
    are found when it begins.

    Parameters
    ----------
    progress
        The epoch, which others may share.
    ranks
        This process and the number of those that share the epoch; None to find them.
    block, drop_last
        How the order is cut for them, see `Cut`.
    """

    KIND: ClassVar[str]

    def __init__(
        self, *, progress: EpochProgress, ranks: tuple[int, int] | tuple[None, None], block: int, drop_last: bool
    ) -> None:
        self.progress, self.ranks, self._block, self._drop_last = progress, ranks, block, drop_last

    @property
    def partition(self) -> Partition:
        """Which process this is among those that share the epoch, as it is found now."""
        return Partition.here(*self.ranks)

    @property
    def rank(self) -> int:  # type: ignore[override]  # torch keeps what it found; here it is found anew
        """Number of this process among those that share the epoch."""
        return self.partition.rank

    @property
    def world_size(self) -> int:
        """Number of ranks."""
        return self.partition.world_size

    @property
    def num_replicas(self) -> int:  # type: ignore[override]  # torch keeps what it found; here it is found anew
        """Number of ranks, in the word of `DistributedSampler`."""
        return self.world_size

    def __len__(self) -> int:
        """Return how many items this rank gets in a whole epoch."""
        return self._cut().length(self._count(self.epoch))

    @property
    def remaining(self) -> int:
        """Items that this rank still gets of the epoch."""
        run = self.progress.current
        if run is not None:
            return run.left - run.taken
        start = self.progress.following
        return start.position(self._cut()).length(self._count(start.epoch))

    def __iter__(self) -> Iterator[Item]:
        """Yield the items of this rank; the iteration begins with the first."""
        here, start = self.partition, self.progress.following
        position = start.position(self._cut(here))
        self._check(here, position)
        positions = position.assigned(self._count(start.epoch), here.rank)
        run = self.progress.begin(
            Run(epoch=start.epoch, position=position, left=len(positions), done=not len(positions), ahead=here.ahead)
        )
        for i, item in enumerate(self._items(start.epoch, positions), start=1):
            if not run.led:
                run.taken, run.done = i, i == run.left
            yield item

    def state_dict(self, *, taken: int | None = None) -> dict[str, Any]:
        """Return where the epoch stands, as plain values, valid for any number of ranks and workers.

        Parameters
        ----------
        taken
            Items that this rank has used since iteration began; by default those that it has yielded. With worker
            processes a DataLoader asks for items ahead of those that it delivers: pass what it delivered, or use the
            `state_dict` of the loader that `dataset.loader()` returns, which counts.

        See Also
        --------
        TileSampler.load_state_dict

        Examples
        --------
        >>> from spora_db import SporaQuery, TileSampler
        >>> dataset = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).to_torch()
        >>> state = TileSampler(dataset, seed=0).state_dict()
        """
        if taken is not None:
            taken = checked_whole(taken, at="state_dict(taken=", of="items", least=0)
        run = self.progress.current if self.progress.start is not None else self.progress.run
        if run is None:
            start = self.progress.following
            epoch, position, used = start.epoch, start.position(self._cut()), taken or 0
        else:
            epoch, position = run.epoch, run.position
            used = run.taken if taken is None else min(taken, run.left)
        head = {"kind": self.KIND, "version": VERSION, **self._identity(), **self._further()}
        return {**head, "epoch": epoch, "stretches": position.advanced(used).stretches()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where a state stands; how groups are interleaved is taken from it.

        Parameters
        ----------
        state
            What `state_dict` of any rank returned.

        Raises
        ------
        ArgumentError
            If it belongs to another plan or order.

        See Also
        --------
        TileSampler.state_dict

        Examples
        --------
        >>> from spora_db import SporaQuery, TileSampler
        >>> dataset = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).to_torch()
        >>> sampler, again = TileSampler(dataset, seed=0), TileSampler(dataset, seed=0)
        >>> again.load_state_dict(sampler.state_dict())
        """
        check_state(state, self._identity(), self.KIND)
        self._take_over(state)
        self.progress.resume(Start(epoch=state["epoch"], stretches=tuple(state["stretches"])))

    def _cut(self, here: Partition | None = None) -> Cut:
        """Return how the order is cut for the ranks that there are."""
        world_size = (here or self.partition).world_size
        return Cut(world_size=world_size, block=self._block, drop_last=self._drop_last)

    def left_aside(self) -> int | None:
        """Return the epoch of which a loaded state had items left when `set_epoch` chose another; None for none."""
        aside = None if self.progress.run is None else self.progress.run.aside
        if aside is None or not aside.position(self._cut()).length(self._count(aside.epoch)):
            return None
        return aside.epoch

    def _check(self, here: Partition, position: Position) -> None:
        """Refuse to iterate where rows would be lost.

        Raises
        ------
        ArgumentError
            Naming what to write.
        """
        if here.counted and position.history and not self.progress.led:
            raise ArgumentError(
                f"Lightning counts batches of {position.history[-1][0].world_size} ranks, where the state stands, and "
                f"would end the epoch too early or too late on {here.world_size}. Pass it dataset.loader(...), which "
                "tells it how many are left."
            )
        before = checkpoint_ranks()
        if before is not None and before != here.world_size and not here.outside:
            raise ArgumentError(
                f"transformers counts steps, and its checkpoint was written by {before} processes; here are "
                f"{here.world_size}, so it would go on at other rows. Resume on {before} processes."
            )
        if here.skipped and (position.history or position.taken):
            raise ArgumentError(
                "A loaded state stands in the midst of this epoch, and skip_first_batches would leave out as many "
                "batches again. Iterate over the loader itself: it goes on where accelerator.load_state left it."
            )

    def _count(self, epoch: int) -> int:
        """Return how many items an epoch has over all ranks."""
        raise NotImplementedError

    def _items(self, epoch: int, positions: Int64) -> Iterable[Item]:
        """Return the items at some positions of an epoch's order."""
        raise NotImplementedError

    def _identity(self) -> dict[str, Any]:
        """Return what a state must agree in, as plain values."""
        raise NotImplementedError

    def _further(self) -> dict[str, Any]:
        """Return what else a state holds."""
        raise NotImplementedError

    def _take_over(self, state: Mapping[str, Any]) -> None:
        """Take over what else a state holds."""
        raise NotImplementedError
