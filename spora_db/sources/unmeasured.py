"""Panels without a table of what was measured: every channel counts as measured, in every tissue that has an image."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sqlglot import exp

from spora_db.errors import AbsentFileWarning
from spora_db.layout import Lake, TableFile
from spora_db.sources.source_query import Branch
from spora_db.sources.tables import CHANNELS
from spora_db.sources.tables import table as table_source
from spora_db.sqltext.expressions import call, cast_to, constant, identifier, named, text


def all_measured(table: TableFile, absent: Path, lake: Lake) -> Branch:
    """Return ``dataset, modality, tissue_id, measured``, all bits set; the warning names the absent file."""
    folders = (folder for dataset in lake.datasets for folder in dataset.image_folders)
    if any((folder.dataset, folder.modality) == (table.dataset, table.modality) for folder in folders):
        message = (
            f"There is no {absent}: every channel of {table.path.name} beside it counts as measured, in every tissue "
            f"of {table.dataset!r} with an image of {table.modality}. Add the table if that is not so."
        )
        warnings.warn(message, AbsentFileWarning, stacklevel=2)
    panel = exp.select(named(exp.Count(this=exp.Star()), "n")).from_(_channels(table, lake).subquery("listed"))
    here = exp.and_(
        exp.EQ(this=exp.column("dataset"), expression=constant(table.dataset)),
        exp.EQ(this=exp.column("modality"), expression=constant(table.modality)),
    )
    seen = exp.select("tissue_id").distinct().from_("source_images").where(here)
    bits = cast_to(call("repeat", text("1"), exp.column("n", table="panel")), "BIT")
    select = exp.select(
        named(constant(table.dataset), "dataset"),
        named(constant(table.modality), "modality"),
        exp.column(identifier("tissue_id"), table="seen"),
        named(bits, "measured"),
    )
    select = select.from_(seen.subquery("seen")).join(panel.subquery("panel"), join_type="cross")
    return Branch(files=(table.path,), select=select.where(exp.GT(this=exp.column("n"), expression=constant(0))))


def whole_panel(table: TableFile, lake: Lake) -> Branch:
    """Return ``dataset, modality, position, n_columns, channel_name``: a bit per channel, in the order of the panel."""
    order = exp.Order(expressions=[exp.column("channel_index")])
    row = exp.Window(this=exp.RowNumber(), order=order)
    values: Mapping[str, exp.Expression] = {
        "dataset": exp.column("dataset"),
        "modality": exp.column("modality"),
        "position": cast_to(exp.Sub(this=row, expression=constant(1)), "INTEGER"),
        "n_columns": cast_to(exp.Window(this=exp.Count(this=exp.Star())), "INTEGER"),
        "channel_name": exp.column("channel_name"),
    }
    select = exp.select(*(named(value, name) for name, value in values.items()))
    return Branch(files=(table.path,), select=select.from_(_channels(table, lake).subquery("listed")))


def _channels(table: TableFile, lake: Lake) -> exp.Select:
    """Return the rows of one channels.parquet as the source of channels has them."""
    own = replace(lake, datasets=tuple(replace(item, tables=(table,)) for item in lake.datasets[:1]))
    return table_source(CHANNELS, own).branches[0].select
