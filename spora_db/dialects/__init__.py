"""The same SELECT for another engine: what is known to mean the same there is translated, all else is refused.

``translate`` reads a text as the guard does, every function by DuckDB's own name, and writes each part anew:

1. queries clause by clause (``queries``, ``orders``), names resolved (``scope``);
2. expressions by the class of their node (``expressions``), functions by name (``functions``,
   ``aggregates``), with the kinds of their operands (``kinds``).

Each of these is a list of what is allowed. Nothing is passed on in the hope that it works there: the entries were run
on PostgreSQL and gave DuckDB's rows, those that have another word in Spark there too; for BigQuery and Snowflake the
manuals say so. What remains different: letters whose number changes with their case (``ß``), the last digit of
logarithms and sums of floating-point numbers, overflows, at which other engines stop, and in BigQuery a NaN that meets
another one in IN, CASE or USING.
"""

from spora_db.dialects.targets import DIALECTS, Dialect, can_name, check_dialect
from spora_db.dialects.translation import Columns, translate, write

__all__ = ["DIALECTS", "Columns", "Dialect", "can_name", "check_dialect", "translate", "write"]
