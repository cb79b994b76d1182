"""What accelerate asks of loaders while they iterate, and what Lightning is told: it counts the batches of an epoch."""

from collections.abc import Iterator
from typing import Any

from spora_db.errors import ArgumentError
from spora_db.loading.batches import PanelBatchSampler, TileBatchSampler
from spora_db.loading.partition import iterating

COUNTS = ("ready", "started", "processed", "completed")


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


def count_right(batches: TileBatchSampler | PanelBatchSampler, *, left: int) -> None:
    """Let Lightning's training loop, where that iterates, end its epoch after the batches that are left.

    It goes on counting where its checkpoint stood, and ends the epoch at the loader's length. Where the epoch was begun
    on more or fewer ranks, rows would be left out, or the next epoch begin in its midst.

    Parameters
    ----------
    batches
        The order, of which an iteration has begun.
    left
        Batches that this rank gets in it.

    Raises
    ------
    ArgumentError
        If Lightning took the epoch of the checkpoint for finished, which it was not.
    """
    found: dict[str, Any] = {}
    for one in iterating():
        if type(one).__module__.partition(".")[0] in ("lightning", "pytorch_lightning"):
            found.setdefault(type(one).__name__, one)
    loop, fetcher = found.get("_TrainingEpochLoop"), found.get("_PrefetchDataFetcher")
    if loop is None or fetcher is None or "_EvaluationLoop" in found:  # which validates in the midst of training
        return
    aside, whole = batches.left_aside(), len(batches)
    if aside is not None:
        raise ArgumentError(
            f"Lightning takes epoch {aside}, in which its checkpoint stands, for finished, and would leave out its "
            "rest: it counts batches, of which there were more on fewer ranks; or the run ended by max_steps, and the "
            "checkpoint was written afterwards. Resume on as many ranks as before, and from a file of ModelCheckpoint."
        )
    if loop.trainer.num_training_batches == whole:  # else the run is limited to fewer
        fetcher.fetched = whole - left
        for name in COUNTS:
            setattr(loop.batch_progress.current, name, whole - left)
