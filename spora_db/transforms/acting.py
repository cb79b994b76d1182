"""How a change of one sample acts on a sample, on a list of samples, and on a batch; and whose draws each gets."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch

from spora_db.errors import ArgumentError
from spora_db.loading.joining import Fields
from spora_db.loading.sample import Sample
from spora_db.transforms.batches import is_batch, parts_of, rejoined, unbound

Samples: TypeAlias = Any  # a sample, a list of samples, or a batch
Generators: TypeAlias = np.random.Generator | torch.Generator | Sequence[np.random.Generator]


def acting(change: Callable[[Fields, Any], Fields], samples: Samples, choices: Callable[[int], Sequence[Any]]) -> Any:  # noqa: ANN401 - as `samples`
    """Return samples, each changed by a choice of its own.

    Parameters
    ----------
    change
        From a sample and its choice to the changed sample.
    samples
        A sample, a list of samples, or a batch.
    choices
        From the number of samples to a choice for each.

    Raises
    ------
    ArgumentError
        If it is none of these.
    """
    if isinstance(samples, Sequence) and not isinstance(samples, str):
        return [change(sample, choice) for sample, choice in zip(samples, choices(len(samples)), strict=True)]
    if not isinstance(samples, Mapping):
        raise ArgumentError(
            f"Received {type(samples).__name__}; expected a sample as query.to_torch()[0] gives it, a list of samples, "
            "or a batch. Where a transform returns something else, let it come last."
        )
    if not is_batch(samples):
        return change(samples, choices(1)[0])
    taken = unbound(samples)
    changed = [change(sample, choice) for sample, choice in zip(taken, choices(len(taken)), strict=True)]
    return rejoined(samples, taken, changed)


def on_every_part(sample: Fields, change: Callable[[Fields], Fields]) -> Sample:
    """Return a sample with its modalities changed, or itself where it has but one."""
    if "image" in sample:
        return Sample(change(sample))
    return Sample({**sample, **{name: Sample(change(part)) for name, part in parts_of(sample).items()}})


def generators(rng: Generators | None, count: int) -> Sequence[np.random.Generator]:
    """Return a generator for each of some samples: one for all of them, from which they draw in turn, or their own.

    Raises
    ------
    ArgumentError
        If `rng` is none, or not as many as there are samples.

    Examples
    --------
    >>> len(generators(np.random.default_rng(0), 3))
    3
    """
    if isinstance(rng, torch.Generator):
        seed = int(torch.randint(2**63 - 1, (1,), generator=rng, device=rng.device))
        return [np.random.default_rng(seed)] * count
    if isinstance(rng, np.random.Generator):
        return [rng] * count
    if isinstance(rng, list | tuple) and all(isinstance(own, np.random.Generator) for own in rng):
        if len(rng) != count:
            raise ArgumentError(f"rng holds {len(rng)} generators for {count} samples. Hand in one for each, or one.")
        return rng
    raise ArgumentError(
        f"rng={rng!r}: expected a numpy Generator, such as np.random.default_rng(0), a torch Generator, or a list with "
        "a numpy Generator for each sample."
    )


def per_sample(values: Any, count: int) -> list[int]:  # noqa: ANN401 - a number, or numbers in any form
    """Return a number for each of some samples: one for all of them, or their own.

    Raises
    ------
    ArgumentError
        If they are not as many as there are samples.

    Examples
    --------
    >>> per_sample(3, 2), per_sample(np.array([1, 2]), 2)
    ([3, 3], [1, 2])
    """
    numbers = np.asarray(values)
    if numbers.ndim == 0:
        return [int(numbers)] * count
    if numbers.shape != (count,):
        raise ArgumentError(f"Received {list(values)} for {count} samples. Hand in a number for each, or one for all.")
    return [int(number) for number in numbers]
