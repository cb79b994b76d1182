"""From a query to a picture of one of its tissues: its channels read in bands, its mask, its tiles."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spora_db.arrays import Bools
from spora_db.drawing.canvas import Picture, picture_format
from spora_db.drawing.contrast import Limits
from spora_db.drawing.markers import choose_channels, spell_markers
from spora_db.drawing.outlined import DrawnRegion, class_colours
from spora_db.drawing.overview import TissueView, overview, read_thinned, thin_step
from spora_db.errors import ArgumentError, MaskNotFoundError, QueryError, unknown
from spora_db.layout import locate
from spora_db.layout.names import is_rgb
from spora_db.plot.sources import TILES, check_query

if TYPE_CHECKING:
    from spora_db.explore.widget import LakeViewer
    from spora_db.images.base import MissingChunks
    from spora_db.query import SporaQuery
    from spora_db.samples.image_plan import ImagePlan

CLASSES = "SELECT DISTINCT class FROM regions WHERE class IS NOT NULL"
REGIONS = """
    SELECT class, color, mpp, polygon FROM regions
    WHERE dataset = $dataset AND tissue_id = $tissue_id ORDER BY region_id
"""


def tissue(
    query: "SporaQuery",
    tissue_id: str | None = None,
    *,
    dataset: str | None = None,
    modality: str | None = None,
    tiles: bool = True,
    mask: bool = True,
    regions: bool = True,
    channels: Sequence[str] | None = None,
    limits: Limits | None = None,
    missing_chunks: "MissingChunks" = "error",
    width: float = 6.5,
    path: str | Path | None = None,
) -> Picture:
    """Draw a tissue that a query selects, with the outlines of its mask, of the tiles selected and of its regions.

    Parameters
    ----------
    query
        The query: its resolution, its standardization, and its tiles.
    tissue_id
        The tissue; by default the first that the query selects.
    dataset
        Its dataset, where several have a tissue of that name.
    modality
        One of the query's modalities; by default the first that the tissue has.
    tiles, mask
        Whether to outline the query's tiles, and the tissue mask.
    regions
        Whether to outline its regions, where it has any, in the colours of their classes: those that QuPath gave them,
        or one for each class of the lake.
    channels
        Names or accessions of at most six channels; default: well-known markers in fixed colours.
    limits
        By channel, name or accession, the levels shown black and in full colour; default: percentiles of the tissue.
    missing_chunks
        What an absent chunk of the image is, as for `to_torch`.
    width
        Of the picture in inches.
    path
        Where to write it, as .png, .pdf or .svg; not written by default.

    Returns
    -------
    Picture
        A matplotlib figure, which notebooks show.

    Raises
    ------
    ArgumentError
        It is no query, or the path has another suffix.
    UnknownNameError
        The query selects no such tissue or channel.
    MaskNotFoundError
        The tissue has no mask, and `mask` is on.

    Examples
    --------
    >>> from spora_db import SporaQuery
    >>> query = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0)
    >>> picture = tissue(query, "lung_imc_l001_0001", channels=["DNA1", "panCK"])
    """
    picture_format(path)
    view = tissue_view(
        query,
        tissue_id,
        dataset=dataset,
        modality=modality,
        tiles=tiles,
        mask=mask,
        regions=regions,
        channels=channels,
        missing_chunks=missing_chunks,
    )
    return overview(view, channels=channels, limits=limits, width=width, path=path)


def view(
    query: "SporaQuery", tissue_id: str | None = None, *, dataset: str | None = None, height: int = 480
) -> "LakeViewer":
    """Look at a tissue that a query selects in a notebook, as `SporaQuery.view` does, whose arguments these are.

    Raises
    ------
    ArgumentError
        It is no query.
    MissingExtraError, UnknownNameError, QueryError
        As for `SporaQuery.view`.

    Examples
    --------
    >>> from spora_db import SporaQuery
    >>> viewer = view(SporaQuery("lake").modality("imc").tissues(mpp=1.0), "lung_imc_l001_0001")
    >>> viewer.close()
    """
    check_query(query, write="plot.view(query, tissue_id)")
    return query.view(tissue_id, dataset=dataset, height=height)


def tissue_view(
    query: "SporaQuery",
    tissue_id: str | None = None,
    *,
    dataset: str | None = None,
    modality: str | None = None,
    tiles: bool = True,
    mask: bool = True,
    regions: bool = True,
    channels: Sequence[str] | None = None,
    missing_chunks: "MissingChunks" = "error",
) -> TissueView:
    """Load what is drawn of a tissue; arguments as for :func:`tissue`.

    Only the channels shown are read, and thinned while they are read: memory does not grow with the size of a slide.
    """
    from spora_db.images.base import check_missing_chunks
    from spora_db.samples.materialize import Materializer

    check_query(query, write=f"plot.tissue({TILES})")
    rows = _rows_of(query, tissue_id, dataset)
    first = rows.slice(0, 1).to_pylist()[0]
    plan = _whole(query, first, modality).plan()
    check_missing_chunks(missing_chunks)
    source = Materializer(plan, missing_chunks=missing_chunks).image(0)
    name = str(source.record["modality"])
    if not is_rgb(name):
        panel = (source.channel_names, source.uniprot_ids)
        shown = choose_channels(*panel, markers=spell_markers(channels, [panel]))
        kept = np.zeros(len(source.channel_names), dtype=np.bool_)
        kept[[channel.index for channel in shown]] = True
        source = source.take(kept)
    _, height, width = source.reader.shape
    step = thin_step(height, width)
    corners: Any = None
    size: int | None = None
    if tiles and query.selection.unit != "tissue":
        own = rows.filter(pc.equal(rows.column("modality"), first["modality"]))
        corners = np.stack([own.column(axis).to_numpy() for axis in ("row", "col")], axis=1)
        size = own.column("tile_size")[0].as_py() if "tile_size" in own.column_names else query.selection.tile_size
    return TissueView(
        image=read_thinned(
            lambda row, rows: source.read(row=row, col=0, height=rows, width=width), height=height, step=step
        ),
        dataset=str(first["dataset"]),
        tissue_id=str(first["tissue_id"]),
        modality=name,
        channel_names=tuple(source.channel_names),
        uniprot_ids=tuple(source.uniprot_ids),
        spec=source.spec,
        mask=_mask(query, source)[::step, ::step] if mask else None,
        tiles=corners,
        tile_size=size,
        regions=_regions(query, source.record) if regions else (),
        mpp=float(source.record["mpp"]),
        thinned=step,
        size=(height, width),
    )


def _rows_of(query: "SporaQuery", tissue_id: str | None, dataset: str | None) -> pa.Table:
    """Return the query's rows of one tissue."""
    rows = query.to_arrow()
    known = rows.group_by(["dataset", "tissue_id"]).aggregate([]).to_pylist()
    if not known:
        raise QueryError(
            f"The query selects no {query.selection.unit}s in {query.lake}, so there is no tissue to draw. "
            "Look at query.sql() and loosen a condition."
        )
    if dataset is not None and all(pair["dataset"] != dataset for pair in known):
        raise unknown("dataset", dataset, [pair["dataset"] for pair in known], where="the query's rows")
    known = [pair for pair in known if dataset in (None, pair["dataset"])]
    wanted = sorted(known, key=lambda pair: (pair["dataset"], pair["tissue_id"]))[0]["tissue_id"]
    wanted = wanted if tissue_id is None else tissue_id
    owners = sorted(pair["dataset"] for pair in known if pair["tissue_id"] == wanted)
    if not owners:
        raise unknown("tissue", wanted, [pair["tissue_id"] for pair in known], where="the query's rows")
    if len(owners) > 1 and tissue_id is not None:
        raise ArgumentError(f"Several datasets have a tissue {wanted!r}; pass dataset=, one of {', '.join(owners)}.")
    own = pc.and_(pc.equal(rows.column("dataset"), owners[0]), pc.equal(rows.column("tissue_id"), wanted))
    return rows.filter(own)


def _whole(query: "SporaQuery", first: dict[str, Any], modality: str | None) -> "SporaQuery":
    """Return the query for the whole tissue, in one modality."""
    known = query.selection.modality_names or (str(first["modality"]),)
    if modality is not None and modality.casefold() not in known:
        raise unknown("modality", modality, known, where="the query")
    selection = replace(
        query.selection,
        modalities=((modality.casefold() if modality else str(first["modality"]),),),
        unit="tissue", tile_size=None, mpp=float(first["mpp"]), strategy=None, conditions=(), splits=(),
        split_choice=None, columns=(), labels=(), sampling=None, limit=None, masks=(), cells=None, rows_sql=None,
        cell_source=None, windows=None,
        rows_table=pa.table({"dataset": [first["dataset"]], "tissue_id": [first["tissue_id"]]}),
    )  # fmt: skip
    return replace(query, selection=selection)


def _regions(query: "SporaQuery", record: Mapping[str, Any]) -> tuple[DrawnRegion, ...]:
    """Return the regions of an image, in its pixels."""
    from spora_db.catalog import lent_catalog

    where = {name: record[name] for name in ("dataset", "tissue_id")}
    with lent_catalog(query.lake) as catalog:
        classes = [name for (name,) in catalog._run(CLASSES).fetchall()]
        catalog.check("regions")
        rows = catalog._run(REGIONS, where).fetchall()
    colours = class_colours(classes)
    return tuple(
        DrawnRegion(
            name=name,
            colour=color or colours[name],
            rings=tuple(
                np.array([[point["row"], point["col"]] for point in ring]) * (mpp / record["mpp"])
                for polygon in polygons
                for ring in polygon
            ),
        )
        for name, color, mpp, polygons in rows
    )


def _mask(query: "SporaQuery", source: "ImagePlan") -> Bools:
    """Load the tissue mask of an image."""
    from spora_db.catalog import lent_catalog
    from spora_db.masks import load_tissue_mask

    record = source.record
    where = "WHERE kind = 'tissue' AND dataset = $dataset AND tissue_id = $tissue_id AND mpp = $mpp"
    values = {name: record[name] for name in ("dataset", "tissue_id", "mpp")}
    with lent_catalog(query.lake) as catalog:
        found = catalog._run(f"SELECT path FROM masks {where}", values).fetchall()
        lake = catalog.lake
    if not found:
        raise MaskNotFoundError(
            f"Tissue {record['tissue_id']!r} of dataset {record['dataset']!r} has no tissue mask at "
            f"{record['mpp']} mpp to outline. Expected {record['dataset']}/segmentations/<mpp>/tissue_masks/"
            f"{record['tissue_id']}.npz. Draw without it: mask=False."
        )
    return load_tissue_mask(locate(lake, found[0][0]), shape=source.reader.shape[1:], image=str(source.reader.path))
