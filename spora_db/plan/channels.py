"""The channels of a plan: which planes every image delivers, and the statistics that standardize them."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from spora_db.arrays import Int32, Int64
from spora_db.catalog import Catalog
from spora_db.plan.offered import offered_channels
from spora_db.plan.panels import PlanChannels, PlanPanel
from spora_db.plan.statistics import PanelStatistics, absent_statistics, find_statistics
from spora_db.selection import Selection, StandardizationChoice


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


def choose_channels(selection: Selection, images: pa.Table, catalog: Catalog) -> ChosenChannels:
    """Return the channels that every image of a plan delivers.

    Raises
    ------
    TableError
        If a tissue has no channels, or the tables that name channels contradict each other.
    StatisticsNotFoundError
        If a spec's tables are absent or do not know a tissue or channel.
    """
    standardization = selection.standardization
    with catalog._registered("plan_images", images):
        offered = offered_channels(selection, images, catalog)
        panels = dict(offered.panels)
        for name, own in offered.panels.items():
            if standardization.parsed(name).needs_statistics:
                panels[name] = _standardized(own, offered.names, images, name, standardization, catalog)
    in_order = sorted((panel for own in panels.values() for panel in own), key=lambda panel: panel.first)
    name_codes, names = _delivered_texts([panel.name for panel in in_order], offered.names)
    uniprot_codes, accessions = _delivered_texts([panel.uniprot for panel in in_order], offered.accessions)
    coded = zip(in_order, name_codes, uniprot_codes, strict=True)
    channels = PlanChannels.of_panels(tuple(replace(panel, name=own, uniprot=ids) for panel, own, ids in coded))
    return ChosenChannels(channels=channels, names=names, accessions=accessions, counts=offered.counts)


def _delivered_texts(codes: list[Int32], texts: tuple[str, ...]) -> tuple[list[Int32], tuple[str, ...]]:
    """Return codes and texts without those out of use: a plan's hash shall not know cohorts that it does not select."""
    used = np.zeros(len(texts) + 1, np.bool_)
    for own in codes:
        used[own] = True  # the spare last entry takes -1
    numbers = np.cumsum(used, dtype=np.int32) - np.int32(1)
    numbers[-1] = -1
    return [numbers[own] for own in codes], tuple(texts[code] for code in np.flatnonzero(used[:-1]))


def _standardized(
    panels: list[PlanPanel], names: Sequence[str], images: pa.Table, modality: str,
    standardization: StandardizationChoice, catalog: Catalog,
) -> list[PlanPanel]:  # fmt: skip
    """Return the panels of a modality with their statistics, without the channels that these drop."""
    found = find_statistics(panels, images, modality=modality, standardization=standardization, catalog=catalog)
    deferred = standardization.missing_statistics == "defer"
    if not deferred:
        _check_complete(found, panels, names, images, modality, standardization)
    standardized, unusable = [], set()
    for panel, own in zip(panels, found, strict=True):
        kept = own.kept(panel, standardization)
        if not deferred:
            unusable.update(panel.name[(kept & ~own.usable).any(axis=0)].tolist())
        lower, upper, mean, std = own.values
        standardized.append(replace(panel, lower=lower, upper=upper, mean=mean, std=std).narrowed(kept))
    if unusable:
        listed = ", ".join(names[code] for code in sorted(unusable))
        warnings.warn(
            f"Channels without usable statistics are kept and hold NaN or huge values: {listed}", stacklevel=5
        )
    return standardized


def _check_complete(
    found: list[PanelStatistics], panels: list[PlanPanel], names: Sequence[str], images: pa.Table, modality: str,
    standardization: StandardizationChoice,
) -> None:  # fmt: skip
    """Refuse tissues and channels that the spec's tables do not know; a NaN is known, and drops its channel."""
    first, channels, tissues = None, 0, 0
    for panel, own in zip(panels, found, strict=True):
        absent = panel.delivered & ~own.complete
        if standardization.missing_statistics == "drop_channel":
            absent[(panel.delivered & own.complete).any(axis=1)] = False
        channels += int(absent.sum())
        tissues += int(absent.any(axis=1).sum())
        if first is None and absent.any():
            row, channel = (int(place) for place in np.argwhere(absent)[0])
            record = images.slice(panel.first + row, 1).to_pylist()[0]
            first = {**record, "channel_name": names[panel.name[channel]]}
            moment_level = own.moment_level if own.known[0, row, channel] else None
    if first is not None:
        raise absent_statistics(
            first, channels=channels, tissues=tissues, moment_level=moment_level,
            spec=standardization.parsed(modality), standardization=standardization,
        )  # fmt: skip
