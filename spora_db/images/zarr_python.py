"""Chunks that only zarr-python decodes: unusual codecs, filters, transposed or nested layouts."""

import warnings
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spora_db.arrays import AnyArray, Int64
from spora_db.errors import FileFormatError
from spora_db.files.failures import telling
from spora_db.files.stores.listing import DOCUMENTS
from spora_db.files.stores.mirror import mirror_of
from spora_db.files.stores.remote_files import again
from spora_db.images.files import OpenFile, broken
from spora_db.images.zarr_chunks import ChunkSource, ChunkStore, state_of_chunk_file
from spora_db.images.zarr_layout import ZarrLayout


class ZarrPythonStore(ChunkStore):
    """Chunks that zarr-python's own array decodes. It starts zarr's thread; a fork resets that."""

    def __init__(self, layout: ZarrLayout, owner: int) -> None:
        import zarr

        with _telling(layout.folder), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # codecs outside the specification: they are read all the same
            folder = layout.folder if mirror_of(layout.folder) is None else _ranged(layout.folder)
            self._array: Any = zarr.open_array(folder, mode="r")
            chunk, shard = tuple(self._array.chunks), tuple(self._array.shards or self._array.chunks)
            dtype = np.dtype(self._array.dtype)
        # where in its file a chunk lies is not asked: all of it is read
        encoding = replace(layout.encoding, chunk=chunk, shard=shard, index=None, codecs=("zarr-python",), dtype=dtype)
        super().__init__(replace(layout, encoding=encoding), owner)

    def decode(self, source: ChunkSource, planes: Int64) -> AnyArray:
        """Decode all planes of a chunk; at the image's edge the chunk ends there."""
        layout = self._layout
        places = zip(layout.along_axes(source.place), layout.encoding.chunk, layout.shape, strict=True)
        selection = tuple(slice(place * size, min((place + 1) * size, length)) for place, size, length in places)
        with _telling(source.path):
            return layout.planes(np.asarray(self._array[selection]))


def _ranged(folder: Path) -> Any:  # noqa: ANN401 - zarr is imported where it is needed
    """Return a store of an array in a remote lake, whose chunks are placeholders in its copy."""
    from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
    from zarr.storage import LocalStore as ZarrFolder

    class RangedFolder(ZarrFolder):
        async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:  # noqa: ANN401
            path = self.root / key
            if path.name in DOCUMENTS:
                return await super().get(key, prototype, byte_range)
            state = state_of_chunk_file(str(path), (0, 0, 0))
            if state is None:
                return None
            start, stop = 0, state[2]
            if isinstance(byte_range, RangeByteRequest):
                start, stop = byte_range.start, min(byte_range.end, stop)
            elif isinstance(byte_range, OffsetByteRequest):
                start = byte_range.offset
            elif isinstance(byte_range, SuffixByteRequest):
                start = max(0, stop - byte_range.suffix)
            return (prototype or default_buffer_prototype()).buffer.from_bytes(
                OpenFile(str(path)).read(start, stop - start)
            )

    from zarr.core.buffer import default_buffer_prototype

    return RangedFolder(folder, read_only=True)


def _telling(path: object) -> AbstractContextManager[None]:
    def unreadable(error: Exception) -> FileFormatError:
        return broken(
            path,
            f"zarr-python {type(error).__name__}: {error}",
            expected="a Zarr array that zarr-python reads",
            remedy=f"{again(str(path))} Or install what its codecs need.",
        )

    remedy = "Or install what its codecs need."
    return telling(f"The image {path}", library="zarr", broken=unreadable, remedy=remedy)
