"""Vectors of the cells of a lake: the maps of a query with the instance masks of their tissues."""

from typing import Any

import numpy as np
import pyarrow as pa

from spora_db.catalog import lent_catalog
from spora_db.errors import FileFormatError, MaskNotFoundError, QueryError
from spora_db.images.base import MissingChunks
from spora_db.layout import INSTANCES, LakePath, locate
from spora_db.maps.shares import cell_vectors
from spora_db.masks import load_label_mask
from spora_db.plan import Plan
from spora_db.plan.freezing import plan_of
from spora_db.samples.materialize import Materializer
from spora_db.selection import Selection

MASKS = """
    SELECT mpp, path FROM masks
    WHERE dataset = $dataset AND tissue_id = $tissue_id AND list_contains($kinds, kind)
    ORDER BY mpp
"""


def cell_table(
    lake: LakePath, selection: Selection, *, mask_mpp: float | None, missing_chunks: MissingChunks
) -> pa.Table:
    """Return what `SporaQuery.cell_vectors` returns."""
    plan = plan_of(lake, selection)
    if plan.unit != "tissue" or len(plan.modalities) > 1 or not len(plan):
        raise QueryError(
            "cell_vectors() reads whole images of one modality, and at least one: "
            "SporaQuery(lake).modality('map_tumour').tissues().cell_vectors()."
        )
    masks = _masks(lake, plan, mask_mpp)
    images = Materializer(plan, missing_chunks=missing_chunks)
    parts: list[pa.Table] = []
    channels: list[str] | None = None
    for image in plan.image[:, 0].tolist():
        source = images.image(image)
        if channels is not None and source.channel_names != channels:
            raise QueryError(
                f"The images of the query have different channels: {', '.join(channels[:5])} and, in tissue "
                f"{source.record['tissue_id']!r}, {', '.join(source.channel_names[:5])}. Choose some that all have "
                "with .channels(names=)."
            )
        channels = source.channel_names
        resolution, path = masks[image]
        mask = load_label_mask(locate(plan.lake, path))
        pitch = float(source.record["mpp"]) / resolution
        _check_size(mask.shape, source.reader.shape[1:], pitch, path=path, image_path=str(source.reader.path))
        found = cell_vectors(source.read_whole(), mask, pitch=pitch)
        flat = pa.array(found.vectors.reshape(-1))
        columns: dict[str, Any] = {
            name: pa.array([source.record[name]] * len(found)) for name in ("dataset", "tissue_id")
        }
        columns |= {"cell_id": pa.array(found.cell_id), "area": pa.array(found.area)}
        columns["vector"] = pa.FixedSizeListArray.from_arrays(flat, len(channels))
        parts.append(pa.table(columns).cast(_schema(len(channels))))
    return pa.concat_tables(parts)


def _schema(depth: int) -> pa.Schema:
    return pa.schema(
        {
            "dataset": pa.string(), "tissue_id": pa.string(), "cell_id": pa.int32(), "area": pa.float64(),
            "vector": pa.list_(pa.float32(), depth),
        }
    )  # fmt: skip


def _masks(lake: LakePath, plan: Plan, mask_mpp: float | None) -> dict[int, tuple[float, str]]:
    """Return resolution and path of the instance mask of every image."""
    found: dict[int, tuple[float, str]] = {}
    with lent_catalog(lake) as catalog:
        for image in np.unique(plan.image[:, 0]).tolist():
            record = plan.images.slice(image, 1).to_pylist()[0]
            asked = {"dataset": record["dataset"], "tissue_id": record["tissue_id"], "kinds": list(INSTANCES)}
            there = [(float(mpp), str(path)) for mpp, path in catalog._run(MASKS, asked).fetchall()]
            fitting = [item for item in there if mask_mpp in (None, item[0])]
            listed = ", ".join(f"{mpp:g}" for mpp, _ in there) or "none"
            place = f"Tissue {record['tissue_id']!r} of dataset {record['dataset']!r}"
            if not fitting:
                asked_for = "" if mask_mpp is None else f" at {mask_mpp:g} mpp"
                raise MaskNotFoundError(f"{place} has no instance mask{asked_for}; there are: {listed}.")
            if len(fitting) > 1:
                raise QueryError(f"{place} has instance masks at {listed} mpp; choose with cell_vectors(mask_mpp=).")
            found[image] = fitting[0]
    return found


def _check_size(mask: tuple[int, ...], image: tuple[int, ...], pitch: float, *, path: str, image_path: str) -> None:
    """Refuse a mask that is not of the size of the tissue: the last pixels of a map may end beyond it."""
    if any(abs(pixels - length / pitch) >= 1 for pixels, length in zip(image, mask, strict=True)):
        raise FileFormatError(
            f"The mask {path} of {mask[0]} x {mask[1]} pixels is not of the tissue of {image_path}, whose "
            f"{image[0]} x {image[1]} pixels are {pitch:g} pixels of the mask each. Expected the same tissue."
        )
