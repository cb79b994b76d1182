"""The file of a lock: one JSON object, a line per field and tissue."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from spora_db.errors import FileFormatError, LockError
from spora_db.files.writing import atomic_path, named_file
from spora_db.lock.json_values import from_json, to_json
from spora_db.lock.state import FileState, TissueState
from spora_db.selection import Selection

PLAN_HASH = "plan hash"
"""What a lock's versions call the form of the plan's hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A query and the state of the lake that it was answered from.

    Attributes
    ----------
    format
        Version of this file's form.
    lake
        Where the lake was.
    selection
        What was asked for.
    specs
        The standardization of each modality.
    sql, parameters
        The statement and its values.
    versions
        Versions of the software.
    files
        Fingerprints of the parquet files that the plan depends on, by path below the lake.
    images
        Fingerprints of the images and masks of the plan, if asked for.
    whole_images
        Whether those are of all bytes, of files whose checksums held; else of both ends.
    rows, rows_hash, plan
        Number of rows, their fingerprint (which the order of samples depends on), and that of the whole plan.
    tissues
        By dataset and tissue, the number of rows and digests of `state.PARTS`.
    """

    format: Literal["spora-db lock 2"] = "spora-db lock 2"
    lake: str
    selection: Selection
    specs: Mapping[str, str]
    sql: str
    parameters: Mapping[str, Any]
    versions: Mapping[str, str]
    files: Mapping[str, FileState]
    images: Mapping[str, FileState] | None = None
    whole_images: bool = False
    rows: int
    rows_hash: str
    plan: str
    tissues: Mapping[str, Mapping[str, TissueState]]

    def write(self, path: str | Path) -> Path:
        """Write the lock as JSON, whole or not at all, a line per field and tissue so that versions can be compared."""
        with atomic_path(named_file(path)) as temporary:
            temporary.write_text(_text(to_json(self)) + "\n", encoding="utf-8")
        return Path(path)


def read_lock(path: str | Path) -> Lock:
    """Read a lock that `Lock.write` wrote.

    Raises
    ------
    LockError
        If there is no such file.
    FileFormatError
        If it is no lock, or one of an older or newer form.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise LockError(f"{path} cannot be read: {error.strerror}. Write a lock with query.lock(path).") from error
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path} is no lock: {error}. Write a lock with query.lock(path).") from error
    if isinstance(content, dict) and content.get("format") == "spora-db lock 1":
        raise FileFormatError(
            f"{path} is a lock of the first form (spora-db 0.1), whose one fingerprint mixed rows with channels and "
            "statistics; plans have one of each now, and the old one cannot be compared. What it selects stands in its "
            "'selection' and 'sql': make the query again and lock it with query.lock(path)."
        )
    return from_json(Lock, content, where=str(path))


def _text(value: Any, depth: int = 0) -> str:  # noqa: ANN401 - JSON
    """Return JSON with a line per entry of outer objects, and all else on one line."""
    inner = isinstance(value, dict) and depth > 1 and not any(isinstance(item, dict | list) for item in value.values())
    if not isinstance(value, dict) or inner or not value:
        return json.dumps(value, ensure_ascii=False)
    pad = " " * (depth + 1)
    entries = (f"{pad}{json.dumps(key, ensure_ascii=False)}: {_text(item, depth + 1)}" for key, item in value.items())
    return "{\n" + ",\n".join(entries) + "\n" + " " * depth + "}"
