"""Making a dataset of what people have: folders of TIFFs, a panel CSV, a metadata CSV, masks of any common format."""

from spora_db.importing.dataset import import_dataset
from spora_db.importing.decisions import Decision, Decisions
from spora_db.importing.options import ImageChoice, ImportReport, Match, Missing, TissueMaskChoice

__all__ = [
    "Decision",
    "Decisions",
    "ImageChoice",
    "ImportReport",
    "Match",
    "Missing",
    "TissueMaskChoice",
    "import_dataset",
]
