"""UniProt accessions of channels by their names, for panels that give none: a table of targets common in this field."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final

from spora_db.errors import counted
from spora_db.importing.decisions import Decision, listed
from spora_db.importing.options import AccessionChoice
from spora_db.importing.panel import Channel
from spora_db.importing.spellings import folded, split_name

TABLE: Final = Path(__file__).with_name("markers.csv")
"""Accession, gene and other names of human proteins; a name with ``~`` is of several, and stands for this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTarget:
    """A protein: its accession, its gene, and whether the name by which it was found is of several proteins."""

    accession: str
    gene: str
    mixed: bool = False


@cache
def _targets() -> Mapping[str, KnownTarget]:
    """Return the targets by their names, folded."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        folded(name): KnownTarget(accession=row["accession"], gene=row["gene"], mixed=name.startswith("~"))
        for row in rows
        for name in (row["gene"], *filter(None, row["names"].split(";")))
    }


def target_of(name: str) -> KnownTarget | None:
    """Return the protein that a name of a channel stands for; None where the table knows none, or several.

    Examples
    --------
    >>> [target and target.gene for target in map(target_of, ["CD8a", "141Pr_CD3", "CD279 (PD-1)", "vWF + CD31"])]
    ['CD8A', 'CD3E', 'PDCD1', None]
    """
    table = _targets()
    marker = split_name(name).marker or name
    if (found := table.get(folded(marker))) is not None:
        return found
    all_parts = [part for part in re.split(r"\s*[+&]\s*|\s+and\s+", marker) if part]
    if len(all_parts) > 1:  # one antibody beside another in a channel: all of them are one protein, or none is told
        known = [target_of(part) for part in all_parts]
        same = {target.accession for target in known if target is not None}
        return replace(known[0], mixed=True) if known[0] is not None and None not in known and len(same) == 1 else None
    words = [part for part in re.split(r"\s*[()\[\]/|;]\s*|\s+-\s+", marker) if part]
    targets = {target.accession: target for word in words if (target := table.get(folded(word))) is not None}
    return next(iter(targets.values())) if len(targets) == 1 else None


def with_accessions(
    channels: Sequence[Channel], *, accessions: AccessionChoice
) -> tuple[tuple[Channel, ...], list[Decision]]:
    """Return channels with accessions, guessed by their names where the panel gives none at all; each guess is told.

    Examples
    --------
    >>> with_accessions([Channel(name="CD3"), Channel(name="DAPI")], accessions="table")[0][0].uniprot_id
    'P07766'
    """
    if any(channel.uniprot_id for channel in channels):
        return tuple(channels), _of_panel(channels, accessions)
    if accessions == "off":
        says = "No accessions were given, and none were guessed."
        return tuple(channels), [Decision(about="accessions", says=says)]
    found = {channel.name: target for channel in channels if (target := target_of(channel.name)) is not None}
    made = tuple(
        replace(channel, uniprot_id=found[channel.name].accession) if channel.name in found else channel
        for channel in channels
    )
    guesses = [
        f"{name} = {target.accession} ({target.gene}{', for several proteins' if target.mixed else ''})"
        for name, target in found.items()
    ]
    absent = [channel.name for channel in channels if channel.name not in found]
    says = f"The panel gives no accessions: {counted(len(found), 'channel')} got that of the human protein of its name"
    says += f": {', '.join(guesses)}." if guesses else "."
    says += f" Without one: {listed(absent)}." if absent else ""
    says += " Correct a guess with a column uniprot_id in the panel, or leave them out (--accessions off)."
    details = {"guessed": {name: target.accession for name, target in found.items()}}
    return made, [Decision(about="accessions", says=says, details=details)]


def _of_panel(channels: Sequence[Channel], accessions: AccessionChoice) -> list[Decision]:
    """Say which channels have no accession in the panel, and warn of those that have that of another known protein."""
    absent = [channel.name for channel in channels if not channel.uniprot_id]
    known = [f"{name} = {target.accession}" for name in absent if (target := target_of(name)) is not None]
    says = f"Accessions are those of the panel; without one: {listed(absent) if absent else 'none'}."
    says += f" These could be given: {', '.join(known)}." if known and accessions == "table" else ""
    decisions = [Decision(about="accessions", says=says)]
    genes = {target.accession: target.gene for target in _targets().values()}
    odd = [
        f"{channel.name} has {given} ({genes[given]}), not {target.accession} ({target.gene})"
        for channel in channels
        if (given := (channel.uniprot_id or "").partition("-")[0]) in genes
        and (target := target_of(channel.name)) is not None
        and not target.mixed
        and target.accession != given
    ]
    if odd and accessions == "table":
        says = (
            f"The panel gives channels accessions of other proteins: {'; '.join(odd)}. Look whether rows are mixed up."
        )
        decisions.append(Decision(about="accessions", says=says, warning=True))
    return decisions
