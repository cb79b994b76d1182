"""Which tissues of which datasets a run concerns: from folder listings, at one resolution."""

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from spora_db.errors import FileFormatError, MaskNotFoundError, SporaError
from spora_db.images import image_header
from spora_db.layout import Dataset, Lake, check_name, list_images, list_masks, mask_folder
from spora_db.masks import mask_size
from spora_db.tiling import TilingParameters
from spora_db.tiling.tiling import least_valid


@dataclass(frozen=True, slots=True, kw_only=True)
class Tissue:
    """One tissue at one resolution.

    Attributes
    ----------
    tissue_id
        Its name.
    mask
        Where its tissue mask is, or would be.
    images
        (modality, path) of its images, sorted by modality.
    """

    tissue_id: str
    mask: Path
    images: tuple[tuple[str, Path], ...] = ()

    def image(self, modality: str) -> Path | None:
        """Return the image of a modality, None where there is none."""
        return dict(self.images).get(modality)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """The tissues of one dataset at one resolution, sorted by name.

    Attributes
    ----------
    dataset
        Its place in the lake.
    mpp
        Microns per pixel.
    tissues
        Every tissue with a mask or an image there.
    masks
        How many tissue masks there are.
    """

    dataset: Dataset
    mpp: float
    tissues: tuple[Tissue, ...]
    masks: int

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.dataset.name


def cohort_of(dataset: Dataset, *, mpp: float) -> Cohort:
    """List the tissues of a dataset at a resolution.

    Raises
    ------
    TableError
        A tissue has several images in one folder.
    """
    images: dict[str, list[tuple[str, Path]]] = {}
    for folder in dataset.image_folders:
        if folder.mpp == mpp:
            for suffix, _, ids in list_images(folder):
                for tissue in ids:
                    images.setdefault(tissue, []).append((folder.modality, folder.path / f"{tissue}{suffix}"))
    masked: set[str] = set()
    for masks in dataset.mask_folders:
        if masks.mpp == mpp and masks.kind == "tissue":
            masked.update(list_masks(masks))
    folder_of_masks = mask_folder(dataset.path, "tissue", mpp=mpp)
    tissues = tuple(
        Tissue(
            tissue_id=check_name(tissue),
            mask=dataset.seen(folder_of_masks / f"{tissue}.npz"),
            images=tuple(sorted(images.get(tissue, []))),
        )
        for tissue in sorted({*images, *masked})
    )
    return Cohort(dataset=dataset, mpp=mpp, tissues=tissues, masks=len(masked))


def resolutions(datasets: Iterable[Dataset]) -> str:
    """Return the resolutions that images or masks of datasets have, for messages."""
    found: set[float] = set()
    for dataset in datasets:
        found.update(folder.mpp for folder in dataset.image_folders)
        found.update(folder.mpp for folder in dataset.mask_folders)
    return ", ".join(f"{mpp:g}" for mpp in sorted(found)) or "none"


def no_masks(lake: Lake, cohorts: tuple[Cohort, ...], *, mpp: float) -> MaskNotFoundError:
    """Return the error for a run in which no tissue has a mask."""
    places = ", ".join(str(mask_folder(cohort.dataset.path, "tissue", mpp=mpp)) for cohort in cohorts[:3])
    return MaskNotFoundError(
        f"There is no tissue mask at {mpp:g} mpp in {places or lake.path}. Expected files <tissue_id>.npz with a 2-D "
        f"array named 'mask'. Images and masks of this lake are at these resolutions: {resolutions(lake.datasets)}."
    )


def size_of_images(tissue: Tissue) -> tuple[tuple[int, int] | None, Path | None]:
    """Return (height, width) of a tissue's images, which all must have, and one of them; Nones where there is none.

    Raises
    ------
    FileFormatError
        Two images differ in size, or one is broken.
    """
    known: tuple[tuple[int, int], Path] | None = None
    for _, path in tissue.images:
        header = image_header(path)
        size = (header.height, header.width)
        known = known or (size, path)
        if size != known[0]:
            raise FileFormatError(
                f"The images of tissue {tissue.tissue_id!r} differ in size (height x width): {known[1]} is "
                f"{known[0][0]} x {known[0][1]}, {path} is {size[0]} x {size[1]}. At one resolution all must be "
                "aligned, pixel by pixel."
            )
    return known or (None, None)


def too_large(cohort: Cohort, parameters: TilingParameters) -> str:
    """Say that no image of a cohort has room for a tile, and how large the largest is; empty where one may have.

    Tiles may reach over the edge of an image, as far as their share of tissue allows, but not over all edges of all.
    Images are looked at until there is room: mostly one.
    """
    size, least = parameters.tile_size, least_valid(parameters)
    largest: tuple[int, int, int, str] = (0, 0, 0, "")
    for tissue in cohort.tissues:
        file = tissue.images[0][1] if tissue.images else tissue.mask
        try:
            header = image_header(file) if tissue.images else None
            height, width = (header.height, header.width) if header else mask_size(file)
        except (SporaError, OSError):
            return ""  # the tissue's own unit tells what is wrong
        if size <= max(height, width) and min(height, size) * min(width, size) >= least:
            return ""
        largest = max(largest, (height * width, height, width, file.name))
    _, height, width, name = largest
    over = f" Over an edge they reach only as far as the tolerance ({parameters.tolerance:g}) allows."
    return (
        f"Tiles of {size} x {size} pixels are larger than every image of dataset {cohort.name!r} at {cohort.mpp:g} "
        f"mpp: the largest, {name}, has {height} x {width} (height x width). Give a smaller tile size (--tile-size)."
        f"{over if size <= max(height, width) else ''}"
    )


def mask_bytes(path: Path) -> int:
    """Return how large a mask says that it is when it is unpacked; 0 where it cannot be told."""
    try:
        with zipfile.ZipFile(path) as archive:
            return min(max((entry.file_size for entry in archive.infolist()), default=0), 2**36)
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):  # the unit finds out what is wrong with it
        return 0
