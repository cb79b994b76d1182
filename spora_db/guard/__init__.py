"""Checks user SQL and predicates before DuckDB sees them."""

from spora_db.guard.checks import (
    check_columns,
    check_predicate,
    check_select,
)

__all__ = [
    "check_columns",
    "check_predicate",
    "check_select",
]
