"""The ``spora-db`` command: thin commands over the library, each a module of ``commands``."""

from spora_db.cli.application import app, main
from spora_db.cli.commands import load

load()

__all__ = ["app", "main"]
