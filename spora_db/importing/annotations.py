"""The table of regions of an import: files of annotations joined to tissues by name, their polygons to its pixels."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from spora_db.arrays import Objects
from spora_db.errors import TableError, counted
from spora_db.importing.decisions import Decision, listed
from spora_db.importing.fields import Field
from spora_db.importing.file_facts import FileFacts, file_facts
from spora_db.importing.geojson import read_geojson
from spora_db.importing.imagej_rois import read_rois
from spora_db.importing.options import ImportOptions
from spora_db.importing.outlines import Outline, Outlines
from spora_db.importing.resolution import source_resolution
from spora_db.importing.tissue_ids import TissueName, join_values
from spora_db.regions.polygons import geometry, polygonal, polygons_of, valid

if TYPE_CHECKING:
    import pyarrow as pa

READERS: Final = {
    **dict.fromkeys((".geojson", ".geojson.gz", ".json", ".json.gz"), read_geojson),
    **dict.fromkeys((".zip", ".roi"), read_rois),
}
"""How files of annotations are read, by the ends of their names."""
_ENDING: Final = re.compile(r"[-_. ]*(?:roi[-_ ]?sets?|rois?|annotations?|regions?)$", re.IGNORECASE)
"""What names of such files end with, beside the name of the image."""


def region_table(
    options: ImportOptions, fields: Sequence[Field], names: Sequence[TissueName]
) -> tuple["pa.Table | None", list[Decision]]:
    """Return regions.parquet for the imported tissues, and what was decided; nothing where no annotations were given.

    Raises
    ------
    TableError
        No file is of any of the images, or a tissue has several.
    FileFormatError
        A file is broken.
    MissingExtraError
        shapely or roifile is not installed.
    """
    import pyarrow as pa

    if options.annotations is None:
        return None, []
    files, decisions = _files(options.annotations, names)
    left_out, sayings, faults = Counter[str](), dict[str, None](), Counter[str]()
    columns: dict[str, list[object]] = {name: [] for name in ("tissue_id", "region_id", "name", "class", "color")}
    shapes: list[object] = []
    for field in fields:
        if field.tissue_id not in files:
            continue
        found = _read(files[field.tissue_id])
        left_out.update(found.left_out)
        sayings[found.says] = None
        kept = _scaled(found.regions, _factor(options, field), faults, height=field.height, width=field.width)
        shapes += kept.values()
        for number, outline in _numbered(found.regions):
            if number not in kept:
                continue
            values = (field.tissue_id, number, outline.name, outline.region_class, outline.color)
            for name, value in zip(columns, values, strict=True):
                columns[name].append(value)
    table = pa.table(
        {
            **{name: pa.array(values, pa.string()) for name, values in columns.items()},
            "mpp": pa.array([options.mpp] * len(shapes), pa.float64()),
            "polygon": polygons_of(np.array(shapes, object)),
        }
    )
    decisions += _told(options, fields, table, left_out, faults)
    decisions += [Decision(about="regions", says=says) for says in sayings if says]
    return table, decisions


def _files(path: Path, names: Sequence[TissueName]) -> tuple[dict[str, Path], list[Decision]]:
    """Return the file of each tissue that has one."""
    found = list(_below(path)) if path.is_dir() else [path]
    if not found or any(_suffix(file) is None for file in found):
        raise TableError(
            f"There are no annotations in {path}. Expected GeoJSON as QuPath exports it, or ROIs of ImageJ "
            f"({', '.join(READERS)}), called as the images."
        )
    if found == [path] and not path.is_dir() and len(names) == 1:
        says = f"All regions of {path.name} are of the only image, {names[0].tissue_id!r}."
        return {names[0].tissue_id: path}, [Decision(about="regions", says=says)]
    root = path if path.is_dir() else path.parent
    exact = {name.tissue_id for name in names}
    values = {_stem(file, root, exact): file for file in found}
    if len(values) < len(found):
        raise TableError(f"{path} has several files of one image: {listed([file.name for file in found])}. Keep one.")
    join = join_values(list(values), names, what=f"{'The folder ' if path.is_dir() else ''}{path}")
    files = {tissue: values[value] for value, tissue in join.tissues.items()}
    if not files:
        raise TableError(
            f"{path} has annotations of none of the images: they are called {listed([file.name for file in found])}, "
            f"the images {listed([name.tissue_id for name in names])}. Name the files as the images."
        )
    left = [file.name for value, file in values.items() if value not in join.tissues]
    absent = [name.tissue_id for name in names if name.tissue_id not in files]
    odd = {values[v].name: tissue for v, tissue in join.tissues.items() if join.levels[v] != "id"}
    pairs = "; ".join(f"{name} is {tissue!r}" for name, tissue in list(odd.items())[:6])
    says = f"{counted(len(files), 'file')} of {path.name} joined by name{f' ({pairs})' if odd else ''}."
    says += f" Left out, without an image here: {listed(left)}." if left else ""
    says += f" Without annotations: {listed(absent)}." if absent else ""
    return files, [Decision(about="regions", says=says)]


def _below(folder: Path) -> Iterator[Path]:
    """Yield the files of annotations below a folder."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith(".") and _suffix(path) is not None:
            yield path


def _suffix(path: Path) -> str | None:
    return next((suffix for suffix in READERS if path.name.lower().endswith(suffix)), None)


def _stem(path: Path, root: Path, exact: set[str]) -> str:
    """Return what a file says of its image, with the folders that lie between."""
    name = path.name[: -len(_suffix(path) or "")]
    bare = name if name in exact else _ENDING.sub("", name) or name
    return path.relative_to(root).with_name(bare).as_posix()


def _read(path: Path) -> Outlines:
    return READERS[_suffix(path) or ""](path)


def _numbered(regions: Sequence[Outline]) -> list[tuple[str, Outline]]:
    """Return regions with the ids that the file gives them, or, where these do not tell all apart, numbers from 1."""
    ids = [region.region_id for region in regions]
    told_apart = None not in ids and len(set(ids)) == len(ids)
    return [(region.region_id or "" if told_apart else str(at), region) for at, region in enumerate(regions, start=1)]


def _factor(options: ImportOptions, field: Field) -> float:
    """Return how many pixels of the dataset a pixel of the file is."""
    if options.source_mpp is None:
        return 1.0
    fact = FileFacts() if field.file is None else file_facts(field.file)
    return source_resolution(field, fact, source_mpp=options.source_mpp) / options.mpp


def _scaled(
    regions: Sequence[Outline], factor: float, faults: Counter[str], *, height: int, width: int
) -> dict[str, object]:
    """Return the polygons of each region in pixels of the dataset, by its id; those without area are left out."""
    shapely = geometry()
    numbered = _numbered(regions)
    given: Objects = np.array([region.shape for _, region in numbered], object)
    mended = valid(given)
    kept: dict[str, object] = {}
    for (number, outline), whole in zip(numbered, mended, strict=True):
        shape = polygonal(shapely.transform(whole, lambda points: points * factor))
        left, top, right, bottom = shape.bounds if not shape.is_empty else (0, 0, 0, 0)
        if shape.area == 0:
            faults["flat"] += 1
            continue
        faults["crossing"] += whole is not outline.shape
        faults["outside"] += bool(right <= 0 or bottom <= 0 or left >= width or top >= height)
        kept[number] = shape
    return kept


def _told(
    options: ImportOptions,
    fields: Sequence[Field],
    table: "pa.Table",
    left_out: Mapping[str, int],
    faults: Counter[str],
) -> list[Decision]:
    """Say what was taken and what was left out."""
    classes = Counter(table.column("class").to_pylist())
    named = ", ".join(f"{number:,} {name or 'without a class'}" for name, number in classes.most_common(12))
    scale = sorted({f"{_factor(options, field):g}" for field in fields})
    how = "as they are" if scale == ["1"] else f"times {', '.join(scale)}"
    says = (
        f"{counted(len(table), 'region')}{f': {named}' if named else ''}. Their coordinates were taken for pixels of "
        f"the full resolution of the files, {how}: pixels at {options.mpp:g} microns."
    )
    decisions = [Decision(about="regions", says=says, details={"classes": {str(k): v for k, v in classes.items()}})]
    if left_out:
        parts = ", ".join(f"{number:,} {kind}" for kind, number in left_out.items())
        decisions.append(Decision(about="regions", says=f"Left out, as no polygons of annotations: {parts}."))
    if faults["flat"]:
        says = f"Left out, without area: {counted(faults['flat'], 'region')}."
        decisions.append(Decision(about="regions", says=says))
    if faults["crossing"]:
        says = f"Outlines that cross themselves were taken for all that they go around: {faults['crossing']:,}."
        decisions.append(Decision(about="regions", says=says))
    if faults["outside"]:
        says = (
            f"{counted(faults['outside'], 'region')} of {len(table):,} outside of the image altogether. Expected "
            "coordinates in pixels of the full resolution of each file, row 0 at the top; export them so."
        )
        decisions.append(Decision(about="regions", says=says, warning=True))
    return decisions
