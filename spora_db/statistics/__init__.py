"""Computing the statistics that standardize: exact, streaming, one unit per tissue."""

from spora_db.statistics.in_process import compute_statistics, write_statistics
from spora_db.statistics.plan import Partial, Round, StatisticsPlan, StatisticsUnit, first_round
from spora_db.statistics.result import StatisticsResult
from spora_db.statistics.statistics import next_round, run_unit
from spora_db.statistics.tissue import tissue_statistics

__all__ = [
    "Partial", "Round", "StatisticsPlan", "StatisticsResult", "StatisticsUnit", "compute_statistics", "first_round",
    "next_round", "run_unit", "tissue_statistics", "write_statistics",
]  # fmt: skip
