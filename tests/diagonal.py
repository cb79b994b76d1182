"""Pairs of choices: all of them among the slow tests, a diagonal among the quick ones."""

from collections.abc import Mapping

import pytest


def pairs(first: Mapping[str, object], second: Mapping[str, object]) -> list[object]:
    """Return parameters for every pair of two choices by name, slow but for a diagonal, in which each stands once.

    For what goes wrong by one choice or the other; every pair is tried by ``make test-slow``.
    """
    found = []
    for i, (name, one) in enumerate(first.items()):
        for j, (beside, other) in enumerate(second.items()):
            marks = [] if i % len(second) == j % len(first) else [pytest.mark.slow]
            found.append(pytest.param(one, other, id=f"{name}-{beside}", marks=marks))
    return found
