"""Rules about users' tables in a lake: their names, their keys, and whether the lake has what their rows are about."""

import warnings
from collections.abc import Iterator

from spora_db.catalog import MACROS, VIEWS, Catalog
from spora_db.errors import ArgumentError, OrphanRowsWarning, SporaError
from spora_db.layout import Lake
from spora_db.sources.own_tables import check_own_name
from spora_db.validation.findings import Finding
from spora_db.validation.rules import broken


def check_own_tables(lake: Lake) -> Iterator[Finding]:
    """Yield what is wrong with the tables in ``tables/`` of a lake and its datasets, a finding for each table."""
    tables = [table for table in lake.tables("own") if table.dataset or not lake.alone]
    files = {str(table.name): table for table in reversed(tables)}
    if not files:
        return
    with Catalog(lake.path) as catalog:
        for name, table in sorted(files.items()):
            dataset, file = table.dataset, lake.relative(table.path)
            try:
                check_own_name(name, relations=(*VIEWS, *MACROS), at="tables(")
            except ArgumentError as error:
                yield broken("own_tables", str(error), dataset=dataset, file=file)
                continue
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always", OrphanRowsWarning)
                try:
                    catalog.columns(name)
                except SporaError as error:
                    yield broken("own_tables", str(error), dataset=dataset, file=file)
            for warning in said:
                if issubclass(warning.category, OrphanRowsWarning):
                    yield broken("own_orphans", str(warning.message), dataset=dataset, file=file)
