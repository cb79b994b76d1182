"""What an import is going to write, and everything it decided: all that can be known before a pixel is written."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spora_db.errors import ArgumentError, TableError, counted
from spora_db.importing.channel_decisions import channel_decisions
from spora_db.importing.decisions import Decision, Decisions, listed
from spora_db.importing.fields import Field, find_fields
from spora_db.importing.file_facts import FileFacts, file_facts
from spora_db.importing.matching import match_pages
from spora_db.importing.metadata import cell_table, tissue_table
from spora_db.importing.options import ImportOptions
from spora_db.importing.panel import Channel, panel_of_images, read_panel_csv
from spora_db.importing.resolution import resolution_decisions
from spora_db.importing.targets import check_target
from spora_db.importing.tissue_masks import describe
from spora_db.layout import MULTIPLEX_MODALITIES, is_rgb, modality_folder
from spora_db.layout.names import RGB_CHANNELS

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportPlan:
    """What an import writes.

    Attributes
    ----------
    fields
        The images, one per tissue, sorted by tissue id.
    channels
        Those of the panel that are kept, in its order; red, green and blue for brightfield.
    pages
        For each image, the page of each channel; None where it was not measured.
    tissue_rows, cell_rows
        The tables; no cells where none were given.
    tissue_masks
        How tissue masks are made, in a sentence.
    decisions
        What was decided on the way.
    """

    fields: tuple[Field, ...]
    channels: tuple[Channel, ...]
    pages: tuple[tuple[int | None, ...], ...]
    tissue_rows: "pa.Table"
    cell_rows: "pa.Table | None"
    tissue_masks: str
    decisions: Decisions

    @property
    def tissues(self) -> tuple[str, ...]:
        """The ids of the tissues, sorted."""
        return tuple(field.tissue_id for field in self.fields)


def plan_import(options: ImportOptions) -> ImportPlan:
    """Find images, match channels and join tables; nothing is written.

    Raises
    ------
    SporaError
        As :func:`spora_db.importing.import_dataset`.
    """
    _check(options)
    fields = find_fields(options.source, channel_axis=options.channel_axis)
    check_target(options.target, options.source, overwrite=options.overwrite)
    _check_folders(options, fields)
    facts = [FileFacts() if field.file is None else file_facts(field.file) for field in fields]
    tissues = [field.tissue_id for field in fields]
    decisions = Decisions() + _image_decisions(options, fields, facts)
    decisions += resolution_decisions(fields, facts, mpp=options.mpp)
    channels, pages, more = _rgb_pages(fields) if is_rgb(options.modality) else _panel_pages(options, fields)
    decisions += more
    rows, more = tissue_table(
        options.metadata, tissues, dataset=options.dataset, modality=options.modality, id_column=options.id_column
    )
    decisions += more
    cells = None
    if options.cells is not None:
        cells, more = cell_table(options.cells, tissues, id_column=options.id_column)
        decisions += more
    how = "from files"
    if options.masks is None:
        how = describe(options.tissue_mask, mpp=options.mpp, is_rgb=is_rgb(options.modality))
        decisions += [Decision(about="masks", says=f"Tissue masks were made, {how}.")]
    return ImportPlan(
        fields=tuple(fields),
        channels=channels,
        pages=pages,
        tissue_rows=rows,
        cell_rows=cells,
        tissue_masks=how,
        decisions=decisions,
    )


def _check(options: ImportOptions) -> None:
    """Refuse arguments that contradict each other."""
    modality_folder(options.modality)
    if is_rgb(options.modality) and options.panel is not None:
        raise ArgumentError(
            f"A panel is for {', '.join(MULTIPLEX_MODALITIES)}; {options.modality} images are RGB. Leave it out."
        )
    if options.channel_axis != "c" and options.images in ("link", "copy"):
        raise ArgumentError(
            f"images is {options.images!r}, but the channels lie along {options.channel_axis}, where no lake looks for "
            "them. Use images 'zarr' or 'tiff', which write them as channels."
        )


def _check_folders(options: ImportOptions, fields: Sequence[Field]) -> None:
    for name, files in (("masks", options.masks), ("cell_masks", options.cell_masks)):
        if files is not None and not files.is_dir() and len(fields) > 1:
            raise ArgumentError(f"{name} is {str(files)!r}, no folder; expected a folder with a mask of each tissue.")


def _image_decisions(options: ImportOptions, fields: Sequence[Field], facts: Sequence[FileFacts]) -> list[Decision]:
    """Say which images were found, and which pictures of their files were left out."""
    sizes = sorted({f"{field.height} x {field.width} {field.dtype}" for field in fields})
    details = [
        {
            "tissue_id": field.tissue_id,
            "origin": _within(field.origin, options.source),
            "height": field.height,
            "width": field.width,
            "dtype": str(field.dtype),
            "pages": len(field.pages),
            "picture": fact.taken or None,
            "left_out": list(fact.others),
        }
        for field, fact in zip(fields, facts, strict=True)
    ]
    says = f"{counted(len(fields), 'image')} of {'; '.join(sizes[:4])}{'; ...' if len(sizes) > 4 else ''}."
    decisions = [Decision(about="images", says=says, details={"images": details})]
    for field, fact in zip(fields, facts, strict=True):
        if fact.others:
            says = (
                f"{field.origin} holds {len(fact.others) + 1} images, of which one was taken: {fact.taken}. Left out: "
                f"{'; '.join(fact.others[:8])}. Write each that is wanted to a file of its own."
            )
            decisions.append(Decision(about="images", says=says, warning=True))
    if is_rgb(options.modality) and options.images in ("zarr", "tiff"):
        alpha = [field.tissue_id for field in fields if len(field.pages) == 4]
        if alpha:
            says = f"The fourth channel (alpha) was left out: {listed(alpha)}."
            decisions.append(Decision(about="images", says=says))
    return decisions


def _within(path: Path, source: Path) -> str:
    return path.relative_to(source).as_posix() if path != source and path.is_relative_to(source) else path.name


def _panel_pages(
    options: ImportOptions, fields: Sequence[Field]
) -> tuple[tuple[Channel, ...], tuple[tuple[int | None, ...], ...], list[Decision]]:
    """Return the kept channels, for each field the page of each, and what was decided."""
    decisions = []
    if options.panel is None:
        rows = panel_of_images(fields)
        says = "No panel was given: channels are named by the images, all with qc_pass and without UniProt ids."
        decisions.append(Decision(about="channels", says=says))
    else:
        rows = read_panel_csv(options.panel)
    found = [match_pages(rows, field, match=options.match, missing=options.missing) for field in fields]
    decisions += channel_decisions(rows, fields, found, match=options.match)
    pages = tuple(tuple(matching.pages) for matching in found)
    return tuple(channel for channel in rows if channel.keep), pages, decisions


def _rgb_pages(
    fields: Sequence[Field],
) -> tuple[tuple[Channel, ...], tuple[tuple[int | None, ...], ...], list[Decision]]:
    for field in fields:
        fault = field.brightfield_fault()
        if fault is not None:
            raise TableError(fault)
    return tuple(Channel(name=name) for name in RGB_CHANNELS), tuple((0, 1, 2) for _ in fields), []
