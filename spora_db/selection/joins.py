"""Users' tables beside the rows of a query: each joined by its key, its columns as if rows had them."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlglot import exp

from spora_db.catalog import Catalog
from spora_db.errors import ArgumentError, unknown
from spora_db.selection.joined_table import JoinedTable
from spora_db.selection.named_around import named_around
from spora_db.sources.features import PREFIX, relation_of
from spora_db.sqltext.names import fold

_LETTERS = re.compile("[^A-Za-z]")


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedColumns:
    """A joined table as the lake has it: what it is joined by, and its columns, each with its name among the rows.

    Its relation has its name, but for a feature set, which is ``feature_<name>``.
    """

    name: str
    relation: str
    keys: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    only: bool = False

    @property
    def known(self) -> tuple[str, ...]:
        """The columns of the table, by the names that it has for them."""
        return (*self.keys, *(old for old, _ in self.columns))

    def named(self, column: str) -> str:
        """Return the name that a column of the table has among the rows.

        Raises
        ------
        UnknownNameError
            If it has no such column.
        """
        names = {fold(old): new for old, new in self.columns} | {fold(key): key for key in self.keys}
        if fold(column) not in names:
            raise unknown("column", column, self.known, where=repr(self.name))
        return names[fold(column)]


def lend_tables(joins: Collection[JoinedTable], catalog: Catalog) -> None:
    """Let the tables of a query be relations of a catalog, until its questions are forgotten.

    Raises
    ------
    ArgumentError
        If the lake has another relation of the name.
    UnknownNameError
        If it is to have the table itself, and does not.
    """
    for join in joins:
        if join.table is not None:
            catalog._give(join.name, join.table, at="join(", lent=True)
        elif _relation(join.name, catalog) not in catalog.relations:
            where = f"lake {str(catalog.lake)!r}"
            remedy = "Give it, as .join(name, table), or put it into the lake with spora-db add-table."
            known = (*catalog._own.names, *(name.removeprefix(PREFIX) for name in catalog._own.features))
            raise unknown("table of your own or feature set", join.name, known, where=where, remedy=remedy)


def _relation(name: str, catalog: Catalog) -> str:
    """Return the relation of a user's table, or else of the feature set, that is called so."""
    return name if name in catalog._own.names else relation_of(name)


def joined_columns(
    join: JoinedTable, catalog: Catalog, *, identity: tuple[str, ...], taken: Collection[str], unit: str
) -> JoinedColumns:
    """Return how a table is joined to rows of this identity, whose columns are `taken`.

    A column of a name that rows have already is called ``<table>_<column>``.

    Raises
    ------
    ArgumentError
        If its rows are about something that rows of the query do not name.
    """
    relation = _relation(join.name, catalog)
    names = catalog.columns(relation)
    grain: str | None
    if relation == join.name:
        keys, grain = catalog._own.table(join.name).keys, catalog._own.table(join.name).grain
    else:
        keys, grain = _keys_of_features(names)
        names = tuple(name for name in names if name not in ("row", "col"))
    strange = [key for key in keys if key not in identity]
    if grain is None:
        raise ArgumentError(
            f"join({join.name!r}): the table has no column 'tissue_id', which would say what its rows are about. It "
            f"has: {', '.join(names[:20])}. {_remedy(join.name, names)}"
        )
    if strange:
        raise ArgumentError(
            f"join({join.name!r}): its rows are about {grain}s, by {', '.join(keys)}, but rows of the query are "
            f"{unit}s, which have no {' and no '.join(strange)}. Make one row of it for each {unit}, or ask in SQL."
        )
    known, columns = set(map(fold, taken)), []
    for name in names:
        if name in keys:
            continue
        new = name
        while fold(new) in known:
            new = f"{join.name}_{new}"
        known.add(fold(new))
        columns.append((name, new))
    return JoinedColumns(name=join.name, relation=relation, keys=keys, columns=tuple(columns), only=join.only)


def _keys_of_features(names: Collection[str]) -> tuple[tuple[str, ...], str]:
    """Return what rows of a feature set are joined by, and what they are about; tiles by their number."""
    own = next((name for name in ("tile_id", "cell_id") if name in names), "tissue_id")
    keys = ("dataset", "tissue_id", *(("mpp", "strategy", "tile_size") if own == "tile_id" else ()), own)
    return tuple(dict.fromkeys(keys)), own.removesuffix("_id")


def _remedy(name: str, names: Collection[str]) -> str:
    """Say what to do with a table without ``tissue_id``: it may be spelled otherwise, or be of patients."""
    spelled = [column for column in names if _LETTERS.sub("", column).lower() in ("tissueid", "tissue")]
    if spelled:
        return f"Call its column {spelled[0]!r} 'tissue_id'."
    if "patient_id" in names:
        return (
            "Its rows may be about patients. Make rows of tissues of it, and join these: Catalog(lake, tables={"
            f"{name!r}: table}}).sql('SELECT DISTINCT tissue_id, own.* FROM tissues JOIN {name} AS own USING (dataset, "
            "patient_id)')."
        )
    return "Call the column that names tissues 'tissue_id', or ask the table in SQL, with SporaQuery.from_sql."


def with_joined(rows: exp.Expr, joins: Collection[JoinedColumns], *, names: Collection[str] | None) -> exp.Subquery:
    """Return rows with the columns of joined tables; a row that a table says nothing of has NULL there, or is left out.

    Parameters
    ----------
    rows
        What is selected from.
    joins
        The tables.
    names
        Columns that are named, of the rows and of the tables; None takes all of the rows.
    """
    brought = {new for join in joins for _, new in join.columns}
    query = exp.Select().from_(exp.alias_(rows, "r", table=True))
    if names is None:
        query = query.select("r.*")
    else:
        query = query.select(*(_column(name, "r") for name in names if name not in brought))
    for at, join in enumerate(joins):
        alias = f"joined_{at}"
        wanted = [(old, new) for old, new in join.columns if names is None or new in names]
        query = query.select(*(exp.alias_(_column(old, alias), new, quoted=True) for old, new in wanted))
        same = exp.and_(*(exp.EQ(this=_column(key, alias), expression=_column(key, "r")) for key in join.keys))
        table = exp.table_(join.relation, quoted=join.relation != join.name, alias=alias)
        query = query.join(table, on=same, join_type="inner" if join.only else "left")
    return query.subquery()


def of_rows(tree: exp.Expr, joins: Collection[JoinedColumns]) -> exp.Expr:
    """Let ``labels.grade`` in a condition mean the column of the row, unless a sub-select around it reads `labels`."""
    by_name: Mapping[str, JoinedColumns] = {join.name: join for join in joins}
    if not by_name:
        return tree
    tree = tree.copy()
    for column in list(tree.find_all(exp.Column)):
        join = by_name.get(fold(column.table))
        if join is not None and not named_around(column, join.name):
            column.set("this", exp.to_identifier(join.named(column.name), quoted=True))
            column.set("table", None)
    return tree


def _column(name: str, table: str) -> exp.Column:
    return exp.column(name, table=table, quoted=True)
