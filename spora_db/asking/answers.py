"""Answers as every form of output can hold them: columns of different names, and types that there are elsewhere."""

import contextlib
import re
from collections.abc import Iterator

import pyarrow as pa
from sqlglot import exp

from spora_db.catalog import Catalog, Result
from spora_db.errors import QueryError, SporaError
from spora_db.files.failures import READER_FAILURES
from spora_db.guard import check_statement

# Arrow has none of them: DuckDB hands out its own bytes, another number (-1 for the largest UHUGEINT) or no time zone
_ONLY_IN_DUCKDB = re.compile(r"\b(BIT|BIGNUM|VARINT|UHUGEINT|TIME WITH TIME ZONE|VARIANT)\b")


def answer(catalog: Catalog, text: str) -> Result:
    """Answer one statement of a user, see `Catalog.sql`.

    Columns of one name are told apart as DuckDB does, ``n`` and ``n_1``; BIT, BIGNUM, UHUGEINT, TIMETZ and VARIANT,
    alone or inside another type, become text.

    Raises
    ------
    SporaError
        As `Catalog.sql`.
    """
    result = catalog.sql(text)  # errors speak of what was typed, not of what is made of it below
    folded = [name.lower() for name in result.columns]
    if len(set(folded)) == len(folded) and not any(map(_ONLY_IN_DUCKDB.search, result.types)):
        return result
    statement = check_statement(text, relations=catalog.relations)
    told_apart = catalog._select(exp.select("*"), statement)
    columns = zip(told_apart.columns, told_apart.types, strict=True)
    odd = [name for name, kind in columns if _ONLY_IN_DUCKDB.search(kind)]
    if not odd:
        return told_apart
    cast = [exp.alias_(exp.cast(exp.column(name, quoted=True), "VARCHAR"), name, quoted=True) for name in odd]
    return catalog._select(exp.select(exp.Star(replace=cast)), statement)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn whatever else an answer raises on its way out into one of our errors, on one line.

    Raises
    ------
    QueryError
        For an error that is none of ours: a date that Python does not have, a value that Arrow refuses.
    """
    try:
        yield
    except (SporaError, BrokenPipeError, Warning):
        raise
    except Exception as error:  # any value may be in a lake, and none may end the shell
        reason = " ".join(str(error).split())
        if isinstance(error, READER_FAILURES) and not isinstance(error, pa.ArrowException):
            raise QueryError(
                f"The answer was not given: {type(error).__name__}: {reason}. This is a fault of spora-db or of a "
                "library that it uses, not of the statement. Please report it."
            ) from error
        raise QueryError(
            f"The answer cannot be shown or written: {type(error).__name__}: {reason}. "
            "Turn the column that holds such a value into text, CAST(... AS VARCHAR), or leave it out."
        ) from error
