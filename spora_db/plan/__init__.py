"""The frozen hand-over from query to loader."""

from spora_db.plan.panels import PlanChannels, PlanPanel
from spora_db.plan.plan import ABSENT, VERSION, Plan

__all__ = ["ABSENT", "VERSION", "Plan", "PlanChannels", "PlanPanel"]
