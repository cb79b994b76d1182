"""``spora-db sql LAKE`` on a terminal: a shell that stays, with history, completion, timing and commands of its own."""

import atexit
import importlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from rich.console import Console
from rich.table import Table

from spora_db.catalog import Catalog
from spora_db.catalog.sql_files import sql_folder, sql_text
from spora_db.cli.completion import DELIMITERS, Completer
from spora_db.cli.statements import statements
from spora_db.cli.tables import rich_table, write_answer
from spora_db.errors import ArgumentError, SporaError, unknown

PROMPT, CONTINUED = "spora> ", "  ...> "
SHOWN_ROWS = 40
HISTORY_LINES = 10_000
FORMS = {".parquet": "parquet", ".csv": "csv", ".json": "json"}
WELCOME = "{lake}: {count} datasets. SELECT ...; ends with a semicolon, .help lists commands, .quit leaves."


def query_names() -> list[str]:
    """Return the names of the queries that ship with spora-db."""
    return sorted(path.stem for path in (sql_folder() / "queries").glob("*.sql"))


def purpose(text: str) -> str:
    r"""Return what the header of an SQL file says that it is for.

    Examples
    --------
    >>> purpose("-- purpose: the cohorts\n-- grain:   dataset\nSELECT 1")
    'the cohorts'
    """
    return text.partition("-- purpose:")[2].partition("\n")[0].strip()


def show_queries(console: Console) -> None:
    """Write the named queries and what each is for."""
    table = Table("query", "purpose", header_style="bold")
    for name in query_names():
        table.add_row(name, purpose(sql_text("queries", name)))
    console.print(table)


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
        line_editor = _line_editor(Completer(self._catalog, self._completions))
        count = len(self._catalog.sql("SELECT dataset FROM datasets").fetchall())
        self._console.print(WELCOME.format(lake=self._catalog.lake, count=count), highlight=False, markup=False)
        text = ""
        while True:
            if line_editor is not None:
                line_editor.before = text
            try:
                line = input(CONTINUED if text else PROMPT)
            except EOFError:
                self._console.print()
                return
            except KeyboardInterrupt:
                self._console.print()
                text = ""
                continue
            if not text and line.strip() in (".quit", ".exit"):
                return
            if not text and line.lstrip().startswith("."):
                self._guarded(lambda line=line: self._command(line.strip()))  # type: ignore[misc]
                continue
            complete, text = statements(f"{text}\n{line}" if text else line)
            if line_editor is not None and complete:
                line_editor.keep("; ".join(complete) + ";")
            for statement in complete:
                self._guarded(lambda statement=statement: self._answer(statement))  # type: ignore[misc]

    def _guarded(self, action: Callable[[], None]) -> None:
        """Run one thing; an error is shown and forgotten."""
        try:
            action()
        except SporaError as error:
            self._console.print(str(error), style="red", highlight=False, markup=False)
        except KeyboardInterrupt:
            self._console.print("interrupted", style="red")

    def _answer(self, statement: str) -> None:
        """Show the first rows of an answer; only these are fetched."""
        started = time.perf_counter()
        result = self._catalog.sql(statement)
        self._last = statement
        head = result.head(SHOWN_ROWS + 1)
        drawn = rich_table(head.slice(0, SHOWN_ROWS), width=self._console.width)
        told = f"{len(head)} row{'' if len(head) == 1 else 's'}"
        if len(head) > SHOWN_ROWS:
            told = f"the first {SHOWN_ROWS} rows; .save FILE writes all of them"
        if self._timing:
            told += f"; {time.perf_counter() - started:.3f} s"
        drawn.caption = f"{told}\n{drawn.caption}" if drawn.caption else told
        self._console.print(drawn)

    def _command(self, line: str) -> None:
        name, _, argument = line.partition(" ")
        if name not in self._commands:
            raise unknown("command", name, self._commands)
        self._commands[name][1](argument.strip())

    def _completions(self) -> dict[str, Sequence[str]]:
        after: dict[str, Sequence[str]] = {name: () for name in self._commands}
        return after | {".schema": self._catalog.relations, ".query": query_names(), ".timing": ("on", "off")}

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
        self._console.print(rich_table(shown.select(full), rows=len(shown), width=self._console.width))

    def _query(self, name: str) -> None:
        self._answer(sql_text("queries", name))

    def _explain(self, statement: str) -> None:
        told = self._catalog.explain_sql(statement.rstrip(";"))
        self._console.print(str(told), highlight=False, markup=False, soft_wrap=True)

    def _save(self, name: str) -> None:
        path = Path(name).expanduser()
        if not self._last:
            raise ArgumentError(".save: there is no answer yet; ask something first.")
        if path.suffix not in FORMS:
            raise ArgumentError(f".save {name or 'FILE'}: the name must end with {', '.join(FORMS)}.")
        table = self._catalog.sql(self._last).to_arrow_table()
        write_answer(table, FORMS[path.suffix], path)
        self._console.print(f"{len(table):,} rows written to {path}", highlight=False, markup=False)

    def _set_timing(self, argument: str) -> None:
        if argument not in ("on", "off"):
            raise ArgumentError(f".timing {argument}: expected on or off.")
        self._timing = argument == "on"

    def _help(self, _: str) -> None:
        for name, (told, _action) in self._commands.items():
            self._console.print(f"  {name:<9} {told}", highlight=False, markup=False)
        self._console.print("  SELECT ...;  any query over the relations, on one line or many", highlight=False)


class _LineEditor:
    """The terminal's line editor (readline): completion, and a history that outlives the shell."""

    def __init__(self, editor: ModuleType, completer: Completer) -> None:
        self._editor = editor
        self._completer = completer
        self._found: list[str] = []
        self.before = ""
        editor.set_completer_delims(DELIMITERS)
        editor.set_completer(self._complete)
        editor.parse_and_bind("bind ^I rl_complete" if "libedit" in (editor.__doc__ or "") else "tab: complete")
        self._since = editor.get_current_history_length()

    def keep(self, statement: str) -> None:
        """Keep a statement of several lines as one entry of the history."""
        length = self._editor.get_current_history_length()
        lines = self.before.count("\n") + 2 if self.before else 1
        if lines > 1 and length >= lines:
            for place in range(length - 1, length - 1 - lines, -1):
                self._editor.remove_history_item(place)
            self._editor.add_history(" ".join(statement.split("\n")))

    def _complete(self, word: str, state: int) -> str | None:
        if state == 0:
            line = self._editor.get_line_buffer()[: self._editor.get_endidx()]
            self._found = self._completer.candidates(f"{self.before}\n{line}", word)
        return self._found[state] if state < len(self._found) else None


def _line_editor(completer: Completer) -> _LineEditor | None:
    """Prepare readline, if Python has it and the input is a terminal, with the history of earlier shells."""
    try:
        editor = importlib.import_module("readline")
    except ImportError:
        return None
    if not sys.stdin.isatty():
        return None
    path = history_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        editor.read_history_file(path)
    except OSError:  # a read-only home: the shell works without a history
        return _LineEditor(editor, completer)
    editor.set_history_length(HISTORY_LINES)
    atexit.register(_write_history, editor, path)
    return _LineEditor(editor, completer)


def _write_history(editor: ModuleType, path: Path) -> None:
    try:
        editor.write_history_file(path)
    except OSError as error:
        sys.stderr.write(f"spora-db: the history was not kept: {error}\n")


def history_path() -> Path:
    """Return the file of the shell's history: ``spora-db/history`` in the user's folder for state (XDG)."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "spora-db" / "history"
