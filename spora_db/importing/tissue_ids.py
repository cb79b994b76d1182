"""Which tissue a value of a table, or the name of a file, is: by id, file name, path, letter case, leading zeros."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from spora_db.errors import TableError
from spora_db.importing.column_types import as_text
from spora_db.importing.decisions import listed
from spora_db.importing.fields import without_suffix
from spora_db.importing.mask_names import without_ending

if TYPE_CHECKING:
    import pyarrow as pa

Level: TypeAlias = Literal[
    "id", "path", "file name", "name without its ending", "letter case", "leading zeros", "parts", "column"
]

AND: Final = " and "
_SAID: Final = {"column": "what the tissues have there", "parts": "the parts of the names"}


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
    columns
        The columns that name them: one, or several together.
    tissues
        The tissue of each value of the column, or of the values of several with `AND` between.
    levels
        How each of these values was known.
    of
        Whether the values name tissues, or patients.
    """

    columns: tuple[str, ...]
    tissues: Mapping[str, str]
    levels: Mapping[str, Level]
    of: Literal["tissue", "patient"] = "tissue"

    def of_rows(self, table: "pa.Table") -> "pa.ChunkedArray":
        """Return the tissue, or patient, of each row; null for rows of others."""
        import pyarrow as pa
        import pyarrow.compute as pc

        at = pc.index_in(keys_of_rows(table, self.columns), pa.array(list(self.tissues), pa.string()))
        return pc.take(pa.array(list(self.tissues.values()), pa.string()), at)

    def strangers(self, table: "pa.Table") -> list[str]:
        """Return what rows of others hold in the columns, each value once."""
        found = keys_of_rows(table, self.columns).unique().to_pylist()
        return [value for value in found if value is not None and value not in self.tissues]

    def says(self, path: Path) -> str:
        """Say how the table was joined."""
        hows = Counter(self.levels.values())
        by = ", ".join(f"{number} by {_SAID.get(level, level)}" for level, number in hows.items())
        plain = ("id", "file name", "column")
        odd = [f"{v!r} is {self.tissues[v]!r}" for v, level in self.levels.items() if level not in plain]
        examples = f" ({'; '.join(odd[:6])}{'; ...' if len(odd) > 6 else ''})" if odd else ""
        of = ", by patient" if self.of == "patient" else ""
        columns = "s" if len(self.columns) > 1 else ""
        return f"{path.name} was joined by its column{columns} {AND.join(map(repr, self.columns))}{of}: {by}{examples}."

    def details(self, path: Path) -> dict[str, object]:
        """Return the same as data."""
        odd = {value: self.tissues[value] for value in self.tissues if value != self.tissues[value]}
        by = dict(Counter(self.levels.values()))
        return {"table": path.name, "columns": list(self.columns), "by": by, "spelled": odd}


def keys_of_rows(table: "pa.Table", columns: Sequence[str]) -> "pa.ChunkedArray":
    """Return what columns hold in each row as one text; null where one of them holds nothing."""
    import pyarrow.compute as pc

    texts = [as_text(table[column]) for column in columns]
    return texts[0] if len(texts) == 1 else pc.binary_join_element_wise(*texts, AND)


_SERIES: Final = re.compile(r"(\.[A-Za-z]{2,6}) - .*$")
"""What QuPath puts behind the name of a file: the name of the picture in it."""

_TYPE: Final = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")
"""The suffix of a file of any type: of the one that an image was made from, such as ``.im3``."""


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
        lambda value: without_ending(_TYPE.sub("", _last(value))),
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
        columns=(),
        tissues={value: tissue for value, (_, tissue) in kept.items()},
        levels={value: level for value, (level, _) in kept.items()},
    )
