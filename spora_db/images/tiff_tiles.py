"""The tiles of a TIFF in zstd frames that end with a checksum, which every decoder of zstd compares.

TIFF itself has no checksums, and tifffile writes zstd without; deflate has one by nature (Adler-32), LZW has none.
"""

from collections.abc import Callable, Iterator

import imagecodecs
import numpy as np

from spora_db.arrays import AnyArray

DELTA_ENCODE: Callable[..., AnyArray] = imagecodecs.delta_encode


def zstd_tiles(planes: AnyArray, *, tile: int, predictor: bool) -> Iterator[bytes]:
    """Encode tiles in the order in which a TIFF lists them; at the image's edges they are filled with zeros.

    Planes are (pages, height, width, samples); with a `predictor`, TIFF's horizontal one, the differences between
    neighbours in a row are encoded.

    Examples
    --------
    >>> [frame] = zstd_tiles(np.ones((1, 3, 3, 1), np.uint8), tile=16, predictor=True)
    >>> len(imagecodecs.zstd_decode(frame))
    256
    """
    from numcodecs import Zstd

    codec = Zstd(checksum=True)
    _, height, width, samples = planes.shape
    for plane in planes:
        for row in range(0, height, tile):
            for col in range(0, width, tile):
                part = plane[row : row + tile, col : col + tile]
                whole = np.zeros((tile, tile, samples), plane.dtype)
                whole[: part.shape[0], : part.shape[1]] = part
                yield codec.encode(DELTA_ENCODE(whole, axis=1) if predictor else whole)
