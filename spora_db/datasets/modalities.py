"""Modalities: their names, and their folders below a dataset."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias, get_args

from spora_db.errors import ArgumentError, unknown
from spora_db.layout.names import MODALITIES, modality_folder, modality_row
from spora_db.standardization.settled import Settled


class _Modality(Settled):
    """What all modalities share: their names are folders, which no assignment renames."""

    _settled = dict.fromkeys(("name", "canonical_dir", "alt_name"), "Make another modality.")

    def __post_init__(self) -> None:
        """Settle the names."""
        self._settle()


@dataclass(kw_only=True)
class HEModality(_Modality):
    """Haematoxylin and eosin: a brightfield image of three colours.

    Attributes
    ----------
    name
        The modality's name.
    canonical_dir
        Its folder below the dataset.

    See Also
    --------
    get_modality_from_str, IHCModality

    Examples
    --------
    >>> HEModality().canonical_dir
    'he'
    """

    name: str = "he"
    canonical_dir: str = "he"


@dataclass(kw_only=True)
class IHCModality(_Modality):
    """One immunohistochemical stain: a brightfield image of three colours.

    Attributes
    ----------
    name
        ``ihc_<marker>``.
    canonical_dir
        Its folder below the dataset, ``ihc/ihc_<marker>`` unless given.

    See Also
    --------
    get_modality_from_str, HEModality

    Examples
    --------
    >>> IHCModality(name="ihc_Ki67")
    IHCModality(name='ihc_Ki67', canonical_dir='ihc/ihc_Ki67')
    """

    name: str = "ihc"
    canonical_dir: str = ""

    def __post_init__(self) -> None:
        """Derive the folder from the name."""
        self.canonical_dir = self.canonical_dir or f"ihc/{self.name}"
        self._settle()

    @property
    def marker(self) -> str:
        """The stained marker, ``Ki67`` of ``ihc_Ki67``."""
        return self.name.removeprefix("ihc_")


@dataclass(kw_only=True)
class IMCModality(_Modality):
    """Imaging mass cytometry; `name` and `canonical_dir` as :class:`HEModality`.

    See Also
    --------
    get_modality_from_str, CODEXModality

    Examples
    --------
    >>> IMCModality().name
    'imc'
    """

    name: str = "imc"
    canonical_dir: str = "imc"


@dataclass(kw_only=True)
class CODEXModality(_Modality):
    """CODEX, also sold as PhenoCycler, its `alt_name`; `name` and `canonical_dir` as :class:`HEModality`.

    See Also
    --------
    get_modality_from_str, IMCModality

    Examples
    --------
    >>> CODEXModality().alt_name
    'phenocycler'
    """

    name: str = "codex"
    alt_name: str = "phenocycler"
    canonical_dir: str = "codex"


@dataclass(kw_only=True)
class CycIFModality(_Modality):
    """Cyclic immunofluorescence; `name` and `canonical_dir` as :class:`HEModality`.

    See Also
    --------
    get_modality_from_str, IMCModality

    Examples
    --------
    >>> CycIFModality().name
    'cycif'
    """

    name: str = "cycif"
    canonical_dir: str = "cycif"


@dataclass(kw_only=True)
class MIBIModality(_Modality):
    """Multiplexed ion beam imaging; `name` and `canonical_dir` as :class:`HEModality`.

    See Also
    --------
    get_modality_from_str, IMCModality

    Examples
    --------
    >>> MIBIModality().name
    'mibi'
    """

    name: str = "mibi"
    canonical_dir: str = "mibi"


@dataclass(kw_only=True)
class OtherModality(_Modality):
    """A modality with a panel that has no class of its own; `name` and `canonical_dir` as :class:`HEModality`."""

    name: str
    canonical_dir: str


MultiplexModality: TypeAlias = IMCModality | CODEXModality | CycIFModality | MIBIModality | OtherModality
Modality: TypeAlias = HEModality | IHCModality | MultiplexModality
ModKey: TypeAlias = str | Modality


MULTIPLEX_MODALITIES: dict[str, type[IMCModality | CODEXModality | CycIFModality | MIBIModality]] = {
    "imc": IMCModality,
    "codex": CODEXModality,
    "cycif": CycIFModality,
    "mibi": MIBIModality,
}
ALIASES = {"phenocycler": "codex"}
_CLASSES: dict[str, Callable[[], Modality]] = {"he": HEModality, "ihc": IHCModality, **MULTIPLEX_MODALITIES}


def get_modality_from_str(modality_str: str, union_type: Any = None) -> Modality:  # noqa: ANN401 - a union
    """Return the modality of a name; letter case does not matter, except in an IHC marker.

    Parameters
    ----------
    modality_str
        The name, such as ``"imc"`` or ``"ihc_Ki67"``.
    union_type
        The modalities to choose from, a class or a union of them; by default all.

    Raises
    ------
    UnknownNameError
        If there is no such modality; the message lists those there are.

    See Also
    --------
    is_valid_modality_instance

    Examples
    --------
    >>> get_modality_from_str("PhenoCycler").canonical_dir
    'codex'
    >>> get_modality_from_str("ihc_Ki67").canonical_dir
    'ihc/ihc_Ki67'
    """
    folded = ALIASES.get(modality_str.casefold(), modality_str.casefold())
    if folded in _CLASSES:
        found = _CLASSES[folded]()
    elif folded.startswith("ihc_"):
        found = IHCModality(name=f"ihc_{modality_str[len('ihc_') :]}")
    elif (row := modality_row(folded)) is not None and not row.is_rgb:
        found = OtherModality(name=folded, canonical_dir=modality_folder(folded))
    else:
        raise unknown("modality", modality_str, (*(row.name for row in MODALITIES), *ALIASES))
    if not is_valid_modality_instance(found, union_type):
        kinds = [kind.__name__ for kind in get_args(union_type) or (union_type,)]
        raise unknown("modality", modality_str, kinds, where="union_type")
    return found


def is_valid_modality_instance(obj: object, union_type: Any = None) -> bool:  # noqa: ANN401 - a union
    """Tell whether an object is one of the modality dataclasses, or of those in `union_type`.

    Parameters
    ----------
    obj
        What may be a modality.
    union_type
        As `get_modality_from_str`.

    See Also
    --------
    get_modality_from_str

    Examples
    --------
    >>> is_valid_modality_instance(IMCModality()), is_valid_modality_instance("imc")
    (True, False)
    """
    return isinstance(obj, Modality if union_type is None else union_type)


def modality_name(modality: ModKey) -> str:
    """Return the name of a modality given by name or as its dataclass, in the folder's spelling.

    Examples
    --------
    >>> modality_name("CODEX"), modality_name(IMCModality())
    ('codex', 'imc')
    """
    if isinstance(modality, str):
        return get_modality_from_str(modality).name
    if not is_valid_modality_instance(modality):
        message = f"A modality is a name such as 'imc' or a modality dataclass; got {modality!r}."
        raise ArgumentError(message)
    return modality.name


def modality_of(modality: ModKey) -> Modality:
    """Return a modality given by name or as its dataclass, anew.

    Raises
    ------
    ArgumentError
        If its folder is said to be another one.
    """
    found = get_modality_from_str(modality_name(modality))
    if not isinstance(modality, str) and modality.canonical_dir != found.canonical_dir:
        message = (
            f"canonical_dir={modality.canonical_dir!r}: the images of {found.name} are found in "
            f"{found.canonical_dir!r}. Give the modality by its name."
        )
        raise ArgumentError(message)
    return found


def as_list(modalities: ModKey | Iterable[ModKey]) -> list[ModKey]:
    """Return one modality or several as a list.

    Examples
    --------
    >>> as_list("imc"), as_list(("he", "imc"))
    (['imc'], ['he', 'imc'])
    """
    if isinstance(modalities, str | Modality) or not isinstance(modalities, Iterable):
        return [modalities]
    return list(modalities)
