"""Making an audit: one look at the rows, the images and their channels, and what follows from it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from spora_db.audit.audit import Audit
from spora_db.audit.findings import find
from spora_db.audit.same_pixels import SamePixels, find_same_pixels
from spora_db.audit.tables import composition, leakage, licences, missing, panels, tissue_frame
from spora_db.catalog import lent_catalog
from spora_db.images.base import MissingChunks, missing_chunks_in
from spora_db.layout import LakePath, locate
from spora_db.plan.resolution import resolve
from spora_db.plan.selected_images import delivered_channels, marker_overlap
from spora_db.selection import Selection

if TYPE_CHECKING:
    import pandas as pd


def make_audit(
    lake: LakePath,
    selection: Selection,
    *,
    columns: str | Sequence[str] = (),
    fingerprints: bool = False,
    missing_chunks: MissingChunks = "error",
) -> Audit:
    """Return the audit of a lake and a selection, as `SporaQuery.audit` describes it."""
    import pandas as pd

    with lent_catalog(lake) as catalog:
        resolved = resolve(selection, catalog)
        columns = (columns,) if isinstance(columns, str) else tuple(dict.fromkeys(columns)) or ("dataset", "split")
        frame = tissue_frame(resolved, columns, catalog)
        images, delivered = delivered_channels(resolved, catalog)
        tables = {
            "composition": composition(frame, columns),
            "splits": composition(frame, ["dataset", "split"]),
            "panels": panels(images, delivered),
            "overlap": marker_overlap(images, delivered),
            "leakage": leakage(frame),
            "missing": missing(resolved, images, delivered, catalog),
            "licences": licences(frame, catalog),
        }
        root = catalog.lake
    same = None
    if fingerprints:
        places = zip(images.column("path").to_pylist(), images.column("modality").to_pylist(), strict=True)
        same = find_same_pixels(
            [(locate(root, path), missing_chunks_in(name, missing_chunks)) for path, name in places]
        )
        tables["leakage"] = pd.concat([tables["leakage"], _twins(same, images, frame)], ignore_index=True)
    cohorts = composition(frame, ["dataset"]).merge(tables["licences"][["dataset", "licence"]], on="dataset")
    totals = {
        "rows": int(frame["rows"].sum()),
        "tissues": int(cohorts["tissues"].sum()),
        "patients": int(cohorts["patients"].sum()),
        "cohorts": len(cohorts),
        "panels": int((tables["panels"]["panel"] > 0).sum()),
        "images": len(images),
    }
    choice = selection.standardization.missing_statistics
    findings = find(frame, tables, delivered, same, choice=choice, undelivered=resolved.undelivered)
    return Audit(
        lake=str(root),
        unit=selection.unit,
        modalities=resolved.selection.modalities,
        mpp=resolved.selection.mpp,
        columns=columns,
        totals=totals,
        findings=findings,
        sections={
            "cohorts": cohorts,
            **tables,
            "findings": pd.DataFrame([(f.level, f.text) for f in findings], columns=["level", "text"]),
        },
    )


def _twins(same: SamePixels, images: pa.Table, frame: "pd.DataFrame") -> "pd.DataFrame":
    """Return the images of one content as rows of the leakage table."""
    import pandas as pd

    records = images.select(["dataset", "tissue_id"]).to_pylist()
    splits = frame.groupby(["dataset", "tissue_id"])["split"].agg(lambda s: sorted(set(s.dropna()))).to_dict()
    found = []
    for group in same.groups:
        keys = sorted({(records[i]["dataset"], records[i]["tissue_id"]) for i in group})
        if len(keys) > 1:
            found.append(
                {
                    "group": "pixels",
                    "dataset": ", ".join(sorted({dataset for dataset, _ in keys})),
                    "name": " = ".join(tissue for _, tissue in keys),
                    "splits": sorted({split for key in keys for split in splits.get(key, [])}),
                    "tissues": [tissue for _, tissue in keys],
                }
            )
    return pd.DataFrame(found, columns=["group", "dataset", "name", "splits", "tissues"])
