"""The channels that images offer: measured in their tissue and taken by the selection, whatever statistics say.

Texts stay in the panels, which are small; per tissue and channel only numbers leave DuckDB.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from spora_db.arrays import Bools, Int32, Int64
from spora_db.catalog import Catalog
from spora_db.layout.names import RGB_CHANNELS, is_rgb
from spora_db.plan.pages import measured_panels
from spora_db.plan.panels import PlanPanel
from spora_db.selection import Selection
from spora_db.selection.channels import panel_select
from spora_db.selection.markers import find_markers


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """The channels that images offer.

    Attributes
    ----------
    panels
        By modality, the panels of its images, in their order; their codes stand for the texts below.
    names, accessions
        Names and UniProt accessions of all panels of the lake, sorted.
    counts
        int64 array of shape (images, 2): channels measured and channels in the panel; 0 for RGB.
    """

    panels: dict[str, list[PlanPanel]]
    names: tuple[str, ...]
    accessions: tuple[str, ...]
    counts: Int64


def offered_channels(selection: Selection, images: pa.Table, catalog: Catalog) -> Offered:
    """Return the channels of images that are registered as ``plan_images``.

    Raises
    ------
    TableError
        If a tissue has no channels, or the tables that name channels contradict each other.
    """
    table = catalog._run(panel_select(selection.channels)).to_arrow_table()
    dataset, modality, name, accession = (
        table.column(column).to_pylist() for column in ("dataset", "modality", "channel_name", "uniprot_id")
    )
    starts = {key: place for place, key in reversed(list(enumerate(zip(dataset, modality, strict=True))))}
    # All panels of the lake, one after the other; brightfield images share one of three colours at the end.
    names, name_codes = _codes([*name, *RGB_CHANNELS])
    accessions, accession_codes = _codes([*accession, *(None for _ in RGB_CHANNELS)])
    chosen = np.array([*table.column("chosen").to_pylist(), *(True for _ in RGB_CHANNELS)], np.bool_)
    chosen[: len(table)] &= _named(table, selection, catalog)
    for multiplex in selection.multiplex_names:
        catalog.check_channels(multiplex)
    panels: dict[str, list[PlanPanel]] = {name: [] for name in selection.modality_names}
    counts = np.zeros((len(images), 2), np.int64)
    for measured in measured_panels(images, catalog):
        first, rgb = measured.first, is_rgb(measured.modality)
        places = (len(table) if rgb else starts[measured.dataset, measured.modality]) + measured.channel_index
        panel = PlanPanel(
            first=first,
            channel_index=measured.channel_index.astype(np.int32),
            name=name_codes[places],
            uniprot=accession_codes[places],
            page=measured.pages(chosen[places]),
        )
        panels[measured.modality].append(panel.narrowed(panel.delivered))
        if not rgb:
            counts[first : first + len(panel), 0] = measured.measured.sum(axis=1)
            counts[first : first + len(panel), 1] = len(measured.channel_index)
    return Offered(panels=panels, names=names, accessions=accessions, counts=counts)


def _named(table: pa.Table, selection: Selection, catalog: Catalog) -> Bools:
    """Tell of every channel of all panels whether `names` and `exclude` leave it in."""
    choice = selection.channels
    if not (choice.names or choice.exclude) or not selection.multiplex_names:
        return np.ones(len(table), np.bool_)
    markers = find_markers(choice, selection.multiplex_names, catalog)
    wanted = markers.chosen(choice.names) if choice.names else frozenset(markers.channels)
    places = {(c.dataset, c.modality, c.channel_index) for c in wanted - markers.chosen(choice.exclude)}
    keys = zip(*(table.column(name).to_pylist() for name in ("dataset", "modality", "channel_index")), strict=True)
    return np.array([key in places for key in keys], np.bool_)


def _codes(texts: Sequence[str | None]) -> tuple[tuple[str, ...], Int32]:
    distinct = tuple(sorted({text for text in texts if text is not None}))
    numbers = {text: number for number, text in enumerate(distinct)}
    return distinct, np.array([-1 if text is None else numbers[text] for text in texts], np.int32)
