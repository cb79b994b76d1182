"""Locks: a query and the exact state of the lake that it was answered from, in one JSON file beside a paper or a model.

A lock holds what was asked for, the SQL, the versions, a fingerprint of every parquet file that the plan depends on,
both fingerprints of the plan, and a digest of every tissue's rows, channels and statistics. `from_lock` gives the query
again if its plan is still the same, and says precisely what differs if not.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from spora_db.catalog import lent_catalog
from spora_db.errors import DatasetNotFoundError, FileFormatError, LockError, QueryError, SporaError
from spora_db.files.writing import atomic_path, named_file
from spora_db.layout import scan
from spora_db.lock.difference import PLAN_HASH, LockDifference, compare
from spora_db.lock.json_values import from_json, to_json
from spora_db.lock.state import (
    FileState,
    TissueState,
    file_state,
    image_state,
    tissue_states,
    used_files,
    verify_image,
)
from spora_db.plan import Plan
from spora_db.plan.cell_places import complete_cells
from spora_db.plan.freezing import freeze
from spora_db.plan.plan import VERSION as PLAN_VERSION
from spora_db.plan.resolution import resolve
from spora_db.selection import Selection
from spora_db.selection.compilation import compile_rows
from spora_db.selection.repeatable import ADVICE, changing
from spora_db.selection.resolved import Resolved

VERSIONED = ("spora-db", "duckdb", "sqlglot", "numpy", "pyarrow")


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
        By dataset and tissue, the number of rows and digests of `lock_state.PARTS`.
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


def make_lock(
    lake: str | Path, selection: Selection, *, images: bool = False, whole: bool = False, repeatable: bool = True
) -> Lock:
    """Answer a query and return the lock of the answer.

    Parameters
    ----------
    lake
        A lake's folder, or one dataset's.
    selection
        What is asked for.
    images
        Whether images and masks are fingerprinted too (all their files are opened; pixels are not decoded).
    whole
        Whether that reads all bytes of them.
    repeatable
        Whether to refuse SQL that may give other rows at every run; what is locked already is only compared.

    Raises
    ------
    QueryError
        If the query's SQL gives other rows at every run.
    """
    with lent_catalog(lake) as catalog:
        resolved = resolve(selection, catalog)
        if repeatable:
            _check_repeatable(resolved)
        resolved = complete_cells(resolved, catalog)
        compiled = compile_rows(resolved)
        plan = freeze(resolved, catalog)
        tables = used_files(catalog.files_used(), resolved, plan)
    paths = [table.path.relative_to(catalog.lake).as_posix() for table in tables]
    return Lock(
        lake=str(Path(lake).absolute()),
        selection=selection,
        specs={name: resolved.selection.standardization.spec(name) for name in resolved.selection.modality_names},
        sql=compiled.text(),
        parameters=dict(compiled.parameters),
        versions=_versions(),
        files=_states(paths, catalog.lake),
        images=_image_states(plan, catalog.lake, whole=whole) if images else None,
        whole_images=images and whole,
        rows=len(plan),
        rows_hash=plan.rows_hash,
        plan=plan.hash,
        tissues=tissue_states(plan),
    )


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


def check_lock(lock: Lock, *, lake: str | Path | None = None) -> LockDifference:
    """Return what differs between a lock and the lake as it is now.

    Parameters
    ----------
    lock
        The lock.
    lake
        Where the lake is now, if it was moved.

    Raises
    ------
    LockError
        If the lake is not there.
    """
    place = Path(lock.lake if lake is None else lake)
    try:
        whole = lock.whole_images
        now = make_lock(place, lock.selection, images=lock.images is not None, whole=whole, repeatable=False)
        root = scan(place).root  # files and images may be there, but without rows by now
        files = {**now.files, **_states(lock.files.keys() - now.files.keys(), root)}
        images = {
            path: image_state(root / path, whole=whole)
            for path in (lock.images or {}).keys() - (now.images or {}).keys()
            if (root / path).exists()
        }
        now = replace(now, files=files, images=None if now.images is None else {**now.images, **images})
        return compare(lock, now)
    except DatasetNotFoundError as error:
        raise LockError(f"The lake of the lock is not there: {error} If it was moved, give lake=.") from error
    except SporaError as error:
        now = replace(lock, files=_states(lock.files, scan(place).root), versions=_versions())
        return compare(lock, now, failure=str(error))


def query_of_lock(path: str | Path, *, lake: str | Path | None = None) -> tuple[str | Path, Selection]:
    """Return the lake and the selection of a lock, checked; see `SporaQuery.from_lock`.

    Raises
    ------
    LockError
        If anything differs.
    """
    lock = read_lock(path)
    found = check_lock(lock, lake=lake)
    place = lock.lake if lake is None else lake
    if found:
        raise LockError(
            f"{path} does not hold for {place}:\n{found}\nRestore the files, or lock the query as it is now with "
            "query.lock(path)."
        )
    return place, lock.selection


def _check_repeatable(resolved: Resolved) -> None:
    parts = (*resolved.predicates, resolved.weight, resolved.source)
    if found := changing(part for part in parts if part is not None):
        raise QueryError(
            f"lock(): the SQL of this query uses {', '.join(found)}, so its rows may be others at every run, and "
            f"no lock would hold. {ADVICE} Write a date as a constant, such as DATE '2026-01-31'. Give a LIMIT an "
            "ORDER BY."
        )


def _versions() -> dict[str, str]:
    found = {}
    for name in VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a plain checkout
            found[name] = "not installed"
    return {**found, PLAN_HASH: str(PLAN_VERSION)}


def _states(paths: Iterable[str], root: Path) -> dict[str, FileState]:
    """Return the fingerprints of the files that are there."""
    return {path: file_state(root / path) for path in sorted(paths) if (root / path).is_file()}


def verify_images(lock: Lock) -> None:
    """Read the images and masks of a lock whole.

    Raises
    ------
    FileFormatError
        One is damaged: a checksum is that of other bytes.
    """
    root = scan(lock.lake).root
    for path in lock.images or ():
        verify_image(root / path)


def _image_states(plan: Plan, root: Path, *, whole: bool) -> dict[str, FileState]:
    paths = list(plan.images.column("path").to_pylist())
    for column in () if plan.masks is None else plan.masks.paths.columns:
        paths += column.to_pylist()
    return {path: image_state(root / path, whole=whole) for path in sorted(set(paths))}


def _text(value: Any, depth: int = 0) -> str:  # noqa: ANN401 - JSON
    """Return JSON with a line per entry of outer objects, and all else on one line."""
    inner = isinstance(value, dict) and depth > 1 and not any(isinstance(item, dict | list) for item in value.values())
    if not isinstance(value, dict) or inner or not value:
        return json.dumps(value, ensure_ascii=False)
    pad = " " * (depth + 1)
    entries = (f"{pad}{json.dumps(key, ensure_ascii=False)}: {_text(item, depth + 1)}" for key, item in value.items())
    return "{\n" + ",\n".join(entries) + "\n" + " " * depth + "}"
