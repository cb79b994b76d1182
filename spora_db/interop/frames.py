"""Arrow tables as frames of other libraries."""

import importlib
from typing import TYPE_CHECKING, cast

from spora_db.errors import MissingExtraError

if TYPE_CHECKING:
    from types import ModuleType

    import polars as pl
    import pyarrow as pa


def need(module: str, *, extra: str | None, what: str, instead: str) -> "ModuleType":
    """Import an optional library, or say how to get it.

    Parameters
    ----------
    module
        Its name.
    extra
        The extra of spora-db that installs it; None where it is installed by its own name.
    what
        What needs it.
    instead
        What does without.

    Raises
    ------
    MissingExtraError
        If it is not installed.

    Examples
    --------
    >>> need("json", extra=None, what="this", instead="Nothing.").__name__
    'json'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        wanted = module if extra is None else f'"spora-db[{extra}]"'
        raise MissingExtraError(f"{what} needs {module}: pip install {wanted}. {instead}") from error


def to_polars(table: "pa.Table") -> "pl.DataFrame":
    """Return an Arrow table as a polars DataFrame.

    Raises
    ------
    MissingExtraError
        If polars is not installed.
    """
    polars = need("polars", extra=None, what="pl()", instead="Without it, use to_arrow() or df().")
    return cast("pl.DataFrame", polars.from_arrow(table))
