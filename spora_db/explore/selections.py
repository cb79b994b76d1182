"""Selections: rows chosen by hand or by a lasso, as code for SporaQuery, and as files where writing is allowed."""

from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spora_db.arrays import Float64, Int64
from spora_db.errors import ArgumentError, unknown
from spora_db.explore.images import ShownImages
from spora_db.explore.limits import LISTED, OUTLINES, SELECTED
from spora_db.explore.opened import ListedImage
from spora_db.explore.points import inside
from spora_db.explore.results import KeptAnswer, floats
from spora_db.explore.thumbs import AROUND
from spora_db.files.writing import atomic_path
from spora_db.layout.names import check_name
from spora_db.query import SporaQuery

SavedForm: TypeAlias = Literal["parquet", "lock"]
IDENTITY: Final = (
    "dataset", "tissue_id", "modality", "mpp", "strategy", "tile_size", "tile_id", "cell_id", "row", "col",
)  # fmt: skip
_SMALL: Final = 24
"""Pixels of the square around a cell."""
_PLACE: Final = ("dataset", "tissue_id", "mpp", "tile_size", "row", "col")
ENDINGS: Final = {"parquet": ".parquet", "lock": ".lock.json"}


def lassoed(images: ShownImages, answer: KeptAnswer, *, key: str, polygon: object) -> Int64:
    """Return which rows of an answer have their middle inside a polygon drawn on an image.

    Parameters
    ----------
    images, answer
        The images, and the answer.
    key
        The image; rows of other tissues are not inside.
    polygon
        Row and column of its corners, in pixels of the image.

    Raises
    ------
    ArgumentError
        It is no polygon, or the answer has no places.
    """
    missing = [name for name in ("dataset", "tissue_id", "row", "col") if name not in answer.table.column_names]
    if missing:
        raise ArgumentError(f"The answer has no column {', '.join(missing)}; a lasso needs the place of every row.")
    table = answer.table
    numbers = on_image(images.listed(key), table, ("dataset", "tissue_id", "modality", "mpp"))
    rows, cols = (floats(table, name)[numbers] for name in ("row", "col"))
    if "tile_size" in table.column_names:
        half = floats(table, "tile_size")[numbers] / 2
        rows, cols = rows + half, cols + half
    found: Int64 = numbers[inside(rows, cols, polygon=polygon)].astype(np.int64)
    return found


def under(images: ShownImages, answer: KeptAnswer, *, key: str, at: Int64) -> Int64:
    """Return the row whose square is under a pixel of an image, of several the one whose middle is nearest; or none.

    Parameters
    ----------
    images, answer, key
        As `lassoed`.
    at
        Row and column of the pixel.
    """
    table = answer.table
    if not {"dataset", "tissue_id", "row", "col"} <= set(table.column_names):
        return np.empty(0, np.int64)
    numbers = on_image(images.listed(key), table, ("dataset", "tissue_id"))
    squares = _squares(images.listed(key), answer.take(numbers, list(_PLACE)))
    away = np.abs(squares[:, :2] + squares[:, 2:] / 2 - at).max(axis=1, initial=0.0)
    found = np.flatnonzero(away <= squares[:, 2] / 2)
    return numbers[found[np.argsort(away[found], kind="stable")[:1]]]


def marks(images: ShownImages, answer: KeptAnswer, numbers: Int64, *, key: str) -> list[list[float]]:
    """Return where rows lie in an image: row, column and side of a square in its pixels, at most `OUTLINES`.

    Rows of its tissue do, of any modality and resolution; of a row without a size the square is small, around it. Rows
    without a place lie nowhere.
    """
    listed = images.listed(key)
    rows = answer.take(numbers, list(_PLACE))
    if not {"dataset", "tissue_id", "row", "col"} <= set(rows.column_names):
        return []
    found = _squares(listed, rows.take(on_image(listed, rows, ("dataset", "tissue_id"))))
    placed: list[list[float]] = found[np.isfinite(found).all(axis=1)][:OUTLINES].tolist()
    return placed


def _squares(listed: ListedImage, rows: pa.Table) -> Float64:
    """Return the square of each row in the pixels of an image: row, column and side, an array of shape (rows, 3)."""
    unknown = np.full(len(rows), np.nan)
    given = {name: floats(rows, name) if name in rows.column_names else unknown for name in _PLACE[2:]}
    size = given["tile_size"]
    half = np.where(np.isnan(size), _SMALL / 2, 0.0)
    corners = [given["row"] - half, given["col"] - half, np.where(np.isnan(size), _SMALL, size)]
    scale = np.where(np.isnan(given["mpp"]), 1.0, given["mpp"] / listed.mpp)
    return np.stack(corners, axis=1) * scale[:, None]


def few(numbers: Int64) -> Int64:
    """Return rows that are selected one by one, if they are not too many.

    Raises
    ------
    ArgumentError
        They are.
    """
    if len(numbers) > SELECTED:
        raise ArgumentError(f"{len(numbers):,} rows are selected one by one; expected at most {SELECTED:,}. Use SQL.")
    return numbers


def selected(answer: KeptAnswer, numbers: Int64 | None) -> pa.Table:
    """Return the columns of selected rows, or of all, that say what they are.

    Raises
    ------
    ArgumentError
        The rows are nothing that a SporaQuery can ask for, or too many were selected one by one.
    """
    names = set(answer.table.column_names)
    if not {"dataset", "tissue_id"} <= names:
        raise ArgumentError("The answer has no columns dataset and tissue_id: a SporaQuery cannot ask for its rows.")
    wanted = np.arange(answer.rows) if numbers is None else few(numbers)
    rows = answer.take(wanted, list(IDENTITY))
    if _unit(rows) != "cell":
        return rows
    for name in ("row", "col"):  # of the middle of a cell; a query has the corner of what is around it
        corner = pc.subtract(pc.floor(pc.add(rows[name].cast(pa.float64()), 0.5)), AROUND // 2).cast(pa.int64())
        rows = rows.set_column(rows.column_names.index(name), name, corner)
    return rows


def code_of(lake: Path, sql: str, answer: KeptAnswer, numbers: Int64 | None, *, near: str = "") -> str:
    """Return Python that makes the query of a selection: from its SQL, or from the rows that were selected.

    Parameters
    ----------
    lake, sql, answer, numbers
        The lake, the query, its answer, and which rows of it.
    near
        A last verb, where the answer is that of the SQL and of this verb.

    Raises
    ------
    ArgumentError
        As `selected`; or there are too many rows to write out.
    """
    rows = selected(answer, numbers)
    verbs = _verbs(rows)
    if numbers is None and (".join(" in near or _unit(rows) != "cell"):
        return f"from spora_db import SporaQuery\n\nquery = SporaQuery.from_sql({str(lake)!r}, {sql!r}){verbs}{near}\n"
    if len(rows) > LISTED:
        raise ArgumentError(f"{len(rows):,} rows are too many to write out; expected {LISTED}. Save them as parquet.")
    columns = "".join(f"    {name!r}: {rows[name].to_pylist()!r},\n" for name in rows.column_names)
    return (
        f"import pyarrow as pa\n\nfrom spora_db import SporaQuery\n\nrows = pa.table({{\n{columns}}})\n"
        f"query = SporaQuery.from_arrow({str(lake)!r}, rows){verbs}\n"
    )


def save(
    lake: Path, folder: Path | None, answer: KeptAnswer, numbers: Int64 | None, *, name: str, form: SavedForm
) -> Path:
    """Write selected rows into the folder that may be written to.

    Parameters
    ----------
    lake, folder
        The lake; and the folder of --write, None where nothing may be written.
    answer, numbers
        The rows.
    name
        Of the file, without its ending.
    form
        A table of the rows, or the lock of their query.

    Raises
    ------
    ArgumentError
        Writing is not allowed, the name leaves the folder, or there is such a file already.
    """
    if folder is None:
        raise ArgumentError("This page only reads. Start it with --write DIR to save selections into that folder.")
    if form not in get_args(SavedForm):
        raise unknown("form", form, get_args(SavedForm))
    path = folder / f"{check_name(name, kind='name')}{ENDINGS[form]}"
    if path.exists() or path.is_symlink():
        raise ArgumentError(f"{path.name} is there already. Choose another name.")
    rows = selected(answer, numbers)
    if form == "lock":
        return query_of(lake, rows).lock(path)
    with atomic_path(path) as partial:
        pq.write_table(rows, partial)
    return path


def query_of(lake: Path, rows: pa.Table) -> SporaQuery:
    """Return the query for rows, as `code_of` writes it."""
    query = SporaQuery.from_arrow(lake, rows)
    for verb, values, named in _calls(rows):
        query = getattr(query, verb)(*values, **named)
    return query


def on_image(listed: ListedImage, rows: pa.Table, names: tuple[str, ...]) -> Int64:
    """Return which rows are those of an image by some columns; one that rows lack tells nothing."""
    own = np.ones(len(rows), np.bool_)
    for name in (name for name in names if name in rows.column_names):
        if name == "mpp":
            own &= floats(rows, name) == listed.mpp
        else:
            same = pc.equal(rows[name].cast(pa.string()), getattr(listed, name))
            own &= pc.fill_null(same, fill_value=False).to_numpy()
    return np.flatnonzero(own).astype(np.int64)


def _unit(rows: pa.Table) -> Literal["tile", "cell", "tissue"]:
    """Return what each row is."""
    names = set(rows.column_names)
    if {"tile_id", "row", "col"} <= names:
        return "tile"
    return "cell" if {"cell_id", "row", "col"} <= names else "tissue"


def _calls(rows: pa.Table) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """Return the verbs that rows need, with their arguments: what each row is, where it does not say so itself."""
    unit = _unit(rows)
    there = [name for name in ("modality", "mpp") if name in rows.column_names]
    only = {name: rows[name].drop_null().unique().to_pylist() for name in there}
    names = sorted(only.get("modality", ()))
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
    if len(names) > (unit == "tile"):  # rows of either are asked for with a tuple
        calls.append(("modality", (names[0] if len(names) == 1 else tuple(names),), {}))
    given = {"mpp": only["mpp"][0]} if len(only.get("mpp", ())) == 1 else {}
    if unit == "cell":
        calls.append(("cells", (), {"size": AROUND, **given}))
    elif unit == "tissue":
        calls.append(("tissues", (), given))
    return calls


def _verbs(rows: pa.Table) -> str:
    texts = []
    for verb, values, named in _calls(rows):
        arguments = [*map(repr, values), *(f"{name}={value!r}" for name, value in named.items())]
        texts.append(f".{verb}({', '.join(arguments)})")
    return "".join(texts)
