"""What a UniProt accession looks like: the one place, for Python and for the files of ``sql``."""

from typing import Final, Literal, TypeAlias

Accessions: TypeAlias = Literal["published", "uniprot"]

ACCESSION_PATTERNS: Final[dict[Accessions, str]] = {
    "published": "[OPQ][0-9][A-Z0-9]{3}[0-9](-[0-9]+)?",
    "uniprot": "([OPQ][0-9][A-Z0-9]{3}[0-9]|[A-NR-Z][0-9]([A-Z][A-Z0-9]{2}[0-9]){1,2})(-[0-9]+)?",
}
"""Isoform suffix allowed: as the published loader accepts accessions, and the official pattern."""


def with_accessions(text: str) -> str:
    """Return SQL with the patterns in place of ``<published accession>`` and ``<uniprot accession>``.

    Examples
    --------
    >>> with_accessions("regexp_full_match(uniprot_id, '<published accession>')")
    "regexp_full_match(uniprot_id, '[OPQ][0-9][A-Z0-9]{3}[0-9](-[0-9]+)?')"
    """
    for name, pattern in ACCESSION_PATTERNS.items():
        text = text.replace(f"<{name} accession>", pattern)
    return text
