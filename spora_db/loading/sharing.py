"""One copy of a plan for all workers: its arrays in a nameless memory file that every process maps."""

import mmap
import os
import pickle
import tempfile
import weakref
from dataclasses import dataclass
from multiprocessing import context, reduction
from typing import Any, Protocol

from spora_db.plan import Plan

ALIGNMENT = 64


class Descriptor(Protocol):
    """What multiprocessing makes of a file descriptor on its way to another process."""

    def detach(self) -> int:
        """Return the descriptor in this process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedPlan:
    """A plan whose arrays lie in a memory file; what is pickled for a worker is the rest and the file's descriptor.

    The file has no name, so that nothing is left behind however the processes end.

    Attributes
    ----------
    descriptor
        The memory file.
    size
        Its bytes.
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
        mapped = memoryview(mmap.mmap(self.descriptor, max(self.size, 1), prot=mmap.PROT_READ))
        buffers = [mapped[offset : offset + length] for offset, length in self.extents]
        plan: Plan = pickle.loads(self.head, buffers=buffers)
        return plan


def share(plan: Plan) -> SharedPlan:
    """Write a plan's arrays to a new memory file.

    Parameters
    ----------
    plan
        Any plan.
    """
    parts: list[pickle.PickleBuffer] = []
    head = pickle.dumps(plan, protocol=5, buffer_callback=parts.append)
    extents, size = [], 0
    for part in parts:
        with part.raw() as view:
            extents.append((size, view.nbytes))
            size = -(-(size + view.nbytes) // ALIGNMENT) * ALIGNMENT
    descriptor = memory_file()
    os.ftruncate(descriptor, max(size, 1))
    with mmap.mmap(descriptor, max(size, 1)) as target:
        for (offset, length), part in zip(extents, parts, strict=True):
            with part.raw() as view:
                target[offset : offset + length] = view
    return SharedPlan(descriptor=descriptor, size=size, head=head, extents=tuple(extents))


def memory_file() -> int:
    """Return the descriptor of a new memory file without a name."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("spora-db", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:  # has no name either
        return os.dup(file.fileno())


class PlanHandle:
    """Pickles a plan: as a shared memory file while a worker process is being started, else by value.

    Parameters
    ----------
    plan
        The plan to hand over.
    """

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
        shared = self.shared()
        duplicate = reduction.DupFd(shared.descriptor)
        return _receive, (duplicate, shared.size, shared.head, shared.extents)


def _receive(duplicate: Descriptor, size: int, head: bytes, extents: tuple[tuple[int, int], ...]) -> PlanHandle:
    """Map the plan in the started process; the mapping outlives the descriptor."""
    descriptor = duplicate.detach()
    try:
        return PlanHandle(SharedPlan(descriptor=descriptor, size=size, head=head, extents=extents).map())
    finally:
        os.close(descriptor)
