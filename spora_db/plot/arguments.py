"""Queries as arguments of pictures."""

from typing import TYPE_CHECKING

from spora_db.drawing.arguments import wrong_kind

if TYPE_CHECKING:
    from spora_db.query import SporaQuery

TILES = "SporaQuery('lake').modality('imc').tiles(size=128, mpp=1.0)"


def check_query(query: "SporaQuery", *, write: str) -> None:
    """Refuse what is no query.

    Raises
    ------
    ArgumentError
        The message ends with the call that works, ``write``.
    """
    from spora_db.query import SporaQuery

    if not isinstance(query, SporaQuery):
        raise wrong_kind(query, expected="a SporaQuery", write=write)
