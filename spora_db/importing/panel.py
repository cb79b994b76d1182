"""The panel of an import: rows of a CSV in the words of several tools, or what the images themselves say."""

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from spora_db.errors import ArgumentError, TableError
from spora_db.files.whole_numbers import whole_number
from spora_db.importing.csv_files import read_csv
from spora_db.importing.fields import Field
from spora_db.importing.spellings import split_name

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "key": ("channel", "metal", "metal_tag", "mass_channel", "isotope", "tag", "conjugated_tag", "mass"),
    "name": ("channel_name", "name", "marker", "marker_name", "target", "biomarker", "protein", "antigen"),
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

_YES, _NO = {"1", "1.0", "true", "t", "yes", "y"}, {"0", "0.0", "false", "f", "no", "n"}
_KNOWN = {name for names in COLUMNS.values() for name in names}


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


def read_panel_csv(path: Path) -> tuple[Channel, ...]:
    """Read a panel CSV: a row per channel, in panel order.

    Raises
    ------
    FileFormatError
        It is no CSV in UTF-8.
    TableError
        It has no column of names, a misspelt column, a value of the wrong kind, or a name twice.
    """
    header, rows = read_csv(path)
    folded = [name.strip().casefold().replace(" ", "_") for name in header]
    at = {what: [i for i, name in enumerate(folded) if name in names] for what, names in COLUMNS.items()}
    for what, found in at.items():
        if len(found) > 1:
            listed = ", ".join(repr(header[i]) for i in found)
            raise TableError(f"The panel {path} has several columns for {what}: {listed}. Keep one.")
    if not at["name"] and not at["key"]:
        raise TableError(
            f"The panel {path} has no column of channel names. It has: {', '.join(header)}. Expected one of "
            f"{', '.join((*COLUMNS['name'], *COLUMNS['key']))}."
        )
    for index, name in enumerate(folded):
        near = [] if name in _KNOWN else difflib.get_close_matches(name, _KNOWN, n=1, cutoff=0.8)
        if near:
            raise TableError(
                f"The panel {path} has a column {header[index]!r} that is not known. Did you mean {near[0]!r}? Columns "
                "of your own are kept, but need a name that is not mistaken for one of these."
            )
    place = {what: found[0] for what, found in at.items() if found}
    own = [i for i in range(len(header)) if i not in place.values() and folded[i]]
    channels = []
    for number, row in enumerate(rows, start=2):
        channels.append(_channel(path, number, row, place, {header[i].strip(): row[i] or None for i in own}))
    repeated = [name for name, n in Counter(channel.name for channel in channels if channel.keep).items() if n > 1]
    if repeated:
        raise TableError(
            f"The panel {path} has these channels more than once: {', '.join(repeated)}. Rename or drop rows."
        )
    if not any(channel.keep for channel in channels):
        raise TableError(f"The panel {path} keeps no channel. Expected at least one row with keep = 1.")
    return tuple(channels)


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

    Raises
    ------
    ArgumentError
        An image names no channels, or not all.
    """
    names: dict[str, None] = {}
    for image in fields:
        for number, page in enumerate(image.pages):
            if page.name is None:
                raise ArgumentError(
                    f"{image.origin} does not name its channel {number}, and no panel is given. Give panel=<CSV> with "
                    "a row per channel, in the order of the pages."
                )
            names.setdefault(page.name)
    return tuple(Channel(name=name) for name in names)
