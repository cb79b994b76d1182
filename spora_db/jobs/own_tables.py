"""Puts a user's table into a lake, checked, where every query finds it."""

import warnings
from pathlib import Path

import pyarrow as pa

from spora_db.catalog import Catalog
from spora_db.errors import OrphanRowsWarning, TableError, WriteError, level_of_the_user
from spora_db.files.parquet import write_parquet
from spora_db.layout import Dataset, LakePath, own_table_file, scan
from spora_db.sources.given_tables import GivenTable, read_given
from spora_db.sources.own_tables import check_beside
from spora_db.sqltext.names import fold


def add_table(
    lake: LakePath, table: GivenTable, *, name: str, dataset: str | None = None, overwrite: bool = False
) -> Path:
    """Write a table of your own into the last layer of a lake, as ``tables/<name>.parquet``.

    Its keys are checked as `Catalog.register` does; rows about what the lake does not have, and a table that names no
    tissues, are told by a warning.

    Parameters
    ----------
    lake
        A lake, or one dataset's folder; or several, its layers.
    table
        A pyarrow Table, a DataFrame, or a parquet or CSV file.
    name
        What SQL calls it.
    dataset
        The dataset that all rows are of; they then need no column that says it, and none is kept. By default the table
        lies beside the datasets, or in the one whose folder was given.
    overwrite
        Whether a table of this name is replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ArgumentError, TableError, FileFormatError
        If the name means something else in SQL, rows share or lack a key or say another dataset, or it is no table.
    WriteError
        If there is such a table, what else has its name would contradict it, or it cannot be written.

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
    home: Dataset | None = None
    if dataset is not None or (folders.alone and len(folders.datasets) == 1):
        [home] = folders.chosen(dataset)
    path = own_table_file(folders.roots[-1] if home is None else home.path, name)
    if home is not None:
        given = _without_dataset(given, home.name, name=name)
    if folders.locate(folders.relative(path)).is_file() and not overwrite:
        raise WriteError(
            f"{path} was not written: the lake has a table {name!r}. Replace it with overwrite (--overwrite)."
        )
    try:
        check_beside(name, given, folders, path=path, dataset="" if home is None else home.name)
    except TableError as error:
        raise WriteError(f"{path} was not written. {error}") from error
    with Catalog(lake if home is None else list(home.paths)) as catalog:
        said = given if home is None else given.append_column("dataset", pa.repeat(home.name, len(given)))
        catalog._give(name, said, at="add_table(lake, table, name=", instead=True)
        catalog.columns(name)  # its keys are checked at first use
        if catalog._own.table(name).grain is None:
            message = f"The table {name!r} has no column 'tissue_id': SQL knows it, but rows of a query cannot join it."
            warnings.warn(message, OrphanRowsWarning, stacklevel=level_of_the_user())
    return write_parquet(given, path)


def _without_dataset(table: pa.Table, dataset: str, *, name: str) -> pa.Table:
    """Return a table for a dataset's folder, which says the dataset, without the column that says it too."""
    kept = [column for column in table.column_names if fold(column) != "dataset"]
    for column in set(table.column_names).difference(kept):
        other = sorted({str(value) for value in table[column].unique().to_pylist()} - {dataset})
        if other:
            raise TableError(
                f"The table {name!r} goes into the dataset {dataset!r}, but has rows of {', '.join(other[:5])}. Leave "
                "them out, or add the table beside the datasets: without dataset, to the lake."
            )
    return table.select(kept)
