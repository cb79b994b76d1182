"""What is drawn: a query; or samples as they are, or taken out of a query, a dataset or a collated batch."""

import itertools
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from spora_db.drawing.arguments import wrong_kind
from spora_db.drawing.batch import SampleLike
from spora_db.errors import ArgumentError

if TYPE_CHECKING:
    from spora_db.loading.dataset import PlanDataset
    from spora_db.query import SporaQuery

TILES = "SporaQuery('lake').modality('imc').tiles(size=128, mpp=1.0)"
DRAWN = 12  # samples of a query, unless the caller says how many


def check_query(query: "SporaQuery", *, write: str) -> None:
    """Refuse what is no query; the message ends with the call that works, `write`."""
    from spora_db.query import SporaQuery

    if not isinstance(query, SporaQuery):
        raise wrong_kind(query, expected="a SporaQuery", write=write)


def samples_of(
    source: "SporaQuery | PlanDataset | Mapping[str, Any] | Sequence[SampleLike]", *, count: int | None = None
) -> list[SampleLike]:
    """Return the samples to be drawn.

    Parameters
    ----------
    source
        A query or its dataset, of which rows are taken evenly from the first to the last; a batch that
        ``collate_padded``, ``collate_packed`` or ``collate_panel`` made; or samples.
    count
        How many; by default all of a batch or of samples, and 12 of a query or dataset.

    Raises
    ------
    ArgumentError
        ``count`` is below 1, the mapping is no batch, or the source is nothing that holds samples.

    Examples
    --------
    >>> samples_of([{"image": 1}, {"image": 2}], count=1)
    [{'image': 1}]
    """
    if count is not None and count < 1:
        raise ArgumentError(f"count is {count}; expected at least one sample to draw.")
    if hasattr(source, "to_torch"):
        source = source.to_torch()
    if isinstance(source, Mapping):
        return _of_batch(source)[:count]
    if hasattr(source, "plan"):
        dataset = source
        taken = min(len(dataset), DRAWN if count is None else count)
        rows = np.unique(np.linspace(0, len(dataset) - 1, taken).round().astype(int))
        return [dataset[int(row)] for row in rows]
    iterable = hasattr(source, "__iter__") or hasattr(source, "__getitem__")
    if isinstance(source, str | os.PathLike) or hasattr(source, "collate_fn") or not iterable:
        raise wrong_kind(
            source,
            expected="a query, its dataset, a batch or samples",
            write=f"plot.contact_sheet({TILES}), or plot.contact_sheet(next(iter(loader))) for a loader",
        )
    return list(itertools.islice(source, count))


def _of_batch(batch: Mapping[str, Any]) -> list[SampleLike]:
    """Take a collated batch apart, that of one modality or one per modality."""
    if "image" in batch:
        return _rows(batch)
    places: dict[int, dict[str, Any]] = {}
    for name, part in batch.items():
        if isinstance(part, Mapping) and {"image", "sample_index"} <= set(part):
            for place, sample in zip(part["sample_index"].tolist(), _rows(part), strict=True):
                places.setdefault(place, {})[name] = sample
    if not places:
        raise ArgumentError(
            f"A mapping with keys {sorted(map(str, batch))} is no batch to draw; expected 'image', or one batch per "
            "modality, as collate_padded and collate_packed make them."
        )
    return [places[place] for place in sorted(places)]


def _rows(batch: Mapping[str, Any]) -> list[SampleLike]:
    """Return the samples of one modality's batch, each with the channels that it has."""
    if len(getattr(batch["image"], "shape", ())) == 3 and "cu_seqlens" not in batch:
        return [batch]  # a sample, not a batch
    count = len(batch["tissue_id"])
    samples: list[SampleLike] = []
    for row in range(count):
        sample = {
            name: _value(values[row])
            for name, values in batch.items()
            if name not in ("image", "cu_seqlens", "presence") and _is_per_row(values, count)
        }
        if "cu_seqlens" in batch:
            ends = batch["cu_seqlens"]
            sample["image"] = batch["image"][int(ends[row]) : int(ends[row + 1])]
        else:
            there = batch["presence"][row] if "presence" in batch else slice(None)
            sample["image"] = batch["image"][row][there]
            if all(isinstance(name, str) for name in batch["channel_names"]):  # one panel for all: collate_panel
                kept = zip(batch["channel_names"], np.asarray(there).tolist(), strict=True)
                sample |= {"channel_names": [name for name, has in kept if has], "uniprot_ids": None}
        samples.append(sample)
    return samples


def _value(value: Any) -> Any:  # noqa: ANN401 - of any field
    """Return a number that a batch holds in a tensor as a sample has it."""
    return value.item() if getattr(value, "shape", None) == () else value


def _is_per_row(values: object, count: int) -> bool:
    if isinstance(values, list):
        return len(values) == count
    shape = tuple(getattr(values, "shape", ()))
    return bool(shape) and bool(shape[0] == count)
