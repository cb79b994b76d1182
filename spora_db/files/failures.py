"""What libraries raise on files: what a broken file explains, and what may be a fault of the library or of ours.

A library promises neither list, so they are what was seen. An error of `READER_FAILURES` says nothing of the file: a
version of tifffile without a method that is called raises AttributeError on every image. It is told as what it is,
`reader_error`, and never as a broken file.
"""

import errno
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from xml.etree.ElementTree import ParseError

import pyarrow as pa

from spora_db.errors import ReaderError, SporaError

READER_FAILURES: tuple[type[Exception], ...] = (
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    NameError,
    NotImplementedError,
    RecursionError,
    TypeError,
)
"""Caught before `FILE_FAILURES`, which NotImplementedError and RecursionError, as RuntimeErrors, are too."""

FILE_FAILURES: tuple[type[Exception], ...] = (
    ArithmeticError,
    BufferError,
    EOFError,
    OSError,
    ParseError,
    RuntimeError,
    SyntaxError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)

PARQUET_FAILURES = (pa.ArrowException, OSError, ValueError, OverflowError)
"""What pyarrow raises on parquet files that are broken, and on no others."""

NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)
"""What the system says where this process, or all together, have as many open files as they may have."""


class telling:
    """Tell what a library raises on a file in this block: as a broken file, or as a fault that no file explains.

    Errors of ours pass, and so does what is of neither kind.

    Parameters
    ----------
    what, library, remedy
        As `reader_error` takes them, which tells what is in `READER_FAILURES`, and a want of descriptors.
    broken
        What makes the error of a broken file from what is in `FILE_FAILURES`, and not there.

    Examples
    --------
    >>> from spora_db.errors import FileFormatError
    >>> with telling("The mask a.npz", library="zipfile", broken=lambda error: FileFormatError(f"a.npz: {error}.")):
    ...     raise EOFError("it ends early")
    Traceback (most recent call last):
    spora_db.errors.FileFormatError: a.npz: it ends early.
    """

    def __init__(self, what: str, *, library: str, broken: Callable[[Exception], SporaError], remedy: str = "") -> None:
        self._what, self._library, self._broken, self._remedy = what, library, broken, remedy

    def __enter__(self) -> None:
        """Enter the block."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Raise what tells the error."""
        if error is None or isinstance(error, SporaError):
            return
        if isinstance(error, READER_FAILURES) or (isinstance(error, Exception) and no_descriptor(error)):
            raise reader_error(self._what, error, library=self._library, remedy=self._remedy) from error
        if isinstance(error, FILE_FAILURES):
            raise self._broken(error) from error


def reader_error(what: str, error: Exception, *, library: str, remedy: str = "") -> ReaderError:
    """Return the error for a file at which a library fails in a way that no file explains.

    Parameters
    ----------
    what
        The file, such as ``"The image a.ome.tiff"``.
    error
        One of `READER_FAILURES`, or of which `no_descriptor` is true.
    library
        The name of the library's distribution.
    remedy
        What else may help.

    Examples
    --------
    >>> str(reader_error("The image a.tiff", KeyError("SizeZ"), library="a_library")).partition(". ")[0]
    "The image a.tiff was not read: a_library, or spora-db itself, failed with KeyError: 'SizeZ'"
    """
    said = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".: ")
    if isinstance(error, MemoryError):
        return ReaderError(
            f"{what} was not read: there was not enough memory for what it claims to hold ({said}, {_named(library)}). "
            "Free memory, or read it on a machine with more."
        )
    if no_descriptor(error):
        return ReaderError(
            f"{what} was not read: this process has as many open files as it may have ({said}). Close files, or raise "
            "the limit: ulimit -n."
        )
    return ReaderError(
        f"{what} was not read: {_named(library)}, or spora-db itself, failed with {said}. Either the fault is theirs, "
        f"or the file is of a kind that they do not know. Try another version of {library}, or write the file again "
        f"with another program. {remedy}".rstrip()
    )


def no_descriptor(error: BaseException | None) -> bool:
    """Tell whether an error, or one that it was raised from, says that no more files may be open: the fault of no file.

    Examples
    --------
    >>> no_descriptor(OSError(errno.EMFILE, "Too many open files")), no_descriptor(OSError(errno.EIO, "Input error"))
    (True, False)
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in NO_DESCRIPTOR:
            return True
        error = error.__cause__  # not its context: an error that is raised again later may be its own
    return False


def _named(library: str) -> str:
    try:
        return f"{library} {version(library)}"
    except PackageNotFoundError:
        return library
