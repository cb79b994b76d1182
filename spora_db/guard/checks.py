"""The guard for SQL that queries are built on: conditions, and the rows of `SporaQuery.from_sql`.

Free SQL is checked by ``statements`` and runs as it was written. Here a tree is wanted, to build with: sqlglot's.

1. The text is cut into tokens (``text``) and parsed with sqlglot into exactly one tree; every node of it must be of an
   allowed class, and none may bind otherwise there than in DuckDB (``tree``).
2. DuckDB's own parser reads the text too, and its tree passes the check of free SQL (``nodes``): relations, CTEs in
   scope, functions, types.
3. sqlglot's tree is written as SQL with every identifier quoted and no comments. Only this text is executed.
4. DuckDB must read what was written as it read the text (``reading``): else the answer would be to another question.

DuckDB is closed as well (external access, settings, extensions: see the catalog). The guard alone refuses everything
that writes: DuckDB would let COPY write into allowed folders and DDL change an in-memory catalog (seen with 2.0).
"""

from collections.abc import Collection, Iterator, Mapping

import sqlglot
from sqlglot import Token, TokenType, exp
from sqlglot.errors import ErrorLevel, ParseError, UnsupportedError

from spora_db.errors import QueryError, unknown
from spora_db.guard.functions import AGGREGATES
from spora_db.guard.pivots import refuse_open_pivots
from spora_db.guard.reading import reading
from spora_db.guard.text import (
    TOO_DEEP,
    check_for_sqlglot,
    one_statement,
    quoting,
    refuse,
    refuse_parse,
    refuse_word,
    tokens_of,
    where,
)
from spora_db.guard.tree import ADVICE, QUERIES, check_tree, place, refuse_node
from spora_db.sqltext.dialect import GuardDialect
from spora_db.sqltext.names import fold

_BEGINS = {TokenType.SELECT, TokenType.WITH, TokenType.L_PAREN, TokenType.FROM, TokenType.TABLE, TokenType.VALUES}
_BEGINS |= {TokenType.PIVOT, TokenType.UNPIVOT}
_BESIDE = "A table of yours or a feature set stands beside rows after .join(name); others are asked in a sub-select."


def check_select(text: str, *, relations: Collection[str]) -> str:
    """Check one query that a user wrote and that others are built on; return the text to execute.

    Parameters
    ----------
    text
        SQL in DuckDB's dialect: one query with CTEs, set operations, sub-selects; ``?`` and ``$name`` are parameters. A
        PIVOT lists its values, so that its columns do not hang on the data.
    relations
        The relations that may be read, without regard to ASCII case, never qualified by catalog or schema.

    Returns
    -------
    str
        The same query written anew: identifiers quoted, no comments, one line.

    Raises
    ------
    QueryError
        For text that does not parse or holds anything else: a second statement, a statement that is no SELECT, file
        names and file readers, functions not in ``functions``; the message shows the place.
    UnknownNameError
        For a relation that does not exist; the message lists near ones.

    Examples
    --------
    >>> check_select('SELECT dataset, count(*) AS n FROM tiles GROUP BY ALL -- per cohort', relations=["tiles"])
    'SELECT "dataset", count(*) AS "n" FROM "tiles" GROUP BY ALL'
    >>> check_select("SELECT * FROM 'secret.parquet'", relations=["tiles"])
    Traceback (most recent call last):
    ...
    spora_db.errors.QueryError: SQL refused at line 1, column 15: the file name 'secret.parquet' as a relation.
      SELECT * FROM 'secret.parquet'
                    ^^^^^^^^^^^^^^^^
    ...
    """
    tokens = tokens_of(text)
    tree = _parse(text, tokens, condition=False)
    refuse_open_pivots(tokens, text=text)
    check_tree(tree, text=text, relations=relations)
    asked = reading(text, condition=False)
    asked.check(relations)
    written = _write(tree, text=text)
    asked.compare(written)
    return written


def check_predicate(
    text: str,
    *,
    columns: Collection[str] | Mapping[str, Collection[str]],
    relations: Collection[str] = (),
) -> exp.Expression:
    """Check one SQL condition over known columns and return it as a tree to build into a query.

    Parameters
    ----------
    text
        One condition in DuckDB's dialect, as it would stand after WHERE.
    columns
        The columns it may use, or a mapping from each relation in scope to its columns: then ``tiles.mpp`` is known by
        its relation, and a bare name that two relations have is ambiguous; unless ``""`` has it, which stands for rows.
    relations
        The relations that sub-selects may read.

    Returns
    -------
    sqlglot.expressions.Expression
        The condition, identifiers quoted, in parentheses: safe to combine with others.

    Raises
    ------
    QueryError
        For text that is not one condition, or holds what ``check_select`` refuses, an aggregate or a window function
        outside a sub-select, or an ambiguous column.
    UnknownNameError
        For an unknown column or relation; the message lists near ones.

    Examples
    --------
    >>> print(check_predicate("split = 'train' and coverage > .5", columns=["split", "coverage"]).sql("duckdb"))
    ("split" = 'train' AND "coverage" > .5)
    >>> check_predicate("colour = 'red'", columns=["color", "mpp"])
    Traceback (most recent call last):
    ...
    spora_db.errors.UnknownNameError: Unknown column 'colour' in line 1, column 1 of the SQL.
    Did you mean 'color'? Available: color, mpp.
    """
    tree = _parse(text, tokens_of(text), condition=True)
    check_tree(tree, text=text, relations=relations)
    asked = reading(text, condition=True)
    asked.check(relations)
    _check_condition(tree, text=text)
    check_columns(tree, columns=columns, text=text)
    written = _write(tree, text=text)
    asked.compare(written)
    return exp.Paren(this=_parse(written, tokens_of(written), condition=True))


def check_columns(
    tree: exp.Expr,
    *,
    columns: Collection[str] | Mapping[str, Collection[str]],
    text: str = "",
) -> None:
    """Check that the columns of a condition exist and are not ambiguous; DuckDB checks those inside sub-selects.

    Parameters
    ----------
    tree, text
        A condition as sqlglot parsed it, and the text it was parsed from, for the place in errors.
    columns
        As for ``check_predicate``.

    Raises
    ------
    UnknownNameError
        For an unknown column or relation; the message lists near ones.
    QueryError
        For a bare name that several relations have.

    Examples
    --------
    >>> tree = sqlglot.parse_one("mpp = 1", read="duckdb")
    >>> check_columns(tree, columns={"tiles": ["mpp"], "images": ["mpp"]}, text="mpp = 1")
    Traceback (most recent call last):
    ...
    spora_db.errors.QueryError: SQL refused at line 1, column 1: the column 'mpp' is ambiguous: images, tiles have it.
      mpp = 1
      ^^^
    Write images.mpp or tiles.mpp.
    """
    tables = columns if isinstance(columns, Mapping) else {"": columns}
    folded = {fold(table): {fold(name) for name in names} for table, names in tables.items()}
    for node, parts in _column_references(tree):
        name = parts[0]
        among = folded if fold(name) not in folded.get("", ()) else {""}
        owners = sorted(table for table in tables if fold(table) in among and fold(name) in folded[fold(table)])
        start, end = place(node)
        if len(parts) > 1 and fold(name) in folded:
            if fold(parts[1]) in folded[fold(name)]:
                continue
            names = next(names for table, names in tables.items() if fold(table) == fold(name))
            raise unknown("column", parts[1], names, where=f"{name}, {where(text, start)}")
        if len(owners) > 1:
            finding = f"the column {name!r} is ambiguous: {', '.join(owners)} have it."
            choice = " or ".join(f"{owner}.{name}" for owner in owners)
            refuse(text, start=start, end=end, finding=finding, remedy=f"Write {choice}.")
        if len(parts) > 1 and folded.keys() == {""} and not owners and fold(parts[1]) in folded[""]:
            continue  # qualified by a relation of the query that the caller did not name; DuckDB decides
        available = tables.get("", [name for names in tables.values() for name in names])
        if not owners and len(parts) > 1:
            known = [*filter(None, tables), *available]
            raise unknown("relation or column", name, known, where=where(text, start), remedy=_BESIDE)
        if not owners:
            raise unknown("column", name, available, where=where(text, start), remedy=quoting(text, name))


def _parse(text: str, tokens: list[Token], *, condition: bool) -> exp.Expr:
    """Parse exactly one SELECT, or one condition."""
    check_for_sqlglot(tokens, text=text)
    statement = text
    if not condition:
        tokens, statement = one_statement(tokens, text, empty=ADVICE)
        if tokens[0].token_type not in _BEGINS:
            refuse_word(tokens, text, remedy=ADVICE)
    elif semicolon := next((token for token in tokens if token.token_type is TokenType.SEMICOLON), None):
        finding, remedy = "a semicolon in a condition.", "Ask one thing at a time."
        refuse(text, start=semicolon.start, end=semicolon.end + 1, finding=finding, remedy=remedy)
    into = exp.Condition if condition else None
    try:
        tree = sqlglot.parse_one(statement, read=GuardDialect, into=into, error_level=ErrorLevel.IMMEDIATE)
    except ParseError as error:
        refuse_parse(text, error)
    except RecursionError as error:
        raise QueryError(TOO_DEEP) from error
    if not condition and not isinstance(tree, (*QUERIES, exp.Values)):
        start, end = tokens[0].start, tokens[0].end + 1
        refuse(text, start=start, end=end, finding=f"a statement that is no SELECT ({tree.key}).", remedy=ADVICE)
    return tree


def _write(tree: exp.Expr, *, text: str) -> str:
    """Write the tree as the text that is executed."""
    try:
        return tree.sql(
            dialect=GuardDialect,
            identify=True,
            comments=False,
            normalize_functions=False,
            unsupported_level=ErrorLevel.RAISE,
        )
    except (UnsupportedError, ValueError) as error:
        refuse(text, start=0, end=len(text), finding=f"{error}".splitlines()[0], remedy=ADVICE)
    except RecursionError as error:
        raise QueryError(TOO_DEEP) from error


def _check_condition(tree: exp.Expr, *, text: str) -> None:
    """Refuse what is no condition: a constant, a star, a list, an aggregate or window function outside a sub-select."""
    if isinstance(tree, (exp.Star, exp.Literal, exp.Tuple, exp.Lambda, exp.Slice, exp.Alias, exp.Interval, exp.Values)):
        finding = "this is no condition and no number that rows have."
        remedy = "Write one that names columns, such as split = 'train', or 1.0 / n_tiles as a weight."
        refuse_node(tree, text=text, finding=finding, remedy=remedy)
    for value in tree.find_all(exp.Placeholder, exp.Parameter):
        finding = f"the parameter {value.sql(GuardDialect)} in a condition."
        start = next((t.start for t in tokens_of(text) if t.text in ("?", "$")), 0)
        remedy = "A condition takes no parameters; write the value."
        refuse(text, start=start, end=start + 1, finding=finding, remedy=remedy)
    for node in tree.find_all(exp.Anonymous, exp.Window):
        name = fold(node.name) if isinstance(node, exp.Anonymous) else "a window function"
        if isinstance(node, exp.Anonymous) and name not in AGGREGATES | {"columns", "unnest"}:
            continue
        if node.find_ancestor(*QUERIES) is None:
            finding = f"{name} cannot stand in a condition on rows."
            refuse_node(node, text=text, finding=finding, remedy="Compute it in a sub-select, or with from_sql.")


def _column_references(tree: exp.Expr) -> Iterator[tuple[exp.Expr, list[str]]]:
    """Yield the columns outside sub-selects with their parts, without the variables of lambdas and comprehensions."""
    for node in tree.find_all(exp.Column, exp.Dot):
        if isinstance(node, exp.Dot) and not isinstance(node.this, exp.Identifier):
            continue
        parts = [part.name for part in node.parts] if isinstance(node, exp.Column) else [node.this.name]
        if node.find_ancestor(*QUERIES) is None and fold(parts[0]) not in _variables(node):
            yield node, parts


def _variables(node: exp.Expr) -> set[str]:
    names: set[str] = set()
    scope = node.find_ancestor(exp.Lambda, exp.Comprehension)
    while scope is not None:
        variables = scope.expressions if isinstance(scope, exp.Lambda) else [scope.expression]
        names |= {fold(variable.name) for variable in variables}
        scope = scope.find_ancestor(exp.Lambda, exp.Comprehension)
    return names
