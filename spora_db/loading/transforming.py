"""`SampleTransform`: a function of the user's that changes samples, called as its signature says."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import context, reduction
from typing import Any, Literal

import numpy as np
import torch

from spora_db.errors import ArgumentError, reason
from spora_db.loading.drawn import Drawn
from spora_db.loading.draws import generator
from spora_db.loading.sample import Sample


@dataclass(frozen=True, slots=True)
class SampleTransform:
    """A function ``f(sample)`` or ``f(sample, rng)``, and how it is handed its generator.

    Attributes
    ----------
    function
        The function: anything that can be called and whose signature says with how many arguments.
    handed
        Whether it takes a generator, by ``"position"`` or by the ``"name"`` rng, or is one of the ``"sample"`` alone.

    Raises
    ------
    ArgumentError
        If the signature does not tell.

    Examples
    --------
    >>> SampleTransform(lambda sample: sample).takes_rng, SampleTransform(lambda sample, rng: sample).takes_rng
    (False, True)
    """

    function: Callable[..., Any]
    handed: Literal["sample", "position", "name"] = field(init=False)

    def __post_init__(self) -> None:
        """Read the signature, once."""
        object.__setattr__(self, "handed", _handed(self.function))

    @property
    def takes_rng(self) -> bool:
        """Whether the function draws."""
        return self.handed != "sample"

    def __call__(self, sample: Any, rng: np.random.Generator | None) -> Any:  # noqa: ANN401 - whatever it makes
        """Return what the function makes of a sample, as `as_sample` has it.

        Raises
        ------
        ArgumentError
            If it makes nothing.
        """
        if self.handed == "sample":
            found = self.function(sample)
        else:
            found = self.function(sample, rng) if self.handed == "position" else self.function(sample, rng=rng)
        if found is None:
            raise ArgumentError(f"transform={_name(self.function)} returned None. Return the sample.")
        return as_sample(found)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the function.

        Raises
        ------
        ArgumentError
            If a process is being started for it that cannot find it. Other picklers, such as Ray's, may know more.
        """
        if context.get_spawning_popen() is not None:
            try:
                reduction.ForkingPickler.dumps(self.function)
            except ArgumentError:  # of a transform within it
                raise
            except Exception as error:
                raise ArgumentError(
                    f"transform={_name(self.function)} cannot be sent to a worker process that is spawned: "
                    f"{reason(error)}. Define it with def, or its class, at the top of a module (no lambda, no "
                    "function within a function), or start workers with start_method='fork'."
                ) from error
        return SampleTransform, (self.function,)

    def check(self, positions: Iterable[int]) -> None:
        """Refuse rows of which nothing tells when they were drawn, where the function draws.

        Raises
        ------
        ArgumentError
            Naming the line to write.
        """
        if self.takes_rng and not all(isinstance(position, Drawn) for position in positions):
            raise ArgumentError(
                f"transform={_name(self.function)} takes an rng, which follows from the seed, the epoch and the place "
                "in its order; this loader hands on row numbers alone, with which every epoch would get the same "
                "draws. Write dataset.loader(batch_size=32), or DataLoader(dataset, batch_size=32, "
                "sampler=TileSampler(dataset)), without shuffle=True."
            )

    def of_row(self, sample: Sample, row: int) -> Any:  # noqa: ANN401 - whatever it makes
        """Return what the function makes of the sample of one row, with the generator of the row's place.

        Parameters
        ----------
        sample
            The sample.
        row
            The row; a number alone draws as seed 0, epoch 0 and its own position.

        Raises
        ------
        Exception
            Whatever the function raises, with a note that names the row.
        """
        place = row if isinstance(row, Drawn) else Drawn(row, seed=0, epoch=0, position=row)
        made = {"seed": place.seed, "epoch": place.epoch, "position": place.position}
        try:
            return self(sample, generator(**made) if self.takes_rng else None)
        except Exception as error:
            drawn = "".join(f", {name} {value}" for name, value in made.items()) if self.takes_rng else ""
            error.add_note(
                f"Raised in transform={_name(self.function)}, at row {int(row)} of the plan{drawn}: {_place(sample)}."
            )
            raise


def as_sample(value: Any) -> Any:  # noqa: ANN401 - whatever a function makes
    """Return a dict with an image, or with such dicts, as a `Sample` whose arrays are tensors; anything else as it is.

    Examples
    --------
    >>> as_sample({"image": np.zeros((1, 2, 2), np.uint16)})["image"].dtype
    torch.uint16
    >>> as_sample((1, 2))
    (1, 2)
    """
    if not _is_dict(value):
        return value
    if "image" in value:
        return Sample({name: _tensors(part) for name, part in value.items()})
    if any(_is_dict(part) and "image" in part for part in value.values()):
        return Sample({name: as_sample(part) for name, part in value.items()})
    return value


def _is_dict(value: object) -> bool:
    return type(value) in (dict, Sample)  # what others made of dict keeps its class


def _tensors(value: Any) -> Any:  # noqa: ANN401 - whatever a sample holds
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return torch.from_numpy(np.require(value, requirements=["C", "W"]))
    return {name: _tensors(part) for name, part in value.items()} if type(value) is dict else value


def _handed(function: Any) -> Literal["sample", "position", "name"]:  # noqa: ANN401
    """Return how a function is handed a generator."""
    expected = "expected a function f(sample) or f(sample, rng)"
    if not callable(function) or isinstance(function, type):
        remedy = " Hand in an object of the class." if isinstance(function, type) else ""
        remedy = " Write transform=compose(f, g)." if isinstance(function, list | tuple) else remedy
        raise ArgumentError(f"transform={function!r}: {expected}.{remedy}")
    try:
        signature = inspect.signature(function)
    except ValueError as error:
        raise ArgumentError(
            f"transform={_name(function)}: nothing tells how many arguments it takes ({reason(error)}); {expected}. "
            "Call it in a function of your own."
        ) from error
    named = signature.parameters.get("rng")
    if named is not None and named.kind is named.POSITIONAL_ONLY:
        named = None
    if named is not None:
        if named.default is not named.empty and named.default is not None:
            raise ArgumentError(
                f"transform={_name(function)} has an rng already, which every worker would draw the same from. Leave "
                "rng unbound: it is handed in, one for every sample."
            )
        if _takes(signature, None, rng=None):
            return "name"
    alone, both = _takes(signature, None), _takes(signature, None, None)
    if alone == both or named is not None:
        found = "may be called with one argument or two" if alone else "can be called with neither one argument nor two"
        raise ArgumentError(
            f"transform={_name(function)}{signature} {found}; {expected}. Name its second parameter rng if it draws, "
            "or fix all but the sample with functools.partial or a function of your own."
        )
    return "position" if both else "sample"


def _takes(signature: inspect.Signature, *positional: None, **named: None) -> bool:
    try:
        signature.bind(*positional, **named)
    except TypeError:
        return False
    return True


def _name(function: object) -> str:
    while isinstance(function, partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


def _place(sample: Mapping[str, Any]) -> str:
    """Return where a sample is from, as far as the function has left it that."""
    parts = [sample, *(part for part in sample.values() if isinstance(part, Mapping))]
    own: Mapping[str, Any] = next((part for part in parts if "tissue_id" in part), {})
    named = {name: own[name] for name in ("dataset", "tissue_id", "tile_id", "cell_id", "row", "col") if name in own}
    return ", ".join(f"{name} {value}" for name, value in named.items()) or "a sample without a name"
