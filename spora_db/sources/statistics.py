"""Sources of standardization statistics: the values of a tissue's channels, and their names, as lists."""

from collections.abc import Sequence
from pathlib import Path

from sqlglot import exp

from spora_db.layout import STATISTICS, Lake, TableFile
from spora_db.sources.footers import whole_tables
from spora_db.sources.source_query import Branch, SourceQuery
from spora_db.sources.wide import Wide, channel_values, name_list, open_wide
from spora_db.sqltext.expressions import (
    array,
    constant,
    empty,
    identifier,
    named,
    null,
    position,
    read_parquet,
    text,
)

_Place = tuple[str | float | None, ...]
_STATISTICS_SET = {"dataset": "VARCHAR", "modality": "VARCHAR", "mpp": "DOUBLE", "spec": "VARCHAR", "level": "VARCHAR"}
_STATISTICS = {**_STATISTICS_SET, "statistic": "VARCHAR"}


def statistics_columns(lake: Lake) -> SourceQuery:
    """Return ``dataset, modality, mpp, spec, level, channel_names, channel_tables``: what a spec and level have.

    Every row of `statistics` has its values in the order of the names, so that the view can put the tables side by
    side. ``channel_tables`` says which of them have a column of the channel, such as ``upper_quantiles means``.
    """
    paths: dict[_Place, list[Path]] = {}
    for table in whole_tables(lake, "statistics"):
        paths.setdefault(_place(table), []).append(table.path)
    branches = []
    for place, names in statistics_tables(lake).items():
        values: dict[str, exp.Expression] = {
            name: constant(value) for name, value in zip(_STATISTICS_SET, place, strict=True)
        }
        values["channel_names"] = name_list(list(names))
        values["channel_tables"] = name_list(list(names.values()))
        select = exp.Select().select(*(named(value, name) for name, value in values.items()), copy=False)
        branches.append(Branch(files=tuple(paths[place]), select=select))
    types = {**_STATISTICS_SET, "channel_names": "VARCHAR[]", "channel_tables": "VARCHAR[]"}
    return SourceQuery(empty=empty(types), branches=tuple(branches))


def statistics(lake: Lake) -> SourceQuery:
    """Return a row per tissue and table: the values of the channels that `statistics_columns` names, in that order."""
    names = statistics_tables(lake)
    groups: dict[object, list[Wide]] = {}
    for wide in (open_wide(table) for table in whole_tables(lake, "statistics")):
        listed = tuple(names[_place(wide.footer.table)])
        groups.setdefault((wide.footer.names, wide.footer.types, wide.key_at, listed), []).append(wide)
    branches = []
    for group in groups.values():
        paths = tuple(wide.footer.table.path for wide in group)
        columns = list(names[_place(group[0].footer.table)])
        branches.append(Branch(files=paths, select=_statistics_select(group, columns)))
    types = {**_STATISTICS, "tissue_id": "VARCHAR", "channel_values": "DOUBLE[]"}
    return SourceQuery(empty=empty(types), branches=tuple(branches))


def _place(table: TableFile) -> _Place:
    return table.dataset, table.modality, table.mpp, table.spec, table.level


def statistics_tables(lake: Lake) -> dict[_Place, dict[str, str]]:
    """Return which tables have a column of a channel, by dataset, modality, mpp, spec and level, and by channel.

    Channels stand in the order of the files; a text is such as ``upper_quantiles means stds``.
    """
    found: dict[_Place, dict[str, set[str]]] = {}
    for table in whole_tables(lake, "statistics"):
        names = found.setdefault(_place(table), {})
        for _, name in open_wide(table).channels:
            names.setdefault(name, set()).add(str(table.statistic))
    return {
        place: {name: " ".join(sorted(tables, key=STATISTICS.index)) for name, tables in names.items()}
        for place, names in found.items()
    }


def _statistics_select(group: Sequence[Wide], names: Sequence[str]) -> exp.Select:
    """Return the SELECT over files of equal columns; each file's name tells what its rows are."""
    first = group[0]
    at = {name: index for index, name in first.channels}
    if list(at) == list(names):
        values = channel_values(first, "DOUBLE", besides=1)
    else:
        values = array([position(at[name]) if name in at else null("DOUBLE") for name in names], "DOUBLE[]")
    width = len(first.footer.names)
    rows = [
        exp.Tuple(expressions=[text(str(table.path)), *(constant(getattr(table, name)) for name in _STATISTICS)])
        for table in (wide.footer.table for wide in group)
    ]
    columns = [identifier(name) for name in ("path", *_STATISTICS)]
    places = exp.Values(expressions=rows, alias=exp.TableAlias(this=exp.to_identifier("place"), columns=columns))
    same_file = exp.EQ(
        this=exp.column(identifier("path"), table="place"), expression=exp.column(identifier("path"), table="listed")
    )
    origin = read_parquet([wide.footer.table.path for wide in group], width=width, filename=True)
    listed = exp.Select().select(named(position(width), "path"), named(first.tissue_id, "tissue_id"), copy=False)
    listed = listed.select(named(values, "channel_values"), copy=False).from_(origin, copy=False)
    placed = [exp.column(identifier(name), table="place") for name in _STATISTICS]
    own = [exp.column(identifier(name), table="listed") for name in ("tissue_id", "channel_values")]
    select = exp.Select().select(*placed, *own, copy=False)
    return select.from_(listed.subquery("listed", copy=False), copy=False).join(places, on=same_file, copy=False)
