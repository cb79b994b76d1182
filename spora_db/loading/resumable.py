"""`ResumableSampler`: a sampler whose epoch, position and partition are apart, and whose state is plain values."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, TypeVar

from torch.utils.data import Sampler

from spora_db.arrays import Int64
from spora_db.loading.partition import Partition
from spora_db.loading.position import VERSION, Cut, Position, check_state

Item = TypeVar("Item", covariant=True)


class ResumableSampler(Sampler[Item]):
    """An order of items, cut for ranks; a subclass says which items an epoch has, and what else its state holds.

    Parameters
    ----------
    partition
        Whose items are yielded.
    cut
        How the order is cut.
    epoch
        The first epoch.
    """

    KIND: ClassVar[str]

    def __init__(self, *, partition: Partition, cut: Cut, epoch: int = 0) -> None:
        self.partition, self.position, self._epoch, self._yielded = partition, Position(cut=cut), epoch, 0

    @property
    def epoch(self) -> int:
        """The epoch that the next iteration yields."""
        return self._epoch

    @property
    def rank(self) -> int:
        """Number of this process among those that share the epoch."""
        return self.partition.rank

    @property
    def world_size(self) -> int:
        """Number of ranks."""
        return self.partition.world_size

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; another than the current one starts at its beginning.

        Parameters
        ----------
        epoch
            Any number; each has its own order.

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
        if epoch != self._epoch:
            self._epoch, self.position, self._yielded = epoch, Position(cut=self.position.cut), 0

    def __len__(self) -> int:
        """Return how many items this rank still gets of the current epoch."""
        return self.position.length(self._count())

    def __iter__(self) -> Iterator[Item]:
        """Yield the items of this rank."""
        items = self._at(self.position.assigned(self._count(), self.rank))
        self._yielded = 0
        return self._counted(items)

    def _counted(self, items: Iterable[Item]) -> Iterator[Item]:
        for i, item in enumerate(items, start=1):
            self._yielded = i
            yield item

    def state_dict(self, *, taken: int | None = None) -> dict[str, Any]:
        """Return where the epoch stands, as plain values, valid for any number of ranks and workers.

        Parameters
        ----------
        taken
            Items that this rank has used since iteration began; by default those that it has yielded. With worker
            processes a DataLoader asks for items ahead of those that it delivers: pass what it delivered, or use the
            `state_dict` of the loader that `dataset.loader()` returns, which counts.

        Examples
        --------
        >>> from spora_db import SporaQuery, TileSampler
        >>> dataset = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).to_torch()
        >>> state = TileSampler(dataset, seed=0).state_dict()
        """
        position = self.position.advanced(self._yielded if taken is None else taken)
        head = {"kind": self.KIND, "version": VERSION, **self._identity(), **self._further()}
        return {**head, "epoch": self.epoch, "stretches": position.stretches()}

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

        Examples
        --------
        >>> from spora_db import SporaQuery, TileSampler
        >>> dataset = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).to_torch()
        >>> sampler, again = TileSampler(dataset, seed=0), TileSampler(dataset, seed=0)
        >>> again.load_state_dict(sampler.state_dict())
        """
        check_state(state, self._identity(), self.KIND)
        self._take_over(state)
        self._epoch, self.position, self._yielded = state["epoch"], self.position.resumed(state["stretches"]), 0

    def _count(self) -> int:
        """Return how many items the epoch has over all ranks."""
        raise NotImplementedError

    def _at(self, positions: Int64) -> Iterable[Item]:
        """Return the items at some positions of the epoch's order."""
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
