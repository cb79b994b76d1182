"""The typed relations that ``sql/views`` stand on, whatever quirks the files have: one SELECT over all files of a kind.

``SOURCES`` come from parquet files, ``LISTINGS`` from folders. All SQL text is built from sqlglot expressions: no name
or path of a file is ever pasted into SQL.
"""

from collections.abc import Callable, Mapping
from functools import partial

from spora_db.layout import Lake
from spora_db.sources.footers import verify_pages
from spora_db.sources.listings import LISTINGS, listing_query, listing_state, listing_table
from spora_db.sources.panels import panel_columns, panels
from spora_db.sources.source_query import Branch, Origin, SourceFiles, SourceQuery
from spora_db.sources.statistics import statistics, statistics_columns
from spora_db.sources.tables import CELLS, CHANNELS, REGIONS, TILE_COORDINATES, TILE_STATS, TISSUES, table
from spora_db.sqltext.expressions import path_list

__all__ = [
    "LISTINGS",
    "SOURCES",
    "Branch",
    "Origin",
    "SourceFiles",
    "SourceQuery",
    "allowed_paths",
    "listing_query",
    "listing_state",
    "listing_table",
    "verify_pages",
]


def allowed_paths(lake: Lake) -> str:
    """Return the files that DuckDB may open, as the text of its setting ``allowed_paths``."""
    return path_list(file.path for file in lake.table_files)


SOURCES: Mapping[str, Callable[[Lake], SourceFiles]] = {
    **{
        source.name: partial(table, source)
        for source in (TISSUES, CELLS, REGIONS, CHANNELS, TILE_COORDINATES, TILE_STATS)
    },
    "source_panels": panels,
    "source_panel_columns": panel_columns,
    "source_statistics": statistics,
    "source_statistics_columns": statistics_columns,
}
