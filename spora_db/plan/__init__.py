"""The frozen hand-over from query to loader."""

from spora_db.plan.plan import ABSENT, Plan

__all__ = ["ABSENT", "Plan"]
