"""The images of one modality in a batch, read together, and what tells them apart, column by column."""

from collections.abc import Sequence

import numpy as np
import torch

from spora_db.arrays import Int64
from spora_db.images.pixels import delivered
from spora_db.loading.beside import beside, features_of, numbers
from spora_db.loading.columns import NumberTypes, values_of
from spora_db.loading.labels import labels_of
from spora_db.loading.memory import array_over, memory_for
from spora_db.loading.read_rows import FieldColumns, ReadPart
from spora_db.samples.image_plan import ImagePlan, read_regions
from spora_db.samples.materialize import Materializer
from spora_db.standardization.precision import PIXELS

NAMES = ("dataset", "tissue_id", "modality", "mpp")
"""What tells images apart, in the order of the fields."""


def read_part(
    materializer: Materializer, rows: Int64, column: int, faults: dict[int, tuple[int, Exception]], *, raw: bool,
    markers: Int64, number_types: NumberTypes,
) -> ReadPart:  # fmt: skip
    """Read what rows of the plan have in one column of its images.

    Parameters
    ----------
    materializer
        What opens images.
    rows, column
        The rows, and the column of the images of the plan.
    faults
        Takes what cannot be read: by the row of the batch its image, and the first error.
    raw
        Whether pixels are delivered as they are.
    markers
        int64 array: the number in the vocabulary of each accession of the plan, and last that of none.
    number_types
        As what the numbers of further columns are delivered.

    Raises
    ------
    BeyondRange
        If the precision cannot hold a pixel: the fault of no row.
    """
    plan, precision, unopened = materializer.plan, materializer.precision, dict[int, Exception]()
    images = plan.image[rows, column]
    sources, source_of = materializer.opened(images, unopened)
    which = np.flatnonzero(source_of >= 0)
    own, source_of = rows[which], source_of[which]
    of_row = [sources[number] for number in source_of.tolist()]
    regions = materializer.regions(sources, source_of, own)
    dtypes = [_raw_dtype(source) if raw else getattr(torch, precision) for source in sources]
    image, places = memory_for(regions, dtypes, together=plan.unit != "tissue")
    failed = read_regions(sources, regions, places, dtype=None if raw else PIXELS[precision]) if of_row else {}
    further = beside(materializer, sources, regions, own, images[which], failed)
    if raw and precision != "float32":
        for region in set(range(len(of_row))) - failed.keys():
            of_row[region].check_raw(array_over(image[region]))
    columns: FieldColumns = {
        "image": image,
        "channel_names": [list(source.channel_names) for source in of_row],
        "uniprot_ids": [list(source.uniprot_ids) for source in of_row],
        "marker_index": _per_row([torch.from_numpy(markers[own.uniprot]) for own in sources], source_of),
        **{name: [source.record[name] for source in of_row] for name in NAMES},
        **numbers(plan, own),
        "row": regions.row,
        "col": regions.col,
        "spec": [source.spec for source in of_row],
        **further,
        **(_formulas(sources, source_of) if raw else {}),
        **values_of(plan.columns, number_types, own.tolist()),
        **labels_of(plan, own),
        **features_of(plan, own),
    }
    for row, error in [*unopened.items(), *((int(which[region]), error) for region, error in failed.items())]:
        faults.setdefault(row, (int(images[row]), error))
    return ReadPart(which, columns)


def _raw_dtype(source: ImagePlan) -> torch.dtype:
    """Return the type in which pixels of an image are delivered as they are."""
    return torch.from_numpy(np.empty(0, delivered(source.reader.dtype))).dtype


def _formulas(sources: Sequence[ImagePlan], source_of: Int64) -> FieldColumns:
    """Return what `standardize_batch` takes beside raw pixels: the numbers, the method, the type to round to."""
    of_row = [sources[number] for number in source_of.tolist()]
    return {
        "statistics": _per_row([torch.from_numpy(source.transform.coefficients) for source in sources], source_of),
        "method": [source.transform.method for source in of_row],
        "dtype": [source.precision for source in of_row],
    }


def _per_row(values: Sequence[torch.Tensor], number: Int64) -> "torch.Tensor | list[torch.Tensor]":
    """Return which of the values each row has: as one tensor, where they are of one shape."""
    if len({value.shape for value in values}) == 1:
        return torch.stack(list(values))[torch.from_numpy(number)]
    return [values[own].clone() for own in number.tolist()]
