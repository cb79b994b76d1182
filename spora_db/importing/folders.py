"""Finding the images of an import below a folder, however deep, and what lies there that is none."""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from spora_db.errors import ArgumentError, FileFormatError, ImageNotFoundError
from spora_db.images import open_image
from spora_db.images.base import ChannelAxis
from spora_db.images.conversions import PICTURES, conversion, conversions
from spora_db.images.formats import SLIDES
from spora_db.images.imc import MCD, is_imc_text
from spora_db.importing.decisions import Decision, listed
from spora_db.importing.fields import (
    STORES,
    TIFFS,
    Field,
    distinct,
    field_of_channels,
    field_of_file,
    images_in,
    stem,
    usable_id,
    without_suffix,
)
from spora_db.importing.mask_names import NO_MASKS, split_mask_name, without_ending
from spora_db.importing.name_patterns import fields_of_pattern

_BESIDE: Final = re.compile(r"(?:^|[_\W])(?:thumb(?:nail)?s?|preview|macro)(?:[_\W]|$)", re.IGNORECASE)
"""Pictures beside images that are none."""
_CHANNELS: Final = frozenset((
    "tif", "tiff", "tifs", "tiffs", "image", "images", "img", "imgs", "channels", "planes", "single_channel", "ome",
))  # fmt: skip
"""Folders of channels whose names say nothing: the folder above names the field."""
_NO_IMAGES: Final = frozenset((
    "mask", "masks", "cell_masks", "tissue_masks", "segmentation", "segmentations", "labels", "probability-maps",
    "probability_maps", "probabilities", "qc", "quantification", "overlay", "overlays", "thumbnails", "intensities",
    "regionprops", "deepcell_output", "__macosx",
))  # fmt: skip
"""Folders beside those of images, in projects of steinbock, mcmicro and others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leaf:
    """A folder that holds images itself."""

    folder: Path
    images: tuple[Path, ...]


def find_fields(
    source: Path,
    *,
    channel_axis: ChannelAxis = "c",
    pattern: str | None = None,
    besides: Collection[Path] = (),
    is_marker: Callable[[str], bool] = lambda name: False,
) -> tuple[list[Field], list[Decision]]:
    """List the fields of view of a source, sorted by tissue id, and what was decided.

    Parameters
    ----------
    source
        An image; or a folder that holds, at any depth, images, or a folder of single-channel TIFFs per field of view.
    channel_axis
        The axis along which the channels lie in the images.
    pattern
        How the paths below the source name tissues, such as ``{patient}/{tissue}_{channel}.tiff``.
    besides
        Folders of masks and tables.
    is_marker
        Tells whether a name is that of a known marker: TIFFs with such names, directly in the source, are channels.

    Raises
    ------
    ImageNotFoundError
        There is no image.
    ArgumentError
        Images and folders of images are mixed, a name is used twice or can be no tissue id.
    FileFormatError
        An image cannot be read, or the files of a field differ.
    """
    if not source.exists():
        raise ImageNotFoundError(f"There is nothing at {source}. Give an image, or a folder of images.")
    if stem(source) is not None:
        return [field_of_file(path, channel_axis) for path in images_in([source])], []
    if not source.is_dir():
        said = conversion(source) or "Write a scanner's own format as OME-TIFF or OME-Zarr first."
        raise FileFormatError(
            f"{source} is no image that can be imported. {said} Expected a file {', '.join((*TIFFS, *SLIDES))}, a "
            f"folder {', '.join(STORES)}, or a folder of them."
        )
    left: list[Path] = []
    leaves = _leaves(source, {path.resolve() for path in besides}, left, may_mix=pattern is not None)
    if not leaves:
        shown = ", ".join(path.name for path in sorted(source.iterdir())[:8]) or "nothing"
        raise ImageNotFoundError(
            f"There is no image in {source}; it holds {shown}. Expected files {', '.join((*TIFFS, *SLIDES))}, folders "
            f"{', '.join(STORES)}, or one folder of single-channel TIFFs per field of view. "
            f"{conversions(path for path in source.rglob('*') if path.is_file())}".rstrip()
        )
    decisions = []
    if left:
        shown = listed([path.relative_to(source).as_posix() for path in left])
        decisions.append(Decision(about="images", says=f"Left out of {source.name}, as no images: {shown}."))
    beside = (path for leaf in leaves for path in leaf.folder.iterdir() if path.suffix.lower() not in PICTURES)
    if others := conversions(beside):
        decisions.append(Decision(about="images", says=f"Left out, as not read. {others}", warning=True))
    if pattern is not None:
        images = [path for leaf in leaves for path in leaf.images]
        fields, more = fields_of_pattern(source, images, pattern, channel_axis=channel_axis)
        return distinct(sorted(fields, key=lambda item: item.tissue_id)), [*decisions, *more]
    fields = []
    for leaf in leaves:
        here, more = _of_leaf(leaf, source, channel_axis, is_marker)
        fields += here
        decisions += more
    fields, more = _named(fields, source)
    return distinct(sorted(fields, key=lambda item: item.tissue_id)), [*decisions, *more]


def _leaves(folder: Path, besides: Collection[Path], left: list[Path], *, may_mix: bool) -> list[_Leaf]:
    """Return the folders that hold images, from a folder down; what is passed over is added to `left`."""
    inside = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    images = [path for path in inside if stem(path) is not None]
    none = _beside(images)
    left.extend(sorted(none))
    images = [path for path in images if path not in none]
    folders: list[tuple[Path, list[_Leaf]]] = []
    for path in inside:
        if not path.is_dir() or stem(path) is not None or path.resolve() in besides:
            continue
        found = _leaves(path, besides, [] if path.name.casefold() in _NO_IMAGES else left, may_mix=may_mix)
        if found:
            folders.append((path, found))
    other = [(path, found) for path, found in folders if path.name.casefold() not in _NO_IMAGES]
    if images or other:
        left.extend(path for path, _ in folders if path.name.casefold() in _NO_IMAGES)
        folders = other
    if images and folders and not may_mix:
        raise ArgumentError(
            f"{folder} holds both images ({images[0].name}) and folders of images ({folders[0][0].name}). Give the "
            "images as files, or as one folder of single-channel TIFFs per field of view, not both; or say which are "
            "meant with pattern (--pattern)."
        )
    here = [_Leaf(folder=folder, images=tuple(images_in(images)))] if images else []
    return [*here, *(leaf for _, found in folders for leaf in found)]


def _beside(images: Sequence[Path]) -> set[Path]:
    """Return those files of a folder that are thumbnails, probabilities, or masks of the others or of the folder."""
    stems = {path: stem(path) or "" for path in images}
    others = {name for name in stems.values() if name}
    others |= {without_ending(name) for name in others}
    has_mcd = any(path.suffix.lower() == MCD for path in images)
    return {path for path, name in stems.items() if (has_mcd and is_imc_text(path)) or _is_beside(path, name, others)}


def _is_beside(path: Path, name: str, others: Collection[str]) -> bool:
    """Tell whether a file is none of the images, by its name among those of the others."""
    if _BESIDE.search(name):
        return True
    if NO_MASKS.search(path.name):
        return any(name.casefold().startswith(other.casefold()) for other in others if other != name)
    image, part = split_mask_name(path.name)
    of_folder = image == path.parent.name and part in ("", "cell")  # a channel may be called nuclei
    return image != name and (image in others or of_folder)


def _of_leaf(
    leaf: _Leaf, source: Path, channel_axis: ChannelAxis, is_marker: Callable[[str], bool]
) -> tuple[list[Field], list[Decision]]:
    """Return the fields of a folder: its images, or the one that it is, of a file per channel."""
    files = [path for path in leaf.images if path.is_file()]
    alone = [path for path in files if leaf.folder != source and open_image(path).shape[0] == 1]
    if leaf.folder == source and len(files) > 2 and sum(is_marker(stem(path) or "") for path in files) * 2 > len(files):
        alone = [path for path in files if open_image(path).shape[0] == 1]
    if not alone:
        made = [field_of_file(path, channel_axis) for path in leaf.images]
        return [replace(item, place=_place(item.origin, source)) for item in made], []
    folder = leaf.folder
    if folder.name.casefold() in _CHANNELS and folder != source:
        folder = folder.parent
    field = field_of_channels(folder, files)
    if folder != source:
        return [replace(field, place=_place(folder, source))], []
    says = (
        f"The {len(files)} files of {source.name} have one channel each and the names of markers: they are one image, "
        f"{field.tissue_id!r}. Give the folder above for several images, or a pattern (--pattern)."
    )
    return [replace(field, place=folder.name)], [Decision(about="images", says=says, warning=True)]


def _place(path: Path, source: Path) -> str:
    return without_suffix(path.relative_to(source).as_posix()) if path != source else path.name


def _named(fields: Sequence[Field], source: Path) -> tuple[list[Field], list[Decision]]:
    """Name tissues by their folders too where their own names repeat, and keep the folders."""
    folders = [item.place.rpartition("/")[0] for item in fields]
    names = [item.tissue_id.casefold() for item in fields]
    decisions = []
    made = list(fields)
    if len(set(names)) < len(names) and len(set(zip(folders, names, strict=True))) == len(names):
        made = [
            replace(item, tissue_id=usable_id(item.place.replace("/", "_"), item.origin)) if item.place else item
            for item in fields
        ]
        ids = listed([item.tissue_id for item in made])
        says = f"Names repeat in the folders of {source.name}, so tissues have both: {ids}."
        decisions.append(Decision(about="images", says=says))
    if any(folders):
        made = [replace(item, found={"folder": folder}) for item, folder in zip(made, folders, strict=True)]
        says = (
            f"The folders of the images are kept as the column 'folder': {listed(sorted(set(folders)), most=6)}. Where "
            "they are patients, say so with pattern (--pattern '{patient}/{tissue}.tiff')."
        )
        decisions.append(Decision(about="images", says=says))
    return made, decisions
