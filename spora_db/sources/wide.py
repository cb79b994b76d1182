"""Sources of wide files, one column per channel: which channels were measured, and standardization statistics.

A row of such a file becomes one row with all its channels in it, as bits or as a list, beside the names of the columns.
The views take them apart again: by position, so that names that differ in case only stay two channels.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlglot import exp

from spora_db.errors import TableError
from spora_db.layout import STATISTICS, Lake, TableFile
from spora_db.sources.casts import cast_id
from spora_db.sources.duckdb_types import NULL
from spora_db.sources.footers import Footer, is_stray, key_position, read_footer
from spora_db.sources.reconcile import FLOATS, WHOLE_NUMBERS
from spora_db.sources.source_query import Branch, SourceQuery
from spora_db.sources.truth_values import truth_value, truth_values
from spora_db.sources.unmeasured import all_measured, whole_panel
from spora_db.sqltext.expressions import (
    array,
    call,
    cast_to,
    constant,
    empty,
    identifier,
    named,
    null,
    position,
    read_parquet,
    text,
)

_NUMERIC = re.compile(r"BOOLEAN|NULL|FLOAT|DOUBLE|U?(TINY|SMALL|BIG)INT|U?INTEGER")
_NOT_CHANNELS = {"dataset", "modality", "patient_id", "specimen_id", "split", "tissue_id"}
_DIGITS = 50
_PANEL = {"dataset": "VARCHAR", "modality": "VARCHAR"}
_Place = tuple[str | float | None, ...]
_STATISTICS_SET = {**_PANEL, "mpp": "DOUBLE", "spec": "VARCHAR", "level": "VARCHAR"}
_STATISTICS = {**_STATISTICS_SET, "statistic": "VARCHAR"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wide:
    """A wide file: its channels as (position, name) in the order of the file, and where its tissue_id is."""

    footer: Footer
    channels: tuple[tuple[int, str], ...]
    key_at: int | None

    @property
    def file(self) -> str:
        return str(self.footer.table.path)

    @property
    def tissue_id(self) -> exp.Expression:
        if self.key_at is None:
            return null("VARCHAR")
        return cast_id(position(self.key_at), found=self.footer.types[self.key_at])


def _open(table: TableFile) -> _Wide:
    footer = read_footer(table)
    is_global = table.level == "global"
    if is_global and footer.rows != 1:
        message = f"{table.path} has {footer.rows} rows; a global table holds exactly one, for all tissues."
        raise TableError(message)
    key_at = None if is_global else key_position(footer, "tissue_id")
    channels = tuple(
        (at, name)
        for at, name in enumerate(footer.names)
        if at != key_at and not is_stray(name) and name not in _NOT_CHANNELS
    )
    seen: set[str] = set()
    for at, name in channels:
        if not _NUMERIC.fullmatch(footer.types[at]):
            expected = "truth values (or 1 and 0)" if table.kind == "panels" else "integers or floats"
            message = (
                f"{table.path}: channel {name!r} is {footer.types[at]}; expected {expected}. Write the column as such; "
                "one that is no channel belongs in another table."
            )
            raise TableError(message)
        if name in seen:
            message = f"{table.path} has two columns {name!r}; a channel's name stands once."
            raise TableError(message)
        seen.add(name)
    return _Wide(footer=footer, channels=channels, key_at=key_at)


def panels(lake: Lake) -> SourceQuery:
    """Return ``dataset, modality, tissue_id, measured``: one bit per column, in file order; NULL if one is unknown.

    A panel without such a file counts as measured in full, in every tissue that has an image; a warning names the file.
    """
    branches = [all_measured(table, path, lake) for table, path in lake.unmeasured()]
    for table in lake.tables("panels"):
        wide = _open(table)
        flags = named(_values(wide, "BOOLEAN"), "flags")
        origin = read_parquet([table.path], width=len(wide.footer.names))
        inner = exp.Select().select(named(wide.tissue_id, "tissue_id"), flags, copy=False).from_(origin, copy=False)
        bits = _bits(exp.column("flags"), len(wide.channels))
        columns: list[exp.Expression] = [named(constant(getattr(table, name)), name) for name in _PANEL]
        columns += [exp.column(identifier("tissue_id")), named(bits, "measured")]
        select = exp.Select().select(*columns, copy=False).from_(inner.subquery("wide", copy=False), copy=False)
        branches.append(Branch(files=(table.path,), select=select))
    return SourceQuery(
        empty=empty({**_PANEL, "tissue_id": "VARCHAR", "measured": "BIT"}),
        branches=tuple(branches),
        listings=frozenset(["source_images"] if lake.unmeasured() else []),
    )


def _bits(flags: exp.Expression, count: int) -> exp.Expression:
    """Return a list of ``count`` truth values as BIT; NULL where one is NULL, or where there are none.

    Sums of powers of two, which a DOUBLE holds exactly, written with base 2: a third of the time of a list as text.
    """
    if not count:
        return null("BIT")
    sums, digits = [], []
    for start in range(0, count, _DIGITS):
        width = min(_DIGITS, count - start)
        part = call("list_slice", flags.copy(), constant(start + 1), constant(start + width))
        powers = text(str([2**exponent for exponent in reversed(range(width))]))  # one literal is bound faster than 50
        product = call("list_dot_product", cast_to(part, "DOUBLE[]"), cast_to(powers, "DOUBLE[]"))
        sums.append(cast_to(product, "BIGINT"))
        digits.append(f"{{:0{width}b}}")
    known = exp.EQ(this=call("list_count", flags.copy()), expression=constant(count))
    bits = cast_to(call("format", text("".join(digits)), *sums), "BIT")
    return exp.Case().when(known, bits, copy=False)


def _values(wide: _Wide, type_name: str, *, besides: int = 0) -> exp.Expression:
    """Return the list of a row's channels in file order; `besides` columns follow the file's own.

    ``*COLUMNS`` spares an expression per column: 37 panels of 150 channels are written in 0.05 s instead of 3 s.
    """
    types = {wide.footer.types[at] for at, _ in wide.channels} - {NULL}
    if len(types) <= 1 and not (type_name == "BOOLEAN" and types & FLOATS):
        used = {at for at, _ in wide.channels}
        others = [position(at) for at in range(len(wide.footer.names) + besides) if at not in used]
        columns = exp.Columns(this=exp.Star(except_=others), unpack=True)
        if type_name == "BOOLEAN" and types & WHOLE_NUMBERS:
            names = _lines([name for _, name in wide.channels])
            return truth_values(exp.Array(expressions=[columns]), names=names, file=wide.file)
        return cast_to(exp.Array(expressions=[columns]), f"{type_name}[]")
    return array([_value(wide, at, name, type_name) for at, name in wide.channels], f"{type_name}[]")


def _value(wide: _Wide, at: int, name: str, type_name: str) -> exp.Expression:
    """Return one value; a truth value that is NaN is unknown."""
    if type_name == "BOOLEAN":
        return truth_value(position(at), found=wide.footer.types[at], name=name, file=wide.file)
    return cast_to(position(at), type_name)


def panel_columns(lake: Lake) -> SourceQuery:
    """Return ``dataset, modality, position, n_columns, channel_name``: what each bit of ``panels`` stands for."""
    types = {**_PANEL, "position": "INTEGER", "n_columns": "INTEGER", "channel_name": "VARCHAR"}
    branches = [whole_panel(table, lake) for table, _ in lake.unmeasured()]
    for table in lake.tables("panels"):
        names = [name for _, name in _open(table).channels]
        numbers = call("range", constant(len(names)))
        values: Mapping[str, exp.Expression] = {
            "dataset": constant(table.dataset),
            "modality": constant(table.modality),
            "position": cast_to(exp.Explode(this=numbers), "INTEGER"),
            "n_columns": cast_to(constant(len(names)), "INTEGER"),
            "channel_name": exp.Explode(this=_lines(names)),
        }
        select = exp.Select().select(*(named(value, name) for name, value in values.items()), copy=False)
        branches.append(Branch(files=(table.path,), select=select))
    return SourceQuery(empty=empty(types), branches=tuple(branches))


def _lines(names: Sequence[str]) -> exp.Expression:
    """Return a list of texts, as one literal where none has a line break: DuckDB binds it in a third of the time."""
    if not names or any("\n" in name for name in names):
        return array([text(name) for name in names], "VARCHAR[]")
    return call("string_split", text("\n".join(names)), text("\n"))


def statistics_columns(lake: Lake) -> SourceQuery:
    """Return ``dataset, modality, mpp, spec, level, channel_names, channel_tables``: what a spec and level have.

    Every row of `statistics` has its values in the order of the names, so that the view can put the tables side by
    side. ``channel_tables`` says which of them have a column of the channel, such as ``upper_quantiles means``.
    """
    paths: dict[_Place, list[Path]] = {}
    for table in lake.tables("statistics"):
        paths.setdefault(_place(table), []).append(table.path)
    branches = []
    for place, names in statistics_tables(lake).items():
        values: dict[str, exp.Expression] = {
            name: constant(value) for name, value in zip(_STATISTICS_SET, place, strict=True)
        }
        values["channel_names"] = _lines(list(names))
        values["channel_tables"] = _lines(list(names.values()))
        select = exp.Select().select(*(named(value, name) for name, value in values.items()), copy=False)
        branches.append(Branch(files=tuple(paths[place]), select=select))
    types = {**_STATISTICS_SET, "channel_names": "VARCHAR[]", "channel_tables": "VARCHAR[]"}
    return SourceQuery(empty=empty(types), branches=tuple(branches))


def statistics(lake: Lake) -> SourceQuery:
    """Return a row per tissue and table: the values of the channels that `statistics_columns` names, in that order."""
    names = statistics_tables(lake)
    groups: dict[object, list[_Wide]] = {}
    for wide in (_open(table) for table in lake.tables("statistics")):
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
    for table in lake.tables("statistics"):
        names = found.setdefault(_place(table), {})
        for _, name in _open(table).channels:
            names.setdefault(name, set()).add(str(table.statistic))
    return {
        place: {name: " ".join(sorted(tables, key=STATISTICS.index)) for name, tables in names.items()}
        for place, names in found.items()
    }


def _statistics_select(group: Sequence[_Wide], names: Sequence[str]) -> exp.Select:
    """Return the SELECT over files of equal columns; each file's name tells what its rows are."""
    first = group[0]
    at = {name: index for index, name in first.channels}
    if list(at) == list(names):
        values = _values(first, "DOUBLE", besides=1)
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


def wide_files(
    lake: Lake, kind: Literal["panels", "statistics"]
) -> Iterator[tuple[TableFile, str | None, dict[str, str]]]:
    """Yield the wide files of a lake, each with the column of its tissues, and its channels with their types, in order.

    Raises
    ------
    FileFormatError, TableError
        If a file is broken or no such table.
    """
    for table in lake.tables(kind):
        wide = _open(table)
        key = None if wide.key_at is None else wide.footer.names[wide.key_at]
        yield table, key, {name: wide.footer.types[at] for at, name in wide.channels}
