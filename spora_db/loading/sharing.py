"""One copy of a plan for all workers: its arrays in a nameless memory file that every process maps."""

import mmap
import os
import pickle
import tempfile
import weakref
from collections.abc import Sequence
from multiprocessing import context, reduction
from typing import Any, NamedTuple, Protocol

from spora_db.images.cache import ChunkCache, cache_in_use, use_cache
from spora_db.plan import Plan

ALIGNMENT = 64


class Handle(Protocol):
    """What multiprocessing makes of a file descriptor on its way to another process."""

    def detach(self) -> int:
        """Return the descriptor in this process."""


def memory_file(size: int) -> int:
    """Return the descriptor of a new memory file without a name: nothing is left behind however processes end."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("spora-db", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:  # has no name either
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor


def received(handle: Handle, size: int) -> mmap.mmap:
    """Map a memory file that another process has sent; the mapping outlives the descriptor."""
    descriptor = handle.detach()
    try:
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)


class SharedPlan(NamedTuple):
    """A plan whose arrays lie in a memory file; what is pickled for a worker is the rest and the file's descriptor.

    Attributes
    ----------
    descriptor, size
        The memory file, and its bytes.
    head
        The plan without its arrays, pickled.
    extents
        Offset and length of each array.
    """

    descriptor: int
    size: int
    head: bytes
    extents: tuple[tuple[int, int], ...]

    def map(self) -> Plan:
        """Return the plan, its arrays read-only views of the mapped file."""
        return _plan_in(mmap.mmap(self.descriptor, self.size), self.head, self.extents)


def _plan_in(memory: mmap.mmap, head: bytes, extents: Sequence[tuple[int, int]]) -> Plan:
    view = memoryview(memory).toreadonly()
    plan: Plan = pickle.loads(head, buffers=[view[start : start + length] for start, length in extents])
    return plan


def share(plan: Plan) -> SharedPlan:
    """Write a plan's arrays to a new memory file."""
    parts: list[pickle.PickleBuffer] = []
    head = pickle.dumps(plan, protocol=5, buffer_callback=parts.append)
    arrays, extents, size = [part.raw() for part in parts], [], 0
    for array in arrays:
        extents.append((size, array.nbytes))
        size = -(-(size + array.nbytes) // ALIGNMENT) * ALIGNMENT
    size = max(size, 1)
    descriptor = memory_file(size)
    with mmap.mmap(descriptor, size) as target:
        for (start, length), array in zip(extents, arrays, strict=True):
            target[start : start + length] = array
    return SharedPlan(descriptor=descriptor, size=size, head=head, extents=tuple(extents))


class PlanHandle:
    """Pickles a plan: as a shared memory file while a worker process is being started, else by value."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._shared: SharedPlan | None = None

    def shared(self) -> SharedPlan:
        """Return the shared form, made once; this process then uses it too, so that the arrays exist once."""
        if self._shared is None:
            self._shared = share(self.plan)
            weakref.finalize(self, os.close, self._shared.descriptor)
            self.plan = self._shared.map()
        return self._shared

    def __reduce__(self) -> tuple[Any, ...]:
        """Reduce to a descriptor where the receiver is a process that is being started."""
        if not hasattr(reduction, "DupFd") or context.get_spawning_popen() is None:
            return PlanHandle, (self.plan,)
        descriptor, *rest = self.shared()
        return _receive, (reduction.DupFd(descriptor), *rest, cache_in_use())


def _receive(
    handle: Handle, size: int, head: bytes, extents: tuple[tuple[int, int], ...], cache: ChunkCache
) -> PlanHandle:
    """Take over a plan in a process that is being started, and where its parent keeps chunks, as a forked one does."""
    use_cache(cache)
    return PlanHandle(_plan_in(received(handle, size), head, extents))
