"""Puts a user's table into a lake, checked, where every query finds it."""

import os
from pathlib import Path

from spora_db.catalog import Catalog
from spora_db.errors import WriteError
from spora_db.files.parquet import write_parquet
from spora_db.layout import Dataset, LakePath, layers, own_table_file, scan
from spora_db.sources.given_tables import GivenTable, read_given


def add_table(
    lake: LakePath, table: GivenTable, *, name: str, dataset: str | None = None, overwrite: bool = False
) -> Path:
    """Write a table of your own into the last layer of a lake, as ``tables/<name>.parquet``.

    Its keys are checked as `Catalog.register` does; rows about what the lake does not have are told by a warning.

    Parameters
    ----------
    lake
        A lake, or one dataset's folder; or several, its layers.
    table
        A pyarrow Table, a DataFrame, or a parquet or CSV file.
    name
        What SQL calls it.
    dataset
        The dataset that all rows are of; they then need no column that says it. By default the table lies beside the
        datasets, or in the one whose folder was given.
    overwrite
        Whether a table of this name is replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ArgumentError, TableError, FileFormatError
        If the name means something else in SQL, rows share or lack a key, or it is no table.
    WriteError
        If there is such a table, or it cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import pyarrow as pa
    >>> from spora_db import Catalog
    >>> grades = pa.table({"dataset": ["lung_imc"], "tissue_id": ["lung_imc_l001_0001"], "grade": [2]})
    >>> with tempfile.TemporaryDirectory() as own:
    ...     path = add_table(["lake", own], grades, name="grades")
    ...     Catalog(["lake", own]).sql("SELECT grade FROM grades").fetchall()
    [(2,)]
    """
    given = read_given(table, at="add_table(lake, ")
    folders = scan(lake)
    alone = [item for item in folders.datasets if item.path == Path(os.path.abspath(layers(lake)[-1]))]  # noqa: PTH100
    home: Dataset | None = folders.chosen(dataset)[0] if dataset is not None else alone[0] if alone else None
    path = own_table_file(folders.roots[-1] if home is None else home.path, name)
    with Catalog(lake if home is None else list(home.paths)) as catalog:
        there = name in catalog.relations and any(file.name == name for file in folders.tables("own"))
        if there and not overwrite:
            raise WriteError(f"{path} was not written: the lake has a table {name!r}. Replace it with overwrite.")
        checked = f"{name}_anew" if there else name
        catalog.register(checked, given)
        catalog.columns(checked)  # its keys are checked at first use
    return write_parquet(given, path)
