"""`write_masks`: what a model says of the pixels of whole tissues, as masks of a layer of the lake."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spora_db.arrays import AnyArray, Int32
from spora_db.errors import ArgumentError, QueryError, WriteError
from spora_db.files.failures import PARQUET_FAILURES
from spora_db.files.parquet import write_parquet
from spora_db.files.stores.remote_files import fetch_whole
from spora_db.files.writing import made_folder
from spora_db.images import open_image
from spora_db.layout import layers, locate, mask_folder
from spora_db.maps.assembling import image_of, record_of
from spora_db.masks.label_encoders import class_names, encoder_columns
from spora_db.masks.writing import write_mask
from spora_db.plan import Plan

ENCODER = "label_encoder.parquet"


def write_masks(
    plan: Plan,
    masks: Iterable[AnyArray],
    *,
    kind: str,
    into: str | Path | None = None,
    classes: Sequence[str] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write a mask for every tissue of a plan into a layer of the lake, whole one by one.

    They are masks like all others: the view `masks` lists them, loaders deliver them, `validate` checks them.

    Parameters
    ----------
    plan
        The plan of a query of whole tissues.
    masks
        One for each row, in the order of the plan: whole numbers of shape (H, W), of the image's size; 0 is nothing.
    kind
        ``"instances"``: the numbers of cells; ``"tissue"``; or the name of a task, whose numbers are classes.
    into
        The folder of a layer, made if absent; by default the last layer of the lake.
    classes
        Names of the classes 1, 2, ... of a task.
    overwrite
        Whether masks that are there are replaced; those of other layers of the lake are then no longer seen.

    Returns
    -------
    list of pathlib.Path
        The masks, in the order of the plan.

    Raises
    ------
    QueryError
        If the plan is not one of whole tissues.
    ArgumentError
        If the masks are not those of the plan's tissues: another number, size or type, or numbers without a class.
    WriteError
        If a mask is there already, in whichever layer, the task has other classes, or it cannot be written.

    See Also
    --------
    assemble, load_mask, SporaQuery.with_masks

    Examples
    --------
    >>> from spora_db import SporaQuery, write_masks
    >>> query = SporaQuery("lake").modality("he").tissues(mpp=1.0).limit(1)
    >>> dark = [(sample["image"].mean(dim=0) < 0.5).numpy().astype("int32") for sample in query.to_torch()]
    >>> paths = write_masks(query.plan(), dark, kind="darkness", classes=["dark"], into="mine")
    >>> paths[0].parent.name
    'darkness'
    """
    if plan.unit != "tissue":
        raise QueryError(
            f"write_masks() needs a plan of whole tissues, not of {plan.unit}s: query.tissues(mpp=).plan()."
        )
    of_task = kind not in ("tissue", "instances")
    if of_task != (classes is not None):
        need = "needs the names of its classes" if of_task else "has no classes"
        raise ArgumentError(f"write_masks(kind={kind!r}, classes={classes!r}): a mask of this kind {need}.")
    root = layers(plan.lake)[-1] if into is None else made_folder(into)
    whole = [*layers(plan.lake), root]
    given, made = iter(masks), list[Path]()
    for row, image in enumerate(image_of(plan).tolist()):
        record = record_of(plan, image)
        where = f"tissue {record['tissue_id']!r} of {record['dataset']}"
        mask = next(given, None)
        if mask is None:
            raise ArgumentError(f"write_masks(): there are {row:,} masks for {len(plan):,} tissues.")
        checked = _checked(mask, shape=open_image(plan.image_path(image)).shape[1:], classes=classes, where=where)
        folder = mask_folder(root / record["dataset"], kind, mpp=record["mpp"])
        path = folder / f"{record['tissue_id']}.npz"
        there = locate(whole, path.relative_to(root))
        if there.exists() and not overwrite:
            raise WriteError(f"{there} exists already. Pass overwrite=True to replace it, or choose another kind.")
        if classes is not None:
            _write_encoder(folder / ENCODER, classes, there=locate(whole, (folder / ENCODER).relative_to(root)))
        write_mask(path, [checked], shape=checked.shape, dtype=checked.dtype)
        made.append(path)
    if next(given, None) is not None:
        raise ArgumentError(f"write_masks(): there are more masks than the {len(plan):,} tissues of the plan.")
    return made


def _checked(mask: object, *, shape: Sequence[int], classes: Sequence[str] | None, where: str) -> Int32:
    found = np.asarray(mask)
    if found.shape != tuple(shape) or found.dtype.kind not in "iub":
        raise ArgumentError(
            f"write_masks(): the mask of {where} is {found.dtype} of shape {found.shape}; expected whole numbers of "
            f"shape {tuple(shape)}, as the image has it."
        )
    most = 2**31 - 1 if classes is None else len(classes)
    if found.size and not 0 <= int(found.min()) <= int(found.max()) <= most:
        raise ArgumentError(
            f"write_masks(): the mask of {where} has numbers from {found.min()} to {found.max()}; expected "
            f"0 to {most:,}."
        )
    return np.ascontiguousarray(found, np.int32)


def _write_encoder(path: Path, classes: Sequence[str], *, there: Path) -> None:
    """Write which class a number means; refuse where masks of this task mean others, in whichever layer."""
    own = dict(enumerate(classes, 1))
    if not there.exists():
        write_parquet(pa.table({"name": pa.array(own.values(), pa.string()), "id": pa.array(own, pa.int64())}), path)
        return
    fetch_whole([there])
    try:
        table = pq.ParquetFile(there).read()
    except PARQUET_FAILURES as error:
        raise WriteError(f"{there} cannot be read: {error}. Remove it, with the masks beside it.") from error
    places = encoder_columns(table.column_names)
    known = {} if places is None else class_names(*(table.column(at).to_pylist() for at in places))
    if {number: name for number, name in known.items() if number} != own:
        raise WriteError(
            f"{there} names the classes {list(known.values())}, these masks have {list(classes)}. Choose another kind, "
            "or remove the masks of this one."
        )
