"""What of a lake a plan stands on: its tissues by cohort, their images, and its tiles."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from spora_db.arrays import Int64
from spora_db.plan import ABSENT, Plan
from spora_db.selection import Selection


@dataclass(frozen=True, kw_only=True)
class CopyExtent:
    """A plan, and the selection that it answers, as far as they say what is taken along.

    Attributes
    ----------
    plan, selection
        The plan, and the selection as the lake resolved it.
    """

    plan: Plan
    selection: Selection

    @cached_property
    def images(self) -> tuple[int, ...]:
        """The images of the plan that its rows use, by their numbers."""
        used = np.unique(self.plan.image)
        return tuple(used[used != ABSENT].tolist())

    @cached_property
    def records(self) -> tuple[Mapping[str, object], ...]:
        """Of each of `images` its entry in the plan."""
        return tuple(self.plan.images.take(list(self.images)).to_pylist())

    @cached_property
    def tissues(self) -> Mapping[str, tuple[str, ...]]:
        """The tissues by dataset, sorted."""
        found: dict[str, set[str]] = {}
        for record in self.records:
            found.setdefault(str(record["dataset"]), set()).add(str(record["tissue_id"]))
        return {name: tuple(sorted(found[name])) for name in sorted(found)}

    @cached_property
    def places(self) -> frozenset[tuple[object, ...]]:
        """Dataset, modality and mpp of the images."""
        return frozenset((record["dataset"], record["modality"], record["mpp"]) for record in self.records)

    @cached_property
    def tiles(self) -> Mapping[str, Int64]:
        """The tiles by dataset, as `tile_keys` counts them: sorted."""
        first = (self.plan.image != ABSENT).argmax(axis=1)
        image = self.plan.image[np.arange(len(self.plan)), first]
        names = self.plan.images.column("dataset").to_pylist()
        ids = self.plan.images.column("tissue_id").to_pylist()
        numbers = {name: {tissue: at for at, tissue in enumerate(own)} for name, own in self.tissues.items()}
        tissue = np.array([numbers.get(name, {}).get(own, -1) for name, own in zip(names, ids, strict=True)], np.int64)
        keys = tile_keys(tissue[image], self.plan.tile_id.astype(np.int64))
        dataset = np.array(names, object)[image]
        return {name: np.unique(keys[dataset == name]) for name in self.tissues}


def tile_keys(tissue: Int64, tile_id: Int64) -> Int64:
    """Return one number for each pair of a tissue's position among those of its dataset and a tile of it.

    Examples
    --------
    >>> tile_keys(np.array([0, 1]), np.array([5, 5])).tolist()
    [5, 4294967301]
    """
    return tissue * 2**32 + tile_id
