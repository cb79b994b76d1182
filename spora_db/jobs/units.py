"""One unit of work is one tissue: what it is asked, what it answers, and its share of a sharded run."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from spora_db.arrays import AnyArray
from spora_db.errors import ArgumentError, SporaError
from spora_db.jobs.work_folder import write_result

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnitResult:
    """What a unit computes: arrays, and a record of JSON values.

    Attributes
    ----------
    arrays
        By name; plain numbers only, never objects.
    record
        JSON values. ``pixels``, the number of pixels worked through, is shown as speed.
    """

    arrays: Mapping[str, AnyArray]
    record: Mapping[str, Any]


class WorkUnit(Protocol):
    """The work of one tissue. A frozen value: it pickles, and holds paths and numbers but no open file.

    Attributes
    ----------
    tissue_id
        The tissue.
    result
        The file that its result lies in; named by what the unit reads, so that it exists only if it is still right.
    memory
        Bytes of memory that computing it takes, about.
    """

    @property
    def tissue_id(self) -> str: ...  # noqa: D102

    @property
    def result(self) -> Path: ...  # noqa: D102

    @property
    def memory(self) -> int: ...  # noqa: D102

    def compute(self) -> UnitResult:
        """Do the work, in whichever process this is."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a unit went.

    Attributes
    ----------
    tissue_id
        The tissue.
    seconds
        Time that its work took; 0 for a result that lay there already.
    pixels
        Pixels worked through, over all channels.
    reused
        Whether its result was there already, from an earlier run, another shard or a run at the same time.
    failure
        Why there is no result; None where there is one.
    """

    tissue_id: str
    seconds: float = 0.0
    pixels: int = 0
    reused: bool = False
    failure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Every ``count``-th tissue in sorted order, from the ``index``-th on: one of ``count`` parts of a run.

    Examples
    --------
    >>> Shard.parse("1/3").part(["a", "b", "c", "d", "e"])
    ['b', 'e']
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        """Refuse a shard that does not exist."""
        if not 0 <= self.index < self.count:
            raise ArgumentError(
                f"--shard is {self}; expected i/n with 0 <= i < n, such as 0/3, 1/3 and 2/3 for three shards."
            )

    def __str__(self) -> str:
        """Return the form of the command line, ``i/n``."""
        return f"{self.index}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read ``i/n``.

        Raises
        ------
        ArgumentError
            For any other text, and for a shard that does not exist.
        """
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip(), re.ASCII)
        if match is None:
            raise ArgumentError(f"--shard is {text!r}; expected i/n, such as 0/3 for the first of three shards.")
        return cls(index=int(match[1]), count=int(match[2]))

    def part(self, items: Sequence[T]) -> list[T]:
        """Return this shard's part of items that are in the same order everywhere."""
        return list(items[self.index :: self.count])


def run_unit(unit: WorkUnit) -> Outcome:
    """Do a unit's work and put its result in place, whole; the entry point of every worker, local or remote.

    Raises
    ------
    SporaError
        Whatever the unit finds wrong with its tissue, and WriteError where the result cannot be written.
    """
    if unit.result.is_file():
        return Outcome(tissue_id=unit.tissue_id, reused=True)
    started = time.perf_counter()
    result = unit.compute()
    write_result(unit.result, arrays=result.arrays, record=result.record)
    pixels = int(result.record.get("pixels", 0))
    return Outcome(tissue_id=unit.tissue_id, seconds=time.perf_counter() - started, pixels=pixels)


def failed(unit: WorkUnit, error: BaseException) -> Outcome:
    """Return the outcome of a unit that raised an error, with its reason in one line."""
    reason = str(error) if isinstance(error, SporaError) else f"{type(error).__name__}: {error}"
    return Outcome(tissue_id=unit.tissue_id, failure=" ".join(reason.split()))
