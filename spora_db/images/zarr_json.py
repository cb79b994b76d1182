"""JSON metadata of Zarr stores, read with limits: the files come from anywhere."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spora_db.images.files import broken, describe, unopened

METADATA_LIMIT = 64 * 2**20
FORMATS = {"zarr.json": 3, ".zarray": 2, ".zgroup": 2}
"""The version of Zarr that a document is of, by its name."""


def load_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in ``path``."""
    try:
        with path.open("rb") as file:
            data = file.read(METADATA_LIMIT + 1)
        if len(data) > METADATA_LIMIT:
            raise broken(path, f"it is larger than {METADATA_LIMIT:,} bytes", expected="Zarr metadata")
        value = json.loads(data)
    except OSError as error:
        raise unopened(path, error, expected="Zarr metadata") from error
    except (ValueError, RecursionError) as error:
        raise broken(
            path, f"{describe(data)}, which is not JSON ({error})", expected="Zarr metadata in JSON"
        ) from error
    if not isinstance(value, dict):
        raise broken(path, f"it holds a JSON {type(value).__name__}", expected="a JSON object")
    version = FORMATS.get(path.name)
    if value.get("zarr_format", version) != version:
        raise broken(path, f"its zarr_format is {value['zarr_format']!r:.100}", expected=f"{version}, as its name says")
    return value


def sizes(document: Mapping[str, Any], key: str, path: Path) -> tuple[int, ...]:
    """Return a list of sizes of the metadata as a tuple."""
    value = document.get(key)
    if not isinstance(value, list) or not value or not all(type(size) is int and 0 <= size < 2**62 for size in value):
        raise broken(path, f"{key!r} is {value!r:.200}", expected="a list of sizes")
    return tuple(value)
