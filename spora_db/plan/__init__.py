"""The frozen hand-over from query to loader."""

from spora_db.plan.plan import (
    ABSENT,
    VERSION,
    Float32,
    Int32,
    Int64,
    Plan,
    PlanChannels,
)

__all__ = [
    "ABSENT",
    "VERSION",
    "Float32",
    "Int32",
    "Int64",
    "Plan",
    "PlanChannels",
]
