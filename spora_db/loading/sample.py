"""`Sample`: the dict that a dataset yields, which shows its picture in a notebook."""

from typing import Any

from spora_db.loading.movable import Movable


class Sample(Movable):
    """One sample, or one per modality: a dict in every respect, drawn where a notebook shows it.

    A ``DataLoader`` without ``collate_fn`` makes padded batches of samples, also of those inside tuples and dicts. A
    dataset that wraps another adds fields with ``|``: ``{**sample}`` is a plain dict, of which torch makes what it can.

    Examples
    --------
    >>> sample = Sample(tissue_id="a", tile_id=3)
    >>> sample == {"tissue_id": "a", "tile_id": 3}
    True
    >>> type(sample | {"target": 1}).__name__
    'Sample'
    """

    def _repr_png_(self) -> bytes | None:
        from spora_db.drawing.tiles import sample_png
        from spora_db.errors import SporaError

        try:
            return sample_png(self)
        except SporaError:  # a notebook then shows the dict
            return None

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ANN401, FBT001 - IPython's protocol
        printer.text("Sample(...)" if cycle else summary(self))


def summary(sample: Sample) -> str:
    """Return a line that tells what a sample is, in place of its pixels.

    Examples
    --------
    >>> summary(Sample(image=None, modality="imc", dataset="cohort", tissue_id="a", tile_id=3, row=0, col=128))
    'Sample of imc: cohort, tissue a, tile 3, row 0, col 128'
    """
    if "image" not in sample:
        inner = [summary(part) for part in sample.values() if isinstance(part, Sample)]
        return "\n".join(inner) if inner else f"Sample({dict(sample)!r})"
    parts = [str(sample.get("dataset")), f"tissue {sample.get('tissue_id')}"]
    parts += [
        f"{name.removesuffix('_id')} {sample[name]}" for name in ("tile_id", "cell_id") if sample.get(name, -1) >= 0
    ]
    parts += [f"{name} {sample[name]}" for name in ("row", "col") if name in sample]
    shape = getattr(sample["image"], "shape", None)
    size = "" if shape is None else f", {' x '.join(map(str, shape))} {sample['image'].dtype}"
    return f"Sample of {sample.get('modality')}: {', '.join(parts)}{size}"
