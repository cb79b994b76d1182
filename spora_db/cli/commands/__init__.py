"""One module per command: it decorates a function with ``app.command()``, and is found by lying here."""

import pkgutil
from importlib import import_module


def load() -> None:
    """Import every module of this folder."""
    for module in pkgutil.iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
