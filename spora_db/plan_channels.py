"""The channels of a plan: which planes every image delivers, and the statistics that standardize them.

Texts stay in the panels, which are small; per tissue and channel only numbers leave DuckDB.
"""

import warnings
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from spora_db.catalog import Catalog
from spora_db.channels import RGB_CHANNELS, is_rgb, panel_select
from spora_db.errors import StatisticsNotFoundError, TableError
from spora_db.guard_dialect import DIALECT
from spora_db.plan import Float32, Int32, Int64, PlanChannels
from spora_db.selection import Selection, StandardizationChoice
from spora_db.specs import Spec
from spora_db.standardize import usable_channels

Flags = npt.NDArray[np.bool_]

ENTRIES = """
    SELECT p.image, CAST(c.channel_index AS INTEGER) AS channel_index, CAST(coalesce(c.page, -1) AS INTEGER) AS page
    FROM plan_images AS p
    JOIN tissue_channels AS c ON c.dataset = p.dataset AND c.modality = p.modality AND c.tissue_id = p.tissue_id
"""
STATISTICS = """
    WITH statistics AS (
        SELECT dataset, mpp, level, tissue_id, channel_name, "lower", "upper", mean, std
        FROM standardization_stats
        WHERE modality = $modality AND spec = $spec
    ), moment_level AS (
        SELECT dataset, mpp, CASE WHEN bool_or(level = 'global') THEN 'global' ELSE 'image' END AS level
        FROM statistics
        WHERE mean IS NOT NULL AND ($stats_level IS NULL OR level = $stats_level)
        GROUP BY dataset, mpp
    )
    SELECT p.image, CAST(c.channel_index AS INTEGER) AS channel_index,
        CAST(q."lower" AS FLOAT) AS "lower", CAST(q."upper" AS FLOAT) AS "upper",
        CAST(m.mean AS FLOAT) AS mean, CAST(m.std AS FLOAT) AS std,
        q.dataset IS NOT NULL AS in_quantiles, m.dataset IS NOT NULL AS in_moments
    FROM plan_images AS p
    JOIN channels AS c ON c.dataset = p.dataset AND c.modality = p.modality
    LEFT JOIN statistics AS q
        ON q.dataset = p.dataset AND q.mpp = p.mpp AND q.channel_name = c.channel_name AND q.level = $quantile_level
        AND coalesce(q.tissue_id, p.tissue_id) = p.tissue_id
    LEFT JOIN moment_level AS l ON l.dataset = p.dataset AND l.mpp = p.mpp
    LEFT JOIN statistics AS m
        ON m.dataset = p.dataset AND m.mpp = p.mpp AND m.channel_name = c.channel_name AND m.level = l.level
        AND coalesce(m.tissue_id, p.tissue_id) = p.tissue_id
    WHERE p.modality = $modality
"""


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

    image: Int64
    index: Int64
    page: Int64
    place: Int64

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
        keep = np.ones(len(entries.image), np.bool_)
        for name in selection.modality_names:
            spec = selection.standardization.parsed(name)
            if spec.needs_statistics:
                own = np.flatnonzero(modality[entries.image] == name)
                found, known = _statistics(entries.take(own), spec, name, selection.standardization, catalog)
                statistics[:, own] = found
                if selection.standardization.missing_statistics == "error":
                    _check_known(known, entries.take(own), panels, images, spec, selection.standardization)
                    keep[own] = _usable(found, spec, selection.standardization)
    if selection.standardization.disable_quantile_mask and not keep.all():
        listed = ", ".join(panels.names[code] for code in np.unique(panels.name[entries.place[~keep]]))
        warnings.warn(
            f"Channels without usable statistics are kept and hold NaN or huge values: {listed}", stacklevel=4
        )
        keep[:] = True
    entries, statistics = entries.take(np.flatnonzero(keep)), statistics[:, keep]
    offsets = np.zeros(len(images) + 1, np.int64)
    np.cumsum(np.bincount(entries.image, minlength=len(images)), out=offsets[1:])
    lower, upper, mean, std = (np.ascontiguousarray(part) for part in statistics)
    channels = PlanChannels(
        offsets=offsets,
        name=panels.name[entries.place],
        uniprot=panels.uniprot[entries.place],
        page=entries.page.astype(np.int32),
        channel_index=entries.index.astype(np.int32),
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
    return _Panels(start=start, name=name, uniprot=uniprot, chosen=chosen, names=names, accessions=accessions)


def _codes(texts: list[str | None]) -> tuple[tuple[str, ...], Int32]:
    distinct = tuple(sorted({text for text in texts if text is not None}))
    numbers = {text: number for number, text in enumerate(distinct)}
    return distinct, np.array([-1 if text is None else numbers[text] for text in texts], np.int32)


def _entries(images: pa.Table, panels: _Panels, selection: Selection, catalog: Catalog) -> tuple[_Entries, Int64]:
    """Return the chosen and measured channels by image and panel order, and per image the channels measured and in all."""
    records = images.to_pylist()
    brightfield = np.array([is_rgb(record["modality"]) for record in records], np.bool_)
    colours = len(RGB_CHANNELS)
    start = np.array(
        [
            len(panels.name) - colours if rgb else panels.start.get((record["dataset"], record["modality"]), 0)
            for record, rgb in zip(records, brightfield, strict=True)
        ],
        np.int64,
    )
    image = np.repeat(np.flatnonzero(brightfield), colours)
    index = np.tile(np.arange(colours, dtype=np.int64), int(brightfield.sum()))
    page, counts = index, np.zeros((len(images), 2), np.int64)
    multiplex = [name for name in selection.modality_names if not is_rgb(name)]
    if multiplex:
        for name in multiplex:
            catalog.check_channels(name)
        table = catalog.run(ENTRIES).to_arrow_table()
        columns = [table.column(name).to_numpy().astype(np.int64) for name in ("image", "channel_index", "page")]
        counts[:, 0] = np.bincount(columns[0][columns[2] >= 0], minlength=len(images))
        counts[:, 1] = np.bincount(columns[0], minlength=len(images))
        image, index, page = (np.concatenate(pair) for pair in zip((image, index, page), columns, strict=True))
    _check_counts(records, counts, brightfield)
    kept = np.flatnonzero((page >= 0) & panels.chosen[start[image] + index])
    kept = kept[np.lexsort((index[kept], image[kept]))]
    image, index, page = image[kept], index[kept], page[kept]
    return _Entries(image=image, index=index, page=page, place=start[image] + index), counts


def _check_counts(records: list[dict[str, Any]], counts: Int64, brightfield: Flags) -> None:
    missing = np.flatnonzero((counts[:, 1] == 0) & ~brightfield)
    if len(missing):
        first = records[int(missing[0])]
        raise TableError(
            f"Tissue {first['tissue_id']!r} of dataset {first['dataset']!r} has a {first['modality']} image but no row in "
            f"{first['dataset']}/{first['modality']}/channels_per_tissue.parquet ({len(missing)} such tissues). "
            "Add the row, or leave the tissue out with .where(...)."
        )


def _statistics(
    entries: _Entries, spec: Spec, modality: str, choice: StandardizationChoice, catalog: Catalog
) -> tuple[Float32, Flags]:
    """Return lower, upper, mean and std of every entry (4, n), and whether its quantiles and moments are known (2, n)."""
    parameters = {
        "modality": modality,
        "spec": str(spec),
        "quantile_level": spec.quantile_level,
        "stats_level": choice.stats_level,
    }
    table = catalog.run(STATISTICS, parameters).to_arrow_table()
    width = int(max(entries.index.max(initial=0), pc.max(table.column("channel_index")).as_py() or 0)) + 1
    key = table.column("image").to_numpy().astype(np.int64) * width + table.column("channel_index").to_numpy()
    order = np.argsort(key)
    found = order[np.searchsorted(key, entries.image * width + entries.index, sorter=order)]
    values = np.stack([_float32(table.column(name))[found] for name in ("lower", "upper", "mean", "std")])
    known = np.stack(
        [table.column(name).to_numpy(zero_copy_only=False)[found] for name in ("in_quantiles", "in_moments")]
    )
    return values, known


def _float32(column: pa.ChunkedArray) -> Float32:
    return cast(Float32, column.fill_null(np.nan).to_numpy())


def _usable(found: Float32, spec: Spec, choice: StandardizationChoice) -> Flags:
    lower, upper, mean, std = found
    return usable_channels(
        None if spec.lower is None else lower, upper, mean, std, use_mean_std=choice.use_mean_std, method=spec.method
    )


def _check_known(
    known: Flags, entries: _Entries, panels: _Panels, images: pa.Table, spec: Spec, choice: StandardizationChoice
) -> None:
    """Refuse tissues and channels that the spec's tables do not know; a NaN is known, and drops its channel."""
    in_quantiles, in_moments = known
    for part, present in (("quantiles", in_quantiles), ("moments", in_moments | (not choice.use_mean_std))):
        if present.all():
            continue
        absent = np.flatnonzero(~present)
        image = images.slice(int(entries.image[absent[0]]), 1).to_pylist()[0]
        files = f"{spec.quantile_level}_level_upper_quantiles"
        if part == "moments":
            files = f"{choice.stats_level or 'global'}_level_means and stds"
        raise StatisticsNotFoundError(
            f"No {files} for channel {panels.names[panels.name[entries.place[absent[0]]]]!r} of tissue "
            f"{image['tissue_id']!r} under {image['dataset']}/{image['modality']}/.../standardization/{spec} "
            f"({len(absent)} channels in {len(np.unique(entries.image[absent]))} tissues). What there is: SELECT DISTINCT "
            "dataset, modality, mpp, spec, level FROM standardization_stats. Make them with: spora-db standardize LAKE "
            f"--dataset {image['dataset']} --modality {image['modality']} --mpp {image['mpp']} --method {spec.method} "
            f"--upper-quantile {spec.upper} --quantile-level {spec.quantile_level}"
        )
