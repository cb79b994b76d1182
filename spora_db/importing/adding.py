"""An import into a dataset that is there: another modality, another resolution, further tissues."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from spora_db.errors import ArgumentError, TableError, WriteError
from spora_db.files.parquet import write_parquet
from spora_db.files.stores.remote_files import fetch_whole
from spora_db.importing.decisions import Decision, listed
from spora_db.importing.options import ImportOptions
from spora_db.layout import beneath, image_folder, layers, locate, modality_folder
from spora_db.layout.listing import names_in

if TYPE_CHECKING:
    import pyarrow as pa


CARD: Final = "metadata/dataset.json"
KEYS: Final = {"tissues": "modality", "cells": "cell_id", "regions": "region_id"}
"""What tells the rows of a tissue apart in each table."""


def is_added(options: ImportOptions, tissues: Sequence[str]) -> bool:
    """Tell whether an import goes into a dataset that is there.

    It does where that is asked for, and where the dataset has no images of the modality and tissues of the same ids.

    Raises
    ------
    ArgumentError
        It is asked for, and there is no such dataset, or it is also to be replaced.
    """
    if options.add and options.overwrite:
        raise ArgumentError("add and overwrite contradict each other: a dataset is added to, or replaced. Pass one.")
    exists = locate(options.there, "metadata/tissues.parquet").is_file()
    if options.add and not exists:
        raise ArgumentError(f"There is no dataset {options.there} to add to. Leave out add (--add) to make it.")
    if options.add or options.overwrite or not exists:
        return options.add
    images = locate(options.there, modality_folder(options.modality))
    return not images.exists() and bool(set(tissues) & _known(options.there))


def tissues_of(dataset: Path) -> "pa.Table":
    """Return the table of tissues of a dataset."""
    return _read(locate(dataset, "metadata/tissues.parquet"))


def _known(dataset: Path) -> set[str]:
    """Return the ids of the tissues of a dataset."""
    return set(tissues_of(dataset).column("tissue_id").to_pylist())


def _read(path: Path) -> "pa.Table":
    import pyarrow.parquet as pq

    fetch_whole([path])
    return pq.ParquetFile(path).read()


def check_addition(options: ImportOptions, tissues: Sequence[str]) -> list[Decision]:
    """Refuse images that the dataset has already, and say what is added to what.

    Raises
    ------
    WriteError
        An image of a tissue is there in this modality and resolution.
    """
    folders = layers(beneath(options.there, image_folder(Path(), options.modality, mpp=options.mpp)))
    there = {name.split(".ome.")[0] for folder in folders for name in names_in(folder)}
    twice = sorted(set(tissues) & there)
    if twice:
        raise WriteError(
            f"{options.there} has {options.modality} images at {options.mpp:g} microns per pixel of {listed(twice)} "
            "already; nothing was added. Leave them out, or replace the dataset with overwrite (--overwrite)."
        )
    known = _known(options.there)
    both = sorted(set(tissues) & known)
    says = (
        f"Added to the dataset {options.dataset!r}: {options.modality} images at {options.mpp:g} microns per pixel of "
        f"{len(both)} tissues that it has{': ' + listed(both, most=6) if both else ''}, and of "
        f"{len(tissues) - len(both)} that are new. Make tilings and statistics of them anew."
    )
    return [Decision(about="images", says=says)]


def join_dataset(options: ImportOptions, folder: Path) -> list[Decision]:
    """Bring what a dataset has into the folder of what is added to it: files as links, tables joined by their keys.

    Files of other layers than the last stay where they are, and are seen through it.

    Raises
    ------
    TableError
        Panels differ, a value contradicts one that is there, a cell or a region is in both, or columns of one name
        cannot be one column.
    WriteError
        A mask is in both.
    """
    old = options.there
    decisions = _join_masks(options, old, folder)
    for path in sorted(folder.glob("*/channels.parquet")):
        _join_panels(beneath(old, path.parent.name), path.parent)
    for name in KEYS:
        before, path = (locate(place, f"metadata/{name}.parquet") for place in (old, folder))
        if before.is_file() and path.is_file():
            write_parquet(joined(before, _read(path), said_by=said_by(options)), path)
    if locate(old, CARD).exists():
        (folder / CARD).unlink(missing_ok=True)
    for path in sorted(options.target.rglob("*")):
        place = folder / path.relative_to(options.target)
        if path.is_dir() and not path.is_symlink():
            place.mkdir(parents=True, exist_ok=True)
        elif not os.path.lexists(place):
            _link(path, place)
    return decisions


def said_by(options: ImportOptions) -> str | None:
    """Return what an import was told to take for what is known of tissues; None where only folders have names."""
    return " and ".join(map(str, options.metadata)) or options.pattern


def earlier_imports(dataset: Path) -> list[Any]:
    """Return what a dataset keeps of the imports that made it."""
    path = locate(dataset, "metadata/import.json")
    if not path.is_file():
        return []
    fetch_whole([path])
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TableError(f"{path} is no record of imports: {error}. Remove it, and add again.") from error
    imports = found.get("imports") if isinstance(found, dict) else None
    if not isinstance(imports, list):
        raise TableError(f"{path} is no record of imports: it has no list of them. Remove it, and add again.")
    return imports


def _link(path: Path, place: Path) -> None:
    """Give a file a second name, or copy it where that cannot be; a link stays one."""
    if path.is_symlink():
        place.symlink_to(path.readlink())
        return
    try:
        place.hardlink_to(path)
    except OSError:
        shutil.copy2(path, place)


def _join_masks(options: ImportOptions, old: Path, folder: Path) -> list[Decision]:
    """Keep the tissue masks that are there before those that were made; two that were given are an error."""
    decisions = []
    twice = [
        path for path in sorted(folder.glob("segmentations/**/*.npz")) if locate(old, path.relative_to(folder)).exists()
    ]
    made = [path for path in twice if path.parent.name == "tissue_masks" and options.masks is None]
    given = [path for path in twice if path not in made]
    refuse_masks(old, [path.relative_to(folder) for path in given])
    for path in made:
        path.unlink()
    if made:
        says = f"Tissue masks that are there were kept: {listed([path.stem for path in made])}."
        decisions.append(Decision(about="masks", says=says))
    return decisions


def refuse_masks(old: Path, masks: Sequence[Path]) -> None:
    """Refuse masks that a dataset has already, by their places in it."""
    if masks:
        raise WriteError(
            f"{old} has masks of {listed([path.stem for path in masks])} in {masks[0].parent} already; nothing was "
            "added. Leave out the masks."
        )


def _join_panels(old: Path, new: Path) -> None:
    """Join the panels of one modality, which are the same."""
    panel, measured = (locate(old, f"{name}.parquet") for name in ("channels", "channels_per_tissue"))
    if not panel.is_file():
        return
    names = [_read(path).column("channel_name").to_pylist() for path in (panel, new / panel.name)]
    if names[0] != names[1]:
        other = sorted(set(names[0]) ^ set(names[1])) or names[1]
        raise TableError(
            f"The panel of {old} is another than that of the images that were to be added: {listed(other)}. Images of "
            "one modality of a dataset have one panel: give it as panel (--panel), or choose another dataset."
        )
    (new / panel.name).unlink()
    if measured.is_file():
        tables = [_read(path) for path in (measured, new / measured.name)]
        fresh = [name not in set(tables[0]["tissue_id"].to_pylist()) for name in tables[1]["tissue_id"].to_pylist()]
        write_parquet(_stacked([tables[0], tables[1].filter(fresh)], measured), new / measured.name)


def joined(old: Path, added: "pa.Table", *, said_by: str | None) -> "pa.Table":
    """Return a table of a dataset with what is added to it: rows of other keys, and columns by the keys of tissues.

    Raises
    ------
    TableError
        A value contradicts one that is there, a cell or a region is in both, or columns cannot be one.
    """
    before = _read(old)
    added = _in_spelling(added, before_names=before.column_names)
    names = ("tissue_id", KEYS[old.stem])
    keys = [list(zip(*(table[name].to_pylist() for name in names), strict=True)) for table in (before, added)]
    if old.stem == "tissues":
        return _joined_tissues(before, added, keys, old, said_by)
    if twice := sorted(set(keys[0]) & set(keys[1])):
        raise TableError(
            f"{old} has the {old.stem} {listed(twice, most=4)} already; nothing was added. Leave them out."
        )
    return _stacked([before, added], old)


def _joined_tissues(
    before: "pa.Table", added: "pa.Table", keys: Sequence[Sequence[tuple[str, str]]], old: Path, said_by: str | None
) -> "pa.Table":
    """Join the tables of tissues: what is said of a tissue fills what is not said, and may not contradict it.

    What only folders say is not kept where something else is said already.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    place = {tissue: row for row, (tissue, _) in reversed(list(enumerate(keys[0])))}
    exact = {key: row for row, key in enumerate(keys[0])}
    known = before.take(pa.array([exact.get(key, place.get(key[0])) for key in keys[1]], pa.int64()))
    both = _stacked([known, added], old)
    known, added = both.slice(0, len(known)), both.slice(len(known))
    for key, was, now in zip(keys[1], known.to_pylist(), added.to_pylist(), strict=True):
        for name in was if said_by and key in exact else ():
            both_say = name != "dataset" and None not in (was[name], now[name])
            if both_say and repr(was[name]) != repr(now[name]):
                raise TableError(
                    f"{old} says {was[name]!r} in the column {name!r} of the tissue {key[0]!r}, {said_by} says "
                    f"{now[name]!r}; nothing was added. Correct the value, rename the column if it means something "
                    "else, or replace the dataset with overwrite (--overwrite)."
                )
    same = pa.array([key in exact for key in keys[1]], pa.bool_())
    columns = {
        name: pc.coalesce(pc.if_else(same, known[name], pa.scalar(None, known[name].type)), added[name], known[name])
        for name in both.column_names
    }
    columns["dataset"] = added["dataset"]
    rest = before.filter(pa.array([key not in set(keys[1]) for key in keys[0]], pa.bool_()))
    return _stacked([rest, pa.table(columns)], old)


def _in_spelling(table: "pa.Table", *, before_names: Sequence[str]) -> "pa.Table":
    """Return a table whose columns are spelled as others that differ from them in case only."""
    spelled = {name.casefold(): name for name in before_names}
    return table.rename_columns([spelled.get(name.casefold(), name) for name in table.column_names])


def _stacked(tables: Sequence["pa.Table"], path: Path) -> "pa.Table":
    """Return the rows of both tables, with the columns of both."""
    import pyarrow as pa

    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise TableError(
            f"The columns of {path} and of what was to be added cannot be one: {error}. Rename the column, or write it "
            "alike in both."
        ) from error
