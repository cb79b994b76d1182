"""The frozen hand-over from query to loader: arrays and plain values only, no connection, no open file."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from spora_db.arrays import AnyArray, Int32, Int64
from spora_db.errors import counted
from spora_db.files.arrow_arrays import numpy_array
from spora_db.files.processors import usable_cpus
from spora_db.files.python_times import python_values
from spora_db.layout import locate
from spora_db.plan.cell_checks import ListedCells
from spora_db.plan.cell_parts import PlanCells
from spora_db.plan.feature_parts import PlanFeatures
from spora_db.plan.html import html_table
from spora_db.plan.label_parts import PlanLabels
from spora_db.plan.mask_parts import PlanMasks
from spora_db.plan.panels import PlanChannels
from spora_db.selection import StandardizationChoice, Unit, WindowChoice
from spora_db.selection.arguments import row_of, wrong

VERSION = 4
"""Of `Plan.hash`, which locks compare: what it is made of changes with spora-db."""
ROWS_VERSION = 1
"""Of `Plan.rows_hash`, which orders are drawn from: another would reorder every training run."""
ABSENT = -1

_Bytes = bytes | memoryview
_EXACT = 2.0**53  # whole numbers up to here are the same as DOUBLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to load, row by row: the frozen result of a query.

    A row names a place in a tissue and the image of each modality there. Rows take 16 bytes each (one modality); all
    that belongs to an image is kept once. A plan pickles, holds no handle, and has the same two fingerprints on every
    machine, for every copy of the lake: `rows_hash` decides the order of samples, `hash` is what a lock holds.

    Attributes
    ----------
    lake
        The lake's folder.
    unit
        ``"tile"``, ``"tissue"`` or ``"cell"`` (a tile around each cell).
    modalities
        One entry per image of a row, in the order of the query: the modalities that may fill it.
    tile_size
        Height and width of a tile in pixels; 0 for whole tissues.
    images
        Arrow table with one row per image: ``dataset, modality, mpp, tissue_id, path`` (relative to the lake),
        ``measured_count, panel_count`` (channels measured and in the panel; 0 for RGB).
    image
        int32 array of shape (rows, modalities): positions in `images`, -1 where the modality is absent.
    tile_id, row, col
        int32 arrays of shape (rows,): the tile (or the cell's label) and its top-left corner in pixels, which may be
        negative for cells; -1, 0, 0 for whole tissues.
    channels, channel_names, uniprot_ids
        The channels of every image, and the sorted texts that they refer to: of delivered channels only.
    standardization
        The specs and their options.
    columns
        Further columns of the query, row by row.
    labels
        The labels of the rows, if any were asked for.
    masks, cells, features
        The masks, the cells and the features that come with every sample, if asked for.
    windows
        The distances of the windows, where rows are windows over whole tissues.
    rows_hash
        Hexadecimal digest of which rows these are, in their order: unit, tile size, and of every row its tissue,
        images, tile and corner. Order, draws, substitutes and resumption are functions of it; channels, statistics,
        further columns, labels, masks, cells and spora-db's version do not change it.
    hash
        Hexadecimal digest of all the above except the lake's place: the same plan gives the same samples.

    See Also
    --------
    SporaQuery.plan, PlanDataset

    Examples
    --------
    >>> from spora_db import SporaQuery
    >>> plan = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).plan()
    >>> plan.row.dtype, plan.images.column_names[:4]
    (dtype('int32'), ['dataset', 'modality', 'mpp', 'tissue_id'])
    """

    lake: str
    unit: Unit
    modalities: tuple[tuple[str, ...], ...]
    tile_size: int
    images: pa.Table
    image: Int32
    tile_id: Int32
    row: Int32
    col: Int32
    channels: PlanChannels
    channel_names: tuple[str, ...]
    uniprot_ids: tuple[str, ...]
    standardization: StandardizationChoice
    columns: pa.Table
    labels: PlanLabels | None = None
    masks: PlanMasks | None = None
    cells: PlanCells | None = None
    features: PlanFeatures | None = None
    rows_hash: str = field(default="", compare=False)
    hash: str = field(default="", compare=False)
    windows: WindowChoice | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.row)

    def __repr__(self) -> str:
        """Say in a line what is loaded, and the first digits of the hash.

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).plan()
        Plan(... tiles of 128 pixels, imc, ... images, 20 channels, hash ...)
        """
        size = f" of {self.tile_size} pixels" if self.tile_size else ""
        modalities = " with ".join(" or ".join(names) for names in self.modalities)
        labels = "" if self.labels is None else f", label {' and '.join(self.labels.names)}"
        return (
            f"Plan({counted(len(self), self.unit)}{size}, {modalities}, {counted(len(self.images), 'image')}, "
            f"{counted(len(self.channel_names), 'channel')}{labels}, hash {self.hash[:8]})"
        )

    def _repr_html_(self) -> str:
        return html_table("Plan", self.told())

    def told(self) -> list[tuple[str, str]]:
        """Return what is loaded, as pairs of a name and a text: what a notebook shows of a plan, and of a dataset.

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> dict(SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).plan().told())["modality"]
        'imc'
        """
        label, masks = () if self.labels is None else self.labels.names, () if self.masks is None else self.masks.kinds
        specs = self.standardization.specs
        beside = {"label": label, "masks": masks, "columns": self.columns.column_names}
        return [
            ("lake", self.lake),
            ("rows", repr(self)[5:].partition(", ")[0]),
            ("modality", " with ".join(" or ".join(names) for names in self.modalities)),
            ("images, channels", f"{len(self.images):,}, {len(self.channel_names):,}"),
            ("standardize", ", ".join(f"{name}: {spec}" if name else spec for name, spec in specs)),
            *((name, ", ".join(listed)) for name, listed in beside.items() if listed),
            ("rows_hash, hash", f"{self.rows_hash[:8]}, {self.hash[:8]}"),
        ]

    @property
    def nbytes(self) -> int:
        """Bytes of the row index: what grows with the number of rows."""
        return self.image.nbytes + self.tile_id.nbytes + self.row.nbytes + self.col.nbytes

    @property
    def carried(self) -> pa.Table:
        """What rows carry, as the lake has it: the columns of `columns`, then labels of other names."""
        table = self.columns
        for name in () if self.labels is None else self.labels.names:
            if self.labels is not None and name not in table.column_names:
                table = table.append_column(name, self.labels.column(name))
        return table

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """All UniProt accessions of the delivered channels, sorted: the default vocabulary of marker indices."""
        return self.uniprot_ids

    def identity(self, position: int) -> Mapping[str, object]:
        """Return dataset, tissue, tile and corner of the row at `position`, for an error; IndexError where none is.

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> plan = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).plan()
        >>> sorted(plan.identity(0))
        ['col', 'dataset', 'row', 'tile_id', 'tissue_id']
        """
        row = row_of(position, len(self), otherwise=lambda: wrong(position, at="identity(", expected="a row's number"))
        present = next(int(image) for image in self.image[row] if image != ABSENT)
        image = self.images.slice(present, 1).to_pylist()[0]
        place = {name: int(getattr(self, name)[row]) for name in ("tile_id", "row", "col")}
        return {"dataset": image["dataset"], "tissue_id": image["tissue_id"], **place}

    def image_path(self, image: int) -> Path:
        """Return the file of an `image`, by its place in `images`.

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> plan = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).plan()
        >>> plan.image_path(0).name
        'lung_imc_l001_0001.ome.zarr'
        """
        return locate(self.lake, str(self.images.column("path")[image].as_py()))

    def cells_at(self, rows: Int64, record: Mapping[str, Any]) -> ListedCells:
        """Return the cells that are rows, each in the middle of its tile; `record` says whose they are."""
        half = self.tile_size // 2
        row, col = (places[rows].astype(np.float64) + half for places in (self.row, self.col))
        return ListedCells(record=record, cell_id=self.tile_id[rows], row=row, col=col)

    def cells_of(self, image: int, record: Mapping[str, Any]) -> list[ListedCells]:
        """Return all cells of an image: those that are rows, and those that come along with samples."""
        listed = [] if self.cells is None else [self.cells.listed(image, record)]
        if self.unit == "cell":
            listed.append(self.cells_at(np.flatnonzero((self.image == image).any(axis=1)), record))
        return listed

    def hashed(self) -> "Plan":
        """Return this plan with `rows_hash` and `hash` set."""
        rows = json.dumps([ROWS_VERSION, self.unit, self.tile_size, len(self.modalities)]).encode()
        images = [_column_bytes(self.images.column(name)) for name in ("dataset", "modality", "mpp", "tissue_id")]
        identity: list[list[_Bytes]] = [[rows], *images]
        identity += [[_buffer(array)] for array in (self.image, self.tile_id, self.row, self.col)]
        head = {
            "version": VERSION,
            "modalities": self.modalities,
            "channel_names": self.channel_names,
            "uniprot_ids": self.uniprot_ids,
            "standardization": {
                item.name: getattr(self.standardization, item.name) for item in fields(self.standardization)
            },
            "panels": [(panel.first, panel.page.shape, panel.used) for panel in self.channels.panels],
            "columns": self.columns.column_names,
            "masks": None if self.masks is None else self.masks.kinds,
            "cells": None if self.cells is None else (self.cells.names, self.cells.categories),
        }
        if self.windows is not None:
            head["windows"] = [self.windows.stride, self.windows.padding]
        if self.labels is not None:
            head["labels"] = list(zip(self.labels.names, self.labels.classes, strict=True))
        if self.features is not None:
            head["features"] = self.features.names
        parts: list[list[_Bytes]] = [[json.dumps(head, sort_keys=True).encode()]]
        parts += [[_buffer(array) for panel in self.channels.panels for array in panel.arrays]]
        parts += [_column_bytes(self.columns.column(name)) for name in self.columns.column_names]
        parts += [[_buffer(array)] for array in (() if self.labels is None else self.labels.values)]
        parts += [[_buffer(array)] for array in (() if self.features is None else self.features.values)]
        parts += [[_buffer(array)] for array in (() if self.cells is None else self.cells.arrays)]
        with ThreadPoolExecutor(max_workers=usable_cpus()) as pool:  # of millions of rows, it takes as long as a join
            digests = list(pool.map(_digest, [*identity, *parts]))
        rows_hash = _digest(digests[: len(identity)])
        return replace(self, rows_hash=rows_hash.hex(), hash=_digest([rows_hash, *digests[len(identity) :]]).hex())


def _digest(parts: Iterable[_Bytes]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return digest.digest()


def _buffer(array: AnyArray) -> memoryview:
    return np.ascontiguousarray(array).data


def _column_bytes(column: pa.ChunkedArray) -> list[_Bytes]:
    """Return bytes that depend on a column's values only, not on how Arrow holds them.

    Numbers are hashed alike whatever their type: it is one for all cohorts, and another cohort may widen it.
    """
    whole = column.combine_chunks()
    if pa.types.is_string(column.type):
        whole = whole.dictionary_encode()
    if pa.types.is_dictionary(whole.type):
        texts = json.dumps(whole.dictionary.to_pylist(), default=str).encode()
        return [texts, _buffer(numpy_array(whole.indices.cast(pa.int64()), absent=-1))]
    if pa.types.is_boolean(column.type):
        whole = whole.cast(pa.uint8())
    elif not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return [json.dumps(python_values(whole), default=str).encode()]
    return [_buffer(numpy_array(whole.is_valid())), _buffer(_numbers(numpy_array(whole, absent=0)))]


def _numbers(values: AnyArray) -> AnyArray:
    """Return numbers as int64 if they are whole and fit, else as float64 (uint64 where it takes that)."""
    if values.dtype.kind == "f":
        values = values.astype(np.float64)
        whole = np.isfinite(values).all() and (values == np.trunc(values)).all()
        if not whole or (np.abs(values) > _EXACT).any():
            return np.where(np.isnan(values), np.nan, values)
    return values if values.size and values.max() > np.iinfo(np.int64).max else values.astype(np.int64)
