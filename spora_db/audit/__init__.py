"""Audits: what a selection holds, and what is wrong with it."""

from spora_db.audit.audit import MARKS, Audit, Section
from spora_db.audit.making import make_audit

__all__ = ["MARKS", "Audit", "Section", "make_audit"]
