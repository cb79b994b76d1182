"""The published tables of quantiles, means and standard deviations: the folder of a spec, and lookup by exact name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from spora_db.arrays import Bools, Float64, Int8
from spora_db.errors import StatisticsNotFoundError, TableError, unknown
from spora_db.layout import beneath, layers, locate
from spora_db.standardization.specs import LEVELS, Spec, StatsLevel, parse_spec
from spora_db.standardization.transform import Transform
from spora_db.standardization.usable import unusable
from spora_db.standardization.wide_tables import wide_table

if TYPE_CHECKING:
    import pandas as pd


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


def statistics_folder(folder: str | Path, spec: str | Spec) -> Path:
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
    parsed = parse_spec(spec)
    roots = layers(folder)
    full = f"{parsed.text}_{parsed.quantile_level}" if parsed.text else str(parsed)
    for name in dict.fromkeys((str(parsed), full)):
        if any((root / name).is_dir() for root in roots):
            return beneath(folder, name)
    there = sorted({str(path.parent.relative_to(root)) for root in roots for path in root.glob("*/uq_*/*.parquet")})
    known = "There are: " + ", ".join(there) + "." if there else "There are none at all."
    raise StatisticsNotFoundError(
        f"No statistics for {str(parsed)!r} in {folder}: expected the folder {roots[-1] / str(parsed)}. {known} "
        "Compute them with `spora-db standardize`."
    )


def load_statistics(
    folder: str | Path,
    spec: str | Spec,
    *,
    tissue_id: str,
    channel_names: Sequence[str],
    use_mean_std: bool = True,
    stats_level: str | None = None,
    frames: "Mapping[str, pd.DataFrame] | None" = None,
) -> Statistics:
    """Read the statistics of one tissue's channels from the published tables, by exact channel name.

    Tables are read once per process and file; a file that changes is read again.

    Parameters
    ----------
    folder
        ``<dataset>/<modality>/<mpp>/standardization``.
    spec
        Such as ``"quantile_clipping/uq_0.99_image"``; its suffix is the level of the quantiles, which a text of the
        older form lacks: parse that first.
    tissue_id
        The tissue; a global table applies to every one, an image-level table must have its row.
    channel_names
        The channels wanted, in the order of the result.
    use_mean_std
        Whether means and standard deviations are needed.
    stats_level
        The level of means and standard deviations, ``"image"`` or ``"global"``. Without it, the level that the folder
        has, and ``"global"`` where it has both, as the published loader.
    frames
        Tables by kind (``"means"``, ...) that stand in for the files: indexed by tissue, or of one row for all.

    Raises
    ------
    StatisticsNotFoundError
        If the folder, a table, the tissue's row or a channel's column is absent.
    TableError
        If a table repeats a tissue or a column, or a global table has several rows.
    FileFormatError
        If a table is no readable parquet file.
    """
    parsed = parse_spec(spec)
    if stats_level not in (None, *LEVELS):
        raise unknown("statistics level", stats_level, LEVELS)
    names = tuple(channel_names)
    if not parsed.needs_statistics:
        zero, one = np.zeros(len(names)), np.ones(len(names))
        return Statistics(
            spec=parsed, channel_names=names, lower=zero, upper=one, mean=zero, std=one, use_mean_std=False
        )
    place = statistics_folder(folder, parsed)
    assert parsed.quantile_level is not None

    def column(level: StatsLevel, kind: str) -> Float64:
        if frames is not None and kind in frames:
            return _of_frame(frames[kind], kind, tissue_id=tissue_id, names=names)
        return _lookup(locate(place, f"{level}_level_{kind}.parquet"), level=level, tissue_id=tissue_id, names=names)

    upper = column(parsed.quantile_level, "upper_quantiles")
    lower = np.zeros(len(names)) if parsed.lower is None else column(parsed.quantile_level, "lower_quantiles")
    mean = std = np.full(len(names), np.nan)
    if use_mean_std:
        level = moments_level(place, stats_level)
        mean, std = column(level, "means"), column(level, "stds")
    return Statistics(
        spec=parsed, channel_names=names, lower=lower, upper=upper, mean=mean, std=std, use_mean_std=use_mean_std
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


def _lookup(path: Path, *, level: StatsLevel, tissue_id: str, names: tuple[str, ...]) -> Float64:
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


def _of_frame(frame: "pd.DataFrame", kind: str, *, tissue_id: str, names: tuple[str, ...]) -> Float64:
    """Return a tissue's values from a table that a client holds; one row stands for all tissues."""
    absent = [name for name in names if name not in frame.columns]
    if absent:
        raise StatisticsNotFoundError(f"The edited table {kind} has no column for {', '.join(map(repr, absent))}.")
    if tissue_id in frame.index:
        row = frame.loc[tissue_id]
    elif len(frame) == 1 and frame.index.dtype.kind in "iu":
        row = frame.iloc[0]
    else:
        raise StatisticsNotFoundError(
            f"The edited table {kind} has no row for tissue {tissue_id!r} ({len(frame)} rows)."
        )
    if row.ndim != 1 or not frame.columns.is_unique:
        raise TableError(f"The edited table {kind} has tissue {tissue_id!r} or a channel more than once.")
    return np.asarray(row[list(names)], dtype=np.float64)
