"""The channels of a plan: which planes every image delivers, and the statistics that standardize them.

Texts stay in the panels, which are small; per tissue and channel only numbers leave DuckDB.
"""

import warnings
from collections.abc import Container
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from spora_db.arrays import Bools, Int32, Int64
from spora_db.catalog import Catalog
from spora_db.layout.names import RGB_CHANNELS, is_rgb
from spora_db.plan.pages import measured_panels
from spora_db.plan.panels import PlanChannels, PlanPanel
from spora_db.plan.statistics import Found, find_statistics, missing_statistics
from spora_db.selection import Selection, StandardizationChoice
from spora_db.selection.channels import panel_select
from spora_db.selection.markers import find_markers
from spora_db.sqltext.dialect import DIALECT


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenChannels:
    """The channels of all images of a plan, and the texts that their codes stand for.

    Attributes
    ----------
    channels
        The plan's arrays.
    names, accessions
        Names and UniProt accessions of the channels that any image delivers, sorted.
    counts
        int64 array of shape (images, 2): channels measured and channels in the panel; 0 for RGB.
    """

    channels: PlanChannels
    names: tuple[str, ...]
    accessions: tuple[str, ...]
    counts: Int64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panels:
    """All panels of the lake, one after the other; brightfield images share one of three colours at the end."""

    start: dict[tuple[str, str], int]
    name: Int32
    uniprot: Int32
    chosen: Bools
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
    texts = _panels(selection, catalog)
    counts = np.zeros((len(images), 2), np.int64)
    with catalog._registered("plan_images", images):
        panels = _measured(selection, images, texts, catalog, counts=counts)
        for name in selection.modality_names:
            if selection.standardization.parsed(name).needs_statistics:
                panels[name] = _standardized(panels[name], texts, images, name, selection.standardization, catalog)
    in_order = sorted((panel for own in panels.values() for panel in own), key=lambda panel: panel.first)
    name_codes, names = _delivered_texts([panel.name for panel in in_order], texts.names)
    uniprot_codes, accessions = _delivered_texts([panel.uniprot for panel in in_order], texts.accessions)
    coded = zip(in_order, name_codes, uniprot_codes, strict=True)
    channels = PlanChannels.of_panels(tuple(replace(panel, name=own, uniprot=ids) for panel, own, ids in coded))
    return ChosenChannels(channels=channels, names=names, accessions=accessions, counts=counts)


def undelivered_channels(
    selection: Selection, images: pa.Table, catalog: Catalog, *, wanted: Container[tuple[str, str, str]] | None
) -> list[str]:
    """Return the channels that images have and the selection takes, but that their statistics drop.

    Statistics that no table has are an error where a plan is made, or drop their tissue; they drop a channel only with
    ``missing="drop_channel"``.

    Parameters
    ----------
    selection
        The resolved selection.
    images
        Images in order: ``image`` (their number), ``dataset, modality, mpp, tissue_id``.
    catalog
        The lake.
    wanted
        Dataset, modality and name of the channels that count; None for all.

    Returns
    -------
    list of str
        ``dataset/modality/tissue_id/channel_name`` of each.
    """
    choice, texts = selection.standardization, _panels(selection, catalog)
    keys: list[str] = []
    with catalog._registered("plan_images", images):
        panels = _measured(selection, images, texts, catalog)
        for modality, own in panels.items():
            if not (own and choice.parsed(modality).needs_statistics):
                continue
            found = find_statistics(own, images, modality=modality, choice=choice, catalog=catalog)
            for panel, statistics in zip(own, found, strict=True):
                lost = panel.delivered & ~_kept(panel, statistics, choice)
                if choice.missing_statistics != "drop_channel":
                    lost &= statistics.complete
                rows, columns = np.nonzero(lost)
                places = images.slice(panel.first, len(panel)).select(["dataset", "modality", "tissue_id"]).to_pydict()
                for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
                    name = texts.names[panel.name[column]]
                    dataset, tissue_id = places["dataset"][row], places["tissue_id"][row]
                    if wanted is None or (dataset, modality, name) in wanted:
                        keys.append(f"{dataset}/{modality}/{tissue_id}/{name}")
    return keys


def _measured(
    selection: Selection, images: pa.Table, texts: "_Panels", catalog: Catalog, *, counts: Int64 | None = None
) -> dict[str, list[PlanPanel]]:
    """Return, by modality, the panels of the registered images, whatever statistics say; numbers go to `counts`."""
    for name in selection.modality_names:
        if not is_rgb(name):
            catalog.check_channels(name)
    panels: dict[str, list[PlanPanel]] = {name: [] for name in selection.modality_names}
    for measured in measured_panels(images, catalog):
        first, rgb = measured.first, is_rgb(measured.modality)
        place = len(texts.name) - len(RGB_CHANNELS) if rgb else texts.start[measured.dataset, measured.modality]
        places = place + measured.channel_index
        panel = PlanPanel(
            first=first,
            channel_index=measured.channel_index.astype(np.int32),
            name=texts.name[places],
            uniprot=texts.uniprot[places],
            page=measured.pages(texts.chosen[places]),
        )
        panels[measured.modality].append(panel.narrowed(panel.delivered))
        if counts is not None and not rgb:
            counts[first : first + len(panel), 0] = measured.measured.sum(axis=1)
            counts[first : first + len(panel), 1] = len(measured.channel_index)
    return panels


def _kept(panel: PlanPanel, found: Found, choice: StandardizationChoice) -> Bools:
    """Tell which channels of which images statistics leave: bool array of shape (images, channels)."""
    if choice.missing_statistics == "defer":
        return panel.delivered
    known = panel.delivered & found.complete
    return known if choice.disable_quantile_mask else known & found.usable


def _panels(selection: Selection, catalog: Catalog) -> _Panels:
    table = catalog._run(panel_select(selection.channels).sql(DIALECT)).to_arrow_table()
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


def _named(table: pa.Table, selection: Selection, catalog: Catalog) -> Bools:
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


def _delivered_texts(codes: list[Int32], texts: tuple[str, ...]) -> tuple[list[Int32], tuple[str, ...]]:
    """Return codes and texts without those out of use: a plan's hash shall not know cohorts that it does not select."""
    used = np.zeros(len(texts) + 1, np.bool_)
    for own in codes:
        used[own] = True  # the spare last entry takes -1
    numbers = np.cumsum(used, dtype=np.int32) - np.int32(1)
    numbers[-1] = -1
    return [numbers[own] for own in codes], tuple(texts[code] for code in np.flatnonzero(used[:-1]))


def _standardized(
    panels: list[PlanPanel], texts: _Panels, images: pa.Table, modality: str,
    choice: StandardizationChoice, catalog: Catalog,
) -> list[PlanPanel]:  # fmt: skip
    """Return the panels of a modality with their statistics, without the channels that these drop."""
    found = find_statistics(panels, images, modality=modality, choice=choice, catalog=catalog)
    deferred = choice.missing_statistics == "defer"
    if not deferred:
        _check_complete(found, panels, texts, images, modality, choice)
    standardized, unusable = [], set()
    for panel, own in zip(panels, found, strict=True):
        dropped = panel.delivered & own.complete & ~own.usable & (not deferred)
        unusable.update(panel.name[dropped.any(axis=0)].tolist())
        lower, upper, mean, std = own.values
        kept = _kept(panel, own, choice)
        standardized.append(replace(panel, lower=lower, upper=upper, mean=mean, std=std).narrowed(kept))
    if unusable and choice.disable_quantile_mask:
        listed = ", ".join(texts.names[code] for code in sorted(unusable))
        warnings.warn(
            f"Channels without usable statistics are kept and hold NaN or huge values: {listed}", stacklevel=5
        )
    return standardized


def _check_complete(
    found: list[Found], panels: list[PlanPanel], texts: _Panels, images: pa.Table, modality: str,
    choice: StandardizationChoice,
) -> None:  # fmt: skip
    """Refuse tissues and channels that the spec's tables do not know; a NaN is known, and drops its channel."""
    first, channels, tissues = None, 0, 0
    for panel, own in zip(panels, found, strict=True):
        absent = panel.delivered & ~own.complete
        if choice.missing_statistics == "drop_channel":
            absent[(panel.delivered & own.complete).any(axis=1)] = False
        channels += int(absent.sum())
        tissues += int(absent.any(axis=1).sum())
        if first is None and absent.any():
            row, channel = (int(place) for place in np.argwhere(absent)[0])
            record = images.slice(panel.first + row, 1).to_pylist()[0]
            first = {**record, "channel_name": texts.names[panel.name[channel]]}
            without_quantiles = not own.known[0, row, channel]
    if first is not None:
        raise missing_statistics(
            first, channels=channels, tissues=tissues, without_quantiles=without_quantiles,
            spec=choice.parsed(modality), choice=choice,
        )  # fmt: skip
