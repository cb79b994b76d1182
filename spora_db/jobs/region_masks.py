"""Writes the regions of a lake as masks: for every pixel the number of its class, as the masks of a cell task are."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from spora_db.catalog import Catalog
from spora_db.errors import ArgumentError, WriteError
from spora_db.files.parquet import write_parquet
from spora_db.jobs.cohorts import cohort_of, resolutions, size_of_images
from spora_db.layout import INSTANCES, TISSUE, Dataset, LakePath, mask_folder, parse_mpp, scan
from spora_db.masks.writing import write_mask
from spora_db.regions.tissue import TissueRegions

CLASSES = "SELECT DISTINCT class FROM regions WHERE class IS NOT NULL ORDER BY class"
ROWS = "SELECT region_id, class, mpp, polygon FROM regions WHERE tissue_id = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionMaskReport:
    """What was written.

    Attributes
    ----------
    masks
        The files, sorted.
    numbers
        The number of each class in them.
    """

    masks: tuple[Path, ...]
    numbers: dict[str, int]


def write_region_masks(
    lake: LakePath, *, mpp: float | str, dataset: str | None = None, kind: str = "regions", overwrite: bool = False
) -> RegionMaskReport:
    """Write a mask of every tissue that has regions and an image at a resolution.

    A pixel is of the class whose region holds its centre; of several, the smallest region's. Classes are numbered from
    1, in the order of their names in the whole lake; 0 is outside of all. ``label_encoder.parquet`` says their names,
    and `SporaQuery.with_masks` delivers the masks by `kind`.

    Parameters
    ----------
    lake
        A lake, or one dataset's folder.
    mpp
        Microns per pixel of the images.
    dataset
        Only this dataset.
    kind
        What the masks are called.
    overwrite
        Replace masks of that name.

    Raises
    ------
    ArgumentError
        The name is that of other masks, or no tissue has regions and an image at this resolution.
    WriteError
        There are masks of that name.
    TableError, FileFormatError
        The regions are broken, or images of one tissue differ in size.

    Examples
    --------
    >>> write_region_masks("lake", mpp=1.0)
    Traceback (most recent call last):
    spora_db.errors.ArgumentError: No tissue of lake has regions with a class and an image at 1 mpp...
    """
    if kind in (TISSUE, *INSTANCES):
        raise ArgumentError(f"kind is {kind!r}, which other masks are called. Choose a name such as 'regions'.")
    folders = scan(lake)
    with Catalog(lake) as catalog:
        catalog.check("regions")
        numbers = {name: at for at, (name,) in enumerate(catalog._run(CLASSES).fetchall(), start=1)}
    chosen = [item for item in folders.chosen(dataset) if any(table.kind == "regions" for table in item.tables)]
    taken = [folder for item in chosen if (folder := item.seen(mask_folder(item.path, kind, mpp=mpp))).exists()]
    if taken and not overwrite:
        raise WriteError(f"There are masks in {taken[0]} already. Replace them with overwrite (--overwrite).")
    masks = [path for item in chosen for path in _write(item, mpp=parse_mpp(mpp), kind=kind, numbers=numbers)]
    if not masks:
        raise ArgumentError(
            f"No tissue of {lake} has regions with a class and an image at {parse_mpp(mpp):g} mpp. Images are at these "
            f"resolutions: {resolutions(folders.datasets)}. Regions come with spora-db import --annotations."
        )
    return RegionMaskReport(masks=tuple(sorted(masks)), numbers=numbers)


def _write(dataset: Dataset, *, mpp: float, kind: str, numbers: dict[str, int]) -> list[Path]:
    """Write the masks of a dataset, and what their numbers mean."""
    folder, dtype = mask_folder(dataset.path, kind, mpp=mpp), np.min_scalar_type(len(numbers))
    encoder = pa.table(
        {"name": pa.array(list(numbers), pa.string()), "id": pa.array(list(numbers.values()), pa.int64())}
    )
    written = []
    with Catalog(dataset.paths) as catalog:
        for tissue in cohort_of(dataset, mpp=mpp).tissues:
            shape, _ = size_of_images(tissue)
            regions = TissueRegions.of_rows(catalog._run(ROWS, [tissue.tissue_id]).to_arrow_table())
            if shape is None or not regions.classes:
                continue
            write_parquet(encoder, folder / "label_encoder.parquet")
            path = folder / f"{tissue.tissue_id}.npz"
            bands = regions.bands(*shape, mpp=mpp, numbers=numbers, dtype=dtype)
            write_mask(path, bands, shape=shape, dtype=dtype)
            written.append(path)
    return written
