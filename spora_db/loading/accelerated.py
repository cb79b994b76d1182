"""A loader that was given to ``accelerator.prepare``: what accelerate asks of loaders while they iterate."""

from collections.abc import Iterator
from typing import Any

from spora_db.loading.panel_batches import PanelBatchSampler
from spora_db.loading.tile_batches import TileBatchSampler


class Prepared:
    """What accelerate knows of a loader that iterates: whether it delivers its last batch, and the rows in that.

    Parameters
    ----------
    batches
        The order of the loader.
    """

    def __init__(self, batches: TileBatchSampler | PanelBatchSampler) -> None:
        self.batches = batches

    @property
    def end_of_dataloader(self) -> bool:
        """Whether the batch that is worked on is the epoch's last: gradients are then not accumulated further."""
        run = self.batches.progress.run
        return run is not None and run.done

    @property
    def remainder(self) -> int:
        """Rows that the last batches of all ranks have but for repeated ones; 0 where none is, -1 if unknown."""
        run, batches = self.batches.progress.run, self.batches
        if run is None or isinstance(batches, PanelBatchSampler):
            return -1
        rows = run.position.left(batches.sampler.rule.num_samples)
        cut = run.position.cut
        last = run.left % batches.batch_size or batches.batch_size
        own = rows - cut.world_size * (cut.length(rows) - last)
        return 0 if batches.drop_last or own == cut.world_size * last else own


def in_accelerate(order: TileBatchSampler | PanelBatchSampler, batches: Iterator[Any]) -> Iterator[Any]:
    """Yield batches on accelerate's device, and let it know when the last one comes."""
    from accelerate.state import GradientState, PartialState
    from accelerate.utils import send_to_device

    gradients, prepared = GradientState(), Prepared(order)
    gradients._add_dataloader(prepared)
    try:
        for batch in batches:
            yield send_to_device(batch, PartialState().device)
    finally:
        gradients._remove_dataloader(prepared)
