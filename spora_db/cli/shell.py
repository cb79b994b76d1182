"""``spora-db sql LAKE`` on a terminal: a shell that stays, with history, completion, timing and commands of its own."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from spora_db.asking.answers import answer, explained
from spora_db.asking.completion import After, Completer
from spora_db.asking.no_rows import warn_of_no_rows
from spora_db.asking.statements import dot_command, statements
from spora_db.catalog import Catalog
from spora_db.catalog.sql_files import sql_names
from spora_db.cli.forms import FORMS, encoded, told_of, write_answer
from spora_db.cli.history import LineEditor, line_editor
from spora_db.cli.interrupts import interruptible
from spora_db.cli.named_queries import query_text, show_queries
from spora_db.cli.scripts import Script
from spora_db.cli.tables import SHOWN_ROWS, print_lines, print_table
from spora_db.cli.terminal import fit_carets
from spora_db.errors import ArgumentError, QueryError, SporaError, counted, unknown

PROMPT, CONTINUED = "spora> ", "  ...> "
WELCOME = "{lake}: {datasets}. SELECT ...; ends with a semicolon, .help lists commands, .quit leaves."
LEAVING = (".quit", ".exit")
MODES = ("table", "line", "csv", "json")
"""How answers are shown."""


class Shell:
    """Reads lines, answers statements and commands, and survives every error.

    Parameters
    ----------
    catalog
        The lake.
    console
        Where answers go.
    timing
        Whether answers say how long they took; a script that is run again says the same.
    """

    def __init__(self, catalog: Catalog, console: Console, *, timing: bool = True) -> None:
        self._catalog = catalog
        self._console = console
        self._timing = timing
        self._mode = "table"
        self._rows = SHOWN_ROWS
        self._last = ""
        self._text = ""
        self._entered: list[str] = []
        self._editor: LineEditor | None = None
        self._commands: dict[str, tuple[str, Callable[[str], None]]] = {
            ".tables": ("list the relations", self._tables),
            ".schema": ("[relation]: columns, their types, and what each cohort had", self._schema),
            ".queries": ("list the named queries", lambda _: show_queries(self._console)),
            ".query": ("NAME: run a named query", self._query),
            ".explain": ("SELECT ...: the plan, the files and row groups it reads", self._explain),
            ".save": ("FILE: write all rows of the last answer to .parquet, .csv or .json", self._save),
            ".mode": ("table|line|csv|json: how answers are shown; line: every column on a line", self._set_mode),
            ".rows": ("N: how many rows of an answer are shown", self._set_rows),
            ".timing": ("on|off: show how long each answer took", self._set_timing),
            ".help": ("list these commands", self._help),
            ".quit": ("leave; so does Ctrl-D", lambda _: None),
        }

    def run(self) -> None:
        """Read and answer until ``.quit`` or the end of the input."""
        self._editor = line_editor(Completer(self._catalog, self._completions))
        count = len(self._catalog.sql("SELECT dataset FROM datasets").fetchall())
        self._say(WELCOME.format(lake=self._catalog.lake, datasets=counted(count, "dataset")))
        while True:
            asking = True
            try:
                if self._editor is not None:
                    self._editor.before = self._text
                typed = input(CONTINUED if self._text else PROMPT)
                asking = False
                for line in typed.split("\n"):  # what was pasted or recalled may have several
                    if not self._text and dot_command(line) in LEAVING:
                        self._keep([line])
                        return
                    self._take(line)
            except EOFError:
                self._say("")
                return
            except KeyboardInterrupt:
                self._text, self._entered = "", []
                self._say("" if asking else "\ninterrupted", style="" if asking else "red")

    def play(self, script: Script) -> None:
        """Answer the statements and commands of a script, as if they were typed; the first error ends it.

        Raises
        ------
        QueryError
            The message says which statement failed, and where it is.
        """
        for statement in script.statements:
            command = dot_command(statement.text)
            if command in LEAVING:
                return
            try:
                with explained(), interruptible(self._catalog):
                    if command:
                        self._command(command)
                    else:
                        self._answer(statement.in_place())
            except SporaError as error:
                raise QueryError(script.failure(statement, error)) from error

    def _take(self, line: str) -> None:
        """Take one line: answer the statements that it completes, or a command."""
        if not self._text and (command := dot_command(line)):
            self._keep([line])
            self._guarded(self._command, command)
            return
        self._entered.append(line)
        complete, self._text = statements(f"{self._text}\n{line}" if self._text else line)
        if not self._text:
            self._keep(self._entered)
            self._entered = []
        for statement in complete:
            self._guarded(self._answer, statement)

    def _keep(self, lines: Sequence[str]) -> None:
        if self._editor is not None:
            self._editor.keep("\n".join(lines))

    def _say(self, text: str, *, style: str = "") -> None:
        """Write a text as it is: no markup, no emoji."""
        self._console.print(text, style=style, highlight=False, markup=False, emoji=False)

    def _guarded(self, action: Callable[[str], None], argument: str) -> None:
        """Run one thing; an error is shown and forgotten."""
        try:
            with explained(), interruptible(self._catalog):
                action(argument)
        except SporaError as error:
            self._say(fit_carets(str(error), self._console.width), style="red")

    def _answer(self, statement: str) -> None:
        """Show the first rows of an answer; only these are fetched."""
        started = time.perf_counter()
        result = answer(self._catalog, statement)
        self._last = statement
        head = result.head(self._rows + 1)
        told = counted(len(head), "row")
        if len(head) > self._rows:
            told = f"the first {counted(self._rows, 'row')}; .rows N shows more, .save FILE writes all of them"
        if self._timing:
            told += f"; {time.perf_counter() - started:.3f} s"
        shown = head.slice(0, self._rows)
        if self._mode == "table":
            print_table(self._console, shown, rows=self._rows, told=told, more=".mode line")
        elif self._mode == "line":
            print_lines(self._console, shown, told=told)
        else:
            self._console.file.write(encoded(shown, self._mode).decode())
            self._say(told, style="dim")
        warn_of_no_rows(self._catalog, statement, shown)

    def _command(self, line: str) -> None:
        name, _, argument = line.partition(" ")
        if name not in self._commands:
            raise unknown("command", name, self._commands)
        self._commands[name][1](argument.strip())

    def _completions(self) -> Mapping[str, Sequence[str] | After]:
        after: dict[str, Sequence[str] | After] = {name: () for name in self._commands}
        after |= {".schema": self._catalog.relations, ".query": sql_names("queries")}
        after |= {".mode": MODES, ".timing": ("on", "off")}
        return after | {".explain": After.STATEMENT, ".save": After.FILE}

    def _tables(self, _: str) -> None:
        table = Table("relation", "purpose", header_style="bold")
        for name in self._catalog.relations:
            table.add_row(name, self._catalog._purpose(name))
        self._console.print(table)

    def _schema(self, relation: str) -> None:
        if relation:
            self._catalog.columns(relation)
        schema = self._catalog.schema().to_arrow_table()
        wanted = [relation in ("", name) for name in schema.column("relation").to_pylist()]
        shown = schema.filter(wanted)
        full = [name for name in shown.column_names if shown.column(name).null_count < len(shown)]
        print_table(self._console, shown.select(full), rows=len(shown), fold=True)

    def _query(self, name: str) -> None:
        self._answer(query_text(name))

    def _explain(self, statement: str) -> None:
        told = self._catalog.explain_sql(statement.rstrip(";"))
        self._console.print(str(told), highlight=False, markup=False, emoji=False, soft_wrap=True)

    def _save(self, name: str) -> None:
        path = Path(name).expanduser()
        if not self._last:
            raise ArgumentError(".save: there is no answer yet; ask something first.")
        form = FORMS.get(path.suffix.lower())
        if form is None:
            raise ArgumentError(f".save {name or 'FILE'}: the name must end with {', '.join(FORMS)}.")
        table = answer(self._catalog, self._last).to_arrow_table()
        write_answer(table, form, path)
        self._say(told_of(table, path))

    def _set_mode(self, argument: str) -> None:
        if argument not in MODES:
            raise ArgumentError(f".mode {argument}: expected {', '.join(MODES[:-1])} or {MODES[-1]}.")
        self._mode = argument

    def _set_rows(self, argument: str) -> None:
        if not argument.isdecimal() or int(argument) < 1:
            raise ArgumentError(f".rows {argument}: expected a number from 1, such as .rows 100.")
        self._rows = int(argument)

    def _set_timing(self, argument: str) -> None:
        if argument not in ("on", "off"):
            raise ArgumentError(f".timing {argument}: expected on or off.")
        self._timing = argument == "on"

    def _help(self, _: str) -> None:
        for name, (told, _action) in self._commands.items():
            self._say(f"  {name:<9} {told}")
        self._say(
            "  SELECT ...;  any query over the relations, on one line or many; Ctrl-C interrupts it\n"
            "               (also FROM, TABLE, PIVOT, DESCRIBE, SUMMARIZE, SHOW TABLES, EXPLAIN)"
        )
