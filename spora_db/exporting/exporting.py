"""`export_plan`: the rows of a plan, read and written shard by shard by several processes.

Which rows are in a shard follows from the plan and the size. A shard is a file that is there whole or not at all, so a
killed export goes on with those that are missing; what stands above them, and ``export.json``, comes last.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from spora_db.errors import ArgumentError, QueryError, WorkerError, WriteError, counted, unknown
from spora_db.exporting.fields import ExportedRow, exported_row
from spora_db.exporting.formats import FORMATS, ExportFormat, cut
from spora_db.exporting.shards import ExportedShard, group_sizes
from spora_db.files.stores.remote_files import check_writable
from spora_db.files.writing import atomic_path, made_folder
from spora_db.images.base import MissingChunks
from spora_db.loading.dataset import PlanDataset
from spora_db.loading.starting import workers_start
from spora_db.plan import Plan

VERSION = 1
"""Of what an export writes: one that was begun by another is not carried on."""
TOGETHER = 16
"""Rows that are read at once."""
NOTE = "export.json"
UNFINISHED = ".export.json"
Pixels = Literal["standardized", "raw"]
ExportPrecision = Literal["float32", "float16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What an export wrote.

    Attributes
    ----------
    folder, format
        Where, and in which format.
    rows, shards, bytes
        How many.
    kept
        How many of the shards an earlier run had written.
    """

    folder: Path
    format: str
    rows: int
    shards: int
    bytes: int
    kept: int

    def __str__(self) -> str:
        """Return it in words."""
        kept = f", {self.kept:,} of them written before" if self.kept else ""
        return (
            f"Exported {counted(self.rows, 'row')} as {self.format} to {self.folder}: {counted(self.shards, 'shard')}, "
            f"{self.bytes:,} bytes{kept}."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportJob:
    """What a process needs to write any shard."""

    plan: Plan
    format: ExportFormat
    folder: Path
    pixels: Pixels
    dtype: ExportPrecision
    missing_chunks: MissingChunks
    first: Mapping[int, ExportedRow]
    full: Mapping[int, int]

    def dataset(self) -> PlanDataset:
        """Return the rows as samples."""
        return PlanDataset(
            self.plan,
            missing_chunks=self.missing_chunks,
            dtype=self.dtype,
            standardize_on="cpu" if self.pixels == "standardized" else "device",
        )

    def path(self, shard: ExportedShard) -> Path:
        """Return where a shard is written."""
        return self.folder / FORMATS[self.format].name(shard)

    def write(self, shard: ExportedShard, dataset: PlanDataset) -> None:
        """Read and write one shard."""
        rows = list(rows_of(dataset, shard.rows.tolist()))
        with atomic_path(self.path(shard)) as temporary:
            FORMATS[self.format].write(temporary, rows, self.first[shard.group], shard, self.full[shard.group])


def rows_of(dataset: PlanDataset, positions: Sequence[int]) -> Iterator[ExportedRow]:
    """Yield rows of a plan, read some at a time."""
    for start in range(0, len(positions), TOGETHER):
        chosen = positions[start : start + TOGETHER]
        for position, sample in zip(chosen, dataset.__getitems__(chosen), strict=True):
            yield exported_row(position, sample)


def export_plan(
    plan: Plan,
    name: ExportFormat,
    folder: str | Path,
    *,
    shard_bytes: int = 2**26,
    num_workers: int = 0,
    pixels: Pixels = "standardized",
    dtype: ExportPrecision = "float32",
    missing_chunks: MissingChunks = "error",
    progress: Callable[[int, int], None] | None = None,
) -> ExportReport:
    """Write the rows of a plan; see `SporaQuery.export`."""
    for argument, value, choices in (
        ("format", name, get_args(ExportFormat)),
        ("pixels", pixels, get_args(Pixels)),
        ("dtype", dtype, get_args(ExportPrecision)),
    ):
        if value not in choices:
            raise unknown(f"choice of {argument}=", value, choices)
    if pixels == "raw" and dtype != "float32":
        raise ArgumentError(f"export(dtype={dtype!r}, pixels='raw'): raw pixels have the type of their files.")
    if name == "zarr" and not plan.tile_size:
        raise ArgumentError("export('zarr') takes tiles of one size; whole tissues have many. Take webdataset.")
    if not len(plan):
        raise QueryError("export(): the query selects no rows, so there is nothing to write. Widen its conditions.")
    check_writable(target := Path(folder).absolute())
    shards = cut(plan, name, shard_bytes=shard_bytes, itemsize=2 if dtype == "float16" else 4)
    options = {"format": name, "pixels": pixels, "dtype": dtype, "shard_bytes": shard_bytes, "version": VERSION}
    note = {**options, "plan": plan.hash, "missing_chunks": missing_chunks, "rows": len(plan), "shards": len(shards)}
    if (done := _begun(target, note)) is not None:
        return done
    sizes = group_sizes(shards)
    heads = {shard.group: int(shard.rows[0]) for shard in reversed(shards)}
    job = ExportJob(
        plan=plan, format=name, folder=target, pixels=pixels, dtype=dtype, missing_chunks=missing_chunks,
        first={}, full={group: count for group, (_, count) in sizes.items()},
    )  # fmt: skip
    dataset = job.dataset()
    first = {group: next(rows_of(dataset, [row])) for group, row in heads.items()}
    job = replace(job, first=first)
    missing = [shard for shard in shards if not job.path(shard).exists()]
    for number, _ in enumerate(_written(job, missing, dataset, num_workers=num_workers), start=1):
        if progress is not None:
            progress(len(shards) - len(missing) + number, len(shards))
    FORMATS[name].finish(target, [(shard, job.path(shard)) for shard in shards], first, shard_bytes)
    return _finished(target, note, job, shards, kept=len(shards) - len(missing))


def _written(
    job: ExportJob, shards: Sequence[ExportedShard], dataset: PlanDataset, *, num_workers: int
) -> Iterator[None]:
    """Write shards, and yield for each."""
    if not num_workers:
        for shard in shards:
            job.write(shard, dataset)
            yield
        return
    context = workers_start().context()
    with ProcessPoolExecutor(num_workers, mp_context=context, initializer=_prepare, initargs=(job,)) as pool:
        try:
            yield from pool.map(_write, shards)
        except BrokenProcessPool as error:
            raise WorkerError(
                "A process of the export ended before its shard was written, such as for want of memory. Shards that "
                "are there are whole: export again with fewer num_workers, and it goes on."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


_JOB: list[tuple[ExportJob, PlanDataset]] = []
"""What this process writes with."""


def _prepare(job: ExportJob) -> None:
    torch.set_num_threads(1)
    _JOB[:] = [(job, job.dataset())]


def _write(shard: ExportedShard) -> None:
    [(job, dataset)] = _JOB
    job.write(shard, dataset)


def _begun(folder: Path, note: Mapping[str, Any]) -> ExportReport | None:
    """Make the folder, or see that what is there is this export, unfinished or finished.

    Raises
    ------
    WriteError
        If something else is there.
    """
    made_folder(folder)
    for name in (NOTE, UNFINISHED):
        try:
            there = json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        report = there.pop("report", None) if isinstance(there, dict) else None
        if there == note:
            return None if report is None else ExportReport(**{**report, "folder": folder, "kept": note["shards"]})
    if any(folder.iterdir()):
        raise WriteError(
            f"Could not export to {folder}: something else is there, or an export of another query, other choices or "
            "another state of the lake. Name a folder that does not exist."
        )
    with atomic_path(folder / UNFINISHED) as temporary:
        temporary.write_text(json.dumps(note), encoding="utf-8")
    return None


def _finished(
    folder: Path, note: Mapping[str, Any], job: ExportJob, shards: Sequence[ExportedShard], *, kept: int
) -> ExportReport:
    """Write what tells that all is there, and remove what only an unfinished export needs."""
    for shard in shards:
        if (part := job.path(shard)).is_dir():
            shutil.rmtree(part)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name != UNFINISHED)
    report = ExportReport(
        folder=folder, format=job.format, rows=len(job.plan), shards=len(shards), bytes=size, kept=kept
    )
    with atomic_path(folder / NOTE) as temporary:
        text = json.dumps({**note, "report": {**asdict(report), "folder": "", "kept": 0}}, indent=1)
        temporary.write_text(text + "\n", encoding="utf-8")
    (folder / UNFINISHED).unlink(missing_ok=True)
    return report
