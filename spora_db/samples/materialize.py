"""From one row of a plan to standardized pixels: opens the image, finds the pages, runs the fused transform."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from spora_db.arrays import Bools, Float32, Int32, Int64
from spora_db.errors import FileFormatError, TableError
from spora_db.images import open_image
from spora_db.images.base import ImageReader, MissingChunks
from spora_db.images.brightfield import brightfield_fault
from spora_db.images.pixels import missing_chunks_in
from spora_db.layout.names import is_rgb
from spora_db.plan import Plan
from spora_db.plan.cell_checks import ListedCells
from spora_db.plan.mask_parts import CELLS
from spora_db.plan.planes import holds_panel
from spora_db.standardization.filters import FilterFactory
from spora_db.standardization.standardize import standardize_region
from spora_db.standardization.transform import Transform, rgb_transform

REMEMBERED = 1024
"""Images whose pages and transforms are kept; the oldest are dropped."""


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


class Materializer:
    """Loads the rows of a plan as arrays; one per process, made when the first row is asked for.

    Parameters
    ----------
    plan
        The frozen plan.
    missing_chunks
        Whether absent chunks of an image (a partial download) are errors, or read as zeros, or as white (brightfield).
    """

    def __init__(self, plan: Plan, *, missing_chunks: MissingChunks = "error") -> None:
        self.plan = plan
        self.missing_chunks: MissingChunks = missing_chunks
        self._images: dict[int, ImagePlan] = {}
        self._compared: set[int] = set()
        choice = plan.standardization
        self._filters: FilterFactory | None = None
        if choice.filters:
            parameters = {name: dict(pairs) for name, pairs in choice.filters}
            self._filters = FilterFactory([name for name, _ in choice.filters], parameters)

    def image(self, image: int) -> ImagePlan:
        """Return what is read from one image of the plan; a file that has changed is opened anew.

        Raises
        ------
        TableError
            If the image holds neither the measured channels nor the full panel.
        """
        found = self._images.get(image)
        if found is None or self._open(found.record["modality"], found.reader.path) is not found.reader:
            if len(self._images) >= REMEMBERED:
                self._images.pop(next(iter(self._images)))
            found = self._images[image] = self._prepare(image)
        return found

    def region(self, image: int, *, row: int, col: int, height: int, width: int, out: Float32 | None = None) -> Float32:
        """Return a standardized region of one image, written to `out` where given; beyond the edge transformed zeros.

        Returns
        -------
        float32 array of shape (C, height, width)

        Raises
        ------
        TableError
            If the region lies outside the image altogether.
        """
        return self.image(image).read(row=row, col=col, height=height, width=width, out=out)

    def tissue(self, image: int) -> Float32:
        """Return one whole standardized image, float32 of shape (C, H, W)."""
        return self.image(image).read_whole()

    def _open(self, modality: str, path: Path) -> ImageReader:
        return open_image(path, missing_chunks=missing_chunks_in(modality, self.missing_chunks))

    def check_cells(self, image: int, position: int) -> None:
        """Refuse cells that do not fit the image of a row or, where it comes along, its instance mask.

        Of a query of cells, the row's own cell; of the cells that come along, all of the tissue, once.

        Raises
        ------
        TableError
            If a cell lies outside the image, is not in the mask, or elsewhere in it.
        """
        plan = self.plan
        if plan.unit == "cell" and not self._surely_fits(image, position):
            try:
                self._compare(image, plan.cells_at(np.array([position]), self.image(image).record))
            except TableError:  # how all cells of the tissue lie tells what is wrong
                rows = np.flatnonzero((plan.image == image).any(axis=1))
                self._compare(image, plan.cells_at(rows, self.image(image).record))
                raise
        if plan.cells is not None and image not in self._compared:
            self._compare(image, plan.cells.listed(image, self.image(image).record))
            self._compared.add(image)

    def _surely_fits(self, image: int, position: int) -> bool:
        """Tell at once, as for every sample, that the cell of a row lies in the image and no mask is to be asked."""
        half, (_, height, width) = self.plan.tile_size // 2, self.image(image).reader.shape
        row, col = int(self.plan.row[position]) + half, int(self.plan.col[position]) + half
        alone = self.plan.masks is None or CELLS not in self.plan.masks.kinds
        return alone and 0 <= row < height and 0 <= col < width

    def _compare(self, image: int, cells: ListedCells) -> None:
        reader, masks = self.image(image).reader, self.plan.masks
        shape = reader.shape[1:]
        cells.check_image(shape, image=reader.path)
        if masks is not None and CELLS in masks.kinds:
            masks.check_cells(cells, image, lake=Path(self.plan.lake), shape=shape, image_path=reader.path)

    def _prepare(self, image: int) -> ImagePlan:
        plan, channels = self.plan, self.plan.channels.of(image)
        record = {name: plan.images.column(name)[image].as_py() for name in plan.images.column_names}
        reader = self._open(record["modality"], plan.image_path(image))
        text = plan.standardization.spec(record["modality"])
        if is_rgb(record["modality"]):
            fault = brightfield_fault(reader)
            if fault is not None:
                raise FileFormatError(fault)
            transform = rgb_transform(text, dtype=reader.dtype)
            pages = channels.page
        else:
            spec = plan.standardization.parsed(record["modality"])
            transform = Transform(
                method=spec.method,
                lower=np.zeros_like(channels.lower) if spec.lower is None else channels.lower,
                upper=channels.upper,
                mean=channels.mean,
                std=channels.std,
                use_mean_std=plan.standardization.use_mean_std,
            )
            base, measured = f"{record['dataset']}/{record['modality']}", record["measured_count"]
            tables = f"{base}/channels_per_tissue.parquet; all, without it", f"{base}/channels.parquet"
            whole = holds_panel(
                reader.shape[0], measured=measured, panel=record["panel_count"], image=reader.path, told_by=tables
            )
            pages = channels.channel_index if whole else channels.page
        return ImagePlan(
            reader=reader,
            pages=pages.astype(np.int64),
            transform=transform,
            record=record,
            channel_names=[plan.channel_names[code] for code in channels.name],
            uniprot_ids=[plan.uniprot_ids[code] if code >= 0 else None for code in channels.uniprot],
            uniprot=channels.uniprot,
            spec=text,
            filters=None if is_rgb(record["modality"]) else self._filters,
            halo=plan.standardization.halo,
            overhang=plan.unit == "cell",
        )
