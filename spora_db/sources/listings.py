"""The relations that come from folders instead of files: datasets, images, masks. One row per folder or file seen."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import pyarrow as pa
from sqlglot import exp

from spora_db.layout import Lake, list_images, list_masks
from spora_db.sources.expressions import array, constant, empty, identifier, named, null, text, union
from spora_db.sources.image_index import headers

_HEADER = {"channel_count": "BIGINT", "height": "BIGINT", "width": "BIGINT", "dtype": "VARCHAR"}
LISTINGS: Mapping[str, Mapping[str, str]] = {
    "source_datasets": {"dataset": "VARCHAR", "modalities": "VARCHAR[]", "mpps": "DOUBLE[]", "path": "VARCHAR"},
    "source_images": {
        "dataset": "VARCHAR",
        "modality": "VARCHAR",
        "mpp": "DOUBLE",
        "format": "VARCHAR",
        "tissue_id": "VARCHAR",
        "path": "VARCHAR",
        **_HEADER,
    },
    "source_masks": {
        "dataset": "VARCHAR",
        "mpp": "DOUBLE",
        "kind": "VARCHAR",
        "tissue_id": "VARCHAR",
        "path": "VARCHAR",
    },
}
_ARROW = {
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "VARCHAR[]": pa.list_(pa.string()),
    "DOUBLE[]": pa.list_(pa.float64()),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Files:
    """The files of one folder and suffix: what the folder says, and the tissues; a path is prefix, tissue, suffix."""

    place: Mapping[str, str | float]
    prefix: str
    suffix: str
    tissue_ids: list[str]


def _files(name: str, lake: Lake) -> Iterator[_Files]:
    """List every folder of images or masks, in sorted order; paths are relative to the lake, with ``/``."""
    for dataset in lake.datasets:
        if name == "source_images":
            for folder in dataset.image_folders:
                prefix = folder.path.relative_to(lake.root).as_posix() + "/"
                for suffix, image_format, ids in list_images(folder):
                    place: dict[str, str | float] = {
                        "dataset": dataset.name,
                        "modality": folder.modality,
                        "mpp": folder.mpp,
                        "format": image_format,
                    }
                    yield _Files(place=place, prefix=prefix, suffix=suffix, tissue_ids=ids)
        else:
            for masks in dataset.mask_folders:
                prefix = masks.path.relative_to(lake.root).as_posix() + "/"
                place = {"dataset": dataset.name, "mpp": masks.mpp, "kind": masks.kind}
                yield _Files(place=place, prefix=prefix, suffix=".npz", tissue_ids=list_masks(masks))


def listing_table(name: str, lake: Lake) -> pa.Table:
    """Return a listing as an Arrow table, one scan of each folder.

    Raises
    ------
    TableError
        If a tissue has two images in one folder.
    FileFormatError
        If a file's name is not text, or the index is broken.
    """
    types = LISTINGS[name]
    columns: dict[str, list[object]] = {column: [] for column in types}
    if name == "source_datasets":
        for dataset in lake.datasets:
            columns["dataset"].append(dataset.name)
            columns["modalities"].append(dataset.modalities)
            columns["mpps"].append(dataset.mpps)
            columns["path"].append(dataset.path.relative_to(lake.root).as_posix())
    else:
        for files in _files(name, lake):
            for column, value in files.place.items():
                columns[column].extend([value] * len(files.tissue_ids))
            columns["tissue_id"].extend(files.tissue_ids)
            columns["path"].extend([f"{files.prefix}{tissue}{files.suffix}" for tissue in files.tissue_ids])
    if name == "source_images":
        for header in headers(lake, cast("list[str]", columns["path"])):
            for column, item in zip(_HEADER, header, strict=True):
                columns[column].append(item)
    return pa.table({column: pa.array(columns[column], type=_ARROW[kind]) for column, kind in types.items()})


def listing_query(name: str, lake: Lake) -> exp.Query:
    """Return the SELECT of literals that gives the same rows as `listing_table`, without headers, in any DuckDB."""
    branches: list[exp.Query] = [empty(LISTINGS[name])]
    if name == "source_datasets":
        for dataset in lake.datasets:
            values = {
                "dataset": text(dataset.name),
                "modalities": array([text(item) for item in dataset.modalities], "VARCHAR[]"),
                "mpps": array([constant(item) for item in dataset.mpps], "DOUBLE[]"),
                "path": text(dataset.path.relative_to(lake.root).as_posix()),
            }
            branches.append(exp.select(*(named(value, column) for column, value in values.items())))
        return union(branches)
    for files in _files(name, lake):
        ids = exp.Explode(this=array([text(tissue) for tissue in files.tissue_ids], "VARCHAR[]"))
        tissue = exp.Column(this=identifier("tissue_id"))
        path = exp.DPipe(this=exp.DPipe(this=text(files.prefix), expression=tissue), expression=text(files.suffix))
        placed = [named(constant(value), column) for column, value in files.place.items()]
        listed = exp.select(named(ids, "tissue_id")).subquery("listed")
        unknown = [named(null(kind), column) for column, kind in _HEADER.items() if name == "source_images"]
        branches.append(exp.select(*placed, tissue.copy(), named(path, "path"), *unknown).from_(listed))
    return union(branches)
