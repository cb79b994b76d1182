"""``spora-db import``: how a new dataset comes into a lake."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from spora_db.cli.application import app
from spora_db.cli.arguments import MissingChunksOption, QuietOption, modality_names


@app.command("import")
def import_dataset(
    source: Annotated[
        Path | None,
        typer.Argument(
            help="An image, or a folder that holds images or folders of single-channel TIFFs, at any depth. With --add "
            "it may be left out: --metadata, --cells, --annotations and masks join the tissues that are there.",
            show_default=False,
        ),
    ] = None,
    *,
    dataset: Annotated[str, typer.Option(help="The name of the new dataset.", show_default=False)],
    into: Annotated[
        Path, typer.Option(help="The lake; made if absent. Of layers the last is written to.", show_default=False)
    ],
    modality: Annotated[
        str | None, typer.Option(help=f"{modality_names(rgb=True)}; needed with images.", show_default=False)
    ] = None,
    mpp: Annotated[
        str | None,
        typer.Option(help="Microns per pixel, such as 1.0 or 0.5; needed with images.", show_default=False),
    ] = None,
    source_mpp: Annotated[
        str | None,
        typer.Option(help="Microns per pixel of the files, or 'file' for what each says: images are made coarser."),
    ] = None,
    panel: Annotated[
        Path | None,
        typer.Option(
            help="Table with a row per channel: channel,name,keep or channel_name,uniprot_id,qc_pass; or names."
        ),
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(help="How paths name tissues: '{patient}/{tissue}_{channel}.tiff'.", show_default=False),
    ] = None,
    metadata: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="<path>",
            help="Table with a row per tissue; again for one with a row per patient. CSV, xlsx, parquet.",
        ),
    ] = None,
    id_column: Annotated[
        str | None, typer.Option(help="Column of --metadata and --cells that names the image; found where left out.")
    ] = None,
    masks: Annotated[Path | None, typer.Option(help="Folder of tissue masks: npz, npy, PNG or TIFF.")] = None,
    tissue_mask: Annotated[
        Literal["tissue", "otsu", "full"], typer.Option(help="How tissue masks are made without --masks.")
    ] = "tissue",
    cell_masks: Annotated[
        Path | None, typer.Option(help="Folder of cell masks: whole cells, and nuclei beside them.")
    ] = None,
    cells: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="<path>",
            help="Table with a row per cell, or a folder with one per image; again for more of the cells.",
        ),
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(help="Outlined regions: GeoJSON of QuPath or ROIs of ImageJ; a folder with a file per image."),
    ] = None,
    images: Annotated[
        Literal["link", "copy", "zarr", "tiff"],
        typer.Option(help="Write images anew as OME-Zarr or OME-TIFF, or copy or link the files."),
    ] = "zarr",
    match: Annotated[
        Literal["auto", "name", "order"],
        typer.Option(help="Match pages to the panel by name or order; auto: by name where pages have names."),
    ] = "auto",
    missing: Annotated[
        Literal["error", "unmeasured"], typer.Option(help="What a channel of the panel without a page is.")
    ] = "error",
    accessions: Annotated[
        Literal["table", "off"],
        typer.Option(help="Guess UniProt accessions of a panel that gives none, by a table of common targets, or not."),
    ] = "table",
    missing_chunks: MissingChunksOption = "error",
    channel_axis: Annotated[
        Literal["c", "z", "t"],
        typer.Option(help="The axis of the channels in the images: some programs stack them along z or t."),
    ] = "c",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a dataset of that name, once the new one is complete.")
    ] = False,
    preview: Annotated[
        Path | None, typer.Option(help="Draw some tissues with the outlines of their masks: .png, .pdf or .svg.")
    ] = None,
    add: Annotated[
        bool, typer.Option("--add", help="Add to a dataset of that name: images, tissues, or tables alone.")
    ] = False,
    quiet: QuietOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be written and what was decided; write nothing.")
    ] = False,
) -> None:
    """Make a dataset of images, a panel, metadata and masks; a whole dataset appears, or nothing.

    What was decided on the way is printed, and kept in the dataset as metadata/import.json.

    Examples:  spora-db import raw --dataset mine --into my-lake --modality imc --mpp 1.0 --panel panel.csv

    spora-db import slides --dataset he --into my-lake --modality he --mpp 0.5 --metadata clinic.csv --images link

    spora-db import --add --dataset mine --into my-lake --metadata follow-up.xlsx --cells cells.csv
    """
    import shlex
    import sys

    from spora_db.cli.runs import progress_shown
    from spora_db.errors import ArgumentError, counted
    from spora_db.importing import import_dataset as make

    if preview is not None:
        from spora_db.drawing.canvas import picture_format

        picture_format(preview)
        if source is None:
            raise ArgumentError("--preview draws tissue masks that an import makes of images: leave it out.")
    report = make(
        source,
        into=into,
        dataset=dataset,
        modality=modality,
        mpp=mpp,
        source_mpp=source_mpp,
        panel=panel,
        pattern=pattern,
        metadata=metadata,
        id_column=id_column,
        masks=masks,
        tissue_mask=tissue_mask,
        cell_masks=cell_masks,
        cells=cells,
        annotations=annotations,
        images=images,
        match=match,
        missing=missing,
        accessions=accessions,
        missing_chunks=missing_chunks,
        channel_axis=channel_axis,
        overwrite=overwrite,
        add=add,
        dry_run=dry_run,
        progress=progress_shown(quiet=quiet),
    )
    if preview is not None and mpp is not None and report.written:
        from spora_db.jobs.preview import draw_tissue_masks

        draw_tissue_masks(into, preview, dataset=dataset, mpp=mpp, missing_chunks=missing_chunks)
    if quiet:
        return
    channels = f", {counted(len(report.channels), 'channel')}" if report.channels else ""
    would = "" if report.written else " (dry run: nothing was written)"
    sys.stdout.write(f"{report.path}: {counted(len(report.tissues), 'tissue')}{channels}{would}\n{report.decisions}\n")
    if report.written and source is not None:
        command = ["spora-db", "tile", str(into), "--dataset", dataset, "--tile-size", "224", "--mpp", str(mpp)]
        sys.stdout.write(f"Next: {shlex.join(command)}\n")
