"""Writing the shards of an OME-Zarr array, several at a time: what lies in memory is one shard for each thread.

zarr-python writes a shard of 1024 x 1024 pixels in 16 ms on two threads, this in 4; tests compare the two. Two levels
are written at a time: one of three is read back, a quarter of the pixels or less.
"""

from collections.abc import Callable, Sequence
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
    """Write all pixels of a source as the shards of an array, and, of half the resolution, as those of a second one.

    Parameters
    ----------
    folders
        Those of the arrays, one or two; their ``zarr.json`` is there already.
    source
        The pixels, of the first array's shape.
    dtype
        The arrays'; readers deliver bool and float16 as other types.
    chunk, shard
        Height and width in pixels; chunks and shards hold all planes.
    wrote
        Called with the number of pixels of each shard that is written.
    """
    planes, height, width = source.shape
    step = shard * len(folders)  # a piece is a shard of the last array

    def write(folder: Path, pixels: AnyArray, *, row: int, col: int) -> None:
        path = folder / "c" / "0" / str(row // shard) / str(col // shard)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.writelines(encoded_shard(pixels.astype(dtype, copy=False), chunk=chunk, shard=shard))
        if wrote is not None:
            wrote(pixels.shape[1] * pixels.shape[2])

    def write_piece(place: tuple[int, int]) -> None:
        row, col = place
        tall, wide = min(step, height - row), min(step, width - col)
        half = np.empty((planes, -(-tall // 2), -(-wide // 2)), dtype)
        for down, across in product(range(0, tall, shard), range(0, wide, shard)):
            pixels = source.read(row + down, col + across, min(shard, tall - down), min(shard, wide - across))
            write(folders[0], pixels, row=row + down, col=col + across)
            if len(folders) > 1:
                part = Coarser(source=Held(image=pixels), factor=2.0)
                _, rows, cols = part.shape
                half[:, down // 2 : down // 2 + rows, across // 2 : across // 2 + cols] = part.read(0, 0, rows, cols)
        if len(folders) > 1:
            write(folders[1], half, row=row // 2, col=col // 2)

    places = list(product(range(0, height, step), range(0, width, step)))
    if len(places) == 1:
        write_piece(places[0])
        return
    with ThreadPoolExecutor(max_workers=min(MOST_THREADS, usable_cpus())) as pool:
        list(pool.map(write_piece, places))


def encoded_shard(pixels: AnyArray, *, chunk: int, shard: int) -> list[bytes]:
    """Return the parts of a shard: chunks, blosc-lz4 with bit shuffle and a crc32c, and behind them their index.

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
    parts: list[bytes] = []
    length = 0
    for down, across in product(range(-(-height // chunk)), range(-(-width // chunk))):
        part = pixels[:, down * chunk : (down + 1) * chunk, across * chunk : (across + 1) * chunk]
        missing = [(0, 0), *((0, chunk - size) for size in part.shape[1:])]
        whole = part if part.shape[1:] == (chunk, chunk) else np.pad(part, missing)
        data = codec.encode(np.ascontiguousarray(whole, pixels.dtype.newbyteorder("<")))
        parts += [data, _checksum(data)]
        index[down, across] = length, len(data) + CHECKSUM_BYTES
        length += len(data) + CHECKSUM_BYTES
    places = index.astype("<u8").tobytes()
    return [*parts, places, _checksum(places)]


def _checksum(data: bytes) -> bytes:
    return int(google_crc32c.value(data)).to_bytes(CHECKSUM_BYTES, "little")
