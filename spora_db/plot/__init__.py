"""Pictures of tiles, tissues and batches: matplotlib figures that need no display and show themselves in notebooks."""

from spora_db.plot.canvas import Picture
from spora_db.plot.composite import brightfield, composite, contrast_limits
from spora_db.plot.markers import Shown, choose_channels, spell_markers
from spora_db.plot.overview import TissueView, overview
from spora_db.plot.sheets import cohort_sheet, contact_sheet

__all__ = [
    "Picture",
    "Shown",
    "TissueView",
    "brightfield",
    "choose_channels",
    "cohort_sheet",
    "composite",
    "contact_sheet",
    "contrast_limits",
    "overview",
    "spell_markers",
]
