"""The terminal's line editor (readline) for the shell: completion, and a history that outlives it."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

from spora_db.asking.completion import DELIMITERS, Completer
from spora_db.files.folders import user_folder

HISTORY_LINES = 10_000
_NEWLINE = "\x01"
"""Stands for a newline in the file, an entry per line, as in psql's; SQL with this character is refused anyway."""


class LineEditor:
    """Completes words and keeps what was entered, exactly as it was, also over several lines.

    Parameters
    ----------
    editor
        The module ``readline``.
    completer
        What Tab offers.
    path
        The file of the history; None keeps it for this shell only.
    """

    def __init__(self, editor: ModuleType, *, completer: Completer, path: Path | None) -> None:
        self._editor = editor
        self._completer = completer
        self._path = path
        self._found: list[str] = []
        self.before = ""
        editor.set_auto_history(False)  # by itself it would keep lines, not statements
        editor.set_completer_delims(DELIMITERS)
        editor.set_completer(self._complete)
        editor.parse_and_bind("bind ^I rl_complete" if "libedit" in (editor.__doc__ or "") else "tab: complete")
        for entry in _read(path):
            editor.add_history(entry)

    def keep(self, entry: str) -> None:
        """Remember one entry, unless it is empty or was the last one; it is written at once: a shell may be killed."""
        length = self._editor.get_current_history_length()
        if not entry.strip() or (length and self._editor.get_history_item(length) == entry):
            return
        self._editor.add_history(entry)
        if self._path is None:
            return
        try:
            with self._path.open("a", encoding="utf-8", errors="surrogateescape") as file:
                file.write(entry.replace("\n", _NEWLINE) + "\n")
        except OSError as error:
            sys.stderr.write(f"spora-db: the history is not kept any more: {error}\n")
            self._path = None

    def _complete(self, word: str, state: int) -> str | None:
        if state == 0:
            line, end = self._editor.get_line_buffer(), self._editor.get_endidx()
            self._found = self._completer.candidates(f"{self.before}\n{line[:end]}", word, after=line[end:])
        return self._found[state] if state < len(self._found) else None


def line_editor(completer: Completer) -> LineEditor | None:
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
        _shorten(path)
    except OSError:  # a read-only home: the shell works without a history
        return LineEditor(editor, completer=completer, path=None)
    return LineEditor(editor, completer=completer, path=path)


def history_path() -> Path:
    """Return the file of the shell's history: ``spora-db/history`` in the user's folder for state (XDG)."""
    return user_folder("state") / "history"


def _read(path: Path | None) -> list[str]:
    if path is None:
        return []
    text = path.read_text(encoding="utf-8", errors="surrogateescape")
    return [line.replace(_NEWLINE, "\n") for line in text.split("\n") if line]


def _shorten(path: Path) -> None:
    """Drop the oldest entries of a history that has become long."""
    entries = _read(path)
    if len(entries) > HISTORY_LINES:
        lines = [entry.replace("\n", _NEWLINE) + "\n" for entry in entries[-HISTORY_LINES:]]
        path.write_text("".join(lines), encoding="utf-8", errors="surrogateescape")
