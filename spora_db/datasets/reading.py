"""The images of one modality of a cohort, found by tissue and read through a frozen plan: arrays and paths only."""

from typing import Any

from spora_db.catalog import Catalog
from spora_db.images import open_image
from spora_db.images.base import ImageReader, MissingChunks, missing_chunks_in
from spora_db.plan import Plan
from spora_db.plan.freezing import freeze
from spora_db.plan.resolution import resolve
from spora_db.samples.image_plan import ImagePlan
from spora_db.samples.materialize import Materializer
from spora_db.selection import Selection


class PlanImages:
    """Images by tissue id; each process opens its own files.

    Parameters
    ----------
    plan
        A plan whose rows are whole tissues of one modality.
    missing_chunks
        Whether absent chunks of an image (a partial download) are errors, or read as zeros, or as white (brightfield).
    """

    def __init__(self, plan: Plan, *, missing_chunks: MissingChunks = "error") -> None:
        self.plan = plan
        self.missing_chunks: MissingChunks = missing_chunks
        self.numbers: dict[str, int] = {
            tissue_id: number for number, tissue_id in enumerate(plan.images.column("tissue_id").to_pylist())
        }
        self._materializer: Materializer | None = None

    def image(self, number: int) -> ImagePlan:
        """Return what is read from one image: all measured channels, with the transform of each."""
        if self._materializer is None:
            self._materializer = Materializer(self.plan, missing_chunks=self.missing_chunks)
        return self._materializer.image(number)

    def reader(self, number: int) -> ImageReader:
        """Return one image, open; a file that has changed is opened anew."""
        modality = str(self.plan.images.column("modality")[number])
        return open_image(self.plan.image_path(number), missing_chunks=missing_chunks_in(modality, self.missing_chunks))

    def __getstate__(self) -> dict[str, Any]:
        """Hand over the plan; open files stay in the process that opened them."""
        return {**self.__dict__, "_materializer": None}


def freeze_images(selection: Selection, catalog: Catalog, *, missing_chunks: MissingChunks) -> PlanImages:
    """Freeze a selection of whole tissues on a catalog that is open already."""
    resolved = resolve(selection, catalog)
    return PlanImages(freeze(resolved, catalog), missing_chunks=missing_chunks)
