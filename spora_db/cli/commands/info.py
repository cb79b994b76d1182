"""``spora-db info``: what a lake holds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spora_db.cli.application import app
from spora_db.cli.arguments import Lake

if TYPE_CHECKING:
    import pyarrow as pa

    from spora_db.catalog import Catalog

INVENTORY = {
    "Datasets": "SELECT * FROM datasets ORDER BY dataset",
    "Images": (
        "SELECT dataset, modality, mpp, format, count(*) AS images FROM images "
        "GROUP BY ALL ORDER BY dataset, modality, mpp"
    ),
    "Panels": (
        "SELECT dataset, modality, count(*) AS channels, count(*) FILTER (WHERE qc_pass) AS qc_passed, "
        "count(uniprot_id) AS with_uniprot FROM channels GROUP BY ALL ORDER BY dataset, modality"
    ),
    "Features": "SELECT dataset, name, grain, dimension, n_rows, state, root FROM features ORDER BY ALL",
    "Regions": (
        "SELECT dataset, class, mpp, count(DISTINCT tissue_id) AS tissues, count(*) AS regions, sum(area) AS area "
        "FROM regions GROUP BY ALL ORDER BY dataset, class, mpp"
    ),
    "Tilings": (
        "SELECT dataset, mpp, strategy, tile_size, count(DISTINCT tissue_id) AS tissues, count(*) AS tiles "
        "FROM tile_coordinates GROUP BY ALL ORDER BY ALL"
    ),
    "Standardizations": (
        "SELECT dataset, spec, mpp, modality, level, "
        "coalesce(CAST(nullif(count(DISTINCT tissue_id), 0) AS VARCHAR), 'all') AS tissues "
        "FROM standardization_stats GROUP BY ALL ORDER BY ALL"
    ),
}
EMPTY = {
    "Tilings": "no tiles yet: spora-db tile LAKE --tile-size 224 --mpp 1.0",
    "Standardizations": "no statistics yet: spora-db standardize LAKE --modality imc --mpp 1.0",
    "Panels": "no multiplex panel",
    "Images": "no images",
    "Regions": "nothing was outlined",
    "Features": "none yet: spora-db extract LAKE --model MODULE:NAME --name NAME",
    "Own tables": "none: spora-db add-table LAKE FILE --name NAME",
}


def _contents(root: Path) -> str:
    """Say what a layer alone has."""
    from spora_db.errors import DatasetNotFoundError, counted
    from spora_db.layout import list_images, list_masks, scan

    try:
        found = scan(root)
    except DatasetNotFoundError:
        own = len(list((root / "tables").glob("*.parquet")))
        return f"{counted(own, 'table')} of your own" if own else "nothing yet"
    datasets = found.datasets
    images = sum(len(ids) for item in datasets for folder in item.image_folders for *_, ids in list_images(folder))
    masks = sum(len(list_masks(folder)) for item in datasets for folder in item.mask_folders)
    tables = len(found.table_files)
    names = ", ".join(item.name for item in datasets)
    return f"{counted(tables, 'table')}, {counted(images, 'image')}, {counted(masks, 'mask')} of {names}"


def _own_tables(catalog: "Catalog") -> "pa.Table":
    """Return the users' tables that lie in a lake, and where."""
    import pyarrow as pa

    rows = [{"table": name, "rows": catalog._purpose(name)} for name in catalog._own.names]
    return pa.Table.from_pylist(rows, schema=pa.schema({"table": pa.string(), "rows": pa.string()}))


@app.command()
def info(
    lake: Lake,
    *,
    provenance: Annotated[
        bool, typer.Option("--provenance", help="Show how every tiling and every table of statistics was made.")
    ] = False,
) -> None:
    """Show what a lake holds: datasets, images, panels, features, regions, tilings, standardizations, own tables.

    Examples:  spora-db info my-lake

    spora-db info my-lake --provenance
    """
    if provenance:
        from spora_db.cli.reporting import show_provenance

        show_provenance(lake)
        return
    from rich.text import Text

    from spora_db.catalog import Catalog
    from spora_db.cli.tables import print_table
    from spora_db.cli.terminal import plain_console
    from spora_db.layout import layer_name, layers

    console = plain_console()
    with Catalog(lake) as catalog:
        if len(roots := layers(catalog.lake)) > 1:
            console.print(Text.assemble(("Layers", "bold"), ", the later ones above the earlier:"))
            for root in roots:
                console.print(f"  {layer_name(root)}: {_contents(root)}", soft_wrap=True)
        tables = {title: catalog.sql(text).to_arrow_table() for title, text in INVENTORY.items()}
        for title, table in (tables | {"Own tables": _own_tables(catalog)}).items():
            if len(table):
                print_table(console, table, title=title, rows=len(table), more="a wider terminal")
            else:
                console.print(Text.assemble((title, "bold"), f": {EMPTY[title]}"))
