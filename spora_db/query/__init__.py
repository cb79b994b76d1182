"""Queries: verbs to a selection, and the answers."""

from spora_db.query.spora_query import SporaQuery

__all__ = ["SporaQuery"]
