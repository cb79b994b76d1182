"""Columns of tissues called as what rows of queries say themselves: there by a second name too, ``tissue_<name>``.

A core's ``row`` on its slide is no tile's, and the ``path`` of a scan is no image's: in rows the name means their own.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import lru_cache

from spora_db.sources.footers import FileColumn
from spora_db.sqltext.names import fold

OF_ROWS = frozenset(
    {"mpp", "strategy", "tile_size", "tile_id", "cell_id", "row", "col", "path", "format"}
    | {"region_class", "region_classes", "region_fraction", "region_fractions"}
)
"""What rows of tiles, tissues and cells say themselves beside what tissues have in every lake."""
PREFIX = "tissue_"


def with_second_names(columns: Mapping[str, FileColumn], taken: Collection[str]) -> dict[str, FileColumn]:
    """Return the columns of a file of tissues, by folded name, with those of `OF_ROWS` by a second name too.

    The second name is none of those `taken`, the folded names of the columns of all files.
    """
    second = {}
    for key in sorted(OF_ROWS.intersection(columns)):
        name = PREFIX + key
        while name in taken:
            name = PREFIX + name
        second[name] = replace(columns[key], name=name)
    return {**columns, **second}


@lru_cache(maxsize=8)
def second_names(columns: tuple[str, ...]) -> dict[str, str]:
    """Return the columns of tissues, folded, that have a second name among these columns, with it.

    Examples
    --------
    >>> second_names(("dataset", "Row", "tissue_row", "col", "tissue_path"))
    {'path': 'tissue_path', 'row': 'tissue_row'}
    """
    known, found = set(map(fold, columns)), {}
    for name in sorted(OF_ROWS):
        second = name
        while PREFIX + second in known:
            second = PREFIX + second
        if second != name:
            found[name] = second
    return found
