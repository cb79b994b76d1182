"""Decoded chunks that processes share: known by the files they came from, right, bounded, and gone with their run."""

import errno
import gc
import multiprocessing
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from alone import standardize_region
from full_disks import no_room
from lakes import write_lake
from spora_db import SporaQuery
from spora_db.errors import FileFormatError, WriteError
from spora_db.files import cache_folders, shared_folder
from spora_db.images import (
    cache,
    cache_info,
    clear_cache,
    close_images,
    open_image,
    read_region,
    set_cache,
    shared_chunks,
    write_ometiff,
    write_omezarr,
)
from spora_db.images.cache import ChunkCache, cache_in_use, find_chunk, keep_chunk, use_cache
from spora_db.images.pixels import narrowed
from spora_db.images.zarr_chunks import ChunkStore
from spora_db.loading.dataset import PlanDataset
from spora_db.standardization.transform import Transform, identity_transform

IMAGE = np.arange(3 * 90 * 100, dtype=np.uint16).reshape(3, 90, 100)


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    set_cache("process")
    clear_cache()
    yield
    set_cache("process")
    clear_cache()
    close_images()


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder in the place of /dev/shm, which is small or absent in containers."""
    (tmp_path / "shm").mkdir()
    monkeypatch.setattr(cache_folders, "SHARED_MEMORY", tmp_path / "shm")
    return tmp_path / "shm"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("shared") / "lake")


@pytest.mark.parametrize(("write", "name"), [(write_omezarr, "a.ome.zarr"), (write_ometiff, "a.ome.tiff")])
def test_a_reader_of_the_same_file_decodes_nothing_again(tmp_path, write, name):
    path = write(tmp_path / name, IMAGE, mpp=1)
    read_region(open_image(path))
    decoded = cache_info().bytes_decoded
    close_images()
    (tmp_path / "link").symlink_to(tmp_path)
    for again in (path, tmp_path / "link" / name):
        assert np.array_equal(read_region(open_image(again)), IMAGE)
        assert cache_info().bytes_decoded == decoded
    other = write(tmp_path / f"b{name}", IMAGE + 1, mpp=1)
    assert np.array_equal(read_region(open_image(other)), IMAGE + 1)


def test_a_chunk_file_that_is_replaced_while_it_is_decoded_is_refused(tmp_path, monkeypatch):
    path = write_omezarr(tmp_path / "a.ome.zarr", IMAGE, mpp=1)
    other = write_omezarr(tmp_path / "b.ome.zarr", IMAGE + 1, mpp=1)
    decode = ChunkStore.decode

    def replacing(self, source, planes):
        Path(str(source.path).replace("a.ome", "b.ome")).replace(source.path)
        return decode(self, source, planes)

    reader = open_image(path)
    monkeypatch.setattr(ChunkStore, "decode", replacing)
    with pytest.raises(FileFormatError, match=r"a\.ome\.zarr/0/\S+ was written again while it was read"):
        read_region(reader)
    monkeypatch.undo()
    assert cache_info().entries == 0
    assert np.array_equal(read_region(reader), IMAGE + 1)
    assert other.exists()


KINDS = {
    "counts": (np.arange(2 * 6 * 7, dtype=np.float32).reshape(2, 6, 7) * 700, True),
    "wide counts": (np.full((2, 6, 7), 65_535, np.float64), True),
    "whole numbers": (np.full((2, 6, 7), 9, np.int32), True),
    "half a count": (np.full((2, 6, 7), 0.5, np.float32), False),
    "too large": (np.full((2, 6, 7), 65_536, np.float32), False),
    "negative": (np.full((2, 6, 7), -1, np.int64), False),
    "negative zero": (np.full((2, 6, 7), -0.0, np.float32), False),
    "not a number": (np.full((2, 6, 7), np.nan, np.float32), False),
    "infinite": (np.full((2, 6, 7), np.inf, np.float32), False),
    "colours": (np.arange(6 * 7 * 3, dtype=np.uint8).reshape(6, 7, 3).transpose(2, 0, 1), False),
    "words": (np.arange(2 * 6 * 7, dtype=np.uint16).reshape(2, 6, 7), False),
    "the last plane does not fit": (np.array([[[1]], [[2]], [[0.5]]], np.float32), False),
}


@pytest.mark.parametrize("cache", ["shared", "process"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_chunk_comes_back_with_its_values(memory, kind, cache):
    chunk, narrow = KINDS[kind]
    set_cache(cache, cache_bytes=2**20)
    expected, before = chunk.copy(), cache_info()
    kept = keep_chunk(("a", kind), chunk.copy()).pixels
    found = find_chunk(("other",), ("a", kind)).pixels
    assert (found is kept) == (cache == "process")
    assert kept.dtype == found.dtype
    assert cache_info().bytes_decoded - before.bytes_decoded == chunk.nbytes
    assert cache != "process" or cache_info().bytes_held - before.bytes_held == found.nbytes
    assert found.dtype == (np.uint16 if narrow else chunk.dtype)
    assert found.astype(chunk.dtype).tobytes() == expected.tobytes()
    assert not found.flags.writeable
    assert find_chunk(("b", kind)) is None


NUMBERS = (0.0, -0.0, 1.0, 7.0, 65_535.0, 65_535.5, 65_536.0, -1.0, 0.5, 2.0**31, 2.0**40, np.inf, -np.inf, np.nan)


@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_numbers_are_narrowed_where_all_of_them_fit(data):
    """Of any type, one that does not fit anywhere among those that do."""
    dtype = np.dtype(data.draw(st.sampled_from(["f4", "f8", "i4", "u4", "i8", "u8"])))
    chunk = np.full((2, 3, data.draw(st.integers(1, 3_000))), 9, dtype)
    with np.errstate(invalid="ignore"):
        chunk[data.draw(st.integers(0, 1)), 2, -1] = number = np.array(data.draw(st.sampled_from(NUMBERS))).astype(
            dtype
        )
    found = narrowed(chunk)
    fits = not np.signbit(float(number)) and number in range(65_536)
    assert found.dtype == (np.uint16 if fits else dtype)
    assert found.astype(dtype).tobytes() == chunk.tobytes()


def test_room_is_made_within_the_limit_and_what_is_mapped_stays(memory):
    chunks = [np.full((4, 32, 32), number, np.uint16) for number in range(40)]
    set_cache("shared", cache_bytes=10 * 9_000)
    [folder] = memory.iterdir()
    first, kept = None, {}
    for number, chunk in enumerate(chunks):
        keep_chunk(number, chunk)
        kept[number] = find_chunk(number).pixels
        first = kept[0] if first is None else first
        sizes = {file.name: file.stat().st_size for file in folder.iterdir() if len(file.name) == 32}
        assert sum(sizes.values()) == cache_info().bytes_held <= 10 * 9_000
        assert len(sizes) == cache_info().entries
    assert all((pixels == number).all() for number, pixels in kept.items())
    assert mapped(folder) == 40
    del kept, first
    found = [number for number in range(40) if find_chunk(number) is not None]
    assert 5 < len(found) <= 10
    assert mapped(folder) == len(found)  # what was removed takes no memory any more
    keep_chunk("larger than all", np.zeros((1, 300, 300), np.uint16))
    assert find_chunk("larger than all") is None
    assert mapped(folder) == len(found)


def mapped(folder: Path) -> int:
    lines = Path("/proc/self/maps").read_text().splitlines()
    return sum(f"{folder}/" in line and not line.endswith("state") for line in lines)


def readers(images: list[Path], seed: int, queue: Any) -> None:
    """Read random regions of images; their pixels are what their names say."""
    rng, wrong = np.random.default_rng(seed), 0
    for _ in range(60):
        number = int(rng.integers(len(images)))
        row, col = rng.integers(0, 60, 2).tolist()
        found = read_region(open_image(images[number]), [2, 0], row=row, col=col, height=30, width=40)
        expected = IMAGE[[2, 0], row : row + 30, col : col + 40] + number
        wrong += found.dtype != np.float32 or not np.array_equal(found, expected)
    queue.put((wrong, cache_info().bytes_decoded))


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    pixels = [(IMAGE + number).astype(np.float32) for number in range(6)]
    return [write_omezarr(tmp_path / f"{n}.ome.zarr", one, mpp=1, chunk=32, shard=64) for n, one in enumerate(pixels)]


def dying(images: list[Path]) -> None:
    """Be killed while a chunk is being written."""
    shared_chunks._all = lambda _file, _plane: os.kill(os.getpid(), signal.SIGKILL)
    read_region(open_image(images[0]))


def test_processes_share_under_pressure_and_one_is_killed_while_it_publishes(memory, images):
    set_cache("shared", cache_bytes=120_000)  # a third of all chunks
    [folder] = memory.iterdir()
    context = multiprocessing.get_context("fork")
    queue, chosen = context.Queue(), cache_in_use()
    killed = context.Process(target=in_cache, args=(chosen, dying, images))
    killed.start()
    killed.join(60)
    assert killed.exitcode == -signal.SIGKILL
    assert len([file for file in folder.iterdir() if len(file.name) == 33]) == 1  # half written
    workers = [context.Process(target=in_cache, args=(chosen, readers, images, seed, queue)) for seed in range(4)]
    for worker in workers:
        worker.start()
    told = [queue.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert [wrong for wrong, _ in told] == [0] * 4
    names = [file.name for file in folder.iterdir()]
    assert not [name for name in names if name.startswith(".")]  # nor is anything of the killed one left
    held = sum((folder / name).stat().st_size for name in names if len(name) == 32)
    assert held == cache_info().bytes_held <= 120_000


def test_a_chunk_whose_writer_was_killed_is_written_by_the_next(memory, images):
    set_cache("shared", cache_bytes=2**20)
    [folder] = memory.iterdir()
    killed = multiprocessing.get_context("fork").Process(target=in_cache, args=(cache_in_use(), dying, images))
    killed.start()
    killed.join(60)
    assert len([file for file in folder.iterdir() if len(file.name) == 33]) == 1
    read_region(open_image(images[0]))
    assert cache_info().entries == 12
    assert not [file for file in folder.iterdir() if len(file.name) == 33]


def test_who_fails_to_write_does_not_remove_what_the_next_one_writes(tmp_path, monkeypatch):
    folder, name = cache_folders.lasting_folder(tmp_path / "kept", limit=10_000), "0" * 32
    release, found = shared_folder.release, []

    def meanwhile(descriptor: int) -> None:
        release(descriptor)
        if not found and not (tmp_path / "kept" / name).exists() and tried:
            found.append(True)
            found.append(folder.write(name, lambda file: os.write(file, bytes(100)), size=100))

    def fails(_file: int) -> int:
        tried.append(True)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    tried: list[bool] = []
    monkeypatch.setattr(shared_folder, "release", meanwhile)
    with pytest.raises(OSError, match="Input/output"):
        folder.write(name, fails, size=100)
    assert found == [True, True]
    assert (tmp_path / "kept" / name).read_bytes() == bytes(100)
    assert folder.held == 100


def in_cache(chosen: ChunkCache, work: Callable, *arguments: object) -> None:
    use_cache(chosen)
    work(*arguments)


RUN = """
import sys
from pathlib import Path
import numpy as np
from spora_db.images import cache_info, open_image, read_region, set_cache
image = np.arange(3 * 90 * 100, dtype=np.uint16).reshape(3, 90, 100)
set_cache(sys.argv[1], cache_bytes=2**24)
for turn in range(int(sys.argv[3])):
    for path in sorted(Path(sys.argv[2]).glob("*.ome.zarr")):
        assert np.array_equal(read_region(open_image(path)), image + int(path.name[0]))
info = cache_info()
print(info.misses, info.shared, info.hits, info.entries, info.bytes_held)
"""


def runs(folder: Path, images: list[Path], turns: int = 1) -> subprocess.Popen:
    command = [sys.executable, "-c", RUN, str(folder), str(images[0].parent), str(turns)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def said(run: subprocess.Popen) -> list[int]:
    text = run.communicate(timeout=120)[0]
    assert run.returncode == 0
    return list(map(int, text.split()))


def test_two_runs_use_one_folder_and_a_later_one_decodes_nothing(tmp_path, images):
    folder = tmp_path / "kept"
    both = [runs(folder, images, turns=5) for _ in range(2)]
    (first, *_), (second, *_) = map(said, both)  # one may end before the other has written its last chunk
    held = sum(file.stat().st_size for file in folder.iterdir()) - 16
    assert 72 <= first + second <= 144
    assert said(runs(folder, images)) == [0, 72, 72, 72, held]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    written_again = IMAGE + np.float32(3)  # the same pixels, but who knows
    write_omezarr(images[3], written_again, mpp=1, chunk=32, shard=64, overwrite=True)
    assert said(runs(folder, images))[:2] == [12, 60]


@pytest.mark.parametrize("whole", [0, 30, 64, 200, -1])
def test_a_file_that_is_not_whole_is_made_anew(tmp_path, whole):
    folder, chunk = tmp_path / "kept", np.arange(81, dtype=np.float32).reshape(1, 9, 9) / 2
    set_cache(folder, cache_bytes=2**16)
    keep_chunk(1, chunk)
    [file] = (path for path in folder.iterdir() if len(path.name) == 32)
    good = file.read_bytes()
    for left in (good[:whole], bytes(len(good))):
        file.write_bytes(left)
        set_cache("process")
        set_cache(folder, cache_bytes=2**16)
        assert find_chunk(1) is None
        assert (cache_info().entries, cache_info().bytes_held) == (0, 0)
        keep_chunk(1, chunk)
        np.testing.assert_array_equal(find_chunk(1).pixels, chunk)
        assert file.read_bytes() == good


def test_a_folder_that_is_emptied_meanwhile_is_one_for_the_next_run(tmp_path, caplog):
    folder, chunk = tmp_path / "kept", np.ones((1, 9, 9), np.uint16)
    set_cache(folder, cache_bytes=2**16)
    keep_chunk(1, chunk)
    for file in folder.iterdir():
        file.unlink()
    keep_chunk(2, chunk)
    assert "takes no more chunks (No such file or directory)" in caplog.text
    assert find_chunk(2) is not None
    assert not list(folder.iterdir())
    set_cache("process")
    set_cache(folder, cache_bytes=2**16)
    keep_chunk(2, chunk)
    assert len(cache_in_use().folder.names()) == 1


def test_a_folder_that_is_made_anew_meanwhile_is_counted_by_both_runs(tmp_path):
    limit = 10_000
    first = cache_folders.lasting_folder(tmp_path / "kept", limit=limit)
    for number in range(9):
        assert first.write(f"{number:032x}", lambda file: os.write(file, bytes(1000)), size=1000)
    shutil.rmtree(tmp_path / "kept")
    second = cache_folders.lasting_folder(tmp_path / "kept", limit=limit)
    for number in range(30):
        run = (first, second)[number % 2]
        assert run.write(f"{number:032x}", lambda file: os.write(file, bytes(1000)), size=1000)
        files = [file for file in (tmp_path / "kept").iterdir() if len(file.name) == 32]
        assert run.held == sum(file.stat().st_size for file in files) == 1000 * len(files) <= limit
    assert (first.held, first.removals) == (second.held, second.removals)


def test_a_run_that_was_killed_leaves_nothing_to_the_next(memory):
    script = f"""
import os, signal
from pathlib import Path
from spora_db.files import cache_folders, shared_folder
from spora_db.images import set_cache
from spora_db.images.cache import keep_chunk
import numpy as np
cache_folders.SHARED_MEMORY = Path({str(memory)!r})
set_cache("shared", cache_bytes=2**16)
keep_chunk(1, np.zeros((1, 9, 9), np.uint16))
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", script], check=False)
    [left] = memory.iterdir()
    (left / "theirs").touch()
    set_cache("shared", cache_bytes=2**16)
    [own] = memory.glob("*/state")
    assert [file.name for file in left.iterdir()] == ["theirs"]  # nothing is removed that the cache did not make
    (left / "theirs").unlink()
    if not (child := os.fork()):
        set_cache("process")
        gc.collect()
        os._exit(0)
    os.waitpid(child, 0)
    assert own.exists()  # a child that lets go of it does not end it
    set_cache("process")
    assert not own.parent.exists()


def test_a_cache_that_cannot_be_shared_is_told_and_each_process_has_its_own(memory, monkeypatch, caplog):
    def shared(said: str) -> None:
        caplog.clear()
        monkeypatch.setattr(cache, "_TOLD", [])
        for _ in range(2):
            set_cache("shared", cache_bytes=2**16)
        assert len(caplog.messages) == 1
        assert said in caplog.text
        assert "Each process keeps decoded chunks for itself" in caplog.text
        assert cache_info().bytes_limit == 2**16
        assert not list(memory.iterdir())

    monkeypatch.setattr(os, "statvfs", lambda _path: SimpleNamespace(f_bavail=15, f_frsize=4096))
    shared("has 0 MiB free, and a shared cache takes up to 0 MiB")
    monkeypatch.undo()
    monkeypatch.setattr(cache_folders, "SHARED_MEMORY", memory / "nothing")
    shared("No such file or directory")


def test_a_folder_that_is_full_is_told_once_and_chunks_are_kept_by_the_process(memory, monkeypatch, caplog):
    set_cache("shared", cache_bytes=2**16)
    chunks = {number: np.full((1, 9, 9), number, np.uint16) for number in range(4)}
    keep_chunk(0, chunks[0])

    def full(_file: object, _plane: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shared_chunks, "_all", full)
    for number in (1, 2, 3):
        keep_chunk(number, chunks[number])
    assert caplog.text.count("takes no more chunks (No space left on device)") == 1
    assert all(np.array_equal(find_chunk(number).pixels, chunk) for number, chunk in chunks.items())
    assert (cache_info().hits, cache_info().misses, cache_info().entries) == (4, 0, 4)


def test_a_disk_that_has_no_more_than_the_limit_is_used_to_the_end(memory, monkeypatch, caplog):
    limit, write, most = 10 * 9_000, os.write, []
    set_cache("shared", cache_bytes=limit)
    [folder] = memory.iterdir()

    def within_limit(file: int, data: memoryview) -> int:
        """Write as a disk of just as many bytes does, where what was removed takes room for as long as it is mapped."""
        taken = sum(path.stat().st_size for path in folder.iterdir() if len(path.name) > 31)
        lines = Path("/proc/self/maps").read_text().splitlines()
        taken += 8_192 * sum(f"{folder}/" in line and "(deleted)" in line for line in lines)
        most.append(taken + len(data))
        if most[-1] > limit:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, data)

    monkeypatch.setattr(shared_chunks.os, "write", within_limit)
    for number in range(40):
        keep_chunk(number, np.full((4, 32, 32), number, np.uint16))
        assert (find_chunk(number).pixels == number).all()
        assert cache_in_use().folder.has(shared_chunks.name_of(number))
    monkeypatch.undo()
    assert not caplog.messages
    assert max(most) > limit - 9_000


def test_a_chunk_larger_than_the_limit_is_not_written(memory, monkeypatch, caplog):
    set_cache("shared", cache_bytes=2**16)

    def refuse(_file: int, _data: memoryview) -> int:
        raise AssertionError

    with monkeypatch.context() as patch:
        patch.setattr(shared_chunks.os, "write", refuse)
        keep_chunk("large", np.zeros((1, 300, 300), np.uint16))
    keep_chunk("small", np.ones((1, 9, 9), np.uint16))
    assert cache_info().entries == 1
    assert not caplog.messages


def test_a_file_that_is_cut_short_is_discarded_with_all_its_bytes(tmp_path):
    folder = cache_folders.lasting_folder(tmp_path / "kept", limit=10_000)
    for name in ("0" * 32, "1" * 32):
        assert folder.write(name, lambda file: os.write(file, bytes(100)), size=100)
    os.truncate(tmp_path / "kept" / ("0" * 32), 10)
    folder.discard("0" * 32)
    assert (folder.names(), folder.held) == ({"1" * 32}, 100)


def test_a_file_of_which_the_disk_took_a_part_is_not_kept(tmp_path):
    folder = cache_folders.lasting_folder(tmp_path / "kept", limit=10_000)
    with pytest.raises(OSError, match="No space left"):
        folder.write("0" * 32, lambda file: os.write(file, bytes(60)), size=100)
    assert not folder.names()
    assert folder.held == 0
    assert len(list((tmp_path / "kept").iterdir())) == 2


def test_a_cache_whose_disk_fails_is_no_fault_of_the_image(tmp_path, monkeypatch, caplog):
    path = write_omezarr(tmp_path / "a.ome.zarr", IMAGE, mpp=1, chunk=32, shard=64)
    set_cache(tmp_path / "kept", cache_bytes=2**20)
    read_region(open_image(path))
    clear_cache()

    def fails(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "utime", fails)  # as on a disk that is read only by now
    assert np.array_equal(read_region(open_image(path)), IMAGE)
    assert (cache_info().hits, cache_info().misses) == (12, 0)
    monkeypatch.setattr(os, "listdir", fails)
    monkeypatch.setattr(shared_folder.pa, "memory_map", fails)
    shared_chunks.MAPPED.clear()
    cache_in_use().folder._state[1] += 1  # as another process does that has removed something
    for misses in (12, 12):
        assert np.array_equal(read_region(open_image(path)), IMAGE)
        assert cache_info().misses == misses
    assert caplog.text.count("takes no more chunks (Input/output error)") == 1


def test_a_folder_on_a_full_disk_is_refused_before_it_is_mapped(tmp_path):
    with no_room(), pytest.raises(WriteError, match="cannot hold a cache: No space left on device"):
        cache_folders.lasting_folder(tmp_path / "chunks", limit=2**20)


def test_a_folder_that_is_not_ours_is_refused(tmp_path, monkeypatch):
    other = tmp_path / "data"
    other.mkdir(mode=0o755)
    (other / "thesis.txt").touch()
    with pytest.raises(WriteError, match=r"data holds other files: thesis\.txt\. Name an empty folder"):
        set_cache(other)
    assert [file.name for file in other.iterdir()] == ["thesis.txt"]
    (other / "thesis.txt").unlink()
    other.chmod(0o777)
    with pytest.raises(WriteError, match=r"mode 777; expected one of user \d+ .* chmod go-w"):
        set_cache(other)
    other.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    with pytest.raises(WriteError, match="expected one of user 12345"):
        set_cache(other)
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"file cannot hold a cache: File exists\. Name a folder"):
        set_cache(tmp_path / "file")


@pytest.mark.parametrize("write", [write_ometiff, write_omezarr])
def test_pages_of_counts_beside_others_are_standardized_and_delivered_with_the_same_bits(memory, tmp_path, write):
    """In one chunk pages of both kinds, of one tile pages as uint16 and as float32."""
    pixels = np.stack([IMAGE[0], IMAGE[1] / 7, IMAGE[2] % 300, -IMAGE[0].astype(float)]).astype(np.float32)
    size = {"tile": 32} if write is write_ometiff else {"chunk": 32, "shard": 64}
    path = write(tmp_path / ("a.ome.tiff" if write is write_ometiff else "a.ome.zarr"), pixels, mpp=1, **size)
    for name in ("raw", "quantile_clipping_log1p"):
        numbers = np.array([9_000, 900, 250, 40], np.float64)
        transform = identity_transform(4)
        if name != "raw":
            transform = Transform(method=name, lower=0 * numbers, upper=numbers, mean=numbers / 2e4, std=numbers / 1e4)
        for pages, dtype in (([0, 1, 2, 3], "float32"), ([2, 1], "float32"), ([0, 2], "float16")):
            chosen = transform.take(np.isin(range(4), pages)) if len(pages) < 4 else transform
            options = {"row": 20, "col": 50, "height": 60, "width": 60}
            found = []
            for cache_choice in ("process", "shared"):
                set_cache(cache_choice, cache_bytes=2**22)
                for _ in range(2):
                    out = np.empty((len(pages), 60, 60), dtype)
                    standardize_region(open_image(path), sorted(pages), chosen, out=out, **options)
                    raw = read_region(open_image(path), pages, pad=True, **options)
                    found.append((out.tobytes(), raw.tobytes(), raw.dtype))
            assert len(set(found)) == 1
    assert cache_info().hits > 0


@pytest.mark.parametrize("on", ["cpu", "device"])
def test_samples_of_a_shared_cache_are_those_of_none(memory, lake, on):
    dataset = SporaQuery(lake).modality("imc").tiles(size=32).standardize("identity").to_torch(standardize_on=on)
    plain = [own["image"] for own in dataset]
    set_cache("shared", cache_bytes=2**24)
    for _ in range(2):
        assert all(torch.equal(image, own["image"]) for image, own in zip(plain, dataset, strict=True))
    assert cache_info().hits > 0


def dataset_of(lake: Path) -> PlanDataset:
    return SporaQuery(lake).modality("imc").tiles(size=32).to_torch()


@pytest.mark.some(2)
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_batches_of_a_shared_cache_are_those_of_none(memory, lake, monkeypatch, start):
    monkeypatch.setitem(sys.modules, "lightning", ModuleType("lightning"))  # it is looked for among callers
    options = {"seed": 3, "start_method": start, "cache": "shared"}
    plain = [batch["image"] for batch in dataset_of(lake).loader(10, seed=3, cache_bytes=0)]
    loader = dataset_of(lake).loader(10, num_workers=2, **options)
    assert loader.cache.folder is not None
    for _ in range(2):
        loader.set_epoch(0)
        assert all(map(torch.equal, plain, [batch["image"] for batch in loader]))
    assert loader.cache.folder.held == sum(f.stat().st_size for f in memory.glob("*/*") if len(f.name) == 32) > 0
    del loader
    gc.collect()
    assert not list(memory.iterdir())


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_of_a_plain_data_loader_use_the_cache_of_their_parent(memory, lake, start):
    set_cache("shared", cache_bytes=2**24)
    dataset = dataset_of(lake)
    batches = DataLoader(dataset, 24, num_workers=1, collate_fn=list, multiprocessing_context=start)
    images = [own["image"] for batch in batches for own in batch]
    assert cache_info().entries == 8 * 9
    assert all(torch.equal(image, own["image"]) for image, own in zip(images, dataset, strict=True))
    assert cache_info().misses == 0


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_a_file_replaced_under_workers_is_told_by_name(memory, lake, tmp_path):
    own = shutil.copytree(lake, tmp_path / "own")
    loader = dataset_of(own).loader(4, num_workers=4, start_method="fork", cache=tmp_path / "kept")
    batches = iter(loader)
    next(batches)
    images = own / "alpha/imc/1_0mpp/images"
    for file in (images / "alpha_0001.ome.zarr").rglob("[0-9]*"):
        if file.is_file():
            shutil.copy(file, new := tmp_path / "new")
            new.rename(images / "alpha_0000.ome.zarr" / file.relative_to(images / "alpha_0001.ome.zarr"))
    metadata = images / "alpha_0000.ome.zarr/0/zarr.json"
    os.utime(metadata, ns=(1, 1))
    with pytest.raises(FileFormatError, match=r"alpha_0000\.ome\.zarr was written anew"):
        list(batches)
    again = dataset_of(own)
    loader = again.loader(4, num_workers=4, start_method="fork", cache=tmp_path / "kept")
    expected = {(own["tissue_id"], own["tile_id"]): own["image"] for own in dataset_of(lake)}
    for batch in loader:
        for tissue, tile, image in zip(batch["tissue_id"], batch["tile_id"].tolist(), batch["image"], strict=True):
            right = expected["alpha_0001" if tissue == "alpha_0000" else tissue, tile]
            assert torch.equal(image[: len(right)], right)


def test_explain_says_what_fits(lake):
    cost = dataset_of(lake).explain(seconds=0.01, cache_bytes=2**16)
    assert cost.chunks == (8 * 5 - 2) * 96 * 96 * 4  # two tissues lack a channel
    assert cost.kept == cost.chunks // 2
    assert f"hold {2**16 / cost.kept:.0%}" in str(cost)
