"""Which channels are shown, and in which colour: one colour means one protein in every panel."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from spora_db.errors import ArgumentError, unknown

# Told apart by all common forms of colour blindness: hues of Okabe and Ito (2008), lightened for a dark background.
PALETTE: Mapping[str, str] = {
    "blue": "#3550e0",
    "magenta": "#e83f95",
    "yellow": "#f7e01e",
    "aqua": "#00d5a8",
    "orange": "#ff7f0e",
    "silver": "#b4bac4",
}
# What is shown unless channels are chosen, in this order: the first that a panel holds gives its slot's colour.
SLOTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("blue", ("P68431", "dapi", "dna1", "dna2", "dna", "hoechst", "191ir", "193ir", "iridium")),
    ("magenta", ("P02533", "P05787", "P08727", "P04264", "pancytokeratin", "panck", "P12830")),
    ("yellow", ("P07766", "P01732", "P01730")),
    ("aqua", ("P11836", "P20023", "P15391")),
    ("orange", ("P34810", "Q86VB7", "P01903", "P05164")),
    ("silver", ("P08670", "P62736", "P02452")),
)
FEW = 3  # below this number of well-known markers, a panel's own channels fill the remaining colours


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A channel in the picture: its position in the image, its name and its colour."""

    index: int
    name: str
    colour: str


MarkerNames = tuple[tuple[str, ...], ...]
PanelNames = tuple[Sequence[str], Sequence[str | None] | None]


def choose_channels(
    channel_names: Sequence[str],
    uniprot_ids: Sequence[str | None] | None = None,
    *,
    markers: Sequence[Sequence[str]] | None = None,
) -> tuple[Shown, ...]:
    """Choose at most six channels to show, with colours that mean the same protein in every panel.

    Parameters
    ----------
    channel_names, uniprot_ids
        The panel, in the order of the image's planes.
    markers
        What to show: for each marker its spellings, names or UniProt accessions, as :func:`spell_markers` gives them.
        Well-known markers keep their colour, the others take those that are left, in order. Without it, the well-known
        ones: nuclei, cytokeratin, T cells, B cells, macrophages, connective tissue.

    Returns
    -------
    tuple of Shown
        The channels with their colours: of ``markers``, those that this panel holds.

    Raises
    ------
    ArgumentError
        More than six ``markers``, or not one accession per name.

    Examples
    --------
    >>> [shown.name for shown in choose_channels(["DAPI", "CD45", "CD3e"], [None, "P08575", "P07766"])]
    ['DAPI', 'CD3e', 'CD45']
    """
    names, ids = _panel(channel_names, uniprot_ids)
    if markers is not None and len(markers) > len(PALETTE):
        raise ArgumentError(f"{len(markers)} channels to show; at most {len(PALETTE)} can be told apart.")
    wanted = SLOTS if markers is None else _coloured(markers)
    shown: list[Shown] = []
    for colour, spellings in wanted:
        found = _find(spellings, names, ids)
        if found is not None and all(other.index != found for other in shown):
            shown.append(Shown(index=found, name=channel_names[found], colour=PALETTE[colour]))
    if markers is None and len(shown) < FEW:
        free = [colour for colour in PALETTE.values() if all(other.colour != colour for other in shown)]
        rest = [index for index in range(len(names)) if all(other.index != index for other in shown)]
        extra = zip(rest[: FEW - len(shown)], free, strict=False)
        shown += [Shown(index=index, name=channel_names[index], colour=colour) for index, colour in extra]
    return tuple(shown)


def _coloured(markers: Sequence[Sequence[str]]) -> tuple[tuple[str, Sequence[str]], ...]:
    """Give every marker a colour: its own if it is well known and the first to ask, else one that is left."""
    colours: dict[int, str] = {}
    for number, spellings in enumerate(markers):
        asked = {_fold(spelling) for spelling in spellings}
        own = next((colour for colour, known in SLOTS if asked & {_fold(name) for name in known}), None)
        if own is not None and own not in colours.values():
            colours[number] = own
    free = iter([colour for colour in PALETTE if colour not in colours.values()])
    return tuple((colours.get(number) or next(free), spellings) for number, spellings in enumerate(markers))


def spell_markers(channels: Sequence[str] | None, panels: Iterable[PanelNames]) -> MarkerNames | None:
    """Return the spellings of each channel over several panels: ``CD8a`` here is ``CD8`` there, by its accession.

    Parameters
    ----------
    channels
        Names or UniProt accessions, or None.
    panels
        Pairs of channel names and accessions.

    Raises
    ------
    UnknownNameError
        No panel holds the channel.

    Examples
    --------
    >>> spell_markers(["CD8a"], [(["CD8a"], ["P01732"]), (["CD8"], ["P01732"])])
    (('CD8a', 'P01732'),)
    """
    if channels is None:
        return None
    known = [(names, *_panel(names, ids)) for names, ids in panels]
    markers = []
    for channel in channels:
        spellings = [channel]
        places = [(ids, at) for _, names, ids in known if (at := _find([channel], names, ids)) is not None]
        if not places:
            every = [name for original, _, _ in known for name in original]
            raise unknown("channel", channel, every, where="the panels drawn")
        spellings += sorted({ids[at] for ids, at in places} - {"", channel})
        markers.append(tuple(spellings))
    return tuple(markers)


def find_channel(spellings: Iterable[str], panel: PanelNames) -> int | None:
    """Return the position in a panel of the first spelling, a name or an accession, that it holds; None without one.

    Examples
    --------
    >>> find_channel(["P01732"], (["DNA1", "CD8a"], [None, "P01732-1"]))
    1
    """
    return _find(spellings, *_panel(*panel))


def _panel(names: Sequence[str], ids: Sequence[str | None] | None) -> tuple[list[str], list[str]]:
    """Return folded names and accessions without isoforms."""
    if ids is not None and len(ids) != len(names):
        raise ArgumentError(f"{len(names)} channel_names but {len(ids)} uniprot_ids; expected one of each per plane.")
    accessions = [str(text or "").split("-")[0] for text in (ids or [None] * len(names))]
    return [_fold(name) for name in names], accessions


def _fold(name: str) -> str:
    return name.casefold().replace("-", "").replace(" ", "").replace("_", "")


def _find(spellings: Iterable[str], names: Sequence[str], ids: Sequence[str]) -> int | None:
    for spelling in spellings:
        if spelling in ids:
            return ids.index(spelling)
        if _fold(spelling) in names:
            return names.index(_fold(spelling))
    return None
