"""Which region the modalities of a sample show together."""

from spora_db.errors import ArgumentError
from spora_db.loading.joining import Fields
from spora_db.transforms.batches import parts_of


def check_one_region(sample: Fields, *, whole: bool) -> tuple[int, int]:
    """Return the height and width that all modalities of a sample show.

    Parameters
    ----------
    sample
        A sample, or one per modality.
    whole
        Whether none may show more, beyond the others' last row or column.

    Raises
    ------
    ArgumentError
        If they begin at different places, lie differently, have different resolutions, or one shows more.
    """
    parts = parts_of(sample)
    begin = {
        name: tuple(part.get(field) for field in ("row", "col", "mpp", "symmetry")) for name, part in parts.items()
    }
    sizes = {name: tuple(part["image"].shape[-2:]) for name, part in parts.items()}
    if len(set(begin.values())) > 1 or (whole and len(set(sizes.values())) > 1):
        told = "; ".join(
            f"{name} {sizes[name][0]} x {sizes[name][1]} pixels from row {row}, col {col} at mpp {mpp}"
            for name, (row, col, mpp, _) in begin.items()
        )
        raise ArgumentError(
            f"The modalities of a sample show different regions, which no transform keeps registered: {told}. Take "
            "tiles instead of tissues, or crop all modalities together first."
        )
    heights, widths = zip(*sizes.values(), strict=True)
    return min(heights), min(widths)
