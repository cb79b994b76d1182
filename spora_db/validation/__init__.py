"""Validating a lake: every rule of the layout, as findings with severity, file, reason and remedy."""

from spora_db.validation.findings import SEVERITIES, Finding, Rule, Severity, count
from spora_db.validation.rules import RULES
from spora_db.validation.validating import validate

__all__ = ["RULES", "SEVERITIES", "Finding", "Rule", "Severity", "count", "validate"]
