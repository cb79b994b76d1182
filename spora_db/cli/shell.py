"""``spora-db sql LAKE`` on a terminal: a shell that stays, with history, completion, timing and commands of its own."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from spora_db.catalog import Catalog
from spora_db.catalog.sql_files import sql_text
from spora_db.cli.answers import answer, explained
from spora_db.cli.completion import After, Completer
from spora_db.cli.history import LineEditor, line_editor
from spora_db.cli.interrupts import interruptible
from spora_db.cli.named_queries import purpose, query_names, query_text, show_queries
from spora_db.cli.statements import statements
from spora_db.cli.tables import FORMS, SHOWN_ROWS, print_table, write_answer
from spora_db.errors import ArgumentError, SporaError, unknown

PROMPT, CONTINUED = "spora> ", "  ...> "
WELCOME = "{lake}: {count} datasets. SELECT ...; ends with a semicolon, .help lists commands, .quit leaves."
LEAVING = (".quit", ".exit")
INSTEAD = {
    "EXPLAIN": ".explain SELECT ... shows the plan and the files that a query reads",
    "DESCRIBE": ".schema RELATION lists columns and their types",
    "DESC": ".schema RELATION lists columns and their types",
    "SHOW": ".tables lists the relations, .schema their columns",
}
"""What the shell has for statements that DuckDB's own shell answers and the guard refuses."""

_FIRST_WORD = re.compile(r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*(\w*)", re.DOTALL)


class Shell:
    """Reads lines, answers statements and commands, and survives every error.

    Parameters
    ----------
    catalog
        The lake.
    console
        Where answers go.
    """

    def __init__(self, catalog: Catalog, console: Console) -> None:
        self._catalog = catalog
        self._console = console
        self._timing = True
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
            ".timing": ("on|off: show how long each answer took", self._set_timing),
            ".help": ("list these commands", self._help),
            ".quit": ("leave; so does Ctrl-D", lambda _: None),
        }

    def run(self) -> None:
        """Read and answer until ``.quit`` or the end of the input."""
        self._editor = line_editor(Completer(self._catalog, self._completions))
        count = len(self._catalog.sql("SELECT dataset FROM datasets").fetchall())
        self._say(WELCOME.format(lake=self._catalog.lake, count=count))
        while True:
            asking = True
            try:
                if self._editor is not None:
                    self._editor.before = self._text
                typed = input(CONTINUED if self._text else PROMPT)
                asking = False
                for line in typed.split("\n"):  # what was pasted or recalled may have several
                    if not self._text and line.strip() in LEAVING:
                        self._keep([line])
                        return
                    self._take(line)
            except EOFError:
                self._say("")
                return
            except KeyboardInterrupt:
                self._text, self._entered = "", []
                self._say("" if asking else "\ninterrupted", style="" if asking else "red")

    def _take(self, line: str) -> None:
        """Take one line: answer the statements that it completes, or a command."""
        if not self._text and line.lstrip().startswith("."):
            self._keep([line])
            self._guarded(self._command, line.strip())
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
            self._say(str(error), style="red")

    def _answer(self, statement: str) -> None:
        """Show the first rows of an answer; only these are fetched."""
        first = _FIRST_WORD.match(statement)
        word = first[1].upper() if first else ""
        if word in INSTEAD:
            raise ArgumentError(f"{word} is not part of a query here. In this shell {INSTEAD[word]}.")
        started = time.perf_counter()
        result = answer(self._catalog, statement)
        self._last = statement
        head = result.head(SHOWN_ROWS + 1)
        told = f"{len(head)} row{'' if len(head) == 1 else 's'}"
        if len(head) > SHOWN_ROWS:
            told = f"the first {SHOWN_ROWS} rows; .save FILE writes all of them"
        if self._timing:
            told += f"; {time.perf_counter() - started:.3f} s"
        print_table(self._console, head.slice(0, SHOWN_ROWS), width=self._console.width, told=told)

    def _command(self, line: str) -> None:
        name, _, argument = line.partition(" ")
        if name not in self._commands:
            raise unknown("command", name, self._commands)
        self._commands[name][1](argument.strip())

    def _completions(self) -> Mapping[str, Sequence[str] | After]:
        after: dict[str, Sequence[str] | After] = {name: () for name in self._commands}
        after |= {".schema": self._catalog.relations, ".query": query_names(), ".timing": ("on", "off")}
        return after | {".explain": After.STATEMENT, ".save": After.FILE}

    def _tables(self, _: str) -> None:
        table = Table("relation", "purpose", header_style="bold")
        for name in self._catalog.relations:
            table.add_row(name, purpose(sql_text("views", name)))
        self._console.print(table)

    def _schema(self, relation: str) -> None:
        if relation:
            self._catalog.columns(relation)
        schema = self._catalog.schema().to_arrow_table()
        wanted = [relation in ("", name) for name in schema.column("relation").to_pylist()]
        shown = schema.filter(wanted)
        full = [name for name in shown.column_names if shown.column(name).null_count < len(shown)]
        print_table(self._console, shown.select(full), rows=len(shown), width=self._console.width)

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
        self._say(f"{len(table):,} rows written to {path}")

    def _set_timing(self, argument: str) -> None:
        if argument not in ("on", "off"):
            raise ArgumentError(f".timing {argument}: expected on or off.")
        self._timing = argument == "on"

    def _help(self, _: str) -> None:
        for name, (told, _action) in self._commands.items():
            self._say(f"  {name:<9} {told}")
        self._say("  SELECT ...;  any query over the relations, on one line or many; Ctrl-C interrupts it")
