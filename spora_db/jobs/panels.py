"""The panel of a modality and what each tissue measured of it, from the catalog; plain values that workers can take."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from spora_db.catalog import Catalog
from spora_db.errors import TableError
from spora_db.layout import LakePath
from spora_db.plan.planes import holds_panel

MEASURED = """
    SELECT tissue_id, channel_name, uniprot_id, measured FROM tissue_channels
    WHERE dataset = $dataset AND modality = $modality ORDER BY tissue_id, channel_index
"""
CHANNELS = """
    SELECT channel_name, uniprot_id FROM channels
    WHERE dataset = $dataset AND modality = $modality ORDER BY channel_index
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """The channels of a modality in a dataset.

    Attributes
    ----------
    names, uniprot_ids
        The C channels, in panel order.
    measured
        By tissue, the positions of its channels in the panel, ascending.
    """

    names: tuple[str, ...]
    uniprot_ids: tuple[str | None, ...]
    measured: Mapping[str, tuple[int, ...]]

    def pages(self, tissue_id: str, *, count: int, image: Path) -> dict[str, int]:
        """Return the page of each measured channel, in an image of ``count`` pages.

        Raises
        ------
        TableError
            The tissue has no row, or the image holds neither the measured channels nor the whole panel.
        """
        positions = self.measured.get(tissue_id)
        if positions is None:
            raise TableError(
                f"Tissue {tissue_id!r} has the image {image}, but no row in channels_per_tissue.parquet of its "
                "modality. Add the row, or remove the image."
            )
        return pages_of(
            tuple(self.names[i] for i in positions), positions, panel=len(self.names), count=count, image=image
        )


def pages_of(
    names: tuple[str, ...], positions: tuple[int, ...], *, panel: int, count: int, image: Path
) -> dict[str, int]:
    """Return the page of each measured channel: images hold the measured channels, or the whole panel.

    Examples
    --------
    >>> pages_of(("CD3e", "DNA"), (0, 2), panel=3, count=2, image=Path("a.ome.zarr"))
    {'CD3e': 0, 'DNA': 1}
    >>> pages_of(("CD3e", "DNA"), (0, 2), panel=3, count=3, image=Path("a.ome.zarr"))
    {'CD3e': 0, 'DNA': 2}
    """
    whole = holds_panel(count, measured=len(positions), panel=panel, image=image)
    return dict(zip(names, positions if whole else range(len(positions)), strict=True))


def read_panel(lake: LakePath, *, dataset: str, modality: str) -> Panel:
    """Read the panel of a modality in a dataset.

    Raises
    ------
    TableError
        There is no panel, or its two tables contradict each other.
    FileFormatError
        One of them is broken.
    """
    values = {"dataset": dataset, "modality": modality}
    with Catalog(lake) as catalog:
        catalog.check_channels(modality)
        channels = catalog._run(CHANNELS, values).fetchall()
        rows = catalog._run(MEASURED, values).fetchall()
    names = tuple(str(row[0]) for row in channels)
    if not names:
        raise TableError(
            f"Dataset {dataset!r} has no panel for {modality}: expected {dataset}/{modality}/channels.parquet and "
            "channels_per_tissue.parquet."
        )
    place = {name: position for position, name in enumerate(names)}
    measured: dict[str, list[int]] = {}
    for tissue, name, _, is_measured in rows:
        found = measured.setdefault(str(tissue), [])
        if is_measured:
            found.append(place[name])
    ids = tuple(row[1] if row[1] is None else str(row[1]) for row in channels)
    return Panel(names=names, uniprot_ids=ids, measured={tissue: tuple(sorted(p)) for tissue, p in measured.items()})
