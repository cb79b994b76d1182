"""The long listings: images and masks of a folder, read when somebody asks for them."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from spora_db.errors import FileFormatError, TableError
from spora_db.layout.lake import ImageFolder, MaskFolder
from spora_db.layout.names import IMAGE_SUFFIXES

logger = logging.getLogger(__name__)

TISSUE = "tissue"
"""The kind of the masks that say where the tissue is; all other kinds are folders of ``cell_masks``."""
NOT_A_CELL_TASK = "Ignored %s: no cell task can have this name. Rename the folder."
INSTANCES = ("instances", "instances_virtues")
"""Folders of ``cell_masks`` that number cells; all others are tasks, which number classes."""


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, sorted; hidden ones are left out, an absent folder is empty."""
    try:
        names = [name for name in sorted(os.listdir(folder)) if name[0] != "."]  # noqa: PTH208 - half the time
    except (FileNotFoundError, NotADirectoryError):
        return []
    try:
        "".join(names).encode()
    except UnicodeEncodeError as error:
        message = f"{folder} holds a file whose name is not UTF-8 text; rename it."
        raise FileFormatError(message) from error
    return names


def folders_in(folder: Path) -> list[Path]:
    """Return the sub-folders of a folder, sorted, symbolic links followed."""
    return [folder / name for name in names_in(folder) if (folder / name).is_dir()]


def seen_in(folder: ImageFolder | MaskFolder) -> list[str]:
    """Return the names in a folder, sorted, but for those that a later layer has too."""
    hidden = {name for above in folder.above for name in names_in(above)}
    names = names_in(folder.path)
    return [name for name in names if name not in hidden] if hidden else names


def list_images(folder: ImageFolder) -> Iterator[tuple[str, str, list[str]]]:
    """Yield (suffix, format, sorted tissue ids) for each image suffix in one folder, from one listing of it."""
    names = seen_in(folder)
    every, seen = "/".join([*names, ""]), set[str]()
    for suffix, image_format in IMAGE_SUFFIXES.items():
        if f"{suffix}/" not in every:  # mostly all names have the same, and 50,000 are looked through in 3 ms
            continue
        ids = [name.removesuffix(suffix) for name in names if name.endswith(suffix)]
        if twice := seen.intersection(ids):
            message = f"{folder.path} holds several images of tissue {min(twice)!r}; keep one of its files."
            raise TableError(message)
        seen.update(ids)
        yield suffix, image_format, ids


def list_masks(folder: MaskFolder) -> list[str]:
    """Return the sorted tissue ids that have a mask (``<tissue_id>.npz``) in one folder."""
    return [name.removesuffix(".npz") for name in seen_in(folder) if name.endswith(".npz")]


def cell_mask_folders(folder: Path) -> list[Path]:
    """Return the folders of cell masks below ``cell_masks``, sorted: ``instances``, and one per cell task.

    What `is_cell_mask` refuses is no kind of mask: it is passed over, with a warning.
    """
    found = folders_in(folder)
    for task in found:
        if not is_cell_mask(task.name):
            logger.warning(NOT_A_CELL_TASK, task)
    return [task for task in found if is_cell_mask(task.name)]


def is_cell_mask(name: str) -> bool:
    r"""Tell whether a folder of cell masks can be told from all others by its name.

    Masks of kind ``tissue`` are those of ``tissue_masks``, and a name must be one that `check_name` lets stand in a
    path.

    Examples
    --------
    >>> is_cell_mask("cell_type"), is_cell_mask("tissue"), is_cell_mask("a\\b")
    (True, False, False)
    """
    return name != TISSUE and "\\" not in name
