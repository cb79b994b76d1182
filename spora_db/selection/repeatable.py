"""SQL whose answer may change from run to run: random numbers, sample clauses, the clock, some rows of no order."""

from collections.abc import Iterable

from sqlglot import exp

from spora_db.errors import QueryError
from spora_db.sqltext.names import fold

RANDOM = frozenset({"gen_random_uuid", "random", "uuid"})
"""Functions that give another value for every row and run."""
OF_THE_ENGINE = frozenset({"version"})
"""Functions that answer otherwise after an update."""
CLOCK = frozenset({"now", "today"})
"""Functions that tell the time; so does `age` of one argument."""
_CLOCK_WORDS = (exp.CurrentDate, exp.CurrentTime, exp.CurrentTimestamp, exp.Localtime, exp.Localtimestamp)
_SOME = ("limit", "offset")
_BY_ORDER = frozenset({"first", "first_value", "lag", "last", "last_value", "lead", "nth_value", "ntile", "row_number"})
_OF_ALL = frozenset({"avg", "count", "max", "median", "min", "sum"})
ADVICE = "Draw rows with .sample(n, seed=), which takes the same ones at every run."


def refuse_random(tree: exp.Expr, *, verb: str) -> None:
    """Refuse a condition or weight that draws at random: ``count()`` and ``plan()`` would speak of different rows.

    Parameters
    ----------
    tree
        What the guard let through.
    verb
        Where it was given, for the error.

    Raises
    ------
    QueryError
        The message says what is random, and names the verb that draws the same rows every time.

    Examples
    --------
    >>> from sqlglot import parse_one
    >>> from spora_db.sqltext.dialect import DIALECT
    >>> refuse_random(parse_one("random() < 0.5", dialect=DIALECT), verb="where()")
    Traceback (most recent call last):
    ...
    spora_db.errors.QueryError: where() uses random(): its rows would be others at every run. Draw rows with ...
    """
    random = {"a sample clause", *(f"{name}()" for name in RANDOM)}
    if found := [name for name in changing((tree,)) if name in random]:
        raise QueryError(f"{verb} uses {found[0]}: its rows would be others at every run. {ADVICE}")


def changing(trees: Iterable[exp.Expr]) -> list[str]:
    """Return what makes statements or conditions answer differently from run to run, as an error names it.

    Examples
    --------
    >>> from sqlglot import parse_one
    >>> from spora_db.sqltext.dialect import DIALECT
    >>> changing([parse_one("SELECT age(born), age(born, died) FROM t USING SAMPLE 3", dialect=DIALECT)])
    ['a sample clause', 'age() of one date']
    >>> changing([parse_one("SELECT * FROM (SELECT * FROM t LIMIT 3) ORDER BY born", dialect=DIALECT)])
    ['LIMIT without ORDER BY']
    """
    found: set[str] = set()
    for node in (node for tree in trees for node in tree.walk()):
        if isinstance(node, exp.TableSample):
            found.add("a sample clause")
        elif isinstance(node, exp.Query) and any(node.args.get(word) for word in _SOME) and not _any_rows_do(node):
            found.add("LIMIT without ORDER BY")
        elif isinstance(node, exp.Window) and not node.args.get("order") and fold(node.this.name) in _BY_ORDER:
            found.add(f"{fold(node.this.name)}() OVER without ORDER BY")
        elif isinstance(node, exp.Distinct) and node.args.get("on") and not _ordered(node.parent):
            found.add("DISTINCT ON without ORDER BY")
        elif isinstance(node, _CLOCK_WORDS):
            found.add(node.key.replace("current", "current_"))
        elif isinstance(node, exp.Anonymous):
            name = fold(node.name)
            if name in RANDOM | CLOCK | OF_THE_ENGINE:
                found.add(f"{name}()")
            elif name == "age" and len(node.expressions) == 1:
                found.add("age() of one date")
    return sorted(found)


def _any_rows_do(query: exp.Query) -> bool:
    """Tell whether it is the same which rows a LIMIT keeps, or known."""
    if isinstance(query.parent, exp.Exists) or _ordered(query):
        return True
    of_all = (isinstance(item, exp.Anonymous) and fold(item.name) in _OF_ALL for item in query.selects)
    return not query.args.get("group") and all(item for item in of_all)


def _ordered(query: exp.Expr | None) -> bool:
    """Tell whether a query has an order: its own, or that of the one query in its FROM."""
    if query is None or query.args.get("order"):
        return query is not None
    if isinstance(query, exp.Subquery):
        return _ordered(query.this)
    source = query.args.get("from_")
    if source is None or any(query.args.get(word) for word in ("joins", "laterals", "group", "distinct")):
        return False
    return _ordered(_cte(source.this) if isinstance(source.this, exp.Table) else source.this)


def _cte(table: exp.Table) -> exp.Expr | None:
    """Return the query that a name in FROM stands for, if it is one of a WITH around it."""
    above = table.parent
    while above is not None:
        with_ = above.args.get("with_")
        for cte in with_.expressions if with_ is not None else ():
            if fold(cte.alias) == fold(table.name):
                found: exp.Expr = cte.this
                return found
        above = above.parent
    return None
