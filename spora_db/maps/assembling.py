"""`assemble`: from what a model says of windows to a map of every tissue, written into a layer of the lake."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from spora_db.arrays import Float32
from spora_db.errors import ArgumentError, QueryError, WriteError, unknown
from spora_db.files.writing import made_folder
from spora_db.images import open_image
from spora_db.layout import layers, locate
from spora_db.maps.grid import Weighting, WindowGrid
from spora_db.maps.outputs import checked_outputs
from spora_db.maps.stitching import Stitcher
from spora_db.maps.writing import check_panel, checked_channels, map_modality, map_path, panel_path, write_map
from spora_db.plan import Plan
from spora_db.plan.plan import ABSENT
from spora_db.selection.arguments import own_number, wrong

MapType = Literal["float32", "float16"]


def assemble(
    plan: Plan,
    outputs: Iterable[Any],
    *,
    name: str,
    into: str | Path | None = None,
    weighting: Weighting = "area",
    pitch: float | None = None,
    channel_names: Sequence[str] | None = None,
    dtype: MapType = "float32",
    overwrite: bool = False,
) -> list[Path]:
    """Stitch what a model says of windows into a map of every tissue, written as an image of a layer of the lake.

    A pixel of a map is the mean of what is said of the places that it shares area with, weighted by these areas; sums
    are float64. What lies beyond the image counts for nothing. Maps are written one by one, each whole or not at all,
    as images of the modality ``map_<name>``: ``SporaQuery(lake).modality("map_tumour")`` reads them.

    Parameters
    ----------
    plan
        The plan of a query of windows (`SporaQuery.windows`).
    outputs
        Batches of outputs in the order of the plan: arrays or tensors of shape (n, D), one vector per window, or
        (n, D, h, h), one for each of the h x h tokens that a window is cut into.
    name
        The name of the map.
    into
        The folder of a layer, made if absent; by default the last layer of the lake.
    weighting
        ``"area"``: a window counts wherever it lies. ``"centre"``: every pixel counts in the window whose middle is
        nearest, that is in its middle square of a stride; at the edges of the image, all that is left.
    pitch
        Pixels of the image that a pixel of the map is high and wide: the map's resolution is ``pitch * mpp``. By
        default the stride for vectors, and the size of a token for tokens.
    channel_names
        Names of the D channels; by default ``"0"``, ``"1"``, ...
    dtype
        The type of the maps.
    overwrite
        Whether maps that are there are replaced; those of other layers of the lake are then no longer seen.

    Returns
    -------
    list of pathlib.Path
        The maps, in the order of the plan.

    Raises
    ------
    QueryError
        If the plan is not one of windows.
    ArgumentError
        If the outputs are not those of the plan's windows: another number or shape, NaN.
    WriteError
        If a map is there already, in whichever layer, maps of this name have other channels, or it cannot be written.

    See Also
    --------
    SporaQuery.assemble, SporaQuery.windows, cell_vectors

    Examples
    --------
    >>> import numpy as np
    >>> from spora_db import SporaQuery, assemble
    >>> plan = SporaQuery("lake").modality("imc").windows(size=128, stride=64).plan()
    >>> maps = assemble(plan, (np.full((1, 1), row) for row in plan.row), name="row", into="mine")
    >>> len(maps) == len(plan.images), maps[0].parent.parent.name
    (True, '64_0mpp')
    """
    if plan.windows is None:
        raise QueryError("assemble() needs a plan of windows, such as query.windows(size=224, stride=112).plan().")
    if weighting not in get_args(Weighting):
        raise unknown("choice of weighting=", weighting, get_args(Weighting))
    if dtype not in get_args(MapType):
        raise unknown("choice of dtype=", dtype, get_args(MapType))
    if pitch is not None and (own_number(pitch) or 0) <= 0:
        raise wrong(pitch, at="assemble(pitch=", expected="pixels of the image, a number above zero")
    modality = map_modality(name)
    root = layers(plan.lake)[-1] if into is None else made_folder(into)
    whole = [*layers(plan.lake), root]
    made: list[Path] = []
    stitcher: Stitcher | None = None
    path, names, mpp = Path(), tuple[str, ...](), 0.0
    image = -1
    images = image_of(plan)
    for position, tokens in _tokens(plan, outputs):
        if images[position] != image:
            if stitcher is not None:
                made.append(write_map(path, stitcher.whole(), mpp=mpp, channel_names=names, overwrite=overwrite))
            else:
                names = checked_channels(channel_names, tokens.shape[-1])
                step = float(pitch or (plan.windows.stride if tokens.shape[0] == 1 else plan.tile_size / len(tokens)))
                _check_free(plan, whole, modality=modality, pitch=step, channel_names=names, overwrite=overwrite)
            image = int(images[position])
            record = record_of(plan, image)
            mpp = round(record["mpp"] * step, 6)
            path = map_path(root, record["dataset"], record["tissue_id"], modality=modality, mpp=mpp)
            _, height, width = open_image(plan.image_path(image)).shape
            stitcher = Stitcher(
                WindowGrid(height=height, width=width, size=plan.tile_size, windows=plan.windows),
                depth=tokens.shape[-1], pitch=step, weighting=weighting, dtype=np.dtype(dtype), folder=root,
            )  # fmt: skip
        assert stitcher is not None
        stitcher.add(tokens, row=int(plan.row[position]), col=int(plan.col[position]))
    if stitcher is not None:
        made.append(write_map(path, stitcher.whole(), mpp=mpp, channel_names=names, overwrite=overwrite))
    return made


def _tokens(plan: Plan, outputs: Iterable[Any]) -> Iterator[tuple[int, Float32]]:
    """Yield the number of each row with its tokens, (h, w, D)."""
    first, before = 0, None
    for given in outputs:
        batch = checked_outputs(given, plan=plan, first=first, before=before)
        before = batch.shape[1:]
        yield from enumerate(batch, first)
        first += len(batch)
    if first < len(plan):
        raise ArgumentError(
            f"The model returned outputs for {first:,} windows; the query has {len(plan):,}. "
            "Return one for every window of a batch, in its order; maps that are whole were written."
        )


def image_of(plan: Plan) -> "np.ndarray[Any, np.dtype[np.int32]]":
    """Return the image that tells the size of each row's tissue: the first that is there."""
    there = (plan.image != ABSENT).argmax(axis=1)
    found: np.ndarray[Any, np.dtype[np.int32]] = plan.image[np.arange(len(plan)), there]
    return found


def record_of(plan: Plan, image: int) -> dict[str, Any]:
    """Return what says of which tissue an image is, and its resolution."""
    return {name: plan.images.column(name)[image].as_py() for name in ("dataset", "tissue_id", "mpp")}


def _check_free(
    plan: Plan, whole: Sequence[Path], *, modality: str, pitch: float, channel_names: Sequence[str], overwrite: bool
) -> None:
    """Refuse maps that are there, and names of other channels, in any layer, before a model has run for hours."""
    for image in np.unique(image_of(plan)).tolist():
        record = record_of(plan, image)
        mpp = round(record["mpp"] * pitch, 6)
        path = map_path(whole[-1], record["dataset"], record["tissue_id"], modality=modality, mpp=mpp)
        there = locate(whole, path.relative_to(whole[-1]))
        if there.exists() and not overwrite:
            raise WriteError(
                f"{there} exists already. Pass overwrite=True to replace it, or choose another name for the map."
            )
        check_panel(locate(whole, panel_path(path).relative_to(whole[-1])), channel_names)
