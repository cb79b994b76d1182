"""What a validation finds, and the rules that it checks: name, severity, what must hold, what to do."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal, TypeAlias

Severity: TypeAlias = Literal["error", "warning", "note"]
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "note")
SHOWN: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as the layout wants it.

    Attributes
    ----------
    severity
        ``"error"``: spora-db will refuse the data or read it wrongly. ``"warning"``: it works, with less than there
        seems to be. ``"note"``: worth knowing.
    dataset
        The dataset's name; empty where the finding is about the lake itself.
    file
        The file or folder, relative to the lake.
    rule
        The name of the rule in `RULES`.
    reason
        What was found, and what was expected.
    remedy
        What to do about it.
    """

    severity: Severity
    dataset: str
    file: str
    rule: str
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of the layout.

    Attributes
    ----------
    severity
        How bad it is when the rule is broken.
    holds
        What must hold, as a sentence.
    remedy
        What to do where it does not.
    """

    severity: Severity
    holds: str
    remedy: str


def in_order(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield findings errors first, then by dataset, rule and file; of many alike the first ten and one for the others.

    Examples
    --------
    >>> alike = [
    ...     Finding(severity="note", dataset="a", file="b", rule="c", reason=f"{n:02}", remedy="d") for n in range(12)
    ... ]
    >>> [finding.reason for finding in in_order(alike)][-2:]
    ['09', '... and 2 more findings of this rule.']
    """
    ordered = sorted(
        set(findings), key=lambda item: (SEVERITIES.index(item.severity), *_kind(item), item.file, item.reason)
    )
    for _, alike in groupby(ordered, key=lambda item: (item.severity, *_kind(item))):
        group = list(alike)
        yield from group[:SHOWN]
        if len(group) > SHOWN:
            first = group[0]
            yield Finding(
                severity=first.severity,
                dataset=first.dataset,
                file="",
                rule=first.rule,
                reason=f"... and {len(group) - SHOWN:,} more findings of this rule.",
                remedy=first.remedy,
            )


def _kind(finding: Finding) -> tuple[str, str]:
    return finding.dataset, finding.rule


def count(findings: Iterable[Finding]) -> Mapping[Severity, int]:
    """Return how many findings there are of each severity.

    Examples
    --------
    >>> count([])
    {'error': 0, 'warning': 0, 'note': 0}
    """
    counts = dict.fromkeys(SEVERITIES, 0)
    for finding in findings:
        counts[finding.severity] += 1
    return counts
