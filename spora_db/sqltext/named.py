"""What a statement names: the relations that must be there for it, and the columns that they must have."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """The names in a statement, folded.

    Attributes
    ----------
    relations
        Relations and functions; names of its own may be among them.
    columns
        All words that may be columns, and others; None where it takes all columns of a relation, whatever they are.
    """

    relations: frozenset[str]
    columns: frozenset[str] | None = frozenset()

    def __or__(self, other: "Named") -> "Named":
        """Return what two statements name.

        Examples
        --------
        >>> tiles = Named(relations=frozenset(["tiles"]), columns=frozenset(["split"]))
        >>> (tiles | Named(relations=frozenset(["cells"]), columns=None)).columns
        """
        columns = None if self.columns is None or other.columns is None else self.columns | other.columns
        return Named(relations=self.relations | other.relations, columns=columns)

    def among(self, columns: Collection[str]) -> frozenset[str]:
        """Return those of some columns, folded, that are named."""
        return frozenset(columns) if self.columns is None else self.columns.intersection(columns)
