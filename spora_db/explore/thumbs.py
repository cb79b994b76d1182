"""Small pictures of rows of an answer: a tile, the place around a cell, or a whole tissue, as float16 planes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from spora_db.arrays import AnyArray, Int64
from spora_db.asking import explained
from spora_db.errors import ArgumentError, SporaError
from spora_db.explore.images import ShownImages
from spora_db.explore.limits import CHANNELS, THUMB, THUMBS
from spora_db.explore.opened import OpenedImage
from spora_db.explore.results import KeptAnswer
from spora_db.images.resampling import Coarser, Held
from spora_db.layout.names import is_rgb

AROUND: Final = 64
"""Pixels of a side of the place around a cell."""
CENTRES: Final = (("centroid_row", "centroid_col"), ("centroid-0", "centroid-1"), ("row", "col"))
IDENTITY: Final = (
    "dataset", "tissue_id", "modality", "mpp", "strategy", "tile_size", "tile_id", "cell_id", "row", "col",
    "centroid_row", "centroid_col", "centroid-0", "centroid-1",
)  # fmt: skip
"""Columns that say what a row shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in an image a row lies, in its pixels."""

    row: int
    col: int
    height: int
    width: int


def place_of(row: Mapping[str, Any], image: OpenedImage) -> Place:
    """Return the place of a row: its tile, the surroundings of its cell, or the whole image.

    Raises
    ------
    ArgumentError
        It lies outside the image.
    """
    _, height, width = image.levels[0].shape
    found = Place(row=0, col=0, height=height, width=width)
    if row.get("tile_size") is not None and row.get("row") is not None and row.get("col") is not None:
        size = int(row["tile_size"])
        found = Place(row=int(row["row"]), col=int(row["col"]), height=size, width=size)
    else:
        for names in CENTRES:
            if all(row.get(name) is not None for name in names):
                down, across = (round(float(row[name])) - AROUND // 2 for name in names)
                found = Place(row=down, col=across, height=AROUND, width=AROUND)
                break
    top, left = max(0, found.row), max(0, found.col)
    bottom, right = min(height, found.row + found.height), min(width, found.col + found.width)
    if top >= bottom or left >= right:
        raise ArgumentError(f"The row lies outside its image of {height} x {width} pixels.")
    return Place(row=top, col=left, height=bottom - top, width=right - left)


def thumbs(
    images: ShownImages, answer: KeptAnswer, numbers: Int64, *, markers: Sequence[str], modality: str | None, size: int
) -> bytes:
    """Return pictures of rows: four bytes with the length of a head in JSON, the head, and float16 planes.

    Parameters
    ----------
    images
        The images of the lake.
    answer
        The rows are of it.
    numbers
        Which rows.
    markers
        Names or accessions of channels, one plane each; not-a-number where an image has none. Of an H&E image the
        first three planes are red, green and blue.
    modality
        For rows that say none.
    size
        Pixels of a side; a picture that is not square lies in the middle, with not-a-number around it.

    Raises
    ------
    ArgumentError
        Too many rows or channels, or too large pictures.
    """
    if len(numbers) > THUMBS or not 0 < len(markers) <= CHANNELS or not 8 <= size <= THUMB:
        raise ArgumentError(
            f"{len(numbers)} pictures of {len(markers)} channels and {size} pixels; expected at most {THUMBS} of 1 to "
            f"{CHANNELS} channels and 8 to {THUMB} pixels."
        )
    rows = answer.take(numbers, list(IDENTITY)).to_pylist()
    planes = np.full((len(rows), max(3, len(markers)), size, size), np.nan, np.float16)
    told = [_thumb(images, row, target, markers, modality) for row, target in zip(rows, planes, strict=True)]
    head = json.dumps({"shape": planes.shape, "rows": told}).encode()
    head += b" " * (-(len(head) + 4) % 8)
    return len(head).to_bytes(4, "little") + head + planes.astype("<f2").tobytes()


def _thumb(
    images: ShownImages, row: Mapping[str, Any], target: AnyArray, markers: Sequence[str], modality: str | None
) -> dict[str, Any]:
    """Fill the planes of one row; return the key of its image and by what its values were divided, or an error."""
    listed = images.of_row(row, modality=modality)
    if listed is None:
        return {"error": "no image of this row"}
    try:
        image = images.open(listed.key)
        with explained():  # such as a place that is no number
            place = place_of(row, image)
        names = [(str(channel["name"]).casefold(), channel["uniprot"]) for channel in image.channels]
        slots = {}
        for slot, marker in enumerate(markers if not is_rgb(listed.modality) else "RGB"):
            at = next((k for k, known in enumerate(names) if marker.casefold() == known[0] or marker == known[1]), None)
            if at is not None:
                slots[slot] = int(image.channels[at]["page"])
        # float16 ends at 65,504: values of wider types are halved as often as it takes
        scale = 2.0 ** max(0, 8 * image.levels[0].reader.dtype.itemsize - 15) if _is_whole(image) else 1.0
        for slot, page in slots.items():
            _fill(target[slot], images, image, page, place, scale)
    except (SporaError, OSError) as error:
        target[:] = np.nan
        return {"error": str(error)}
    return {"key": listed.key, "rgb": is_rgb(listed.modality), "scale": scale} | {
        name: getattr(place, name) for name in ("row", "col", "height", "width")
    }


def _is_whole(image: OpenedImage) -> bool:
    return image.levels[0].reader.dtype.kind in "iu"


def _fill(target: AnyArray, images: ShownImages, image: OpenedImage, page: int, place: Place, scale: float) -> None:
    """Draw one plane of a place into a square, from the coarsest level that is fine enough."""
    size = target.shape[0]
    longer = max(place.height, place.width)
    levels = [level for level in image.levels if longer / level.factor >= size] or image.levels[:1]
    level = levels[-1]
    _, tall, wide = level.shape
    top, left = min(int(place.row / level.factor), tall - 1), min(int(place.col / level.factor), wide - 1)
    height = max(1, min(tall - top, round(place.height / level.factor)))
    width = max(1, min(wide - left, round(place.width / level.factor)))
    plane = images.overviews.read(level, page, row=top, col=left, height=height, width=width)
    shrink = max(height, width) / size
    values = plane.astype(np.float32) / scale
    if shrink > 1:
        coarser = Coarser(source=Held(image=values[None]), factor=shrink)
        values = coarser.read(0, 0, *coarser.shape[1:])[0]
    elif shrink < 1:
        rows, cols = (np.arange(max(1, int(side / shrink))) for side in values.shape)
        values = values[(rows * shrink).astype(int)][:, (cols * shrink).astype(int)]
    values = values[:size, :size]
    down, across = (size - values.shape[0]) // 2, (size - values.shape[1]) // 2
    with np.errstate(over="ignore"):
        target[down : down + values.shape[0], across : across + values.shape[1]] = values
