"""Computing the statistics that standardize: exact, streaming, one unit per tissue."""

from spora_db.statistics.plan import Partial, Round, StatisticsPlan, StatisticsUnit, first_round
from spora_db.statistics.result import StatisticsResult, write_statistics
from spora_db.statistics.statistics import (
    FAILURES,
    compute_statistics,
    logger,
    next_round,
    run_unit,
)
from spora_db.statistics.tissue import tissue_statistics

__all__ = [
    "FAILURES",
    "Partial",
    "Round",
    "StatisticsPlan",
    "StatisticsResult",
    "StatisticsUnit",
    "compute_statistics",
    "first_round",
    "logger",
    "next_round",
    "run_unit",
    "tissue_statistics",
    "write_statistics",
]
