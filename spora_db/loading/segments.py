"""Memory that a worker fills and the training process reads, used again once that process has let go of a batch.

A worker that makes fresh shared memory for every batch spends more time in the kernel, which clears it page by page,
than it spends decoding and standardizing (measured: 10 ms of 19 ms a tile of 40 channels). Here it goes

1. worker: `SegmentPool.take` marks a free segment (a nameless memory file; its first byte says whether it is in use),
2. worker: tiles are standardized into it; `Parcel` pickles the batch with the file's descriptor instead of the pixels,
3. training process: the unpickled batch maps the file; when its last tensor is gone, the first byte is cleared.

The files have no names and end with the processes that hold them.
"""

import mmap
import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import reduction
from typing import Any

import numpy as np
import torch

from spora_db.loading.sharing import Descriptor, memory_file

START = mmap.PAGESIZE
"""Where pixels begin: behind the page whose first byte tells whether the segment is in use."""


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
        fitting = [segment for segment in free if size <= segment.size <= 2 * size]
        if fitting:
            segment = fitting[0]
        elif len(self.segments) < self.limit or free:
            if len(self.segments) >= self.limit:
                self.segments.remove(free[0])
                os.close(free[0].descriptor)
            segment = _segment(size)
            self.segments.append(segment)
        else:
            return None
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


def _segment(size: int) -> Segment:
    descriptor = memory_file()
    os.ftruncate(descriptor, START + size)
    return Segment(descriptor=descriptor, size=size, mapped=mmap.mmap(descriptor, START + size))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A tensor in a segment, as it is pickled: the segment's position among those of the batch, and the view."""

    segment: int
    dtype: torch.dtype
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(slots=True)
class Parcel:
    """A batch on its way from a worker; it arrives as the batch itself."""

    batch: Any
    pool: SegmentPool

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Any, ...]]:
        """Replace tensors in segments by their places."""
        used: list[Segment] = []
        packed = self._packed(self.batch, used)
        for segment in used:
            segment.sent = True
        return _unpacked, (packed, [(reduction.DupFd(item.descriptor), item.size) for item in used])

    def _packed(self, value: object, used: list[Segment]) -> object:
        if isinstance(value, torch.Tensor):
            segment = self.pool.find(value)
            if segment is None:
                return value
            if segment not in used:
                used.append(segment)
            return Place(
                segment=used.index(segment),
                dtype=value.dtype,
                offset=int(value.storage_offset()),
                shape=tuple(value.shape),
                stride=value.stride(),
            )
        if type(value) is dict:
            return {name: self._packed(part, used) for name, part in value.items()}
        if type(value) in (list, tuple):
            return type(value)(self._packed(part, used) for part in value)  # type: ignore[call-arg, attr-defined]
        return value


def _unpacked(packed: object, handles: Sequence[tuple[Descriptor, int]]) -> object:
    """Map the segments of a batch and put its tensors together."""
    return _restored(packed, [_mapped(handle, size) for handle, size in handles])


def _mapped(handle: Descriptor, size: int) -> torch.Tensor:
    descriptor = handle.detach()
    try:
        mapped = mmap.mmap(descriptor, START + size)
    finally:
        os.close(descriptor)
    pixels = np.frombuffer(mapped, np.uint8, size, START)
    weakref.finalize(pixels, mapped.__setitem__, 0, 0).atexit = False
    return torch.from_numpy(pixels)


def _restored(packed: object, memory: Sequence[torch.Tensor]) -> object:
    if isinstance(packed, Place):
        whole = memory[packed.segment]
        typed = whole[: whole.numel() // packed.dtype.itemsize * packed.dtype.itemsize].view(packed.dtype)
        return typed.as_strided(packed.shape, packed.stride, packed.offset)
    if isinstance(packed, Mapping) and type(packed) is dict:
        return {name: _restored(part, memory) for name, part in packed.items()}
    if type(packed) in (list, tuple):
        return type(packed)(_restored(part, memory) for part in packed)  # type: ignore[call-arg, attr-defined]
    return packed
