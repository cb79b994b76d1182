"""The panel of an import: rows of a CSV in the words of several tools, or what the images themselves say."""

import difflib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from spora_db.errors import ArgumentError, TableError
from spora_db.files.whole_numbers import whole_number
from spora_db.importing.column_types import as_text
from spora_db.importing.decisions import Decision, listed
from spora_db.importing.fields import Field
from spora_db.importing.sheets import read_sheet
from spora_db.importing.spellings import markers_of, split_name, without_place

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "key": ("channel", "metal", "metal_tag", "mass_channel", "isotope", "tag", "channel_id", "conjugated_tag", "mass"),
    "name": (
        "channel_name", "name", "marker", "marker_name", "target", "clean_target", "biomarker", "protein", "antigen",
        "target_name", "protein_name", "antibody_name", "gene_name", "gene",
    ),
    "number": ("channel_number", "channel_index", "page"),
    "keep": ("keep", "full"),
    "uniprot_id": (
        "uniprot_id", "uniprot", "uniprot_accession", "uniprot_accession_number", "uniprotkb", "uniprot_ac",
        "accession", "accession_number",
    ),
    "qc_pass": ("qc_pass", "qc"),
    "is_nuclear_marker": ("is_nuclear_marker", "is_nuclear", "nuclear"),
}  # fmt: skip
"""What columns are called in the panels of steinbock and others; upper and lower case and spaces do not matter."""

IF_CHANNELS: Final = (
    " Where files are channels of images, say how they are named: pattern '{tissue}_{channel}.tiff' (--pattern)."
)
_YES, _NO = {"1", "1.0", "true", "t", "yes", "y"}, {"0", "0.0", "false", "f", "no", "n"}
_KNOWN: Final = frozenset(name for names in COLUMNS.values() for name in names)
_ALSO_OTHERS: Final = frozenset((
    "channel_index", "channel_id", "isotope", "tag", "mass", "page", "full", "protein", "antigen", "gene", "gene_name",
    "accession", "accession_number", "target_name", "protein_name", "antibody_name",
))  # fmt: skip
"""Words that columns of other meanings are near, such as isotype."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One row of a panel: the name that it gets, what else the images may call it, and what is known about it."""

    name: str
    key: str | None = None
    number: int | None = None
    keep: bool = True
    uniprot_id: str | None = None
    qc_pass: bool = True
    is_nuclear_marker: bool = False
    extras: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def called(self) -> frozenset[str]:
        """The names under which a page may be this channel, in lower case."""
        if not self.key:
            return frozenset({self.name.casefold()})
        both = (self.key, self.name, f"{self.key}_{self.name}", f"{self.name}_{self.key}", f"{self.name}({self.key})")
        return frozenset(text.casefold() for text in both if text)

    @property
    def mass(self) -> int | None:
        """The mass of the metal tag, where the key or the name has one."""
        return next((mass for text in (self.key, self.name) if text and (mass := split_name(text).mass)), None)


def read_panel(path: Path) -> tuple[tuple[Channel, ...], list[Decision]]:
    """Read the table of a panel, a row per channel, in panel order; and what was decided.

    A table whose first row holds no known word has no header where it is a list of names, or where beside the names
    there are numbers or metal tags only.

    Raises
    ------
    FileFormatError
        It is no table.
    TableError
        It has no column of names, a misspelt column, a value of the wrong kind, or a name twice.
    """
    sheet = read_sheet(path, about="channels")
    columns = [as_text(column).to_pylist() for column in sheet.table.columns]
    header, rows = sheet.names, [[value or "" for value in row] for row in zip(*columns, strict=True)]
    decisions = list(sheet.decisions)
    if bare := without_header(header, rows):
        header, rows = bare
        says = f"{path.name} has no header; its columns were read as {', '.join(header)}."
        decisions.append(Decision(about="channels", says=says))
    place, own, more = _places(path, header, rows)
    channels = tuple(
        _channel(path, number, row, place, {header[i].strip(): row[i] or None for i in own})
        for number, row in enumerate(rows, start=2)
    )
    _check_channels(path, channels)
    split = channels if "key" in place else _split(channels)
    changed = [f"{old.name!r} = {new.name!r}" for old, new in zip(channels, split, strict=True) if old.name != new.name]
    if changed:
        says = f"Names of {path.name} were split into marker and metal tag: {', '.join(changed)}."
        more.append(Decision(about="channels", says=says))
    return split, [*decisions, *more]


def without_header(header: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]] | None:
    """Return words for the columns of a panel without a header, and all its rows; None where it has one.

    Examples
    --------
    >>> without_header(["1 DNA"], [["2 CD3"]])
    (['channel_number', 'name'], [['1', 'DNA'], ['2', 'CD3']])
    >>> without_header(["141Pr", "CD3"], [["142Nd", "CD8"]])[0], without_header(["Nr", "CD3"], [["2", "CD8"]])
    (['channel', 'name'], None)
    """
    if any(_word(name) in _KNOWN or _near(_word(name)) for name in header):
        return None
    lines = [list(header), *map(list, rows)]
    if len(header) == 1 and all(len(line[0].split(None, 1)) == 2 for line in lines):
        parted = [line[0].split(None, 1) for line in lines]
        lines = parted if _said_by([line[0] for line in parted]) else lines
    words = [_said_by(values) or "name" for values in zip(*lines, strict=True)]
    return (words, lines) if words.count("name") == 1 and len(set(words)) == len(words) else None


def _said_by(values: Sequence[str]) -> str | None:
    """Return what a column without a header is called if it holds numbers, each once, or metal tags alone."""
    if len(set(values)) == len(values) and all(value.isdecimal() for value in values):
        return "channel_number"
    split = [split_name(value) for value in values]
    return "channel" if all(spelling.tag and not spelling.marker for spelling in split) else None


def _places(
    path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[dict[str, int], list[int], list[Decision]]:
    """Return where the columns of a panel stand by what they hold, those of the user's own, and what was decided."""
    words = [_word(name) for name in header]
    at = {what: [words.index(name) for name in names if name in words] for what, names in COLUMNS.items()}
    at["keep"] = [i for i in at["keep"] if words[i] == "keep" or all(row[i].casefold() in _YES | _NO for row in rows)]
    if not at["name"] and not at["key"]:
        raise TableError(
            f"The panel {path} has no column of channel names. It has: {', '.join(header)}. Expected one of "
            f"{', '.join((*COLUMNS['name'], *COLUMNS['key']))}.{_hint(header, words)}"
        )
    _check_words(path, header, words)
    decisions = []
    for what, found in at.items():
        if len(found) > 1:
            others = listed([header[i] for i in found[1:]])
            says = f"Of several columns of {path.name} for {what}, {header[found[0]]!r} was taken; {others} were kept."
            decisions.append(Decision(about="channels", says=says))
    place = {what: found[0] for what, found in at.items() if found}
    return place, [i for i in range(len(words)) if i not in place.values()], decisions


def _check_channels(path: Path, channels: Sequence[Channel]) -> None:
    """Refuse a panel that has a channel twice, or keeps none."""
    repeated = [name for name, n in Counter(channel.name for channel in channels if channel.keep).items() if n > 1]
    if repeated:
        raise TableError(
            f"The panel {path} has these channels more than once: {', '.join(repeated)}. Rename or drop rows."
        )
    if not any(channel.keep for channel in channels):
        raise TableError(f"The panel {path} keeps no channel. Expected at least one row with keep = 1.")


def _split(channels: Sequence[Channel]) -> tuple[Channel, ...]:
    """Return channels whose names are split into marker and tag, as far as markers stay different."""
    split = markers_of([channel.name for channel in channels])
    if not any(spelling.tag for spelling in split):
        return tuple(channels)
    return tuple(
        replace(
            channel,
            name=spelling.marker or channel.name,
            key=channel.name if spelling.marker not in (None, channel.name) else channel.key,
            extras={**channel.extras, "metal_tag": spelling.tag},
        )
        for channel, spelling in zip(channels, split, strict=True)
    )


def _word(name: str) -> str:
    """Return the name of a column in the form of `COLUMNS`."""
    return "_".join(re.sub(r"[-_.]", " ", name.casefold()).split())


def _near(word: str) -> list[str]:
    """Return the known word that a name of a column is nearly."""
    return [] if word in _KNOWN else difflib.get_close_matches(word, _KNOWN - _ALSO_OTHERS, n=1, cutoff=0.8)


def _hint(header: Sequence[str], words: Sequence[str]) -> str:
    near = next(((name, found[0]) for name, word in zip(header, words, strict=True) if (found := _near(word))), None)
    return "" if near is None else f" Did you mean {near[1]!r} by {near[0]!r}?"


def _check_words(path: Path, header: Sequence[str], words: Sequence[str]) -> None:
    """Refuse names of columns that are nearly known ones."""
    for name, word in zip(header, words, strict=True):
        if near := _near(word):
            raise TableError(
                f"The panel {path} has a column {name!r} that is not known. Did you mean {near[0]!r}? Columns "
                "of your own are kept, but need a name that is not mistaken for one of these."
            )


def _channel(
    path: Path, number: int, row: Sequence[str], place: Mapping[str, int], extras: Mapping[str, str | None]
) -> Channel:
    def text(what: str) -> str | None:
        return (row[place[what]] or None) if what in place else None

    def flag(what: str, *, default: bool) -> bool:
        value = text(what)
        if value is None:
            return default
        if value.casefold() not in _YES | _NO:
            raise TableError(f"Row {number} of the panel {path}: {what} is {value!r}; expected 1 or 0, true or false.")
        return value.casefold() in _YES

    keep = flag("keep", default=True)
    name = text("name") or (None if "name" in place else text("key"))
    if name is None and keep:
        raise TableError(f"Row {number} of the panel {path} has no name. Name the channel, or set keep to 0.")
    return Channel(
        name=name or text("key") or f"row {number}",
        key=text("key") if "name" in place else None,
        number=_number(path, number, text("number")),
        keep=keep,
        uniprot_id=text("uniprot_id"),
        qc_pass=flag("qc_pass", default=True),
        is_nuclear_marker=flag("is_nuclear_marker", default=False),
        extras=extras,
    )


def _number(path: Path, row: int, value: str | None) -> int | None:
    """Return the number of a channel's page."""
    if value is None:
        return None
    number = whole_number(value.removesuffix(".0"))
    if number is None:
        raise TableError(f"Row {row} of the panel {path}: its channel number is {value!r}; expected a whole number.")
    return number


def panel_of_images(fields: Sequence[Field]) -> tuple[Channel, ...]:
    """Return the panel that the images themselves name, in the order in which names are first seen.

    Names with a metal or mass tag are split as far as the markers stay different.

    Raises
    ------
    ArgumentError
        An image names no channels, or not all.
    """
    names: dict[str, None] = {}
    for image in fields:
        for number, name in enumerate(without_place([page.name for page in image.pages], image.tissue_id)):
            if name is None:
                alone = len(image.pages) == 1 and len(fields) > 1
                raise ArgumentError(
                    f"{image.origin} does not name its channel {number}, and no panel is given. Give one (--panel CSV) "
                    f"with a row per channel, in the order of the pages.{IF_CHANNELS if alone else ''}"
                )
            names.setdefault(name)
    return _split([Channel(name=name) for name in names])
