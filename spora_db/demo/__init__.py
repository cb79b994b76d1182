"""A small synthetic lake that looks like tissue: for the demonstration, the notebooks and the tests."""

from spora_db.demo.lake import write_demo_lake

__all__ = ["write_demo_lake"]
