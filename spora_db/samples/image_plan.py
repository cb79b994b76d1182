"""What is read from one image, and how its values are transformed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spora_db.arrays import Bools, Float32, Int32, Int64
from spora_db.errors import TableError
from spora_db.images.base import ImageReader
from spora_db.standardization.filters import FilterFactory
from spora_db.standardization.regions import standardize_region
from spora_db.standardization.transform import Transform


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
        """Return the plan that delivers pixels as they are, converted to float32 only."""
        zero, one = np.zeros(len(self.pages), np.float32), np.ones(len(self.pages), np.float32)
        transform = Transform(method="identity", lower=zero, upper=one, mean=zero, std=one, use_mean_std=False)
        return replace(self, transform=transform, spec="raw", filters=None)

    def read(self, *, row: int, col: int, height: int, width: int, out: Float32 | None = None) -> Float32:
        """Return a region, written to `out` where given; beyond the image's edge it holds transformed zeros.

        Returns
        -------
        float32 array of shape (C, height, width)

        Raises
        ------
        TableError
            If the region lies outside the image altogether.
        """
        self.check_region(row=row, col=col, height=height, width=width)
        return standardize_region(
            self.reader, self.pages, self.transform, row=row, col=col, height=height, width=width, out=out,
            pad=True, filters=self.filters, halo=self.halo,
        )  # fmt: skip

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

    def read_whole(self) -> Float32:
        """Return the whole image, float32 of shape (C, H, W)."""
        _, height, width = self.reader.shape
        return self.read(row=0, col=0, height=height, width=width)
