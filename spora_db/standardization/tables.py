"""The published tables of quantiles, means and standard deviations: the folder of a spec, and lookup by exact name."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from spora_db.arrays import Bools, Float64, Int8
from spora_db.errors import StatisticsNotFoundError, TableError
from spora_db.layout import beneath, layers, locate
from spora_db.standardization.specs import Spec, StatsLevel
from spora_db.standardization.transform import Transform
from spora_db.standardization.usable import unusable
from spora_db.standardization.wide_tables import wide_table

MOMENT_TABLES: Final = ("means", "stds")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Statistics:
    """The statistics of one tissue's channels under one spec; every array is float64 of shape (C,).

    Parameters
    ----------
    spec
        The standardization.
    channel_names
        The C channels.
    lower, upper
        Clipping bounds in raw pixel values; ``lower`` is zero where the spec has no lower quantile.
    mean, std
        Of the transformed pixels; NaN where ``use_mean_std`` is off.
    use_mean_std
        Whether they are applied.
    """

    spec: Spec
    channel_names: tuple[str, ...]
    lower: Float64
    upper: Float64
    mean: Float64
    std: Float64
    use_mean_std: bool = True

    @property
    def usable(self) -> Bools:
        """Which channels can be standardized, bool of shape (C,)."""
        return cast(Bools, self.reasons == 0)

    @property
    def reasons(self) -> Int8:
        """Why channels cannot be standardized, int8 of shape (C,); see :func:`unusable`."""
        return unusable(
            self.lower, self.upper, self.mean, self.std, use_mean_std=self.use_mean_std, method=self.spec.method,
            on_zero_quantile=self.spec.on_zero_quantile,
        )  # fmt: skip

    def transform(self) -> Transform:
        """Return the transform of these C channels, usable or not."""
        return Transform(
            method=self.spec.method, lower=cast(Any, self.lower), upper=cast(Any, self.upper),
            mean=cast(Any, self.mean), std=cast(Any, self.std), use_mean_std=self.use_mean_std,
        )  # fmt: skip


def statistics_folder(folder: str | Path, spec: Spec) -> Path:
    """Return the folder that holds the tables of a spec.

    Parameters
    ----------
    folder
        ``<dataset>/<modality>/<mpp>/standardization``; of a lake of layers as `beneath` gives it, and so is the result.
    spec
        Its text is the folder's name. For the older form (``uq_0.99`` without a level) either name will do.

    Raises
    ------
    StatisticsNotFoundError
        If there is no such folder; the message lists the specs that are there.
    """
    roots = layers(folder)
    full = f"{spec.text}_{spec.quantile_level}" if spec.text else str(spec)
    for name in dict.fromkeys((str(spec), full)):
        if any((root / name).is_dir() for root in roots):
            return beneath(folder, name)
    there = sorted({str(path.parent.relative_to(root)) for root in roots for path in root.glob("*/uq_*/*.parquet")})
    known = "There are: " + ", ".join(there) + "." if there else "There are none at all."
    raise StatisticsNotFoundError(
        f"No statistics for {str(spec)!r} in {folder}: expected the folder {roots[-1] / str(spec)}. {known} "
        "Compute them with `spora-db standardize`."
    )


def moments_level(folder: Path, wanted: str | None = None) -> StatsLevel:
    """Return the level of means and standard deviations: the one wanted, else global where there is one.

    Raises
    ------
    StatisticsNotFoundError
        If no level was named and the folder has neither.
    """
    if wanted is not None:
        return cast(StatsLevel, wanted)
    levels: tuple[StatsLevel, ...] = ("global", "image")
    for level in levels:
        if all(locate(folder, f"{level}_level_{kind}.parquet").is_file() for kind in MOMENT_TABLES):
            return level
    raise StatisticsNotFoundError(
        f"No means and standard deviations in {folder}: expected global_level_means.parquet and "
        "global_level_stds.parquet, or the same at image level. Compute them, or pass use_mean_std=False."
    )


def tissue_values(path: Path, *, level: StatsLevel, tissue_id: str, names: tuple[str, ...]) -> Float64:
    """Return a tissue's values from a published table, by exact channel name; a global table applies to every tissue.

    A table is read once per process; a file that changes is read again.

    Raises
    ------
    StatisticsNotFoundError
        If the table, the tissue's row or a channel's column is absent.
    TableError
        If it repeats a tissue or a column, or a global table has several rows.
    FileFormatError
        If it is no readable parquet file.
    """
    table = wide_table(path)
    if level == "global":
        if len(table.values) != 1:
            raise TableError(f"Global statistics {path} must have exactly one row; it has {len(table.values)}.")
        row = 0
    else:
        if table.rows is None or tissue_id not in table.rows:
            have = "no tissue ids at all" if table.rows is None else f"{len(table.rows)} tissues"
            raise StatisticsNotFoundError(
                f"No row for tissue {tissue_id!r} in {path} ({have}). "
                "Compute its statistics, or use a spec whose tables are at global level."
            )
        row = table.rows[tissue_id]
    absent = [name for name in names if name not in table.columns]
    if absent:
        raise StatisticsNotFoundError(
            f"{path} has no numeric column for {', '.join(map(repr, absent))}; it has {', '.join(table.columns)}."
        )
    return table.values[row, [table.columns[name] for name in names]]
