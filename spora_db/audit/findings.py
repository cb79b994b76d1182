"""What an audit concludes from its tables: errors, warnings, and what was checked and is well."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from spora_db.audit.same_pixels import SamePixels
from spora_db.errors import counted
from spora_db.plan.channels import ChosenChannels
from spora_db.selection import MissingStatistics
from spora_db.selection.markers import ACCESSION
from spora_db.standardization.usable import REMEDIES

if TYPE_CHECKING:
    import pandas as pd

Verdict = Literal["error", "warning", "ok"]
ORDER: tuple[Verdict, ...] = ("error", "warning", "ok")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """One conclusion: ``"error"`` spoils training or its evaluation, ``"warning"`` may, ``"ok"`` was checked."""

    level: Verdict
    text: str


def find(
    frame: "pd.DataFrame",
    tables: Mapping[str, "pd.DataFrame"],
    delivered: ChosenChannels,
    same: SamePixels | None,
    *,
    choice: MissingStatistics,
    undelivered: Sequence[str] = (),
) -> tuple[Conclusion, ...]:
    """Return the conclusions, errors first.

    Parameters
    ----------
    frame, tables, delivered
        The `tissue_frame`, the tables of the audit by name, the channels of its images.
    same
        What the comparison of pixels found, if it was asked for.
    choice
        What becomes of missing statistics.
    undelivered
        Keys of channels that tissues were asked for and have, but that their statistics drop.
    """
    if not len(frame):
        return (Conclusion(level="error", text="the query selects no rows"),)
    findings = [*_leaks(frame, tables["leakage"], same), *_absences(tables["missing"], choice)]
    if undelivered:
        tissues = counted(len({tuple(key.split("/", 3)[:3]) for key in undelivered}), "tissue")
        dropped = _listed(sorted({key.split("/", 3)[3] for key in undelivered}))
        text = f"statistics drop {dropped} of {tissues}, which count as without it; query.coverage() lists them"
        findings.append(Conclusion(level="warning", text=text))
    if not len(tables["missing"]):
        unopened = "; no image was opened" if same is None else ""
        findings.append(Conclusion(level="ok", text=f"no image, mask, tile or statistic is missing{unopened}"))
    if same is not None and same.unreadable:
        text = f"{counted(len(same.unreadable), 'image')} cannot be read: {same.unreadable[0][1]}"
        findings.append(Conclusion(level="error", text=text))
    unstated = tables["licences"]["dataset"][tables["licences"]["licence"].isna()].tolist()
    if unstated:
        findings.append(Conclusion(level="warning", text=f"no licence is stated for {_listed(unstated)}"))
    elif len(tables["licences"]):
        findings.append(Conclusion(level="ok", text="every cohort states its licence"))
    if names := _double_names(delivered):
        text = f"one name for several proteins: {_listed(names)}; ask for them by accession"
        findings.append(Conclusion(level="warning", text=text))
    return tuple(sorted(findings, key=lambda finding: ORDER.index(finding.level)))


def _leaks(frame: "pd.DataFrame", leakage: "pd.DataFrame", same: SamePixels | None) -> list[Conclusion]:
    findings = []
    divided = frame["split"].nunique() > 1
    for group in ("patient", "specimen", "tissue"):
        leaking = leakage[leakage["group"] == group]
        names = [f"{dataset} {name}" for dataset, name in zip(leaking["dataset"], leaking["name"], strict=True)]
        if names:
            text = f"{counted(len(names), group)} in several splits: {_listed(names)}"
            findings.append(Conclusion(level="error", text=text))
        elif divided and group == "patient":
            findings.append(Conclusion(level="ok", text="no patient is in several splits"))
    twins = leakage[leakage["group"] == "pixels"]
    for name, splits in zip(twins["name"], twins["splits"], strict=True):
        apart = f", in the splits {', '.join(splits)}" if len(splits) > 1 else ""
        level: Verdict = "error" if apart else "warning"
        findings.append(Conclusion(level=level, text=f"one image under several names: {name}{apart}"))
    if same is not None and not len(twins):
        findings.append(Conclusion(level="ok", text="no image is there twice"))
    unknown = frame[frame["patient_id"].isna() | (frame["patient_id"] == "")]
    if len(unknown):
        number = len(unknown.drop_duplicates(["dataset", "tissue_id"]))
        text = f"{counted(number, 'tissue')} of {_listed(sorted(set(unknown['dataset'])))} without a patient"
        findings.append(Conclusion(level="warning", text=f"{text}: leakage cannot be told"))
    return findings


def _absences(missing: "pd.DataFrame", choice: MissingStatistics) -> list[Conclusion]:
    findings = []
    for what, part in missing.groupby("what", sort=True):
        label = f"{what} missing" if ": " not in str(what) else str(what)
        stops = str(what).startswith("statistics: no") and choice == "error"
        level: Verdict = "error" if stops else "warning"
        where = _listed(
            [f"{data} {modality}".strip() for data, modality in zip(part["dataset"], part["modality"], strict=True)]
        )
        text = f"{label} for {counted(int(part['tissues'].sum()), 'tissue')} ({where})"
        remedy = next((remedy for reason, remedy in REMEDIES.items() if f"({reason})" in str(what)), "")
        text += f"; samples lack it: {remedy}" if remedy else ""
        findings.append(Conclusion(level=level, text=text))
    return findings


def _double_names(delivered: ChosenChannels) -> list[str]:
    """Return channel names that carry different accessions, isoforms aside."""
    proteins: dict[str, set[str]] = {}
    codes = ((panel.name.tolist(), panel.uniprot.tolist()) for panel in delivered.channels.panels)
    pairs = {pair for names, accessions in codes for pair in zip(names, accessions, strict=True)}
    for name, accession in pairs:
        text = delivered.accessions[accession] if accession >= 0 else ""
        if ACCESSION.fullmatch(text):
            proteins.setdefault(delivered.names[name].lower(), set()).add(text.split("-")[0])
    return [f"{name} ({', '.join(sorted(ids))})" for name, ids in sorted(proteins.items()) if len(ids) > 1]


def _listed(names: list[str]) -> str:
    return ", ".join(map(str, names[:4])) + (f", ... ({len(names) - 4} more)" if len(names) > 4 else "")
