"""Prints the lowest versions that pyproject.toml declares, a requirement a line: what ``make test-lowest`` installs.

torch is exempt: its older builds bring gigabytes of CUDA, so the one build that the Makefile pins is tested with all.
What none of these tests imports (linters, builders, kernels of notebooks, frameworks that train) has lowest versions
too, but nothing to be shown.
"""

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
EXTRAS = ("anndata", "ray", "dev")
EXEMPT = ("torch",)
NO_TESTS = (
    "accelerate", "build", "hatchling", "lightning", "mkdocs-material", "mkdocstrings",
    "moto", "mypy", "nbconvert", "obstore", "pandas-stubs", "ruff", "torchdata",
    "transformers",
)  # fmt: skip
_BOUND = re.compile(r"([A-Za-z0-9._-]+)(?:\[[a-z0-9,]+\])?>=([0-9][0-9.]*)(?:,<[0-9.]+)?")


def lowest(project: Path = PROJECT) -> list[str]:
    """Return ``name==version`` for every dependency, and for those of the extras that tests need."""
    table = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    declared = [*table["dependencies"], *(line for extra in EXTRAS for line in table["optional-dependencies"][extra])]
    found = [bound(line) for line in declared]
    return sorted({f"{name}=={version}" for name, version in found if name not in (*EXEMPT, *NO_TESTS)})


def bound(line: str) -> tuple[str, str]:
    """Return name and lowest version of a requirement."""
    parts = _BOUND.fullmatch(line)
    if parts is None:
        raise ValueError(f"{line!r} declares no lowest version, name>=version.")
    return parts[1], parts[2]


if __name__ == "__main__":
    sys.stdout.write("\n".join(lowest()) + "\n")
