"""The folder in which the examples of docstrings run: beside a small lake, as ``spora-db demo lake`` makes one."""

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
