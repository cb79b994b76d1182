"""What differs between two locks, or between a lock and the lake as it is now: precisely, and readable."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from spora_db.errors import counted
from spora_db.lock.json_values import to_json
from spora_db.lock.lockfile import PLAN_HASH, Lock
from spora_db.lock.state import PARTS, FileState, TissueState

SHOWN = 10
"""Names listed of each kind; the others are counted."""
NEW_LINE = "\n  "


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Names in two mappings: only in the second, only in the first, and in both with different values."""

    added: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self.added or self.missing or self.changed)


@dataclass(frozen=True, slots=True, kw_only=True)
class TissueChanges:
    """The tissues of one dataset of which rows were gained or lost, or that hold something else.

    Attributes
    ----------
    gained, lost
        Pairs of a tissue that is only in the second, only in the first, and its number of rows.
    changed
        Triples of a tissue in both, its numbers of rows, and what differs.
    """

    gained: tuple[tuple[str, int], ...] = ()
    lost: tuple[tuple[str, int], ...] = ()
    changed: tuple[tuple[str, tuple[int, int], tuple[str, ...]], ...] = ()


WHOLE = "content equal"
ENDS = "ends equal (between them they are not compared)"
OTHER_FINGERPRINTS = "images were not compared: one lock was made with verify=True, and has fingerprints of all bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class LockDifference:
    """All that differs between two locks.

    Attributes
    ----------
    choices
        Lines on what is asked for.
    files, images
        Paths below the lake. Files that differ in their time only do not differ.
    touched, touched_images
        Paths below the lake of files and images that differ in their time only: told, but no difference by themselves.
        Of an image, both ends of its files are the same, or all bytes where `whole_images` is true.
    tissues
        Rows gained, lost and changed, by dataset.
    rows
        Numbers of rows.
    plans, same_rows
        Fingerprints of the plans, and whether those of their rows are equal: then samples come in the same order.
    failure
        Why the second has no plan, if it has none.
    other_form
        Whether the hashes are of two forms, and can differ for equal plans.
    whole_images, other_fingerprints
        Whether fingerprints of images are of all bytes; whether they are in one lock and of both ends in the other, so
        that images were not compared.
    versions
        Lines on versions of software: told, but no difference by themselves.
    """

    choices: tuple[str, ...] = ()
    files: Changes = Changes()
    images: Changes = Changes()
    touched: tuple[str, ...] = ()
    touched_images: tuple[str, ...] = ()
    tissues: Mapping[str, TissueChanges]
    rows: tuple[int, int]
    plans: tuple[str, str]
    same_rows: bool = False
    failure: str | None = None
    other_form: bool = False
    whole_images: bool = False
    other_fingerprints: bool = False
    versions: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether anything differs that a plan may depend on."""
        same = self.plans[0] == self.plans[1] and not self.failure
        return bool(self.choices or self.files or self.images or self.tissues or not same)

    def __str__(self) -> str:
        """Return a report, a line per finding."""
        notes = [
            *_note("files touched, content equal", self.touched),
            *_note(f"images touched, {WHOLE if self.whole_images else ENDS}", self.touched_images),
            *((f"note: {OTHER_FINGERPRINTS}",) if self.other_fingerprints else ()),
            *(f"version: {line}" for line in self.versions),
        ]
        if not self:
            return "\n".join([f"No difference: {counted(self.rows[0], 'row')}, plan {self.plans[0]}.", *notes])
        lines = [f"asked for: {line}" for line in self.choices]
        for kind, changes in (("file", self.files), ("image", self.images)):
            lines += [
                f"{kind}s {what} ({len(names)}):\n  {_listed(names, between=NEW_LINE)}"
                for what, names in (
                    ("changed", changes.changed),
                    ("added", changes.added),
                    ("missing", changes.missing),
                )
                if names
            ]
        for dataset, part in self.tissues.items():
            lines += _tissue_lines(dataset, part)
        if self.failure:
            lines.append(f"plan: {counted(self.rows[0], 'row')} then; now it cannot be made: {self.failure}")
        else:
            rows = " (the same rows in the same order)" if self.same_rows else ""
            same = " (the same)" if self.plans[0] == self.plans[1] else rows
            if self.other_form:
                same = ": hashes of two forms, from two versions of spora-db; lock the query again with this one"
            lines.append(
                f"plan: {counted(self.rows[0], 'row')}, {self.plans[0]}; "
                f"now {counted(self.rows[1], 'row')}, {self.plans[1]}{same}"
            )
        return "\n".join([*lines, *notes])


def compare(first: Lock, second: Lock, *, failure: str | None = None) -> LockDifference:
    """Return what differs between two locks.

    The rows of a second that has no plan, because of a failure, are not compared.
    """
    both = first.images is not None and second.images is not None
    images = both and first.whole_images == second.whole_images
    return LockDifference(
        choices=tuple(_choices(to_json(first.selection), to_json(second.selection))),
        files=_changes(first.files, second.files),
        images=_changes(first.images or {}, second.images or {}) if images else Changes(),
        touched=_touched(first.files, second.files),
        touched_images=_touched(first.images or {}, second.images or {}) if images else (),
        tissues={} if failure else _tissues(first.tissues, second.tissues),
        rows=(first.rows, second.rows),
        plans=(first.plan, second.plan),
        same_rows=first.rows_hash == second.rows_hash,
        failure=failure,
        whole_images=first.whole_images,
        other_fingerprints=both and not images,
        other_form=first.versions.get(PLAN_HASH) != second.versions.get(PLAN_HASH),
        versions=tuple(_choices(first.versions, second.versions)),
    )


def _changes(first: Mapping[str, FileState], second: Mapping[str, FileState]) -> Changes:
    both = first.keys() & second.keys()
    return Changes(
        added=tuple(sorted(second.keys() - both)),
        missing=tuple(sorted(first.keys() - both)),
        changed=tuple(sorted(name for name in both if not _same_content(first[name], second[name]))),
    )


def _touched(first: Mapping[str, FileState], second: Mapping[str, FileState]) -> tuple[str, ...]:
    pairs = ((name, first[name], second[name]) for name in sorted(first.keys() & second.keys()))
    return tuple(name for name, one, other in pairs if _same_content(one, other) and one.modified != other.modified)


def _same_content(one: FileState, other: FileState) -> bool:
    return (one.size, one.digest) == (other.size, other.digest)


def _tissues(
    first: Mapping[str, Mapping[str, TissueState]], second: Mapping[str, Mapping[str, TissueState]]
) -> dict[str, TissueChanges]:
    found = {}
    for dataset in sorted({*first, *second}):
        before, after = first.get(dataset, {}), second.get(dataset, {})
        changes = TissueChanges(
            gained=tuple((tissue, after[tissue][0]) for tissue in sorted(after.keys() - before.keys())),
            lost=tuple((tissue, before[tissue][0]) for tissue in sorted(before.keys() - after.keys())),
            changed=tuple(
                (
                    tissue,
                    (before[tissue][0], after[tissue][0]),
                    _parts(before[tissue], after[tissue]),
                )
                for tissue in sorted(before.keys() & after.keys())
                if before[tissue] != after[tissue]
            ),
        )
        if changes != TissueChanges():
            found[dataset] = changes
    return found


def _parts(before: TissueState, after: TissueState) -> tuple[str, ...]:
    """Return the parts that differ; columns are those of the rows, and are compared where the rows are the same."""
    pairs = zip(PARTS, before[1:], after[1:], strict=True)
    differing = [part for part, one, other in pairs if one != other]
    return tuple(part for part in differing if part != "columns" or "rows" not in differing)


def _choices(first: Any, second: Any, name: str = "") -> Iterable[str]:  # noqa: ANN401 - JSON
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for key in sorted({*first, *second}):
            yield from _choices(first.get(key), second.get(key), f"{name}.{key}" if name else str(key))
    elif first != second:
        yield f"{name} {_short(first)}, now {_short(second)}"


def _tissue_lines(dataset: str, changes: TissueChanges) -> list[str]:
    lines = []
    for what, tissues in (("gained", changes.gained), ("lost", changes.lost)):
        if tissues:
            rows = sum(number for _, number in tissues)
            lines.append(
                f"rows {what} in {dataset}: {rows:,} of {counted(len(tissues), 'tissue')}: "
                f"{_listed(t for t, _ in tissues)}"
            )
    kinds: dict[tuple[str, ...], list[str]] = {}
    for tissue, (before, after), parts in changes.changed:
        count = f" ({counted(before, 'row')}, now {after:,})" if before != after else ""
        kinds.setdefault(parts, []).append(tissue + count)
    for parts, names in kinds.items():
        lines.append(f"{' and '.join(parts)} changed in {dataset} ({counted(len(names), 'tissue')}): {_listed(names)}")
    return lines


def _note(what: str, names: tuple[str, ...]) -> list[str]:
    return [f"note: {what} ({len(names):,}):\n  {_listed(names, between=NEW_LINE)}"] if names else []


def _listed(names: Iterable[str], *, between: str = ", ") -> str:
    found = list(names)
    more = [f"... ({len(found) - SHOWN:,} more)"] if len(found) > SHOWN else []
    return between.join([*found[:SHOWN], *more])


def _short(value: object) -> str:
    text = repr(value)
    return text[:100] + "..." * (len(text) > 100)
