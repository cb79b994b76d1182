"""Under which licence every cohort is: from ``metadata/dataset.json``, else from a column of its tissues."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spora_db.errors import FileFormatError
from spora_db.files.stores.remote_files import fetch_whole

KEYS = ("license", "licence")
LARGEST = 1_000_000
"""Bytes of the largest ``dataset.json`` that is read."""


def licence_of_file(folder: Path) -> str | None:
    """Return the licence that ``metadata/dataset.json`` states in a dataset's folder; None where it states none.

    Raises
    ------
    FileFormatError
        If the file is no JSON object, or its licence is no text.
    """
    path = folder / "metadata" / "dataset.json"
    if not path.is_file():
        return None
    fetch_whole([path])
    if path.stat().st_size > LARGEST:
        raise FileFormatError(f"{path} has {path.stat().st_size:,} bytes; expected a short JSON object.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path} is no JSON: {error}.") from error
    if not isinstance(content, dict):
        raise FileFormatError(f"{path} holds {type(content).__name__}; expected an object such as {{'license': ...}}.")
    return _text({str(key).lower(): value for key, value in content.items()}, path)


def _text(content: Mapping[str, Any], path: Path) -> str | None:
    value = next((content[key] for key in KEYS if content.get(key) is not None), None)
    if isinstance(value, dict):
        value = value.get("name") or value.get("id") or value.get("spdx")
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = ", ".join(value)
    if value is None or isinstance(value, str):
        return value or None
    raise FileFormatError(f"{path}: the licence is {value!r}; expected text, such as 'CC BY 4.0'.")
