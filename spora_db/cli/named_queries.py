"""The queries that ship with spora-db: their names, their purposes, their texts."""

from rich.console import Console
from rich.table import Table

from spora_db.catalog.sql_files import sql_folder, sql_text
from spora_db.errors import unknown


def query_names() -> list[str]:
    """Return the names of the queries that ship with spora-db."""
    return sorted(path.stem for path in (sql_folder() / "queries").glob("*.sql"))


def query_text(name: str) -> str:
    """Return the SQL of a named query.

    Raises
    ------
    UnknownNameError
        If there is no such query; the message lists them.

    Examples
    --------
    >>> query_text("split")
    Traceback (most recent call last):
    ...
    spora_db.errors.UnknownNameError: Unknown query 'split'. Did you mean 'splits'? Available: ...
    """
    names = query_names()
    if name not in names:
        raise unknown("query", name, names)
    return sql_text("queries", name)


def purpose(text: str) -> str:
    r"""Return what the header of an SQL file says that it is for.

    Examples
    --------
    >>> purpose("-- purpose: the cohorts\n-- grain:   dataset\nSELECT 1")
    'the cohorts'
    """
    return text.partition("-- purpose:")[2].partition("\n")[0].strip()


def show_queries(console: Console) -> None:
    """Write the named queries and what each is for."""
    table = Table("query", "purpose", header_style="bold")
    for name in query_names():
        table.add_row(name, purpose(query_text(name)))
    console.print(table)
