"""The tables of one cohort as DataFrames, read from the catalog's relations."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from spora_db.catalog import Catalog
from spora_db.errors import TableError, unknown
from spora_db.layout import locate
from spora_db.selection import ChannelChoice
from spora_db.selection.channels import panel_select
from spora_db.sources.names_of_rows import second_names
from spora_db.sqltext.dialect import DIALECT

ROWS = {
    "tissues": "SELECT * FROM tissues ORDER BY tissue_id, modality",
    "cells": "SELECT * FROM cells ORDER BY tissue_id, cell_id",
}
CHANNELS = """
    SELECT * EXCLUDE (dataset, modality, channel_index) FROM channels WHERE modality = $modality ORDER BY channel_index
"""
MEASURED = """
    SELECT tissue_id, channel_index, measured FROM tissue_channels WHERE modality = $modality
    ORDER BY tissue_id, channel_index
"""


def read_metadata(catalog: Catalog, folder: Path, table: Literal["tissues", "cells"]) -> pd.DataFrame:
    """Return a table of metadata by tissue_id: a row per tissue and modality, or per cell.

    Raises
    ------
    TableError
        If the cohort has no such file.
    """
    path = locate(folder, f"metadata/{table}.parquet")
    if not path.is_file():
        message = f"There is no {path}, the table that this dataset is read from."
        raise TableError(message)
    rows = catalog._run(ROWS[table]).df().set_index("tissue_id")
    if table == "tissues":
        rows = rows.drop(columns=list(second_names(tuple(rows.columns)).values()))
    return rows


def modalities_with_images(catalog: Catalog) -> list[str]:
    """Return the modalities that a cohort has images of, sorted."""
    return [row[0] for row in catalog._run("SELECT DISTINCT modality FROM images ORDER BY 1").fetchall()]


def split_rows(tissues: pd.DataFrame, split: str | None, *, where: str) -> pd.DataFrame:
    """Return the rows of a split, all rows for None; an unknown split is an error that lists the existing ones."""
    if split is None:
        return tissues
    existing = tissues["split"].dropna().unique().tolist()
    if split not in existing:
        raise unknown("split", split, existing, where=where)
    return tissues[tissues["split"] == split]


def read_panel(
    catalog: Catalog, modality: str, folder: Path, *, replace_nuclear: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the panel of a modality whose folder is given, and what was measured of it.

    Returns
    -------
    channels
        DataFrame in panel order: channel_name, uniprot_id (as delivered), qc_pass, is_nuclear_marker, own columns.
    measured
        bool DataFrame: a row per tissue, a column per channel in panel order.

    Raises
    ------
    TableError
        If channels.parquet is absent or empty, or contradicts channels_per_tissue.parquet.
    """
    channels = catalog._run(CHANNELS, {"modality": modality}).df()
    if channels.empty:
        message = (
            f"There are no channels in {locate(folder, 'channels.parquet')}: the panel of {modality} is not known."
        )
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
    return channels, measured
