"""What a query asks for, and the one SELECT that answers it."""

from spora_db.selection.label import ClassName, Label, LabelType, MissingLabel
from spora_db.selection.values import (
    MISSING_STATISTICS,
    PANEL_RULES,
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
    Unit,
    WindowChoice,
    WindowPadding,
)
from spora_db.sqltext.accessions import Accessions
from spora_db.standardization.specs import StatsLevel

__all__ = [
    "MISSING_STATISTICS",
    "PANEL_RULES",
    "Accessions",
    "CellChoice",
    "CellSource",
    "ChannelChoice",
    "ChannelKind",
    "ClassName",
    "Label",
    "LabelType",
    "MissingLabel",
    "MissingModality",
    "MissingStatistics",
    "Sampling",
    "Selection",
    "SplitChoice",
    "StandardizationChoice",
    "StatsLevel",
    "Unit",
    "WindowChoice",
    "WindowPadding",
]
