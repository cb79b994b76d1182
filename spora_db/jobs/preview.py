"""Draws some tissues of a finished tiling, or of a dataset that was imported, with their masks on one page."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spora_db.arrays import AnyArray, Int64
from spora_db.drawing.batch import legend_of
from spora_db.drawing.canvas import FAINT, LEGEND_ROW, MARGIN, Canvas, picture_format, wrap_legend
from spora_db.drawing.markers import choose_channels
from spora_db.drawing.overview import TissueView, draw_tissue, modality_name, read_thinned, thin_step
from spora_db.errors import ArgumentError, FileFormatError, counted
from spora_db.files.stores.remote_files import fetch_whole
from spora_db.images import ImageReader, open_image, read_region
from spora_db.images.base import MissingChunks, missing_chunks_in
from spora_db.images.brightfield import brightfield_fault
from spora_db.jobs.cohorts import Cohort, Tissue, cohort_of
from spora_db.jobs.panels import Panel, read_panel
from spora_db.jobs.report import Report
from spora_db.layout import LakePath, parse_mpp, scan, tile_file
from spora_db.layout.names import is_rgb
from spora_db.masks import load_tissue_mask
from spora_db.tiling.parameters import TilingParameters

MOST = 6  # tissues
COLUMNS = 3
PANEL = 3.2  # inches
CAPTION = 0.55


def draw_preview(
    lake: LakePath,
    path: str | Path,
    *,
    report: Report,
    mpp: float | str,
    parameters: TilingParameters,
    missing_chunks: MissingChunks = "error",
) -> Path:
    """Draw up to six tissues, spread over the datasets of a run.

    Parameters
    ----------
    lake
        As for the run.
    path
        The picture, .png, .pdf or .svg, written whole or not at all.
    report
        Of the run; tissues are taken from datasets whose tables are in place.
    mpp, parameters
        As for the run.
    missing_chunks
        Whether absent chunks of an image are errors, or drawn as zeros, or as white (brightfield).

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    ArgumentError
        No dataset of the run has tables, or the path has another suffix.
    WriteError
        The picture cannot be written.
    """
    picture_format(path)
    done = [part.dataset for part in report.datasets if part.state in ("written", "kept")]
    scanned = scan(lake)
    cohorts = [cohort_of(scanned.chosen(name)[0], mpp=parse_mpp(mpp)) for name in done]
    chosen = _spread([(cohort, tissue) for cohort in cohorts for tissue in cohort.tissues if tissue.mask.is_file()])
    if not chosen:
        raise ArgumentError("There is no finished tiling to preview.")
    views = [
        _view(lake, cohort, tissue, parameters=parameters, missing_chunks=missing_chunks) for cohort, tissue in chosen
    ]
    return _draw_page(
        views, [f"{counted(len(view.tiles), 'tile')} of {parameters.tile_size}" for view in views], Path(path)
    )


def draw_tissue_masks(
    lake: LakePath, path: str | Path, *, dataset: str, mpp: float | str, missing_chunks: MissingChunks = "error"
) -> Path:
    """Draw up to six tissues of a dataset with the outlines of their tissue masks, to be looked at after an import.

    Parameters
    ----------
    lake
        Where the dataset is.
    path
        The picture, .png, .pdf or .svg, written whole or not at all.
    dataset, mpp
        Its name, and the microns per pixel of its images.
    missing_chunks
        Whether absent chunks of an image are errors, or drawn as zeros, or as white (brightfield).

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    ArgumentError
        The dataset has no tissue mask, or the path has another suffix.
    WriteError
        The picture cannot be written.
    """
    picture_format(path)
    cohort = cohort_of(scan(lake).chosen(dataset)[0], mpp=parse_mpp(mpp))
    chosen = _spread([(cohort, tissue) for tissue in cohort.tissues if tissue.mask.is_file()])
    if not chosen:
        raise ArgumentError(f"The dataset {dataset!r} has no tissue mask at {mpp} microns per pixel.")
    views = [_view(lake, cohort, tissue, parameters=None, missing_chunks=missing_chunks) for cohort, tissue in chosen]
    return _draw_page(views, [f"{view.mask.mean():.0%} tissue" for view in views], Path(path))


def _draw_page(views: Sequence[TissueView], captions: Sequence[str], path: Path) -> Path:
    """Draw tissues side by side, each with its name and caption."""
    columns = min(COLUMNS, len(views))
    tall = PANEL * max(view.height / max(view.height, view.width) for view in views)
    rows = -(-len(views) // columns)
    width = columns * (PANEL + MARGIN) - MARGIN
    below = MARGIN + rows * (tall + CAPTION + MARGIN) - MARGIN
    chips = wrap_legend(legend_of([view.shown() for view in views]), room=width)
    page = Canvas(width=2 * MARGIN + width, height=below + MARGIN + (0.05 + LEGEND_ROW * len(chips) if chips else 0))
    for number, (view, said) in enumerate(zip(views, captions, strict=True)):
        left = MARGIN + number % columns * (PANEL + MARGIN)
        top = MARGIN + number // columns * (tall + CAPTION + MARGIN)
        scale = PANEL / max(view.height, view.width)
        page.text(left, top, text=view.tissue_id, size=9, weight="bold")
        caption = f"{view.dataset}  ·  {modality_name(view.modality)}  ·  {said}"
        page.text(left, top + 0.2, text=caption, size=7.5, colour=FAINT)
        axes = page.axes(left, top + CAPTION - 0.1, width=view.width * scale, height=view.height * scale)
        draw_tissue(axes, view)
    page.legend(MARGIN, below + 0.1, rows=chips)
    page.save(path)
    return path


def _spread(tissues: Sequence[tuple[Cohort, Tissue]]) -> list[tuple[Cohort, Tissue]]:
    """Return at most `MOST` tissues, evenly from the first to the last."""
    if not tissues:
        return []
    places = np.unique(np.linspace(0, len(tissues) - 1, min(MOST, len(tissues))).round().astype(int))
    return [tissues[place] for place in places]


def _view(
    lake: LakePath,
    cohort: Cohort,
    tissue: Tissue,
    *,
    parameters: TilingParameters | None,
    missing_chunks: MissingChunks,
) -> TissueView:
    """Return what is drawn of a tissue, thinned to a size that fits a page."""
    mask = load_tissue_mask(tissue.mask)
    height, width = mask.shape
    step = thin_step(height, width)
    thin_mask = mask[::step, ::step]
    images = sorted(tissue.images, key=lambda item: (item[0] != "he", item[0]))  # H&E shows best what is tissue
    modality: str = "he"
    names: tuple[str, ...] = ()
    ids: tuple[str | None, ...] | None = None
    image: AnyArray = np.where(thin_mask, 200, 245).astype(np.uint8)[None].repeat(3, axis=0)
    if images:
        modality, path = images[0]
        reader = open_image(path, missing_chunks=missing_chunks_in(modality, missing_chunks))
        pages = [0, 1, 2] if is_rgb(modality) else []
        if pages and (fault := brightfield_fault(reader)) is not None:
            raise FileFormatError(fault)
        if not pages:
            panel = read_panel(lake, dataset=cohort.name, modality=modality)
            names, ids, pages = _shown(panel, tissue.tissue_id, reader)
        image = read_thinned(
            lambda row, rows: read_region(reader, pages, row=row, height=rows), height=reader.shape[1], step=step
        )
        if is_rgb(modality):
            image = image.round().astype(reader.dtype)  # colours are known by the type of raw pixels
    return TissueView(
        image=image,
        dataset=cohort.name,
        tissue_id=tissue.tissue_id,
        modality=modality,
        channel_names=names,
        uniprot_ids=ids,
        mask=thin_mask,
        tiles=None if parameters is None else _tiles(cohort, tissue.tissue_id, parameters=parameters),
        tile_size=None if parameters is None else parameters.tile_size,
        mpp=cohort.mpp,
        thinned=step,
        size=(height, width),
    )


def _shown(
    panel: Panel, tissue_id: str, reader: ImageReader
) -> tuple[tuple[str, ...], tuple[str | None, ...], list[int]]:
    """Return the channels that tell most at a glance: their names, their accessions and their pages."""
    pages = panel.pages(tissue_id, count=reader.shape[0], image=reader.path)
    ids = dict(zip(panel.names, panel.uniprot_ids, strict=True))
    names = tuple(pages)
    shown = tuple(names[item.index] for item in choose_channels(names, [ids[name] for name in names]))
    return shown, tuple(ids[name] for name in shown), [pages[name] for name in shown]


def _tiles(cohort: Cohort, tissue_id: str, *, parameters: TilingParameters) -> Int64:
    import pyarrow.parquet as pq

    written = tile_file(
        cohort.dataset.path,
        "tile_coordinates",
        mpp=cohort.mpp,
        strategy=parameters.strategy,
        tile_size=parameters.tile_size,
    )
    seen = cohort.dataset.seen(written)
    fetch_whole([seen])
    table = pq.read_table(seen, columns=["row", "col"], filters=[("tissue_id", "=", tissue_id)])
    return np.stack([table.column(name).to_numpy() for name in ("row", "col")], axis=1)
