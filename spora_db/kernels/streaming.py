"""Rows that are written past the caches of the processor: an ordinary write has it fetch first what lies there."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from spora_db.files.buffers import LINE
from spora_db.kernels.fused import row_kernel
from spora_db.kernels.memory import items_at, prefetch_to_write

BYTE: Final = np.empty(0, np.uint8)


def _stream_line(context: Any, source: Any, target: Any) -> Any:  # noqa: ANN401 - numba's types
    def lowered(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        line = ir.VectorType(ir.IntType(32), LINE // 4).as_pointer()
        found = builder.load(builder.inttoptr(arguments[0], line), align=1)
        written = builder.store(found, builder.inttoptr(arguments[1], line), align=LINE)
        written.set_metadata("nontemporal", builder.module.add_metadata([ir.IntType(32)(1)]))
        return context.get_dummy_value()

    nothing: Any = types.none
    return nothing(types.int64, types.int64), lowered


stream_line: Callable[..., None] = intrinsic(_stream_line)
"""Copy a line from one address to another, at which a line of the cache begins, without fetching what lies there."""


def _settle(context: Any) -> Any:  # noqa: ANN401 - numba's types
    def lowered(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        builder.fence("seq_cst")
        return context.get_dummy_value()

    nothing: Any = types.none
    return nothing(), lowered


settle: Callable[..., None] = intrinsic(_settle)
"""Let all threads see what was written so: such writes keep no order by themselves."""


@row_kernel
def copy_bytes(source: int | np.int64, target: int | np.int64, count: int | np.int64) -> None:
    """Copy some bytes, fewer than a line."""
    given, out = items_at(source, count, BYTE), items_at(target, count, BYTE)
    for i in range(count):
        out[i] = given[i]


@row_kernel
def stream_row(source: int | np.int64, target: int | np.int64, size: int | np.int64) -> None:
    """Copy so many bytes, whole lines of the cache past it."""
    head = min(-target % LINE, size)
    copy_bytes(source, target, head)
    rest = (size - head) % LINE
    for place in range(head, size - rest, LINE):
        stream_line(source + place, target + place)
    copy_bytes(source + size - rest, target + size - rest, rest)


@row_kernel
def fetch_ends(target: int | np.int64, size: int | np.int64, line: int | np.int64, count: int | np.int64) -> None:
    """Ask for the lines that begin before rows or end after them, which are written in part.

    What is written later waits for the rest of these: asked for early, 43 channels take 0.81 to 0.89 of the time.
    """
    for i in range(count):
        first = target + i * line
        if first % LINE:
            prefetch_to_write(first)
        if (first + size) % LINE:
            prefetch_to_write(first + size)
