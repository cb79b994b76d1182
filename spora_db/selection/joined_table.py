"""A table of a user's beside the rows of a query, as plain values."""

from dataclasses import dataclass

import pyarrow as pa

from spora_db.selection.brief import Brief


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class JoinedTable(Brief):
    """A table that a query joins.

    Attributes
    ----------
    name
        The relation's.
    table
        The table, where it was given and does not lie in the lake.
    only
        Whether rows that it says nothing of are left out.
    """

    name: str
    table: pa.Table | None = None
    only: bool = False
