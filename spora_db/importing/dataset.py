"""Import: fields, panel, metadata and masks become a dataset of the layout, whole or not at all."""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from spora_db.errors import ArgumentError, TableError, WriteError
from spora_db.files.parquet import write_parquet
from spora_db.images.base import ChannelAxis, MissingChunks
from spora_db.images.pixels import missing_chunks_in
from spora_db.importing.fields import Field, find_fields
from spora_db.importing.matching import match_pages
from spora_db.importing.metadata import cell_table, tissue_table
from spora_db.importing.options import ImageChoice, ImportReport, Match, Missing, TissueMaskChoice, check_choice
from spora_db.importing.panel import Channel, panel_of_images, read_panel_csv
from spora_db.importing.targets import check_target, whole_folder
from spora_db.importing.tissue_masks import describe
from spora_db.importing.tissues import TissueJob, write_tissue
from spora_db.layout import MULTIPLEX_MODALITIES, check_name, is_rgb, modality_folder, parse_mpp
from spora_db.layout.names import RGB_CHANNELS
from spora_db.validation import validate

MOST_THREADS = 4


def import_dataset(
    source: str | Path,
    *,
    into: str | Path,
    dataset: str,
    modality: str,
    mpp: float | str,
    panel: str | Path | None = None,
    metadata: str | Path | None = None,
    id_column: str | None = None,
    masks: str | Path | None = None,
    tissue_mask: TissueMaskChoice = "otsu",
    cell_masks: str | Path | None = None,
    cells: str | Path | None = None,
    images: ImageChoice = "zarr",
    match: Match = "auto",
    missing: Missing = "error",
    missing_chunks: MissingChunks = "error",
    channel_axis: ChannelAxis = "c",
    overwrite: bool = False,
) -> ImportReport:
    """Make a dataset of images, a panel, metadata and masks.

    Parameters
    ----------
    source
        A folder of OME-TIFF, TIFF or OME-Zarr images; a folder with one sub-folder of single-channel TIFFs per field of
        view; or one image. A field of view becomes a tissue of its name.
    into
        The lake, made if absent.
    dataset
        The name of the new dataset.
    modality
        ``he``, ``ihc_<marker>``, ``imc``, ``codex``, ``cycif`` or ``mibi``.
    mpp
        Microns per pixel of all images.
    panel
        CSV with a row per channel, in panel order: ``channel, name, keep`` as steinbock writes, or ``channel_name,
        uniprot_id, qc_pass, is_nuclear_marker``; further columns are kept. Without it the images name the channels.
    metadata
        CSV with a row per tissue; all columns are kept.
    id_column
        The column of `metadata` and `cells` that names the image; ``tissue_id`` by default.
    masks
        Folder of tissue masks ``<tissue_id>.npz``, ``.npy``, ``.png`` or ``.tiff``, also ``<tissue_id>_mask``.
    tissue_mask
        How tissue masks are made without `masks`: ``"otsu"`` or ``"full"``, all of the image; see
        :func:`spora_db.importing.tissue_masks.tissue_mask`.
    cell_masks
        Folder of cell instance masks, the same formats.
    cells
        CSV with a row per cell: image and ``cell_id`` (steinbock: ``Object``).
    images
        ``"zarr"`` and ``"tiff"`` write them anew in the published encodings, ``"copy"`` copies and ``"link"`` links the
        files, which then must have the panel's channels in its order.
    match
        How pages and rows of the panel are matched: by ``"name"``, by ``"order"``, or ``"auto"``.
    missing
        What a kept channel without a page is: an ``"error"``, or ``"unmeasured"`` in that tissue.
    missing_chunks
        Whether absent chunks of an image (a partial download) are errors, or written as zeros, or as white
        (brightfield). Linked and copied images keep them absent.
    channel_axis
        The axis along which the channels lie in the images: ``"c"``, or ``"z"`` or ``"t"`` in files of programs that
        write channels as a stack of depths or times. Such images are written anew, as channels.
    overwrite
        Replace a dataset of that name, once the new one is complete.

    Returns
    -------
    ImportReport
        The folder, the tissues, the channels, and notes on what was decided.

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
        "missing_chunks": missing_chunks,
        "channel_axis": channel_axis,
    }
    for name, value in choices.items():
        check_choice(name, value)
    target = Path(into) / check_name(dataset, kind="dataset")
    modality_folder(modality)
    resolution = parse_mpp(mpp)
    rgb = is_rgb(modality)
    if rgb and panel is not None:
        raise ArgumentError(
            f"A panel is for {', '.join(MULTIPLEX_MODALITIES)}; {modality} images are RGB. Leave it out."
        )
    if channel_axis != "c" and images in ("link", "copy"):
        raise ArgumentError(
            f"images is {images!r}, but the channels lie along {channel_axis}, where no lake looks for them. Use "
            "images 'zarr' or 'tiff', which write them as channels."
        )
    fields = find_fields(Path(source), channel_axis=channel_axis)
    check_target(target, Path(source), overwrite=overwrite)
    for name, files in (("masks", masks), ("cell_masks", cell_masks)):
        if files is not None and not Path(files).is_dir() and len(fields) > 1:
            raise ArgumentError(f"{name} is {str(files)!r}, no folder; expected a folder with a mask of each tissue.")
    tissues = [field.tissue_id for field in fields]
    channels, pages = _rgb_pages(fields) if rgb else _panel_pages(fields, panel, match=match, missing=missing)
    rows, notes = tissue_table(_path(metadata), tissues, dataset=dataset, modality=modality, id_column=id_column)
    if not rgb and panel is None:
        notes.append("No panel was given: channels are named by the images, all with qc_pass and without UniProt ids.")
    how = "from files" if masks else describe(tissue_mask, mpp=resolution, is_rgb=rgb)
    if rgb and images in ("zarr", "tiff") and any(len(field.pages) == 4 for field in fields):
        notes.append("The fourth channel (alpha) was left out.")
    notes += [] if masks else [f"Tissue masks were made, {how}."]
    cell_rows, more = cell_table(Path(cells), tissues, id_column=id_column) if cells else (None, [])
    notes += more
    with whole_folder(target, overwrite=overwrite) as folder:
        jobs = [
            TissueJob(
                field=field,
                pages=tuple(page for page in chosen if page is not None),
                names=tuple(channel.name for channel, page in zip(channels, chosen, strict=True) if page is not None),
                folder=folder,
                modality=modality,
                is_rgb=rgb,
                mpp=resolution,
                images=images,
                missing_chunks=missing_chunks_in(modality, missing_chunks),
                masks=_path(masks),
                tissue_mask=tissue_mask,
                cell_masks=_path(cell_masks),
            )
            for field, chosen in zip(fields, pages, strict=True)
        ]
        with ThreadPoolExecutor(max_workers=min(MOST_THREADS, os.cpu_count() or 1)) as pool:
            list(pool.map(write_tissue, jobs))
        write_parquet(rows, folder / "metadata" / "tissues.parquet")
        if cell_rows is not None:
            write_parquet(cell_rows, folder / "metadata" / "cells.parquet")
        if not rgb:
            _write_panel(folder / modality, channels, tissues, pages)
        _write_card(folder, source=Path(source), modality=modality, tissue_masks=how, images=images)
        notes += _check_result(folder)
    names = () if rgb else tuple(channel.name for channel in channels)
    return ImportReport(path=target, tissues=tuple(tissues), channels=names, notes=tuple(notes))


def _path(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value)


def _panel_pages(
    fields: Sequence[Field], panel: str | Path | None, *, match: Match, missing: Missing
) -> tuple[list[Channel], list[list[int | None]]]:
    """Return the kept channels, and for each field the page of each."""
    rows = panel_of_images(fields) if panel is None else read_panel_csv(Path(panel))
    pages = [match_pages(rows, field, match=match, missing=missing) for field in fields]
    return [channel for channel in rows if channel.keep], pages


def _rgb_pages(fields: Sequence[Field]) -> tuple[list[Channel], list[list[int | None]]]:
    for field in fields:
        fault = field.brightfield_fault()
        if fault is not None:
            raise TableError(fault)
    colours = [Channel(name=name) for name in RGB_CHANNELS]
    return colours, [[0, 1, 2] for _ in fields]


def _write_panel(
    folder: Path, channels: Sequence[Channel], tissues: Sequence[str], pages: Sequence[Sequence[int | None]]
) -> None:
    """Write channels.parquet and channels_per_tissue.parquet."""
    import pyarrow as pa

    extras = dict.fromkeys(name for channel in channels for name in channel.extras)
    columns = {
        "channel_name": pa.array([channel.name for channel in channels], pa.string()),
        "qc_pass": pa.array([channel.qc_pass for channel in channels], pa.bool_()),
        "uniprot_id": pa.array([channel.uniprot_id for channel in channels], pa.string()),
        "is_nuclear_marker": pa.array([channel.is_nuclear_marker for channel in channels], pa.bool_()),
        **{name: pa.array([channel.extras.get(name) for channel in channels], pa.string()) for name in extras},
    }
    write_parquet(pa.table(columns), folder / "channels.parquet")
    measured = [pa.array([chosen[at] is not None for chosen in pages], pa.bool_()) for at in range(len(channels))]
    names = [*(channel.name for channel in channels), "tissue_id"]
    wide = pa.Table.from_arrays([*measured, pa.array(list(tissues), pa.string())], names=names)
    write_parquet(wide, folder / "channels_per_tissue.parquet")


def _write_card(folder: Path, *, source: Path, modality: str, tissue_masks: str, images: str) -> None:
    """Record how the dataset came about."""
    card = {
        "name": folder.name,
        "generator": "spora-db import",
        "source": source.name,
        "modality": modality,
        "images": images,
        "tissue_masks": tissue_masks,
    }
    text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    (folder / "metadata" / "dataset.json").write_text(text, encoding="utf-8")


def _check_result(folder: Path) -> list[str]:
    """Validate what was written: errors end the import, warnings become notes."""
    findings = validate(folder)
    errors = [f"{item.file}: {item.reason}" for item in findings if item.severity == "error"]
    if errors:
        raise WriteError(f"The dataset would not be valid, nothing was written: {' '.join(errors[:3])}")
    return [f"{item.reason} {item.remedy}" for item in findings if item.severity == "warning"]
