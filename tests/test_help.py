"""``help()`` shows an example that runs, and what to see also, of every public name and method that users call."""

import doctest
import importlib
import inspect
import re
from collections.abc import Iterator
from functools import reduce
from typing import Any

import pytest

import spora_db

CALLED_BY_QUERIES = "is public for queries, not for users"
CALLED_BY_LOADERS = "is public for loaders, not for users"
EXCEPTIONS = {
    "spora_db.catalog.database.Database.files_used": CALLED_BY_QUERIES,
    "spora_db.catalog.open_lake.OpenLake.check_cells": CALLED_BY_QUERIES,
    "spora_db.catalog.open_lake.OpenLake.check_channels": CALLED_BY_QUERIES,
    "spora_db.catalog.open_lake.OpenLake.forget_questions": CALLED_BY_QUERIES,
    "spora_db.catalog.open_lake.OpenLake.stands_for": CALLED_BY_QUERIES,
    "spora_db.catalog.open_lake.OpenLake.use_naming": CALLED_BY_QUERIES,
    "spora_db.loading.batches.PanelBatchSampler.items": CALLED_BY_LOADERS,
    "spora_db.loading.batches.PanelBatchSampler.number": CALLED_BY_LOADERS,
    "spora_db.loading.resumable.ResumableSampler.left_aside": CALLED_BY_LOADERS,
    "spora_db.loading.sampler.TileSampler.drawn": CALLED_BY_LOADERS,
    "spora_db.plan.plan.Plan.cells_at": CALLED_BY_QUERIES,
    "spora_db.plan.plan.Plan.cells_of": CALLED_BY_QUERIES,
    "spora_db.plan.plan.Plan.hashed": CALLED_BY_QUERIES,
}
"""Methods without an example, and why."""
SKIPPED = {
    "spora_db.loading.movable.Movable.pin_memory": "memory is pinned only where there is an accelerator",
    "spora_db.query.answers.Answers.to_spatialdata": "spatialdata is an extra that is not installed for tests",
}
"""Examples that do not run, and why."""


def own(value: Any) -> bool:
    return inspect.isfunction(value) and value.__module__.startswith("spora_db.")


def public() -> Iterator[tuple[str, Any]]:
    """Yield every exported name, and the public methods of the exported classes, each by where it is written."""
    for name in spora_db.__all__:
        value = getattr(spora_db, name)
        yield f"spora_db.{name}", value
        if inspect.isclass(value):
            members = (inspect.getattr_static(value, member) for member in dir(value) if not member.startswith("_"))
            functions = (getattr(member, "__func__", member) for member in members)
            yield from ((f"{item.__module__}.{item.__qualname__}", item) for item in functions if own(item))


PUBLIC = dict(public())


@pytest.mark.parametrize("name", sorted(PUBLIC.keys() - EXCEPTIONS.keys()))
def test_help_shows_an_example_that_runs(name):
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(PUBLIC[name]) or "")
    assert examples, f"{name} has no example in its docstring"
    skipped = any(doctest.SKIP in example.options for example in examples)
    assert skipped == (name in SKIPPED), f"the example of {name} {'does not run' if skipped else 'runs'}"


SECTION = re.compile(r"^(?:Parameters|Attributes)\n-+\n(.+?)(?=^\w[\w ]*\n-+$|\Z)", re.MULTILINE | re.DOTALL)


def parameters(value: Any) -> set[str]:
    """Return what a public name is called with, as its signature says; errors take a message, a batch is a dict."""
    if inspect.isclass(value) and issubclass(value, BaseException | dict):
        return set()
    try:
        return set(inspect.signature(value).parameters) - {"self", "cls"} if callable(value) else set()
    except ValueError:  # a type alias
        return set()


def told_parameters(doc: str) -> set[str]:
    """Return the parameters that a docstring tells: in a section, or few of them in its first paragraph, quoted."""
    sections = "\n".join(SECTION.findall(doc))
    listed = re.findall(r"^(\S[^\n:]*)", sections, re.MULTILINE)
    return {*re.findall(r"\w+", " ".join(listed)), *re.findall(r"`(\w+)`", doc.partition("\n\n")[0])}


@pytest.mark.parametrize("name", sorted(PUBLIC.keys() - EXCEPTIONS.keys()))
def test_help_tells_every_parameter(name):
    assert parameters(PUBLIC[name]) - told_parameters(inspect.getdoc(PUBLIC[name]) or "") == set()


def test_what_is_told_of_parameters():
    doc = "Return `b`.\n\nMore of `c`.\n\nParameters\n----------\na, *d\n    One: `e`.\n\nReturns\n-------\nint\n"
    assert told_parameters(doc) == {"a", "b", "d"}


NAMED = "the class names what belongs to it"
ALONE = {
    "spora_db.plan.plan.Plan.identity": NAMED,
    "spora_db.plan.plan.Plan.image_path": NAMED,
    "spora_db.plan.plan.Plan.told": NAMED,
}
"""Methods without anything to see also, and why."""


def see_also(name: str) -> list[str]:
    """Return what a docstring names to see also, by what users import."""
    found = re.search(r"^See Also\n-+\n(.+?)(?:\n\n|\Z)", inspect.getdoc(PUBLIC[name]) or "", re.MULTILINE | re.DOTALL)
    return found[1].replace("\n", " ").split(", ") if found else []


def is_there(name: str) -> bool:
    """Tell whether a name, such as ``SporaQuery.where`` or ``plot.tissue``, is one of spora_db's."""
    first, *rest = name.split(".")
    at = getattr(spora_db, first, None) or importlib.import_module(f"spora_db.{first}")
    return reduce(lambda value, part: getattr(value, part, None), rest, at) is not None


@pytest.mark.parametrize("name", sorted(PUBLIC.keys() - EXCEPTIONS.keys() - ALONE.keys()))
def test_help_says_what_to_see_also(name):
    assert see_also(name), f"{name} has no See Also in its docstring"
    assert [other for other in see_also(name) if not is_there(other)] == []
    assert name.removeprefix("spora_db.") not in see_also(name)


def test_exceptions_are_of_names_that_there_are():
    assert {*EXCEPTIONS, *SKIPPED, *ALONE} <= PUBLIC.keys()
    documented = [name for name in EXCEPTIONS if ">>>" in (inspect.getdoc(PUBLIC[name]) or "")]
    assert documented == []
