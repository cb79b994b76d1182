"""Random draws that repeat: the same seed gives the same draws, and every worker draws its own."""

import copy
import os
from typing import Any

import numpy as np
from torch.utils.data import get_worker_info

from spora_db.errors import ArgumentError


class Draws:
    """A stream of random numbers per worker process.

    Parameters
    ----------
    seed
        With a seed, the draws are a function of (seed, epoch, number of the worker). Without one, `integer` follows
        numpy's global generator, as code expects that seeds it (torch seeds it in each worker), and `stream` differs
        from run to run; within DataLoader workers it then follows the seed that torch gives each worker.

    Raises
    ------
    ArgumentError
        For a seed that is not a whole number >= 0.

    Examples
    --------
    >>> Draws(0).integer(1000) == Draws(0).integer(1000)
    True
    """

    def __init__(self, seed: int | None = None) -> None:
        if seed is not None and (isinstance(seed, bool) or int(seed) != seed or seed < 0):
            message = f"seed={seed!r}: expected a whole number >= 0, or None."
            raise ArgumentError(message)
        self.seed = None if seed is None else int(seed)
        self.epoch = 0
        self._given: np.random.Generator | None = None
        self._owner: tuple[int, int, int] | None = None
        self._stream = np.random.default_rng()

    def set_epoch(self, epoch: int) -> None:
        """Draw the samples of another epoch; workers that are already running keep theirs."""
        self.epoch = int(epoch)

    def integer(self, high: int) -> int:
        """Return a whole number in 0..high-1."""
        if self.seed is None and self._given is None:
            return int(np.random.randint(high))  # noqa: NPY002 - the published classes follow the global generator
        return int(self.stream().integers(high))

    def use(self, generator: np.random.Generator) -> None:
        """Draw from a generator; each worker from one of its own, a function of (its state, epoch, number)."""
        if not isinstance(generator, np.random.Generator):
            message = f"rng must be a numpy Generator, such as np.random.default_rng(0); got {generator!r}."
            raise ArgumentError(message)
        self._given, self._owner = generator, None

    def stream(self) -> np.random.Generator:
        """Return the generator of this process."""
        worker = get_worker_info()
        number = 0 if worker is None else worker.id + 1
        if number == 0 and self._given is not None:
            return self._given
        owner = (os.getpid(), number, self.epoch)
        if owner != self._owner:
            self._owner = owner
            if self._given is not None:
                words = copy.deepcopy(self._given).integers(2**32, size=4).tolist()
                self._stream = np.random.default_rng([*words, self.epoch, number])
            elif self.seed is not None:
                self._stream = np.random.default_rng([self.seed, self.epoch, number])
            else:
                self._stream = np.random.default_rng(None if worker is None else worker.seed)
        return self._stream

    def __getstate__(self) -> dict[str, Any]:
        """Hand over the seed, or the generator given; each process starts a stream of its own."""
        return {**self.__dict__, "_owner": None}
