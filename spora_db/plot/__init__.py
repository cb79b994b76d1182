"""Pictures of tiles, tissues, batches and panels: matplotlib figures that need no display and show themselves."""

from spora_db.drawing.canvas import Picture
from spora_db.drawing.charts import COLOURS, STYLE, chart
from spora_db.drawing.composite import brightfield, composite, contrast_limits
from spora_db.drawing.markers import Shown, choose_channels, spell_markers
from spora_db.drawing.overview import TissueView, overview
from spora_db.drawing.tiles import tile
from spora_db.plot.heatmaps import coverage, panels
from spora_db.plot.sheets import cohort_sheet, contact_sheet
from spora_db.plot.views import tissue, tissue_view, view

__all__ = [
    "COLOURS",
    "STYLE",
    "Picture",
    "Shown",
    "TissueView",
    "brightfield",
    "chart",
    "choose_channels",
    "cohort_sheet",
    "composite",
    "contact_sheet",
    "contrast_limits",
    "coverage",
    "overview",
    "panels",
    "spell_markers",
    "tile",
    "tissue",
    "tissue_view",
    "view",
]
