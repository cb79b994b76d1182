"""An import into a dataset that is there: another modality, another resolution, further tissues."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from spora_db.errors import ArgumentError, TableError, WriteError
from spora_db.files.parquet import write_parquet
from spora_db.importing.decisions import Decision, listed
from spora_db.importing.options import ImportOptions
from spora_db.layout import image_folder, modality_folder

if TYPE_CHECKING:
    import pyarrow as pa


KEYS: Final = ("tissue_id", "modality")


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
    exists = (options.target / "metadata" / "tissues.parquet").is_file()
    if options.add and not exists:
        raise ArgumentError(f"There is no dataset {options.target} to add to. Leave out add (--add) to make it.")
    if options.add or options.overwrite or not exists:
        return options.add
    images = options.target / modality_folder(options.modality)
    return not images.exists() and bool(set(tissues) & _known(options.target))


def _known(target: Path) -> set[str]:
    """Return the ids of the tissues of a dataset."""
    return set(_read(target / "metadata" / "tissues.parquet").column("tissue_id").to_pylist())


def _read(path: Path) -> "pa.Table":
    import pyarrow.parquet as pq

    return pq.ParquetFile(path).read()


def check_addition(options: ImportOptions, tissues: Sequence[str]) -> list[Decision]:
    """Refuse images that the dataset has already, and say what is added to what.

    Raises
    ------
    WriteError
        An image of a tissue is there in this modality and resolution.
    """
    folder = image_folder(options.target, options.modality, mpp=options.mpp)
    there = {path.name.split(".ome.")[0] for path in folder.iterdir()} if folder.is_dir() else set()
    twice = sorted(set(tissues) & there)
    if twice:
        raise WriteError(
            f"{options.target} has {options.modality} images at {options.mpp:g} microns per pixel of {listed(twice)} "
            "already; nothing was added. Leave them out, or replace the dataset with overwrite (--overwrite)."
        )
    known = _known(options.target)
    both = sorted(set(tissues) & known)
    says = (
        f"Added to the dataset {options.dataset!r}: {options.modality} images at {options.mpp:g} microns per pixel of "
        f"{len(both)} tissues that it has{': ' + listed(both, most=6) if both else ''}, and of "
        f"{len(tissues) - len(both)} that are new. Make tilings and statistics of them anew."
    )
    return [Decision(about="images", says=says)]


def join_dataset(options: ImportOptions, folder: Path) -> list[Decision]:
    """Bring what a dataset has into the folder of what is added to it: files as links, tables joined by their keys.

    Raises
    ------
    TableError
        Panels differ, a cell or a region is in both, or columns of one name cannot be one column.
    WriteError
        A mask is in both.
    """
    old = options.target
    decisions = _join_masks(options, old, folder)
    for path in sorted(folder.glob("*/channels.parquet")):
        _join_panels(old / path.parent.name, path.parent)
    _join_tissues(old / "metadata" / "tissues.parquet", folder / "metadata" / "tissues.parquet")
    for name, key in (("cells.parquet", "cell_id"), ("regions.parquet", "region_id")):
        _join_rows(old / "metadata" / name, folder / "metadata" / name, key=key)
    for path in sorted(old.rglob("*")):
        place = folder / path.relative_to(old)
        if path.is_dir() and not path.is_symlink():
            place.mkdir(parents=True, exist_ok=True)
        elif not os.path.lexists(place) or place.name == "dataset.json":
            place.unlink(missing_ok=True)
            _link(path, place)
    return decisions


def earlier_imports(target: Path) -> list[Any]:
    """Return what a dataset keeps of the imports that made it."""
    path = target / "metadata" / "import.json"
    if not path.is_file():
        return []
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
        path for path in sorted(folder.glob("segmentations/**/*.npz")) if (old / path.relative_to(folder)).exists()
    ]
    made = [path for path in twice if path.parent.name == "tissue_masks" and options.masks is None]
    given = [path for path in twice if path not in made]
    if given:
        raise WriteError(
            f"{old} has masks of {listed([path.stem for path in given])} in {given[0].parent.relative_to(folder)} "
            "already; nothing was added. Leave out the masks."
        )
    for path in made:
        path.unlink()
    if made:
        says = f"Tissue masks that are there were kept: {listed([path.stem for path in made])}."
        decisions.append(Decision(about="masks", says=says))
    return decisions


def _join_panels(old: Path, new: Path) -> None:
    """Join the panels of one modality, which are the same."""
    if not (old / "channels.parquet").is_file():
        return
    names = [_read(path / "channels.parquet").column("channel_name").to_pylist() for path in (old, new)]
    if names[0] != names[1]:
        other = sorted(set(names[0]) ^ set(names[1])) or names[1]
        raise TableError(
            f"The panel of {old} is another than that of the images that were to be added: {listed(other)}. Images of "
            "one modality of a dataset have one panel: give it as panel (--panel), or choose another dataset."
        )
    (new / "channels.parquet").unlink()
    if (old / "channels_per_tissue.parquet").is_file():
        tables = [_read(path / "channels_per_tissue.parquet") for path in (old, new)]
        fresh = [name not in set(tables[0]["tissue_id"].to_pylist()) for name in tables[1]["tissue_id"].to_pylist()]
        write_parquet(
            _stacked([tables[0], tables[1].filter(fresh)], old / "channels_per_tissue.parquet"),
            new / "channels_per_tissue.parquet",
        )


def _join_tissues(old: Path, new: Path) -> None:
    """Join the tables of tissues: what is said of a tissue fills what is not said; what was said first stays."""
    import pyarrow as pa
    import pyarrow.compute as pc

    before, added = _read(old), _in_spelling(_read(new), before_names=_read(old).column_names)
    keys = [list(zip(*(table[name].to_pylist() for name in KEYS), strict=True)) for table in (before, added)]
    place = {tissue: row for row, (tissue, _) in reversed(list(enumerate(keys[0])))}
    exact = {key: row for row, key in enumerate(keys[0])}
    known = before.take(pa.array([exact.get(key, place.get(key[0])) for key in keys[1]], pa.int64()))
    same = pa.array([key in exact for key in keys[1]])
    columns = {name: added[name] for name in added.column_names}
    for name in before.column_names:
        if name not in columns or pa.types.is_null(columns[name].type):
            columns[name] = known[name]
        elif name not in (*KEYS, "dataset") and columns[name].type == known[name].type:
            first, second = pc.coalesce(known[name], columns[name]), pc.coalesce(columns[name], known[name])
            columns[name] = pc.if_else(same, first, second)
    columns |= {name: added[name] for name in (*KEYS, "dataset")}
    rest = before.filter([key not in set(keys[1]) for key in keys[0]])
    write_parquet(_stacked([rest, pa.table(columns)], old), new)


def _join_rows(old: Path, new: Path, *, key: str) -> None:
    """Join two tables of what lies in tissues, of which nothing is in both."""
    if not (old.is_file() and new.is_file()):
        return
    before, added = _read(old), _in_spelling(_read(new), before_names=_read(old).column_names)
    keys = [
        set(zip(*(table[name].to_pylist() for name in ("tissue_id", key)), strict=True)) for table in (before, added)
    ]
    if twice := sorted(keys[0] & keys[1]):
        raise TableError(
            f"{old} has the {old.stem} {listed(twice, most=4)} already; nothing was added. Leave them out."
        )
    write_parquet(_stacked([before, added], old), new)


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
