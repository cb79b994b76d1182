"""`compose`: transforms one after another, as one."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from spora_db.errors import ArgumentError
from spora_db.loading.joining import Fields
from spora_db.loading.transforming import SampleTransform
from spora_db.transforms.acting import Generators, Samples, acting, generators


@dataclass(frozen=True, slots=True)
class compose:
    """Transforms one after another, as one: of this package, and functions ``f(sample)`` or ``f(sample, rng)``.

    Each sample goes through all of them before the next one does, and they draw from one generator.

    Parameters
    ----------
    functions
        The transforms, first to last.

    Raises
    ------
    ArgumentError
        If there is none, or a signature does not tell whether it takes an rng.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from spora_db.transforms import center_crop, random_symmetry
    >>> augment = compose(center_crop(2), random_symmetry, lambda sample: {**sample, "seen": True})
    >>> sample = augment({"image": torch.arange(16).view(1, 4, 4)}, np.random.default_rng(0))
    >>> sample["image"].tolist(), sample["seen"]
    ([[[9, 10], [5, 6]]], True)
    """

    steps: tuple[SampleTransform, ...]

    def __init__(self, *functions: Callable[..., Any]) -> None:
        """Read every signature, once."""
        if not functions:
            raise ArgumentError("compose(): expected at least one transform, as compose(random_symmetry).")
        object.__setattr__(self, "steps", tuple(map(SampleTransform, functions)))

    @property
    def __signature__(self) -> inspect.Signature:
        """Whether it takes an rng: what ``to_torch(transform=...)`` reads."""
        taken = ("samples", "rng") if any(step.takes_rng for step in self.steps) else ("samples",)
        return inspect.Signature([inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in taken])

    def __call__(self, samples: Samples, rng: Generators | None = None) -> Any:  # noqa: ANN401 - as `Samples`
        """Return what the transforms make of the samples."""
        draws = any(step.takes_rng for step in self.steps)
        return acting(self._sample, samples, partial(generators, rng) if draws else lambda count: [None] * count)

    def _sample(self, sample: Fields, rng: Any) -> Any:  # noqa: ANN401 - a generator, where one is needed
        for step in self.steps:
            sample = step(sample, rng)
        return sample
