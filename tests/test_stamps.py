"""A file that another one has replaced, or that is written anew in place, is seen, of the same size and time too."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

from cell_lakes import write_mask
from rewriting import in_place, replaced
from spora_db.files.stamps import file_stamp, lasting_stamp, same_content, stamp, stamps
from spora_db.images import cache_info, open_image, read_region, set_cache, write_ometiff
from spora_db.plan.mask_parts import MASKS
from spora_db.standardization.wide_tables import wide_table


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


@pytest.mark.parametrize("again", [replaced, in_place])
@pytest.mark.parametrize(
    ("name", "write", "read"),
    [
        ("a.ome.tiff", lambda path, n: write_ometiff(path, np.full((1, 8, 8), n, np.uint8), mpp=1), number_of_image),
        ("a.npz", lambda path, n: write_mask(path, np.full((8, 8), n, np.uint8)), number_of_mask),
        ("a.parquet", lambda path, n: pq.write_table(pa.table({"CD3": [float(n)]}), path), number_of_table),
    ],
)
def test_what_a_process_remembers_of_a_file_ends_with_it(
    tmp_path: Path, name: str, write: Callable, read: Callable, again: Callable
) -> None:
    path = tmp_path / name
    write(path, 3)
    assert read(path) == 3
    again(path, lambda other: write(other, 5))
    assert read(path) == 5


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Path]:
    """A folder in which decoded chunks are kept from run to run."""
    yield tmp_path / "kept"
    set_cache("process")


@pytest.mark.parametrize("again", [replaced, in_place])
@pytest.mark.parametrize("name", ["a.ome.zarr", "a.ome.tiff"])
def test_what_a_folder_keeps_of_a_file_ends_with_it(kept: Path, tmp_path: Path, name: str, again: Callable) -> None:
    def write(number: int, folder: Path) -> Path:
        """Write an image of one number, and return its file of pixels."""
        image, path = np.full((1, 8, 8), number, np.uint8), folder / name
        if name.endswith(".tiff"):
            return write_ometiff(path, image, mpp=1)
        options = {"chunks": (1, 8, 8), "compressors": None, "dimension_names": ["c", "y", "x"]}
        zarr.open_group(path, mode="w").create_array("0", data=image, **options)
        return path / "0/c/0/0/0"

    file, other = write(3, tmp_path), write(5, tmp_path / "other")
    for number in (3, 5):
        for _ in range(2):
            set_cache("process")
            set_cache(kept)
            assert number_of_image(tmp_path / name) == number
        assert cache_info().shared == 1
        if number == 3:
            again(file, lambda path: shutil.copy(other, path))


def test_another_link_to_a_file_and_other_rights_are_no_other_content(tmp_path: Path) -> None:
    image = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    path = write_ometiff(tmp_path / "a.ome.tiff", image, mpp=1)
    reader, before = open_image(path), stamp(path)
    while stamp(path) == before:
        path.chmod(0o600)
    (tmp_path / "b.ome.tiff").hardlink_to(path)
    assert same_content(stamp(path), before)
    np.testing.assert_array_equal(read_region(reader), image)
