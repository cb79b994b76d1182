"""Handing cells and tissues to the tools of single-cell analysis, behind extras."""
