"""The lowest versions that pyproject.toml declares are what ``make test-lowest`` installs, and no other list."""

import tomllib
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from lowest import EXEMPT, PROJECT, bound, lowest

TABLE = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
DECLARED = [*TABLE["dependencies"], *(line for extra in TABLE["optional-dependencies"].values() for line in extra)]


@pytest.mark.parametrize("line", sorted(set(DECLARED)))
def test_every_requirement_declares_the_lowest_version_and_is_declared_once(line):
    name, least = bound(line)
    assert Requirement(line).name == name
    assert {bound(other)[1] for other in DECLARED if bound(other)[0] == name} == {least}


def test_every_dependency_is_tested_at_its_lowest_version():
    tested = dict(line.split("==") for line in lowest())
    assert set(tested) >= {bound(line)[0] for line in TABLE["dependencies"]} - set(EXEMPT)
    assert set(tested.items()) <= set(map(bound, DECLARED))


@pytest.mark.parametrize("line", TABLE["dependencies"])
def test_what_is_installed_is_not_below_it(line):
    name, least = bound(line)
    assert Version(version(name)) >= Version(least)


@pytest.mark.parametrize("line", ["numpy", "numpy<3", "numpy==2.0", "numpy>2"])
def test_a_requirement_without_a_lowest_version_is_refused(line):
    with pytest.raises(ValueError, match="declares no lowest version"):
        bound(line)
