"""What a query asks for, and the one SELECT that answers it."""

from spora_db.selection.values import (
    CHANNEL_KINDS,
    MISSING_STATISTICS,
    CellChoice,
    CellSource,
    ChannelChoice,
    ChannelKind,
    MissingModality,
    MissingStatistics,
    Sampling,
    Selection,
    SplitChoice,
    StandardizationChoice,
    StatsLevel,
    Unit,
)
from spora_db.sqltext.accessions import Accessions

__all__ = [
    "CHANNEL_KINDS",
    "MISSING_STATISTICS",
    "Accessions",
    "CellChoice",
    "CellSource",
    "ChannelChoice",
    "ChannelKind",
    "MissingModality",
    "MissingStatistics",
    "Sampling",
    "Selection",
    "SplitChoice",
    "StandardizationChoice",
    "StatsLevel",
    "Unit",
]
