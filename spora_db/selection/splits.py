"""The splits of a query: those that are named, and the groups that rows are divided and capped by."""

from dataclasses import replace

from sqlglot import exp

from spora_db.catalog import Catalog
from spora_db.errors import unknown
from spora_db.selection.own_rows import distinct
from spora_db.selection.resolved import Resolved
from spora_db.sources.reconcile import FLOATS


def check_splits(resolved: Resolved, catalog: Catalog) -> None:
    """Refuse splits that neither the query assigns nor, where it assigns none, the rows have."""
    asked = resolved.selection
    if not asked.splits:
        return
    existing, where = [name for name, _ in asked.split_choice.fractions] if asked.split_choice else [], "fractions="
    if not existing:
        existing = distinct(resolved.source or exp.select("split").from_("tissues"), "split", catalog)
        where = f"lake {str(catalog.lake)!r}"
    for split in asked.splits:
        if split not in existing:
            raise unknown("split", split, existing, where=where)


def with_groups(resolved: Resolved, catalog: Catalog) -> Resolved:
    """Find the columns that rows are divided and capped by: whether the user's own rows lack them, or hold floats."""
    choice, sampling = resolved.selection.split_choice, resolved.selection.sampling
    types, groups, floats = resolved.source_types, list[str](), False
    if choice and choice.fractions:
        groups.append(column := choice.group_column)
        known = column in types or column in catalog.columns("tissues")  # else check_split refuses it
        kinds = [types[column]] if column in types else catalog._types("tissues", [column] if known else [])
        floats = kinds[0] in FLOATS
    if sampling and sampling.per_patient:
        groups.append("patient_id")
    lacking = [name for name in dict.fromkeys(groups) if name not in types] if resolved.source else []
    return replace(resolved, tissue_columns=tuple(lacking), split_of_floats=floats)
