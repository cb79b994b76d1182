"""Python looks for no garbage while what stays is made, and does so again afterwards."""

import gc
import os
import threading

import pytest

import spora_db
from lakes import write_lake
from spora_db.files.garbage import collected_later
from spora_db.loading import workers
from spora_db.plan import freezing


@pytest.fixture
def seen(monkeypatch):
    """Whether garbage is looked for, each time one of the replaced functions is called."""
    found = []

    def replace(module, name):
        original = getattr(module, name)

        def recorded(*args, **options):
            found.append((name, gc.isenabled()))
            return original(*args, **options)

        monkeypatch.setattr(module, name, recorded)

    replace(spora_db, "import_module")
    replace(freezing, "resolve")
    replace(workers, "warm_up")
    return found


def test_names_plans_and_kernels(seen, tmp_path, monkeypatch):
    monkeypatch.delitem(vars(spora_db), "SporaQuery", raising=False)
    query = spora_db.SporaQuery(write_lake(tmp_path / "lake")).modality("imc").tiles(size=32)
    next(iter(query.to_torch().loader(2)))
    assert set(seen) == {("import_module", False), ("resolve", False), ("warm_up", False)}
    assert gc.isenabled()


def test_after_an_error():
    with pytest.raises(KeyError), collected_later():
        raise KeyError
    assert gc.isenabled()


def test_within_another():
    with collected_later():
        with collected_later():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_is_off_stays_off():
    gc.disable()
    try:
        with collected_later():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_child_that_another_thread_forks_meanwhile_looks_for_it():
    forked = []

    def fork():
        if (child := os.fork()) == 0:
            os._exit(0 if gc.isenabled() else 1)
        forked.append(os.waitpid(child, 0)[1])

    with collected_later():
        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()
        assert not gc.isenabled()
    assert (forked, gc.isenabled()) == ([0], True)
