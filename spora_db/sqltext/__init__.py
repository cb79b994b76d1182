"""DuckDB's dialect of SQL, names in it, and values bound to it."""
