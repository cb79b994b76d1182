"""Names of markers to channels, panel by panel: panels call one protein differently, and one name may mean two.

In each panel a name means, whichever is found first,

1. the channels with that UniProt accession (without an isoform it means all isoforms),
2. the channel of exactly that name,
3. the channel of that name in another letter case,
4. the first of the name's aliases that the panel holds,
5. the channels of the protein that the name stands for in other panels: ``CD8a`` here is ``CD8`` there.

What is left open is an error that lists the candidates, never a guess.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from spora_db.aliases import Aliases
from spora_db.catalog import Catalog
from spora_db.channels import ACCESSION_PATTERNS, panel_select
from spora_db.errors import ArgumentError, unknown
from spora_db.guard.dialect import DIALECT
from spora_db.query.binding import Binder
from spora_db.selection import ChannelChoice

ACCESSION = re.compile(ACCESSION_PATTERNS["uniprot"])


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelChannel:
    """One channel of a panel; ``uniprot_id`` is the accession in effect."""

    dataset: str
    modality: str
    channel_index: int
    channel_name: str
    uniprot_id: str | None

    @property
    def protein(self) -> str | None:
        """The accession without its isoform; None where there is none."""
        if self.uniprot_id is None or not ACCESSION.fullmatch(self.uniprot_id):
            return None
        return self.uniprot_id.split("-")[0]

    def __str__(self) -> str:
        """Return the channel as an error message names it."""
        return f"{self.channel_name!r} ({self.uniprot_id or 'no accession'}) in {self.dataset}/{self.modality}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Markers:
    """The channels that the names of a `ChannelChoice` mean.

    Attributes
    ----------
    channels
        All channels of the panels of the chosen modalities.
    found
        For each name, the channels it means.
    """

    channels: tuple[PanelChannel, ...]
    found: Mapping[str, frozenset[PanelChannel]]

    def chosen(self, names: Iterable[str]) -> frozenset[PanelChannel]:
        """Return the channels that any of the names means."""
        return frozenset().union(*(self.found[name] for name in names))

    def condition(self, names: Iterable[str], binder: Binder, *, table: str) -> exp.Expr:
        """Return the SQL condition that a channel is meant by one of the names."""
        wanted = self.chosen(names)
        texts = sorted({channel.channel_name for channel in wanted})
        if all(channel in wanted for channel in self.channels if channel.channel_name in texts):
            return binder.member("channel_name", texts, table=table)
        parts = ("dataset", "modality", "channel_name")
        rows = sorted({tuple(getattr(channel, part) for part in parts) for channel in wanted})
        return exp.In(
            this=exp.Tuple(expressions=[exp.column(part, table=table) for part in parts]),
            expressions=[exp.Tuple(expressions=[binder.parameter(value) for value in row]) for row in rows],
        )


def read_panels(choice: ChannelChoice, catalog: Catalog) -> tuple[PanelChannel, ...]:
    """Return the channels of all panels, with the accessions in effect, in panel order."""
    rows = catalog._run(panel_select(choice).sql(DIALECT)).fetchall()
    return tuple(
        PanelChannel(dataset=row[0], modality=row[1], channel_index=row[2], channel_name=row[3], uniprot_id=row[4])
        for row in rows
    )


def find_markers(choice: ChannelChoice, modalities: Sequence[str], catalog: Catalog) -> Markers:
    """Return the channels that each name of a choice means in the panels of some modalities.

    Raises
    ------
    UnknownNameError
        For a name that no panel knows.
    ArgumentError
        For a name that may mean several channels of a panel.
    """
    everywhere = read_panels(choice, catalog)
    channels = tuple(channel for channel in everywhere if channel.modality in modalities)
    names = dict.fromkeys((*choice.names, *choice.require, *choice.any_of, *choice.exclude))
    where = f"the panels of {', '.join(modalities)}"
    return Markers(
        channels=channels,
        found={name: find_marker(name, channels, everywhere, aliases=choice.aliases, where=where) for name in names},
    )


def find_marker(
    name: str,
    channels: Sequence[PanelChannel],
    everywhere: Sequence[PanelChannel] = (),
    *,
    aliases: Aliases = (),
    where: str = "",
) -> frozenset[PanelChannel]:
    """Return the channels that a name means.

    Parameters
    ----------
    name
        A channel name, a UniProt accession or an alias.
    channels
        The channels of the panels it is looked for in.
    everywhere
        Those of all panels, which tell what protein the name stands for; by default the same.
    aliases
        Pairs of an alias, its letter case aside, and what it may stand for, in order of preference.
    where
        Where the panels are, for errors.

    Raises
    ------
    UnknownNameError
        If no panel knows the name.
    ArgumentError
        If a panel leaves it open which channel is meant.

    Examples
    --------
    >>> panel = {"modality": "imc", "channel_index": 0}
    >>> channels = [
    ...     PanelChannel(dataset="alpha", channel_name="CD8a", uniprot_id="P01732", **panel),
    ...     PanelChannel(dataset="beta", channel_name="CD8", uniprot_id="P01732-2", **panel),
    ... ]
    >>> sorted(str(channel) for channel in find_marker("cd8a", channels))
    ["'CD8' (P01732-2) in beta/imc", "'CD8a' (P01732) in alpha/imc"]
    """
    panels: dict[tuple[str, str], list[PanelChannel]] = {}
    for channel in channels:
        panels.setdefault((channel.dataset, channel.modality), []).append(channel)
    spellings = {alias.lower(): targets for alias, targets in aliases}.get(name.lower(), ())
    elsewhere = {text: _elsewhere(text, everywhere or channels) for text in (name, *spellings)}
    found: set[PanelChannel] = set()
    for members in panels.values():
        hits = _named(name, members)
        for spelling in spellings:
            hits = hits or _named(spelling, members) or _same_protein(spelling, members, elsewhere[spelling])
        found.update(hits or _same_protein(name, members, elsewhere[name]))
    if not found:
        raise unknown("channel", name, _known(channels, aliases), where=where)
    return frozenset(found)


def _named(name: str, members: Sequence[PanelChannel]) -> list[PanelChannel]:
    """Return what a name means in one panel by itself: steps 1 to 3."""
    steps: tuple[Callable[[PanelChannel], bool], ...] = (
        lambda channel: name in (channel.uniprot_id, channel.protein),
        lambda channel: channel.channel_name == name,
        lambda channel: channel.channel_name.lower() == name.lower(),
    )
    for number, means in enumerate(steps, 1):
        if hits := [channel for channel in members if means(channel)]:
            if number == 3 and len(hits) > 1:
                raise _ambiguous(name, hits, "Write it in the right letter case, or give the accession.")
            return hits
    return []


def _elsewhere(name: str, channels: Sequence[PanelChannel]) -> dict[str, PanelChannel]:
    """Return the proteins that a name stands for in any panel, each with a channel that says so."""
    exact = [channel for channel in channels if channel.channel_name == name]
    saying = exact or [channel for channel in channels if channel.channel_name.lower() == name.lower()]
    return {channel.protein: channel for channel in reversed(saying) if channel.protein is not None}


def _same_protein(
    name: str, members: Sequence[PanelChannel], elsewhere: Mapping[str, PanelChannel]
) -> list[PanelChannel]:
    hits = [channel for channel in members if channel.protein in elsewhere]
    if hits and len(elsewhere) > 1:
        remedy = "Give the accession instead of the name, or aliases={" + repr(name) + ": [accession]}."
        raise _ambiguous(name, [*elsewhere.values(), *hits], remedy)
    return hits


def _ambiguous(name: str, candidates: Sequence[PanelChannel], remedy: str) -> ArgumentError:
    listed = ", ".join(sorted({str(channel) for channel in candidates}))
    return ArgumentError(f"Marker {name!r} is ambiguous; it may mean: {listed}. {remedy}")


def _known(channels: Iterable[PanelChannel], aliases: Aliases) -> set[str]:
    known = {alias for alias, _ in aliases}
    for channel in channels:
        known |= {channel.channel_name, *filter(None, (channel.uniprot_id, channel.protein))}
    return known
