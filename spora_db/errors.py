"""The errors of spora-db: one tree, each also the builtin that callers already catch."""

import difflib
import importlib
import sys
from collections.abc import Iterable
from types import ModuleType

STANDS_FOR: dict[str, str] = {}
"""Folders that users did not name, such as the copy of a remote lake, and the address that they did."""


class SporaError(Exception):
    """Base of every error that spora-db raises on purpose.

    See Also
    --------
    errors

    Examples
    --------
    >>> try:
    ...     raise ArgumentError("tiles(size=0): expected a whole number of pixels, at least 1.")
    ... except SporaError as error:
    ...     print(error)
    tiles(size=0): expected a whole number of pixels, at least 1.
    """

    def __str__(self) -> str:
        """Return the message itself, also for errors that derive from KeyError (which would quote it).

        What lies in a folder of `STANDS_FOR` is named as what it stands for.
        """
        said = str(self.args[0]) if len(self.args) == 1 else super().__str__()
        for folder, address in STANDS_FOR.items():
            said = said.replace(folder, address)
        return said


class ArgumentError(SporaError, ValueError):
    """An argument is out of range, of the wrong form, or contradicts another one. Pass what the message expects."""


class UnknownNameError(SporaError, KeyError, ValueError):
    """A tissue, modality, channel, column, spec, ... that does not exist; the message lists those that do.

    Take one of those, or the near spelling that it asks after.
    """


class DatasetNotFoundError(SporaError, FileNotFoundError):
    """The folder is not a lake or a dataset, or the lake has no dataset of that name.

    Name the folder that holds the datasets, or one of those that the message lists.
    """


class ImageNotFoundError(SporaError, FileNotFoundError):
    """No image file for the tissue, or a chunk of it is absent (a partial download).

    Complete the download, or say that absent chunks are meant: `missing_chunks`.
    """


class MaskNotFoundError(SporaError, FileNotFoundError, ValueError):
    """No mask file for the tissue. Add the one that the message names, or leave the tissue out."""


class TilingNotFoundError(SporaError, FileNotFoundError, ValueError):
    """No tile file of this size, resolution and strategy, or no tile in it.

    Run ``spora-db tile`` as the message says, or ask for a tiling that is there.
    """


class FileFormatError(SporaError, ValueError):
    """A file is broken, truncated, hostile or of an unsupported kind.

    Fetch or write the file again, or convert it to a kind that the message names.
    """


class ReaderError(SporaError, RuntimeError):
    """A library, or spora-db itself, failed at a file in a way that says nothing of the file, which may be whole.

    Try again; if it stays, report it with the cause that stands below it.
    """


class TableError(SporaError, ValueError):
    """A parquet table lacks a column, contradicts another table or repeats a row that must be unique.

    Mend the table that the message names; ``spora-db validate`` lists all such contradictions at once.
    """


class StatisticsNotFoundError(SporaError, LookupError, ValueError):
    """Standardization asks for statistics that the files do not hold.

    Run ``spora-db standardize``; `SporaQuery.coverage` lists all that is missing.
    """


class QueryError(SporaError, ValueError):
    """SQL or a predicate that is refused, does not parse or does not run.

    Mend what the message quotes; ``spora-db sql LAKE .tables`` and ``.schema`` list what there is.
    """


class QueryInterruptedError(SporaError, RuntimeError):
    """A query was ended by another thread, see `Catalog.interrupt`; Ctrl-C is a KeyboardInterrupt. Ask again."""


class LockError(SporaError, ValueError):
    """The lake does not give the plan of a lock any more; the message says precisely what differs.

    Get back what the lock was made from, or make a new lock.

    See Also
    --------
    SporaQuery.lock, SporaQuery.from_lock

    Examples
    --------
    >>> issubclass(LockError, SporaError), issubclass(LockError, ValueError)
    (True, True)
    """


class ReadOnlyError(SporaError, AttributeError, TypeError):
    """Something that says how an object was made was assigned or edited, to no effect. Make another."""


class WriteError(SporaError, OSError):
    """A file could not be written; nothing half-written is left.

    Free space, or name a folder that may be written, and start again.
    """


class StoreError(SporaError, OSError):
    """A place that holds files, such as a bucket, does not answer, refuses, or has no such file.

    Check the address, the network and the credentials, and start again: what came is kept.
    """


class AbsentObjectError(StoreError):
    """A place that holds files answers that it has none of this name. Index the lake again if it changed."""


class RefusedError(StoreError):
    """A place that holds files answers, but does not give what was asked for. Check rights and credentials."""


class WorkerError(SporaError, RuntimeError):
    """Worker processes cannot start, or one ended before its work was done.

    Do what the message says, such as fewer workers where memory ran out.

    See Also
    --------
    PlanDataset.loader

    Examples
    --------
    >>> issubclass(WorkerError, SporaError), issubclass(WorkerError, RuntimeError)
    (True, True)
    """


class MissingExtraError(SporaError, ImportError):
    """An optional dependency is absent. Install the extra that the message names."""


class AbsentFileWarning(UserWarning):
    """A table is absent, and what it would say is taken for granted: the message says what. Add it if that is wrong."""


class OrphanRowsWarning(UserWarning):
    """Rows of a user's table name no thing or dataset of the lake. Check the spelling of its ids and datasets."""


class OtherPixelsWarning(UserWarning):
    """Features of a query were made of pixels that differ from its own. Extract them anew, if that is not meant."""


def reason(error: BaseException) -> str:
    """Return what another library's error says, to stand inside a sentence: without a full stop.

    Examples
    --------
    >>> reason(ValueError("This is no parquet file."))
    'This is no parquet file'
    """
    return str(error).strip().rstrip(".")


def unknown(
    kind: str, name: object, available: Iterable[object], *, where: str = "", remedy: str = ""
) -> UnknownNameError:
    """Build the error for a name that does not exist: the name, near ones, and the existing ones.

    Parameters
    ----------
    kind
        What was looked for, in the singular: ``"modality"``, ``"tissue"``, ``"column"``.
    name
        The name received.
    available
        The names that exist; at most 20 are listed.
    where
        Where it was looked for, such as a file or a dataset.
    remedy
        What to do if no such name was meant.

    Examples
    --------
    >>> print(unknown("modality", "icm", ["codex", "he", "imc"], where="dataset 'cohort'"))
    Unknown modality 'icm' in dataset 'cohort'. Did you mean 'imc'? Available: codex, he, imc.
    """
    names = sorted({str(item) for item in available})
    message = f"Unknown {kind} {str(name)!r}" + (f" in {where}" if where else "") + "." + did_you_mean(name, names)
    if names:
        more = f", ... ({len(names)} in all)" if len(names) > 20 else ""
        message += " Available: " + ", ".join(names[:20]) + more + "."
    else:
        message += f" There is no {kind} here."
    return UnknownNameError(f"{message} {remedy}".rstrip())


def did_you_mean(name: object, available: Iterable[object]) -> str:
    """Return the question after names that are nearly, or but for letter case, the one received; empty without one.

    Examples
    --------
    >>> did_you_mean("IMC", ["codex", "imc"])
    " Did you mean 'imc'?"
    """
    folded = {str(item).casefold(): str(item) for item in available}
    near = [folded[match] for match in difflib.get_close_matches(str(name).casefold(), list(folded), n=3)]
    return " Did you mean " + " or ".join(repr(item) for item in near) + "?" if near else ""


def level_of_the_user() -> int:
    """Return, for a warning, how many calls above its caller the first one is that spora-db did not make itself.

    Examples
    --------
    >>> eval("level_of_the_user()", {"level_of_the_user": level_of_the_user, "__name__": "script"})
    1
    """
    frame, level, own = sys._getframe(1), 1, __name__.partition(".")[0]
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(f"{own}."):
        frame, level = frame.f_back, level + 1
    return level


def counted(number: int, noun: str) -> str:
    """Return a number with what it counts.

    Examples
    --------
    >>> counted(1, "row"), counted(2000, "row")
    ('1 row', '2,000 rows')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def need(module: str, *, extra: str | None, what: str, instead: str) -> ModuleType:
    """Import an optional library, or say how to get it.

    Parameters
    ----------
    module
        Its name.
    extra
        The extra of spora-db that installs it; None where it is installed by its own name.
    what
        What needs it.
    instead
        What does without.

    Raises
    ------
    MissingExtraError
        If it is not installed.

    Examples
    --------
    >>> need("json", extra=None, what="this", instead="Nothing.").__name__
    'json'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        wanted = module if extra is None else f'"spora-db[{extra}]"'
        raise MissingExtraError(f"{what} needs {module}: pip install {wanted}. {instead}") from error
