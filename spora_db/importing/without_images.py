"""An import without images: metadata, cells, annotations and masks for the tissues that a dataset has."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from spora_db.errors import ArgumentError
from spora_db.importing.adding import earlier_imports, is_added, joined, refuse_masks, said_by, tissues_of
from spora_db.importing.annotations import region_table
from spora_db.importing.column_types import as_text
from spora_db.importing.contradictions import check_folders
from spora_db.importing.decisions import Decision, Decisions, listed
from spora_db.importing.fields import Field, field_of_file
from spora_db.importing.mask_files import INSTANCES, MaskSource, find_cell_masks, find_tissue_masks
from spora_db.importing.masks import check_mask
from spora_db.importing.metadata import columns_of_tissues, tissue_table
from spora_db.importing.options import ImportOptions
from spora_db.importing.planning import ImportPlan, cell_rows, id_column_of
from spora_db.importing.sheets import read_sheet
from spora_db.importing.targets import check_target
from spora_db.importing.tissue_ids import TissueName
from spora_db.layout import TISSUE, list_images, list_masks, locate, mask_folder, scan

if TYPE_CHECKING:
    import pyarrow as pa


def images_meant(options: ImportOptions) -> ImportOptions:
    """Return options with the modality and resolution of the images of a dataset that cells and regions are of.

    Raises
    ------
    ArgumentError
        There is nothing to add, or no dataset to add it to, or it has no such images or several.
    """
    placed = options.cells or options.annotations or options.masks or options.cell_masks
    if not options.add or not (placed or options.metadata):
        raise ArgumentError(
            "There is no source of images. Give one; or, to add to a dataset that is there, add (--add) with metadata "
            "(--metadata), cells (--cells), annotations (--annotations) or masks (--masks, --cell-masks)."
        )
    if options.panel is not None or options.pattern is not None or options.source_mpp == "file":
        raise ArgumentError(
            "panel, pattern and source_mpp 'file' are read with images, and there is no source of images. Leave them "
            "out; source_mpp may be a number."
        )
    is_added(options, ())
    check_target(options, None, overwrite=True)
    folders = scan(options.there).datasets[0].image_folders
    there = list(dict.fromkeys((folder.modality, folder.mpp) for folder in folders))
    meant = [
        (modality, mpp) for modality, mpp in there if options.modality in ("", modality) and options.mpp in (0, mpp)
    ]
    if (placed and len(meant) != 1) or (options.modality and not meant):
        has = "; ".join(f"{modality} at {mpp:g} microns per pixel" for modality, mpp in there) or "none"
        raise ArgumentError(
            f"It cannot be told which images are meant of {options.target}. It has: {has}. Name those that cells, "
            "annotations and masks are of as modality (--modality) and mpp (--mpp)."
        )
    if not placed:
        return options
    [(modality, mpp)] = meant
    options = replace(options, modality=modality, mpp=mpp)
    _check_scale(options)
    return options


def _check_scale(options: ImportOptions) -> None:
    """Refuse annotations whose pixels are those of files that the images were made coarser of, until it is said."""
    if options.annotations is None or options.source_mpp is not None:
        return
    records = [record.get("options") for record in earlier_imports(options.there) if isinstance(record, dict)]
    for said in (record for record in records if isinstance(record, dict)):
        made = said.get("source_mpp")
        if made is not None and (said.get("modality"), said.get("mpp")) == (options.modality, options.mpp):
            raise ArgumentError(
                f"The images of {options.target} were made coarser (source_mpp {made!r}), and annotations are in "
                "pixels of the files. Say the microns per pixel of these files as source_mpp (--source-mpp)."
            )


def plan_tables(options: ImportOptions) -> ImportPlan:
    """Join tables and masks to the tissues of a dataset; nothing is written.

    Parameters
    ----------
    options
        As :func:`images_meant` returns them.

    Raises
    ------
    SporaError
        As :func:`spora_db.importing.import_dataset`.
    """
    before = tissues_of(options.there)
    rows = before.filter([options.modality in ("", modality) for modality in before["modality"].to_pylist()])
    ids = rows["tissue_id"].to_pylist()
    tissues = sorted(set(ids))
    names = _names(rows, tissues)
    decisions = Decisions()
    tissue_rows, found = _tissue_rows(options, rows, names) if options.metadata else (None, [])
    decisions += found
    there = _cell_masks_of(options) if options.cells else {}
    is_compared = options.annotations or options.masks or options.cell_masks or there
    fields = [field for field in _fields(options) if field.tissue_id in tissues] if is_compared else []
    with_image = [name for name in names if name.tissue_id in {field.tissue_id for field in fields}]
    masks, cell_masks, found = _masks(options, fields, with_image)
    decisions += found
    cells, found = cell_rows(options, fields, names, cell_masks or there, columns_of_tissues(_first(rows, tissues)))
    regions, outlined = region_table(options, fields, with_image)
    tables = {"tissues": tissue_rows, "cells": cells, "regions": regions}
    for name, table in tables.items():
        path = locate(options.there, f"metadata/{name}.parquet")
        if table is not None and path.is_file():
            joined(path, table, said_by=said_by(options))  # a contradiction is told by a dry run too
    return ImportPlan(
        tissues=tuple(tissues),
        fields=tuple(fields),
        channels=(),
        pages=((),) * len(fields),
        tissue_rows=tissue_rows,
        cell_rows=cells,
        region_rows=regions,
        masks=masks,
        cell_masks=cell_masks,
        tissue_masks="",
        decisions=decisions + found + outlined,
        added=True,
    )


def _first(rows: "pa.Table", tissues: Sequence[str]) -> "pa.Table":
    """Return one row of each tissue: those of several modalities have several."""
    ids = rows["tissue_id"].to_pylist()
    return rows.take([ids.index(tissue) for tissue in tissues])


def _names(rows: "pa.Table", tissues: Sequence[str]) -> list[TissueName]:
    """Return what tables may call the tissues, with the patients that the dataset knows."""
    patients: dict[str, str] = {}
    if "patient_id" in rows.column_names:
        pairs = zip(rows["tissue_id"].to_pylist(), as_text(rows["patient_id"]).to_pylist(), strict=True)
        patients = {tissue: patient for tissue, patient in pairs if patient is not None}
    return [TissueName(tissue_id=tissue, patient=patients.get(tissue)) for tissue in tissues]


def _tissue_rows(
    options: ImportOptions, rows: "pa.Table", names: Sequence[TissueName]
) -> tuple["pa.Table", list[Decision]]:
    """Return what sheets say of the rows of a dataset, and what was decided."""
    sheets = [read_sheet(path, about="metadata") for path in options.metadata]
    table, decisions = tissue_table(
        sheets,
        names,
        dataset=options.dataset,
        modality=" and ".join(sorted(set(rows["modality"].to_pylist()))),
        id_column=id_column_of(options, sheets),
        known=rows.column_names,
    )
    at = {name.tissue_id: row for row, name in enumerate(names)}
    table = table.take([at[tissue] for tissue in rows["tissue_id"].to_pylist()])
    table = table.set_column(table.column_names.index("modality"), "modality", rows["modality"])
    have = set(map(str.casefold, rows.column_names))
    fresh = [name for name in table.column_names if name.casefold() not in have]
    says = f"Added to the tissues of {options.dataset!r}: {f'the columns {listed(fresh)}' if fresh else 'no column'}."
    return table, [*decisions, Decision(about="metadata", says=says)]


def _fields(options: ImportOptions) -> list[Field]:
    """Return the images of a dataset that are meant, sorted."""
    images = [
        folder.path / f"{tissue}{suffix}"
        for folder in scan(options.there).datasets[0].image_folders
        if (folder.modality, folder.mpp) == (options.modality, options.mpp)
        for suffix, _, ids in list_images(folder)
        for tissue in ids
    ]
    return sorted(map(field_of_file, images), key=lambda field: field.tissue_id)


def _cell_masks_of(options: ImportOptions) -> dict[str, dict[str, MaskSource]]:
    """Return the cell masks that tissues of a dataset have."""
    return {
        tissue: {INSTANCES: MaskSource(path=folder.path / f"{tissue}.npz")}
        for folder in scan(options.there).datasets[0].mask_folders
        if (folder.kind, folder.mpp) == (INSTANCES, options.mpp)
        for tissue in list_masks(folder)
    }


def _masks(
    options: ImportOptions, fields: Sequence[Field], names: Sequence[TissueName]
) -> tuple[dict[str, MaskSource], dict[str, dict[str, MaskSource]], list[Decision]]:
    """Return the masks that are given of each tissue, which are of the size of its image, and what was decided."""
    masks: dict[str, MaskSource] = {}
    cell_masks: dict[str, dict[str, MaskSource]] = {}
    decisions: list[Decision] = []
    check_folders(options, fields)
    if options.masks is not None:
        masks, decisions = find_tissue_masks(options.masks, names)
    if options.cell_masks is not None:
        cell_masks, found = find_cell_masks(options.cell_masks, names)
        decisions += found
    twice = []
    for field in fields:
        given = {TISSUE: masks.get(field.tissue_id), **cell_masks.get(field.tissue_id, {})}
        for kind, source in given.items():
            path = mask_folder(Path(), kind, mpp=options.mpp) / f"{field.tissue_id}.npz"
            if source is not None:
                check_mask(source, field)
                twice += [path] if locate(options.there, path).exists() else []
    refuse_masks(options.there, twice)
    return masks, cell_masks, decisions
