"""``spora-db validate`` and ``spora-db import``: is a lake as it should be, and how a new dataset comes into one."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spora_db.cli.arguments import Lake, MissingChunks, MissingChunksOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spora_db.validation import Finding

COLOURS = {"error": "bold red", "warning": "yellow", "note": "dim"}


class FindingsFormat(StrEnum):
    """How findings are written."""

    table = "table"
    json = "json"


def validate(
    lake: Lake,
    *,
    dataset: Annotated[str | None, typer.Option(help="Only this dataset.", show_default=False)] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every pixel and every row, not only names, columns and some headers.")
    ] = False,
    missing_chunks: MissingChunksOption = MissingChunks.error,
    output_format: Annotated[FindingsFormat, typer.Option("--format", help="A table, or JSON.")] = FindingsFormat.table,
) -> None:
    """Check every rule of the layout; exit code 1 where there is an error.

    Without --deep all names and tables are checked and the headers of at most 100 images per folder.

    Examples:  spora-db validate my-lake

    spora-db validate my-lake --dataset cohort --deep --format json
    """
    import json
    import sys
    from dataclasses import asdict

    from spora_db.errors import counted
    from spora_db.validation import count
    from spora_db.validation import validate as find

    progress = _Counter() if deep and sys.stderr.isatty() else None
    findings = find(lake, dataset=dataset, deep=deep, missing_chunks=missing_chunks.value, progress=progress)
    counts = count(findings)
    if output_format is FindingsFormat.json:
        told = {"deep": deep, "counts": counts, "findings": [asdict(finding) for finding in findings]}
        sys.stdout.write(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    else:
        _show(findings)
        words = ", ".join(counted(number, name) for name, number in counts.items())
        sys.stdout.write(f"{words}.\n")
    if counts["error"]:
        raise typer.Exit(1)


class _Counter:
    """Writes how many files were read on one line of standard error."""

    def __call__(self, done: int, total: int) -> None:
        import sys

        if done == total or done % 20 == 0:
            sys.stderr.write(f"\r{done:,} of {total:,} files read" + ("\n" if done == total else ""))
            sys.stderr.flush()


def _show(findings: "Sequence[Finding]") -> None:
    """Write findings to standard output: a table on a terminal, a line each elsewhere."""
    import sys

    from rich.table import Table
    from rich.text import Text

    from spora_db.cli.terminal import plain_console

    console = plain_console()
    if not sys.stdout.isatty():
        for item in findings:
            place = item.file or item.dataset
            line = f"{item.severity}: {item.rule}: {place}{': ' if place else ''}{item.reason} {item.remedy}"
            console.print(line)
        return
    if not findings:
        return
    table = Table(header_style="bold", show_lines=True)
    for name, ratio in (("severity", 1), ("rule", 2), ("file", 3), ("what was found, and what to do", 6)):
        table.add_column(name, overflow="fold", ratio=ratio)
    for item in findings:
        told = Text(item.reason)
        told.append(f"\n{item.remedy}", style="dim")
        severity = Text(item.severity, style=COLOURS[item.severity])
        table.add_row(severity, item.rule, Text(item.file or item.dataset), told)
    console.print(table)


class Images(StrEnum):
    """How images come into the dataset."""

    link = "link"
    copy = "copy"
    zarr = "zarr"
    tiff = "tiff"


class TissueMask(StrEnum):
    """How tissue masks are made where none are given."""

    otsu = "otsu"
    full = "full"


class Matching(StrEnum):
    """How pages and rows of the panel are matched."""

    auto = "auto"
    name = "name"
    order = "order"


class ChannelAxis(StrEnum):
    """The axis along which channels lie."""

    c = "c"
    z = "z"
    t = "t"


class MissingPages(StrEnum):
    """What a channel of the panel without a page is."""

    error = "error"
    unmeasured = "unmeasured"


def import_dataset(
    source: Annotated[
        Path, typer.Argument(help="An image, a folder of images, or of folders of single-channel TIFFs.")
    ],
    *,
    dataset: Annotated[str, typer.Option(help="The name of the new dataset.", show_default=False)],
    into: Annotated[Path, typer.Option(help="The lake; made if absent.", show_default=False)],
    modality: Annotated[str, typer.Option(help="he, ihc_<marker>, imc, codex, cycif or mibi.", show_default=False)],
    mpp: Annotated[str, typer.Option(help="Microns per pixel, such as 1.0 or 0.5.", show_default=False)],
    panel: Annotated[
        Path | None,
        typer.Option(help="CSV with a row per channel: channel,name,keep or channel_name,uniprot_id,qc_pass."),
    ] = None,
    metadata: Annotated[Path | None, typer.Option(help="CSV with a row per tissue.")] = None,
    id_column: Annotated[
        str | None, typer.Option(help="Column of --metadata and --cells that names the image; default: tissue_id.")
    ] = None,
    masks: Annotated[Path | None, typer.Option(help="Folder of tissue masks: npz, npy, PNG or TIFF.")] = None,
    tissue_mask: Annotated[
        TissueMask, typer.Option(help="How tissue masks are made without --masks.")
    ] = TissueMask.otsu,
    cell_masks: Annotated[Path | None, typer.Option(help="Folder of cell instance masks.")] = None,
    cells: Annotated[Path | None, typer.Option(help="CSV with a row per cell.")] = None,
    images: Annotated[
        Images, typer.Option(help="Write images anew as OME-Zarr or OME-TIFF, or copy or link the files.")
    ] = Images.zarr,
    match: Annotated[
        Matching, typer.Option(help="Match pages to the panel by name or order; auto: by name where pages have names.")
    ] = Matching.auto,
    missing: Annotated[
        MissingPages, typer.Option(help="What a channel of the panel without a page is.")
    ] = MissingPages.error,
    missing_chunks: MissingChunksOption = MissingChunks.error,
    channel_axis: Annotated[
        ChannelAxis, typer.Option(help="The axis of the channels in the images: some programs stack them along z or t.")
    ] = ChannelAxis.c,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a dataset of that name, once the new one is complete.")
    ] = False,
) -> None:
    """Make a dataset of images, a panel, metadata and masks; a whole dataset appears, or nothing.

    Examples:  spora-db import raw --dataset mine --into my-lake --modality imc --mpp 1.0 --panel panel.csv

    spora-db import slides --dataset he --into my-lake --modality he --mpp 0.5 --metadata clinic.csv --images link
    """
    import sys

    from spora_db.errors import counted
    from spora_db.importing import import_dataset as make

    report = make(
        source,
        into=into,
        dataset=dataset,
        modality=modality,
        mpp=mpp,
        panel=panel,
        metadata=metadata,
        id_column=id_column,
        masks=masks,
        tissue_mask=tissue_mask.value,
        cell_masks=cell_masks,
        cells=cells,
        images=images.value,
        match=match.value,
        missing=missing.value,
        missing_chunks=missing_chunks.value,
        channel_axis=channel_axis.value,
        overwrite=overwrite,
    )
    channels = f", {counted(len(report.channels), 'channel')}" if report.channels else ""
    sys.stdout.write(f"{report.path}: {counted(len(report.tissues), 'tissue')}{channels}\n")
    for note in report.notes:
        sys.stdout.write(f"note: {note}\n")
    sys.stdout.write(f"Next: spora-db tile {into} --dataset {dataset} --tile-size 224 --mpp {mpp}\n")
