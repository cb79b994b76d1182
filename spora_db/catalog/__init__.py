"""A lake's files as SQL relations: the only package that owns a DuckDB connection."""

from spora_db.catalog.explanation import Explanation, TouchedFile
from spora_db.catalog.interface import Catalog
from spora_db.catalog.lending import close_kept_catalog, lent_catalog
from spora_db.catalog.relations import MACROS, VIEWS
from spora_db.catalog.result import Result

__all__ = ["MACROS", "VIEWS", "Catalog", "Explanation", "Result", "TouchedFile", "close_kept_catalog", "lent_catalog"]
