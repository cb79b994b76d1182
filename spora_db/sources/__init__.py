"""The typed relations that ``sql/views`` stand on, whatever quirks the files have: one SELECT over all files of a kind.

``SOURCES`` come from parquet files, ``LISTINGS`` from folders. All SQL text is built from sqlglot expressions: no name or
path of a file is ever pasted into SQL.
"""

from collections.abc import Callable, Mapping
from functools import partial

from spora_db.layout import Lake
from spora_db.sources.listings import LISTINGS, listing_query, listing_table
from spora_db.sources.source_query import Branch, Origin, SourceQuery
from spora_db.sources.tables import CELLS, CHANNELS, TILE_COORDINATES, TILE_STATS, TISSUES, table
from spora_db.sources.wide import panel_columns, panels, statistics

__all__ = ["LISTINGS", "SOURCES", "Branch", "Origin", "SourceQuery", "listing_query", "listing_table"]

SOURCES: Mapping[str, Callable[[Lake], SourceQuery]] = {
    **{source.name: partial(table, source) for source in (TISSUES, CELLS, CHANNELS, TILE_COORDINATES, TILE_STATS)},
    "source_panels": panels,
    "source_panel_columns": panel_columns,
    "source_statistics": statistics,
}
