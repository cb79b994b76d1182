"""The tables of one cohort as DataFrames, read from the catalog's relations."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from spora_db.catalog import Catalog
from spora_db.errors import TableError, unknown
from spora_db.selection import ChannelChoice
from spora_db.selection.channels import panel_select
from spora_db.sqltext.dialect import DIALECT

TISSUES = "SELECT * FROM tissues ORDER BY tissue_id, modality"
CELLS = "SELECT * FROM cells ORDER BY tissue_id, cell_id"
CHANNELS = """
    SELECT * EXCLUDE (dataset, modality, channel_index) FROM channels WHERE modality = $modality ORDER BY channel_index
"""
MEASURED = """
    SELECT tissue_id, channel_index, measured FROM tissue_channels WHERE modality = $modality
    ORDER BY tissue_id, channel_index
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Panel:
    """The panel of a modality, and what was measured of it.

    Attributes
    ----------
    channels
        DataFrame in panel order: channel_name, uniprot_id (as delivered), qc_pass, is_nuclear_marker, own columns.
    measured
        bool DataFrame: a row per tissue, a column per channel in panel order.
    """

    channels: pd.DataFrame
    measured: pd.DataFrame


def read_tissues(catalog: Catalog, folder: Path) -> pd.DataFrame:
    """Return the tissue metadata by tissue_id, a row per tissue and modality.

    Raises
    ------
    TableError
        If the cohort has no ``metadata/tissues.parquet``.
    """
    return _by_tissue(catalog, TISSUES, folder / "metadata" / "tissues.parquet")


def read_cells(catalog: Catalog, folder: Path) -> pd.DataFrame:
    """Return the cells by tissue_id.

    Raises
    ------
    TableError
        If the cohort has no ``metadata/cells.parquet``.
    """
    return _by_tissue(catalog, CELLS, folder / "metadata" / "cells.parquet")


def _by_tissue(catalog: Catalog, text: str, path: Path) -> pd.DataFrame:
    if not path.is_file():
        message = f"There is no {path}, the table that this dataset is read from."
        raise TableError(message)
    return catalog._run(text).df().set_index("tissue_id")


def check_modality(catalog: Catalog, modality: str, *, where: str) -> None:
    """Refuse a modality without an image in the cohort; the error lists those that have one."""
    existing = [row[0] for row in catalog._run("SELECT DISTINCT modality FROM images ORDER BY 1").fetchall()]
    if modality not in existing:
        raise unknown("modality", modality, existing, where=where)


def split_rows(tissues: pd.DataFrame, split: str | None, *, where: str) -> pd.DataFrame:
    """Return the rows of a split, all rows for None; an unknown split is an error that lists the existing ones."""
    if split is None:
        return tissues
    existing = tissues["split"].dropna().unique().tolist()
    if split not in existing:
        raise unknown("split", split, existing, where=where)
    return tissues[tissues["split"] == split]


def read_panel(catalog: Catalog, modality: str, folder: Path, *, replace_nuclear: bool) -> Panel:
    """Return the panel of a modality.

    Parameters
    ----------
    catalog
        The open catalog of one dataset.
    modality
        A multiplex modality.
    folder
        Its folder, for errors.
    replace_nuclear
        Whether nuclear markers take the accession of histone H3.

    Raises
    ------
    TableError
        If channels.parquet is absent or empty, or contradicts channels_per_tissue.parquet.
    """
    channels = catalog._run(CHANNELS, {"modality": modality}).df()
    if channels.empty:
        message = f"There are no channels in {folder / 'channels.parquet'}: the panel of {modality} is not known."
        raise TableError(message)
    select = panel_select(ChannelChoice(kind="complete", replace_nuclear=replace_nuclear)).sql(DIALECT)
    text = f"SELECT uniprot_id FROM ({select}) WHERE modality = $modality ORDER BY channel_index"
    ids = [row[0] for row in catalog._run(text, {"modality": modality}).fetchall()]
    channels["uniprot_id"] = pd.Series(ids, dtype=object)
    found = catalog._run(MEASURED, {"modality": modality}).to_arrow_table()
    tissues = found.column("tissue_id").to_pylist()[:: len(channels)]
    values = found.column("measured").fill_null(pa.scalar(value=False)).to_numpy(zero_copy_only=False)
    measured = pd.DataFrame(
        values.astype(np.bool_).reshape(len(tissues), len(channels)),
        index=pd.Index(tissues, name="tissue_id", dtype=object),
        columns=pd.Index(channels["channel_name"].tolist(), dtype=object),
    )
    return Panel(channels=channels, measured=measured)
