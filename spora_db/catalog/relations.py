"""Which relations and macros there are, and what each stands on."""

from functools import cache

from spora_db.catalog.aliases import Naming
from spora_db.catalog.names_in import needs
from spora_db.catalog.region_functions import REGION_FUNCTIONS
from spora_db.sources import LISTINGS, SOURCES

VIEWS = (
    "datasets",
    "tissues",
    "cells",
    "regions",
    "features",
    "images",
    "masks",
    "channels",
    "channels_per_tissue",
    "tissue_channels",
    "markers",
    "tile_coordinates",
    "tile_stats",
    "standardization_stats",
    "tiles",
)
MARKER_MACROS = ("marker_channels", "n_markers", "has_all_markers", "has_any_marker")
SCORE_MACROS = ("is_probabilities", "checked_probabilities", "score_entropy", "score_margin")
MACROS = (*MARKER_MACROS, *SCORE_MACROS, *REGION_FUNCTIONS)
NAMING = tuple(Naming().relations())
"""The tables of what users say of the names of markers, which the macros read."""

# 50,000 tissues x 150 channels are 1 MB of bits in memory and 5,550 columns on disk: 0.1 s or 1 s for each query.
_IN_MEMORY = frozenset({"source_channels", "source_panels", "source_panel_columns"})


def kind(relation: str) -> str:
    """Return what DuckDB has a relation or macro as."""
    if relation in MACROS:
        return "MACRO"
    return "TABLE" if relation in _IN_MEMORY else "VIEW"


@cache
def standing_on(names: frozenset[str]) -> tuple[str, ...]:
    """Return the relations and macros among names and all they stand on, each after what it stands on."""
    found: dict[str, None] = {}
    for name in sorted(names):
        if name in REGION_FUNCTIONS:
            found["source_regions"] = None
        elif name in VIEWS or name in MACROS:
            found |= dict.fromkeys(standing_on(needs("views" if name in VIEWS else "macros", name)))
        elif name not in SOURCES and name not in LISTINGS and name not in NAMING:
            continue
        found[name] = None
    return tuple(found)
