"""Writing one tissue of an import: its image and its masks."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spora_db.arrays import AnyArray
from spora_db.errors import ArgumentError, FileFormatError
from spora_db.images.base import MissingChunks
from spora_db.images.resampling import PixelSource
from spora_db.importing.fields import Field
from spora_db.importing.mask_files import MaskSource
from spora_db.importing.masks import read_mask
from spora_db.importing.options import ImageChoice, SourceMpp, TissueMaskChoice
from spora_db.importing.slides import all_planes, image_source, made_mask, write_enlarged, write_image
from spora_db.layout import image_folder, mask_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class TissueJob:
    """What is to be written of one field, and where."""

    field: Field
    pages: tuple[int, ...]
    names: tuple[str, ...]
    folder: Path
    modality: str
    is_rgb: bool
    mpp: float
    source_mpp: SourceMpp
    images: ImageChoice
    missing_chunks: MissingChunks
    mask: MaskSource | None
    tissue_mask: TissueMaskChoice
    cell_masks: Mapping[str, MaskSource]
    wrote: Callable[[int], object] | None = None


def write_masks(job: TissueJob) -> None:
    """Write the masks of one tissue that were given."""
    if job.mask is not None:
        _write_mask(job, "tissue", read_mask(job.mask, job.field, missing_chunks=job.missing_chunks) > 0)
    for kind, source in job.cell_masks.items():
        labels = read_mask(source, job.field, missing_chunks=job.missing_chunks)
        if labels.dtype.kind != "b" and (int(labels.min()) < 0 or int(labels.max()) > np.iinfo(np.int32).max):
            raise FileFormatError(
                f"The cell mask {source.path} holds labels from {labels.min()} to {labels.max()}; expected cell "
                "numbers of 32 bits, 0 for background."
            )
        _write_mask(job, kind, labels.astype(np.int32))


def write_tissue(job: TissueJob) -> float | None:
    """Write the masks and the image of one tissue; return which share of it is tissue where its mask was made here.

    Masks that were given come first: a broken one is told before a slide is converted, not after.
    """
    write_masks(job)
    levels = _write_image(job)
    if job.mask is not None:
        return None
    mask, factor = made_mask(levels, method=job.tissue_mask, mpp=job.mpp, is_rgb=job.is_rgb)
    _, height, width = levels[0].shape
    write_enlarged(_mask_file(job, "tissue"), mask, factor=factor, height=height, width=width)
    return float(mask.mean())


def _write_image(job: TissueJob) -> list[PixelSource]:
    """Write the image, and return it in the resolutions that it has now."""
    place = image_folder(job.folder, job.modality, mpp=job.mpp)
    place.mkdir(parents=True, exist_ok=True)
    source = image_source(
        job.field, job.pages, mpp=job.mpp, source_mpp=job.source_mpp, missing_chunks=job.missing_chunks
    )
    if job.images in ("link", "copy"):
        _take_over(job, place)
        return [source]
    path = place / f"{job.field.tissue_id}.ome.{'zarr' if job.images == 'zarr' else 'tiff'}"
    write_image(path, source, mpp=job.mpp, names=job.names, is_rgb=job.is_rgb, wrote=job.wrote)
    return all_planes(path)


def file_to_take_over(field: Field, pages: Sequence[int], *, is_rgb: bool) -> Path:
    """Return the file of a field that can be linked or copied as it is.

    Raises
    ------
    ArgumentError
        It is several files, or does not hold the channels of the panel in their order.
    """
    if field.file is None:
        raise ArgumentError(
            f"{field.origin} is a folder of single-channel files, which cannot be linked or copied as one image. "
            "Use images 'zarr' or 'tiff'."
        )
    if tuple(pages) != tuple(range(len(field.pages))) and not (is_rgb and len(field.pages) == 4):
        raise ArgumentError(
            f"{field.file} does not hold the panel's channels in the panel's order (its pages in that order: "
            f"{', '.join(map(str, pages))} of {len(field.pages)}), so it cannot be linked or copied as it is. "
            "Use images 'zarr' or 'tiff', or order the panel as the image."
        )
    return field.file


def _take_over(job: TissueJob, place: Path) -> None:
    """Link or copy an image file as it is."""
    file = file_to_take_over(job.field, job.pages, is_rgb=job.is_rgb)
    suffix = ".ome.zarr" if file.is_dir() else ".ome.tiff"
    target = place / f"{job.field.tissue_id}{suffix}"
    if job.images == "link":
        target.symlink_to(Path(os.path.abspath(file)), target_is_directory=file.is_dir())  # noqa: PTH100
    elif file.is_dir():
        shutil.copytree(file, target)
    else:
        shutil.copyfile(file, target)


def _write_mask(job: TissueJob, kind: str, mask: AnyArray) -> None:
    np.savez_compressed(_mask_file(job, kind), mask=mask)


def _mask_file(job: TissueJob, kind: str) -> Path:
    folder = mask_folder(job.folder, kind, mpp=job.mpp)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{job.field.tissue_id}.npz"
