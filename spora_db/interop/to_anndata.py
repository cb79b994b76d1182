"""Cells by markers as an AnnData: what `SporaQuery.to_anndata` returns."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa

from spora_db.arrays import Int32, Int64
from spora_db.errors import ArgumentError, QueryError, need
from spora_db.files.whole_numbers import type_with_gaps
from spora_db.images.base import MissingChunks
from spora_db.interop.intensities import MeasuredCells, image_intensities
from spora_db.layout import LakePath, locate
from spora_db.layout.names import is_rgb
from spora_db.masks import load_label_mask
from spora_db.plan import Plan
from spora_db.plan.freezing import plan_of
from spora_db.plan.mask_parts import CELLS
from spora_db.samples.image_plan import ImagePlan
from spora_db.samples.materialize import Materializer
from spora_db.selection import Selection

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd


MarkerKey = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The cells of one image of the plan: measured, and which of them the query selects."""

    image: int
    source: ImagePlan
    cells: MeasuredCells
    mask: Int32
    rows: Int64
    kept: Int64


def to_anndata(
    lake: LakePath, selection: Selection, *, modality: str | None = None, missing_chunks: MissingChunks = "error"
) -> "ad.AnnData":
    """Return the cells of a query as `SporaQuery.to_anndata` describes."""
    instead = "Without it, query.with_cells() brings cells as tensors."
    anndata = need("anndata", extra="anndata", what="to_anndata()", instead=instead)
    plan = measurable_plan(lake, selection, modality=modality)
    measured = list(measure(plan, modality=modality, missing_chunks=missing_chunks))
    return cast("ad.AnnData", assemble(plan, measured, anndata))


def measurable_plan(lake: LakePath, selection: Selection, *, modality: str | None) -> Plan:
    """Return the plan of a query with instance masks, once its modality to measure is known."""
    masks = selection.masks if CELLS in selection.masks else (*selection.masks, CELLS)
    plan = plan_of(lake, replace(selection, masks=masks))
    if not len(plan):
        raise QueryError(
            f"The query selects no {plan.unit}s in {plan.lake}. Look at query.sql() and loosen a condition."
        )
    known = {str(name) for name in plan.images.column("modality").to_pylist()}
    if modality is not None and modality.casefold() not in known:
        raise ArgumentError(f"modality={modality!r} is none of the query's: {', '.join(sorted(known))}.")
    if modality is None and all(map(is_rgb, known)):
        raise ArgumentError(
            f"The query selects {', '.join(sorted(known))} only, which have no markers. Select imc, codex, cycif or "
            f"mibi, or pass modality={min(known)!r} to measure the three colours."
        )
    return plan


def measure(plan: Plan, *, modality: str | None, missing_chunks: MissingChunks) -> Iterator[Measured]:
    """Yield the cells of every image of the plan that is measured, in the plan's order."""
    assert plan.masks is not None
    reader = Materializer(plan, missing_chunks=missing_chunks)
    for image, name in enumerate(plan.images.column("modality").to_pylist()):
        if name != modality.casefold() if modality is not None else is_rgb(name):
            continue
        source = reader.image(image)
        path = locate(plan.lake, str(plan.masks.paths.column(CELLS)[image].as_py()))
        shape = source.reader.shape[1:]
        mask = load_label_mask(path, shape=shape, image=f"its image {source.reader.path}")
        cells = image_intensities(source, mask, path=path)
        rows = np.flatnonzero((plan.image == image).any(axis=1))
        for own in plan.cells_of(image, source.record):
            own.check_image(shape, image=source.reader.path)
            own.check_mask(cells.centroids, mask=path)
        kept = _selected(plan, rows, cells)
        yield Measured(image=image, source=source, cells=cells, mask=mask, rows=rows, kept=kept)


def _selected(plan: Plan, rows: Int64, cells: MeasuredCells) -> Int64:
    """Return the positions of the cells that rows select: all, those in a tile, or those named."""
    found = cells.centroids
    if plan.unit == "tissue":
        return np.arange(len(found))
    if plan.unit == "cell":
        return np.flatnonzero(np.isin(found.cell_id, plan.tile_id[rows]))
    inside = np.zeros(len(found), dtype=np.bool_)
    size = plan.tile_size
    for top, left in zip(plan.row[rows], plan.col[rows], strict=True):
        inside |= (found.row >= top) & (found.row < top + size) & (found.col >= left) & (found.col < left + size)
    return np.flatnonzero(inside)


def assemble(plan: Plan, measured: list[Measured], anndata: Any) -> Any:  # noqa: ANN401 - an optional library's types
    """Put the cells of all images together."""
    import pandas as pd

    panels = [_markers(part.source) for part in measured]
    order = list(dict.fromkeys(marker for panel in panels for marker in panel))
    place = {marker: i for i, marker in enumerate(order)}
    counts = [len(part.kept) for part in measured]
    values = np.full((sum(counts), len(order)), np.nan, dtype=np.float32)
    start = 0
    for part, panel, count in zip(measured, panels, counts, strict=True):
        values[start : start + count, [place[marker] for marker in panel]] = part.cells.means[part.kept]
        start += count
    frames = [_observations(plan, part) for part in measured]
    obs = pd.concat(frames, ignore_index=True)
    names = pd.Index(_names(obs), dtype=object)
    obs = _with_objects(obs).set_axis(names)
    mpp = float(plan.images.column("mpp")[0].as_py())
    result = anndata.AnnData(X=values, obs=obs, var=_variables(measured, panels, order))
    result.obsm["spatial"] = obs[["col", "row"]].to_numpy(np.float64) * mpp
    specs = sorted({part.source.spec for part in measured})
    result.uns["spora_db"] = {"spec": ", ".join(specs), "mpp": mpp, "plan_hash": plan.hash, "spatial_unit": "micron"}
    return result


def _with_objects(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Return a table whose texts are categories of Python strings: anndata 0.12 cannot write those of pandas 3."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for name, values in frame.items():
        columns[str(name)] = values
        if isinstance(values.dtype, pd.CategoricalDtype) or pd.api.types.is_string_dtype(values.dtype):
            codes, texts = pd.factorize(values.astype(object), sort=True)
            columns[str(name)] = pd.Categorical.from_codes(codes, pd.Index(texts, dtype=object))
    return pd.DataFrame(columns)


def _names(obs: "pd.DataFrame") -> list[str]:
    """Return a name per cell: dataset, tissue and label, and the modality where a cell is measured in several."""
    parts = ["dataset", "tissue_id", "cell_id"]
    parts += ["modality"] if obs.duplicated(parts).any() else []
    columns = [obs[name].astype(str) for name in parts]
    return ["/".join(texts) for texts in zip(*columns, strict=True)]


def _markers(source: ImagePlan) -> list[MarkerKey]:
    """Return what each plane measures: a protein, or, where a panel has it twice or not at all, the channel."""
    proteins = [(accession or "").split("-")[0] for accession in source.uniprot_ids]
    seen = Counter(proteins)
    return [
        ("uniprot", protein) if protein and seen[protein] == 1 else ("channel", name)
        for protein, name in zip(proteins, source.channel_names, strict=True)
    ]


def _observations(plan: Plan, part: Measured) -> "pd.DataFrame":
    import pandas as pd

    found, record, kept = part.cells.centroids, part.source.record, part.kept
    columns: dict[str, Any] = {
        **{name: pd.Categorical([record[name]] * len(kept)) for name in ("dataset", "tissue_id", "modality")},
        "cell_id": found.cell_id[kept],
        "area": found.size[kept],
        "row": found.row[kept],
        "col": found.col[kept],
    }
    if plan.cells is not None:
        columns |= _cell_columns(plan, part)
    for name in plan.carried.column_names:
        columns.setdefault(name, _row_column(plan, part, name))
    return pd.DataFrame(columns)


def _cell_columns(plan: Plan, part: Measured) -> dict[str, Any]:
    """Return the columns of the cells table, matched by label."""
    import pandas as pd

    assert plan.cells is not None
    tissue = int(plan.cells.tissue[part.image])
    own = slice(int(plan.cells.offsets[tissue]), int(plan.cells.offsets[tissue + 1]))
    labels = plan.cells.cell_id[own]
    wanted = part.cells.centroids.cell_id[part.kept]
    columns: dict[str, Any] = {}
    for name, values, texts in zip(plan.cells.names, plan.cells.values, plan.cells.categories, strict=True):
        series = pd.Series(values[own], index=labels).astype(type_with_gaps(values)).reindex(wanted)
        if texts is None:
            columns[name] = series.astype(np.float64).array if series.dtype == object else series.array
        else:
            codes = series.fillna(-1).to_numpy().astype(np.int64)
            columns[name] = pd.Categorical.from_codes(codes, pd.Index(list(texts), dtype=object))
    return columns


def _row_column(plan: Plan, part: Measured, name: str) -> Any:  # noqa: ANN401 - a list, or an array of pandas
    """Return a further column of the query for every cell: its own row's, else what all rows of the tissue agree on."""
    import pandas as pd

    column = plan.carried.column(name)
    values = column.take(part.rows).to_pylist()
    if plan.unit == "cell":
        by_label = dict(zip(plan.tile_id[part.rows].tolist(), values, strict=True))
        chosen = [by_label[label] for label in part.cells.centroids.cell_id[part.kept].tolist()]
    else:
        common = values[0] if all(value == values[0] for value in values) else None
        chosen = [common] * len(part.kept)
    if not pa.types.is_integer(column.type):
        return chosen
    kind = type_with_gaps(column.drop_null().to_numpy())
    return chosen if isinstance(kind, np.dtype) else pd.array(chosen, dtype=kind)


def _variables(measured: list[Measured], panels: list[list[MarkerKey]], order: list[MarkerKey]) -> "pd.DataFrame":
    import pandas as pd

    names: dict[MarkerKey, Counter[str]] = {marker: Counter() for marker in order}
    accessions: dict[MarkerKey, str | None] = {}
    for part, panel in zip(measured, panels, strict=True):
        for marker, name, accession in zip(panel, part.source.channel_names, part.source.uniprot_ids, strict=True):
            names[marker][name] += 1
            accessions.setdefault(marker, accession)
    titles = [names[marker].most_common(1)[0][0] for marker in order]
    repeated = Counter(titles)
    index = [
        f"{title} ({marker[1]})" if repeated[title] > 1 else title for title, marker in zip(titles, order, strict=True)
    ]
    table = {
        "uniprot_id": [accessions[marker] or "" for marker in order],
        "channel_names": [", ".join(sorted(names[marker])) for marker in order],
        "n_tissues": [names[marker].total() for marker in order],
    }
    return _with_objects(pd.DataFrame(table)).set_axis(pd.Index(index, dtype=object))
