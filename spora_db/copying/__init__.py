"""Taking along what a query needs: a smaller lake that gives the same rows and pixels."""

from spora_db.copying.copying import copy_lake
from spora_db.copying.report import CopiedImages, CopyReport

__all__ = ["CopiedImages", "CopyReport", "copy_lake"]
