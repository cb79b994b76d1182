"""Memory for batches: the images of a batch one after another, in memory that needs no copy, nor clearing if it can.

A batch of 32 tiles of 40 channels takes 257 MB. Fresh memory of that size is cleared by the kernel page by page, which
takes longer than standardizing the tiles (measured: 0.12 s against 0.01 s for memory used before); a `BufferPool`
therefore hands memory out again once nothing refers to it. Workers use shared memory, which reaches the parent
without a copy.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import get_worker_info

from spora_db.arrays import AnyArray
from spora_db.files.buffers import BufferPool
from spora_db.images.pieces import Regions
from spora_db.kernels.tables import REGIONS
from spora_db.loading.segments import SEGMENTS
from spora_db.standardization.standardize import placed

BUFFERS = BufferPool(spare=2, keep=2)
POOLED_FROM = 2**21
"""Bytes: larger blocks the C library may give back when they are free (batches of 19 MB: 112 us a tile, not 190)."""
SEGMENT_FROM = 2**20


def memory_for(
    regions: Regions, dtypes: Sequence[torch.dtype], *, together: bool
) -> "tuple[torch.Tensor | list[torch.Tensor], AnyArray]":
    """Return memory for images, and where it lies, as `spora_db.standardization.standardize.placed` tells it.

    Those that lie together lie one after another: collates need not copy them, nor a worker to hand them over.

    Parameters
    ----------
    regions
        The n images: regions of others.
    dtypes
        The type in which each of the others is delivered.
    together
        Whether images of one type, which are of one size then, lie together, as tiles do.

    Returns
    -------
    images
        Tensor of shape (n, C, height, width); a list of n tensors of shape (C, height, width) where they differ in C,
        or do not lie one after another.
    places
        Table of `REGIONS`.
    """
    channels = np.array([len(pages) for pages in regions.pages], np.int64)[regions.image]
    shapes = list(zip(channels.tolist(), regions.height.tolist(), regions.width.tolist(), strict=True))
    if not together or len(set(dtypes)) != 1:
        images = [torch.empty(shape, dtype=dtypes[k]) for shape, k in zip(shapes, regions.image.tolist(), strict=True)]
        return images, placed([array_over(image) for image in images])
    whole = allocate((int(channels.sum()), *shapes[0][1:]), dtypes[0])
    places = np.zeros(len(shapes), REGIONS)
    places["plane"], places["line"] = (step * whole.itemsize for step in whole.stride()[:2])
    places["address"] = whole.data_ptr() + (np.cumsum(channels) - channels) * places["plane"]
    if len(set(shapes)) == 1:
        return whole.view(len(shapes), *shapes[0]), places
    return list(torch.split(whole, channels.tolist())), places


def array_over(memory: torch.Tensor) -> AnyArray:
    """Return the pixels of a tensor as an array of their own memory, bfloat16, which numpy does not have, as its bits.

    Examples
    --------
    >>> array_over(torch.ones(2, dtype=torch.bfloat16))
    array([16256, 16256], dtype=uint16)
    """
    return (memory.view(torch.uint16) if memory.dtype == torch.bfloat16 else memory).numpy()


def allocate(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Return memory for a batch, with arbitrary contents: in a worker shared with the parent process.

    Examples
    --------
    >>> allocate((2, 3), torch.float32).shape
    torch.Size([2, 3])
    """
    size = math.prod(shape) * dtype.itemsize
    if get_worker_info() is not None:
        lent = SEGMENTS[-1].take(size) if SEGMENTS and size >= SEGMENT_FROM else None
        if lent is not None:
            return lent.view(dtype).view(shape)
        storage = torch.UntypedStorage._new_shared(max(size, 1))  # type: ignore[no-untyped-call]
        flat = torch.empty(0, dtype=torch.uint8).set_(storage)
        return flat[:size].view(dtype).view(shape)
    if size < POOLED_FROM:
        return torch.empty(shape, dtype=dtype)
    return torch.from_numpy(BUFFERS.take(size)).view(dtype).view(shape)
