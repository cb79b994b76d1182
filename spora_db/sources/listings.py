"""The relations that come from folders: datasets, tilings, images, masks. One row per folder or file seen."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from spora_db.errors import TableError
from spora_db.files.arrow_arrays import arrow_array, arrow_scalar, arrow_table
from spora_db.files.stamps import is_settled, stamps
from spora_db.layout import Lake, layer_name, list_images, list_masks
from spora_db.remembered.image_index import has_index, headers
from spora_db.sources.features import listed_features
from spora_db.sqltext.expressions import array, constant, empty, identifier, named, null, text, union

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
        "root": "VARCHAR",
        **_HEADER,
    },
    "source_tilings": {"dataset": "VARCHAR", "mpp": "DOUBLE", "strategy": "VARCHAR", "tile_size": "BIGINT"},
    "source_masks": {
        "dataset": "VARCHAR",
        "mpp": "DOUBLE",
        "kind": "VARCHAR",
        "tissue_id": "VARCHAR",
        "path": "VARCHAR",
        "root": "VARCHAR",
    },
    "source_features": {
        "dataset": "VARCHAR",
        "name": "VARCHAR",
        "grain": "VARCHAR",
        "dimension": "BIGINT",
        "columns": "VARCHAR[]",
        "n_rows": "BIGINT",
        "n_expected": "BIGINT",
        "n_failed": "BIGINT",
        "state": "VARCHAR",
        "model": "VARCHAR",
        "weights": "VARCHAR",
        "modalities": "VARCHAR[]",
        "spec": "VARCHAR",
        "mpp": "DOUBLE",
        "strategy": "VARCHAR",
        "tile_size": "BIGINT",
        "rows_hash": "VARCHAR",
        "path": "VARCHAR",
        "root": "VARCHAR",
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
    root: str
    prefix: str
    suffix: str
    tissue_ids: list[str]


def _files(name: str, lake: Lake) -> Iterator[_Files]:
    """List every folder of images or masks, in sorted order; paths are relative to the lake, with ``/``."""
    for dataset in lake.datasets:
        if name == "source_images":
            for folder in dataset.image_folders:
                root, prefix = layer_name(lake.root_of(folder.path)), lake.relative(folder.path) + "/"
                for suffix, image_format, ids in list_images(folder):
                    place: dict[str, str | float] = {
                        "dataset": dataset.name,
                        "modality": folder.modality,
                        "mpp": folder.mpp,
                        "format": image_format,
                    }
                    yield _Files(place=place, root=root, prefix=prefix, suffix=suffix, tissue_ids=ids)
        else:
            for masks in dataset.mask_folders:
                root, prefix = layer_name(lake.root_of(masks.path)), lake.relative(masks.path) + "/"
                place = {"dataset": dataset.name, "mpp": masks.mpp, "kind": masks.kind}
                tissues = list_masks(masks)
                yield _Files(place=place, root=root, prefix=prefix, suffix=".npz", tissue_ids=tissues)


def _one_each(listed: Iterable[_Files]) -> Iterator[_Files]:
    """Refuse a tissue that two folders list for one place, such as ``1_0mpp`` and ``1_00mpp``: both are 1.0 mpp."""
    seen: dict[tuple[str | float, ...], list[_Files]] = {}
    for files in listed:
        place = tuple(value for column, value in files.place.items() if column != "format")
        for other in seen.setdefault(place, []):
            apart = (other.root, other.prefix) != (files.root, files.prefix)
            if apart and (both := set(other.tissue_ids) & set(files.tissue_ids)):
                one, two = (f"{item.root}/{item.prefix}" for item in (other, files))
                message = (
                    f"{one} and {two} both hold tissue {min(both)!r} ({len(both)} such tissues), and "
                    "both are of the same resolution. Keep one of the folders."
                )
                raise TableError(message)
        seen[place].append(files)
        yield files


def _datasets(lake: Lake) -> list[dict[str, Any]]:
    return [
        {
            "dataset": dataset.name,
            "modalities": dataset.modalities,
            "mpps": dataset.mpps,
            "path": dataset.name,
        }
        for dataset in lake.datasets
    ]


def _tilings(lake: Lake) -> list[dict[str, Any]]:
    return [
        {column: getattr(file, column) for column in LISTINGS["source_tilings"]}
        for file in lake.tables("tile_coordinates")
    ]


_OF_FOLDERS = {"source_datasets": _datasets, "source_tilings": _tilings, "source_features": listed_features}
"""The listings that the scan of the lake already holds, and that of feature sets, which have a small file each."""


def _literal(value: Any, kind: str) -> exp.Expression:  # noqa: ANN401 - as the listing's type has it
    return array([constant(item) for item in value], kind) if kind.endswith("[]") else constant(value)


def listing_table(name: str, lake: Lake) -> pa.Table:
    """Return a listing as an Arrow table, one scan of each folder.

    Raises
    ------
    TableError
        If a tissue has two images in one folder.
    FileFormatError
        If a file's name is not text, or the index is broken.
    """
    types = {column: _ARROW[kind] for column, kind in LISTINGS[name].items()}
    if name in _OF_FOLDERS:
        return arrow_table(_OF_FOLDERS[name](lake), pa.schema(types))
    table = _of_files(list(_one_each(_files(name, lake))), types)
    if name == "source_images":
        for column, values in zip(_HEADER, _headers(lake, table), strict=True):
            known = values if isinstance(values, pa.Array) else arrow_array(values, types[column])
            table = table.append_column(column, known)
    return table


def _of_files(folders: Sequence[_Files], types: Mapping[str, pa.DataType]) -> pa.Table:
    """Return the files of folders as a listing has them, without headers; what a folder says is held once for each."""
    number = arrow_array(
        np.repeat(np.arange(len(folders), dtype=np.int32), [len(files.tissue_ids) for files in folders])
    )
    tissues = arrow_array([tissue for files in folders for tissue in files.tissue_ids], pa.string())
    columns: dict[str, pa.Array] = {"tissue_id": tissues, "path": tissues}
    told = [{**files.place, "root": files.root, "before": files.prefix, "after": files.suffix} for files in folders]
    for column in ("before", "after", *(name for name in types if name not in {*columns, *_HEADER})):
        values = arrow_array([files[column] for files in told], types.get(column, pa.string()))
        columns[column] = pa.DictionaryArray.from_arrays(number, values)
    before, after = (columns[part].dictionary_decode() for part in ("before", "after"))
    columns["path"] = pc.binary_join_element_wise(before, tissues, after, arrow_scalar("", pa.string()))
    return pa.table({column: columns[column] for column in types if column in columns})


def _headers(lake: Lake, images: pa.Table) -> Sequence[Sequence[object] | pa.Array]:
    """Return the remembered headers of images, column by column."""
    if not has_index(lake.path):
        return [pa.nulls(len(images), _ARROW[kind]) for kind in _HEADER.values()]
    return list(zip(*headers(lake, images.column("path").to_pylist()), strict=True)) or [()] * len(_HEADER)


def listing_state(lake: Lake) -> object:
    """Return what changes when a listing of folders does; None where only a new listing can tell.

    A folder that is not settled may change again unseen. Headers hold as long as their images stay as they are,
    wherever these are: a lake with an index is listed anew.
    """
    if has_index(lake.path):
        return None
    images = [folder.path for dataset in lake.datasets for folder in dataset.image_folders]
    masks = [folder.path for dataset in lake.datasets for folder in dataset.mask_folders]
    features = [folder.path for dataset in lake.datasets for folder in dataset.feature_folders]
    state = stamps([*images, *masks, *features])
    return state if all(entry is not None and is_settled(entry[1]) for entry in state) else None


def listing_query(name: str, lake: Lake, *, location: str | None = None) -> exp.Query:
    """Return the SELECT of literals that gives the same rows as `listing_table`, without headers, in any DuckDB.

    `location` is what ``root`` says instead, of a lake that lies elsewhere for whoever runs it.
    """
    branches: list[exp.Query] = [empty(LISTINGS[name])]
    if name in _OF_FOLDERS:
        for record in _OF_FOLDERS[name](lake):
            values = (named(_literal(record[column], kind), column) for column, kind in LISTINGS[name].items())
            branches.append(exp.select(*values))
        return union(branches)
    for files in _one_each(_files(name, lake)):
        ids = exp.Explode(this=array([text(tissue) for tissue in files.tissue_ids], "VARCHAR[]"))
        tissue = exp.Column(this=identifier("tissue_id"))
        path = exp.DPipe(this=exp.DPipe(this=text(files.prefix), expression=tissue), expression=text(files.suffix))
        placed = [named(constant(value), column) for column, value in files.place.items()]
        listed = exp.select(named(ids, "tissue_id")).subquery("listed")
        unknown = [named(null(kind), column) for column, kind in _HEADER.items() if name == "source_images"]
        found = [named(path, "path"), named(text(location or files.root), "root")]
        branches.append(exp.select(*placed, tissue.copy(), *found, *unknown).from_(listed))
    return union(branches)
