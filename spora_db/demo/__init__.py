"""A small synthetic lake that looks like tissue: for the demonstration, the notebooks and the tests."""

from spora_db.demo.lake import write_demo_lake
from spora_db.demo.prepare import demo_lake

__all__ = ["demo_lake", "write_demo_lake"]
