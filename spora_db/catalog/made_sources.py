"""The sources of a lake in DuckDB: views over files, and tables in memory, which are kept for the next process too."""

import duckdb
import pyarrow as pa

from spora_db.catalog.known_sources import KnownSources
from spora_db.catalog.relations import kind
from spora_db.sqltext.dialect import DIALECT
from spora_db.sqltext.expressions import identifier

BATCH = 8192
"""Rows of a table that are read back by one thread at a time."""
UNBOUND = "WITH (DEFER_BINDING)"
"""How a view is made that is bound by the statements over it alone: of 74 files each view on them would take 15 ms."""
BIT = {
    "ARROW:extension:name": "arrow.opaque",
    "ARROW:extension:metadata": '{"type_name":"bit","vendor_name":"DuckDB"}',
}
"""How DuckDB knows its bits in Arrow, which has none; it gives them as mere bytes."""
TYPE = "type"
"""What a field of Arrow says of the column that it was: DuckDB gives a UUID as text, and a HUGEINT as DECIMAL."""


def create_source(duck: duckdb.DuckDBPyConnection, name: str, sources: KnownSources) -> None:
    """Make the view or table of a source; a table of what an earlier process kept of the same files, if it did."""
    if kind(name) != "TABLE":
        duck.execute(f"CREATE VIEW {identifier(name).sql(DIALECT)} {UNBOUND} AS {sources.text(name)}")
        return
    lasting = sources.lasting("with types", [name])
    found = None if lasting is None else lasting.read()
    if found is not None:
        table = pa.ipc.open_stream(found).read_all()
        duck.from_arrow(table).project(", ".join(map(_typed, table.schema))).create(name)
        return
    duck.execute(f"CREATE TABLE {name} AS {sources.text(name)}")
    if lasting is not None:
        lasting.write(_stream(duck.table(name)))


def _typed(field: pa.Field) -> str:
    """Return a column of a stream as it was before."""
    name = identifier(field.name).sql(DIALECT)
    return f"CAST({name} AS {field.metadata[TYPE.encode()].decode()}) AS {name}"


def _stream(table: duckdb.DuckDBPyRelation) -> memoryview:
    """Return a table as an Arrow stream that comes back with the same types."""
    arrow = table.to_arrow_table()
    told = ({TYPE: str(kind)} | (BIT if kind == "BIT" else {}) for kind in table.types)
    schema = pa.schema(list(map(pa.Field.with_metadata, arrow.schema, told)))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_table(pa.Table.from_arrays(arrow.columns, schema=schema), max_chunksize=BATCH)
    return memoryview(sink.getvalue())
