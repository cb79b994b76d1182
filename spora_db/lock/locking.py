"""Locks: a query and the exact state of the lake that it was answered from, in one JSON file beside a paper or a model.

A lock holds what was asked for, the SQL, the versions, a fingerprint of every parquet file that the plan depends on,
both fingerprints of the plan, and a digest of every tissue's rows, channels and statistics. `from_lock` gives the query
again if its plan is still the same, and says precisely what differs if not.
"""

import os
from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from spora_db.catalog import lent_catalog
from spora_db.errors import DatasetNotFoundError, LockError, QueryError, SporaError
from spora_db.layout import LakePath, lake_path, layer_name, layers, locate, scan
from spora_db.lock.difference import LockDifference, compare
from spora_db.lock.lockfile import PLAN_HASH, Lock, read_lock
from spora_db.lock.state import FileState, file_state, image_state, tissue_states, used_files, verify_image
from spora_db.plan import Plan
from spora_db.plan.cell_places import complete_cells
from spora_db.plan.freezing import freeze
from spora_db.plan.labels import pinned
from spora_db.plan.plan import VERSION as PLAN_VERSION
from spora_db.plan.resolution import resolve
from spora_db.selection import Selection
from spora_db.selection.compilation import compile_rows
from spora_db.selection.repeatable import ADVICE, changing
from spora_db.selection.resolved import Resolved

VERSIONED = ("spora-db", "duckdb", "sqlglot", "numpy", "pyarrow")


def make_lock(
    lake: LakePath, selection: Selection, *, images: bool = False, whole: bool = False, repeatable: bool = True
) -> Lock:
    """Answer a query and return the lock of the answer.

    Parameters
    ----------
    lake, selection
        A lake's folder, or one dataset's; what is asked for.
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
        paths = [catalog._relative(table.path) for table in tables]
    return Lock(
        lake=os.pathsep.join(layer_name(root.absolute()) for root in layers(lake)),
        selection=replace(selection, labels=pinned(resolved.selection.labels, plan.labels)),
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


def check_lock(lock: Lock, *, lake: LakePath | None = None) -> LockDifference:
    """Return what differs between a lock and the lake as it is now.

    Raises
    ------
    LockError
        If the lake is not there.
    """
    place = lake_path(lock.lake if lake is None else lake)
    try:
        whole = lock.whole_images
        now = make_lock(place, lock.selection, images=lock.images is not None, whole=whole, repeatable=False)
        root = scan(place).path  # files and images may be there, but without rows by now
        files = {**now.files, **_states(lock.files.keys() - now.files.keys(), root)}
        images = {
            path: image_state(locate(root, path), whole=whole)
            for path in (lock.images or {}).keys() - (now.images or {}).keys()
            if locate(root, path).exists()
        }
        now = replace(now, files=files, images=None if now.images is None else {**now.images, **images})
        return compare(lock, now)
    except DatasetNotFoundError as error:
        raise LockError(f"The lake of the lock is not there: {error} If it was moved, give lake=.") from error
    except SporaError as error:
        now = replace(lock, files=_states(lock.files, scan(place).path), versions=_versions())
        return compare(lock, now, failure=str(error))


def query_of_lock(path: str | Path, *, lake: LakePath | None = None) -> tuple[str | Path, Selection]:
    """Return the lake and the selection of a lock, checked; see `SporaQuery.from_lock`.

    Raises
    ------
    LockError
        If anything differs.
    """
    lock = read_lock(path)
    found = check_lock(lock, lake=lake)
    place = lock.lake if lake is None else lake_path(lake)
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
    return {path: file_state(locate(root, path)) for path in sorted(paths) if locate(root, path).is_file()}


def verify_images(lock: Lock) -> None:
    """Read the images and masks of a lock whole.

    Raises
    ------
    FileFormatError
        One is damaged: a checksum is that of other bytes.
    """
    root = scan(lock.lake).path
    for path in lock.images or ():
        verify_image(locate(root, path))


def _image_states(plan: Plan, root: Path, *, whole: bool) -> dict[str, FileState]:
    paths = list(plan.images.column("path").to_pylist())
    for column in () if plan.masks is None else plan.masks.paths.columns:
        paths += column.to_pylist()
    return {path: image_state(locate(root, path), whole=whole) for path in sorted(set(paths))}
