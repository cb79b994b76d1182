"""Names of channels as instruments write them: a marker, a metal or mass tag, or both in one text."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_ELEMENTS: Final = (
    "Y|Ru|Rh|Pd|Ag|Cd|In|Sn|Te|I|Xe|Ba|La|Ce|Pr|Nd|Sm|Eu|Gd|Tb|Dy|Ho|Er|Tm|Yb|Lu|Hf|Ta|Os|Ir|Pt|Au|Hg|Pb|Bi|U|ArAr"
)
_TAG: Final = re.compile(
    rf"(?<![A-Za-z0-9])(?:(?P<m1>[0-9]{{2,3}})(?P<e1>{_ELEMENTS})|(?P<e2>{_ELEMENTS})[-_ ]?(?P<m2>[0-9]{{2,3}}))"
    r"(?:Di|Dd)?(?![A-Za-z0-9])"
)
"""A metal with its mass, either first: 141Pr, Pr141, Pr-141, Pr141Di; the case of elements tells Cd111 from CD111."""
_BARE: Final = re.compile(r"[(\[]\s*([0-9]{2,3})\s*[)\]]\s*$|^\s*([0-9]{2,3})\s*$")
"""A mass alone: ``CD3 (117)`` as MIBI writes it, or ``117``."""
_MASSES: Final = range(75, 240)
_NUMBERED: Final = re.compile(
    r"((?:ROI|FOV|POS|POINT|SCAN|IMAGE|SLIDE|ACQ|ACQUISITION|CORE|TMA)[ _-]?[0-9]+)[ _-]+", re.IGNORECASE
)
_GENERIC: Final = re.compile(
    r"(?:channel|ch|c|page|image|slice|plane|series)?[\s:_#-]*[0-9]+(?:[:/][0-9]+)*", re.IGNORECASE
)
_GREEK: Final = dict(zip(map(ord, "\u03b1\u03b2\u03b3\u03b4\u03b5\u03ba\u03bb"), "abgdekl", strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Spelling:
    """What the name of a channel says.

    Attributes
    ----------
    marker
        Without the tag; None where the name is a tag alone.
    tag
        The metal with its mass, ``Pr141``, or the mass, ``117``; None where the name has none.
    mass
        Of the tag.
    """

    marker: str | None
    tag: str | None = None
    mass: int | None = None


def split_name(name: str) -> Spelling:
    """Split the name of a channel into marker and tag.

    Examples
    --------
    >>> [(s.marker, s.tag) for s in map(split_name, ["CD3 (117)", "141Pr_CD3", "CD3(Pr141Di)", "Pr141", "CD141"])]
    [('CD3', '117'), ('CD3', 'Pr141'), ('CD3', 'Pr141'), (None, 'Pr141'), ('CD141', None)]
    """
    found = _TAG.search(name)
    if found is not None and (mass := int(found["m1"] or found["m2"])) in _MASSES:
        tag = f"{found['e1'] or found['e2']}{mass}"
    else:
        found = _BARE.search(name)
        mass = int(found[1] or found[2]) if found is not None else 0
        if found is None or mass not in _MASSES:
            return Spelling(marker=name.strip())
        tag = str(mass)
    rest = f"{name[: found.start()]} {name[found.end() :]}".replace("()", "").replace("[]", "")
    return Spelling(marker=rest.strip(" _-()[]:;,/") or None, tag=tag, mass=mass)


def folded(name: str) -> str:
    """Return a name without what spellings of one marker differ in: case, blanks, hyphens, Greek letters.

    Examples
    --------
    >>> folded("HLA-DR") == folded("hla_dr"), folded("Ki-67"), folded("CD31+vWF")
    (True, 'ki67', 'cd31+vwf')
    """
    return re.sub(r"[^0-9a-z+]", "", name.casefold().translate(_GREEK)) or name.casefold().strip()


def without_place(names: Sequence[str | None], tissue_id: str) -> list[str | None]:
    """Return names without the field of view that all of them begin with, such as ``ROI001_``.

    Examples
    --------
    >>> without_place(["ROI001_CD3", "ROI001_CD8"], "a"), without_place(["a_CD3", None], "a"), without_place(["a"], "a")
    (['CD3', 'CD8'], ['CD3', None], ['a'])
    """
    given = [name for name in names if name]
    prefixes = [f"{tissue_id}{mark}" for mark in "_- "]
    if given and (found := _NUMBERED.match(given[0])):
        prefixes.append(found[0])
    for prefix in prefixes:
        if given and all(name.casefold().startswith(prefix.casefold()) and len(name) > len(prefix) for name in given):
            return [name and name[len(prefix) :] for name in names]
    return list(names)


def is_generic(name: str) -> bool:
    """Tell whether a program made a name up that says where a channel stands, not what it is.

    Examples
    --------
    >>> [is_generic(name) for name in ("Channel 1", "Channel:0:3", "C2", "CD3", "DAPI")]
    [True, True, True, False, False]
    """
    return _GENERIC.fullmatch(name.strip()) is not None


def markers_of(names: Sequence[str]) -> list[Spelling]:
    """Split names into markers and tags as far as the markers stay different; others keep their name, tag and all.

    Examples
    --------
    >>> [s.marker for s in markers_of(["DNA_191Ir", "DNA_193Ir", "141Pr_CD3"])]
    ['DNA_191Ir', 'DNA_193Ir', 'CD3']
    """
    split = [split_name(name) for name in names]
    times = Counter((spelling.marker or name).casefold() for name, spelling in zip(names, split, strict=True))
    return [
        spelling
        if spelling.marker and times[spelling.marker.casefold()] == 1
        else Spelling(marker=name, tag=spelling.tag, mass=spelling.mass)
        for name, spelling in zip(names, split, strict=True)
    ]
