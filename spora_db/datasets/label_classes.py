"""The classes of a cell task, as the table beside its masks names them."""

from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from spora_db.errors import FileFormatError, TableError
from spora_db.files.stores.remote_files import fetch_whole
from spora_db.masks.label_encoders import class_names, encoder_columns, encoder_faults

ENCODER_FILE: Final = "label_encoder.parquet"


def label_classes(path: Path) -> dict[int, str]:
    """Return the classes of a cell task, id to name, from the `ENCODER_FILE` beside its masks.

    Raises
    ------
    TableError, FileFormatError
        If the table is absent, lacks a column, has ids or names that are absent, repeated or no whole numbers, or
        cannot be read.
    """
    if not path.is_file():
        message = f"Cell task {path.parent.name!r} has no {path}, the table (id, name) of its classes."
        raise TableError(message)
    fetch_whole([path])
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            places = encoder_columns(names)
            if places is None:
                message = f"{path} must have columns id and name, each once; it has {', '.join(names)}."
                raise TableError(message)
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        message = f"{path} cannot be read as parquet: {error}."
        raise FileFormatError(message) from error
    names, ids = (table.column(at).to_pylist() for at in places)
    for fault in encoder_faults(names, ids):
        message = f"{path}: {fault} Correct the table."
        raise TableError(message)
    return class_names(names, ids)
