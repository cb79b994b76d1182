"""Chunks that only zarr-python decodes: unusual codecs, filters, transposed or nested layouts."""

import warnings
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from spora_db.arrays import AnyArray, Int64
from spora_db.errors import FileFormatError
from spora_db.files.failures import telling
from spora_db.images.files import broken
from spora_db.images.pixels import deliver, delivered
from spora_db.images.zarr_chunks import ChunkSource, Place, state_of_chunk_file
from spora_db.images.zarr_layout import ZarrLayout


class ZarrPythonStore:
    """What ``ChunkStore`` does, with zarr-python's own array behind it. It starts zarr's thread; a fork resets that."""

    def __init__(self, layout: ZarrLayout) -> None:
        import zarr

        self._layout = layout
        axes = layout.axes
        with _telling(layout.folder), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # codecs outside the specification: they are read all the same
            self._array: Any = zarr.open_array(layout.folder, mode="r")
            chunk, shard = tuple(self._array.chunks), tuple(self._array.shards or self._array.chunks)
            dtype = np.dtype(self._array.dtype)
        self._chunk, self._shard = chunk, shard
        self.sizes = (1 if axes.channel is None else chunk[axes.channel], chunk[axes.row], chunk[axes.col])
        self.dtype = delivered(dtype)

    def path_of(self, place: Place) -> Path:
        """Return the file that holds, or should hold, the chunk at ``place``."""
        outer = [start // size for start, size in zip(self._starts(place), self._shard, strict=True)]
        return self._layout.folder / self._layout.encoding.key(outer)

    def locate(self, place: Place) -> ChunkSource | None:
        """Return where the chunk lies, or None where its file is absent."""
        path = str(self.path_of(place))
        current = state_of_chunk_file(path, place)
        if current is None:
            return None
        return ChunkSource(place=place, path=path, stamp=current, offset=0, size=current[2])

    def filled(self) -> AnyArray:
        """Return a chunk of the fill value, without memory of its own."""
        return np.broadcast_to(deliver(np.asarray(self._layout.encoding.fill)), self.sizes)

    def decode(self, source: ChunkSource, planes: Int64) -> AnyArray:
        """Decode all planes of a chunk; at the image's edge the chunk ends there."""
        selection = tuple(
            slice(start, min(start + size, length))
            for start, size, length in zip(self._starts(source.place), self._chunk, self._layout.shape, strict=True)
        )
        with _telling(source.path):
            stored = np.asarray(self._array[selection])
        axes = self._layout.axes
        kept = [axis for axis in (axes.channel, axes.row, axes.col) if axis is not None]
        others = [axis for axis in range(stored.ndim) if axis not in kept]
        image = stored.transpose(others + kept)[(0,) * len(others)]
        return deliver(image if axes.channel is not None else image[None])

    def _starts(self, place: Place) -> list[int]:
        """Return the first element of a chunk along the array's own axes."""
        starts = [0] * len(self._layout.shape)
        axes = self._layout.axes
        for axis, coordinate in zip((axes.channel, axes.row, axes.col), place, strict=True):
            if axis is not None:
                starts[axis] = coordinate * self._chunk[axis]
        return starts


def _telling(path: object) -> AbstractContextManager[None]:
    def unreadable(error: Exception) -> FileFormatError:
        return broken(
            path,
            f"zarr-python {type(error).__name__}: {error}",
            expected="a Zarr array that zarr-python reads",
            remedy="Copy or download it again, or install what its codecs need.",
        )

    remedy = "Or install what its codecs need."
    return telling(f"The image {path}", library="zarr", broken=unreadable, remedy=remedy)
