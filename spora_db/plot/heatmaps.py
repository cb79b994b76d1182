"""Heat maps of what there is: which panel has which marker, and which tissue has which statistics."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spora_db.arrays import Int64
from spora_db.drawing.arguments import wrong_kind
from spora_db.drawing.canvas import Picture, picture_format, save_picture
from spora_db.drawing.charts import COLOURS, GREY, SOFT, TEXT, chart
from spora_db.drawing.overview import modality_name
from spora_db.errors import ArgumentError, QueryError, counted
from spora_db.plot.sources import check_query

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

    from spora_db.catalog import Catalog
    from spora_db.query import SporaQuery

ROW = 0.2  # inches
COVERED = (
    "plot.coverage(SporaQuery('lake').modality('imc').tissues(mpp=1.0).standardize('quantile_clipping/uq_0.99_image'))"
)
READABLE = 45  # rows or columns whose names can be read; more are not named

PANELS = """
    SELECT c.dataset, c.modality, coalesce(m.uniprot_id, lower(c.channel_name)) AS marker,
        any_value(m.names[1]) AS common_name, any_value(m.uniprot_id) AS uniprot_id,
        string_agg(DISTINCT c.channel_name, ', ' ORDER BY c.channel_name) AS channel_name,
        count(DISTINCT c.tissue_id) FILTER (WHERE c.measured) AS n_measured, count(DISTINCT c.tissue_id) AS n_tissues
    FROM tissue_channels AS c
    LEFT JOIN markers AS m ON m.uniprot_id = split_part(c.uniprot_id, '-', 1)
    GROUP BY c.dataset, c.modality, marker
    ORDER BY c.dataset, c.modality, marker
"""


def panels(catalog: "Catalog | str | Path", *, most: int = 60, path: str | Path | None = None) -> Picture:
    """Draw the markers of a lake by cohort: which panels have one, under which name, measured in what share of tissues.

    Parameters
    ----------
    catalog
        The lake, or its path.
    most
        Markers to draw at most: those in the most panels. Channels without a known accession count by their name.
    path
        Where to write it, as .png, .pdf or .svg; not written by default.

    Returns
    -------
    Picture
        A matplotlib figure, which notebooks show.

    Raises
    ------
    ArgumentError
        It is neither a catalog nor a path, or the path of the picture has another suffix.
    QueryError
        No dataset of the lake has a panel.

    Examples
    --------
    >>> picture = panels("lake")
    """
    picture_format(path)
    table = _panel_rows(catalog)
    cohorts = list(dict.fromkeys((row["dataset"], row["modality"]) for row in table))
    place = {(row["marker"], row["dataset"], row["modality"]): row for row in table}
    count: dict[str, list[Any]] = {}
    for row in table:
        count.setdefault(row["marker"], []).append(row)
    order = sorted(
        count,
        key=lambda name: (-len(count[name]), count[name][0]["uniprot_id"] is None, _title(count[name]).casefold()),
    )
    drawn = order[: max(most, 1)]
    share = np.full((len(drawn), len(cohorts)), np.nan)
    # Two columns and six rows are the least that the title and the words beside the axes fit.
    figure, (axes,) = chart(width=3.4 + 1.25 * max(len(cohorts), 2), height=1.5 + ROW * max(len(drawn), 6))
    for i, marker in enumerate(drawn):
        for j, cohort in enumerate(cohorts):
            row = place.get((marker, *cohort))
            if row is not None:
                share[i, j] = 100 * row["n_measured"] / max(row["n_tissues"], 1)
                ink = "white" if share[i, j] > 55 else TEXT
                of = f"   {row['n_measured']}/{row['n_tissues']}" if row["n_measured"] < row["n_tissues"] else ""
                axes.text(j, i, row["channel_name"] + of, ha="center", va="center", fontsize=7.5, color=ink)
    axes.set_facecolor(GREY)
    image = axes.imshow(share, cmap=_shades(), vmin=0, vmax=100, aspect="auto")
    _separate(axes, share.shape)
    axes.set_xticks(range(len(cohorts)), [f"{name}\n{modality_name(modality)}" for name, modality in cohorts])
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(drawn)), [_title(count[marker], accession=True) for marker in drawn])
    axes.set_ylabel("marker, UniProt accession", fontsize=8, color=SOFT)
    bar = figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02, aspect=30, shrink=min(1.0, 12 / len(drawn)))
    bar.set_label("tissues measured (%)", fontsize=8, color=SOFT)
    bar.ax.tick_params(labelsize=7.5, length=0)
    bar.outline.set_visible(False)
    left = f", {len(order) - len(drawn)} more not drawn" if len(order) > len(drawn) else ""
    shared = sum(len(rows) > 1 for rows in count.values())
    title = f"{counted(len(order), 'marker')} in {counted(len(cohorts), 'panel')}, {shared} shared{left}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, weight="bold", color=TEXT)
    return save_picture(figure, path)


def _panel_rows(catalog: "Catalog | str | Path") -> list[Any]:
    """Return the rows of `PANELS`."""
    from spora_db.catalog import Catalog, lent_catalog

    if isinstance(catalog, str | os.PathLike):
        with lent_catalog(catalog) as lent:
            return _panel_rows(lent)
    if not isinstance(catalog, Catalog):
        raise wrong_kind(
            catalog,
            expected="a Catalog, or the path of a lake",
            write="plot.panels('lake'), or plot.panels(query.lake) for the lake of a query",
        )
    table: list[Any] = catalog._run(PANELS).to_arrow_table().to_pylist()
    if not table:
        raise QueryError(_no_panels(catalog))
    return table


def _title(rows: list[Any], *, accession: bool = False) -> str:
    name = str(rows[0]["common_name"] or rows[0]["channel_name"])
    return f"{name}  {rows[0]['uniprot_id']}" if accession and rows[0]["uniprot_id"] else name


def _no_panels(catalog: "Catalog") -> str:
    found = [row[0] for row in catalog._run("SELECT DISTINCT modality FROM images ORDER BY modality").fetchall()]
    listed = ", ".join(found) if found else "none"
    return (
        f"No dataset of {catalog.lake} has a panel (modalities with images: {listed}). Panels come from "
        "<dataset>/{imc,codex,cycif,mibi}/channels.parquet and channels_per_tissue.parquet. To make such a dataset: "
        "spora-db import IMAGES --into LAKE --dataset NAME --modality imc --mpp 1.0 --panel panel.csv"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """The tissues and channels of one cohort and modality; `state` is a position in `STATES`."""

    title: str
    tissues: list[str]
    channels: list[str]
    state: Int64


STATES = (
    ("not delivered", GREY),
    ("there", COLOURS["blue"]),
    ("unusable", COLOURS["orange"]),
    ("missing", COLOURS["vermilion"]),
)


def coverage(query: "SporaQuery", *, path: str | Path | None = None) -> Picture:
    """Draw for which tissue and channel of a query the statistics of its standardization are there.

    Parameters
    ----------
    query
        The query, with the spec that `standardize` chose.
    path
        Where to write it, as .png, .pdf or .svg; not written by default.

    Returns
    -------
    Picture
        A matplotlib figure, which notebooks show: a block per cohort, a row per tissue, a column per channel.

    Raises
    ------
    QueryError
        The query selects no tissue with a panel.
    ArgumentError
        It is no query, its specs need no statistics, or the path has another suffix.

    Examples
    --------
    >>> from spora_db import SporaQuery
    >>> query = SporaQuery("lake").modality("imc").tissues(mpp=1.0)
    >>> picture = coverage(query.standardize("quantile_clipping_log1p/uq_0.99_image"))
    """
    picture_format(path)
    check_query(query, write=COVERED)
    blocks, spec = _blocks(query)
    heights = [max(ROW * min(len(block.tissues), READABLE), 0.5) for block in blocks]
    columns = max(len(block.channels) for block in blocks)
    figure, every = chart(
        width=2.6 + max(0.22 * min(columns, 60), 3.2),
        height=0.9 + sum(heights) + 1.15 * len(blocks),
        rows=len(blocks),
        ratios=heights,
    )
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    colours = ListedColormap([colour for _, colour in STATES])
    for axes, block in zip(every, blocks, strict=True):
        axes.imshow(block.state, cmap=colours, vmin=0, vmax=len(STATES) - 1, aspect="auto", interpolation="nearest")
        if len(block.tissues) <= READABLE and len(block.channels) <= 2 * READABLE:
            _separate(axes, block.state.shape)
            axes.set_yticks(range(len(block.tissues)), block.tissues)
        else:
            axes.set_yticks([])
        axes.set_ylabel(counted(len(block.tissues), "tissue"), fontsize=8, color=SOFT)
        named = len(block.channels) <= 2 * READABLE
        axes.set_xticks(range(len(block.channels)) if named else [], block.channels if named else [], rotation=90)
        axes.set_title(block.title, fontsize=9, weight="bold", loc="left", color=TEXT)
    handles = [Patch(facecolor=colour, label=label) for label, colour in STATES]
    figure.legend(handles=handles, loc="outside lower left", ncols=len(STATES), frameon=False, fontsize=8)
    figure.suptitle(f"Statistics of {spec}", x=0.01, ha="left", fontsize=11, weight="bold", color=TEXT)
    return save_picture(figure, path)


def _blocks(query: "SporaQuery") -> tuple[list[_Block], str]:
    """Look up the state of every tissue and channel of the query's images."""
    from spora_db.catalog import lent_catalog
    from spora_db.plan.missing_statistics import missing_statistics_table
    from spora_db.plan.resolution import resolve
    from spora_db.plan.selected_images import delivered_channels

    with lent_catalog(query.lake) as catalog:
        resolved = resolve(query.selection, catalog)
        choice = resolved.selection.standardization
        specs = {name: choice.parsed(name) for name in resolved.selection.modality_names}
        specs = {name: spec for name, spec in specs.items() if spec.needs_statistics}
        if not specs:
            raise ArgumentError(
                "The query's standardization needs no statistics, so there is no coverage to draw. Choose one that "
                "does, such as .standardize('quantile_clipping/uq_0.99_image')."
            )
        images, delivered = delivered_channels(resolved, catalog)
        missing = missing_statistics_table(resolved, images, delivered, catalog)
    records = images.to_pylist()
    problems = {
        (row["dataset"], row["modality"], row["tissue_id"], row["channel_name"]): row["problem"]
        for row in missing.to_dict("records")
    }
    found: dict[tuple[str, str], dict[str, dict[str, tuple[int, int]]]] = {}
    entries = delivered.channels.entries()
    for image, index, code in zip(entries.image, entries.channel_index, entries.name, strict=True):
        record, name = records[image], delivered.names[code]
        if record["modality"] in specs:
            problem = problems.get((record["dataset"], record["modality"], record["tissue_id"], name))
            state = 1 if problem is None else 2 if problem == "unusable values" else 3
            cohort = found.setdefault((record["dataset"], record["modality"]), {})
            cohort.setdefault(record["tissue_id"], {})[name] = (int(index), state)
    if not found:
        raise QueryError(
            f"The query selects no {' or '.join(specs)} image with channels in {query.lake}. "
            "Look at query.sql() and loosen a condition."
        )
    return [_block(cohort, tissues) for cohort, tissues in found.items()], " and ".join(
        dict.fromkeys(map(str, specs.values()))
    )


def _block(cohort: tuple[str, str], tissues: dict[str, dict[str, tuple[int, int]]]) -> _Block:
    order = {name: index for channels in tissues.values() for name, (index, _) in channels.items()}
    names = sorted(order, key=order.__getitem__)
    state = np.array([[channels.get(name, (0, 0))[1] for name in names] for channels in tissues.values()])
    lacking = int((state > 1).sum())
    told = f"{lacking} of {int((state > 0).sum())} without" if lacking else "complete"
    title = f"{cohort[0]}  ·  {modality_name(cohort[1])}  ·  {told}"
    return _Block(title=title, tissues=list(tissues), channels=names, state=state)


def _separate(axes: "Axes", shape: tuple[int, ...]) -> None:
    """Draw white lines between the fields of a heat map."""
    axes.set_xticks(np.arange(-0.5, shape[1]), minor=True)
    axes.set_yticks(np.arange(-0.5, shape[0]), minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="minor", length=0)


def _shades() -> "Colormap":
    """Return a scale of one hue, light to dark: legible without colour."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("share", ["#dcebf5", "#0072b2", "#003a5c"])
