"""How many batches of an epoch are behind: Lightning counts on where it stood, which may be on other ranks."""

from typing import Any

from spora_db.errors import ArgumentError
from spora_db.loading.panel_batches import PanelBatchSampler
from spora_db.loading.partition import iterating
from spora_db.loading.tile_batches import TileBatchSampler

COUNTS = ("ready", "started", "processed", "completed")


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
