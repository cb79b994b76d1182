"""One direction: a room imports only what stands below it, lazily or for types too; read from the source with ast."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import spora_db

ROOT = Path(spora_db.__file__).parent

ORDER = (
    "errors", "arrays", "files", "layout", "sqltext", "guard", "kernels", "images", "masks", "regions", "dialects",
    "remembered", "feature_sets", "standardization", "tiling", "statistics", "sources", "catalog", "asking",
    "selection", "plan", "samples", "drawing", "loading", "transforms", "interop", "maps", "exporting", "lock",
    "copying", "audit", "jobs", "extraction", "nearest", "choosing", "bags", "query", "datasets", "plot", "validation",
    "importing", "demo", "explore", "cli", "magic",
)  # fmt: skip
"""Rooms from the ground floor up; a room is a package, or a module beside them."""

DOORS = {
    ("spora_db.query.answers", "spora_db.datasets.from_query"): "SporaQuery.to_spora_dataset gives a published class",
    ("spora_db.query.looks", "spora_db.explore.widget"): "SporaQuery.view gives the page's viewer",
    ("spora_db.plot.views", "spora_db.explore.widget"): "plot.view names what SporaQuery.view gives",
}
"""Imports of a room above, by module, and why."""

TOP = {"spora_db", "spora_db.__main__"}
"""Modules in no room: the package itself names what others hold, and imports it when it is asked for; its command."""


@cache
def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def room(module: str) -> str:
    return module.split(".")[1]


def imports(module: str) -> set[str]:
    """Return the modules of spora_db that a module imports anywhere in its text."""
    found = set()
    for node in ast.walk(ast.parse(modules()[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in modules() else str(node.module) for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name in modules() and name not in TOP}


def upwards() -> Iterator[tuple[str, str]]:
    for module in modules().keys() - TOP:
        for other in imports(module):
            if ORDER.index(room(other)) > ORDER.index(room(module)):
                yield module, other


def test_every_room_has_its_floor() -> None:
    assert {room(module) for module in modules().keys() - TOP} == set(ORDER)


def test_a_room_imports_only_what_stands_below_it() -> None:
    assert sorted(set(upwards()) - DOORS.keys()) == []


def test_every_door_is_used() -> None:
    assert set(upwards()) == DOORS.keys()


PUBLISHED = {"Modality": "the union that clients of the published loader import"}
"""Names that stand for two things, and why; those of ``cli.arguments`` are options, called as what they give."""


def names(module: str) -> Iterator[str]:
    """Yield the classes and types that a module defines."""
    for node in ast.parse(modules()[module].read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        own = (
            [node] if isinstance(node, ast.ClassDef) else [target for target in targets if isinstance(target, ast.Name)]
        )
        found = [getattr(item, "name", None) or getattr(item, "id", "") for item in own]
        yield from (name for name in found if name.lstrip("_")[:1].isupper() and not name.isupper())


def test_a_name_stands_for_one_thing() -> None:
    where: dict[str, list[str]] = {}
    for module in modules().keys() - {"spora_db.cli.arguments"}:
        for name in names(module):
            where.setdefault(name, []).append(module)
    twice = {name: sorted(found) for name, found in where.items() if len(found) > 1}
    assert twice.keys() == PUBLISHED.keys(), twice


def test_a_module_is_read_at_one_sitting() -> None:
    lines = {module: path.read_text(encoding="utf-8").count("\n") for module, path in modules().items()}
    most = {module: 150 if room(module) == "kernels" else 300 for module in lines.keys() - TOP}
    assert {module: lines[module] for module in most if lines[module] > most[module]} == {}


def test_no_circle_of_files_but_through_the_door() -> None:
    files: TopologicalSorter[str] = TopologicalSorter()
    for module in modules().keys() - TOP:
        files.add(module, *(other for other in imports(module) - {module} if (module, other) not in DOORS))
    files.prepare()  # its CycleError names the files
