"""Which relations and columns a statement of sqlglot's names, and what the files of ``sql/`` stand on."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache, reduce
from operator import or_
from typing import Any

import sqlglot
from sqlglot import exp

from spora_db.catalog.sql_files import Folder, sql_names, statement
from spora_db.errors import QueryError
from spora_db.guard.text import refuse_parse
from spora_db.sources import SOURCES
from spora_db.sqltext.dialect import DIALECT
from spora_db.sqltext.named import Named
from spora_db.sqltext.names import fold


@cache
def brings(view: str) -> frozenset[str]:
    """Return the sources of which a view has the cohorts' own columns, by a star over what it stands on.

    Examples
    --------
    >>> sorted(brings("tiles")), sorted(brings("images")), sorted(brings("query_rows"))
    (['source_tissues'], [], [])
    """
    if view not in sql_names("views") or not any(item.is_star for item in _selected(view)):
        return frozenset()
    read = {table.name for table in statement("views", view).expression.find_all(exp.Table)}
    return frozenset(read.intersection(SOURCES)).union(*map(brings, read))


@cache
def listed(view: str) -> frozenset[str]:
    """Return the columns that a view lists itself, by their names: a star brings others.

    Examples
    --------
    >>> sorted(listed("cells"))
    ['cell_id', 'dataset', 'tissue_id']
    """
    return frozenset(fold(item.alias_or_name) for item in _selected(view) if not item.is_star)


def _selected(view: str) -> list[exp.Expr]:
    found: list[exp.Expr] = statement("views", view).expression.selects
    return found


def names_in(tree: exp.Expr) -> Named:
    """Return what a statement names; its own CTEs may be among the relations."""
    found = _by_type(tree)
    tables = {table.name.lower() for table in found[exp.Table]}
    functions = {call.name.lower() for call in found[exp.Anonymous]}
    columns = None if _takes_all(found) else frozenset(fold(name.name) for name in found[exp.Identifier])
    return Named(relations=frozenset(tables | functions), columns=columns)


def _by_type(tree: exp.Expr) -> dict[type[exp.Expr], list[Any]]:
    """Return the nodes of a tree by their type: a walk takes longer than all that is asked of what it finds."""
    found: dict[type[exp.Expr], list[Any]] = defaultdict(list)
    for node in tree.walk():
        found[type(node)].append(node)
    return found


def _takes_all(found: Mapping[type[exp.Expr], Sequence[Any]]) -> bool:
    """Tell whether a statement takes columns of a relation that it does not name: by ``*``, by place, as a whole row.

    Examples
    --------
    >>> _takes_all(_by_type(sqlglot.parse_one("SELECT t FROM tissues AS t", dialect=DIALECT)))
    True
    >>> text = "SELECT r.*, split, count(*) FROM query_rows AS r JOIN tissues USING (dataset)"
    >>> _takes_all(_by_type(sqlglot.parse_one(text, dialect=DIALECT)))
    False
    """
    tables = list(filter(_is_wide, found[exp.Table]))
    called = {fold(table.alias_or_name) for table in tables}
    return (
        any(table.alias_column_names for table in tables)
        or any(found[kind] for kind in (exp.PositionalColumn, exp.Columns, exp.Pivot))
        or any(fold(column.name) in called for column in found[exp.Column])
        or any(call.name.lower() == "columns" for call in found[exp.Anonymous])
        or any(join.method == "NATURAL" for join in found[exp.Join])
        or any(_is_open(star) for star in found[exp.Star])
    )


def _is_open(star: exp.Star) -> bool:
    """Tell whether a star stands for columns of a view, and not for those that a sub-select lists."""
    if isinstance(star.parent, exp.Count) or (isinstance(star.parent, exp.Anonymous) and star.parent.name == "count"):
        return False
    select = star.find_ancestor(exp.Select)
    if select is None:
        return True
    from_ = select.args.get("from_")
    sources = [*([from_.this] if from_ else []), *(join.this for join in select.args.get("joins") or [])]
    of = star.parent.table if isinstance(star.parent, exp.Column) else ""
    meant = [source for source in sources if not of or fold(source.alias_or_name) == fold(of)]
    return not meant or any(isinstance(source, exp.Table) and _is_wide(source) for source in meant)


def _is_wide(table: exp.Table) -> bool:
    return bool(brings(table.name.lower())) or table.name in SOURCES


def names_in_text(text: str) -> Named:
    """Return what a text names.

    Raises
    ------
    QueryError
        If the text does not parse.

    Examples
    --------
    >>> sorted(names_in_text("SELECT n_markers(dataset) FROM tiles JOIN Tissues USING (tissue_id)").relations)
    ['n_markers', 'tiles', 'tissues']
    """
    try:
        trees = sqlglot.parse(text, dialect=DIALECT)
        return reduce(or_, (names_in(tree) for tree in trees if tree), Named(relations=frozenset()))
    except sqlglot.errors.ParseError as error:
        refuse_parse(text, error)
    except sqlglot.errors.SqlglotError as error:
        message = f"The SQL does not parse: {error}"
        raise QueryError(message) from error
    except RecursionError as error:
        message = "The SQL is nested too deeply to be parsed."
        raise QueryError(message) from error


@cache
def needs(folder: Folder, name: str) -> frozenset[str]:
    """Return the names that one SQL file stands on, its own left out."""
    return named_by(folder, name).relations - {name}


@cache
def named_by(folder: Folder, name: str) -> Named:
    """Return what one SQL file names."""
    return names_in(statement(folder, name))
