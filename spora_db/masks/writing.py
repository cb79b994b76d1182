"""Writing masks: some rows at a time, so that one as large as a slide is never held in memory."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from spora_db.arrays import AnyArray
from spora_db.files.writing import atomic_path


def write_mask(path: Path, bands: Iterable[AnyArray], *, shape: tuple[int, int], dtype: np.dtype[np.generic]) -> None:
    """Write a mask as ``.npz``, whole or not at all.

    Parameters
    ----------
    path
        The file, replaced if it exists.
    bands
        Its rows from the first on, arrays of shape (rows, width) and of the type.
    shape, dtype
        Height and width of the mask, and its type.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     bands = [np.array([[1, 0]], np.uint8), np.array([[0, 2]], np.uint8)]
    ...     write_mask(Path(folder) / "a.npz", bands, shape=(2, 2), dtype=np.dtype(np.uint8))
    ...     np.load(Path(folder) / "a.npz")["mask"].tolist()
    [[1, 0], [0, 2]]
    """
    with (
        atomic_path(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("mask.npy", "w", force_zip64=True) as stream,
    ):
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)
        for band in bands:
            stream.write(band.tobytes())
