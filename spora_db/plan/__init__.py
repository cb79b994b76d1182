"""The frozen hand-over from query to loader."""

from spora_db.plan.panels import ChannelEntries, Float32, Int32, Int64, PlanChannels, PlanPanel
from spora_db.plan.plan import ABSENT, VERSION, Plan

__all__ = [
    "ABSENT",
    "VERSION",
    "ChannelEntries",
    "Float32",
    "Int32",
    "Int64",
    "Plan",
    "PlanChannels",
    "PlanPanel",
]
