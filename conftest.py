"""What tests and the examples of docstrings share: what they leave as it was, and the lake that examples ask."""

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def lake_of_examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a demo lake of small tissues, tiled and with statistics. Do not change it."""
    from spora_db.demo import demo_lake, write_demo_lake

    return demo_lake(write_demo_lake(tmp_path_factory.mktemp("examples") / "lake", tissues=4, size=320))


@pytest.fixture(autouse=True)
def beside_the_lake(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run an example that names a lake in a folder of its own, where there is one."""
    if not isinstance(request.node, pytest.DoctestItem):
        return
    if any('"lake' in example.source for example in request.node.dtest.examples):
        folder = request.getfixturevalue("tmp_path")
        (folder / "lake").symlink_to(request.getfixturevalue("lake_of_examples"))
        monkeypatch.chdir(folder)


@pytest.fixture(autouse=True)
def own_registry() -> Iterator[None]:
    """Forget after every test the standardizers that it registered: another test may use a name for something else."""
    from spora_db.standardization.methods import _registered

    before = dict(_registered)
    yield
    _registered.clear()
    _registered.update(before)


@pytest.fixture(autouse=True)
def own_cache_limit() -> Iterator[None]:
    """Give the cache of decoded chunks its limit back after every test: a loader without workers sets it."""
    from spora_db.images import cache_info, set_cache

    before = cache_info().bytes_limit
    yield
    set_cache("process", cache_bytes=before)
