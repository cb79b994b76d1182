"""The tiling of one tissue as a unit of work."""

from dataclasses import dataclass
from pathlib import Path

from spora_db.files.stamps import lasting_stamp
from spora_db.jobs.cohorts import Tissue, size_of_images
from spora_db.jobs.units import UnitResult
from spora_db.tiling import TilingParameters
from spora_db.tiling.tables import tile_unit

ARRAYS = ("tiles", "gains", "valid_ratios")


@dataclass(frozen=True, slots=True, kw_only=True)
class TileUnit:
    """The tiling of one tissue.

    Attributes
    ----------
    tissue
        The tissue, with its mask and the images that the mask must fit.
    parameters
        How to tile.
    result
        Where the result goes.
    memory
        Bytes: the mask as stored, as booleans, and sums over its blocks.
    """

    tissue: Tissue
    parameters: TilingParameters
    result: Path
    memory: int

    @property
    def tissue_id(self) -> str:
        """The tissue."""
        return self.tissue.tissue_id

    def compute(self) -> UnitResult:
        """Tile the tissue; its mask must be of the size of each of its images at this resolution."""
        shape, image = size_of_images(self.tissue)
        unit = tile_unit(self.tissue_id, self.tissue.mask, parameters=self.parameters, shape=shape, image=image)
        arrays = {name: getattr(unit.tiling, name) for name in ARRAYS}
        stats = unit.tiling.stats
        return UnitResult(arrays=arrays, record={"stats": stats, "pixels": stats["mask_height"] * stats["mask_width"]})


def state_of_image(image: tuple[str, Path]) -> list[object]:
    """Return what changes when an image is replaced; its size matters here, not its pixels."""
    modality, path = image
    described = [path, *(path / name for name in ("zarr.json", ".zattrs", "0/zarr.json", "0/.zarray"))]
    return [modality, path.name, *(lasting_stamp(file) for file in described if file.exists())]
