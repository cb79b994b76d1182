"""The statistics of one tissue as a unit of work: one pass over its image, of one round."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from spora_db.errors import MaskNotFoundError, TableError
from spora_db.images import close_images, image_header
from spora_db.jobs.panels import pages_of
from spora_db.jobs.units import UnitResult
from spora_db.standardization.methods import Elementwise, methods, register_standardizer
from spora_db.statistics import Partial, Round, StatisticsPlan, StatisticsUnit, run_unit


@dataclass(frozen=True, slots=True, kw_only=True)
class PassUnit:
    """One round's pass over one tissue.

    Attributes
    ----------
    tissue_id
        The tissue.
    image, mask
        What is read.
    positions
        Positions of its measured channels in the panel; None where no table says which they are.
    plan
        What is computed.
    stage
        The round.
    function
        The registered method, for processes that have not registered it.
    result
        Where the result goes.
    memory
        Bytes: the mask, the pixels held at once, and counts.
    """

    tissue_id: str
    image: Path
    mask: Path
    positions: tuple[int, ...] | None
    plan: StatisticsPlan
    stage: Round
    function: Elementwise | None
    result: Path
    memory: int

    def compute(self) -> UnitResult:
        """Compute the round's part of the tissue."""
        if self.function is not None and self.plan.spec.method not in methods():
            register_standardizer(self.plan.spec.method, self.function)
        if self.positions is None:
            raise TableError(
                f"The image {self.image} has no row in channels_per_tissue.parquet of its modality, so its "
                "channels are not known. Add the row, or remove the image."
            )
        if not self.mask.is_file():
            raise MaskNotFoundError(
                f"No tissue mask {self.mask}, so it is not known which pixels of {self.image} are tissue. Add the mask."
            )
        if not self.positions:
            raise TableError(
                f"No channel of the panel was measured in tissue {self.tissue_id!r}: its row in "
                f"channels_per_tissue.parquet holds no true, so nothing is known of the pages of {self.image}. Correct "
                "the row, or remove the image."
            )
        names = tuple(self.plan.channel_names[position] for position in self.positions)
        count = image_header(self.image).channels
        pages = pages_of(names, self.positions, panel=len(self.plan.channel_names), count=count, image=self.image)
        unit = StatisticsUnit(tissue_id=self.tissue_id, image=self.image, mask=self.mask, pages=pages)
        try:
            partial = run_unit(unit, plan=self.plan, stage=self.stage)
        finally:
            close_images()
        return UnitResult(arrays=partial.arrays, record=partial.record)


class Partials:
    """The partials of a round, read anew each time they are gone through: memory is that of one tissue.

    Parameters
    ----------
    load
        Gives the results of all tissues, one by one.
    """

    def __init__(self, load: Callable[[], Iterator[tuple[str, UnitResult]]]) -> None:
        self._load = load

    def __iter__(self) -> Iterator[Partial]:
        """Yield the partial of one tissue after the other."""
        for tissue, result in self._load():
            yield Partial(tissue_id=tissue, arrays=result.arrays, record=result.record)


def odd_sentence(partials: Iterable[Partial]) -> str:
    """Return where the pixels are that are no numbers of float32, as one line; empty where there are none."""
    found: dict[tuple[str, str], list[str]] = {}
    for part in partials:
        for channel, what in part.record.get("odd", {}).items():
            found.setdefault((channel, what), []).append(part.tissue_id)
    said = [
        f"{channel} has {what} in {', '.join(tissues[:3])}{', ...' if len(tissues) > 3 else ''}"
        for (channel, what), tissues in sorted(found.items())
    ]
    return "; ".join(said)
