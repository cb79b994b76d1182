"""The sources of a lake in DuckDB: views over files, and tables in memory, which are kept for the next process too."""

import duckdb
import pyarrow as pa

from spora_db.catalog.known_sources import KnownSources
from spora_db.catalog.relations import kind
from spora_db.sqltext.dialect import DIALECT
from spora_db.sqltext.expressions import identifier

BATCH = 8192
"""Rows of a table that are read back by one thread at a time."""


def create_source(duck: duckdb.DuckDBPyConnection, name: str, sources: KnownSources) -> None:
    """Make the view or table of a source; a table of what an earlier process kept of the same files, if it did."""
    if kind(name) != "TABLE":
        duck.execute(f"CREATE VIEW {identifier(name).sql(DIALECT)} AS {sources.text(name)}")
        return
    lasting = sources.lasting("", [name])
    found = None if lasting is None else lasting.read()
    if found is not None:
        duck.execute(f"CREATE TABLE {name} AS {sources.query(name).empty.sql(DIALECT)}")
        duck.from_arrow(pa.ipc.open_stream(found).read_all()).insert_into(name)
        return
    duck.execute(f"CREATE TABLE {name} AS {sources.text(name)}")
    if lasting is not None:
        lasting.write(_as_texts(duck, name))


def _as_texts(duck: duckdb.DuckDBPyConnection, name: str) -> memoryview:
    """Return the bytes of a table as an Arrow stream of texts: Arrow has no type for bits."""
    texts = duck.sql(f"SELECT CAST(COLUMNS(*) AS VARCHAR) FROM {name}").to_arrow_table()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, texts.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(texts, max_chunksize=BATCH)
    return memoryview(sink.getvalue())
