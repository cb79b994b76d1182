"""Checks user SQL and predicates before DuckDB sees them."""

from spora_db.guard.checks import check_columns, check_predicate, check_select
from spora_db.guard.statements import Statement, check_statement

__all__ = ["Statement", "check_columns", "check_predicate", "check_select", "check_statement"]
