"""`Materializer`: opens the images of a plan, finds the pages of its channels and the transform of each."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spora_db.arrays import Int32, Int64
from spora_db.errors import FileFormatError, SporaError
from spora_db.images import open_image
from spora_db.images.base import ImageReader, MissingChunks, missing_chunks_in
from spora_db.images.brightfield import brightfield_fault
from spora_db.images.fetching import prepare
from spora_db.images.pieces import Regions, fetch_ahead
from spora_db.layout.names import is_rgb
from spora_db.plan import ABSENT, Plan
from spora_db.plan.cell_checks import ListedCells
from spora_db.plan.mask_parts import CELLS
from spora_db.plan.planes import holds_panel
from spora_db.samples.image_plan import ImagePlan
from spora_db.samples.seen import SeenImages
from spora_db.standardization.filters import FilterFactory
from spora_db.standardization.methods import method_of
from spora_db.standardization.precision import BeyondRange, Precision
from spora_db.standardization.transform import Transform, rgb_transform

REMEMBERED = 1024
"""Images whose pages and transforms are kept; the oldest are dropped."""


class Materializer:
    """Loads the rows of a plan as arrays; one per process, made when the first row is asked for.

    Parameters
    ----------
    plan
        The frozen plan.
    missing_chunks
        Whether absent chunks of an image (a partial download) are errors, or read as zeros, or as white (brightfield).
    precision
        The type in which pixels are delivered.
    seen
        What the images were when they were first opened, where one that changes is an error; None opens it anew.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        missing_chunks: MissingChunks = "error",
        precision: Precision = "float32",
        seen: SeenImages | None = None,
    ) -> None:
        self.plan = plan
        self.missing_chunks: MissingChunks = missing_chunks
        self.precision: Precision = precision
        self._seen = seen
        self._images: dict[int, ImagePlan] = {}
        self._compared: set[int] = set()
        filters = plan.standardization.filters
        names, parameters = [name for name, _ in filters], {name: dict(pairs) for name, pairs in filters}
        self._filters = FilterFactory(names, parameters) if filters else None

    def image(self, image: int) -> ImagePlan:
        """Return what is read from one image of the plan; a file that has changed is refused, or opened anew.

        Raises
        ------
        FileFormatError
            If it has changed since it was first opened, and `seen` was given.
        TableError
            If the image holds neither the measured channels nor the full panel.
        BeyondRange
            If the precision is too small for what its pixels may become.
        """
        found = self._images.get(image)
        if found is None or self._open(found.record["modality"], found.reader.path) is not found.reader:
            if len(self._images) >= REMEMBERED:
                self._images.pop(next(iter(self._images)))
            found = self._prepare(image)
            if self.precision != "float32":
                found.check_precision()
            self._images[image] = found
        return found

    def opened(self, images: Int32, faults: dict[int, Exception]) -> tuple[list[ImagePlan], Int64]:
        """Return what is read of images, each once, and which of them it is of each entry, -1 for none.

        Parameters
        ----------
        images
            int32 array of shape (n,): positions among the images of the plan, `ABSENT` for none.
        faults
            Takes the errors of images that cannot be opened, by positions in `images`.

        Raises
        ------
        BeyondRange
            If the precision is too small for what pixels of one may become: the fault of no row.
        """
        found, number = np.unique(images, return_inverse=True)
        sources, of_image = list[ImagePlan](), np.full(len(found), -1)
        there = [(k, image) for k, image in enumerate(found.tolist()) if image != ABSENT]
        prepare(self.plan.image_path(image) for _, image in there if image not in self._images)
        for k, image in there:
            try:
                sources.append(self.image(image))
                of_image[k] = len(sources) - 1
            except BeyondRange:
                raise
            except (SporaError, OSError) as error:
                faults |= dict.fromkeys(np.flatnonzero(number == k).tolist(), error)
        return sources, of_image[number]

    def regions(self, sources: Sequence[ImagePlan], image: Int64, rows: Int64) -> Regions:
        """Return where rows of the plan lie in images, whose numbers among `sources` are given."""
        plan = self.plan
        sizes = np.array([source.reader.shape[1:] for source in sources], np.int64).reshape(-1, 2)
        if plan.unit != "tissue":
            sizes[:] = plan.tile_size
        height, width = sizes[image].T
        return Regions(
            readers=[source.reader for source in sources], pages=[source.pages for source in sources], image=image,
            row=plan.row[rows].astype(np.int64), col=plan.col[rows].astype(np.int64), height=height, width=width,
        )  # fmt: skip

    def fetch(self, rows: Int64, column: int) -> None:
        """Fetch what rows of the plan need of remote images, in one column of these; who reads them meets errors."""
        sources, source_of = self.opened(self.plan.image[rows, column], {})
        own = source_of >= 0
        if own.any():
            fetch_ahead(self.regions(sources, source_of[own], rows[own]))

    def _open(self, modality: str, path: Path) -> ImageReader:
        return open_image(path, missing_chunks=missing_chunks_in(modality, self.missing_chunks))

    def misplaced(self, source: ImagePlan, image: int, rows: Int64) -> dict[int, Exception]:
        """Return which of a batch's rows of one image have cells that do not fit it or its instance mask, and why.

        Of a query of cells, each row's own cell, where how all of its cells lie tells why; of the cells that come
        along, all of the tissue, once.

        Parameters
        ----------
        source, image
            The open image, and its position among the images of the plan.
        rows
            int64 array of shape (n,): positions in the plan.

        Returns
        -------
        dict of int to Exception
            By positions in `rows`: a TableError where a cell lies outside the image, is not in the mask, or elsewhere
            in it; or the error of a mask that cannot be read.
        """
        plan, record, found = self.plan, source.record, dict[int, Exception]()
        if plan.unit == "cell" and self._misfit(source, image, plan.cells_at(rows, record)):
            all_rows = np.flatnonzero((plan.image == image).any(axis=1))
            together = self._misfit(source, image, plan.cells_at(all_rows, record))
            for k in range(len(rows)):
                if error := self._misfit(source, image, plan.cells_at(rows[k : k + 1], record)):
                    found[k] = together or error
        if plan.cells is not None and image not in self._compared:
            if error := self._misfit(source, image, plan.cells.listed(image, record)):
                return dict.fromkeys(range(len(rows)), error) | found
            self._compared.add(image)
        return found

    def _misfit(self, source: ImagePlan, image: int, cells: ListedCells) -> Exception | None:
        """Return why cells do not fit an image, or its mask where that comes along; None where they do."""
        reader, masks = source.reader, self.plan.masks
        shape = reader.shape[1:]
        try:
            cells.check_image(shape, image=reader.path)
            if masks is not None and CELLS in masks.kinds:
                masks.check_cells(cells, image, lake=Path(self.plan.lake), shape=shape, image_path=reader.path)
        except (SporaError, OSError) as error:
            return error
        return None

    def _prepare(self, image: int) -> ImagePlan:
        plan, channels = self.plan, self.plan.channels.of(image)
        record = {name: plan.images.column(name)[image].as_py() for name in plan.images.column_names}
        reader = self._open(record["modality"], plan.image_path(image))
        if self._seen is not None:
            self._seen.check(image, reader)
        text = plan.standardization.spec(record["modality"])
        if is_rgb(record["modality"]):
            fault = brightfield_fault(reader)
            if fault is not None:
                raise FileFormatError(fault)
            transform = rgb_transform(method_of(text), dtype=reader.dtype)
            pages = channels.page
        else:
            clips_from_zero = plan.channels.panel(image).lower is None
            transform = Transform(
                method=method_of(text),
                lower=np.zeros_like(channels.lower) if clips_from_zero else channels.lower,
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
            overhang=plan.unit == "cell" or plan.windows is not None,
            precision=self.precision,
        )
