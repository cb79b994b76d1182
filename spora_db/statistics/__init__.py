"""Computing the statistics that standardize: exact, streaming, one unit per tissue."""

from spora_db.statistics.in_process import compute_statistics, write_statistics
from spora_db.statistics.plan import Partial, Round, StatisticsPlan, StatisticsUnit
from spora_db.statistics.result import StatisticsResult
from spora_db.statistics.rounds import Rounds
from spora_db.statistics.statistics import run_unit
from spora_db.statistics.tissue import tissue_statistics

__all__ = [
    "Partial", "Round", "Rounds", "StatisticsPlan", "StatisticsResult", "StatisticsUnit", "compute_statistics",
    "run_unit", "tissue_statistics", "write_statistics",
]  # fmt: skip
