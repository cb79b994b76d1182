"""Rules about pixels: every image and mask of a dataset decoded, in a deep validation."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spora_db.errors import FileFormatError, MaskNotFoundError, ReaderError, SporaError, TableError
from spora_db.files.processors import usable_cpus
from spora_db.images import open_image
from spora_db.images.base import MissingChunks, missing_chunks_in
from spora_db.images.regions import read_through
from spora_db.layout import Dataset, Lake, list_masks
from spora_db.masks import load_label_mask, load_tissue_mask
from spora_db.masks.centroids import instance_centroids
from spora_db.masks.label_encoders import class_ids
from spora_db.plan.cell_checks import ListedCells
from spora_db.plan.mask_parts import CELLS
from spora_db.validation.findings import Finding
from spora_db.validation.tables import read_encoder

if TYPE_CHECKING:
    pass

from spora_db.validation.headers import Fault, Image, finding_of


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskFile:
    """One mask, what it shows, the image whose size it must have, and the cells that a table says are in it."""

    dataset: str
    kind: str
    path: Path
    image: Image | None
    labels: frozenset[int] | None
    cells: ListedCells | None = None


def check_pixels(
    dataset: Dataset,
    images: list[Image],
    lake: Lake,
    *,
    missing_chunks: MissingChunks = "error",
    cells: Mapping[str, ListedCells],
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Finding]:
    """Decode every pixel of the images and masks of a dataset, and yield what is wrong.

    Parameters
    ----------
    dataset
        The dataset.
    images
        Those whose headers could be read.
    lake
        The lake.
    missing_chunks
        What an absent chunk of an image is; white is for brightfield alone.
    cells
        The cells of the table, by tissue.
    progress
        Called with how many of how many files are done.
    """
    by_tissue: dict[tuple[float, str], Image] = {(image.mpp, image.tissue_id): image for image in images}
    masks = list(_masks(dataset, by_tissue, cells))
    total = len(images) + len(masks)
    with ThreadPoolExecutor(max_workers=usable_cpus()) as pool:
        jobs = [(image.path, pool.submit(_read_image, image, missing_chunks)) for image in images]
        jobs += [(mask.path, pool.submit(_read_mask, mask)) for mask in masks]
        for done, (path, job) in enumerate(jobs, start=1):
            for fault in job.result():
                yield finding_of(fault, dataset=dataset.name, file=lake.relative(path))
            if progress is not None:
                progress(done, total)


def _masks(
    dataset: Dataset, images: Mapping[tuple[float, str], Image], cells: Mapping[str, ListedCells]
) -> Iterator[MaskFile]:
    """Yield the masks of a dataset with the labels that their encoder knows; None where there is no encoder."""
    encoders = {(table.mpp, table.task): table.path for table in dataset.tables if table.kind == "label_encoder"}
    for folder in dataset.mask_folders:
        labels = None
        if (folder.mpp, folder.kind) in encoders:
            _, ids = read_encoder(encoders[folder.mpp, folder.kind])
            labels = frozenset(number for number in class_ids(ids) if number is not None) or None
        try:
            tissues = list_masks(folder)
        except FileFormatError:  # a name that is no text, found by the rules of folders
            continue
        for tissue_id in tissues:
            yield MaskFile(
                dataset=dataset.name,
                kind=folder.kind,
                path=folder.path / f"{tissue_id}.npz",
                image=images.get((folder.mpp, tissue_id)),
                labels=labels,
                cells=cells[tissue_id].at(folder.mpp) if folder.kind == CELLS and tissue_id in cells else None,
            )


def _read_image(image: Image, missing_chunks: MissingChunks) -> list[Fault]:
    """Decode an image band by band."""
    odd = 0
    try:
        reader = open_image(image.path, missing_chunks=missing_chunks_in(image.modality, missing_chunks))
        for block in read_through(reader):
            if block.pixels.dtype.kind == "f":
                odd += block.pixels.size - int(np.count_nonzero(np.isfinite(block.pixels)))
        reader.close()
    except SporaError as error:
        return [("image_pixels", error)]
    return [("image_values", f"{odd:,} pixels are NaN or infinite.")] if odd else []


def _read_mask(mask: MaskFile) -> list[Fault]:
    """Read a mask, and compare it with its image and its encoder."""
    load = load_tissue_mask if mask.kind == "tissue" else load_label_mask
    try:
        pixels = load(mask.path)
    except (FileFormatError, MaskNotFoundError, ReaderError) as error:
        return [("masks_readable", error)]
    image = mask.image
    if image is not None and pixels.shape != (image.height, image.width):
        sizes = f"{pixels.shape[0]} x {pixels.shape[1]}, but the image {image.path} is {image.height} x {image.width}"
        return [("mask_sizes", f"It is {sizes} (height x width).")]
    if mask.kind == "tissue" and not pixels.any():
        return [("mask_empty", "No pixel is tissue.")]
    if mask.labels is not None:
        unknown = sorted(set(np.unique(pixels).tolist()) - mask.labels - {0})
        if unknown:
            listed = ", ".join(map(str, unknown[:10]))
            return [("mask_labels", f"The label encoder has no id {listed}.")]
    if mask.cells is not None:
        try:
            found = instance_centroids(pixels.astype(np.int32, copy=False), path=mask.path)
            mask.cells.check_mask(found, mask=mask.path)
        except FileFormatError as error:
            return [("masks_readable", str(error))]
        except TableError as error:
            return [("cells_in_masks", str(error))]
        if (known := len(mask.cells.cell_id)) < len(found):
            return [("cells_listed", f"The table lists {known:,} of its {len(found):,} cells.")]
    return []
