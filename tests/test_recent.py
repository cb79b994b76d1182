"""What was used recently: the limit, the order, what is handed back, threads and forks."""

import os
from concurrent.futures import ThreadPoolExecutor

from spora_db.files.recent import Recent


def test_the_least_recently_used_goes_first_and_is_handed_back() -> None:
    recent = Recent[str, int](2)
    assert [recent.put("a", 1), recent.put("b", 2), recent.get("a"), recent.put("c", 3)] == [[], [], 1, [2]]
    assert [recent.get("b"), recent.get("b", "c"), recent.put("a", 4), len(recent)] == [None, 3, [1], 2]
    assert (recent.hits, recent.misses, recent.held) == (2, 1, 2)


def test_values_take_what_their_size_says() -> None:
    recent = Recent[str, bytes](10, size=len)
    assert recent.put("a", b"12345") == recent.put("b", b"1234") == recent.put("too large", bytes(11)) == []
    assert (recent.held, len(recent)) == (9, 2)
    assert recent.put("c", bytes(11), least=1) == [b"12345", b"1234"]
    assert (recent.held, len(recent)) == (11, 1)
    assert (recent.resize(5), recent.held, len(recent)) == ([bytes(11)], 0, 0)


def test_what_is_forgotten_is_handed_back() -> None:
    recent = Recent[int, str](9)
    for number in range(4):
        recent.put(number, str(number))
    assert (recent.forget(lambda key: key % 2 == 0), recent.held) == (["0", "2"], 2)
    assert (recent.clear(), recent.held) == (["1", "3"], 0)


def test_threads_share_it() -> None:
    recent = Recent[int, int](7)

    def use(number: int) -> None:
        for at in range(500):
            recent.put((number + at) % 11, at)
            recent.get(at % 11)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(use, range(4)))
    assert (recent.hits + recent.misses, recent.held, len(recent)) == (2000, 7, 7)


def test_a_forked_child_starts_empty_with_a_lock_of_its_own() -> None:
    recent = Recent[str, int](2)
    recent.put("a", 1)
    with recent._lock:
        child = os.fork()
        if child == 0:
            os._exit(recent.get("a") is not None)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert recent.get("a") == 1
