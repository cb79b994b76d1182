"""The tables of an audit: who and what is in a selection, what leaks between splits, what is missing."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlglot import exp

from spora_db.audit.licences import KEYS, licence_of_file
from spora_db.catalog import Catalog
from spora_db.catalog.sql_files import sql_text
from spora_db.errors import ArgumentError, unknown
from spora_db.layout import locate
from spora_db.plan.channels import ChosenChannels
from spora_db.plan.missing_statistics import missing_statistics_table
from spora_db.remembered.quarantine import read_quarantine
from spora_db.selection.compilation import compile_rows
from spora_db.selection.resolved import Resolved, identity_columns
from spora_db.sqltext.dialect import DIALECT

if TYPE_CHECKING:
    import pandas as pd

GROUPS = ("patient", "specimen", "tissue")
EXAMPLES = 3
"""Tissues named for each kind of missing thing."""


def tissue_frame(resolved: Resolved, columns: Sequence[str], catalog: Catalog) -> "pd.DataFrame":
    """Return how many rows each tissue and value of `columns` has: they, identity, patient, specimen, split, ``rows``.

    A column comes from the rows where they have it (so an assigned split counts), else from `tissues`.

    Raises
    ------
    UnknownNameError
        For a column that neither has.
    ArgumentError
        For a column of lists, structs or bytes, which cannot be counted by.
    """
    selection = resolved.selection
    unit_columns = catalog.columns("tiles" if selection.unit == "tile" else "tissues")
    own = resolved.source_columns or (resolved.cells.columns if resolved.cells else unit_columns)
    split = ("split",) if selection.split_choice and selection.split_choice.fractions else ()
    known = {*own, *split, *identity_columns(selection)}
    beside = catalog.columns("tissues")
    names = list(dict.fromkeys(("dataset", "modality", "tissue_id", "patient_id", "specimen_id", "split", *columns)))
    for name in names:
        if name not in known and name not in beside:
            raise unknown("column", name, {*known, *beside}, where=f"the {selection.unit}s audited")
    carried = tuple(name for name in names if name in known and name not in identity_columns(selection))
    compiled = compile_rows(replace(resolved, selection=replace(selection, columns=carried)))
    values = [
        exp.alias_(exp.column(name, table="r" if name in known else "t", quoted=True), f"column_{i}")
        for i, name in enumerate(names)
    ]
    query = exp.select(*values, "count(*) AS n_rows").from_(compiled.rows().subquery("r"))
    if any(name not in known for name in names):
        same = "t.dataset = r.dataset AND t.tissue_id = r.tissue_id AND t.modality = r.modality"
        query = query.join("tissues AS t", on=same, join_type="left", dialect=DIALECT)
    query = query.group_by(*(f"column_{i}" for i in range(len(names))))
    query = query.order_by(*(f"column_{i}" for i in range(len(names))))
    found = catalog._run(query, compiled.parameters)
    for name, kind in zip(names, found.types, strict=False):  # the number of rows comes last
        if kind.startswith(("STRUCT", "MAP", "UNION", "BLOB")) or kind.endswith("]"):
            raise ArgumentError(
                f"audit(columns=): {name!r} holds {kind}, which rows cannot be counted by. Make a column of one of its "
                "parts with SporaQuery.from_sql."
            )
    frame = found.df()
    return frame.set_axis([*names, "rows"], axis=1)


def composition(frame: "pd.DataFrame", columns: Sequence[str]) -> "pd.DataFrame":
    """Return rows, tissues and patients of every combination of values; unknown patients are not counted.

    Parameters
    ----------
    frame, columns
        As `tissue_frame` gives it; what to count by.
    """
    keyed = frame.assign(
        tissues=frame["dataset"] + "\0" + frame["tissue_id"],
        patients=(frame["dataset"] + "\0" + frame["patient_id"].astype("str")).where(frame["patient_id"].notna()),
    )
    grouped = keyed.groupby(list(columns), dropna=False, sort=True)
    counted = grouped.agg(rows=("rows", "sum"), tissues=("tissues", "nunique"), patients=("patients", "nunique"))
    return counted.reset_index()


def leakage(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Return what has rows in several splits, of a `tissue_frame`: ``group, dataset, name, splits, tissues``."""
    import pandas as pd

    found: list[dict[str, Any]] = []
    for group in GROUPS:
        column = f"{group}_id"
        known = frame[frame[column].notna() & frame["split"].notna() & (frame[column] != "")]
        for (dataset, name), part in known.groupby(["dataset", column], sort=True):
            splits = sorted(set(part["split"]))
            if len(splits) > 1:
                tissues = sorted(set(part["tissue_id"]))
                found.append({"group": group, "dataset": dataset, "name": name, "splits": splits, "tissues": tissues})
    return pd.DataFrame(found, columns=["group", "dataset", "name", "splits", "tissues"])


def missing(resolved: Resolved, images: pa.Table, delivered: ChosenChannels, catalog: Catalog) -> "pd.DataFrame":
    """Return what the selected cohorts lack: ``what, dataset, modality, tissues`` (a number), ``examples``.

    Images and tiles are those of all tissues of the selected cohorts, whatever the conditions; masks, statistics and
    what could not be read before those of the selected tissues. The modality is empty for tiles and masks, which belong
    to the tissue. The images and their channels are those of `delivered_channels`.
    """
    import pandas as pd

    selection = resolved.selection
    datasets = sorted(set(images.column("dataset").to_pylist()))
    place = {"datasets": datasets, "modalities": list(selection.modality_names), "mpp": selection.mpp}
    frames = [catalog._run(sql_text("questions", "absent_images"), place).df()]
    if selection.unit == "tile" and selection.windows is None:
        tiling = {"strategy": selection.strategy or "default", "size": selection.tile_size}
        frames.append(catalog._run(sql_text("questions", "absent_tiles"), {**place, **tiling}).df())
    with catalog._registered("plan_images", images):
        kinds = dict.fromkeys(("tissue", *selection.masks))
        frames += [catalog._run(sql_text("questions", "absent_masks"), {"kind": kind}).df() for kind in kinds]
        with catalog._registered("quarantined_images", read_quarantine(catalog.lake)):
            frames.append(catalog._run(sql_text("questions", "images_in_quarantine")).df())
    gaps = missing_statistics_table(resolved, images, delivered, catalog)
    told = zip(gaps["problem"], gaps["channel_name"], gaps["reason"], strict=True)
    gaps["what"] = [
        f"statistics: {problem}" + (f" of {channel} ({reason})" if reason else "") for problem, channel, reason in told
    ]
    frames.append(gaps.drop_duplicates(["what", "dataset", "modality", "tissue_id"]))
    listed = pd.concat([f[["what", "dataset", "modality", "tissue_id"]] for f in frames if len(f)] or [frames[0]])
    grouped = listed.groupby(["what", "dataset", "modality"], sort=True)["tissue_id"]
    return grouped.agg(tissues="nunique", examples=lambda ids: sorted(set(ids))[:EXAMPLES]).reset_index()


def licences(frame: "pd.DataFrame", catalog: Catalog) -> "pd.DataFrame":
    """Return the licence of each cohort of a `tissue_frame` and what states it: ``dataset, licence, source``."""
    import pandas as pd

    columns = [name for name in catalog.columns("tissues") if name.lower() in KEYS]
    stated: dict[str, str] = {}
    for column in columns:
        query = exp.select("dataset", exp.column(column, quoted=True)).distinct().from_("tissues").order_by("1", "2")
        for dataset, value in catalog._run(query).fetchall():
            if value is not None:
                stated[dataset] = f"{stated[dataset]}, {value}" if dataset in stated else str(value)
    found = []
    for dataset in sorted(set(frame["dataset"])):
        licence = licence_of_file(locate(catalog.lake, dataset))
        source = "metadata/dataset.json" if licence else f"column {columns[0]}" if dataset in stated else None
        found.append({"dataset": dataset, "licence": licence or stated.get(dataset), "source": source})
    return pd.DataFrame(found, columns=["dataset", "licence", "source"])


def panels(images: pa.Table, delivered: ChosenChannels) -> "pd.DataFrame":
    """Return the channels of each cohort: in its panel, and the fewest and most that its selected tissues deliver.

    The images and their channels are those of `delivered_channels`.
    """
    import numpy as np

    frame = images.select(["dataset", "modality"]).to_pandas()
    number = np.diff(delivered.channels.offsets)
    frame = frame.assign(images=1, panel=delivered.counts[:, 1], fewest=number, most=number)
    grouped = frame.groupby(["dataset", "modality"], sort=True)
    counted: pd.DataFrame = grouped.agg({"images": "sum", "panel": "max", "fewest": "min", "most": "max"})
    return counted.reset_index()
