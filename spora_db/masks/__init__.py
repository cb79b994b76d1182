"""Mask files, and what lies in them: tissue, labels, cells, classes."""

from spora_db.masks.files import load_label_mask, load_mask, load_tissue_mask, mask_size

__all__ = ["load_label_mask", "load_mask", "load_tissue_mask", "mask_size"]
