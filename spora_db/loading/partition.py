"""Which process this is among those that share an epoch, found when its iteration begins."""

import inspect
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from spora_db.errors import ArgumentError
from spora_db.selection.arguments import checked_whole

FRAMEWORKS = ("accelerate", "lightning", "pytorch_lightning", "ray")
"""Libraries that iterate over loaders in ways of their own."""
LIGHTNING = ("lightning._FitLoop", "pytorch_lightning._FitLoop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One process among those that share an epoch.

    Attributes
    ----------
    rank, world_size
        The training process, and how many of them there are.
    outside
        Whether accelerate hands the batches of the whole epoch out to ranks itself, as it does with loaders that it
        has wrapped: the order is then not shared out a second time.
    ahead
        Batches that were asked for before the training loop got the last one: Ray Train fetches one ahead.
    counted
        Whether Lightning iterates, which counts the batches of an epoch itself.
    skipped
        Whether accelerate skips the first batches.

    Examples
    --------
    >>> Partition.here(1, 4)
    Partition(rank=1, world_size=4, outside=False, ahead=0, counted=False, skipped=False)
    """

    rank: int = 0
    world_size: int = 1
    outside: bool = False
    ahead: int = 0
    counted: bool = False
    skipped: bool = False

    @classmethod
    def here(cls, rank: int | None = None, world_size: int | None = None) -> "Partition":
        """Return that of this process and whoever iterates in it.

        Parameters
        ----------
        rank, world_size
            As given; else as ``torch.distributed`` knows them, else as torchrun's variables say, else one alone.

        Raises
        ------
        ArgumentError
            If accelerate iterates in one process and sends parts of batches to the others.
        """
        names = {_name(one) for one in iterating()}
        if "accelerate.DataLoaderDispatcher" in names:
            raise ArgumentError(
                "accelerate iterates in one process and sends parts of its batches to the others, which have texts and "
                "channels that cannot be cut. Write Accelerator(dataloader_config=DataLoaderConfiguration("
                "dispatch_batches=False))."
            )
        outside = "accelerate.BatchSamplerShard" in names
        if outside:
            rank, world_size = 0, 1
        elif rank is None or world_size is None:
            rank, world_size = _found()
        return cls(
            rank=rank,
            world_size=world_size,
            outside=outside,
            ahead=int("ray._WrappedDataLoader" in names),
            counted=not names.isdisjoint(LIGHTNING),
            skipped="accelerate.SkipBatchSampler" in names,
        )


def _found() -> tuple[int, int]:
    """Return rank and number of ranks, of torch or of torchrun, whose processes need not talk to one another."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    return 0, 1


def checked_ranks(rank: int | None, world_size: int | None, *, at: str) -> tuple[int, int] | tuple[None, None]:
    """Return a rank and the number of ranks as given, both or neither.

    Raises
    ------
    ArgumentError
        If only one of the two is given, or one is no whole number, or there is no such rank.
    """
    if rank is None and world_size is None:
        return None, None
    if rank is None or world_size is None:
        raise ArgumentError(f"{at}(rank={rank}, world_size={world_size}): pass both or neither.")
    world_size = checked_whole(world_size, at=f"{at}(world_size=", of="ranks")
    if checked_whole(rank, at=f"{at}(rank=", of="ranks", least=0) >= world_size:
        raise ArgumentError(f"{at}(rank={rank}, world_size={world_size}): expected a rank from 0 to world_size - 1.")
    return int(rank), world_size


def iterating() -> Iterator[Any]:
    """Yield the objects of frameworks in whose methods the call stands, innermost first; none where none is loaded."""
    return (found for frame in _frames() if (found := _local(frame, "self")) is not None)


def checkpoint_ranks() -> int | None:
    """Return how many processes wrote the checkpoint that transformers resumes; None where it resumes none."""
    for frame in _frames():
        if frame.f_globals.get("__name__") == "transformers.trainer":
            folder = _local(frame, "resume_from_checkpoint")
            if isinstance(folder, str | os.PathLike):
                return len(list(Path(folder).glob("rng_state*.pth"))) or None  # each of them writes one
    return None


def _frames() -> Iterator[FrameType]:
    """Yield the calls of functions of frameworks that led here, innermost first."""
    frame = None if sys.modules.keys().isdisjoint(FRAMEWORKS) else sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "").partition(".")[0]
        if module in (*FRAMEWORKS, "transformers") and frame.f_code.co_flags & inspect.CO_OPTIMIZED:
            yield frame
        frame = frame.f_back


def _local(frame: FrameType, name: str) -> object:
    """Return a variable of a function that runs, None where it has no such one.

    Before Python 3.13 a frame keeps the copy of its variables that it was once asked for, and with it loaders and
    batches that were deleted since, until the function ends. So the copy is emptied, unless a debugger uses it too.
    """
    if name not in frame.f_code.co_varnames:
        return None
    variables = frame.f_locals
    found: object = variables.get(name)
    if sys.version_info < (3, 13) and sys.gettrace() is None:
        variables.clear()
    return found


def _name(found: object) -> str:
    """Return the library and name of an object's class."""
    kind = type(found)
    return f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
