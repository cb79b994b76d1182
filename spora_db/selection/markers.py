"""The channels that names of markers mean, panel by panel, as the one rule says: ``sql/macros/marker_channels.sql``.

Panels call one protein differently, and one name may mean two. What the rule leaves open is an error that lists the
candidates, never a guess; so is a name that no panel knows.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from spora_db.catalog import Catalog
from spora_db.catalog.aliases import Aliases, Naming
from spora_db.errors import ArgumentError, UnknownNameError, unknown
from spora_db.selection import ChannelChoice
from spora_db.selection.channels import NUCLEAR_ACCESSION, panel_select
from spora_db.sqltext.accessions import ACCESSION_PATTERNS
from spora_db.sqltext.binding import Binder

ACCESSION = re.compile(ACCESSION_PATTERNS["uniprot"])
MEANT = """
    SELECT name, dataset, modality, channel_index, channel_name, accession, candidates
    FROM marker_channels($names) ORDER BY dataset, modality, channel_index
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelChannel:
    """One channel of a panel; ``uniprot_id`` is the accession in effect."""

    dataset: str
    modality: str
    channel_index: int
    channel_name: str
    uniprot_id: str | None

    @classmethod
    def of(cls, row: Sequence[Any]) -> "PanelChannel":
        """Return the channel of a row of `MEANT`."""
        _, dataset, modality, index, name, accession, _ = row
        return cls(dataset=dataset, modality=modality, channel_index=index, channel_name=name, uniprot_id=accession)

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
    rows = catalog._run(panel_select(choice)).fetchall()
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
    channels = tuple(channel for channel in read_panels(choice, catalog) if channel.modality in modalities)
    names = dict.fromkeys((*choice.names, *choice.require, *choice.any_of, *choice.exclude))
    return Markers(channels=channels, found=meanings(choice, tuple(names), modalities, channels, catalog))


def meanings(
    choice: ChannelChoice, names: Sequence[str], modalities: Sequence[str], channels: Iterable[PanelChannel],
    catalog: Catalog,
) -> dict[str, frozenset[PanelChannel]]:  # fmt: skip
    """Return the channels that each of some names means; raises as `find_markers`.

    Parameters
    ----------
    choice
        How panels are read, and the aliases.
    names
        The names.
    modalities
        Where they are looked for.
    channels
        The channels of their panels, which an error lists.
    """
    catalog.use_naming(naming(choice))
    found: dict[str, list[PanelChannel]] = {name: [] for name in names}
    rows = catalog._run(MEANT, {"names": list(names)}).fetchall() if names else []
    for row in rows:
        name, candidates = row[0], row[-1]
        if row[2] not in modalities:
            continue
        found[name].append(PanelChannel.of(row))
        if candidates is not None:
            own = [PanelChannel.of(other) for other in rows if other[:3] == row[:3]]
            raise _ambiguous(name, [*candidates, *map(str, own)], by_protein=bool(candidates))
    for name, meant in found.items():
        if not meant:
            raise unknown_marker(name, channels, choice, modalities)
    return {name: frozenset(meant) for name, meant in found.items()}


def unknown_marker(
    name: str, channels: Iterable[PanelChannel], choice: ChannelChoice, modalities: Sequence[str]
) -> UnknownNameError:
    """Build the error for a name that no panel knows."""
    return unknown("channel", name, _known(channels, choice.aliases), where=f"the panels of {', '.join(modalities)}")


def naming(choice: ChannelChoice) -> Naming:
    """Return what a choice says of the names of markers."""
    return Naming(aliases=choice.aliases, nuclear=NUCLEAR_ACCESSION if choice.replace_nuclear else None)


def _ambiguous(name: str, candidates: Sequence[str], *, by_protein: bool) -> ArgumentError:
    remedy = "Write it in the right letter case, or give the accession."
    if by_protein:
        remedy = "Give the accession instead of the name, or aliases={" + repr(name) + ": [accession]}."
    listed = ", ".join(sorted(set(candidates)))
    return ArgumentError(f"Marker {name!r} is ambiguous; it may mean: {listed}. {remedy}")


def _known(channels: Iterable[PanelChannel], aliases: Aliases) -> set[str]:
    known = {alias for alias, _ in aliases}
    for channel in channels:
        known |= {channel.channel_name}
        if channel.uniprot_id is not None:
            known |= {channel.uniprot_id}
            known |= {channel.uniprot_id.split("-")[0]} if ACCESSION.fullmatch(channel.uniprot_id) else set()
    return known
