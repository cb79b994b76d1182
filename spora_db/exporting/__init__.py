"""Tiles written as other loaders read them: shards of pixels with what tells what they are."""

from spora_db.exporting.exporting import ExportReport, export_plan
from spora_db.exporting.formats import FORMATS, ExportFormat

__all__ = ["FORMATS", "ExportFormat", "ExportReport", "export_plan"]
