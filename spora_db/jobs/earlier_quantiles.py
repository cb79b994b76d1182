"""Quantiles that are there already, from a run for means and standard deviations of another level."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spora_db.errors import WriteError
from spora_db.standardization.wide_tables import wide_table

if TYPE_CHECKING:
    import pyarrow as pa

SAME = 1e-5  # relative; published tables hold float32


def check_same(path: Path, table: "pa.Table") -> None:
    """Refuse means and standard deviations beside quantiles that they do not belong to.

    Parameters
    ----------
    path
        The table of quantiles that is there.
    table
        The quantiles that were just computed; the table may have more tissues than these.

    Raises
    ------
    WriteError
        They differ.
    """
    there, frame = wide_table(path), table.to_pandas()
    absent = [str(name) for name in frame.columns if name not in there.columns]
    rows = [0] * len(frame)
    if path.name.startswith("image_level"):
        known = there.rows or {}
        absent += [str(tissue) for tissue in frame.index if tissue not in known]
        rows = [known.get(tissue, 0) for tissue in frame.index]
    columns = [there.columns.get(name, 0) for name in frame.columns]
    if absent or not np.allclose(
        there.values[np.ix_(rows, columns)], frame.to_numpy(), rtol=SAME, atol=0.0, equal_nan=True
    ):
        lacks = f" (it lacks {', '.join(absent[:5])})" if absent else ""
        raise WriteError(
            f"{path} exists already, but its quantiles are not those of the images and masks that are here now{lacks}. "
            "Nothing was written, because means and standard deviations belong to one set of quantiles; to replace "
            "them all, run again with --overwrite."
        )
