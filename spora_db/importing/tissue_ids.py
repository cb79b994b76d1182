"""Which row of a table belongs to which tissue: by id, file name, path, upper and lower case, leading zeros."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from spora_db.errors import TableError, counted, unknown
from spora_db.importing.column_types import as_text
from spora_db.importing.decisions import listed
from spora_db.importing.fields import without_suffix
from spora_db.importing.mask_names import without_ending
from spora_db.importing.sheets import Sheet

Level: TypeAlias = Literal[
    "id", "path", "file name", "name without its ending", "letter case", "leading zeros", "column"
]

ID_COLUMNS: Final = (
    "tissue_id", "tissue", "image", "image_name", "image_id", "imagename", "imageid", "file", "filename", "file_name",
    "fov", "fov_name", "fov_id", "roi", "roi_name", "roi_id", "sample", "sample_id", "sampleid", "sample_name",
    "acquisition", "acquisition_id", "core", "core_id", "slide", "slide_id", "slideid", "scene", "library_id", "name",
    "id", "region", "spot", "specimen", "specimen_id", "point",
)  # fmt: skip
"""What the column that names the image is called, in order of preference, where several do; case is ignored."""


_SAID: Final = {"column": "what the tissues have there"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TissueName:
    """What tables may call a tissue.

    Attributes
    ----------
    tissue_id
        Its id.
    path
        Its file or folder below the source, without the suffix, such as ``patient_1/roi_2``.
    patient
        The patient, where the folders say so.
    """

    tissue_id: str
    path: str = ""
    patient: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """How the rows of a table belong to tissues.

    Attributes
    ----------
    column
        The column that names them; None where there is one image, and no such column.
    tissues
        The tissue of each value of the column.
    levels
        How each of these values was known.
    of
        Whether the values name tissues, or patients.
    """

    column: str | None
    tissues: Mapping[str, str]
    levels: Mapping[str, Level]
    of: Literal["tissue", "patient"] = "tissue"

    def says(self, path: Path) -> str:
        """Say how the table was joined."""
        hows = Counter(self.levels.values())
        by = ", ".join(f"{number} by {_SAID.get(level, level)}" for level, number in hows.items())
        plain = ("id", "file name", "column")
        odd = [f"{v!r} is {self.tissues[v]!r}" for v, level in self.levels.items() if level not in plain]
        examples = f" ({'; '.join(odd[:6])}{'; ...' if len(odd) > 6 else ''})" if odd else ""
        of = ", by patient" if self.of == "patient" else ""
        return f"{path.name} was joined by its column {self.column!r}{of}: {by}{examples}."

    def details(self, path: Path) -> dict[str, object]:
        """Return the same as data."""
        odd = {value: self.tissues[value] for value in self.tissues if value != self.tissues[value]}
        return {"table": path.name, "column": self.column, "by": dict(Counter(self.levels.values())), "spelled": odd}


_SERIES: Final = re.compile(r"(\.[A-Za-z]{2,6}) - .*$")
"""What QuPath puts behind the name of a file: the name of the picture in it."""


def _last(value: str) -> str:
    return re.split(r"[/\\]", without_suffix(_SERIES.sub(r"\1", value)))[-1]


def _path(value: str) -> str:
    path = without_suffix(value).replace("\\", "/").strip("/")
    return path if "/" in path else ""


def _folded(text: str) -> str:
    """Return a text in lower case, its accents as one character each: files on macOS have two."""
    return unicodedata.normalize("NFC", text).casefold()


def without_zeros(text: str) -> str:
    """Return a text in lower case without the zeros that its numbers begin with.

    Examples
    --------
    >>> without_zeros("ROI_007"), without_zeros("100_0")
    ('roi_7', '100_0')
    """
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", _folded(text))


_LEVELS: Final[Sequence[tuple[Level, Callable[[str], str], Callable[[TissueName], str]]]] = (
    ("id", str, lambda name: name.tissue_id),
    ("path", _path, lambda name: name.path if "/" in name.path else name.tissue_id),
    ("file name", _last, lambda name: name.tissue_id),
    ("file name", _last, lambda name: _last(name.path or name.tissue_id)),
    (
        "name without its ending",
        lambda value: without_ending(_last(value)),
        lambda name: without_ending(name.tissue_id),
    ),
    ("letter case", lambda value: _folded(_last(value)), lambda name: _folded(name.tissue_id)),
    ("leading zeros", lambda value: without_zeros(_last(value)), lambda name: without_zeros(name.tissue_id)),
)
"""The ways to know a tissue, strictest first: what is compared of a value, and of a tissue."""
_LOOSE: Final = ("name without its ending", "letter case", "leading zeros")


def join_values(values: Sequence[str], names: Sequence[TissueName], *, what: str) -> Join:
    """Find the tissue of each of some different values; `what` names them in errors.

    A value is known by the strictest way in which it is any tissue. Where a tissue has a strict value, others that are
    like it but for case or zeros are taken for other tissues.

    Raises
    ------
    TableError
        A value is several tissues, or several values are one tissue.

    Examples
    --------
    >>> join_values(["roi_01.tiff", "ROI_2"], [TissueName(tissue_id=f"roi_{n}") for n in (1, 2)], what="x").tissues
    {'ROI_2': 'roi_2', 'roi_01.tiff': 'roi_1'}
    """
    found: dict[str, tuple[Level, str]] = {}
    for level, of_value, of_tissue in _LEVELS:
        keys: dict[str, list[str]] = {}
        for name in names:
            keys.setdefault(of_tissue(name), []).append(name.tissue_id)
        for value in values:
            fitting = keys.get(of_value(value), []) if value not in found else []
            if len(fitting) > 1:
                raise TableError(
                    f"{what} holds {value!r}, which is several tissues but for {level}: {listed(fitting)}. Write the "
                    "id of the tissue."
                )
            if fitting:
                found[value] = (level, fitting[0])
    strict = {tissue for level, tissue in found.values() if level not in _LOOSE}
    kept = {v: (level, tissue) for v, (level, tissue) in found.items() if level not in _LOOSE or tissue not in strict}
    for tissue, times in Counter(tissue for _, tissue in kept.values()).items():
        if times > 1:
            same = [value for value, (_, other) in kept.items() if other == tissue]
            raise TableError(
                f"{what} holds {listed(same)}, which are all the tissue {tissue!r}. Write one id for one tissue."
            )
    return Join(
        column=None,
        tissues={value: tissue for value, (_, tissue) in kept.items()},
        levels={value: level for value, (level, _) in kept.items()},
    )


def join_sheet(
    sheet: Sheet, names: Sequence[TissueName], *, id_column: str | None, besides: Sequence[str] = ()
) -> Join | None:
    """Find the column of a table that names tissues, and their values; None where it has none.

    Parameters
    ----------
    sheet
        The table.
    names
        The tissues.
    id_column
        The column, in any case; found where None.
    besides
        Columns that number something else.

    Raises
    ------
    UnknownNameError
        There is no column `id_column`.
    TableError
        Values cannot be told apart.
    """
    if id_column is not None:
        return _joined(sheet, _spelled(sheet, id_column), names)
    known = {column.casefold(): column for column in sheet.names}
    likely = [known[word] for word in ID_COLUMNS if word in known and known[word] not in besides]
    others = [column for column in sheet.names if column not in likely and column not in besides]
    return _best(sheet, likely, names, least=1) or _best(sheet, others, names, least=len(names))


def _best(sheet: Sheet, columns: Sequence[str], names: Sequence[TissueName], *, least: int) -> Join | None:
    """Return the join by the first of the columns that name the most tissues, at least some; None if there is none."""
    joins, failed = [], []
    for column in columns:
        try:
            joins.append(_joined(sheet, column, names))
        except TableError as error:
            failed.append(error)
    best = max(joins, key=lambda join: len(join.tissues), default=None)
    if best is not None and len(best.tissues) >= least:
        return best
    if failed and least == 1:
        raise failed[0]
    return None


def has_column(sheet: Sheet, name: str | None) -> bool:
    """Tell whether a table has a column of that name, in any case."""
    return name is not None and name.casefold() in {column.casefold() for column in sheet.names}


def _spelled(sheet: Sheet, id_column: str) -> str:
    """Return the column of a table that is called so, in any case."""
    alike = {column.casefold(): column for column in sheet.names}
    if id_column.casefold() not in alike:
        raise unknown("column", id_column, sheet.names, where=str(sheet.path))
    return alike[id_column.casefold()]


def _joined(sheet: Sheet, column: str, names: Sequence[TissueName]) -> Join:
    values = [value for value in as_text(sheet.table[column]).unique().to_pylist() if value is not None]
    join = join_values(values, names, what=f"The column {column!r} of {sheet.path}")
    return Join(column=column, tissues=join.tissues, levels=join.levels)


def no_column(sheet: Sheet, names: Sequence[TissueName]) -> TableError:
    """Return the error for a table that names no tissue."""
    return TableError(
        f"{sheet.path} has no column that names the {counted(len(names), 'image')}: "
        f"{listed([name.tissue_id for name in names], most=6)}. It has the columns {listed(sheet.names)}. Name the "
        "column as id_column (--id-column), and write in it ids, file names or paths of the images."
    )
