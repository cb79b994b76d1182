"""Shards of WebDataset: tar files, in which the files of one row lie side by side under one key.

``shard-000000.tar`` holds ``000000000.image.npy``, further arrays, and ``000000000.json``. Written with `tarfile`:
times and owners are zero, so that the same rows are the same bytes.
"""

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from spora_db.exporting.fields import ExportedRow


def write_tar(path: Path, rows: Iterable[ExportedRow]) -> None:
    """Write rows as a shard."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for row in rows:
            for name, values in row.arrays.items():
                content = io.BytesIO()
                np.save(content, values, allow_pickle=False)
                _add(archive, f"{row.position:09d}.{name}.npy", content.getvalue())
            _add(archive, f"{row.position:09d}.json", row.json().encode())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
