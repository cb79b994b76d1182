"""Rules that are SQL: each file of ``sql/checks`` is a SELECT over a dataset whose rows are contradictions."""

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from spora_db.catalog import Catalog
from spora_db.catalog.sql_files import sql_text
from spora_db.errors import AbsentFileWarning, ArgumentError, SporaError
from spora_db.layout import Dataset, TableKind, image_folder, mask_folder, modality_folder, spec_folder, tile_file
from spora_db.sources.footers import read_footer
from spora_db.validation.findings import Finding
from spora_db.validation.rules import CHECK_RULES, broken

if TYPE_CHECKING:
    import pyarrow as pa

HEADERS: Final = "image_headers"
MOST_CELLS: Final = 10_000_000
_NEEDS: Mapping[str, TableKind] = {
    "tissues_without_images": "tissues",
    "tiles_without_tissues": "tile_coordinates",
    "tiles_without_images": "tile_coordinates",
    "tiles_outside_masks": "tile_stats",
    "tiles_outside_images": "tile_coordinates",
    "tile_rows": "tile_coordinates",
    "tile_reports": "tile_stats",
    "cell_rows": "cells",
    "cells_without_tissues": "cells",
    "statistics_rows": "statistics",
    "statistics_columns": "statistics",
    "statistics_values": "statistics",
    "statistics_dropped": "statistics",
}


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
    with Catalog(dataset.path) as catalog, warnings.catch_warnings():
        warnings.simplefilter("ignore", AbsentFileWarning)  # it is a finding of its own, measured_absent
        catalog._register(HEADERS, headers)
        for name in CHECK_RULES:
            if _NEEDS.get(name, "tissues") not in kinds and name in _NEEDS:
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
                yield broken(name, reason, dataset=dataset.name, file=_place(name, row))
    for message, names in failed.items():
        reason = f"{', '.join(names)} could not be checked: {message}"
        yield broken("unchecked", reason, dataset=dataset.name, file=dataset.name)


def cell_count(dataset: Dataset) -> int:
    """Return how many cells the table of cells says that it has."""
    try:
        return sum(read_footer(table).rows for table in dataset.tables if table.kind == "cells")
    except SporaError:
        return 0  # the check itself will say so


def _place(rule: str, row: Mapping[str, Any]) -> str:
    """Return the file or folder that a row of a check is about, relative to the lake."""
    dataset = Path(row["dataset"])
    try:
        if "strategy" in row:
            kind = "tile_stats" if rule in ("tile_reports", "tiles_outside_masks") else "tile_coordinates"
            path = tile_file(
                dataset,
                "tile_stats" if kind == "tile_stats" else "tile_coordinates",
                mpp=row["mpp"],
                strategy=row["strategy"],
                tile_size=row["tile_size"],
            )
        elif "spec" in row:
            path = spec_folder(dataset, row["modality"], mpp=row["mpp"], spec=row["spec"])
        elif "kind" in row:
            path = mask_folder(dataset, row["kind"], mpp=row["mpp"])
        elif "mpp" in row and row["modality"] is not None:
            path = image_folder(dataset, row["modality"], mpp=row["mpp"])
        elif rule.startswith("panel_"):
            path = dataset / modality_folder(row["modality"]) / "channels_per_tissue.parquet"
        elif rule.startswith("channel_"):
            path = dataset / modality_folder(row["modality"]) / "channels.parquet"
        elif rule in ("tissue_rows", "tissue_case", "tissue_modalities", "split_patients", "tissues_without_images"):
            path = dataset / "metadata" / "tissues.parquet"
        elif rule.startswith("cell"):
            path = dataset / "metadata" / "cells.parquet"
        else:
            path = dataset / "tiling" if rule == "tile_rows" else dataset
    except ArgumentError:  # a name from a file that no path can have
        path = dataset
    return path.as_posix()
