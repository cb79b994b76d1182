"""Writing the shards of an OME-Zarr array, several at a time: what lies in memory is one shard for each thread.

zarr-python writes a shard of 1024 x 1024 pixels in 16 ms on two threads, this in 4; tests compare the two. Coarser
levels are written along with the finest, as far as there are pieces of them for all threads: little is read back.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from spora_db.arrays import AnyArray, UInt64
from spora_db.files.processors import usable_cpus
from spora_db.images.resampling import Coarser, Held, PixelSource
from spora_db.images.zarr_shards import CHECKSUM_BYTES, EMPTY

MOST_THREADS = 4
LEVEL = 3
"""How hard lz4 tries."""


def write_shards(
    folders: Sequence[Path],
    source: PixelSource,
    *,
    dtype: np.dtype[Any],
    chunk: int,
    shard: int,
    wrote: Callable[[int], object] | None = None,
) -> None:
    """Write all pixels of a source as the shards of an array, and of arrays that have half the resolution each time.

    Parameters
    ----------
    folders
        Those of the arrays, finest first; their ``zarr.json`` is there already.
    source
        The pixels, of the first array's shape.
    dtype
        The arrays'; readers deliver bool and float16 as other types.
    chunk, shard
        Height and width in pixels; chunks and shards hold all planes.
    wrote
        Called with the number of pixels of each shard that is written.
    """
    planes = source.shape[0]
    sizes = halves(*source.shape[1:], count=len(folders))

    def write(level: int, row: int, col: int) -> AnyArray:
        """Write the shard of a level that begins at a place, after the finer ones below it; return its pixels."""
        height, width = (min(shard, size - start) for size, start in zip(sizes[level], (row, col), strict=True))
        if level == 0:
            pixels = source.read(row, col, height, width)
        else:
            pixels = np.empty((planes, height, width), dtype)
            for down, across in product(range(0, height, shard // 2), range(0, width, shard // 2)):
                finer = write(level - 1, 2 * (row + down), 2 * (col + across))
                part = Coarser(source=Held(image=finer), factor=2.0)
                _, rows, cols = part.shape
                pixels[:, down : down + rows, across : across + cols] = part.read(0, 0, rows, cols)
        path = folders[level] / "c" / "0" / str(row // shard) / str(col // shard)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.writelines(encoded_shard(pixels.astype(dtype, copy=False), chunk=chunk, shard=shard))
        if wrote is not None:
            wrote(height * width)
        return pixels

    places = list(product(*(range(0, size, shard) for size in sizes[-1])))
    if len(places) == 1:
        write(len(folders) - 1, 0, 0)
        return
    with ThreadPoolExecutor(max_workers=min(MOST_THREADS, usable_cpus())) as pool:
        list(pool.map(lambda place: write(len(folders) - 1, *place), places))


def halves(height: int, width: int, *, count: int) -> list[tuple[int, int]]:
    """Return the sizes of the first levels of a pyramid: each half of the one before, odd sizes rounded up.

    Examples
    --------
    >>> halves(3001, 1500, count=3)
    [(3001, 1500), (1501, 750), (751, 375)]
    """
    return [(-(-height // 2**level), -(-width // 2**level)) for level in range(count)]


def encoded_shard(pixels: AnyArray, *, chunk: int, shard: int) -> Iterator[bytes]:
    """Yield the parts of a shard: chunks, blosc-lz4 with bit shuffle and a crc32c, and behind them their index.

    Examples
    --------
    >>> sum(map(len, encoded_shard(np.zeros((1, 16, 16), np.uint8), chunk=16, shard=16)))
    59
    """
    from numcodecs import Blosc

    codec = Blosc(cname="lz4", clevel=LEVEL, shuffle=Blosc.BITSHUFFLE)
    _, height, width = pixels.shape
    side = shard // chunk
    index: UInt64 = np.full((side, side, 2), EMPTY, np.uint64)  # chunks beyond the image are left out
    length = 0
    for down, across in product(range(-(-height // chunk)), range(-(-width // chunk))):
        part = pixels[:, down * chunk : (down + 1) * chunk, across * chunk : (across + 1) * chunk]
        missing = [(0, 0), *((0, chunk - size) for size in part.shape[1:])]
        whole = part if part.shape[1:] == (chunk, chunk) else np.pad(part, missing)
        data = codec.encode(np.ascontiguousarray(whole, pixels.dtype.newbyteorder("<")))
        yield from (data, _checksum(data))
        index[down, across] = length, len(data) + CHECKSUM_BYTES
        length += len(data) + CHECKSUM_BYTES
    places = index.astype("<u8").tobytes()
    yield from (places, _checksum(places))


def _checksum(data: bytes) -> bytes:
    return int(google_crc32c.value(data)).to_bytes(CHECKSUM_BYTES, "little")
