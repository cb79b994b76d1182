"""The frozen hand-over from query to loader."""

from spora_db.plan.panels import ChannelEntries, PlanChannels, PlanPanel
from spora_db.plan.plan import ABSENT, VERSION, Plan

__all__ = [
    "ABSENT",
    "VERSION",
    "ChannelEntries",
    "Plan",
    "PlanChannels",
    "PlanPanel",
]
