"""Whether a column in a condition is that of the row, or of a relation that a sub-select around it reads."""

from sqlglot import exp


def named_around(column: exp.Column, table: str) -> bool:
    """Tell whether a SELECT around a column reads a relation under this name."""
    select = column.find_ancestor(exp.Select)
    while select is not None:
        from_ = select.args.get("from_")
        sources = [from_.this] if from_ else []
        sources += [join.this for join in select.args.get("joins") or []]
        if any(source.alias_or_name.lower() == table for source in sources):
            return True
        select = select.find_ancestor(exp.Select)
    return False
