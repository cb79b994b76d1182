"""The model that is run: what it is called, which weights it has, how it is handed a batch."""

import hashlib
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from spora_db.errors import ArgumentError, reason
from spora_db.loading.movable import moved


def called(function: object) -> str:
    """Return where a function, or the class of an object, is defined.

    Examples
    --------
    >>> called(called)
    'spora_db.extraction.models:called'
    """
    named: Any = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}:{named.__qualname__}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelIdentity:
    """What a feature set says of the model that made it.

    Attributes
    ----------
    name
        Where the function or class is defined, unless it was called otherwise.
    weights
        SHA-256 of the weights: those of a torch module, or the file that was named; None where there are none.
    """

    name: str
    weights: str | None = None


def identity_of(model: object, *, name: str | None = None, weights: str | Path | None = None) -> ModelIdentity:
    """Return what is recorded of a model.

    Parameters
    ----------
    model
        A torch module, or any function of a batch.
    name
        What it is called; by default where it is defined.
    weights
        A file of weights, of a function that has some.

    Raises
    ------
    ArgumentError
        If it cannot be called, or there is no such file.
    """
    if not callable(model) or isinstance(model, type):
        kind = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise ArgumentError(
            f"extract({kind}): expected a function of a batch, or a torch module (an instance), that returns a tensor."
        )
    if weights is not None:
        digest: str | None = _digest_of_file(Path(weights))
    else:
        digest = digest_of_weights(model) if isinstance(model, torch.nn.Module) else None
    return ModelIdentity(name=name or called(model), weights=digest)


def digest_of_weights(module: torch.nn.Module) -> str:
    """Return the SHA-256 of a module's parameters and buffers: their names, types, shapes and bytes.

    Examples
    --------
    >>> module = torch.nn.Linear(2, 1)
    >>> before = digest_of_weights(module)
    >>> with torch.no_grad():
    ...     _ = module.weight.add_(1)
    >>> digest_of_weights(module) == before
    False
    """
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        if isinstance(value, torch.Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        else:
            digest.update(f"{name} {value!r}\n".encode())
    return digest.hexdigest()


@contextmanager
def made_ready(
    model: Callable[[Any], object], *, device: str | torch.device | None
) -> Iterator[Callable[[Any], object]]:
    """Lend a model as a function of a batch: on its device, in evaluation, without gradients.

    A module is left in the mode, training or evaluation, that it was in; it stays on the device.

    Parameters
    ----------
    model
        The model.
    device
        Where batches, and a module, go first; None leaves both where they are.
    """
    training = isinstance(model, torch.nn.Module) and model.training
    if isinstance(model, torch.nn.Module):
        model.eval()
        if device is not None:
            model.to(device)

    def run(batch: Any) -> object:  # noqa: ANN401 - whatever the collate makes
        with torch.inference_mode():
            return model(batch if device is None else moved(batch, device))

    try:
        yield run
    finally:
        if isinstance(model, torch.nn.Module):
            model.train(training)


def model_named(text: str) -> Any:  # noqa: ANN401 - `identity_of` checks it
    """Return what ``package.module:name`` names, for a command line; the working folder is searched too.

    Raises
    ------
    ArgumentError
        If there is none.

    Examples
    --------
    >>> model_named("torch:numel").__name__
    'numel'
    """
    module, colon, name = text.partition(":")
    if not colon or not module or not name:
        raise ArgumentError(f"--model is {text!r}; expected package.module:name, such as my_models:embed.")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module)
    except ImportError as error:
        raise ArgumentError(
            f"--model {text}: {module} cannot be imported ({reason(error)}). It is looked for in the working folder "
            "and where Python looks."
        ) from error
    for part in name.split("."):
        if not hasattr(found, part):
            public = ", ".join(sorted(key for key in vars(found) if not key.startswith("_"))[:20])
            raise ArgumentError(f"--model {text}: {module} has no {name}. It has {public}.")
        found = getattr(found, part)
    return found


def _digest_of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArgumentError(
            f"extract(weights={str(path)!r}): {error.strerror or error}. Expected the file that the model's weights "
            "were read from."
        ) from error
