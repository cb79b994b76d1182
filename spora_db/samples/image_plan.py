"""What is read from one image, and how its values are transformed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spora_db.arrays import AnyArray, Bools, Int32, Int64
from spora_db.errors import TableError
from spora_db.images.base import ImageReader
from spora_db.images.pieces import Regions, decode
from spora_db.standardization.filters import FilterFactory
from spora_db.standardization.precision import HIGHEST, PIXELS, BeyondRange, Precision
from spora_db.standardization.regions import Formula, standardize_regions
from spora_db.standardization.standardize import copy_raw, placed, standardize_block
from spora_db.standardization.transform import Transform, identity_transform


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlan:
    """What is read from one image, and how its values are transformed.

    Attributes
    ----------
    reader
        The open image.
    pages
        int64 array of shape (C,): planes in the order of delivery.
    transform
        The transform of these C channels.
    record
        The plan's entry of the image: dataset, modality, mpp, tissue_id, path.
    channel_names, uniprot_ids
        C names and accessions (None where a channel has none).
    uniprot
        int32 array of shape (C,): the accessions as codes of the plan, -1 for none.
    spec
        The name of the standardization.
    filters, halo
        Filters to run afterwards, and whether they see the pixels around a region.
    overhang
        Whether a region may begin before the image, as that around a cell at its edge does.
    precision
        The type in which pixels are delivered.
    """

    reader: ImageReader
    pages: Int64
    transform: Transform
    record: Mapping[str, Any]
    channel_names: list[str]
    uniprot_ids: list[str | None]
    uniprot: Int32
    spec: str
    filters: FilterFactory | None = None
    halo: bool = False
    overhang: bool = False
    precision: Precision = "float32"

    def take(self, kept: Bools) -> "ImagePlan":
        """Return the plan of some of the C channels: those where the bool array `kept` of shape (C,) is true."""
        return replace(
            self,
            pages=self.pages[kept],
            transform=self.transform.take(kept),
            channel_names=[name for name, keep in zip(self.channel_names, kept, strict=True) if keep],
            uniprot_ids=[item for item, keep in zip(self.uniprot_ids, kept, strict=True) if keep],
            uniprot=self.uniprot[kept],
        )

    def raw(self) -> "ImagePlan":
        """Return the plan that delivers pixels as they are, converted to its precision only."""
        return replace(self, transform=identity_transform(len(self.pages)), spec="raw", filters=None)

    def read(self, *, row: int, col: int, height: int, width: int) -> AnyArray:
        """Return a region; beyond the image's edge it holds transformed zeros.

        Returns
        -------
        Array of shape (C, height, width) in the type of the precision, such as float32; bfloat16 as its bits.

        Raises
        ------
        TableError
            If the region lies outside the image altogether.
        BeyondRange
            If the precision cannot hold a pixel.
        """
        self.check_region(row=row, col=col, height=height, width=width)  # numbers beyond int64 are no array's
        out = np.empty((len(self.pages), height, width), PIXELS[self.precision])
        region = Regions.of(self.reader, self.pages, row=row, col=col, height=height, width=width)
        for error in read_regions([self], region, placed([out]), dtype=out.dtype).values():
            raise error
        return out

    def check_region(self, *, row: int, col: int, height: int, width: int) -> None:
        """Refuse a region that lies outside the image altogether or, without `overhang`, begins before it.

        Raises
        ------
        TableError
            For such a region.
        """
        _, image_height, image_width = self.reader.shape
        least = (1 - height, 1 - width) if self.overhang else (0, 0)
        if not (least[0] <= row < image_height and least[1] <= col < image_width):
            remedy = "Correct the centroids in metadata/cells.parquet." if self.overhang else "Tile the dataset anew."
            raise TableError(
                f"The tile at row {row}, col {col} of tissue {self.record['tissue_id']!r} lies outside its "
                f"{self.record['modality']} image {self.reader.path} of {image_height} x {image_width} pixels. {remedy}"
            )

    def check_precision(self) -> None:
        """Refuse a precision that is too small for what the pixels of this image may become.

        The extreme values of a type of whole numbers are standardized, else the bounds that pixels are clipped to;
        what identity makes of floats is known only as they are read.

        Raises
        ------
        BeyondRange
            If the precision cannot hold what one of them becomes.
        """
        kind, (lower, upper, *_) = self.reader.dtype, self.transform.coefficients.T
        if kind.kind in "iu":
            pixels = np.tile(np.array([np.iinfo(kind).min, np.iinfo(kind).max], kind), (len(lower), 1, 1))
        elif self.transform.method == "identity":
            return
        else:
            pixels = np.stack([lower, upper], axis=1)[:, None].astype(kind)
        self._check_fit(pixels, f"has pixels of {kind}, which may become larger ones")

    def check_raw(self, pixels: AnyArray) -> None:
        """Refuse raw pixels, (C, H, W), that are to be rounded to a half precision elsewhere, and do not fit into it.

        Raises
        ------
        BeyondRange
            If identity makes a finite pixel of them infinite there; of all other pixels `check_precision` knows.
        """
        if self.transform.method == "identity" and pixels.dtype.kind == "f":
            self._check_fit(pixels, "has a larger one")

    def beyond(self, error: BeyondRange, found: str) -> BeyondRange:
        """Return the error that says of which channel a pixel does not fit into the precision, and what to do."""
        clips = self.transform.method != "identity"
        larger = "dtype='float32'" if self.precision == "bfloat16" else "dtype='bfloat16' or dtype='float32'"
        other = "leave the channel out" if clips else "clip, as .standardize('quantile_clipping/uq_0.99_image') does"
        return BeyondRange(
            f"{self.precision} holds numbers up to {HIGHEST[self.precision]:,.6g}; channel "
            f"{self.channel_names[error.channel]!r} of {self.reader.path}, standardized as {self.spec!r}, {found}. "
            f"Use {larger}, or {other}.",
            channel=error.channel,
        )

    def _check_fit(self, pixels: AnyArray, found: str) -> None:
        """Refuse pixels of shape (C, h, w) that become larger than the precision holds."""
        out = np.empty(pixels.shape, PIXELS[self.precision])
        try:
            standardize_block(pixels, out, self.transform, np.arange(len(pixels)))
        except BeyondRange as error:
            raise self.beyond(error, found) from error

    def read_whole(self) -> AnyArray:
        """Return the whole image, of shape (C, H, W)."""
        _, height, width = self.reader.shape
        return self.read(row=0, col=0, height=height, width=width)


def read_regions(
    sources: Sequence[ImagePlan], regions: Regions, places: AnyArray, *, dtype: np.dtype[Any] | None
) -> dict[int, Exception]:
    """Read regions of images, each chunk once, and standardize them; beyond an image's edge lies raw zero.

    Parameters
    ----------
    sources
        What is read from each image.
    regions
        The regions of these images.
    places
        Where they go, as `placed` gives them.
    dtype
        The type of the places, one of `PIXELS`; None delivers raw pixels, in the type of the images.

    Returns
    -------
    dict of int to Exception
        The first error of each region that could not be read: a SporaError or an OSError.

    Raises
    ------
    BeyondRange
        If a precision cannot hold a pixel.
    """
    faults = dict[int, Exception]()
    before = (regions.row < 0) | (regions.col < 0)
    for region in np.flatnonzero(before | ~regions.inside.any(axis=0)).tolist():
        try:
            sources[int(regions.image[region])].check_region(**regions.at(region))
        except TableError as error:
            faults[region] = error
    if dtype is None:
        for found in decode(regions, faults):
            copy_raw(found, places)
        return faults
    formulas = [Formula(source.transform, source.filters, source.halo) for source in sources]
    try:
        standardize_regions(regions, formulas, places, dtype=dtype, faults=faults)
    except BeyondRange as error:
        source, (row, col, height, width) = sources[int(regions.image[error.region])], regions.at(error.region).values()
        place = f"has a larger one in the {height} x {width} pixels at row {row}, col {col}"
        raise source.beyond(error, place) from error
    return faults
