"""What a remote lake holds, listed level by level with all connections at once."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from spora_db.files.stores.http import NETWORK
from spora_db.files.stores.store import ObjectState, ObjectStore

STORES = (".zarr",)
"""Ends of folders that are images: listed when they are opened."""


def files_of(store: ObjectStore) -> Iterator[tuple[str, ObjectState | None]]:
    """Yield the files of a lake, level by level; of images that are folders only their names, without a state."""
    level = [""]
    while level:
        further = []
        for folder, entries in zip(level, NETWORK.threads().map(store.list_folder, level), strict=True):
            for name, state in entries:
                path = f"{folder}/{name}" if folder else name
                if state is not None or name.endswith(STORES):
                    yield path, state
                else:
                    further.append(path)
        level = further


def is_array(folder: Path, names: set[str]) -> bool:
    """Tell whether a folder with these names in it is an array, whose folders hold chunks."""
    if ".zarray" in names:
        return True
    with contextlib.suppress(OSError, ValueError):
        return bool(json.loads((folder / "zarr.json").read_bytes()).get("node_type") == "array")
    return False
