"""The panel of an import: rows of a CSV in the words of several tools, matched to the pages of every image."""

import csv
import difflib
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from spora_db.errors import ArgumentError, FileFormatError, TableError
from spora_db.importing.fields import Field, Page
from spora_db.importing.options import Match, Missing

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "key": ("channel", "metal", "metal_tag", "mass_channel"),
    "name": ("channel_name", "name", "marker", "marker_name", "target"),
    "keep": ("keep",),
    "uniprot_id": ("uniprot_id", "uniprot", "uniprot_accession"),
    "qc_pass": ("qc_pass", "qc"),
    "is_nuclear_marker": ("is_nuclear_marker", "is_nuclear", "nuclear"),
}
"""What columns are called in the panels of steinbock and others; upper and lower case and spaces do not matter."""

_YES, _NO = {"1", "1.0", "true", "t", "yes", "y"}, {"0", "0.0", "false", "f", "no", "n"}
_KNOWN = {name for names in COLUMNS.values() for name in names}
_DELIMITERS = ",;\t"


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One row of a panel: the name that it gets, what else the images may call it, and what is known about it."""

    name: str
    key: str | None = None
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


def read_header(path: Path) -> tuple[list[str], str]:
    """Read the first line of a CSV: the names of its columns, and its delimiter.

    Raises
    ------
    FileFormatError
        There is no such file, it is empty or not UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline(2**20)
    except FileNotFoundError as error:
        raise FileFormatError(f"There is no file {path}. Check the path.") from error
    except IsADirectoryError as error:
        raise FileFormatError(f"{path} is a folder. Expected a CSV file.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{path} cannot be read as CSV in UTF-8: {error}. Save it as 'CSV UTF-8'.") from error
    if "\0" in first:
        raise FileFormatError(f"{path} is no CSV: its first line holds bytes that are no text. Save it as 'CSV UTF-8'.")
    delimiter = max(_DELIMITERS, key=first.count)
    names = next(_parsed(path, [first], delimiter), [])
    if not any(names):
        raise FileFormatError(f"{path} is empty. Expected a header and a row per item.")
    return [name.strip() for name in names], delimiter


def read_csv(path: Path) -> tuple[list[str], list[list[str]]]:
    """Read a CSV of text values, delimited by comma, semicolon or tab, whichever its first line has most of.

    Raises
    ------
    FileFormatError
        There is no such file, it is empty, not UTF-8, or a row has another number of values than the header.
    """
    header, delimiter = read_header(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{path} cannot be read as CSV in UTF-8: {error}. Save it as 'CSV UTF-8'.") from error
    rows = [[value.strip() for value in row] for row in _parsed(path, io.StringIO(text, newline=""), delimiter)]
    rows = [row for row in rows if any(row)]
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise FileFormatError(
                f"Row {number} of {path} has {len(row)} values, the header has {len(header)}. Quote values that "
                "contain the delimiter."
            )
    return header, rows[1:]


def _parsed(path: Path, lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    """Yield the rows of a CSV."""
    try:
        yield from csv.reader(lines, delimiter=delimiter)
    except csv.Error as error:
        raise FileFormatError(f"{path} cannot be read as CSV: {error}. Save it as 'CSV UTF-8'.") from error


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
        keep=keep,
        uniprot_id=text("uniprot_id"),
        qc_pass=flag("qc_pass", default=True),
        is_nuclear_marker=flag("is_nuclear_marker", default=False),
        extras=extras,
    )


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


def match_pages(panel: Sequence[Channel], image: Field, *, match: Match, missing: Missing) -> list[int | None]:
    """Return the page of every kept channel of a panel, None for one that was not measured.

    Parameters
    ----------
    panel
        All rows, also those that are not kept.
    image
        The field.
    match
        By ``"name"``, by ``"order"``, or ``"auto"``: by name where the image names its pages.
    missing
        Whether a kept channel without a page is an error.

    Raises
    ------
    TableError
        Pages and rows do not match; the message names them.
    """
    named = any(page.name for page in image.pages)
    if match == "order" or (match == "auto" and not named):
        return _by_order(panel, image)
    if not named:
        raise TableError(
            f"{image.origin} does not name its channels, so they cannot be matched by name. Use match 'order'."
        )
    rows = [_row_of(panel, page, image) for page in image.pages]
    for row, times in Counter(row for row in rows if row is not None).items():
        if times > 1:
            twice = ", ".join(repr(page.name) for page, at in zip(image.pages, rows, strict=True) if at == row)
            raise TableError(
                f"{image.origin} has several pages for the channel {panel[row].name!r}: {twice}. Remove or rename one."
            )
    unmatched = [str(page.name) for page, row in zip(image.pages, rows, strict=True) if row is None]
    if unmatched:
        hint = " To take them by their order instead, use match 'order'." if len(unmatched) == len(rows) else ""
        raise TableError(
            f"{image.origin} has pages that are not in the panel: {_listed(unmatched)}. The panel has: "
            f"{_listed([channel.name for channel in panel])}. Add rows (keep = 0 leaves a page out).{hint}"
        )
    pages = {row: page for page, row in enumerate(rows)}
    found = [pages.get(row) for row, channel in enumerate(panel) if channel.keep]
    kept = [channel for channel in panel if channel.keep]
    absent = [channel.name for channel, page in zip(kept, found, strict=True) if page is None]
    if absent and missing == "error":
        raise TableError(
            f"{image.origin} has no page for {_listed(absent)}. Its pages are "
            f"{_listed([str(page.name) for page in image.pages])}. Add the channel, set keep "
            "to 0, or use missing 'unmeasured' if this tissue was not stained for it."
        )
    return found


def _row_of(panel: Sequence[Channel], page: Page, image: Field) -> int | None:
    """Return the row whose name is exactly the page's, else the one row that it can be called."""
    exact = [row for row, channel in enumerate(panel) if page.name in (channel.name, channel.key)]
    called = (page.name or "").casefold()
    alike = exact or [row for row, channel in enumerate(panel) if called in channel.called]
    if len(alike) > 1:
        rows = _listed([panel[row].name for row in alike])
        raise TableError(
            f"The page {page.name!r} of {image.origin} fits several rows of the panel: {rows}. Rename one."
        )
    return alike[0] if alike else None


def _by_order(panel: Sequence[Channel], image: Field) -> list[int | None]:
    kept = [row for row, channel in enumerate(panel) if channel.keep]
    if len(image.pages) == len(panel):
        return list(kept)
    if len(image.pages) == len(kept):
        return list(range(len(kept)))
    raise TableError(
        f"{image.origin} has {len(image.pages)} pages, the panel has {len(panel)} rows of which {len(kept)} are kept. "
        "Expected as many pages as one of these, in the same order."
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:12])) + (f", ... ({len(names)} in all)" if len(names) > 12 else "")
