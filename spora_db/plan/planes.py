"""The planes of a multiplex image: those of the channels measured in its tissue, or of the whole panel."""

from spora_db.errors import TableError


def holds_panel(
    count: int, *, measured: int, panel: int, image: object,
    told_by: tuple[str, str] = ("channels_per_tissue.parquet", "channels.parquet"),
) -> bool:  # fmt: skip
    """Tell whether an image of `count` planes holds the whole panel; otherwise it holds just the measured channels.

    Raises
    ------
    TableError
        If it holds neither; the message names the tables that say so.

    Examples
    --------
    >>> holds_panel(2, measured=2, panel=3, image="a.ome.zarr"), holds_panel(3, measured=2, panel=3, image="a.ome.zarr")
    (False, True)
    """
    if count not in (measured, panel):
        raise wrong_planes(count, measured=measured, panel=panel, image=image, told_by=told_by)
    return count != measured


def wrong_planes(count: int, *, measured: int, panel: int, image: object, told_by: tuple[str, str]) -> TableError:
    """Build the error for an image whose planes are neither."""
    return TableError(
        f"{image} has {count} channels; expected the {measured} measured ones ({told_by[0]}) or all {panel} of the "
        f"panel ({told_by[1]}). Correct the tables, or write the image anew with one of these."
    )
