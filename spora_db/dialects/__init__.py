"""The same SELECT for another engine: what is known to mean the same there is translated, all else is refused.

``translation`` reads a text as the guard does, every function by DuckDB's own name, and writes each part anew:

1. queries clause by clause (``queries``, ``sources``, ``orders``), names resolved (``scope``);
2. expressions by the class of their node (``expressions``, ``comparisons``, ``casts``, ``patterns``), functions and
   operators by tables (``forms``, ``functions``, ``aggregates``), with the kinds of their operands (``kinds``).

Each of these is a list of what is allowed. Nothing is passed on in the hope that it works there: the entries were run
on PostgreSQL and Spark and gave DuckDB's rows. What remains different: letters whose number changes with their case
(``ß``), the last digit of logarithms and sums of floating-point numbers, and overflows, at which other engines stop.
"""

from spora_db.dialects.targets import DIALECTS, Dialect, check_dialect

__all__ = ["DIALECTS", "Dialect", "check_dialect"]
