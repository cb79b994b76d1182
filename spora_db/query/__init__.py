"""Queries: verbs to a selection, a selection to one SELECT, and the answers.

`SporaQuery` is imported when it is asked for, because plans use the smaller modules of this package without it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spora_db.query.spora_query import SporaQuery

__all__ = ["SporaQuery"]


def __getattr__(name: str) -> object:
    if name == "SporaQuery":
        from spora_db.query.spora_query import SporaQuery

        return SporaQuery
    raise AttributeError(f"module 'spora_db.query' has no attribute {name!r}")
