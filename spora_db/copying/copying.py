"""`copy_lake`: what a query needs of a lake, as a lake of its own that gives the same rows and pixels.

1. the plan -> `CopyExtent`: tissues, images and tiles -> `Contents`: files, and what is left out,
2. masks are brought, tables written, and places of images made; the query has to give the same plan there (`SCOPES`),
3. images are brought, compared, locked,
4. and the folder gets its name.

All of it lies in ``.<folder>.copying`` beside the folder until it is finished: a killed run goes on from there, and
what has the folder's name is whole.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from spora_db.catalog import lent_catalog
from spora_db.copying.contents import Contents, contents, left_out, make_room
from spora_db.copying.extent import CopyExtent
from spora_db.copying.places import CopiedFile
from spora_db.copying.report import CopiedImages, CopyReport
from spora_db.copying.tables import SCOPES, TableScope, copied_tables, write_table
from spora_db.copying.transfer import Transfer, bring, sweep
from spora_db.errors import LockError, QueryError, SporaError, WriteError, unknown
from spora_db.files.locks import HeldElsewhereError, lock_file
from spora_db.files.stores.remote_files import check_writable
from spora_db.files.writing import atomic_path, made_folder, publish_folder
from spora_db.layout import Lake, LakePath, lake_path, layer_name, layers, scan
from spora_db.lock.json_values import to_json
from spora_db.lock.lockfile import Lock, read_lock
from spora_db.lock.locking import check_lock, make_lock
from spora_db.plan.cell_places import complete_cells
from spora_db.plan.freezing import freeze
from spora_db.plan.resolution import resolve
from spora_db.selection import Selection
from spora_db.selection.empty import warn_of_nothing

LOCK = "copy.lock.json"
"""The lock in a copy."""
NOTE = "copy.json"
"""The note in a copy: what it is of."""


def copy_lake(
    lake: LakePath,
    selection: Selection,
    folder: str | Path,
    *,
    images: CopiedImages = "tiles",
    dry_run: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> CopyReport:
    """Copy what a selection needs of a lake; see `SporaQuery.copy_to`.

    Parameters
    ----------
    lake, selection
        A lake, and what is asked of it.
    folder
        Where the copy goes; nothing but an empty folder may be there, or this very copy.
    images
        How much of images is copied.
    dry_run
        Whether only to say it.
    progress
        Called with how many of how many files of images are there.
    """
    if images not in get_args(CopiedImages):
        raise unknown("choice of images", images, get_args(CopiedImages), where="copy_to")
    target = Path(os.path.abspath(folder))  # noqa: PTH100 - a link to a folder stays what it is
    check_writable(target)
    with lent_catalog(lake) as catalog:
        resolved = complete_cells(resolve(selection, catalog), catalog)
        plan = freeze(resolved, catalog)
        if not len(plan):
            warn_of_nothing(resolved, catalog)
        sets = {str(table.name) for table in catalog.files_used() if table.kind == "features"}
    if not len(plan):
        raise QueryError("copy_to(): the query selects no rows, so there is nothing to copy. Widen its conditions.")
    if sets and images != "none":
        raise QueryError(
            f"copy_to(): the query asks the feature set {', '.join(map(repr, sorted(sets)))}, and a copy has none. "
            "Take what it says along, as columns of rows: SporaQuery.from_arrow(lake, query.select(...).to_arrow()) "
            "with the same verbs, but without .join, .with_features and conditions on it; or copy_to(images='none'), "
            "which is read as a layer over the lake."
        )
    extent, scanned = CopyExtent(plan=plan, selection=resolved.selection), scan(lake)
    note = {"lake": plan.lake, "plan": plan.hash, "selection": _digest(selection), "images": images}
    if (complete := _complete(target, note)) is not None:
        return complete
    found = contents(scanned, extent, images=images)
    report = _report(scanned, extent, found, target=target, images=images)
    if dry_run:
        return report
    with _workplace(target, note) as place:
        made = place / "lake"
        over = lake_path([*map(layer_name, layers(lake)), str(made)]) if images == "none" else made
        early = [file for file in found.files if file.name.endswith(".npz") or _looks_at_images(extent)]
        first = _bring(early, found, place, progress if _looks_at_images(extent) else None)
        make_room(made, found)
        tables = _same_tables(scanned, extent, made, over=over, selection=selection, tiles_only=images == "tiles")
        done = _bring(found.files, found, place, progress)
        sweep(made, [*(file.name for file in found.files), *found.documents, *tables])
        lock = _lock(over, selection, extent, images=images != "none")
        final = lake_path([*map(layer_name, layers(lake)), str(target)]) if images == "none" else target
        replace(lock, lake=str(final)).write(made / LOCK)
        told = replace(
            report, written=True, tables=len(tables), brought=first.files + done.files + len(found.documents)
        )
        (made / NOTE).write_text(json.dumps({**note, "report": _numbers(told)}, indent=1) + "\n", encoding="utf-8")
        publish_folder(made, target)
        shutil.rmtree(place, ignore_errors=True)
    return told


def _looks_at_images(extent: CopyExtent) -> bool:
    """Tell whether a plan is made with the sizes of images: cells are compared with them."""
    return extent.plan.unit == "cell" or extent.plan.cells is not None


def _bring(
    files: Sequence[CopiedFile], found: Contents, place: Path, progress: Callable[[int, int], None] | None
) -> Transfer:
    """Copy files, and write the documents of images that are copied in part."""
    done = bring(files, place / "lake", journal=place / "journal", progress=progress)
    for name, content in found.documents.items():
        with atomic_path(place / "lake" / name) as temporary:
            temporary.write_bytes(content)
    return done


def _same_tables(
    lake: Lake, extent: CopyExtent, made: Path, *, over: Path, selection: Selection, tiles_only: bool
) -> list[str]:
    """Write the tables: no more of them than the query needs to have the same plan there; return their paths."""
    failure = ""
    for scope in SCOPES:
        names = _write_tables(lake, extent, made, scope=scope, tiles_only=tiles_only)
        try:
            _lock(over, selection, extent, images=False)
        except SporaError as error:
            failure = str(error)
            continue
        return names
    raise QueryError(
        "copy_to(): the copy would give other rows than the lake, as the query looks at rows that it does not select, "
        "or at sizes of images that are remembered outside of the lake. Fix its rows first: "
        f"SporaQuery.from_arrow(lake, query.to_arrow()) with the same verbs. What was found: {failure}"
    )


def _write_tables(lake: Lake, extent: CopyExtent, made: Path, *, scope: TableScope, tiles_only: bool) -> list[str]:
    names = []
    for item in copied_tables(lake, extent, scope=scope, tiles_only=tiles_only):
        write_table(item, made / item.name, extent)
        names.append(item.name)
    return names


def _lock(lake: Path, selection: Selection, extent: CopyExtent, *, images: bool) -> Lock:
    """Return the lock of the copy.

    Raises
    ------
    LockError
        If its plan is another one.
    """
    lock = make_lock(lake, selection, images=images)
    if lock.plan != extent.plan.hash:
        raise LockError(f"the plan has {lock.rows:,} rows and the hash {lock.plan}, not {extent.plan.hash}")
    return lock


def _digest(selection: Selection) -> str:
    text = json.dumps(to_json(selection), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _report(lake: Lake, extent: CopyExtent, found: Contents, *, target: Path, images: CopiedImages) -> CopyReport:
    tables = list(copied_tables(lake, extent, scope=SCOPES[0], tiles_only=images == "tiles"))
    size = sum(file.state.size for file in found.files) + sum(map(len, found.documents.values()))
    return CopyReport(
        lake=extent.plan.lake,
        folder=target,
        written=False,
        rows=len(extent.plan),
        plan=extent.plan.hash,
        datasets=len(extent.tissues),
        tissues=sum(map(len, extent.tissues.values())),
        images=len(found.images),
        masks=found.masks,
        tables=len(tables),
        files=len(found.files) + len(found.documents),
        bytes=size,
        brought=0,
        whole=found.whole if images == "tiles" and extent.plan.tile_size else 0,
        left_out=left_out(lake, extent, images=images),
    )


def _numbers(report: CopyReport) -> Mapping[str, object]:
    return {**to_json(report), "folder": "", "brought": 0}


def _complete(target: Path, note: Mapping[str, object]) -> CopyReport | None:
    """Return the report of a copy that is there already, and still what it was; None where nothing is there.

    Raises
    ------
    LockError
        If it is this copy, but changed since.
    WriteError
        If something else is there.
    """
    if not os.path.lexists(target) or (target.is_dir() and not any(target.iterdir())):
        return None
    try:
        there = json.loads((target / NOTE).read_text(encoding="utf-8"))
        told = there.pop("report")
    except (OSError, ValueError, KeyError, AttributeError):
        there, told = None, {}
    if there != json.loads(json.dumps(note)):
        raise WriteError(
            f"Could not copy to {target}: something else is there, or a copy of another query or an earlier state of "
            "the lake. Name a folder that does not exist."
        )
    lock = read_lock(target / LOCK)
    if found := check_lock(lock, lake=None if note["images"] == "none" else target):
        raise LockError(f"The copy in {target} is not what it was:\n{found}\nRemove the folder, and copy again.")
    shutil.rmtree(_place(target), ignore_errors=True)
    return CopyReport(**{**told, "folder": target, "left_out": tuple(told["left_out"])})


def _place(target: Path) -> Path:
    return target.with_name(f".{target.name}.copying")


@contextlib.contextmanager
def _workplace(target: Path, note: Mapping[str, object]) -> Iterator[Path]:
    """Give the folder of an unfinished copy, of this very one and to one run at a time."""
    place = made_folder(_place(target))
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(lock_file(place / "run.lock", wait=False))
        except HeldElsewhereError as error:
            raise WriteError(f"Could not copy to {target}: another run does. Wait until it has ended.") from error
        known = place / "note.json"
        text = json.dumps(note, sort_keys=True)
        if not known.is_file() or known.read_text(encoding="utf-8") != text:
            for path in {*place.iterdir()} - {place / "run.lock"}:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            with atomic_path(known) as temporary:
                temporary.write_text(text, encoding="utf-8")
        (place / "lake").mkdir(exist_ok=True)
        if target.is_dir():
            target.rmdir()  # it is empty
        yield place
