"""The demo lake as notebooks need it: made, tiled and with statistics, unless it is there already."""

from pathlib import Path

from spora_db.demo.lake import MPP, write_demo_lake
from spora_db.demo.panels import COHORTS
from spora_db.layout import image_folder, tile_file

TILE_SIZE = 128
TOLERANCE = 0.4
SPEC = "quantile_clipping_log1p/uq_0.99_image"
SPECS = {"imc": SPEC, "codex": SPEC, "he": "imagenet"}


def demo_lake(folder: str | Path = "demo", *, seed: int = 0) -> Path:
    """Return the folder of the demo lake, as ``spora-db demo`` makes it; what is there is kept.

    Parameters
    ----------
    folder
        The lake's folder.
    seed
        Another seed draws another lake, where there is none yet.

    Returns
    -------
    Path
        ``folder``: two cohorts of 128-pixel tiles at 1.0 microns per pixel, with statistics of ``SPEC``.

    Raises
    ------
    WriteError
        A folder of a demo dataset's name holds something else.

    Examples
    --------
    >>> demo_lake("lake")  # what is there is kept
    PosixPath('lake')
    """
    from spora_db.jobs import standardize_lake, tile_lake
    from spora_db.standardization.specs import parse_spec
    from spora_db.tiling.parameters import TilingParameters

    lake = Path(folder)
    if not all((lake / cohort.name).is_dir() for cohort in COHORTS):
        write_demo_lake(lake, seed=seed, overwrite=True)
    for cohort in COHORTS:
        coordinates = tile_file(
            lake / cohort.name, "tile_coordinates", mpp=MPP, strategy="default", tile_size=TILE_SIZE
        )
        if not coordinates.is_file():
            parameters = TilingParameters(
                tile_size=TILE_SIZE, stride=TILE_SIZE // 2, tolerance=TOLERANCE, coverage_goal=1.0, min_gain_ratio=0.05
            )
            tile_lake(lake, mpp=MPP, parameters=parameters, dataset=cohort.name)
        resolution = image_folder(lake / cohort.name, cohort.modality, mpp=MPP).parent
        if not (resolution / "standardization" / SPEC).is_dir():
            standardize_lake(lake, modality=cohort.modality, mpp=MPP, spec=parse_spec(SPEC), dataset=cohort.name)
    return lake
