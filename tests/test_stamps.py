"""A file that another one has replaced is seen, of the same size and of the same time too."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cell_lakes import write_mask
from spora_db.files.stamps import file_stamp, lasting_stamp, stamp, stamps
from spora_db.images import open_image, read_region, write_ometiff
from spora_db.plan.mask_parts import MASKS
from spora_db.standardization.wide_tables import wide_table


def replaced(path: Path, write: Callable[[Path], object]) -> None:
    """Write another file, and rename it over a first one, of whose size and time it is."""
    before, other = path.stat(), path.with_name(f"other-{path.name}")
    write(other)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert other.stat().st_size == before.st_size
    other.replace(path)
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_a_replaced_file_has_another_stamp_and_the_same_lasting_one(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("first")
    before, lasting = [stamp(path), file_stamp(path), stamps([path])[0]], lasting_stamp(path)
    assert len(set(before)) == 1
    assert lasting == (5, path.stat().st_mtime_ns)
    replaced(path, lambda other: other.write_text("other"))
    assert (stamp(path) == before[0], lasting_stamp(path) == lasting) == (False, True)
    assert [stamps([path, tmp_path / "absent"])[1], stamp(tmp_path)[2] > 0] == [None, True]
    with pytest.raises(OSError, match="it is a folder or a device, no file"):
        file_stamp(tmp_path)


def number_of_image(path: Path) -> float:
    return float(read_region(open_image(path)).max())


def number_of_mask(path: Path) -> float:
    return float(MASKS.get(path, tissue=False, shape=(8, 8), image=path, kept=1).max())


def number_of_table(path: Path) -> float:
    return float(wide_table(path).values.max())


@pytest.mark.parametrize(
    ("name", "write", "read"),
    [
        ("a.ome.tiff", lambda path, n: write_ometiff(path, np.full((1, 8, 8), n, np.uint8), mpp=1), number_of_image),
        ("a.npz", lambda path, n: write_mask(path, np.full((8, 8), n, np.uint8)), number_of_mask),
        ("a.parquet", lambda path, n: pq.write_table(pa.table({"CD3": [float(n)]}), path), number_of_table),
    ],
)
def test_what_a_process_remembers_of_a_file_ends_with_it(
    tmp_path: Path, name: str, write: object, read: object
) -> None:
    path = tmp_path / name
    write(path, 3)
    assert read(path) == 3
    replaced(path, lambda other: write(other, 5))
    assert read(path) == 5
