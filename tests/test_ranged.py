"""Ranges of remote files: every byte right and fetched once, whoever asks; what fails is told for each."""

import errno
import fcntl
import itertools
import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spora_db.errors import FileFormatError, SporaError, StoreError
from spora_db.files.stores import Edge, ObjectEntry, ObjectState, Span, granules, ranged
from spora_db.files.stores.crew import Crew, later
from spora_db.files.stores.placeholders import Placeholders
from spora_db.files.stores.ranged import RangedFiles
from spora_db.files.stores.ranges import TO_THE_END, FileRange

SIZES = {"a": 0, "b": 1, "c/d": 4_096, "c/e": 300_000, "f": 40_001}
FILES = {name: random.Random(name).randbytes(size) for name, size in SIZES.items()}


class CountingStore:
    """Files in memory that keep account of what is asked."""

    root = "test://"

    def __init__(self, fault: Callable[[str], None] = lambda key: None) -> None:
        self.fault, self.edges, self.reads = fault, list[tuple[str, int]](), list[tuple[str, int, int]]()
        self.version = "1"

    def list_folder(self, prefix: str = "") -> list[ObjectEntry]:
        raise NotImplementedError

    def state(self, key: str) -> ObjectState | None:
        raise AssertionError("nothing is asked for its state alone")

    def read_edge(self, key: str, *, size: int, at: str = "start", known: ObjectState | None = None) -> Edge | None:
        self.fault(key)
        self.edges.append((key, size))
        if key not in FILES:
            return None
        state, content = ObjectState(size=len(FILES[key]), version=self.version), FILES[key]
        if state == known:
            return Edge(state, 0, b"")
        return Edge(state, max(0, len(content) - size), content[-size:]) if at == "end" else Edge(
            state, 0, content[:size]
        )  # fmt: skip

    def read(self, key: str, *, offset: int, size: int, state: ObjectState) -> bytes:
        self.fault(key)
        if state.version != self.version:
            raise FileFormatError(f"{key} was written again")
        self.reads.append((key, offset, size))
        return FILES[key][offset : offset + size]

    def read_many(self, spans: Sequence[Span]) -> list[bytes]:
        return [self.read(span.key, offset=span.offset, size=span.size, state=span.state) for span in spans]

    def read_whole(self, key: str) -> tuple[bytes, ObjectState]:
        raise NotImplementedError


def files(folder: Path, store: CountingStore) -> RangedFiles:
    (folder / "tree").mkdir(parents=True, exist_ok=True)
    return RangedFiles(
        Placeholders(folder), address="test://", store=lambda: store, listed=lambda name: None, whole=lambda: False
    )


ranges = st.lists(
    st.builds(
        FileRange,
        st.sampled_from([*FILES, "none"]),
        st.integers(-310_000, 310_000),
        st.one_of(st.integers(0, 60_000), st.just(TO_THE_END)),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(wanted=ranges)
def test_what_was_brought_is_right_and_read_without_asking(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[FileRange]
) -> None:
    store = CountingStore()
    found = files(tmp_path_factory.mktemp("copy"), store)
    assert found.bring(wanted) == [None] * len(wanted)
    asked = store.edges[:], store.reads[:]
    assert sorted(key for key, _ in asked[0]) == sorted({one.path for one in wanted})
    for one in wanted:
        if one.path in FILES:
            content = FILES[one.path]
            start = max(0, len(content) + one.offset) if one.offset < 0 else one.offset
            assert found.read(one.path, *one.within(len(content))) == content[start : start + one.size]
    assert (store.edges, store.reads) == asked


def test_many_threads_fetch_every_granule_once(tmp_path: Path) -> None:
    store = CountingStore(lambda key: time.sleep(0.001))
    found, draw = files(tmp_path, store), random.Random(0)
    parts = [
        [FileRange("c/e", draw.randrange(300_000), draw.randrange(1, 40_000)) for _ in range(6)] for _ in range(12)
    ]
    wrong: list[object] = []

    def read(own: list[FileRange]) -> None:
        wrong.extend(error for error in found.bring(own) if error)
        wrong.extend(
            one for one in own if found.read(one.path, *one.within(300_000)) != FILES["c/e"][one.offset :][: one.size]
        )

    threads = [threading.Thread(target=read, args=(own,)) for own in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(store.edges) == 1
    assert sum(size for _, _, size in store.reads) < 2 * 300_000  # what lies between two ranges may come along twice


def test_a_network_that_is_gone_is_waited_for_once(tmp_path: Path) -> None:
    store = CountingStore()
    found = files(tmp_path, store)
    assert found.bring([FileRange(name, 0, 1) for name in FILES]) == [None] * len(FILES)
    tried: list[str] = []

    def gone(key: str) -> None:
        tried.append(key)
        raise StoreError("GET failed after 10 tries")

    store.fault = gone
    wanted = [FileRange("c/e", start, 1) for start in range(8_192, 300_000, 80_000)] + [FileRange("f", 30_000, 5)] * 3
    errors = found.bring(wanted)
    assert [str(error) for error in errors] == ["GET failed after 10 tries"] * len(wanted)
    assert len(tried) <= 5  # one per request
    store.fault = lambda key: None
    assert found.bring(wanted) == [None] * len(wanted)


def test_a_file_that_changes_is_refused_where_it_is_asked_for(tmp_path: Path) -> None:
    store = CountingStore()
    found = files(tmp_path, store)
    found.bring([FileRange("c/e", 0, 10), FileRange("f", 0, 10)])
    store.version = "2"
    errors: list[SporaError | None] = found.bring([FileRange("c/e", 0, 10), FileRange("c/e", 200_000, 10)])
    assert errors[0] is None
    assert isinstance(errors[1], FileFormatError)
    ranged.SINCE.clear()
    again = files(tmp_path, store)
    assert again.bring([FileRange("c/e", 200_000, 10)]) == [None]
    assert again.find("c/e") == ObjectState(size=300_000, version="2")


def test_a_file_that_was_refused_has_its_new_size_in_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, place = CountingStore(), tmp_path / "tree/f"
    before = files(tmp_path, store)
    before.bring([FileRange("f", 0, 10)])
    stamp = place.stat()
    store.version = "2"
    monkeypatch.setitem(FILES, "f", FILES["f"] + b"more")
    assert isinstance(before.bring([FileRange("f", 30_000, 10)])[0], FileFormatError)
    ranged.SINCE.clear()
    state = files(tmp_path, store).find("f")
    assert state == Placeholders(tmp_path).noted("f") == ObjectState(size=40_005, version="2")
    assert place.stat().st_size == 40_005
    assert place.stat().st_ino != stamp.st_ino  # by which readers tell that it is another one


def test_a_child_holds_no_lock_of_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inherited, flock = list[int](), fcntl.flock

    def forked(file: int, kind: int) -> None:
        flock(file, kind)
        inherited.append(os.dup(file))  # what a child has that is forked while the lock is held

    monkeypatch.setattr(fcntl, "flock", forked)
    (tmp_path / "tree").mkdir()
    Placeholders(tmp_path).place("x", ObjectState(size=10, version="1"))
    with (tmp_path / "places").open("a") as other:
        flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    for descriptor in inherited:
        os.close(descriptor)


def test_workers_believe_what_their_parents_have_learnt_and_runs_look_once(tmp_path: Path) -> None:
    store = CountingStore()
    parent = files(tmp_path, store)
    worker = files(tmp_path, store)  # of the same beginning
    parent.bring([FileRange("c/e", 0, TO_THE_END)])
    asked = store.edges[:], store.reads[:]
    assert worker.read("c/e", 7, 100_000) == FILES["c/e"][7:100_007]
    assert (store.edges, store.reads) == asked
    ranged.SINCE.clear()
    time.sleep(0.01)
    assert files(tmp_path, store).read("c/e", 7, 100_000) == FILES["c/e"][7:100_007]
    assert store.edges == [*asked[0], ("c/e", 1)]
    assert store.reads == asked[1]


def test_a_placeholder_keeps_its_time_for_all_who_place_it(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    state, seen = ObjectState(size=10, version="1"), set()

    def place() -> None:
        Placeholders(tmp_path).place("x/y", state)
        seen.add((tmp_path / "tree/x/y").stat().st_ino)

    threads = [threading.Thread(target=place) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 1
    Placeholders(tmp_path).place("x/y", ObjectState(size=10, version="2"))
    assert (tmp_path / "tree/x/y").stat().st_ino not in seen


def test_what_is_here_whole_never_becomes_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    places, state = Placeholders(tmp_path), ObjectState(size=10, version="1")
    places.fill("x/zarr.json", b"{}")
    places.place("x/zarr.json", state)
    assert (tmp_path / "tree/x/zarr.json").read_bytes() == b"{}"
    places.place("x/0", state)
    places.fill("x/0", b"0123456789")
    places.place("x/0", ObjectState(size=10, version="2"))
    assert (tmp_path / "tree/x/0").read_bytes() == b"0123456789"


@pytest.mark.parametrize("write", [0, 1])
def test_a_process_that_is_killed_as_it_places_a_file_leaves_none_for_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: int
) -> None:
    (tmp_path / "tree").mkdir()
    places, states = Placeholders(tmp_path), [ObjectState(size=size, version="1") for size in (10, 12)]
    places.place("x/y", states[0])
    replaced, replace = itertools.count(), Path.replace

    def killed(path: Path, target: Path) -> Path:
        if next(replaced) == write:
            raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            places.place("x/y", states[1])
    assert places.noted("x/y") in (None, states[0])
    places.place("x/y", states[1])
    assert places.noted("x/y") == states[1]
    assert (tmp_path / "tree/x/y").stat().st_size == 12


def test_a_full_disk_costs_speed_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(granules.os, "pwrite", full)
    store = CountingStore()
    found = files(tmp_path, store)
    wanted = [FileRange("c/e", start, 50) for start in range(0, 290_000, 70_000)]
    assert found.bring(wanted) == [None] * len(wanted)
    for one in wanted:
        assert found.read(*one) == FILES["c/e"][one.offset : one.offset + 50]


def test_what_is_needed_at_once_comes_before_what_may_wait() -> None:
    crew, order, go = Crew[None](1, "test"), list[str](), threading.Event()
    first = crew.submit(lambda: go.wait() and None)
    with later():
        waiting = [crew.submit(lambda: order.append("later"))]
    waiting.append(crew.submit(lambda: order.append("now")))
    go.set()
    for future in [first, *waiting]:
        future.result()
    assert order == ["now", "later"]
