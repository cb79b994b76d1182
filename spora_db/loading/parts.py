"""The images of one modality in a batch, read together, and what tells them apart, column by column."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch

from spora_db.arrays import Int32, Int64
from spora_db.errors import SporaError
from spora_db.images.pieces import Regions, fetch_ahead
from spora_db.images.pixels import delivered
from spora_db.loading.beside import beside, features_of, numbers
from spora_db.loading.columns import NumberTypes, values_of
from spora_db.loading.joining import FieldColumns
from spora_db.loading.labels import labels_of
from spora_db.loading.memory import array_over, memory_for
from spora_db.loading.raw import statistics
from spora_db.plan import ABSENT
from spora_db.samples.image_plan import ImagePlan, read_regions
from spora_db.samples.materialize import Materializer
from spora_db.standardization.precision import PIXELS, BeyondRange

NAMES = ("dataset", "tissue_id", "modality", "mpp")
"""What tells images apart, in the order of the fields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPart:
    """The images of one modality in a batch.

    Attributes
    ----------
    which
        int64 array of shape (n,): which rows of the batch have one.
    columns
        What samples hold of them, by field; see `spora_db.loading.joining.FieldColumns`.
    faults
        What could not be read: the row of the batch, its image, and the error; the first of each row.
    """

    which: Int64
    columns: FieldColumns
    faults: Sequence[tuple[int, int, Exception]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartReader:
    """Reads the images of one modality in a batch.

    Attributes
    ----------
    materializer
        What opens images.
    raw
        Whether pixels are delivered as they are.
    markers
        int64 array: the number in the vocabulary of each accession of the plan, and last that of none.
    number_types
        As what the numbers of further columns are delivered.
    """

    materializer: Materializer
    raw: bool
    markers: Int64
    number_types: NumberTypes

    def read(self, rows: Int64, column: int) -> ReadPart:
        """Read what rows of the plan have in one column of its images.

        Raises
        ------
        BeyondRange
            If the precision cannot hold a pixel: the fault of no row.
        """
        plan, faults = self.materializer.plan, dict[int, Exception]()
        images = plan.image[rows, column]
        sources, source_of = self._opened(images, faults)
        which = np.flatnonzero(source_of >= 0)
        own, source_of = rows[which], source_of[which]
        of_row = [sources[number] for number in source_of.tolist()]
        regions = self._regions(sources, source_of, own)
        image, places = memory_for(regions, [self._dtype(source) for source in sources], together=plan.unit != "tissue")
        dtype = None if self.raw else PIXELS[self.materializer.precision]
        failed = read_regions(sources, regions, places, dtype=dtype) if of_row else {}
        for number, source in enumerate(sources if plan.unit == "cell" or plan.cells is not None else ()):
            at = np.flatnonzero(source_of == number)
            misplaced = self.materializer.misplaced(source, int(images[which[at[0]]]), own[at])
            failed |= {int(at[k]): error for k, error in misplaced.items()}
        if self.raw:
            for region in set(range(len(of_row))) - failed.keys():
                of_row[region].check_raw(array_over(image[region]))
        with_more = plan.masks is not None or plan.cells is not None
        found = beside(plan, sources, images[which], regions, failed) if with_more else []
        faults |= {int(which[region]): error for region, error in failed.items()}
        columns: FieldColumns = {
            "image": image,
            "channel_names": [list(source.channel_names) for source in of_row],
            "uniprot_ids": [list(source.uniprot_ids) for source in of_row],
            "marker_index": _per_row([torch.from_numpy(self.markers[own.uniprot]) for own in sources], source_of),
            **{name: [source.record[name] for source in of_row] for name in NAMES},
            **numbers(plan, own),
            "row": regions.row,
            "col": regions.col,
            "spec": [source.spec for source in of_row],
            **{name: [fields.get(name) for fields in found] for name in dict.fromkeys(chain.from_iterable(found))},
            **(self._formulas(sources, source_of) if self.raw else {}),
            **values_of(plan.columns, self.number_types, own.tolist()),
            **labels_of(plan, own),
            **features_of(plan, own),
        }
        listed = [(row, int(images[row]), error) for row, error in sorted(faults.items())]
        return ReadPart(which=which, columns=columns, faults=listed)

    def fetch(self, rows: Int64, column: int) -> None:
        """Fetch what `read` will read of remote images; what cannot be read, that will tell."""
        sources, source_of = self._opened(self.materializer.plan.image[rows, column], {})
        own = rows[source_of >= 0]
        if len(own):
            fetch_ahead(self._regions(sources, source_of[source_of >= 0], own))

    def _opened(self, images: Int32, faults: dict[int, Exception]) -> tuple[list[ImagePlan], Int64]:
        """Return what is read of the images of rows, each once, and which it is of each row, -1 for none."""
        found, number = np.unique(images, return_inverse=True)
        sources, of_image = list[ImagePlan](), np.full(len(found), -1)
        self.materializer.prepare(found.tolist())
        for k, image in enumerate(found.tolist()):
            if image == ABSENT:
                continue
            try:
                sources.append(self.materializer.image(image))
                of_image[k] = len(sources) - 1
            except BeyondRange:
                raise
            except (SporaError, OSError) as error:
                faults |= dict.fromkeys(np.flatnonzero(number == k).tolist(), error)
        return sources, of_image[number]

    def _regions(self, sources: Sequence[ImagePlan], image: Int64, rows: Int64) -> Regions:
        """Return where rows lie in their images."""
        plan = self.materializer.plan
        sizes = np.array([source.reader.shape[1:] for source in sources], np.int64).reshape(-1, 2)
        if plan.unit != "tissue":
            sizes[:] = plan.tile_size
        height, width = sizes[image].T
        return Regions(
            readers=[source.reader for source in sources], pages=[source.pages for source in sources], image=image,
            row=plan.row[rows].astype(np.int64), col=plan.col[rows].astype(np.int64), height=height, width=width,
        )  # fmt: skip

    def _dtype(self, source: ImagePlan) -> torch.dtype:
        """Return the type in which an image is delivered."""
        if self.raw:
            return torch.from_numpy(np.empty(0, delivered(source.reader.dtype))).dtype
        found: torch.dtype = getattr(torch, self.materializer.precision)
        return found

    def _formulas(self, sources: Sequence[ImagePlan], source_of: Int64) -> FieldColumns:
        """Return what `standardize_batch` takes beside raw pixels."""
        found = [statistics(source.transform, precision=source.precision) for source in sources]
        of_row = [found[number] for number in source_of.tolist()]
        columns: FieldColumns = {name: [fields[name] for fields in of_row] for name in ("method", "dtype")}
        return {"statistics": _per_row([fields["statistics"] for fields in found], source_of), **columns}


def _per_row(values: Sequence[torch.Tensor], number: Int64) -> "torch.Tensor | list[torch.Tensor]":
    """Return which of the values each row has: as one tensor, where they are of one shape."""
    if len({value.shape for value in values}) == 1:
        return torch.stack(list(values))[torch.from_numpy(number)]
    return [values[own].clone() for own in number.tolist()]
