"""The channels of a plan: which planes every image delivers, and the statistics that standardize them.

Texts stay in the panels, which are small; per tissue and channel only numbers leave DuckDB.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spora_db.catalog import Catalog
from spora_db.channels import RGB_CHANNELS, is_rgb, panel_select
from spora_db.errors import TableError
from spora_db.guard.dialect import DIALECT
from spora_db.plan.pages import panel_pages
from spora_db.plan.plan import Int32, Int64, PlanChannels
from spora_db.plan.statistics import Flags, Found, find_statistics, missing_statistics
from spora_db.query.markers import find_markers
from spora_db.selection import Selection, StandardizationChoice


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenChannels:
    """The channels of all images of a plan, and the texts that their codes stand for.

    Attributes
    ----------
    channels
        The plan's arrays.
    names, accessions
        Channel names and UniProt accessions, sorted.
    counts
        int64 array of shape (images, 2): channels measured and channels in the panel; 0 for RGB.
    """

    channels: PlanChannels
    names: tuple[str, ...]
    accessions: tuple[str, ...]
    counts: Int64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entries:
    """One entry per image and delivered channel: image number, position in the panel, page, place in `_Panels`."""

    image: Int32
    index: Int32
    page: Int32
    place: Int32

    def take(self, positions: npt.NDArray[np.intp]) -> "_Entries":
        return _Entries(
            image=self.image[positions],
            index=self.index[positions],
            page=self.page[positions],
            place=self.place[positions],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panels:
    """All panels, one after the other; brightfield images share one of three colours at the end."""

    start: dict[tuple[str, str], int]
    name: Int32
    uniprot: Int32
    chosen: Flags
    names: tuple[str, ...]
    accessions: tuple[str, ...]


def choose_channels(selection: Selection, images: pa.Table, catalog: Catalog) -> ChosenChannels:
    """Return the channels that every image of a plan delivers.

    Parameters
    ----------
    selection
        The resolved selection.
    images
        The plan's images: ``dataset, modality, mpp, tissue_id`` and their number, ``image``.
    catalog
        The lake.

    Raises
    ------
    TableError
        If a tissue has no channels, or the tables that name channels contradict each other.
    StatisticsNotFoundError
        If a spec's tables are absent or do not know a tissue or channel.
    """
    modality = np.array(images.column("modality").to_pylist(), np.str_)
    panels = _panels(selection, catalog)
    with catalog.registered("plan_images", images):
        entries, counts = _entries(images, panels, selection, catalog)
        statistics = np.full((4, len(entries.image)), np.nan, np.float32)
        keep, known = np.ones((2, len(entries.image)), np.bool_)
        for name in selection.modality_names:
            spec = selection.standardization.parsed(name)
            if spec.needs_statistics:
                own = np.flatnonzero(modality[entries.image] == name)
                part, choice = entries.take(own), selection.standardization
                found = find_statistics(part.image, part.index, modality=name, choice=choice, catalog=catalog)
                statistics[:, own] = found.values
                if choice.missing_statistics != "defer":
                    _check_complete(found, part, panels, images, name, choice)
                    known[own], keep[own] = found.complete, found.usable
    if selection.standardization.disable_quantile_mask and not keep[known].all():
        listed = ", ".join(panels.names[code] for code in np.unique(panels.name[entries.place[~keep & known]]))
        warnings.warn(
            f"Channels without usable statistics are kept and hold NaN or huge values: {listed}", stacklevel=4
        )
        keep[:] = True
    keep &= known
    if not keep.all():
        entries, statistics = entries.take(np.flatnonzero(keep)), statistics[:, keep]
    offsets = np.zeros(len(images) + 1, np.int64)
    np.cumsum(np.bincount(entries.image, minlength=len(images)), out=offsets[1:])
    lower, upper, mean, std = (np.ascontiguousarray(part) for part in statistics)
    channels = PlanChannels(
        offsets=offsets,
        name=panels.name[entries.place],
        uniprot=panels.uniprot[entries.place],
        page=entries.page,
        channel_index=entries.index,
        lower=lower,
        upper=upper,
        mean=mean,
        std=std,
    )
    return ChosenChannels(channels=channels, names=panels.names, accessions=panels.accessions, counts=counts)


def _panels(selection: Selection, catalog: Catalog) -> _Panels:
    table = catalog.run(panel_select(selection.channels).sql(DIALECT)).to_arrow_table()
    start: dict[tuple[str, str], int] = {}
    for place, key in enumerate(
        zip(table.column("dataset").to_pylist(), table.column("modality").to_pylist(), strict=True)
    ):
        start.setdefault(key, place)
    colours = pa.table({"channel_name": pa.array(RGB_CHANNELS, pa.string()), "uniprot_id": pa.nulls(3, pa.string())})
    names, name = _codes([*table.column("channel_name").to_pylist(), *colours.column("channel_name").to_pylist()])
    accessions, uniprot = _codes([*table.column("uniprot_id").to_pylist(), *colours.column("uniprot_id").to_pylist()])
    chosen = np.array([*table.column("chosen").to_pylist(), *(True for _ in RGB_CHANNELS)], np.bool_)
    chosen[: len(table)] &= _named(table, selection, catalog)
    return _Panels(start=start, name=name, uniprot=uniprot, chosen=chosen, names=names, accessions=accessions)


def _named(table: pa.Table, selection: Selection, catalog: Catalog) -> Flags:
    """Tell of every channel of all panels whether `names` and `exclude` leave it in."""
    choice, modalities = selection.channels, [name for name in selection.modality_names if not is_rgb(name)]
    if not (choice.names or choice.exclude) or not modalities:
        return np.ones(len(table), np.bool_)
    markers = find_markers(choice, modalities, catalog)
    wanted = markers.chosen(choice.names) if choice.names else frozenset(markers.channels)
    places = {(c.dataset, c.modality, c.channel_index) for c in wanted - markers.chosen(choice.exclude)}
    keys = zip(*(table.column(name).to_pylist() for name in ("dataset", "modality", "channel_index")), strict=True)
    return np.array([key in places for key in keys], np.bool_)


def _codes(texts: list[str | None]) -> tuple[tuple[str, ...], Int32]:
    distinct = tuple(sorted({text for text in texts if text is not None}))
    numbers = {text: number for number, text in enumerate(distinct)}
    return distinct, np.array([-1 if text is None else numbers[text] for text in texts], np.int32)


def _entries(images: pa.Table, panels: _Panels, selection: Selection, catalog: Catalog) -> tuple[_Entries, Int64]:
    """Return the chosen and measured channels by image and panel order; per image the channels measured and in all."""
    datasets, modalities = (images.column(name).to_pylist() for name in ("dataset", "modality"))
    brightfield = np.array([is_rgb(name) for name in modalities], np.bool_)
    counts = np.zeros((len(images), 2), np.int64)
    colours = len(RGB_CHANNELS)
    rgb = np.flatnonzero(brightfield).astype(np.int32)
    colour = np.tile(np.arange(colours, dtype=np.int32), len(rgb))
    parts = [(np.repeat(rgb, colours), colour, colour)]
    multiplex = [name for name in selection.modality_names if not is_rgb(name)]
    for name in multiplex:
        catalog.check_channels(name)
    start = np.full(len(images), len(panels.name) - colours, np.int32)
    for panel in panel_pages(catalog) if multiplex else ():
        first = int(panel.images[0])
        start[panel.images] = begin = panels.start.get((datasets[first], modalities[first]), 0)
        counts[panel.images, 0] = panel.measured.sum(axis=1)
        counts[panel.images, 1] = len(panel.index)
        parts.append(panel.entries(panels.chosen[begin + panel.index]))
    _check_counts(images, counts, brightfield)
    image, index, page = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    if (np.diff(image) < 0).any():  # panels come in the order of their images, but brightfield images came first
        order = np.argsort(image, kind="stable")
        image, index, page = image[order], index[order], page[order]
    return _Entries(image=image, index=index, page=page, place=start[image] + index), counts


def _check_counts(images: pa.Table, counts: Int64, brightfield: Flags) -> None:
    missing = np.flatnonzero((counts[:, 1] == 0) & ~brightfield)
    if len(missing):
        first = images.slice(int(missing[0]), 1).to_pylist()[0]
        raise TableError(
            f"Tissue {first['tissue_id']!r} of dataset {first['dataset']!r} has a {first['modality']} image but no row "
            f"in {first['dataset']}/{first['modality']}/channels_per_tissue.parquet ({len(missing)} such tissues). "
            "Add the row, or leave the tissue out with .where(...)."
        )


def _check_complete(
    found: Found, entries: _Entries, panels: _Panels, images: pa.Table, modality: str, choice: StandardizationChoice
) -> None:
    """Refuse tissues and channels that the spec's tables do not know; a NaN is known, and drops its channel."""
    absent = np.flatnonzero(~found.complete)
    if choice.missing_statistics == "drop_channel":
        lost = np.setdiff1d(entries.image[absent], entries.image[np.flatnonzero(found.complete)])
        if not len(lost):
            return
        absent = absent[np.isin(entries.image[absent], lost)]
    if len(absent):
        first = images.slice(int(entries.image[absent[0]]), 1).to_pylist()[0]
        first["channel_name"] = panels.names[panels.name[entries.place[absent[0]]]]
        tissues = len(np.unique(entries.image[absent]))
        raise missing_statistics(found, first=first, tissues=tissues, spec=choice.parsed(modality), choice=choice)
