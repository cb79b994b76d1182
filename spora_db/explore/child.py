"""The process that runs a user's SQL: it has memory of its own, and is ended from outside without harm.

It reads one line of JSON per query from its input, ``{"sql", "path", "near"}``, and answers with one: ``{"rows",
"more", "hint"}`` once the answer is in an Arrow file at the path, or ``{"error"}``; the hint says why
it is empty. With ``near`` (see `Near`) the answer is those of its rows that are most like one. Before it any number of
lines ``{"doing"}`` say what takes long: all that spora-db logs.
"""

import json
import logging
import os
import resource
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa

from spora_db.asking import answer, explained
from spora_db.asking.no_rows import hints_of_no_rows
from spora_db.catalog import Catalog
from spora_db.errors import QueryError, SporaError
from spora_db.explore.limits import MOST_ROWS, QUERY_BYTES

BATCH = 16_384
"""Rows of a batch of the file, which are read together."""


class _Doing(logging.Handler):
    """Says what is logged in lines of JSON."""

    def __init__(self, told: TextIO) -> None:
        super().__init__(logging.INFO)
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        self._told.write(json.dumps({"doing": record.getMessage()}) + "\n")
        self._told.flush()


def main(lake: str) -> None:
    """Answer queries until the input ends."""
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    # DuckDB counts its own blocks only: one list of 8 GB passed its limit of 4
    resource.setrlimit(resource.RLIMIT_DATA, (2 * QUERY_BYTES, 2 * QUERY_BYTES))
    try:
        catalog = Catalog(lake, memory_limit=f"{QUERY_BYTES // 2**20}MiB")
    except SporaError as error:
        told.write(json.dumps({"error": str(error)}) + "\n")
        return
    with catalog:
        told.write(json.dumps({"ready": True}) + "\n")
        told.flush()
        logger, shown = logging.getLogger("spora_db"), logging.StreamHandler()
        shown.setLevel(logging.WARNING)
        for handler in (_Doing(told), shown):
            logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        for line in sys.stdin:
            asked = json.loads(line)
            told.write(json.dumps(answered(catalog, asked["sql"], Path(asked["path"]), near=asked["near"])) + "\n")
            told.flush()


def answered(catalog: Catalog, sql: str, path: Path, *, near: Mapping[str, Any] | None) -> dict[str, Any]:
    """Write the answer to a query into an Arrow file, and return what it is."""
    try:
        with explained():
            rows = _plain(answer(catalog, sql).head(MOST_ROWS + 1))
            kept = rows.slice(0, MOST_ROWS)
            if near is not None:
                kept = rows = _near(catalog, rows, near)
            with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, kept.schema) as writer:
                for batch in kept.to_batches(max_chunksize=BATCH):
                    writer.write_batch(batch)
            hints = hints_of_no_rows(catalog, sql, kept) if near is None else []
    except SporaError as error:
        return {"error": str(error)}
    return {"rows": len(kept), "more": len(rows) > len(kept), "hint": " ".join(hints)}


def _plain(rows: pa.Table) -> pa.Table:
    """Return rows with the values of an ENUM instead of their numbers, which Arrow neither sorts nor looks up."""
    kinds = [field.type.value_type if pa.types.is_dictionary(field.type) else field.type for field in rows.schema]
    return rows.cast(pa.schema(zip(rows.column_names, kinds, strict=True)))


def _near(catalog: Catalog, rows: pa.Table, near: Mapping[str, Any]) -> pa.Table:
    """Return the rows that are most like one; what that needs is imported now, as most queries do not."""
    from spora_db.explore.near import Near
    from spora_db.explore.results import KeptAnswer

    if len(rows) > MOST_ROWS:
        raise QueryError(f"The answer has more than {MOST_ROWS:,} rows. Ask for less, such as for one modality.")
    return Near.of(near).among(catalog.lake, KeptAnswer(rows))


def _end_with_parent(parent: int) -> None:
    """End this process, whatever it does, once the server that started it is gone, as by a kill."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
