"""The ``spora-db`` command itself: its help, its exit codes, and errors that are one line, never a traceback."""

import io
import logging
import re
import sys
import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from spora_db.errors import SporaError, did_you_mean
from spora_db.layout import LAKE_VARIABLE

ORDER = (
    "demo",
    "info",
    "sql",
    "explore",
    "index",
    "tile",
    "standardize",
    "extract",
    "validate",
    "quarantine",
    "diff",
    "import",
    "add-table",
    "copy",
    "export",
    "cache",
)
"""How the help lists the commands: as one comes to need them; others follow."""

_NO_CHOICE = re.compile(r"(?:Value error, )?('(.*)' is not one of (.*))\.")
"""What typer says of an option with choices; newer ones begin it with the kind of error."""
_QUOTED = re.compile("'(.*?)'")
_LINE_END = re.compile(r"(?<!\n)\n(?!\n)")
"""Where a line of a docstring ends within a paragraph; typer would end it there on a screen of any width."""


def _drop_types(options: list[Any]) -> list[Any]:
    """Let no flag's help name a value: newer typers say ``<bool>``, as if one had to be given."""
    for option in options:
        if getattr(option, "is_flag", False):
            option.metavar = ""
    return options


class _Commands(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 -- click's Context, or the copy of it in newer typers
        """Return the names of the commands, in the order of the help."""
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401
        """Return a command."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            _drop_types([*command.params, command.get_help_option(ctx)])
            command.help = _LINE_END.sub(" ", command.help or "")
        return command

    def get_params(self, ctx: Any) -> Any:  # noqa: ANN401
        """Return the options before a command."""
        return _drop_types(super().get_params(ctx))

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401
        """Run a command; typer itself answers Ctrl-C differently from version to version, and with no word."""
        from spora_db.cli.terminal import told_of_waiting

        try:
            with told_of_waiting():
                return super().invoke(ctx)
        except typer.BadParameter as error:
            if type(error).__name__ == "MissingParameter" and getattr(error.param, "envvar", None) == LAKE_VARIABLE:
                error.message = f"Name a lake, or have {LAKE_VARIABLE} name one."
            if found := _NO_CHOICE.fullmatch(error.message):
                error.message = f"{found[1]}.{did_you_mean(found[2], _QUOTED.findall(found[3]))}"
            raise
        except KeyboardInterrupt:
            raise typer.Exit(_interrupted()) from None


def _show_version(wanted: bool) -> None:  # noqa: FBT001 -- typer calls it so
    if wanted:
        from importlib.metadata import version

        typer.echo(f"spora-db {version('spora-db')}")
        raise typer.Exit


app = typer.Typer(
    cls=_Commands,
    name="spora-db",
    help="Ask a folder of histopathology and spatial-proteomics images in SQL, train on the answer.\n\n"
    "Start with:  spora-db demo my-lake   then   spora-db info my-lake",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def main() -> None:
    """Run the command line: exit code 0 for success, 1 for a failure that is explained, 2 for wrong usage."""
    _write_any_character()
    logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what is wrong with a file is told in our words
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            app()
    except SporaError as error:
        from spora_db.cli.terminal import error_text

        said = "\n".join((f"spora-db: {error}", *getattr(error, "__notes__", ())))
        sys.stderr.write(error_text(said) + "\n")
        sys.exit(1)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        sys.stderr.close()
        sys.exit(141)
    except OSError as error:  # of a path that no command has words for: rights, a file in place of a folder
        sys.stderr.write(f"spora-db: {_told(error)}\n")
        sys.exit(1)
    except KeyboardInterrupt:  # before a command began, or after it
        sys.exit(_interrupted())


def _write_any_character() -> None:
    """Have characters that an output cannot encode, such as a micro sign in ASCII, written as their codes.

    The C locale says ``surrogateescape``, which lets bytes of file names pass and fails at all else.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    """Write a warning as errors are: the line of code that it is about is none of the user's."""
    sys.stderr.write(f"spora-db: {message}\n")


def _told(error: OSError) -> str:
    """Return one sentence: which file, and what the system says of it."""
    said = " ".join((error.strerror or str(error) or type(error).__name__).split()).rstrip(".")
    where = " and ".join(str(path) for path in (error.filename, error.filename2) if path is not None)
    return f"{where}: {said}. Check the path and its rights." if where else f"{said}."


def _interrupted() -> int:
    """Say it, and return the exit code."""
    sys.stderr.write("spora-db: interrupted\n")
    return 130
