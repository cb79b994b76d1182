"""Memory that a worker fills and the training process reads, used again once that process has let go of a batch.

A worker that makes fresh shared memory for every batch spends more time in the kernel, which clears it page by page,
than it spends decoding and standardizing (measured: 10 ms of 19 ms a tile of 40 channels). Here it goes

1. worker: `SegmentPool.take` marks a free segment (a nameless memory file; its first byte says whether it is in use),
2. worker: tiles are standardized into it; `Parcel` pickles the batch with the file's descriptor instead of the pixels,
3. training process: the unpickled batch maps the file; when its last tensor is gone, the first byte is cleared.

The files have no names and end with the processes that hold them.
"""

import io
import mmap
import os
import pickle
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing import reduction
from typing import Any

import numpy as np
import torch
from torch._utils import ExceptionWrapper
from torch.utils.data import get_worker_info

from spora_db.files.failures import FILE_FAILURES, READER_FAILURES
from spora_db.loading.failures import EXHAUSTED
from spora_db.loading.sharing import Handle, memory_file, received

START = mmap.PAGESIZE
"""Where pixels begin: behind the page whose first byte tells whether the segment is in use."""
UNSENDABLE: tuple[type[Exception], ...] = (*READER_FAILURES, *FILE_FAILURES, pickle.PicklingError)
"""What pickling a batch of the user's own making raises, and what a lack of descriptors or memory does."""


@dataclass(slots=True, kw_only=True)
class Segment:
    """One memory file of a worker; free when neither the worker nor the training process uses it."""

    descriptor: int
    size: int
    mapped: mmap.mmap = field(repr=False)
    address: int = 0
    held: bool = False
    sent: bool = False

    @property
    def free(self) -> bool:
        """Whether the segment can be lent."""
        return not self.held and self.mapped[0] == 0

    def release(self) -> None:
        """Note that the last tensor of the worker is gone; the receiver clears the flag of a batch that was sent."""
        self.held = False
        if not self.sent:
            self.mapped[0] = 0


class SegmentPool:
    """The segments of one worker.

    Parameters
    ----------
    limit
        Segments at most; a worker that needs more than are free at a time gets none.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.segments: list[Segment] = []

    def take(self, size: int) -> torch.Tensor | None:
        """Return a uint8 tensor of `size` bytes with arbitrary contents, or None where all segments are in use."""
        free = [segment for segment in self.segments if segment.free]
        segment = next((own for own in free if size <= own.size <= 2 * size), None)
        if segment is None:
            if len(self.segments) >= self.limit:
                if not free:
                    return None
                self.segments.remove(free[0])
                os.close(free[0].descriptor)
            descriptor = memory_file(START + size)
            segment = Segment(descriptor=descriptor, size=size, mapped=mmap.mmap(descriptor, START + size))
            self.segments.append(segment)
        segment.mapped[0], segment.held, segment.sent = 1, True, False
        lent = np.frombuffer(segment.mapped, np.uint8, size, START)  # torch holds it while any tensor uses its memory
        segment.address = lent.ctypes.data
        weakref.finalize(lent, segment.release).atexit = False
        return torch.from_numpy(lent)

    def find(self, tensor: torch.Tensor) -> Segment | None:
        """Return the segment that holds a tensor's memory."""
        address = tensor.untyped_storage().data_ptr()
        lent = (segment for segment in self.segments if segment.held and not segment.sent)
        return next((segment for segment in lent if segment.address == address), None)


SEGMENTS: list[SegmentPool] = []
"""In a worker of a `TileLoader`, its segments."""


@dataclass(slots=True)
class Parcel:
    """A batch on its way from a worker; it arrives as the batch itself."""

    batch: Any
    pool: SegmentPool

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Any, ...]]:
        """Pickle the batch, its tensors in segments as views of these; or why that failed, as torch hands errors over.

        A queue would print the error in the worker, and the training process would wait for the batch for ever.
        """
        packed = io.BytesIO()
        packer = _Packer(packed, self.pool)
        try:
            packer.dump(self.batch)
        except UNSENDABLE as error:
            if not EXHAUSTED.search(str(error)):  # which says by itself what to do
                error.add_note("What collate returns is pickled in a worker: return tensors and plain values.")
            info = get_worker_info()
            where = "while sending a batch" if info is None else f"in DataLoader worker process {info.id}"
            told = ExceptionWrapper(where=where)  # type: ignore[no-untyped-call]
            return pickle.loads, (pickle.dumps(told),)
        for segment in packer.used:
            segment.sent = True
        return pickle.loads, (packed.getvalue(),)


class _Packer(reduction.ForkingPickler):
    """Pickles tensors in segments as views of their segment, and each segment, once, as its descriptor."""

    def __init__(self, file: io.BytesIO, pool: SegmentPool) -> None:
        super().__init__(file)
        self.pool = pool
        self.used: list[Segment] = []

    def reducer_override(self, value: object) -> Any:  # noqa: ANN401 - pickle's protocol
        if isinstance(value, Segment):
            self.used.append(value)
            return _mapped, (reduction.DupFd(value.descriptor), value.size)
        if isinstance(value, torch.Tensor) and (segment := self.pool.find(value)) is not None:
            return _view, (segment, value.dtype, value.shape, value.stride(), value.storage_offset())
        return NotImplemented


def _view(
    whole: torch.Tensor, dtype: torch.dtype, shape: Sequence[int], stride: Sequence[int], offset: int
) -> torch.Tensor:
    """Return the tensor that lay in a segment."""
    typed = whole[: whole.numel() // dtype.itemsize * dtype.itemsize].view(dtype)
    return typed.as_strided(shape, stride, offset)


def _mapped(handle: Handle, size: int) -> torch.Tensor:
    mapped = received(handle, START + size)
    pixels = np.frombuffer(mapped, np.uint8, size, START)
    weakref.finalize(pixels, mapped.__setitem__, 0, 0).atexit = False
    return torch.from_numpy(pixels)
