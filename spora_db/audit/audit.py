"""The audit of a query: what is in its rows, what leaks between splits, what is missing, under which licences."""

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from spora_db.audit.findings import Finding, find
from spora_db.audit.same_pixels import SamePixels, find_same_pixels
from spora_db.audit.tables import composition, leakage, licences, missing, panels, tissue_frame
from spora_db.catalog import lent_catalog
from spora_db.errors import unknown
from spora_db.images.base import MissingChunks
from spora_db.images.pixels import missing_chunks_in
from spora_db.plan.resolution import resolve
from spora_db.plan.selected_images import delivered_channels, marker_overlap
from spora_db.selection import Selection

if TYPE_CHECKING:
    import pandas as pd

    from spora_db.drawing.canvas import Picture

Section = Literal["cohorts", "splits", "composition", "panels", "overlap", "leakage", "missing", "licences", "findings"]
MARKS = {"error": "✗", "warning": "!", "ok": "✓"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Audit:
    """What an audit found; it shows itself in a notebook and in ``print``.

    Attributes
    ----------
    lake
        The lake.
    unit, modalities, mpp
        What the rows are.
    columns
        What `composition` counts by.
    totals
        Numbers of ``rows, tissues, patients, cohorts, panels, images``.
    findings
        What is wrong, what may be, and what was checked and is well.
    sections
        The tables by name; `table` returns one.
    """

    lake: str
    unit: str
    modalities: tuple[tuple[str, ...], ...]
    mpp: float | None
    columns: tuple[str, ...]
    totals: Mapping[str, int]
    findings: tuple[Finding, ...]
    sections: Mapping[str, "pd.DataFrame"]

    @property
    def ok(self) -> bool:
        """Whether no finding is an error: nothing leaks, and all statistics are there."""
        return all(finding.level != "error" for finding in self.findings)

    def table(self, section: Section = "cohorts") -> "pd.DataFrame":
        """Return one table of the audit.

        Parameters
        ----------
        section
            ``"cohorts"`` (rows, tissues, patients, licence of each), ``"splits"`` (the same by cohort and split),
            ``"composition"`` (by the columns asked for), ``"panels"``, ``"overlap"`` (markers that cohorts share),
            ``"leakage"``, ``"missing"``, ``"licences"`` or ``"findings"``.

        Raises
        ------
        UnknownNameError
            For another name.
        """
        if section not in self.sections:
            raise unknown("section of an audit", section, get_args(Section))
        return self.sections[section].copy()

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values that JSON can hold.

        A row of ``overlap`` has the name of its cohort as ``cohort`` (``cohort_`` where a dataset is called so).
        """
        tables = {
            name: json.loads((_with_cohorts(frame) if name == "overlap" else frame).to_json(orient="records"))
            for name, frame in self.sections.items()
        }
        return {"lake": self.lake, "unit": self.unit, "totals": dict(self.totals), **tables}

    def save_png(self, path: str | Path) -> "Picture":
        """Write the audit as a picture; return the figure, which notebooks show.

        Parameters
        ----------
        path
            The file, .png (or .pdf, .svg), written whole or not at all.
        """
        from spora_db.audit.sheet import audit_sheet

        return audit_sheet(self, path=path)

    @property
    def title(self) -> str:
        """What was audited, on one line."""
        names = " with ".join(" or ".join(alternatives) for alternatives in self.modalities)
        return f"{names} {self.unit}s at {self.mpp:g} mpp of {Path(self.lake).name}"

    def __str__(self) -> str:
        """Return the audit as text."""
        totals = ", ".join(f"{number:,} {name}" for name, number in self.totals.items())
        lines = [f"Audit of {self.title}", totals, ""]
        lines += [f" {MARKS[finding.level]} {finding.text}" for finding in self.findings]
        for name in ("cohorts", "composition", "missing", "leakage"):
            if len(self.sections[name]):
                lines += ["", name, self.sections[name].to_string(index=False, max_rows=20, na_rep="")]
        return "\n".join(lines)

    def __repr__(self) -> str:
        """Return the audit as text."""
        return str(self)

    def _repr_html_(self) -> str:
        colours = {"error": "#d1242f", "warning": "#9a6700", "ok": "#1a7f37"}
        totals = " · ".join(f"<b>{number:,}</b> {html.escape(name)}" for name, number in self.totals.items())
        listed = "".join(
            f'<li style="color:{colours[finding.level]}">{MARKS[finding.level]} {html.escape(finding.text)}</li>'
            for finding in self.findings
        )
        parts = [f"<h4>Audit of {html.escape(self.title)}</h4><p>{totals}</p>"]
        parts.append(f'<ul style="list-style:none;padding-left:0">{listed}</ul>')
        parts += [
            f"<h5>{name}</h5>{self.sections[name].to_html(index=False, max_rows=20, na_rep='')}"
            for name in ("cohorts", "composition", "missing", "leakage")
            if len(self.sections[name])
        ]
        return "\n".join(parts)


def make_audit(
    lake: str | Path,
    selection: Selection,
    *,
    columns: str | Sequence[str] = (),
    fingerprints: bool = False,
    missing_chunks: MissingChunks = "error",
) -> Audit:
    """Return what `SporaQuery.audit` returns.

    Parameters
    ----------
    lake
        A lake's folder, or one dataset's.
    selection
        What is asked for.
    columns
        What the composition counts by.
    fingerprints
        Whether the pixels of all images are compared.
    missing_chunks
        What an absent chunk of an image is, where pixels are compared.
    """
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
        same = find_same_pixels([(root / path, missing_chunks_in(name, missing_chunks)) for path, name in places])
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


def _with_cohorts(overlap: "pd.DataFrame") -> "pd.DataFrame":
    """Return the overlap with its cohorts as a column: ``cohort``, with underscores where one is called so."""
    name = "cohort"
    while name in overlap.columns:
        name += "_"
    return overlap.reset_index(names=name)


def _twins(same: SamePixels, images: Any, frame: "pd.DataFrame") -> "pd.DataFrame":  # noqa: ANN401 - an Arrow table
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
