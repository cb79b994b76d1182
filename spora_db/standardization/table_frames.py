"""The tables of a standardizer as DataFrames that clients may read, edit and replace."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from spora_db.arrays import Float64
from spora_db.errors import ArgumentError, StatisticsNotFoundError, TableError, unknown
from spora_db.layout import locate
from spora_db.standardization.settled import Settled
from spora_db.standardization.specs import LEVELS, Spec, StatsLevel
from spora_db.standardization.tables import (
    MOMENT_TABLES,
    Statistics,
    moments_level,
    statistics_folder,
    tissue_values,
)
from spora_db.standardization.wide_tables import WideTable, wide_table

if TYPE_CHECKING:
    import pandas as pd


def _frame(kind: str) -> property:
    """Return the attribute that is a table as a frame."""
    return property(
        lambda self: self.table(kind),
        lambda self, frame: self.use_table(kind, frame),
        doc=f"The table {kind} as a DataFrame, read from it once asked for; None where the spec does not use it.",
    )


@dataclass(kw_only=True, eq=False)
class TableFrames(Settled):
    """A spec and its tables, each read from its file or, once it was asked for, from a frame."""

    spec: Spec
    folder: Path
    channel_names: tuple[str, ...]
    stats_level: str | None = None
    use_mean_std: bool = True
    _frames: dict[str, "pd.DataFrame"] = field(init=False, repr=False, default_factory=dict)

    upper_quantiles = _frame("upper_quantiles")
    lower_quantiles = _frame("lower_quantiles")
    means_df = _frame("means")
    stds_df = _frame("stds")

    def table(self, kind: str) -> "pd.DataFrame | None":
        """Return a table as a frame, from now on read in place of the file; None where the spec does not use it.

        Parameters
        ----------
        kind
            ``"upper_quantiles"``, ``"lower_quantiles"``, ``"means"`` or ``"stds"``.

        Returns
        -------
        pandas.DataFrame
            A row per tissue, or one row for all; a column per channel, in the order of the panel.
        """
        place = self.stats_dir
        unused = (
            not self.use_mean_std if kind in MOMENT_TABLES else kind == "lower_quantiles" and self.spec.lower is None
        )
        if place is None or (unused and kind not in self._frames):
            return None
        if kind not in self._frames:
            self._frames[kind] = self._read(kind)
        return self._frames[kind]

    def use_table(self, kind: str, frame: "pd.DataFrame") -> None:
        """Read a table from a frame: indexed by tissue id, or of one row for all tissues; a column per channel."""
        if not hasattr(frame, "columns") or not self.spec.needs_statistics:
            message = (
                f"The table {kind} of {str(self.spec)!r} must be a DataFrame with a column per channel; got {frame!r}."
            )
            raise ArgumentError(message if self.spec.needs_statistics else f"{str(self.spec)!r} has no tables.")
        self._frames[kind] = frame

    def statistics(self, tissue_id: str, measured: npt.ArrayLike | None = None) -> Statistics:
        """Return the statistics of a tissue's measured channels, in panel order.

        Means and standard deviations are of `stats_level`; without it, of the level that the folder has, and global
        where it has both, as the published loader.

        Parameters
        ----------
        measured
            bool of shape (panel,); every channel where absent.

        Raises
        ------
        StatisticsNotFoundError
            If the folder, a table, the tissue's row or a channel's column is absent.
        TableError
            If a table repeats a tissue or a column, or a global table has several rows.
        FileFormatError
            If a table is no readable parquet file.
        """
        spec, frames = self.spec, self._frames
        if self.stats_level not in (None, *LEVELS):
            raise unknown("statistics level", self.stats_level, LEVELS)
        mask = np.ones(len(self.channel_names), bool) if measured is None else np.asarray(measured, dtype=bool)
        names = tuple(name for name, there in zip(self.channel_names, mask, strict=True) if there)
        zero, one = np.zeros(len(names)), np.ones(len(names))
        if not spec.needs_statistics:
            return Statistics(
                spec=spec, channel_names=names, lower=zero, upper=one, mean=zero, std=one, use_mean_std=False
            )
        place = statistics_folder(self.folder, spec)

        def column(kind: str, level: StatsLevel) -> Float64:
            if kind in frames:
                return _of_frame(frames[kind], kind, tissue_id=tissue_id, names=names)
            path = locate(place, f"{level}_level_{kind}.parquet")
            return tissue_values(path, level=level, tissue_id=tissue_id, names=names)

        own = cast(StatsLevel, spec.quantile_level)
        upper = column("upper_quantiles", own)
        lower = zero if spec.lower is None else column("lower_quantiles", own)
        mean = std = np.full(len(names), np.nan)
        if self.use_mean_std:
            level = moments_level(place, self.stats_level)
            mean, std = (column(kind, level) for kind in MOMENT_TABLES)
        return Statistics(
            spec=spec, channel_names=names, lower=lower, upper=upper, mean=mean, std=std,
            use_mean_std=self.use_mean_std,
        )  # fmt: skip

    @property
    def edited(self) -> bool:
        """Whether tables are read from frames that differ from their files."""
        return any(not frame.equals(self._read(kind)) for kind, frame in self._frames.items())

    def _read(self, kind: str) -> "pd.DataFrame":
        """Return a table of the files as a frame."""
        place = statistics_folder(self.folder, self.spec)
        level = moments_level(place, self.stats_level) if kind in MOMENT_TABLES else self.spec.quantile_level
        return _as_frame(wide_table(locate(place, f"{level}_level_{kind}.parquet")), self.channel_names)

    @property
    def stats_dir(self) -> Path | None:
        """The folder of the tables; None for ``identity``."""
        return statistics_folder(self.folder, self.spec) if self.spec.needs_statistics else None


def _as_frame(table: WideTable, names: tuple[str, ...]) -> "pd.DataFrame":
    """Return a table as a frame of its channels in the order of the panel."""
    import pandas as pd

    known = [name for name in names if name in table.columns]
    index = None if table.rows is None else pd.Index(list(table.rows), name="tissue_id", dtype=object)
    columns = pd.Index(known, dtype=object)
    return pd.DataFrame(table.values[:, [table.columns[name] for name in known]], index=index, columns=columns)


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
