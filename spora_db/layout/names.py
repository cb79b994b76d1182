"""Names of folders and files to (modality, mpp, strategy, tile size, spec) and back."""

import re
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from pathlib import Path
from typing import Literal

from spora_db.errors import ArgumentError

LAKE_VARIABLE = "SPORA_DATASETS_DIR"
"""The environment variable that names a default lake, where one may be left out."""
STATISTICS = ("lower_quantiles", "upper_quantiles", "means", "stds")
IMAGE_SUFFIXES = {".ome.zarr": "ome-zarr", ".ome.tiff": "ome-tiff", ".ome.tif": "ome-tiff"}
FEATURES_FILE = "features.json"
"""What a feature set is; it lies in its folder, beside its parts."""
FAILED_FILE = "failed.parquet"
"""The rows of a feature set that have no features, and why."""

FEATURE_PART = re.compile(r"part-([0-9]{9,})-([0-9]{9,})\.parquet")
MPP_FOLDER = re.compile(r"([0-9]+)_([0-9]+)mpp")
_MPP_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Modality:
    """One kind of images, or a family of kinds: ``ihc_<marker>`` has all names that begin with ``ihc_``.

    Attributes
    ----------
    name
        The folder below the dataset; those of a family lie together in a folder of its prefix.
    title
        How it is written in captions.
    is_rgb
        Whether its images are brightfield, of three colours without a panel.
    is_derived
        Whether its images are made of others: all their channels are measured, and tissues have no rows for them.
    """

    name: str
    title: str
    is_rgb: bool = False
    is_derived: bool = False

    @property
    def family(self) -> str:
        """The prefix of a family, ``ihc``; empty for a modality of one name."""
        prefix, family, _ = self.name.partition("_<")
        return prefix if family else ""


MODALITIES = (
    Modality(name="he", title="H&E", is_rgb=True),
    Modality(name="ihc_<marker>", title="IHC", is_rgb=True),
    Modality(name="imc", title="IMC"),
    Modality(name="codex", title="CODEX"),
    Modality(name="cycif", title="CYCIF"),
    Modality(name="mibi", title="MIBI"),
    Modality(name="map_<name>", title="Map", is_derived=True),
)
"""Every modality, a row each: whoever treats modalities differently asks one of its fields."""

MULTIPLEX_MODALITIES = tuple(sorted(row.name for row in MODALITIES if not row.is_rgb and not row.is_derived))

RGB_CHANNELS = ("red", "green", "blue")
"""Channel names of brightfield images; their alpha plane is dropped."""


def parse_mpp(value: float | int | str) -> float:
    """Read a resolution in microns per pixel: a number, ``"1.0"`` or the folder name ``"1_0mpp"``.

    Raises
    ------
    ArgumentError
        If the value is none of these, or not above zero.

    Examples
    --------
    >>> parse_mpp(1), parse_mpp("0.65"), parse_mpp("0_37744mpp")
    (1.0, 0.65, 0.37744)
    """
    number: float | None = None
    if isinstance(value, str):
        if match := MPP_FOLDER.fullmatch(value):
            number = float(f"{match[1]}.{match[2]}")
        elif _MPP_NUMBER.fullmatch(value):
            number = float(value)
    elif isinstance(value, Real) and not isinstance(value, bool):
        number = float(str(value))  # through text: numpy.float32(0.65) means 0.65, not 0.64999998
    if number is None or not 0 < number < float("inf"):
        message = f"mpp {value!r} is not a resolution: give microns per pixel as 0.5, '0.5' or '0_5mpp'."
        raise ArgumentError(message)
    return number


def mpp_folder(mpp: float | int | str) -> str:
    """Return the folder name of a resolution.

    Examples
    --------
    >>> mpp_folder(1), mpp_folder("1.0"), mpp_folder(0.37744)
    ('1_0mpp', '1_0mpp', '0_37744mpp')
    """
    text = format(Decimal(repr(parse_mpp(mpp))), "f")
    return (text if "." in text else f"{text}.0").replace(".", "_") + "mpp"


def modality_folder(modality: str) -> str:
    """Return a modality's folder below its dataset: ``ihc_Ki67`` lies in ``ihc/ihc_Ki67``.

    Examples
    --------
    >>> modality_folder("imc"), modality_folder("ihc_Ki67")
    ('imc', 'ihc/ihc_Ki67')
    """
    row = modality_row(modality)
    if row is not None and not row.family:
        return modality
    if row is not None and modality.removeprefix(f"{row.family}_") not in ("", modality):
        return f"{row.family}/{check_name(modality, kind='modality')}"
    known = (row.name for row in MODALITIES)
    raise ArgumentError(f"Modality {modality!r} has no folder: it must be {', '.join(known)}.")


def check_name(name: str, *, kind: str = "tissue_id") -> str:
    """Return a name that may become a part of a path, unchanged; refuse one that would leave its folder.

    Examples
    --------
    >>> check_name("cohort_0001")
    'cohort_0001'
    >>> check_name("../../x")
    Traceback (most recent call last):
    spora_db.errors.ArgumentError: The tissue_id '../../x' is refused: it cannot name a file inside its folder...
    """
    if not name or name.startswith(".") or any(character in name for character in "/\\\0"):
        message = (
            f"The {kind} {name!r} is refused: it cannot name a file inside its folder (no '/', '\\', leading '.')."
        )
        raise ArgumentError(message)
    return name


def image_folder(dataset: Path, modality: str, *, mpp: float | str) -> Path:
    """Return the folder of a modality's images at a resolution, whether it exists or not."""
    return dataset / modality_folder(modality) / mpp_folder(mpp) / "images"


def mask_folder(dataset: Path, kind: str, *, mpp: float | str) -> Path:
    """Return the folder of masks of a kind (``tissue``, ``instances`` or a cell task) at a resolution."""
    base = dataset / "segmentations" / mpp_folder(mpp)
    return base / "tissue_masks" if kind == "tissue" else base / "cell_masks" / check_name(kind, kind="mask kind")


def tile_file(
    dataset: Path, table: Literal["tile_coordinates", "tile_stats"], *, mpp: float | str, strategy: str, tile_size: int
) -> Path:
    """Return the path of a tiling's coordinates or report.

    Examples
    --------
    >>> tile_file(Path("cohort"), "tile_coordinates", mpp=1, strategy="default", tile_size=224).as_posix()
    'cohort/tiling/1_0mpp/default/224_tile_coordinates.parquet'
    """
    folder = dataset / "tiling" / mpp_folder(mpp) / check_name(strategy, kind="strategy")
    return folder / f"{int(tile_size)}_{table}.parquet"


def spec_folder(dataset: Path, modality: str, *, mpp: float | str, spec: str) -> Path:
    """Return the folder of a standardization spec such as ``quantile_clipping/uq_0.99_image``."""
    method, _, quantiles = spec.partition("/")
    parts = check_name(method, kind="spec"), check_name(quantiles, kind="spec")
    return dataset / modality_folder(modality) / mpp_folder(mpp) / "standardization" / parts[0] / parts[1]


def feature_folder(dataset: Path, name: str) -> Path:
    """Return the folder of a feature set.

    Examples
    --------
    >>> feature_folder(Path("cohort"), "virtues-tile").as_posix()
    'cohort/features/virtues-tile'
    """
    return dataset / "features" / check_name(name, kind="name of a feature set")


def feature_part(first: int, last: int) -> str:
    """Return the name of a part of a feature set: the first and last of its rows, counted within the dataset from 0.

    Parts sort by name as by rows.

    Examples
    --------
    >>> feature_part(0, 4095)
    'part-000000000-000004095.parquet'
    """
    return f"part-{first:09d}-{last:09d}.parquet"


def own_table_file(folder: Path, name: str) -> Path:
    """Return the path of a user's own table below a dataset, or below a lake for all its datasets.

    Examples
    --------
    >>> own_table_file(Path("lake"), "labels").as_posix()
    'lake/tables/labels.parquet'
    """
    return folder / "tables" / f"{check_name(name, kind='name of a table')}.parquet"


def is_rgb(modality: str) -> bool:
    """Tell whether a modality is a brightfield image of three colours without a panel.

    Examples
    --------
    >>> is_rgb("he"), is_rgb("ihc_Ki67"), is_rgb("imc")
    (True, True, False)
    """
    row = modality_row(modality)
    return row is not None and row.is_rgb


def is_derived(modality: str) -> bool:
    """Tell whether images of a modality are made of others, as maps are.

    Examples
    --------
    >>> is_derived("map_tumour"), is_derived("imc")
    (True, False)
    """
    row = modality_row(modality)
    return row is not None and row.is_derived


def modality_row(modality: str) -> Modality | None:
    """Return the row that a modality's name belongs to, None for a name that is none.

    Examples
    --------
    >>> modality_row("ihc_Ki67").title, modality_row("mri")
    ('IHC', None)
    """
    for row in MODALITIES:
        if modality == row.name or (row.family and modality.startswith(row.family)):
            return row
    return None
