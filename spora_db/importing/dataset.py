"""Import: fields, panel, metadata and masks become a dataset of the layout, whole or not at all."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import spora_db
from spora_db.errors import SporaError
from spora_db.files.parquet import write_parquet
from spora_db.images.base import ChannelAxis, MissingChunks, missing_chunks_in
from spora_db.importing.adding import earlier_imports, join_dataset
from spora_db.importing.dataset_files import check_result, write_card, write_panel
from spora_db.importing.decisions import Decision
from spora_db.importing.leftovers import clear_leftovers
from spora_db.importing.options import (
    AccessionChoice,
    ImageChoice,
    ImportOptions,
    ImportReport,
    Match,
    Missing,
    TissueMaskChoice,
    check_choice,
)
from spora_db.importing.pieces import Pieces, pieces_of
from spora_db.importing.planning import ImportPlan, plan_import, threads
from spora_db.importing.targets import check_lake, whole_folder
from spora_db.importing.tissue_masks import tissue_decisions
from spora_db.importing.tissues import TissueJob, write_masks, write_tissue
from spora_db.importing.without_images import images_meant, plan_tables
from spora_db.jobs import Progress, Quiet
from spora_db.layout import LakePath, check_name, is_rgb, lake_path, layers, parse_mpp


def import_dataset(
    source: str | Path | None = None,
    *,
    into: LakePath,
    dataset: str,
    modality: str | None = None,
    mpp: float | str | None = None,
    source_mpp: float | str | None = None,
    panel: str | Path | None = None,
    pattern: str | None = None,
    metadata: str | Path | Sequence[str | Path] | None = None,
    id_column: str | None = None,
    masks: str | Path | None = None,
    tissue_mask: TissueMaskChoice = "tissue",
    cell_masks: str | Path | None = None,
    cells: str | Path | Sequence[str | Path] | None = None,
    annotations: str | Path | None = None,
    images: ImageChoice = "zarr",
    match: Match = "auto",
    missing: Missing = "error",
    accessions: AccessionChoice = "table",
    missing_chunks: MissingChunks = "error",
    channel_axis: ChannelAxis = "c",
    overwrite: bool = False,
    add: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Make a dataset of images, a panel, metadata and masks.

    Parameters
    ----------
    source
        An image; or a folder that holds, at any depth, OME-TIFF, TIFF or OME-Zarr images, or a folder of single-channel
        TIFFs per field of view. A field of view becomes a tissue of its name. Left out, with `add`: metadata, cells,
        annotations and masks are joined to the tissues that the dataset has; metadata may leave some out.
    into
        The lake, made if absent. Of layers the last is written to, and others are read where something is added.
    dataset
        The name of the new dataset.
    modality
        ``he``, ``ihc_<marker>``, ``imc``, ``codex``, ``cycif`` or ``mibi``. Without `source`: of which images cells,
        annotations and masks are, needed where the dataset has several; metadata then goes to rows of that modality.
    mpp
        Microns per pixel of the dataset's images; without `source`, needed as `modality` is.
    source_mpp
        Those of the files, where images are to be made coarser: a number, or ``"file"`` for what each file says itself.
        A pixel is the mean of the area that it covers; of a pyramid, the nearest finer level is read.
    panel
        Table with a row per channel, in panel order: ``channel, name, keep`` as steinbock writes, ``marker_name`` of
        mcmicro, ``channel_name, uniprot_id, qc_pass, is_nuclear_marker``, or a list of names without a header; further
        columns are kept. Without it the images name the channels.
    pattern
        How paths below `source` name tissues: ``"{patient}/{tissue}_{channel}.tiff"``. Names other than ``tissue`` and
        ``channel`` become columns of the tissues.
    metadata
        Table with a row per tissue, or several; all columns are kept. One with a row per patient is joined where an
        earlier one, or `pattern`, says whose a tissue is. Tables are CSV in any encoding, ``.xlsx``, ``.parquet`` or
        ``.h5ad``.
    id_column
        The column of `metadata` and `cells` that names the image, in any case; found where left out. Its values are
        ids, file names or paths, also where case or leading zeros differ.
    masks
        Folder of tissue masks ``<tissue_id>.npz``, ``.npy``, ``.png`` or ``.tiff``, also ``<tissue_id>_mask`` and the
        like.
    tissue_mask
        How tissue masks are made without `masks`: ``"tissue"``, ``"otsu"``, or ``"full"``, all of the image; see
        :func:`spora_db.importing.tissue_masks.tissue_mask`.
    cell_masks
        Folder of cell instance masks, the same formats, named as segmentation tools do (``_whole_cell``, ``_cp_masks``,
        ...) or with a channel for each part of a cell. Nuclei beside whole cells become a mask of the kind ``nuclear``.
    cells
        Table with a row per cell: image and ``cell_id`` (steinbock: ``Object``); or a folder with one per image; or
        several of the same cells.
    annotations
        Regions that people outlined: a folder with a file per image, or the file of one, called as the images. GeoJSON
        as QuPath exports it (``.geojson``, ``.json``, also ``.gz``), or ROIs of ImageJ (``.zip``, ``.roi``). Their
        coordinates are pixels of the full resolution of the images' files.
    images
        ``"zarr"`` and ``"tiff"`` write them anew in the published encodings, ``"copy"`` copies and ``"link"`` links the
        files, which then must have the panel's channels in its order.
    match
        How pages and rows of the panel are matched: by ``"name"``, by ``"order"``, or ``"auto"``.
    missing
        What a kept channel without a page is: an ``"error"``, or ``"unmeasured"`` in that tissue.
    accessions
        Whether a panel without UniProt accessions gets those of the human proteins of its names, by a ``"table"`` that
        comes with spora-db, or ``"off"``. Each guess is among the decisions.
    missing_chunks
        Whether absent chunks of an image (a partial download) are errors, or written as zeros, or as white
        (brightfield). Linked and copied images keep them absent.
    channel_axis
        The axis along which the channels lie in the images: ``"c"``, or ``"z"`` or ``"t"`` in files of programs that
        write channels as a stack of depths or times. Such images are written anew, as channels.
    overwrite
        Replace a dataset of that name, once the new one is complete.
    add
        Add to a dataset of that name: another modality, another resolution, further tissues; whole or not at all.
        Tissues of one id are one. A value that contradicts one that is there is an error; so is a cell that is there.
        A modality that the dataset does not have, of tissues that it has, is added without.
    dry_run
        Write nothing; the report says what would be written, and what was decided.
    progress
        Told of every piece of an image that is written, as :class:`spora_db.jobs.Lines`; nothing by default.

    Returns
    -------
    ImportReport
        The folder, the tissues, the channels, and what was decided: how each channel was matched, which picture of a
        file was taken, how ids were joined, what was left out. The dataset keeps it as ``metadata/import.json``.

    Raises
    ------
    ArgumentError, UnknownNameError
        An argument of the wrong form, or two that contradict each other.
    ImageNotFoundError, MaskNotFoundError
        There is no image in `source`, or no mask of a tissue.
    TableError
        Panel, metadata and images do not belong together.
    FileFormatError
        A file is broken, or a mask is of another size than its image.
    WriteError
        The dataset exists, or it cannot be written; nothing is left of it.

    See Also
    --------
    validate, tile_lake, standardize_lake

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from spora_db.images import write_ometiff
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     image = np.random.default_rng(0).random((2, 64, 64)).astype(np.float32)
    ...     _ = write_ometiff(Path(folder) / "raw" / "a.ome.tiff", image, mpp=1.0, channel_names=["DNA", "CD8"])
    ...     report = import_dataset(
    ...         Path(folder) / "raw", into=Path(folder) / "lake", dataset="mine", modality="imc", mpp=1.0
    ...     )
    >>> report.tissues, report.channels
    (('a',), ('DNA', 'CD8'))
    """
    choices = {
        "images": images,
        "tissue_mask": tissue_mask,
        "match": match,
        "missing": missing,
        "accessions": accessions,
        "missing_chunks": missing_chunks,
        "channel_axis": channel_axis,
    }
    for name, value in choices.items():
        check_choice(name, value)
    options = ImportOptions(
        source=_path(source),
        into=lake_path(into),
        dataset=check_name(dataset, kind="dataset"),
        modality=modality or "",
        mpp=0.0 if mpp is None else parse_mpp(mpp),
        source_mpp="file" if source_mpp == "file" else None if source_mpp is None else parse_mpp(source_mpp),
        panel=_path(panel),
        pattern=pattern,
        metadata=_paths(metadata),
        id_column=id_column,
        masks=_path(masks),
        tissue_mask=tissue_mask,
        cell_masks=_path(cell_masks),
        cells=_paths(cells),
        annotations=_path(annotations),
        images=images,
        match=match,
        missing=missing,
        accessions=accessions,
        missing_chunks=missing_chunks,
        channel_axis=channel_axis,
        overwrite=overwrite,
        add=add,
    )
    check_lake(options.into)
    cleared = [] if dry_run else clear_leftovers(options.target)
    try:
        if options.source is None:
            options = images_meant(options)
            plan = plan_tables(options)
        else:
            plan = plan_import(options, options.source)
        decisions = plan.decisions + cleared
        if not dry_run:
            decisions += _write(options, plan, progress or Quiet())
    except SporaError as error:
        for decision in cleared:
            error.add_note(decision.says)
        raise
    names = () if is_rgb(options.modality) else tuple(channel.name for channel in plan.channels)
    return ImportReport(
        path=options.target, tissues=plan.tissues, channels=names, decisions=decisions, written=not dry_run
    )


def _write(options: ImportOptions, plan: ImportPlan, progress: Progress) -> list[Decision]:
    """Write the dataset, and return what its validation has to say."""
    source = options.source
    units = 0 if source is None else pieces_of(plan.fields, plan.pages, images=options.images)
    pieces = Pieces(progress, title=f"import {options.dataset}", units=units)
    with whole_folder(options.target, overwrite=options.overwrite or plan.added) as folder:
        jobs = [
            TissueJob(
                field=field,
                pages=tuple(page for page in chosen if page is not None),
                names=tuple(
                    channel.name for channel, page in zip(plan.channels, chosen, strict=True) if page is not None
                ),
                folder=folder,
                modality=options.modality,
                is_rgb=is_rgb(options.modality),
                mpp=options.mpp,
                source_mpp=options.source_mpp,
                images=options.images,
                missing_chunks=missing_chunks_in(options.modality, options.missing_chunks),
                mask=plan.masks.get(field.tissue_id),
                tissue_mask=options.tissue_mask,
                cell_masks=plan.cell_masks.get(field.tissue_id, {}),
                wrote=pieces.wrote,
            )
            for field, chosen in zip(plan.fields, plan.pages, strict=True)
        ]
        with pieces, ThreadPoolExecutor(max_workers=threads()) as pool:
            done = pool.map(write_masks if source is None else write_tissue, jobs)
            shares = dict(zip((job.field.tissue_id for job in jobs), done, strict=True))
        tables = {"tissues": plan.tissue_rows, "cells": plan.cell_rows, "regions": plan.region_rows}
        for name, table in tables.items():
            if table is not None:
                write_parquet(table, folder / "metadata" / f"{name}.parquet")
        if source is not None:
            if not is_rgb(options.modality):
                write_panel(folder / options.modality, plan.channels, plan.tissues, plan.pages)
            write_card(folder, options, source=source, tissue_masks=plan.tissue_masks)
        joined = join_dataset(options, folder) if plan.added else []
        below = [part for part in layers(options.there) if part != options.target] if plan.added else []
        seen = check_result(lake_path([*below, folder]))
        found = [*joined, *tissue_decisions(shares, method=options.tissue_mask), *seen]
        earlier = earlier_imports(options.there) if plan.added else []
        text = (plan.decisions + found).to_json(options.to_record(), version=spora_db.__version__, earlier=earlier)
        (folder / "metadata" / "import.json").unlink(missing_ok=True)
        (folder / "metadata" / "import.json").write_text(text, encoding="utf-8")
    return found


def _path(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value)


def _paths(value: str | Path | Sequence[str | Path] | None) -> tuple[Path, ...]:
    if value is None:
        return ()
    return (Path(value),) if isinstance(value, str | Path) else tuple(map(Path, value))
