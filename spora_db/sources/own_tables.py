"""A user's own tables as relations: parquet files in ``tables/`` of a lake or a dataset, and tables that were given.

Rows say by columns of their own what they are about: a tissue, one of its tiles or one of its cells; those of a table
without ``tissue_id`` do not, and nothing is checked of it. All columns are there; ids are text, as everywhere.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pyarrow as pa

from spora_db.errors import ArgumentError, TableError
from spora_db.guard.parser import PARSER
from spora_db.layout import Lake, TableFile
from spora_db.sources.duckdb_types import duckdb_type
from spora_db.sources.footers import Footer, read_footer
from spora_db.sources.reconcile import TEXT
from spora_db.sources.source_query import Branch, Origin, SourceQuery, WithoutOwnColumns
from spora_db.sources.tables import Table, TableSource, joined
from spora_db.sqltext.names import fold

KEYS: Mapping[str, str] = {
    "dataset": TEXT,
    "tissue_id": TEXT,
    "modality": TEXT,
    "mpp": "DOUBLE",
    "strategy": TEXT,
    "tile_size": "BIGINT",
    "tile_id": "BIGINT",
    "cell_id": "BIGINT",
}
"""Columns that say what a row is about, where a table has them: together they are there once."""
OWN_IDS = ("tissue_id", "dataset", "patient_id", "specimen_id")
RESERVED = frozenset((
    "base", "r", "rows", "s", "selected", "image_headers", "keyed_rows", "measured_cells", "measured_tissues",
    "near_rows", "numbered_images", "plan_images", "plan_tissues", "quarantined_images", "query_image_sizes",
    "query_rows", "scored_rows",
))  # fmt: skip
"""Names that SQL of spora-db's own gives to other things; what is registered while a query runs is among them."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_OF_OTHERS = re.compile(r"(source|feature|duckdb|pg|sqlite|pragma)_.*|features?|information_schema", re.DOTALL)
OwnGrain = Literal["tissue", "tile", "cell"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTable(WithoutOwnColumns):
    """A table of a user's as a relation of a lake.

    Attributes
    ----------
    name
        The relation's.
    source
        Its rows.
    keys
        Which of `KEYS` it has, in their order; a dataset always.
    given
        The table itself, where it was handed over and is no file; it has to be registered as ``source_own_<name>``.
    of_one
        The dataset that rows are taken to be of, as the lake has no other and they do not say it.
    only
        The dataset whose rows are seen, where its folder alone was opened and the table lies beside it.
    """

    name: str
    source: TableSource
    keys: tuple[str, ...]
    given: pa.Table | None = None
    of_one: str | None = None
    only: str | None = None

    @property
    def grain(self) -> OwnGrain | None:
        """What a row is about; None where it does not say: then it is read as it is, and joined by whoever asks."""
        if "tissue_id" not in self.keys:
            return None
        return "tile" if "tile_id" in self.keys else "cell" if "cell_id" in self.keys else "tissue"

    @property
    def files(self) -> tuple[Path, ...]:
        """Its files; none where it was given."""
        return self.source.files

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Where its columns come from."""
        return self.source.origins

    def query(self, own: Collection[str] | None = None) -> SourceQuery:
        """Return the SELECT of all columns."""
        found = self.source.query()
        if self.only is None:
            return found
        return replace(found, branches=tuple(_of(self.only, branch) for branch in found.branches))


def check_own_name(name: str, *, relations: Iterable[str], at: str) -> str:
    """Return the name of a user's table, if it may stand in SQL without quotes and means nothing else there.

    Raises
    ------
    ArgumentError
        If it may not; `at` is the call or the file that names it.

    Examples
    --------
    >>> check_own_name("labels", relations=["tiles"], at="register(")
    'labels'
    >>> check_own_name("tiles", relations=["tiles"], at="register(")
    Traceback (most recent call last):
    spora_db.errors.ArgumentError: register('tiles'): the lake has a relation of this name. Choose another.
    """
    if name in (*relations, *RESERVED) or _OF_OTHERS.fullmatch(name):
        raise ArgumentError(f"{at}{name!r}): the lake has a relation of this name. Choose another.")
    if not _NAME.fullmatch(name) or PARSER.tree(f"SELECT * FROM {name}")["error"]:
        raise ArgumentError(
            f"{at}{name!r}): a table is called by small letters, digits and underscores, a letter first, and by no "
            "word of SQL. Choose another name."
        )
    return name


def own_of_files(name: str, lake: Lake) -> OwnTable:
    """Return a user's table that lies in a lake: a file beside the datasets, or one in each of some of them.

    Raises
    ------
    TableError
        If it lies in both, its files have other keys, or one lacks what says what its rows are about.
    """
    footers = [read_footer(table) for table in lake.tables("own") if table.name == name]
    _keys_of_all(name, footers)
    return _own(name, footers, lake)


def own_of_arrow(name: str, table: pa.Table, lake: Lake) -> OwnTable:
    """Return a user's table that was given, as `own_of_files` does; it is told by its name."""
    file = TableFile(kind="own", path=Path(name), dataset="", name=name)
    return _own(name, [_footer(table, file)], lake, given=table)


def check_beside(name: str, table: pa.Table, lake: Lake, *, path: Path, dataset: str) -> None:
    """Refuse a table that would, in a file of a dataset (or ``""``), contradict other files of its name in a lake.

    Raises
    ------
    TableError
        As `own_of_files` does.
    """
    place = lake.relative(path)
    others = [file for file in lake.tables("own") if file.name == name and lake.relative(file.path) != place]
    own = _footer(table, TableFile(kind="own", path=path, dataset=dataset, name=name))
    _keys_of_all(name, [own, *map(read_footer, others)])


def _footer(table: pa.Table, file: TableFile) -> Footer:
    types = tuple(duckdb_type(kind) for kind in table.schema.types)
    return Footer(table=file, names=tuple(table.column_names), types=types, without_nulls=frozenset(), rows=len(table))


def _keys_of_all(name: str, footers: list[Footer]) -> tuple[str, ...]:
    """Return the key columns of the files of a table, which are one place's, and tell rows apart alike."""
    beside = [footer.table.path for footer in footers if not footer.table.dataset]
    inside = [footer.table.path for footer in footers if footer.table.dataset]
    if beside and inside:
        raise TableError(f"The table {name!r} is {beside[0]} and {inside[0]} too. Keep one, or rename one.")
    keys = [_keys(footer, str(footer.table.path)) for footer in footers]
    if len(set(keys)) > 1:
        listed = "; ".join(
            f"{footer.table.path} has {', '.join(own) or 'none'}" for footer, own in zip(footers, keys, strict=True)
        )
        raise TableError(
            f"The files of the table {name!r} tell rows apart in different ways: {listed}. Give them the same columns "
            f"of these: {', '.join(KEYS)}."
        )
    return keys[0]


def _own(name: str, footers: list[Footer], lake: Lake, *, given: pa.Table | None = None) -> OwnTable:
    where = str(footers[0].table.path) if given is None else f"The table {name!r}"
    keys = _keys(footers[0], where)
    placed, of_one = bool(footers[0].table.dataset), None
    beside = lake.alone and not placed and given is None
    if not placed and keys and "dataset" not in keys:
        if beside or len(lake.datasets) > 1:
            names = ", ".join(dataset.name for dataset in lake.datasets[:5])
            several = f"lies beside the dataset {names} and others" if beside else f"the lake has several ({names})"
            raise TableError(
                f"{where} has no column 'dataset', and {several}. Add it, so that rows say "
                f"whose tissues they mean. It has: {_listed(footers[0])}."
            )
        of_one = lake.datasets[0].name
        footers = [_of_dataset(footer, of_one) for footer in footers]
    elsewhere = placed or of_one is not None
    fixed = {key: kind for key, kind in KEYS.items() if key in keys and not (elsewhere and key == "dataset")}
    table = Table(
        name=name,
        kind="own",
        place={"dataset": TEXT} if elsewhere else {},
        fixed=fixed,
        required=("tissue_id",) if "tissue_id" in fixed else (),
        ids=OWN_IDS,
    )
    source = joined(table, lake, footers, registered=None if given is None else f"source_own_{name}")
    present = tuple(dict.fromkeys((*table.place, *fixed)))
    only = lake.datasets[0].name if beside and "dataset" in keys else None
    return OwnTable(name=name, source=source, keys=present, given=given, of_one=of_one, only=only)


def _of(dataset: str, branch: Branch) -> Branch:
    """Return the rows of a dataset of what a file gives."""
    [column] = [item.this for item in branch.select.expressions if item.alias == "dataset"]
    return replace(branch, select=branch.select.where(column.copy().eq(dataset)))


def _keys(footer: Footer, where: str) -> tuple[str, ...]:
    """Return which key columns a file has, but the dataset if its place says it; without a tissue at most that."""
    have = {fold(name) for name in footer.names} - ({"dataset"} if footer.table.dataset else set())
    found = tuple(key for key in KEYS if key in have)
    if "tissue_id" not in found:
        return found[:1] if found[:1] == ("dataset",) else ()
    if "tile_id" in found and "cell_id" in found:
        raise TableError(f"{where} has 'tile_id' and 'cell_id'; a row is about a tile or about a cell. Drop one.")
    return found


def _of_dataset(footer: Footer, dataset: str) -> Footer:
    return replace(footer, table=replace(footer.table, dataset=dataset))


def _listed(footer: Footer) -> str:
    return ", ".join(footer.names[:20]) or "no columns"
