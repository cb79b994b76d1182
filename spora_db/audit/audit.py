"""The audit of a query: what is in its rows, what leaks between splits, what is missing, under which licences."""

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from spora_db.audit.findings import Conclusion
from spora_db.errors import unknown

if TYPE_CHECKING:
    import pandas as pd

    from spora_db.drawing.canvas import Picture

Section = Literal["cohorts", "splits", "composition", "panels", "overlap", "leakage", "missing", "licences", "findings"]
MARKS = {"error": "✗", "warning": "!", "ok": "✓"}
PLAIN = {"error": "x", "warning": "!", "ok": "-"}
"""The same for text, which is printed on terminals that know ASCII only."""
_SHOWN: tuple[Section, ...] = ("cohorts", "composition", "missing", "leakage")
"""Sections that are shown where they have rows."""


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

    See Also
    --------
    SporaQuery.audit, plot.coverage, validate

    Examples
    --------
    >>> from spora_db import SporaQuery
    >>> audit = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).audit()
    >>> print(audit)
    Audit of imc tiles at 1 mpp of lake
    ...
    """

    lake: str
    unit: str
    modalities: tuple[tuple[str, ...], ...]
    mpp: float | None
    columns: tuple[str, ...]
    totals: Mapping[str, int]
    findings: tuple[Conclusion, ...]
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

        See Also
        --------
        Audit.to_dict, Audit.save_png

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> audit = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).audit()
        >>> audit.table("splits")["split"].tolist()
        ['test', 'train', 'val']
        """
        if section not in self.sections:
            raise unknown("section of an audit", section, get_args(Section))
        return self.sections[section].copy()

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values that JSON can hold.

        A row of ``overlap`` has the name of its cohort as ``cohort`` (``cohort_`` where a dataset is called so).

        See Also
        --------
        Audit.table, Audit.save_png

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> audit = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).audit()
        >>> sorted(audit.to_dict()["totals"])
        ['cohorts', 'images', 'panels', 'patients', 'rows', 'tissues']
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

        See Also
        --------
        Audit.table, Audit.to_dict

        Examples
        --------
        >>> from spora_db import SporaQuery
        >>> audit = SporaQuery("lake").modality("imc").tiles(size=128, mpp=1.0).audit()
        >>> picture = audit.save_png("audit.png")
        """
        from spora_db.audit.sheet import audit_sheet

        return audit_sheet(self.sections, title=self.title, totals=self.totals, columns=self.columns, path=path)

    @property
    def title(self) -> str:
        """What was audited, on one line."""
        names = " with ".join(" or ".join(alternatives) for alternatives in self.modalities)
        return f"{names} {self.unit}s at {self.mpp:g} mpp of {Path(self.lake).name}"

    def __str__(self) -> str:
        """Return the audit as text."""
        totals = ", ".join(f"{number:,} {name}" for name, number in self.totals.items())
        lines = [f"Audit of {self.title}", totals, ""]
        lines += [f" {PLAIN[finding.level]} {finding.text}" for finding in self.findings]
        for name in _SHOWN:
            if len(self.sections[name]):
                lines += ["", name, self.sections[name].to_string(index=False, max_rows=20, na_rep="")]
        return "\n".join(lines)

    __repr__ = __str__

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
            for name in _SHOWN
            if len(self.sections[name])
        ]
        return "\n".join(parts)


def _with_cohorts(overlap: "pd.DataFrame") -> "pd.DataFrame":
    """Return the overlap with its cohorts as a column: ``cohort``, with underscores where one is called so."""
    name = "cohort"
    while name in overlap.columns:
        name += "_"
    return overlap.reset_index(names=name)
