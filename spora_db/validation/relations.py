"""Rules that are SQL: each file of ``sql/checks`` is a SELECT over a dataset whose rows are contradictions."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from spora_db.catalog import Catalog
from spora_db.catalog.sql_files import header, sql_names, sql_text
from spora_db.errors import AbsentFileWarning, ArgumentError, SporaError
from spora_db.layout import Dataset, image_folder, mask_folder, modality_folder, spec_folder, tile_file
from spora_db.sources.footers import read_footer
from spora_db.validation.findings import Finding
from spora_db.validation.rules import broken

if TYPE_CHECKING:
    import pyarrow as pa

HEADERS: Final = "image_headers"
MOST_CELLS: Final = 10_000_000
_PLACES: Final[Mapping[str, Callable[[Path, Mapping[str, Any]], Path]]] = {
    "dataset": lambda dataset, row: dataset,
    "tissues": lambda dataset, row: dataset / "metadata" / "tissues.parquet",
    "cells": lambda dataset, row: dataset / "metadata" / "cells.parquet",
    "regions": lambda dataset, row: dataset / "metadata" / "regions.parquet",
    "channels": lambda dataset, row: dataset / modality_folder(row["modality"]) / "channels.parquet",
    "panels": lambda dataset, row: dataset / modality_folder(row["modality"]) / "channels_per_tissue.parquet",
    "images": lambda dataset, row: image_folder(dataset, row["modality"], mpp=row["mpp"]),
    "masks": lambda dataset, row: mask_folder(dataset, row["kind"], mpp=row["mpp"]),
    "statistics": lambda dataset, row: spec_folder(dataset, row["modality"], mpp=row["mpp"], spec=row["spec"]),
    "tiling": lambda dataset, row: dataset / "tiling",
    "tile_coordinates": lambda dataset, row: tile_file(dataset, "tile_coordinates", **_tiling(row)),
    "tile_stats": lambda dataset, row: tile_file(dataset, "tile_stats", **_tiling(row)),
}
"""The file or folder that a row of a check is about, by the word ``file`` in the check's header."""


def check_relations(dataset: Dataset, headers: "pa.Table", *, deep: bool) -> Iterator[Finding]:
    """Yield what the tables of a dataset contradict: themselves, each other, and the headers of images.

    Parameters
    ----------
    dataset
        The dataset.
    headers
        ``dataset, modality, mpp, tissue_id, channels, height, width`` of the images whose headers were read.
    deep
        Also group very long tables of cells.
    """
    kinds = {table.kind for table in dataset.tables}
    failed: dict[str, list[str]] = {}
    with Catalog(dataset.paths) as catalog, warnings.catch_warnings():
        warnings.simplefilter("ignore", AbsentFileWarning)  # it is a finding of its own, measured_absent
        catalog._register(HEADERS, headers)
        for name in sql_names("checks"):
            told = header("checks", name)
            if "needs" in told and told["needs"] not in kinds:
                continue
            if name == "cell_rows" and not deep and (long := cell_count(dataset)) > MOST_CELLS:
                reason = f"cell_rows was not checked: {long:,} cells are grouped with --deep only."
                yield broken("unchecked", reason, dataset=dataset.name, file=f"{dataset.name}/metadata/cells.parquet")
                continue
            try:
                rows = catalog._run(sql_text("checks", name).rstrip().removesuffix(";")).to_arrow_table().to_pylist()
            except SporaError as error:
                failed.setdefault(str(error), []).append(name)
                continue
            for row in rows:
                reason = f"{row['name']!r} {row['problem']}." if row["name"] is not None else f"There {row['problem']}."
                yield broken(name, reason, dataset=dataset.name, file=_place(told.get("file", "dataset"), row))
    for message, names in failed.items():
        reason = f"{', '.join(names)} could not be checked: {message}"
        yield broken("unchecked", reason, dataset=dataset.name, file=dataset.name)


def cell_count(dataset: Dataset) -> int:
    """Return how many cells the table of cells says that it has."""
    try:
        return sum(read_footer(table).rows for table in dataset.tables if table.kind == "cells")
    except SporaError:
        return 0  # the check itself will say so


def _place(file: str, row: Mapping[str, Any]) -> str:
    """Return the file or folder that a row of a check is about, relative to the lake."""
    dataset = Path(row["dataset"])
    try:
        return _PLACES[file](dataset, row).as_posix()
    except ArgumentError:  # a name from a file that no path can have
        return dataset.as_posix()


def _tiling(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("mpp", "strategy", "tile_size")}
