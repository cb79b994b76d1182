"""Bags: the tiles or cells of a patient, a tissue or any other group as one sample, for attention over many rows."""

from spora_db.bags.collates import collate_bags_packed, collate_bags_padded
from spora_db.bags.dataset import Bag, BagDataset

__all__ = ["Bag", "BagDataset", "collate_bags_packed", "collate_bags_padded"]
"""Of these, `BagDataset` comes from `SporaQuery.bags`."""
