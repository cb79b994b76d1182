"""Computing the statistics that standardize: exact, streaming, one unit per tissue."""

from spora_db.statistics.plan import Partial, Round, StatisticsPlan, StatisticsUnit, first_round
from spora_db.statistics.result import StatisticsResult
from spora_db.statistics.statistics import next_round, run_unit

__all__ = [
    "Partial", "Round", "StatisticsPlan", "StatisticsResult", "StatisticsUnit", "first_round", "next_round", "run_unit",
]  # fmt: skip
