"""The channel pipeline in SQL: which channels of a tissue are delivered, under which accession, from which page."""

from sqlglot import exp

from spora_db.selection.values import PANEL_RULES, ChannelChoice, ChannelProperty
from spora_db.sqltext.accessions import ACCESSION_PATTERNS
from spora_db.sqltext.dialect import DIALECT

NUCLEAR_ACCESSION = "P68431"
"""Histone H3, the accession that nuclear markers take on request."""


def accession(choice: ChannelChoice, *, table: str) -> str:
    """Return the SQL of a channel's effective UniProt accession."""
    if not choice.replace_nuclear:
        return f"{table}.uniprot_id"
    return f"CASE WHEN {table}.is_nuclear_marker THEN '{NUCLEAR_ACCESSION}' ELSE {table}.uniprot_id END"


def kind_condition(choice: ChannelChoice, *, table: str) -> str:
    """Return the SQL condition that a channel of a panel is of the chosen kind, once it was measured.

    Examples
    --------
    >>> kind_condition(ChannelChoice(kind="qc_filtered"), table="c")
    'c.qc_pass'
    """
    effective, pattern = accession(choice, table=table), ACCESSION_PATTERNS[choice.accessions]
    properties: dict[ChannelProperty, str] = {
        "qc_pass": f"{table}.qc_pass",
        "has_accession": f"regexp_full_match({effective}, '{pattern}')",
    }
    return " AND ".join(properties[name] for name in PANEL_RULES[choice.kind]) or "TRUE"


def panel_select(choice: ChannelChoice) -> exp.Select:
    """Return the SELECT of all panels, with each channel's effective accession and whether it is of the chosen kind.

    Its columns are ``dataset, modality, channel_index, channel_name, uniprot_id, chosen``. A tissue delivers the chosen
    channels that were measured in it.
    """
    chosen: exp.Expr = exp.maybe_parse(kind_condition(choice, table="c"), dialect=DIALECT)
    return (
        exp.select("c.dataset", "c.modality", "c.channel_index", "c.channel_name")
        .select(exp.alias_(exp.maybe_parse(accession(choice, table="c"), dialect=DIALECT), "uniprot_id"))
        .select(exp.alias_(exp.func("coalesce", chosen, exp.false()), "chosen"))
        .from_("channels AS c")
        .order_by("c.dataset", "c.modality", "c.channel_index")
    )
