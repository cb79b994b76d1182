"""What is said about the matching of pages and channels: the whole of it where it could have been otherwise."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from spora_db.errors import counted
from spora_db.importing.decisions import Decision, listed
from spora_db.importing.fields import Field
from spora_db.importing.matching import Matching, PageMatch
from spora_db.importing.options import Match
from spora_db.importing.panel import Channel
from spora_db.importing.spellings import is_generic, split_name

_HOW: Final[Mapping[str, str]] = {
    "name": "by name",
    "accession": "by UniProt accession",
    "spelling": "by another spelling of the name",
    "tag": "by metal tag",
    "number": "by the panel's channel numbers",
    "order": "by order",
    "unmeasured": "not measured",
}


def channel_decisions(
    panel: Sequence[Channel], fields: Sequence[Field], found: Sequence[Matching], *, match: Match
) -> list[Decision]:
    """Return what was decided about channels, once for all images that agree."""
    groups: dict[Matching, list[Field]] = {}
    for field, matching in zip(fields, found, strict=True):
        groups.setdefault(matching, []).append(field)
    decisions = []
    for matching, alike in groups.items():
        decisions += _of_group(panel, matching, alike, match=match, alone=len(groups) == 1)
    return decisions


def _of_group(
    panel: Sequence[Channel], matching: Matching, fields: Sequence[Field], *, match: Match, alone: bool
) -> list[Decision]:
    where = "" if alone else f" (in {counted(len(fields), 'image')}: {listed([f.tissue_id for f in fields], most=4)})"
    hows = Counter(row.how for row in matching.rows)
    counts = ", ".join(f"{number} {_HOW[how]}" for how, number in hows.items())
    pages = "; ".join(_page(row) for row in matching.rows)
    details = {
        "tissues": [field.tissue_id for field in fields],
        "channels": [
            {"channel": row.channel, "page": row.page, "called": row.called, "how": row.how} for row in matching.rows
        ],
        "left_out": [{"page": page, "called": called} for page, called in matching.left_out],
    }
    says = f"{counted(len(matching.rows), 'channel')}{where}: {counts}. {pages}."
    by_order = hows["order"] > 0 and match != "order"
    decisions = []
    if by_order:
        made_up = [page.name for page in fields[0].pages if page.name and is_generic(page.name)]
        why = f"Nothing but {listed(made_up, most=3)} names the pages" if made_up else "Nothing names the pages"
        says = (
            f"{why} of {fields[0].origin}{where}, so they were taken in the order of the panel: {pages}. Look at a "
            "channel that you know; name the pages where it is wrong, or confirm it with match 'order' (--match order)."
        )
    decisions.append(Decision(about="channels", says=says, warning=by_order, details=details))
    if hows["order"]:
        decisions += [*_mass_order(panel, matching), *_names_against_order(matching)]
    nameless = [page for page, called in matching.left_out if called is None and hows["name"] + hows["spelling"]]
    left = [f"page {page}" + (f" {called!r}" if called else "") for page, called in matching.left_out]
    if left:
        more = " Pages without a name are no channel where others have names." if nameless else ""
        decisions.append(
            Decision(about="channels", says=f"Left out{where}: {', '.join(left)}.{more}", warning=bool(nameless))
        )
    return decisions


def _page(row: PageMatch) -> str:
    """Say which page a channel is."""
    if row.page is None:
        return f"{row.channel}: not measured"
    called = f" {row.called!r}" if row.called and row.called != row.channel else ""
    how = f" ({_HOW[row.how]})" if row.how in ("accession", "spelling", "tag") else ""
    return f"page {row.page}{called} = {row.channel}{how}"


def _mass_order(panel: Sequence[Channel], matching: Matching) -> list[Decision]:
    """Warn where masses do not rise along the pages, as they do in what instruments write."""
    by_name = {channel.name: channel for channel in panel}
    placed = sorted((row.page, by_name[row.channel]) for row in matching.rows if row.page is not None)
    tagged = [(page, channel) for page, channel in placed if channel.mass is not None]
    falls = [(one[1], other[1]) for one, other in pairwise(tagged) if (one[1].mass or 0) > (other[1].mass or 0)]
    if not falls:
        return []
    first, second = falls[0]
    says = (
        f"The metal tags of the panel are not in the order of mass, in which instruments write pages: {first.name} "
        f"({first.mass}) stands before {second.name} ({second.mass}). If the images are in the order of mass, sort the "
        "panel by mass; every channel has a wrong name otherwise."
    )
    return [Decision(about="channels", says=says, warning=True)]


def _names_against_order(matching: Matching) -> list[Decision]:
    """Warn where pages that were taken by order have the name of another channel."""
    names = {row.channel.casefold(): row.channel for row in matching.rows}
    wrong = [
        f"page {row.page} {row.called!r} = {row.channel}"
        for row in matching.rows
        if row.called
        and (marker := (split_name(row.called).marker or "").casefold()) in names
        and names[marker] != row.channel
    ]
    if not wrong:
        return []
    says = (
        f"The images name their pages otherwise than the order that was asked for: {'; '.join(wrong[:12])}. Leave out "
        "match 'order' (--match order) to go by the names."
    )
    return [Decision(about="channels", says=says, warning=True)]
