"""Which page of an image is which channel of the panel: by what names the pages, by numbers, or by order."""

import difflib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from spora_db.errors import TableError
from spora_db.importing.decisions import listed
from spora_db.importing.fields import Field
from spora_db.importing.options import Match, Missing
from spora_db.importing.panel import IF_CHANNELS, Channel
from spora_db.importing.spellings import Spelling, folded, is_generic, split_name, without_place

How: TypeAlias = Literal["name", "accession", "spelling", "tag", "number", "order", "unmeasured"]
_Rule: TypeAlias = Callable[[str, Spelling, Channel], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageMatch:
    """The page of a kept channel, what the file calls that page, and how it was known; no page if unmeasured."""

    channel: str
    how: How
    page: int | None = None
    called: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """The pages of one image.

    Attributes
    ----------
    rows
        One for each kept channel of the panel, in its order.
    left_out
        Pages that are no kept channel, and what the file calls them.
    """

    rows: tuple[PageMatch, ...]
    left_out: tuple[tuple[int, str | None], ...] = ()

    @property
    def pages(self) -> list[int | None]:
        """The page of each kept channel, None for one that was not measured."""
        return [row.page for row in self.rows]


def _same(name: str, spelling: Spelling, channel: Channel) -> bool:
    return name in (channel.name, channel.key)


def _called(name: str, spelling: Spelling, channel: Channel) -> bool:
    return name.casefold() in channel.called


def _accession(name: str, spelling: Spelling, channel: Channel) -> bool:
    return channel.uniprot_id is not None and name.upper() == channel.uniprot_id.upper()


def _marker(name: str, spelling: Spelling, channel: Channel) -> bool:
    marker = split_name(channel.name).marker
    return spelling.marker is not None and marker is not None and folded(marker) == folded(spelling.marker)


def _marker_and_mass(name: str, spelling: Spelling, channel: Channel) -> bool:
    return _marker(name, spelling, channel) and spelling.mass is not None and spelling.mass == channel.mass


def _mass(name: str, spelling: Spelling, channel: Channel) -> bool:
    return spelling.mass is not None and spelling.mass == channel.mass


_RULES: Final[Sequence[tuple[How, _Rule]]] = (
    ("name", _same),
    ("name", _called),
    ("accession", _accession),
    ("spelling", _marker_and_mass),
    ("spelling", _marker),
    ("tag", _mass),
)
"""How a page that has a name may be a row of the panel; the first rule that any row satisfies decides."""


def match_pages(panel: Sequence[Channel], image: Field, *, match: Match, missing: Missing) -> Matching:
    """Return the page of every kept channel of a panel.

    Parameters
    ----------
    panel
        All rows, also those that are not kept.
    image
        The field.
    match
        By ``"name"``, by ``"order"``, or ``"auto"``: by name where the image names its pages; else by the numbers of
        the panel, where it has any; else by order.
    missing
        Whether a kept channel without a page is an error.

    Raises
    ------
    TableError
        Pages and rows do not match; the message names them.
    """
    names = without_place([page.name for page in image.pages], image.tissue_id)
    if match == "order":
        return _by_order(panel, image, names)
    rows = [None if name is None else _row_of(panel, name, image) for name in names]
    named = any(names) and not (
        match == "auto" and all(row is None for row in rows) and all(name is None or is_generic(name) for name in names)
    )
    if named:
        return _by_name(panel, image, names, [None if row is None else row[0] for row in rows], rows, missing)
    if match == "name":
        raise TableError(
            f"{image.origin} does not name its channels, so they cannot be matched by name. Use match 'order'."
        )
    return _by_number(panel, image, names) or _by_order(panel, image, names)


def _by_name(
    panel: Sequence[Channel],
    image: Field,
    names: Sequence[str | None],
    rows: Sequence[int | None],
    found: Sequence[tuple[int, How] | None],
    missing: Missing,
) -> Matching:
    """Match by the names of the pages; a page without one is no channel."""
    for row, times in Counter(row for row in rows if row is not None).items():
        if times > 1:
            twice = ", ".join(repr(name) for name, at in zip(names, rows, strict=True) if at == row)
            raise TableError(
                f"{image.origin} has several pages for the channel {panel[row].name!r}: {twice}. Remove or rename one."
            )
    unmatched = [name for name, row in zip(names, rows, strict=True) if row is None and name is not None]
    if unmatched:
        hint = " To take them by their order instead, use match 'order'." if len(unmatched) == len(rows) else ""
        free = [channel.name for row, channel in enumerate(panel) if row not in rows]
        raise TableError(
            f"{image.origin} has pages that are not in the panel: {listed(unmatched)}. The panel has: "
            f"{listed([channel.name for channel in panel])}.{_near(unmatched, free)} Add rows (keep = 0 leaves a page "
            f"out), or rename them.{hint}"
        )
    place = {row: page for page, row in enumerate(rows) if row is not None}
    kept = [(row, channel) for row, channel in enumerate(panel) if channel.keep]
    absent = [channel.name for row, channel in kept if row not in place]
    nameless = [page for page, name in enumerate(names) if name is None]
    if absent and missing == "error":
        called = [name if name is not None else f"page {page}, without a name" for page, name in enumerate(names)]
        more = " Name every page: where some have names, the order of the others says nothing." if nameless else ""
        raise TableError(
            f"{image.origin} has no page for {listed(absent)}. Its pages are {listed(called)}. Add the channel, set "
            f"keep to 0, or use missing 'unmeasured' if this tissue was not stained for it.{more}"
        )
    return _matching(names, kept, {row: (page, (found[page] or (0, "name"))[1]) for row, page in place.items()})


def _near(names: Sequence[str], free: Sequence[str]) -> str:
    """Say which rows without a page are called nearly as pages without a row."""
    pairs = []
    for name in names:
        inside = [row for row in free if folded(name) and folded(name) in folded(row)]
        near = inside or difflib.get_close_matches(name, free, n=1)
        pairs += [f"{name!r} is {near[0]!r}"] if near else []
    return f" Perhaps {', '.join(pairs[:6])}." if pairs else ""


def _row_of(panel: Sequence[Channel], name: str, image: Field) -> tuple[int, How] | None:
    """Return the row that a page is by its name, and by which rule; None where it is none."""
    spelling = split_name(name)
    for how, rule in _RULES:
        rows = [row for row, channel in enumerate(panel) if rule(name, spelling, channel)]
        if len(rows) > 1:
            fitting = listed([panel[row].name for row in rows])
            raise TableError(
                f"The page {name!r} of {image.origin} fits several rows of the panel: {fitting}. Rename one."
            )
        if rows:
            _check_tag(panel, rows[0], name, spelling, image)
            return rows[0], how
    return None


def _check_tag(panel: Sequence[Channel], row: int, name: str, spelling: Spelling, image: Field) -> None:
    """Refuse a page that is one channel by its name and another by its metal."""
    if spelling.mass is None or panel[row].mass in (None, spelling.mass):
        return
    others = [channel.name for at, channel in enumerate(panel) if at != row and channel.mass == spelling.mass]
    if others:
        raise TableError(
            f"The page {name!r} of {image.origin} is {panel[row].name!r} by its name, and {others[0]!r} by its metal "
            f"{spelling.tag}: the panel gives {panel[row].name!r} the mass {panel[row].mass}. Correct the panel, or "
            "give the panel of these images."
        )


def _by_number(panel: Sequence[Channel], image: Field, names: Sequence[str | None]) -> Matching | None:
    """Match by the panel's numbers of channels, from 0 or 1; None where it does not number each channel differently."""
    numbers = [channel.number for channel in panel]
    known = [number for number in numbers if number is not None]
    if len(known) < len(panel) or len(set(known)) < len(panel):
        return None
    first = 0 if min(known) == 0 else 1
    if max(known) - first >= len(image.pages):
        raise TableError(
            f"The panel numbers its channels up to {max(known)}, {image.origin} has {len(image.pages)} pages. Expected "
            f"a number for each page, from {first}. Correct the numbers, or use match 'order'."
        )
    kept = [(row, channel) for row, channel in enumerate(panel) if channel.keep]
    return _matching(names, kept, {row: (number - first, "number") for row, number in enumerate(known)})


def _by_order(panel: Sequence[Channel], image: Field, names: Sequence[str | None]) -> Matching:
    kept = [(row, channel) for row, channel in enumerate(panel) if channel.keep]
    if len(image.pages) == len(panel):
        return _matching(names, kept, {row: (row, "order") for row in range(len(panel))})
    if len(image.pages) == len(kept):
        return _matching(names, kept, {row: (page, "order") for page, (row, _) in enumerate(kept)})
    raise TableError(
        f"{image.origin} has {len(image.pages)} pages, the panel has {len(panel)} rows of which {len(kept)} are kept. "
        f"Expected as many pages as one of these, in the same order.{IF_CHANNELS if len(image.pages) == 1 else ''}"
    )


def _matching(
    names: Sequence[str | None], kept: Sequence[tuple[int, Channel]], place: "dict[int, tuple[int, How]]"
) -> Matching:
    """Build the matching of an image from the names of its pages and the page of each row."""
    rows = [
        PageMatch(channel=channel.name, page=place[row][0], called=names[place[row][0]], how=place[row][1])
        if row in place
        else PageMatch(channel=channel.name, how="unmeasured")
        for row, channel in kept
    ]
    taken = {row.page for row in rows}
    left = tuple((at, name) for at, name in enumerate(names) if at not in taken)
    return Matching(rows=tuple(rows), left_out=left)
