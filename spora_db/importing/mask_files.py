"""Which file of a folder is the mask of which tissue, and of which part of its cells."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spora_db.errors import MaskNotFoundError, TableError
from spora_db.images import open_image
from spora_db.importing.decisions import Decision, listed
from spora_db.importing.fields import STORES, TIFFS, is_store
from spora_db.importing.mask_names import NO_MASKS, MaskPart, bare_name, split_mask_name
from spora_db.importing.page_names import page_names
from spora_db.importing.tissue_ids import TissueName, join_values

SUFFIXES: Final = (".npz", ".npy", ".png", *TIFFS)
INSTANCES: Final = "instances"


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskSource:
    """A mask: its file, the channel of it where it has several, and what its labels are."""

    path: Path
    part: MaskPart = ""
    page: int | None = None


def find_tissue_masks(
    folder: Path, names: Sequence[TissueName], *, images: Collection[Path] = ()
) -> tuple[dict[str, MaskSource], list[Decision]]:
    """Return the tissue mask of each tissue, and what was decided; `images` in the folder are none.

    Raises
    ------
    MaskNotFoundError
        A tissue has none.
    TableError
        A tissue has several.
    """
    found, decisions = _found(folder, names, images)
    for tissue, sources in found.items():
        if len(sources) > 1:
            raise _several(folder, tissue, sources)
    return {tissue: sources[0] for tissue, sources in found.items()}, decisions


def find_cell_masks(
    folder: Path, names: Sequence[TissueName], *, images: Collection[Path] = ()
) -> tuple[dict[str, dict[str, MaskSource]], list[Decision]]:
    """Return the cell masks of each tissue by the name that the dataset gives them, and what was decided.

    Whole cells are the ``instances``; where there are none, the only part that there is. Other parts, such as
    ``nuclear``, go beside them.

    Raises
    ------
    MaskNotFoundError
        A tissue has no mask of its cells.
    TableError
        A tissue has several of one part, or it cannot be told which are the cells.
    """
    found, decisions = _found(folder, names, images)
    cells = _parts_of_cells(folder, found)
    kept = {tissue: _by_kind(folder, tissue, sources, cells) for tissue, sources in found.items()}
    parts: dict[str, set[str]] = {}
    for masks in kept.values():
        for kind, source in masks.items():
            parts.setdefault(kind, set()).update({str(source.part)} - {""})
    said = "; ".join(f"{kind} (files of {', '.join(sorted(of))})" if of else kind for kind, of in parts.items())
    first = next(iter(kept.values()))[INSTANCES].path.name
    says = f"Cell masks of {folder.name}: {said}; the first is {first}."
    return kept, [*decisions, Decision(about="masks", says=says)]


def _parts_of_cells(folder: Path, found: Mapping[str, Sequence[MaskSource]]) -> Collection[MaskPart]:
    """Return the parts whose masks are the instances."""
    parts = {source.part for sources in found.values() for source in sources}
    if parts & {"", "cell"}:
        return "", "cell"
    if len(parts) > 1:
        raise TableError(
            f"{folder} has masks of {listed(sorted(parts))}, and none of whole cells. Expected one kind, or names "
            "that end in _whole_cell. Give the folder of one kind."
        )
    return parts


def _by_kind(
    folder: Path, tissue: str, sources: Sequence[MaskSource], cells: Collection[MaskPart]
) -> dict[str, MaskSource]:
    """Return the masks of a tissue by the name that the dataset gives them."""
    whole = [source for source in sources if source.part in cells]
    if not whole:
        raise MaskNotFoundError(
            f"There is no mask of the cells of {tissue!r} in {folder}, only of {listed([s.part for s in sources])}. "
            "Other tissues have one. Add it."
        )
    beside = {str(source.part): source for source in sources if source.part not in cells}
    if len(whole) > 1 or len(beside) < len(sources) - 1:
        raise _several(folder, tissue, sources)
    return {INSTANCES: whole[0], **beside}


def _found(
    folder: Path, names: Sequence[TissueName], images: Collection[Path]
) -> tuple[dict[str, list[MaskSource]], list[Decision]]:
    """Return the masks of each tissue, of which each has at least one."""
    if not folder.is_dir():
        return {names[0].tissue_id: _channels(folder, "")}, []
    exact = {name.tissue_id for name in names}
    files: list[Path] = []
    no_masks: list[Path] = []
    for path in _masks_below(folder):
        if path.resolve() in images:
            continue
        (no_masks if NO_MASKS.search(path.name) and _stem(path) not in exact else files).append(path)
    places = {path: _place(path, folder, exact) for path in files}
    join = join_values(list(dict.fromkeys(place for place, _ in places.values())), names, what=f"The folder {folder}")
    found: dict[str, list[MaskSource]] = {}
    for path, (place, part) in places.items():
        if place in join.tissues:
            found.setdefault(join.tissues[place], []).extend(_channels(path, part))
    for name in names:
        if not found.get(name.tissue_id):
            raise MaskNotFoundError(
                f"There is no mask of {name.tissue_id!r} in {folder}. Expected {name.tissue_id}<suffix>, "
                f"{name.tissue_id}_mask<suffix> or with another known ending, with {', '.join(SUFFIXES)}. It holds "
                f"{listed([path.name for path in files]) or 'no mask'}."
            )
    return found, _told(folder, places, join.tissues, no_masks)


def _told(
    folder: Path, places: Mapping[Path, tuple[str, MaskPart]], tissues: Mapping[str, str], no_masks: Sequence[Path]
) -> list[Decision]:
    decisions = []
    left = [path.name for path, (place, _) in places.items() if place not in tissues]
    if left:
        says = f"Left out of {folder.name}, without an image here: {listed(left)}."
        decisions.append(Decision(about="masks", says=says))
    if no_masks:
        says = f"Left out of {folder.name}, as no masks by their names: {listed([path.name for path in no_masks])}."
        decisions.append(Decision(about="masks", says=says))
    odd = {place: tissue for place, tissue in tissues.items() if place.rsplit("/", 1)[-1] != tissue}
    if odd:
        pairs = ", ".join(f"{place!r} is {tissue!r}" for place, tissue in list(odd.items())[:6])
        says = f"Masks of {folder.name} were joined by other spellings: {pairs}."
        decisions.append(Decision(about="masks", says=says))
    return decisions


def _masks_below(folder: Path) -> Iterator[Path]:
    """Yield the mask files and stores below a folder."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if is_store(path) or (path.is_file() and path.name.lower().endswith(SUFFIXES)):
            yield path
        elif path.is_dir():
            yield from _masks_below(path)


def _stem(path: Path) -> str:
    lowered = path.name.lower()
    return next((path.name[: -len(suffix)] for suffix in (*SUFFIXES, *STORES) if lowered.endswith(suffix)), path.name)


def _place(path: Path, folder: Path, exact: set[str]) -> tuple[str, MaskPart]:
    """Return what a mask says of its image, with the folders that lie between, and of its part."""
    stem, part = split_mask_name(path.name)
    if _stem(path) in exact:
        stem, part = _stem(path), ""
    parents = list(path.relative_to(folder).parts[:-1])
    if not part and parents and not (inner := split_mask_name(parents[-1]))[0]:
        part = inner[1]  # a folder for each part
        parents.pop()
    if not stem and parents:
        stem = bare_name(parents.pop())  # a folder for each image
    return "/".join([*parents, stem]), part


def _channels(path: Path, part: MaskPart) -> list[MaskSource]:
    """Return the masks in a file: one, or those of its channels whose names say what they are."""
    if not (path.name.lower().endswith(TIFFS) or path.is_dir()):
        return [MaskSource(path=path, part=part)]
    count = open_image(path).shape[0]
    names = page_names(path, count) if count > 1 else (None,)
    if not any(names):
        return [MaskSource(path=path, part=part)]
    sources = []
    for page, name in enumerate(names):
        if name is None or NO_MASKS.search(name):
            continue
        stem, here = split_mask_name(name)
        if not stem and here:
            sources.append(MaskSource(path=path, part=here, page=page))
    if not sources:
        raise TableError(
            f"The mask {path} has the channels {listed(names)}, of which none is called cells or nuclei. Write the "
            "mask that is meant to a file of its own."
        )
    return sources


def _several(folder: Path, tissue: str, sources: Sequence[MaskSource]) -> TableError:
    return TableError(
        f"{folder} has several masks of {tissue!r}: {', '.join(source.path.name for source in sources)}. Keep one."
    )
