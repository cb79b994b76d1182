"""The images that a query's rows are taken from, and the channels they deliver: what stands between rows and a plan."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa
from sqlglot import exp, parse_one

from spora_db.catalog import Catalog
from spora_db.layout.names import is_rgb
from spora_db.plan.channels import ChosenChannels, choose_channels
from spora_db.plan.resolution import resolve
from spora_db.plan.rows import FIRST
from spora_db.selection import Selection, StandardizationChoice
from spora_db.selection.compilation import compile_rows
from spora_db.selection.markers import ACCESSION
from spora_db.selection.resolved import Resolved
from spora_db.sqltext.dialect import DIALECT

if TYPE_CHECKING:
    import pandas as pd

IMAGES = """
    SELECT row_number() OVER (ORDER BY i.dataset, i.modality, i.mpp, i.tissue_id) - 1 AS image,
        i.dataset, i.modality, i.mpp, i.tissue_id, i.path, p.n_rows
    FROM images AS i
    JOIN (
        SELECT i.dataset, i.modality, i.mpp, i.tissue_id, CAST(sum(places.n_rows) AS BIGINT) AS n_rows
        FROM places
        JOIN images AS i ON i.dataset = places.dataset AND i.mpp = places.mpp AND i.tissue_id = places.tissue_id
        WHERE i.modality = places.modality OR EXISTS (
            SELECT 1 FROM beside AS b
            WHERE b.dataset = i.dataset AND b.mpp = i.mpp AND b.tissue_id = i.tissue_id AND b.modality = i.modality
        )
        GROUP BY ALL
    ) AS p USING (dataset, modality, mpp, tissue_id)
    ORDER BY image
"""


def delivered_channels(resolved: Resolved, catalog: Catalog) -> tuple[pa.Table, ChosenChannels]:
    """Return the images of a query's rows, and the channels that they deliver whatever the statistics say.

    Of images: number (``image``), identity, ``path``, and how many rows use them, ``n_rows``.
    """
    selection, compiled = resolved.selection, compile_rows(resolved)
    place = ("dataset", "modality", "mpp", "tissue_id")
    places = compiled.select(*place, "count(*) AS n_rows").group_by(*place)
    query = parse_one(IMAGES, dialect=DIALECT)
    assert isinstance(query, exp.Select)
    others = {f"place_{i}": list(names) for i, names in enumerate(selection.modalities[1:])}
    none = "SELECT dataset, mpp, tissue_id, modality FROM images WHERE FALSE"
    beside = " UNION ALL ".join(
        [none, *(FIRST.format(value="modality", images="images", place=place) for place in others)]
    )
    query = query.with_("places", as_=places).with_("beside", as_=parse_one(beside, dialect=DIALECT))
    images = catalog._run(query, {**compiled.parameters, **others}).to_arrow_table()
    return images, choose_channels(replace(selection, standardization=StandardizationChoice()), images, catalog)


def panel_overlap(selection: Selection, catalog: Catalog) -> "pd.DataFrame":
    """Return what `SporaQuery.panel_overlap` returns."""
    return marker_overlap(*delivered_channels(resolve(selection, catalog), catalog))


def marker_overlap(images: pa.Table, delivered: ChosenChannels) -> "pd.DataFrame":
    """Return, for every two cohorts, the number of markers that tissues of both deliver.

    A cohort is a dataset, or a dataset's modality where several of its panels are selected. Proteins count, whatever
    panels call them and isoforms aside; a channel without an accession counts by its name, letter case aside. The
    colours of brightfield images are no markers.
    """
    import pandas as pd

    proteins = [text.split("-")[0] if ACCESSION.fullmatch(text) else None for text in delivered.accessions]
    panels = [(images.slice(panel.first, 1).to_pylist()[0], panel) for panel in delivered.channels.panels]
    panels = [(place, panel) for place, panel in panels if not is_rgb(place["modality"])]
    kinds = {(place["dataset"], place["modality"]) for place, _ in panels}
    several = len(kinds) > len({dataset for dataset, _ in kinds})
    markers: dict[str, set[str]] = {}
    for place, panel in panels:
        label = f"{place['dataset']}/{place['modality']}" if several else place["dataset"]
        for name, protein in zip(panel.name.tolist(), panel.uniprot.tolist(), strict=True):
            accession = proteins[protein] if protein >= 0 else None
            markers.setdefault(label, set()).add(accession or f"name {delivered.names[name].lower()}")
    cohorts = sorted(markers)
    shared = [[len(markers[one] & markers[other]) for other in cohorts] for one in cohorts]
    return pd.DataFrame(shared, index=cohorts, columns=cohorts, dtype="int64").rename_axis("cohort")
