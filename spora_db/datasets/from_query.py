"""From a query to a `SporaDataset` that serves its rows."""

from collections.abc import Sequence

import pyarrow as pa

from spora_db.catalog import lent_catalog
from spora_db.datasets.spora import SporaDataset
from spora_db.datasets.standardization_choices import class_keywords
from spora_db.errors import ArgumentError, QueryError
from spora_db.images.base import MissingChunks
from spora_db.layout import LakePath
from spora_db.plan.resolution import resolve
from spora_db.selection import Selection
from spora_db.selection.compilation import compile_rows

__all__ = ["SporaDataset", "spora_dataset"]


def spora_dataset(
    lake: LakePath,
    selection: Selection,
    *,
    seed: int | None = None,
    balance: str | Sequence[str] | None = None,
    missing_chunks: MissingChunks = "error",
) -> SporaDataset:
    """Return the rows of a query as a `SporaDataset`; see :meth:`SporaQuery.to_spora_dataset`."""
    with lent_catalog(lake) as catalog:
        resolved = resolve(selection, catalog)
        compiled = compile_rows(resolved)
        table = catalog._run(compiled).to_arrow_table()
        folder = catalog.lake
    selection = resolved.selection
    if not len(table):
        message = f"The query selects no {selection.unit}s in {folder}. Loosen a condition."
        raise QueryError(message)
    _check_expressible(selection)
    columns = {"dataset": "dataset_name", "tissue_id": "tissue_id"}
    if selection.unit == "tile":
        columns |= {name: name for name in ("tile_id", "row", "col")}
    rows = pa.table({name: table.column(old) for old, name in columns.items()}).to_pandas().drop_duplicates()
    return SporaDataset(
        sorted(set(rows["dataset_name"])),
        datasets_dir=folder,
        modalities=selection.modality_names,
        resolution=selection.mpp or 1.0,
        tile_size=selection.tile_size if selection.unit == "tile" else None,
        tile_strategy=selection.strategy or "default",
        modality_kwargs={
            name: {**class_keywords(selection, name), "missing_chunks": missing_chunks}
            for name in selection.modality_names
        },
        kind=selection.channels.kind,
        seed=seed,
        balance=balance,
        rows=rows,
    )


def _check_expressible(selection: Selection) -> None:
    """Refuse choices that the published classes do not have."""
    channels, missing = selection.channels, selection.standardization.missing_statistics
    for what, chosen in (
        ("cells()", selection.unit == "cell"),
        ("windows()", selection.windows),
        ("label()", selection.labels),
        ("join()", selection.joins),
        ("with_masks()", selection.masks),
        ("with_features()", selection.features),
        ("with_cells()", selection.cells),
        (f"channels(names={list(channels.names)})", channels.names),
        (f"channels(exclude={list(channels.exclude)})", channels.exclude),
        (f"standardize(missing={missing!r})", missing in ("drop_channel", "global")),
        (f"channels(accessions={channels.accessions!r})", channels.accessions != "published"),
    ):
        if chosen:
            message = f"{what} has no counterpart in SporaDataset; use to_torch() instead."
            raise ArgumentError(message)
