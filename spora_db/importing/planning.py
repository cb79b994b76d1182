"""What an import is going to write, and everything it decided: all that can be known before a pixel is written."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from spora_db.errors import TableError
from spora_db.files.processors import usable_cpus
from spora_db.images.base import missing_chunks_in
from spora_db.importing.accessions import target_of, with_accessions
from spora_db.importing.adding import check_addition, is_added
from spora_db.importing.annotations import region_table
from spora_db.importing.cells import cell_table, side_by_side
from spora_db.importing.channel_decisions import channel_decisions
from spora_db.importing.contradictions import check_arguments, check_beside, check_folders
from spora_db.importing.decisions import Decision, Decisions
from spora_db.importing.fields import Field
from spora_db.importing.file_facts import FileFacts, file_facts
from spora_db.importing.folders import find_fields
from spora_db.importing.image_decisions import image_decisions
from spora_db.importing.labels import cell_decisions
from spora_db.importing.mask_files import INSTANCES, MaskSource, find_cell_masks, find_tissue_masks
from spora_db.importing.masks import check_mask
from spora_db.importing.matching import match_pages
from spora_db.importing.metadata import columns_of_tissues, tissue_table
from spora_db.importing.options import ImportOptions
from spora_db.importing.panel import Channel, panel_of_images, read_panel
from spora_db.importing.resolution import resolution_decisions
from spora_db.importing.sheets import Sheet, read_sheet
from spora_db.importing.slides import written_size
from spora_db.importing.table_joins import has_column
from spora_db.importing.targets import check_target
from spora_db.importing.tissue_ids import TissueName
from spora_db.importing.tissue_masks import describe
from spora_db.importing.tissues import file_to_take_over
from spora_db.layout import is_rgb
from spora_db.layout.names import RGB_CHANNELS

if TYPE_CHECKING:
    import pyarrow as pa


MOST_THREADS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportPlan:
    """What an import writes.

    Attributes
    ----------
    tissues
        The ids of the tissues, sorted.
    fields
        The images, one per tissue, sorted by tissue id; of tables and masks alone, those that they are compared with.
    channels
        Those of the panel that are kept, in its order; red, green and blue for brightfield.
    pages
        For each image, the page of each channel; None where it was not measured.
    tissue_rows, cell_rows, region_rows
        The tables; none where none were given.
    masks, cell_masks
        Of each tissue: its mask where one is given, and those of its cells by the name that the dataset gives them.
    tissue_masks
        How tissue masks are made, in a sentence.
    decisions
        What was decided on the way.
    added
        Whether all of it goes into a dataset that is there.
    """

    tissues: tuple[str, ...]
    fields: tuple[Field, ...]
    channels: tuple[Channel, ...]
    pages: tuple[tuple[int | None, ...], ...]
    tissue_rows: "pa.Table | None"
    cell_rows: "pa.Table | None"
    region_rows: "pa.Table | None"
    masks: Mapping[str, MaskSource]
    cell_masks: Mapping[str, Mapping[str, MaskSource]]
    tissue_masks: str
    decisions: Decisions
    added: bool = False


def plan_import(options: ImportOptions, source: Path) -> ImportPlan:
    """Find images, match channels and join tables; nothing is written.

    Raises
    ------
    SporaError
        As :func:`spora_db.importing.import_dataset`.
    """
    check_arguments(options)
    besides = [path for path in (options.masks, options.cell_masks, options.annotations, *options.cells) if path]
    fields, found = find_fields(
        source,
        channel_axis=options.channel_axis,
        pattern=options.pattern,
        besides=besides,
        is_marker=lambda name: target_of(name) is not None,
    )
    tissues = [field.tissue_id for field in fields]
    added = is_added(options, tissues)
    check_target(options, source, overwrite=options.overwrite or added)
    found += check_addition(options, tissues) if added else []
    check_folders(options, fields)
    facts = [FileFacts() if field.file is None else file_facts(field.file) for field in fields]
    check_beside(options, fields, facts)
    names = [
        TissueName(
            tissue_id=field.tissue_id,
            path=field.place,
            patient=field.found.get("patient") or field.found.get("folder"),  # a folder is one where a table says so
        )
        for field in fields
    ]
    images = {page.file.resolve() for field in fields for page in field.pages}
    decisions = Decisions() + found + image_decisions(options, fields, facts, source=source)
    decisions += resolution_decisions(fields, facts, mpp=options.mpp, source_mpp=options.source_mpp)
    fields = [written_size(field, mpp=options.mpp, source_mpp=options.source_mpp) for field in fields]
    channels, pages, found = _rgb_pages(fields) if is_rgb(options.modality) else _panel_pages(options, fields)
    decisions += found
    rows, found = _tissue_rows(options, fields, names)
    decisions += found
    masks, cell_masks, how, found = _masks(options, names, images)
    decisions += found
    for field, chosen in zip(fields, pages, strict=True):
        _check_field(
            options, field, chosen, [masks.get(field.tissue_id), *cell_masks.get(field.tissue_id, {}).values()]
        )
    cells, found = cell_rows(options, fields, names, cell_masks, columns_of_tissues(rows))
    regions, outlined = region_table(options, fields, names)
    return ImportPlan(
        tissues=tuple(tissues),
        fields=tuple(fields),
        channels=channels,
        pages=pages,
        tissue_rows=rows,
        cell_rows=cells,
        region_rows=regions,
        masks=masks,
        cell_masks=cell_masks,
        tissue_masks=how,
        decisions=decisions + found + outlined,
        added=added,
    )


def threads() -> int:
    """Return by how many threads images and masks are read."""
    return min(MOST_THREADS, usable_cpus())


def _check_field(
    options: ImportOptions, field: Field, pages: Sequence[int | None], masks: Sequence[MaskSource | None]
) -> None:
    """Refuse what writing would refuse: an image that cannot be linked, a mask of another size."""
    if options.images in ("link", "copy"):
        file_to_take_over(field, [page for page in pages if page is not None], is_rgb=is_rgb(options.modality))
    for source in masks:
        if source is not None:
            check_mask(source, field)


def _tissue_rows(
    options: ImportOptions, fields: Sequence[Field], names: Sequence[TissueName]
) -> tuple["pa.Table", list[Decision]]:
    """Return the table of tissues: what sheets, folders and patterns say."""
    sheets = [read_sheet(path, about="metadata") for path in options.metadata]
    found = {key: [field.found.get(key) for field in fields] for field in fields for key in field.found}
    if "patient" in found:
        found["patient_id"] = found.pop("patient")
    return tissue_table(
        sheets,
        names,
        dataset=options.dataset,
        modality=options.modality,
        id_column=id_column_of(options, sheets),
        found=found,
    )


def id_column_of(options: ImportOptions, sheets: Sequence[Sheet]) -> str | None:
    """Return the id column of the tables of tissues: none is asked for where it must be that of the cells."""
    of_cells = options.cells and not any(has_column(sheet, options.id_column) for sheet in sheets)
    return None if of_cells else options.id_column


def _masks(
    options: ImportOptions, names: Sequence[TissueName], images: Collection[Path]
) -> tuple[dict[str, MaskSource], dict[str, dict[str, MaskSource]], str, list[Decision]]:
    """Return the masks of each tissue, how tissue masks are made, and what was decided."""
    masks: dict[str, MaskSource] = {}
    cell_masks: dict[str, dict[str, MaskSource]] = {}
    decisions: list[Decision] = []
    how = "from files"
    if options.masks is not None:
        masks, decisions = find_tissue_masks(options.masks, names, images=images)
    else:
        how = describe(options.tissue_mask, mpp=options.mpp, is_rgb=is_rgb(options.modality))
        decisions.append(Decision(about="masks", says=f"Tissue masks were made, {how}."))
    if options.cell_masks is not None:
        cell_masks, more = find_cell_masks(options.cell_masks, names, images=images)
        decisions += more
    return masks, cell_masks, how, decisions


def cell_rows(
    options: ImportOptions,
    fields: Sequence[Field],
    names: Sequence[TissueName],
    cell_masks: Mapping[str, Mapping[str, MaskSource]],
    also: Mapping[str, Mapping[str, str]],
) -> tuple["pa.Table | None", list[Decision]]:
    """Return the table of cells, compared with their masks."""
    if not options.cells:
        return None, []
    tables: list[pa.Table] = []
    decisions: list[Decision] = []
    for path in options.cells:
        table, more = cell_table(
            path, names, id_column=options.id_column, mpp=options.mpp, has_masks=bool(cell_masks), also=also
        )
        tables.append(table)
        decisions += more
    cells = side_by_side(tables, options.cells)
    if cell_masks:
        decisions += cell_decisions(
            cells,
            [field for field in fields if field.tissue_id in cell_masks],
            {tissue: masks[INSTANCES] for tissue, masks in cell_masks.items()},
            table=options.cells[0],
            missing_chunks=missing_chunks_in(options.modality, options.missing_chunks),
            threads=threads(),
        )
    return cells, decisions


def _panel_pages(
    options: ImportOptions, fields: Sequence[Field]
) -> tuple[tuple[Channel, ...], tuple[tuple[int | None, ...], ...], list[Decision]]:
    """Return the kept channels, for each field the page of each, and what was decided."""
    decisions: list[Decision] = []
    if options.panel is None:
        rows = panel_of_images(fields)
        says = "No panel was given: channels are named by the images, all with qc_pass."
        decisions.append(Decision(about="channels", says=says))
    else:
        rows, decisions = read_panel(options.panel)
    rows, found = with_accessions(rows, accessions=options.accessions)
    matched = [match_pages(rows, field, match=options.match, missing=options.missing) for field in fields]
    decisions += [*channel_decisions(rows, fields, matched, match=options.match), *found]
    pages = tuple(tuple(matching.pages) for matching in matched)
    return tuple(channel for channel in rows if channel.keep), pages, decisions


def _rgb_pages(
    fields: Sequence[Field],
) -> tuple[tuple[Channel, ...], tuple[tuple[int | None, ...], ...], list[Decision]]:
    for field in fields:
        fault = field.brightfield_fault()
        if fault is not None:
            raise TableError(fault)
    return tuple(Channel(name=name) for name in RGB_CHANNELS), tuple((0, 1, 2) for _ in fields), []
