"""The one array of an .npz file, read without pickle and without believing what a header claims."""

import contextlib
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from spora_db.arrays import AnyArray
from spora_db.errors import FileFormatError, MaskNotFoundError
from spora_db.files.failures import telling
from spora_db.files.stores.remote_files import open_binary, opened

MAX_BYTES = 2**34  # of one array; a mask of 130,000 x 130,000 bool is the largest that still loads
CHUNK = 2**20
DEFLATE_MOST = 1032  # one compressed byte never holds more (zlib's technical notes)
HEADER_FIELD = re.compile(r"""['"](\w+)['"]\s*:\s*(\([^()]*\)|\[[^]]*\]|'[^']*'|"[^"]*"|\w+)""")  # never evaluated
PLAIN_NUMBER = re.compile(r"\|b1|[<>=|]?([iu][1248]|f[248])")
LENGTH = re.compile(r"\d{1,18}L?")  # Python 2 wrote (697L, 597L)


@contextlib.contextmanager
def array_of(path: Path) -> Iterator[tuple[zipfile.ZipInfo, IO[bytes]]]:
    """Open the array of a mask file; what zipfile raises is told as the file's or its own fault."""
    with telling(f"The mask {path}", library="zipfile", broken=lambda error: _broken(path, error)):
        if not path.is_file():
            raise MaskNotFoundError(f"No mask file {path}. Expected an .npz file with a 2-D array named 'mask'.")
        with zipfile.ZipFile(opened(path)) as archive:
            member = _member(archive, path)
            with archive.open(member) as stream:
                yield member, stream


def _member(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    """Return the entry named ``mask``, or the only array."""
    arrays = [entry for entry in archive.infolist() if entry.filename.endswith(".npy")]
    chosen = [entry for entry in arrays if entry.filename == "mask.npy"] or arrays
    if len(chosen) != 1:
        names = ", ".join(sorted(entry.filename for entry in archive.infolist())[:10]) or "nothing"
        raise FileFormatError(f"The mask {path} holds {names}; expected one array named 'mask', or one array only.")
    (member,) = chosen
    if member.flag_bits & 1:
        raise FileFormatError(f"The mask {path} is encrypted; expected a plain .npz file.")
    most = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: DEFLATE_MOST}.get(member.compress_type)
    if most is None:
        raise FileFormatError(
            f"The mask {path} is compressed by zip method {member.compress_type}; expected stored or deflated, as "
            "numpy.savez and numpy.savez_compressed write."
        )
    held = min(member.compress_size, path.stat().st_size) * most
    if member.file_size > min(held + DEFLATE_MOST, MAX_BYTES):
        raise FileFormatError(
            f"The mask {path} claims {member.file_size} bytes, but its {member.compress_size} compressed bytes hold at "
            f"most {held}, and a mask may have {MAX_BYTES}."
        )
    return member


def read_array(
    stream: IO[bytes], member: zipfile.ZipInfo, path: Path, shape: tuple[int, int] | None, image: str | Path | None
) -> AnyArray:
    """Read header and pixels; memory is touched only as far as there are bytes to fill it."""
    dtype, fortran, found, offset = read_header(stream, path)
    if len(found) != 2 or 0 in found:
        raise FileFormatError(f"The mask {path} has shape {found}; expected (height, width), both at least 1.")
    if shape is not None and found != tuple(shape):
        raise FileFormatError(
            f"The mask {path} is {found[0]} x {found[1]}, but {image or 'its image'} is {shape[0]} x {shape[1]} "
            "(height x width). Both must be at the same resolution, without a margin."
        )
    size = found[0] * found[1] * dtype.itemsize
    if size != member.file_size - offset:
        raise FileFormatError(
            f"The mask {path} claims {found[0]} x {found[1]} pixels of {dtype}, {size} bytes, but holds "
            f"{max(member.file_size - offset, 0)}."
        )
    raw, filled = np.empty(size, np.uint8), 0
    while piece := stream.read(min(CHUNK, size - filled)):
        raw[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
        filled += len(piece)
    if filled < size:
        raise FileFormatError(f"The mask {path} is truncated: {filled} of {size} bytes.")
    if dtype == np.bool_ and raw.max() > 1:  # numpy shows such a byte as True but counts and compares it as what it is
        np.not_equal(raw, 0, out=raw.view(np.bool_))
    array = raw.view(dtype).reshape(found[::-1]).T if fortran else raw.view(dtype).reshape(found)
    return np.ascontiguousarray(array, dtype=dtype.newbyteorder("="))


def read_header(stream: IO[bytes], path: Path) -> tuple[np.dtype[Any], bool, tuple[int, ...], int]:
    """Read an npy header: dtype, Fortran order, shape, and where the pixels start. Only plain numbers pass."""
    start = stream.read(8)
    if start[:6] != b"\x93NUMPY" or start[6:7] not in (b"\1", b"\2", b"\3"):
        raise FileFormatError(f"The mask {path} does not hold a numpy array: it starts with {start!r}.")
    width = 2 if start[6] == 1 else 4
    length = int.from_bytes(stream.read(width), "little")
    if length > 10_000:
        raise FileFormatError(f"The mask {path} has a header of {length} bytes; expected fewer than 10,000.")
    text = stream.read(length).decode("latin-1")
    fields = {key: value for key, value in HEADER_FIELD.findall(text)}
    if set(fields) != {"descr", "fortran_order", "shape"} or fields["fortran_order"] not in ("True", "False"):
        raise FileFormatError(f"The mask {path} has a broken numpy header: {text[:80]!r}.")
    descr = fields["descr"].strip("'\"")
    if not PLAIN_NUMBER.fullmatch(descr):
        what = "pickled Python objects, which are never loaded" if "O" in descr else f"dtype {descr!r}"
        raise FileFormatError(f"The mask {path} holds {what}; expected bool, integers or floats.")
    lengths = [part.strip() for part in fields["shape"].strip("()").split(",") if part.strip()]
    if not all(LENGTH.fullmatch(part) for part in lengths):
        raise FileFormatError(f"The mask {path} has shape {fields['shape']}; expected (height, width).")
    shape = tuple(int(part.rstrip("L")) for part in lengths)
    return np.dtype(descr), fields["fortran_order"] == "True", shape, 8 + width + length


def _broken(path: Path, error: Exception) -> FileFormatError:
    """Say what is in place of an .npz file."""
    start = b""
    with contextlib.suppress(OSError), open_binary(path) as file:  # what the system does not give is told below
        start = file.read(64)
    found = f"could not be read as .npz ({type(error).__name__}: {error}). Expected a zip of arrays."
    if start.startswith(b"version https://git-lfs"):
        found = "is a git-lfs pointer, not the file itself. Fetch it with 'git lfs pull'."
    if start.startswith(b"\x93NUMPY"):
        found = "is a bare .npy array. Save it as numpy.savez_compressed(path, mask=array)."
    return FileFormatError(f"The mask {path} {found}")
