"""The queries that ship with spora-db: their names, their purposes, their texts."""

from rich.console import Console
from rich.table import Table

from spora_db.catalog.sql_files import header, sql_names, sql_text
from spora_db.errors import unknown


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
    if name not in sql_names("queries"):
        raise unknown("query", name, sql_names("queries"))
    return sql_text("queries", name)


def show_queries(console: Console) -> None:
    """Write the named queries and what each is for."""
    table = Table("query", "purpose", header_style="bold")
    for name in sql_names("queries"):
        table.add_row(name, header("queries", name)["purpose"])
    console.print(table)
