"""Sources of which channels were measured: a bit per channel of a panel, and what each bit stands for.

Of a panel without a table every channel counts as measured, in every tissue that has an image.
"""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from sqlglot import exp

from spora_db.errors import AbsentFileWarning
from spora_db.layout import Lake, TableFile
from spora_db.layout.names import is_derived
from spora_db.sources.footers import whole_tables
from spora_db.sources.source_query import Branch, SourceQuery
from spora_db.sources.tables import CHANNELS
from spora_db.sources.tables import table as table_source
from spora_db.sources.wide import channel_values, name_list, open_wide
from spora_db.sqltext.expressions import (
    call,
    cast_to,
    constant,
    empty,
    identifier,
    named,
    null,
    read_parquet,
    text,
)

_PANEL = {"dataset": "VARCHAR", "modality": "VARCHAR"}
_DIGITS = 50


def panels(lake: Lake) -> SourceQuery:
    """Return ``dataset, modality, tissue_id, measured``: one bit per column, in file order; NULL if one is unknown.

    A panel without such a file counts as measured in full, in every tissue that has an image; a warning names the file.
    """
    branches = [all_measured(table, path, lake) for table, path in lake.unmeasured()]
    for table in whole_tables(lake, "panels"):
        wide = open_wide(table)
        flags = named(channel_values(wide, "BOOLEAN"), "flags")
        origin = read_parquet([table.path], width=len(wide.footer.names))
        inner = exp.Select().select(named(wide.tissue_id, "tissue_id"), flags, copy=False).from_(origin, copy=False)
        columns: list[exp.Expression] = [named(constant(getattr(table, name)), name) for name in _PANEL]
        bits = exp.Var(this=_bits(len(wide.channels)))
        columns += [exp.column(identifier("tissue_id")), named(bits, "measured")]
        select = exp.Select().select(*columns, copy=False).from_(inner.subquery("wide", copy=False), copy=False)
        branches.append(Branch(files=(table.path,), select=select))
    return SourceQuery(
        empty=empty({**_PANEL, "tissue_id": "VARCHAR", "measured": "BIT"}),
        branches=tuple(branches),
        listings=frozenset(["source_images"] if lake.unmeasured() else []),
    )


@cache
def _bits(count: int) -> str:
    """Return a list of ``count`` truth values, ``flags``, as BIT; NULL where one is NULL, or where there are none.

    Sums of powers of two, which a DOUBLE holds exactly, written with base 2: a third of the time of a list as text.
    Panels of a lake mostly have as many channels as others, and of 37 the same text takes 13 ms to be made.
    """
    if not count:
        return null("BIT").sql("duckdb")
    flags = exp.column("flags")
    sums, digits = [], []
    for start in range(0, count, _DIGITS):
        width = min(_DIGITS, count - start)
        part = call("list_slice", flags, constant(start + 1), constant(start + width))
        powers = text(str([2**exponent for exponent in reversed(range(width))]))  # one literal is bound faster than 50
        product = call("list_dot_product", cast_to(part, "DOUBLE[]"), cast_to(powers, "DOUBLE[]"))
        sums.append(cast_to(product, "BIGINT"))
        digits.append(f"{{:0{width}b}}")
    known = exp.EQ(this=call("list_count", flags), expression=constant(count))
    bits = cast_to(call("format", text("".join(digits)), *sums), "BIT")
    return exp.Case().when(known, bits, copy=False).sql("duckdb")


def panel_columns(lake: Lake) -> SourceQuery:
    """Return ``dataset, modality, position, n_columns, channel_name``: what each bit of ``panels`` stands for."""
    types = {**_PANEL, "position": "INTEGER", "n_columns": "INTEGER", "channel_name": "VARCHAR"}
    branches = [whole_panel(table, lake) for table, _ in lake.unmeasured()]
    for table in whole_tables(lake, "panels"):
        names = [name for _, name in open_wide(table).channels]
        numbers = call("range", constant(len(names)))
        values: Mapping[str, exp.Expression] = {
            "dataset": constant(table.dataset),
            "modality": constant(table.modality),
            "position": cast_to(exp.Explode(this=numbers), "INTEGER"),
            "n_columns": cast_to(constant(len(names)), "INTEGER"),
            "channel_name": exp.Explode(this=name_list(names)),
        }
        select = exp.Select().select(*(named(value, name) for name, value in values.items()), copy=False)
        branches.append(Branch(files=(table.path,), select=select))
    return SourceQuery(empty=empty(types), branches=tuple(branches))


def all_measured(table: TableFile, absent: Path, lake: Lake) -> Branch:
    """Return ``dataset, modality, tissue_id, measured``, all bits set; the warning names the absent file."""
    folders = (folder for dataset in lake.datasets for folder in dataset.image_folders)
    seen_in = any((folder.dataset, folder.modality) == (table.dataset, table.modality) for folder in folders)
    if seen_in and not is_derived(table.modality or ""):
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
    return table_source(CHANNELS, own).query(()).branches[0].select
