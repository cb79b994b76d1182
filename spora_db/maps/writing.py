"""Writes maps as images of the last layer of a lake: an OME-Zarr per tissue, and the panel that names its channels."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from spora_db.arrays import AnyArray
from spora_db.errors import ArgumentError, WriteError
from spora_db.files.failures import PARQUET_FAILURES
from spora_db.files.stores.remote_files import fetch_whole
from spora_db.files.writing import atomic_path
from spora_db.images import write_omezarr
from spora_db.layout import image_folder, modality_folder

CHUNK_BYTES = 2**23
"""Bytes of a chunk of a map, about: one has all channels, and of a map there may be hundreds."""


def map_modality(name: str) -> str:
    """Return the modality of a map: ``map_<name>``.

    Examples
    --------
    >>> map_modality("tumour")
    'map_tumour'
    """
    modality = f"map_{name}"
    modality_folder(modality)  # refuses what is no name of a folder
    return modality


def map_path(root: Path, dataset: str, tissue_id: str, *, modality: str, mpp: float) -> Path:
    """Return where the map of a tissue lies in a layer."""
    return image_folder(root / dataset, modality, mpp=mpp) / f"{tissue_id}.ome.zarr"


def panel_path(path: Path) -> Path:
    """Return where the table of a map's channels lies."""
    return path.parents[2] / "channels.parquet"


def write_map(path: Path, values: AnyArray, *, mpp: float, channel_names: Sequence[str], overwrite: bool) -> Path:
    """Write one map, whole or not at all; its panel first, so that no map is without one.

    Raises
    ------
    WriteError
        If it is there already, maps of this name have other channels, or it cannot be written.
    """
    _write_panel(panel_path(path), channel_names)
    chunk = 256
    while chunk > 16 and chunk * chunk * len(values) * values.itemsize > CHUNK_BYTES:
        chunk //= 2
    return write_omezarr(
        path, values, mpp=mpp, channel_names=channel_names, chunk=chunk, shard=4 * chunk, overwrite=overwrite
    )


def check_panel(path: Path, channel_names: Sequence[str]) -> bool:
    """Tell whether maps of a name are there; refuse channels that are others than theirs.

    Raises
    ------
    WriteError
        If they are, or the table cannot be read.
    """
    if not path.exists():
        return False
    fetch_whole([path])
    try:
        known = pq.read_table(path, columns=["channel_name"]).column(0).to_pylist()
    except PARQUET_FAILURES as error:
        raise WriteError(f"{path} cannot be read: {error}. Remove it, with the maps beside it.") from error
    if known != list(channel_names):
        raise WriteError(
            f"{path} names the channels {_shown(known)}, these maps have {_shown(channel_names)}. "
            "Choose another name for the map, or remove the maps of this one."
        )
    return True


def _write_panel(path: Path, channel_names: Sequence[str]) -> None:
    if check_panel(path, channel_names):
        return
    count = len(channel_names)
    table = pa.table(
        {
            "channel_name": pa.array(channel_names, pa.string()),
            "uniprot_id": pa.nulls(count, pa.string()),
            "qc_pass": pa.array([True] * count),
            "is_nuclear_marker": pa.array([False] * count),
        }
    )
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f", ... ({len(names)})" if len(names) > 5 else "")


def checked_channels(names: Sequence[str] | None, depth: int) -> tuple[str, ...]:
    """Return the names of the channels of a map: those given, else ``0``, ``1``, ...

    Raises
    ------
    ArgumentError
        If they are not as many as the model returns numbers, or one is there twice.
    """
    if names is None:
        return tuple(map(str, range(depth)))
    found = tuple(names)
    if len(found) != depth or len(set(found)) != depth:
        raise ArgumentError(
            f"assemble(channel_names=): the model returns {depth} numbers for every place, the names are "
            f"{_shown(found)}. Give as many names, each once."
        )
    return found
