"""Runs over whole lakes: one unit per tissue, on processes, shards or a cluster; results whole or not at all."""

from spora_db.jobs.progress import Bar, Lines, Progress, Quiet
from spora_db.jobs.report import DatasetReport, Report
from spora_db.jobs.standardize import standardize_lake
from spora_db.jobs.tile import tile_lake
from spora_db.jobs.units import Outcome, Shard

__all__ = [
    "Bar",
    "DatasetReport",
    "Lines",
    "Outcome",
    "Progress",
    "Quiet",
    "Report",
    "Shard",
    "standardize_lake",
    "tile_lake",
]
