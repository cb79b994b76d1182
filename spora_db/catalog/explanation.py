"""What is told of a statement before it is run: its plan, and the files and row groups that it will read."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TouchedFile:
    """One parquet file that a statement reads.

    Attributes
    ----------
    number
        Its number in the plan's text.
    path
        Relative to the lake.
    columns
        Columns that are read.
    row_groups, touched
        Row groups of the file, and those that the conditions on single columns leave; joins may leave fewer.
    rows
        Rows of the touched row groups.
    """

    number: int
    path: str
    columns: tuple[str, ...]
    row_groups: int
    touched: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a statement does before it is run; as text, all of it.

    Attributes
    ----------
    sql
        The statement.
    plan
        DuckDB's plan; a column ``[3] split`` is that of the file of this number.
    files
        The files that are read.
    untouched
        Files of the same relations that the conditions rule out.
    estimated_rows
        DuckDB's estimate of the rows of the answer.
    """

    sql: str
    plan: str
    files: tuple[TouchedFile, ...]
    untouched: tuple[str, ...]
    estimated_rows: int

    def __str__(self) -> str:
        """Return the statement, the plan, the files and the estimate as text."""
        last = {file.path: file for file in sorted(self.files, key=lambda file: file.touched)}  # some are read twice
        groups, touched = (sum(getattr(file, name) for file in last.values()) for name in ("row_groups", "touched"))
        lines = [
            self.sql,
            "",
            self.plan.rstrip(),
            "",
            f"Files: {len(last)} read, {len(self.untouched)} ruled out.",
        ]
        lines += [
            f"  [{file.number}] {file.path}: {file.touched} of {file.row_groups} row groups, {file.rows:,} rows, "
            f"columns {', '.join(file.columns) or 'none (counted only)'}"
            for file in self.files
        ]
        lines += [f"Row groups: {touched} of {groups}.", f"Estimated rows: {self.estimated_rows:,}."]
        return "\n".join(lines)

    __repr__ = __str__  # what a shell and a notebook show
