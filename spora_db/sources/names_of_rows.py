"""Columns of tissues called as what rows of queries say themselves: there by a second name too, ``tissue_<name>``.

A core's ``row`` on its slide is no tile's, and the ``path`` of a scan is no image's: in rows the name means their own.
"""

import re
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

    The second name is longer than all like it of those `taken`, the folded names of the columns of all files.
    """
    second = {key: PREFIX + _longest(key, taken) for key in sorted(OF_ROWS.intersection(columns))}
    return {**columns, **{name: replace(columns[key], name=name) for key, name in second.items()}}


@lru_cache(maxsize=8)
def second_names(columns: tuple[str, ...]) -> dict[str, str]:
    """Return those of the columns of tissues, folded, that have a second name, with it.

    Examples
    --------
    >>> second_names(("dataset", "Row", "tissue_row", "tissue_path"))
    {'row': 'tissue_row'}
    """
    known = set(map(fold, columns))
    found = {name: _longest(name, known) for name in sorted(OF_ROWS & known)}
    return {name: second for name, second in found.items() if second != name}


def _longest(name: str, names: Collection[str]) -> str:
    """Return the longest of some names that is this one after any number of prefixes."""
    alike = re.compile(f"({PREFIX})*{name}")
    return max(filter(alike.fullmatch, names), key=len)
